"""Flush in a thread, so that neither merging nor a slow store delays a line for longer than Python takes to switch
threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from collectors.core.line_protocol import Metric
from collectors.device_state.counting import Device
from collectors.device_state.tracker import Tracker

#: Maximum number of lines returned at once; a reader of 20,000 lines a second needs a twentieth of a second for them.
TOLD_TOGETHER = 1000

#: If a flush is under way and memory holds this many times the setting's messages, lines wait for the flush.
MAX_BACKLOG_FACTOR = 4

#: Maximum wait for the store at the end, in seconds; Telegraf sends SIGTERM after five, and SIGKILL after ten.
END_SECONDS = 4.0


class Background:
    """Flushes a tracker in a thread.

    Args:
        tracker: flushed only by this object.
        most: messages in memory, see :class:`~collectors.device_state.tracker.Limits`.
        said: queue of error messages of the tracker and its store, filled from any thread.
        complain: receives these messages, on the caller's thread.
        spell: encodes a metric as a line, in any thread.
        timer: monotonic seconds.
        clock_ns: wall clock, nanoseconds since 1970.
    """

    def __init__(
        self,
        tracker: Tracker,
        most: int,
        said: deque[str],
        complain: Callable[[str], None],
        spell: Callable[[Metric], str],
        timer: Callable[[], float],
        clock_ns: Callable[[], int],
    ) -> None:
        self._tracker = tracker
        self._most = most * MAX_BACKLOG_FACTOR
        self._said = said
        self._complain = complain
        self._spell = spell
        self._timer = timer
        self._clock_ns = clock_ns
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._lines: deque[str] = deque()
        self.device: Callable[[str, str], Device] = tracker.device
        self.status = tracker.status

    def tell(self) -> list[str]:
        """Return the lines of finished flushes, up to a maximum, and start a flush if one is due."""
        if self._thread is not None and (not self._thread.is_alive() or self._tracker.waiting >= self._most):
            self._join(None)
        if self._thread is None and self._tracker.due(self._timer()):
            self._begin(self._tracker.flush)
        self._pass_on()
        return [self._lines.popleft() for _ in range(min(len(self._lines), TOLD_TOGETHER))]

    def close(self) -> list[str]:
        """Flush for the last time, within a bounded time, and return all remaining lines."""
        deadline = self._timer() + END_SECONDS
        if self._join(END_SECONDS):
            self._begin(self._last)
        unfinished = not self._join(max(0.0, deadline - self._timer()))
        self._pass_on()
        lines, self._lines = list(self._lines), deque()
        if unfinished:
            messages, devices = self._tracker.unwritten
            self._complain(
                f"the store of the device states has not taken the last of them within {END_SECONDS:g} s; {messages} "
                f"messages of {devices} devices may end uncounted"
            )
            lines.append(self._spell(self._tracker.report(self._clock_ns())))
        return lines

    def _last(self, now_ns: int, taken: object) -> Sequence[Metric]:
        del now_ns
        return self._tracker.close(taken)  # type: ignore[arg-type]  # what take() gave

    def _begin(self, flush: Callable[..., Sequence[Metric]]) -> None:
        now_ns, taken = self._clock_ns(), self._tracker.take()

        def run() -> None:
            try:
                for metric in flush(now_ns, taken):
                    line = self._spell(metric)
                    if line:
                        self._lines.append(line)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the thread is waited for
                self._error = error

        self._thread = threading.Thread(target=run, name="flush", daemon=True)
        self._thread.start()

    def _join(self, seconds: float | None) -> bool:
        """Wait for the flush under way and return whether it has ended. Raises the exception that ended it."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def _pass_on(self) -> None:
        while self._said:
            self._complain(self._said.popleft())
