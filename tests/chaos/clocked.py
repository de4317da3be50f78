"""``python -m tests.chaos.clocked FILE MODULE [ARGUMENT …]``: run a module whose wall clock is off.

FILE holds the seconds. Only the functions of Python's ``time`` that return the time of day change, which is what the
project's own programs read.
"""

from __future__ import annotations

import os
import runpy
import sys
import time


def main() -> None:
    file, module = sys.argv[1:3]
    true_ns = time.time_ns

    def time_ns() -> int:
        try:
            with open(file) as content:
                seconds = float(content.read() or 0)
        except FileNotFoundError:
            seconds = 0.0
        return true_ns() + int(seconds * 1e9)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    sys.argv = [module, *sys.argv[3:]]
    sys.path.insert(0, os.getcwd())
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
