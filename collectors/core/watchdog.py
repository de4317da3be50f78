"""Ends a collector that hangs: Telegraf restarts a process that ended, and waits for one that does not answer."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

#: Seconds that one batch of a polled collector, or one piece of a processor's input, may take.
HANG_SECONDS = 120.0

#: Seconds that a streaming collector may take between two batches: it may wait for a device in between.
STREAM_HANG_SECONDS = 300.0


class Watchdog:
    """Watches one thread's work from another thread.

    Args:
        seconds: that the work may take.
        on_hang: called once, on the watching thread, with the place where the work hangs.
        timer: monotonic seconds.
    """

    def __init__(
        self, seconds: float, on_hang: Callable[[str], None], timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._on_hang = on_hang
        self._timer = timer
        self._since: float | None = None
        self._worker = threading.get_ident()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def busy(self) -> None:
        """The work begins."""
        self._since = self._timer()

    def idle(self) -> None:
        """The work has ended, or waits for others."""
        self._since = None

    def check(self) -> bool:
        """Whether the work hangs."""
        since = self._since
        return since is not None and self._timer() - since > self._seconds

    def _run(self) -> None:
        while not self.check():
            time.sleep(self._seconds / 10)
        self._on_hang(self._place())

    def _place(self) -> str:
        frame = sys._current_frames().get(self._worker)
        return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
