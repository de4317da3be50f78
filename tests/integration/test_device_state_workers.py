"""Real workers on one device: each message counts once, even if workers are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from collectors.device_state.model import State, decode
from collectors.device_state.nats_kv import NatsStore, Server
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Store
from tests.integration import nats

WORKERS = 8

#: The processor, which waits as long for a store and for other workers as a busy machine needs.
_PATIENT = (
    "import sys; from collectors.device_state import background, nats_kv, sqlite, tracker; "
    "from collectors.__main__ import main; "
    "background.END_SECONDS = tracker.END_WITHIN_SECONDS = 120.0; tracker.ATTEMPTS = tracker.END_ATTEMPTS = 100; "
    "nats_kv.ANSWER_SECONDS, nats_kv.CALL_SECONDS = 30.0, 120.0; sqlite.SqliteStore.__init__.__defaults__ = (120.0,); "
    "sys.exit(main(['telemetry', *sys.argv[1:]]))"
)


class Place(NamedTuple):
    """A store that workers share: their environment, and the test's access to the store."""

    environ: dict[str, str]
    store: Store

    def state(self) -> State:
        return decode(self.store.read(["pi"])["pi"].document)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nats.Nats]:
    with nats.running(tmp_path_factory.mktemp("nats")) as running:
        yield running


def on_sqlite(folder: Path) -> Place:
    path = str(folder / "state.db")
    return Place({"SENSETIG_TELEMETRY_STATE": path}, SqliteStore(path, pytest.fail))


@pytest.fixture(params=["sqlite", "nats"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        found = on_sqlite(tmp_path)
    else:
        server: nats.Nats = request.getfixturevalue("server")
        bucket = uuid.uuid4().hex
        found = Place(
            {"SENSETIG_TELEMETRY_STATE": server.url, "SENSETIG_TELEMETRY_STATE_BUCKET": bucket},
            NatsStore(Server("127.0.0.1", server.port, False), bucket, 1, pytest.fail),
        )
    yield found
    found.store.close()


class Worker:
    """The processor in a process, as Telegraf runs it."""

    def __init__(self, place: Place, seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PATIENT, "--execd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                **place.environ,
                "SENSETIG_TELEMETRY_MEASUREMENTS": "reading",
                "SENSETIG_TELEMETRY_STATE_SECONDS": str(seconds),
            },
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._lines = iter(self._process.stdout.readline, b"")
        self.pid = self._process.pid

    def feed(self, lines: Sequence[bytes]) -> None:
        """Hand over lines, and wait until each has come out again."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"".join(lines))
        for _ in lines:
            self.await_line(b"reading,")

    def await_line(self, start: bytes) -> bytes:
        return next(line for line in self._lines if line.startswith(start))

    def end(self) -> tuple[int, bytes]:
        """End it as Telegraf does, by closing its input; return its status and its output."""
        _, said = self._process.communicate(timeout=240)
        return self._process.returncode, said

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=240)


@pytest.fixture
def started() -> Iterator[Callable[[Place, float], Worker]]:
    """Start workers, and stop them at the end of the test."""
    workers: list[Worker] = []

    def start(place: Place, seconds: float) -> Worker:
        workers.append(Worker(place, seconds))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


Start = Callable[[Place, float], Worker]


def messages(count: int) -> list[bytes]:
    """Lines of one device, a second apart, the last one now."""
    first = int(time.time()) - count
    return [b"reading,device=pi value=%d %d000000000\n" % (number, first + number) for number in range(count)]


def deal(workers: Sequence[Worker], hands: Sequence[Sequence[bytes]]) -> None:
    """Feed all workers at once, each in portions, so that they write while the others do."""

    def play(worker: Worker, hand: Sequence[bytes]) -> None:
        for start in range(0, len(hand), 25):
            worker.feed(hand[start : start + 25])

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(play, workers, hands))


def finish(workers: Sequence[Worker]) -> None:
    """End all at once, and see that none had to say anything."""
    with ThreadPoolExecutor(len(workers)) as pool:
        assert set(pool.map(Worker.end, workers)) == {(0, b"")}


def test_eight_workers_count_each_message_of_one_device_exactly_once(place: Place, started: Start) -> None:
    lines = messages(2000)
    workers = [started(place, 0.05) for _ in range(WORKERS)]
    deal(workers, [lines[number::WORKERS] for number in range(WORKERS)])
    finish(workers)
    state = place.state()
    assert (state.messages, state.duplicates) == (2000, 0)


def test_every_message_delivered_twice_to_different_workers_is_counted_once(place: Place, started: Start) -> None:
    lines = messages(2000)
    workers = [started(place, 0.05) for _ in range(WORKERS)]
    hands = [lines[number::WORKERS] for number in range(WORKERS)]
    deal(workers, [[*hands[number], *hands[number - 3]] for number in range(WORKERS)])
    finish(workers)
    state = place.state()
    assert (state.messages, state.duplicates) == (2000, 2000)


def test_workers_that_are_killed_cost_nothing_once_their_messages_are_delivered_again(
    place: Place, started: Start
) -> None:
    lines = messages(400)
    for number in range(4):
        worker = started(place, 0.05)
        worker.feed(lines[: 100 * (number + 1) : 2])
        # Killed while it writes at its own pace: somewhere between nothing and all of it is in the store.
        worker.await_line(b"device_store,")
        worker.feed(lines[1 : 100 * (number + 1) : 2])
        worker.kill()
    last = started(place, 0.05)
    last.feed(lines)
    finish([last])
    assert place.state().messages == 400


def test_a_worker_killed_in_the_middle_of_its_write_leaves_a_file_that_others_go_on_with(
    tmp_path: Path, started: Start
) -> None:
    place = on_sqlite(tmp_path)
    lines = messages(100)
    first = started(place, 3600)
    first.feed(lines[:50])
    finish([first])
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    doomed = started(place, 0.05)
    doomed.feed(lines[50:])
    deadline = time.monotonic() + 120
    # It has the file open in its flush, and cannot write while that is held.
    while str(tmp_path / "state.db") not in [file.path for file in psutil.Process(doomed.pid).open_files()]:
        assert time.monotonic() < deadline, "the worker did not begin to write"
    doomed.kill()
    holder.execute("ROLLBACK")
    holder.close()
    assert place.state().messages == 50, "what the killed worker had only in memory is not counted"
    heir = started(place, 0.05)
    heir.feed(lines[50:])
    finish([heir])
    assert place.state().messages == 100
    place.store.close()
