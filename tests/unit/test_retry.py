"""The intervals at which a collector that cannot start tries again, and its reports in between."""

from __future__ import annotations

from collectors.core import retry
from collectors.core.retry import MAX_SECONDS, REPORT_SECONDS, Backoff, stand_by


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Requests:
    """StdinControl for which waiting moves the clock; lines come at some seconds, and shutdown at another."""

    def __init__(self, clock: Clock, lines: tuple[float, ...] = (), end: float = 1e9) -> None:
        self._clock = clock
        self._lines = list(lines)
        self._end = end
        self.stopped = False

    def request(self, seconds: float) -> bool:
        until = self._clock.now + seconds
        if self._lines and self._lines[0] <= until:
            self._clock.now = self._lines.pop(0)
            return True
        self._clock.now = min(until, self._end)
        self.stopped = self._clock.now >= self._end
        return False


def test_each_interval_is_twice_the_one_before_up_to_ten_minutes() -> None:
    backoff = Backoff(Clock())
    assert [backoff.next() for _ in range(9)] == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_an_attempt_that_ran_for_long_begins_with_the_first_interval_again() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for _ in range(5):
        backoff.next()
    backoff.start()
    clock.now += MAX_SECONDS
    assert backoff.next() == 320
    backoff.start()
    clock.now += MAX_SECONDS + 1
    assert backoff.next() == retry.FIRST_SECONDS


def reported(requests: Requests, clock: Clock, seconds: float) -> tuple[bool, list[float]]:
    times: list[float] = []
    ended = stand_by(requests, seconds, lambda: times.append(clock.now), clock)  # type: ignore[arg-type]
    return ended, times


def test_each_request_is_answered_with_a_report_until_the_next_attempt() -> None:
    clock = Clock()
    assert reported(Requests(clock, (1.0, 11.0, 21.0)), clock, 20.0) == (False, [1.0, 11.0])


def test_a_collector_that_is_not_asked_reports_once_a_minute() -> None:
    clock = Clock()
    assert reported(Requests(clock), clock, 150.0) == (False, [REPORT_SECONDS, 2 * REPORT_SECONDS])


def test_shutdown_ends_the_wait() -> None:
    clock = Clock()
    assert reported(Requests(clock, (), 70.0), clock, 600.0) == (True, [60.0])
