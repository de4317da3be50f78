"""Interruptions such as Ctrl-C: raised as KeyboardInterrupt, and deferred during critical steps."""

from __future__ import annotations

import signal


class Interrupts:
    """Turn SIGINT, SIGTERM and SIGHUP into one orderly shutdown of the demo.

    SIGINT is included because a shell may have started the program with SIGINT ignored.
    """

    def __init__(self) -> None:
        self._held = self._ignored = self._came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, *_: object) -> None:
        if self._ignored:
            return
        self._came = True
        if not self._held:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """Defer signals from now on until :meth:`release`."""
        self._held = True

    def release(self) -> None:
        """Raise KeyboardInterrupt if a signal was deferred; from now on, raise it immediately."""
        self._held = False
        if self._came and not self._ignored:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore signals from now on, so that the shutdown completes."""
        self._ignored = True
