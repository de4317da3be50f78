"""A pipe that keeps its lines until they are discarded, and flush requests next to the lines."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.core.stdio import PIPE_BYTES, PeekingPipe, widen
from collectors.device_state.background import TOLD_TOGETHER, Background
from collectors.device_state.model import Rules
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Store, StoreError
from collectors.device_state.tracker import Limits, Tracker

NOW = 1_800_000_000 * 10**9


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_peeked_lines_remain_for_the_next_reader(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"a\nb\n")
    killed = PeekingPipe(reading)
    assert killed.peek() == b"a\nb\n"
    killed.close()  # before it discarded the lines
    after = PeekingPipe(reading)
    assert after.peek() == b"a\nb\n"
    after.discard()
    assert after.peek() is None
    after.close()


def test_half_a_line_stays_until_there_is_more(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    kept = PeekingPipe(reading)
    os.write(writing, b"a\nb")
    assert kept.peek() == b"a\n"
    os.write(writing, b"c\n")
    assert kept.peek() == b"bc\n"
    os.write(writing, b"half")
    assert kept.peek() == b"half", "it might be longer than the pipe"
    kept.close()


def test_a_wide_pipe_holds_a_megabyte(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    assert widen(reading)
    os.set_blocking(writing, False)
    assert os.write(writing, b"x" * 2 * PIPE_BYTES) == PIPE_BYTES


def test_a_file_is_no_pipe(tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError, match="it is not a pipe"):
        PeekingPipe(file)
    assert not widen(file)
    os.close(file)


class Slow(SqliteStore):
    """A store that answers when the test lets it."""

    def __init__(self, path: Path, fail: str = "") -> None:
        super().__init__(str(path), pytest.fail)
        self.asked, self.answer = threading.Event(), threading.Event()
        self.fail = fail

    def read(self, devices):  # type: ignore[no-untyped-def]
        self.asked.set()
        assert self.answer.wait(60)
        if self.fail:
            raise StoreError(self.fail)
        return super().read(devices)


def _background(store: Store, said: list[str], pending: int = 50_000) -> Background:
    whispered: deque[str] = deque()
    limits = Limits(seconds=0.0, pending=pending)
    tracker = Tracker(store, Rules(), limits, {}, whispered.append, lambda: NOW, lambda: 0.0)
    return Background(
        tracker, pending, whispered, said.append, lambda metric: str(metric.fields), lambda: 0.0, lambda: NOW
    )


def _until(told: Callable[[], list[str]], count: int) -> list[str]:
    found: list[str] = []
    waiting = threading.Event()
    for _ in range(6000):
        found += told()
        if len(found) >= count:
            return found
        waiting.wait(0.01)
    raise AssertionError(found)


def test_lines_go_on_while_the_store_keeps_a_flush_waiting(tmp_path: Path) -> None:
    store = Slow(tmp_path / "state.db")
    background = _background(store, [])
    device = background.device("pi", "environment")
    device.count(1, NOW, {})
    assert background.tell() == []
    assert store.asked.wait(60)
    device.count(2, NOW + 1, {})
    assert background.tell() == [], "the flush waits for its store, and nobody for the flush"
    store.answer.set()
    # The second message is written with the next flush, which may come before the end.
    told = [*_until(background.tell, 2), *background.close()]
    assert "'messages': 1" in told[0]
    assert "'messages': 2" in "".join(told[1:])


def test_an_error_of_the_store_is_reported_and_the_messages_are_kept(tmp_path: Path) -> None:
    said: list[str] = []
    store = Slow(tmp_path / "state.db", "the store is away")
    store.answer.set()
    background = _background(store, said)
    background.device("pi", "environment").count(1, NOW, {})
    background.tell()
    _until(background.tell, 1)
    assert said[0] == "the store is away; what was counted is kept for the next attempt"
    store.fail = ""
    assert "'messages': 1" in "".join(background.close())


def test_states_are_reported_in_batches(tmp_path: Path) -> None:
    store = Slow(tmp_path / "state.db")
    store.answer.set()
    background = _background(store, [])
    for number in range(TOLD_TOGETHER + 10):
        background.device(f"pi-{number}", "environment").count(number, NOW, {})
    pieces: list[int] = []

    def told() -> list[str]:
        lines = background.tell()
        pieces.append(len(lines))
        return lines

    _until(told, TOLD_TOGETHER + 11)
    assert max(pieces) <= TOLD_TOGETHER
    background.close()
