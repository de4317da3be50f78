"""An outage of a simulated week: the backlog of a week waits in the outbox, and then the hub is back."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from collectors.outbox import scan
from tests.chaos.account import Account, check_of
from tests.chaos.alerts import Verdict
from tests.chaos.draws import WEEK_SEED, Draw, Fault
from tests.chaos.relay import Mode
from tests.chaos.rig import Programs, running, until
from tests.chaos.run import Outcome

_WEEK_SECONDS = 7 * 86_400

#: Telegraf's flush interval in seconds: each flush of the week is a file.
_FLUSH_SECONDS = 10

#: How often the outbox is asked whether points wait, in seconds: it has a file for each flush.
_ASK_SECONDS = 5.0

DRAW = Draw(WEEK_SEED, "edge", (Fault("hub", "relay", 0, _WEEK_SECONDS, Mode("refuse")),))

#: A backlog that is not delivered within this time is stuck, in seconds.
_STUCK_SECONDS = 7200.0


def run(programs: Programs, folder: Path, rate: float) -> Outcome:
    """Let the points of a week wait, deliver them, and count.

    Args:
        rate: points a second of the simulated week. The backlog is written to the outbox as fast as it takes it.
    """
    with running(DRAW, programs, folder, "10s", images=False) as rig:
        rig.relay.set(DRAW.faults[0].mode)
        listening = rig.folder / "write.sock"
        until(lambda: _listens(listening), 120)
        begin_ns = time.time_ns() - _WEEK_SECONDS * 1_000_000_000
        sent = int(_WEEK_SECONDS * rate)
        for batch in _batches(begin_ns, sent, rate):
            _write(listening, batch)
        waiting = scan(str(rig.outbox_folder))
        print(
            f"a week at {rate:g} points a second: {len(waiting)} files, "
            f"{sum(each.size for each in waiting) / 1e6:.0f} MB, "
            f"{_disk_bytes(rig.outbox_folder) / 1e6:.0f} MB on the disk",
            flush=True,
        )
        rig.relay.set(Mode())
        start = time.monotonic()
        stuck = False
        try:
            until(lambda: not rig.waiting(), _STUCK_SECONDS, _ASK_SECONDS)
        except TimeoutError:
            stuck = True
        seconds = time.monotonic() - start
        stored, total = rig.sum_of("week")
        expected = sent * (sent - 1) // 2
        # Each number has a time of its own, so that the count and the sum hold exactly where each is there once.
        lost = tuple(range(sent - stored)) if stored < sent else ()
        invented = max(0, stored - sent) or int(not lost and total != expected)
        totals = rig.totals()
        account = Account("week", sent, min(stored, sent), 0, lost, 0, invented)
        outcome = Outcome(
            DRAW, (account,), {"week": 0}, totals.get("damaged_points", 0), totals.get("missing_batches", 0), 0,
            seconds, stuck, {}, Verdict(),
        )  # fmt: skip
    shutil.rmtree(folder)
    return outcome


def _batches(begin_ns: int, count: int, rate: float) -> Iterator[bytes]:
    step = int(1e9 / rate)
    # The hub takes points of the device itself alone. Tags and values are as long as those of a Pi's collectors.
    host, chance = os.uname().nodename, random.Random(0)
    points = max(1, int(rate * _FLUSH_SECONDS))
    for start in range(0, count, points):
        lines = []
        for number in range(start, min(start + points, count)):
            values = ",".join(f"value_{place}={chance.random() * 10**place:.3f}" for place in range(7))
            series = f"chaos_week,host={host},site=home,path=/srv/{number % 7},device=mmcblk0p{number % 3}"
            own = f"number={number}i,check={check_of(number)}i"
            lines.append(f"{series} {own},{values} {begin_ns + number * step}\n")
        yield "".join(lines).encode()


def _disk_bytes(folder: Path) -> int:
    """What the files take on the disk."""
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(folder))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _write(path: Path, body: bytes) -> None:
    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(path))

    connection = Connection("outbox", timeout=60)
    try:
        connection.request("POST", "/api/v2/write?org=sensetig&bucket=raw&precision=ns", body=body)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 204:
        raise RuntimeError(f"the outbox answered {status} to a batch of the backlog")
