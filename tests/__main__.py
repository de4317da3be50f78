"""``python -m tests [ARGUMENT ...]``: run the tests with two calls of pytest, which both get the arguments.

The first runs in as many processes as there are cores, up to four; the second runs the tests marked ``serial`` in one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

#: A later ``-n 0`` among the arguments runs the first call in one process, as a debugger needs it.
PARALLEL = (
    "--serial=without",
    "--numprocesses=logical",
    "--maxprocesses=4",
    "--dist=loadgroup",
    "--no-loadscope-reorder",
)
SERIAL = ("--serial=only",)


def main(arguments: Sequence[str]) -> int:
    """Return 0 if both calls passed, or the status of the first that failed; a call without a test does not count."""
    pytest = (sys.executable, "-m", "pytest")
    statuses = {
        "parallel": subprocess.call([*pytest, *PARALLEL, *arguments]),
        "serial": subprocess.call([*pytest, *SERIAL, *arguments]),
    }
    words = {0: "passed", 5: "no tests"}
    print("tests:", ", ".join(f"{name} {words.get(status, 'FAILED')}" for name, status in statuses.items()))
    failed = [status for status in statuses.values() if status not in words]
    return failed[0] if failed else min(statuses.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
