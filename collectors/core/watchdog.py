"""End a hung collector: Telegraf restarts a process that ended, but waits for one that does not respond."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

#: Time limit for one batch of a polled collector, or one piece of a processor's input, in seconds.
HANG_SECONDS = 120.0

#: Time limit between two batches of a streaming collector, in seconds: it may wait for a device in between.
STREAM_HANG_SECONDS = 300.0


class Watchdog:
    """Watches one thread's work from another thread.

    Args:
        seconds: time limit of the work.
        on_hang: called once, on the watchdog's thread, with the code location of the hang.
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
        """Start watching."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def busy(self) -> None:
        """Report that work begins."""
        self._since = self._timer()

    def idle(self) -> None:
        """Report that the work has ended, or waits for others."""
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
