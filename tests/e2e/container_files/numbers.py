"""A numbered source: writes ``account,source=numbers n=1i``, ``n=2i`` and so on to a spool, until SIGTERM.

The file ``last`` has the last number that was written. The time of a point follows from its number, so that a point
which is written twice stays one point.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

from collectors.core.files import write_atomic
from collectors.spool.writer import Writer

#: Between the times of two numbers, in nanoseconds. The file ``begin`` has the time of number 0.
STEP_NS = 1_000_000

PAUSE_SECONDS = 0.02


def main(folder: Path) -> None:
    """Write until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    begin_file, last_file = folder / "begin", folder / "last"
    if not begin_file.exists():
        write_atomic(begin_file, f"{time.time_ns()}\n")
    begin = int(begin_file.read_text())
    number = int(last_file.read_text()) if last_file.exists() else 0
    spool = Writer(
        str(folder / "spool"),
        events=(),
        max_bytes=64 * 1024 * 1024,
        sync_seconds=60,
        complain=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        timer=time.monotonic,
    )
    while not ended.wait(PAUSE_SECONDS):
        number += 1
        spool.append(f"account,source=numbers n={number}i {begin + number * STEP_NS}\n".encode())
        write_atomic(last_file, f"{number}\n", durable=False)
    spool.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
