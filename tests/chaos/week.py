"""An outage of a simulated week: the backlog of a week waits in the outbox, and then the hub is back."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from collectors.outbox import Waiting, scan
from sensetig.outbox.batch import Destination, encode
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
        rate: points a second of the simulated week.
    """
    with running(DRAW, programs, folder, "10s", images=False) as rig:
        rig.relay.set(DRAW.faults[0].mode)
        outbox = rig.services["outbox"]
        until(lambda: rig.waiting() > 0, 120)
        outbox.kill()
        begin_ns = time.time_ns() - _WEEK_SECONDS * 1_000_000_000
        sent = int(_WEEK_SECONDS * rate)
        _fill(rig.outbox_folder, _batches(begin_ns, sent, rate))
        waiting = scan(str(rig.outbox_folder))
        print(
            f"a week at {rate:g} points a second: {len(waiting)} files, "
            f"{sum(each.size for each in waiting) / 1e6:.0f} MB, "
            f"{_disk_bytes(rig.outbox_folder) / 1e6:.0f} MB on the disk",
            flush=True,
        )
        outbox.start()
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
        # Each number has a distinct time, so the count and the sum match exactly if each is stored once.
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


def _batches(begin_ns: int, count: int, rate: float) -> Iterator[list[bytes]]:
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
            lines.append(f"{series} {own},{values} {begin_ns + number * step}".encode())
        yield lines


def _disk_bytes(folder: Path) -> int:
    """The disk space that the files use, in bytes."""
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(folder))


def _fill(folder: Path, batches: Iterable[list[bytes]]) -> None:
    """Write the files that the outbox would have written over the week, without syncing each."""
    first = max(each.number for each in scan(str(folder))) + 1
    for number, lines in enumerate(batches, first):
        content = encode(Destination("sensetig", "raw"), lines)
        name = Waiting(number, len(lines), time.time_ns(), len(content)).name
        (folder / name).write_bytes(content)
