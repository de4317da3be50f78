"""A collector that cannot start stays, says so once, and tries again at a growing interval.

Telegraf restarts a process that exits, every few seconds and with several lines in its log each time.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.core.stdio import StdinControl

#: Seconds until the second attempt; each further interval is twice the one before, up to the maximum.
FIRST_SECONDS, MAX_SECONDS = 10.0, 600.0

#: How often a collector that nothing asks for batches reports that it is down, in seconds.
REPORT_SECONDS = 60.0


class Backoff:
    """The intervals between attempts.

    Args:
        timer: monotonic seconds.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._seconds = FIRST_SECONDS
        self._started = timer()

    def start(self) -> None:
        """Note the start of an attempt."""
        self._started = self._timer()

    def next(self) -> float:
        """Seconds until the next attempt. One that ran for longer than the maximum begins with the first interval."""
        if self._timer() - self._started > MAX_SECONDS:
            self._seconds = FIRST_SECONDS
        seconds, self._seconds = self._seconds, min(2 * self._seconds, MAX_SECONDS)
        return seconds


def stand_by(requests: StdinControl, seconds: float, report: Callable[[], None], timer: Callable[[], float]) -> bool:
    """Report that the collector is down, for each request and once a minute, until the next attempt is due.

    Args:
        seconds: until the next attempt.
        report: writes one report.
        timer: monotonic seconds.

    Returns True on shutdown.
    """
    due = timer() + seconds
    reported = timer()
    while not requests.stopped and (left := due - timer()) > 0:
        if requests.request(min(left, REPORT_SECONDS)) or timer() - reported >= REPORT_SECONDS:
            report()
            reported = timer()
    return requests.stopped
