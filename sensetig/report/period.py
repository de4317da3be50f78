"""The period of a report, its bucket, and the time between two points."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from sensetig.errors import ReportError

_AGO = re.compile(r"(\d+)\s*(m|h|d|w)")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

#: Possible steps for aggregation, in seconds: round intervals up to a week.
_STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400)

#: Approximate number of points that a chart half a screen wide can show.
_POINTS = 340

#: Longer periods are read from the hourly bucket: a chart shows no finer steps anyway.
RAW_DAYS = 14

_EXPECTED = "write it as 2026-11-14, 2026-11-14T08:00, 7d (ago; also m, h, w), today, yesterday or now"


class Period(NamedTuple):
    """From *begin* to *end*, both with their time zone; read from *bucket*, with a point every *step* seconds."""

    begin: datetime
    end: datetime
    bucket: str
    step: int

    @property
    def hourly(self) -> bool:
        return self.bucket == "hourly"

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()

    @property
    def begin_ms(self) -> int:
        return int(self.begin.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        return int(self.end.timestamp() * 1000)

    def before(self) -> Period:
        """The preceding period of the same length."""
        return self._replace(begin=self.begin - (self.end - self.begin), end=self.begin)

    def condition(self) -> str:
        """The InfluxQL condition that limits a query to the period."""
        return f"time >= {self.begin_ms}ms AND time < {self.end_ms}ms"


def moment(text: str, now: datetime) -> datetime:
    """Parse a time, in the time zone of *now*. Raises ValueError with the accepted forms."""
    word = text.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if word in named:
        return named[word]
    if match := _AGO.fullmatch(word):
        try:
            return now - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        except OverflowError:
            raise ValueError(f"{text!r} is before the year 1; {_EXPECTED}") from None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time; {_EXPECTED}") from None
    return found.astimezone(now.tzinfo) if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def period(begin: datetime, end: datetime, now: datetime, *, raw_kept_days: float, bucket: str = "auto") -> Period:
    """The period, and the bucket to read it from.

    Args:
        begin, end: as requested; an end in the future is replaced by now.
        now: the current time.
        raw_kept_days: retention of the bucket ``raw`` in days; 0 is forever.
        bucket: ``raw`` or ``hourly``, or ``auto``: hourly if the period is longer than RAW_DAYS, or begins before the
            retention of ``raw``.

    Raises:
        ReportError: the period is empty, or lies in the future.
    """
    if begin >= end:
        raise ReportError(
            f"the period is empty: it begins on {said(begin)} and ends on {said(end)}; swap --from and --to"
        )
    if begin >= now:
        raise ReportError(f"the period has not begun: --from is {said(begin)}, and it is {said(now)} now")
    end = min(end, now)
    if bucket == "auto":
        gone = raw_kept_days > 0 and begin < now - timedelta(days=raw_kept_days)
        bucket = "hourly" if gone or end - begin > timedelta(days=RAW_DAYS) else "raw"
    rough = (end - begin).total_seconds() / _POINTS
    step = next((each for each in _STEPS if each >= rough), _STEPS[-1])
    return Period(begin, end, bucket, max(step, 3600) if bucket == "hourly" else step)


def said(when: datetime) -> str:
    """A time for people, without its zone."""
    return when.strftime("%Y-%m-%d %H:%M")
