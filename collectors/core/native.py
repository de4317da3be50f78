"""Safe process exit while threads are inside a C++ library, for example one that opens a stream.

A thread that returns from a library to an interpreter during shutdown is terminated there; in C++ that aborts the whole
process ("terminate called without an active exception"). Waiting for it could take as long as its timeout.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


class NativeThread(threading.Thread):
    """A daemon thread whose target may be inside a C++ library at any time."""

    def __init__(self, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)


def leave(status: int) -> None:
    """End the process at once if such a thread is alive, so that it cannot return; all work must be finished."""
    if any(isinstance(thread, NativeThread) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(status)
