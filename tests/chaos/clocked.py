"""``python -m tests.chaos.clocked FILE MODULE [ARGUMENT …]``: run a module on a machine with a wrong clock.

FILE holds the offset of the wall clock in seconds, and the word ``unsynchronised`` if the kernel should report that
state. FILE.boot records the time of boot. Only Python's ``time`` is affected, the only clock that the project's
programs read.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

import collectors.clock
from collectors.clock import STA_UNSYNC, ClockState


def _state(file: Path) -> tuple[float, bool]:
    """The seconds, and whether the clock is synchronised."""
    try:
        words = file.read_text().split()
    except FileNotFoundError:
        words = []
    return float(words[0]) if words else 0.0, "unsynchronised" not in words


def set_clock(file: Path, seconds: float, *, synchronised: bool = True) -> None:
    """Set the clock of the processes that read this file."""
    part = file.with_suffix(".part")
    part.write_text(f"{seconds} {'' if synchronised else 'unsynchronised'}")
    part.replace(file)


def main() -> None:
    file, module = Path(sys.argv[1]), sys.argv[2]
    true_ns, true_clock = time.time_ns, time.clock_gettime_ns
    boot = Path(f"{file}.boot")
    if not boot.exists():
        boot.write_text(str(true_clock(time.CLOCK_BOOTTIME)))
    booted = int(boot.read_text())

    def time_ns() -> int:
        return true_ns() + int(_state(file)[0] * 1e9)

    def clock_gettime_ns(number: int) -> int:
        return true_clock(number) - (booted if number == time.CLOCK_BOOTTIME else 0)

    def state() -> ClockState:
        return ClockState(0 if _state(file)[1] else STA_UNSYNC, 0, 0)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    time.clock_gettime_ns = clock_gettime_ns
    collectors.clock.kernel = lambda: state
    sys.argv = [module, *sys.argv[3:]]
    sys.path.insert(0, os.getcwd())
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
