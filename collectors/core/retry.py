"""Retry a collector that cannot start at a growing interval, with one log line.

Telegraf would restart a process that exits every few seconds, with several log lines each time.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.core.stdio import StdinControl

#: Seconds until the second attempt, and the maximum; each interval is twice the previous one.
FIRST_SECONDS, MAX_SECONDS = 10.0, 600.0

#: Seconds between reports that the collector is down if Telegraf sends no requests.
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
        """Seconds until the next attempt. After a run longer than the maximum, it is the first interval again."""
        if self._timer() - self._started > MAX_SECONDS:
            self._seconds = FIRST_SECONDS
        seconds, self._seconds = self._seconds, min(2 * self._seconds, MAX_SECONDS)
        return seconds


def stand_by(requests: StdinControl, seconds: float, report: Callable[[], None], timer: Callable[[], float]) -> bool:
    """Report the collector as down, for each request and once a minute, until the next attempt is due.

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
