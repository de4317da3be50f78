"""``python -m tests [ARGUMENT ...]``: run the tests with two calls of pytest, which both get the arguments.

The first runs in as many processes as there are cores, up to four; the second runs the tests marked ``serial`` in one.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

#: A later ``-n 0`` among the arguments runs the first call in one process, as a debugger needs it.
PARALLEL = (
    "--serial=without",
    "--numprocesses=logical",
    "--maxprocesses=4",
    "--dist=loadfile",
    "--no-loadscope-reorder",
)
SERIAL = ("--serial=only",)

_WORDS = {0: "passed", 5: "no tests"}


def main(arguments: Sequence[str]) -> int:
    """Return 0 if both calls passed, or the status of the first that failed; a call without a test does not count."""
    interrupts: list[int] = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        del frame
        interrupts.append(number)

    # Ctrl-C reaches pytest, too; it must have the time to stop the engines.
    before = signal.signal(signal.SIGINT, interrupted)
    statuses: dict[str, int] = {}
    try:
        for name, options in {"parallel": PARALLEL, "serial": SERIAL}.items():
            if not interrupts:
                statuses[name] = subprocess.call([sys.executable, "-m", "pytest", *options, *arguments])
    finally:
        signal.signal(signal.SIGINT, before)
    print("tests:", ", ".join(f"{name} {_WORDS.get(status, 'FAILED')}" for name, status in statuses.items()))
    failed = [status for status in statuses.values() if status not in _WORDS]
    return failed[0] if failed else min(statuses.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
