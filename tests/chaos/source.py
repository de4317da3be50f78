"""A source of numbered samples: ``source.py KIND LEDGER RATE CONTROL [SPOOL]``.

``execd`` prints line protocol for Telegraf, ``spool`` writes it to a spool. Each sample is noted in the ledger before
it is written and again afterwards. In the folder CONTROL a file ``stop`` pauses it, and a file ``clock`` holds seconds
that its clock is off.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.account import check_of, read_ledger


def line(measurement: str, number: int, time_ns: int) -> bytes:
    """A sample as line protocol, with a quoted text as real collectors write them."""
    return f'{measurement} number={number}i,check={check_of(number)}i,note="a, b c" {time_ns}\n'.encode()


def _print(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _spool(folder: str) -> Callable[[bytes], None]:
    from collectors.spool.writer import Writer

    return Writer(
        folder,
        events=(),
        max_bytes=64 * 1024 * 1024,
        sync_seconds=60.0,
        complain=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        timer=time.monotonic,
    ).append


def main(kind: str, ledger: str, rate: str, control: str, spool: str = "") -> None:
    """Write samples until the reader is gone."""
    write = _print if kind == "execd" else _spool(spool)
    number = max(read_ledger(Path(ledger)).begun, default=-1) + 1
    notes = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    folder = Path(control)
    while True:
        if not (folder / "stop").exists():
            offset = folder / "clock"
            seconds = float(offset.read_text().split()[0]) if offset.exists() else 0.0
            os.write(notes, b"b %d\n" % number)
            write(line(f"chaos_{kind}", number, time.time_ns() + int(seconds * 1e9)))
            os.write(notes, b"d %d\n" % number)
            number += 1
        time.sleep(1 / float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
