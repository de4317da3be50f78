"""When motion is detected: days and hours of this machine's time zone, parsed from text.

``mon-fri 18:00-07:00; sat,sun`` is from each evening of Monday to Friday until the next morning, and the whole weekend.
Hours are those that clocks show: when they are put forward or back, a period is shorter or longer by an hour.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from collectors.core.api import Unavailable

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})", re.ASCII)
_DAY_MINUTES = 24 * 60
_EXAMPLE = "write it as mon-fri 18:00-07:00; sat,sun"


class Period(NamedTuple):
    """Hours of some days.

    Args:
        days: on which it begins, 0 for Monday.
        start: minutes after midnight.
        end: minutes after midnight, more than a day's if it lasts until the next day.
    """

    days: frozenset[int]
    start: int
    end: int


class Schedule:
    """Whether a time lies within one of its periods; always, if it has none.

    Args:
        periods: the periods.
        local: the local time of a time in seconds since 1970.
    """

    def __init__(
        self, periods: tuple[Period, ...] = (), local: Callable[[float], time.struct_time] = time.localtime
    ) -> None:
        self._periods = periods
        self._local = local
        self._minute: int | None = None
        self._active = True

    def active(self, time_ns: int) -> bool:
        """Whether motion is detected at this wall clock, nanoseconds since 1970."""
        if not self._periods:
            return True
        minute = time_ns // 60_000_000_000
        if minute != self._minute:
            self._minute = minute
            now = self._local(minute * 60)
            self._active = any(
                now.tm_wday - later in each.days or now.tm_wday - later + 7 in each.days
                for later in (0, 1)
                for each in self._periods
                if each.start <= now.tm_hour * 60 + now.tm_min + later * _DAY_MINUTES < each.end
            )
        return self._active


def parse_schedule(text: str) -> tuple[Period, ...]:
    """Parse periods. Raises Unavailable, with the reason, for invalid text.

    >>> [(sorted(days), start, end) for days, start, end in parse_schedule("mon-wed 18:00-07:00; sun")]
    [([0, 1, 2], 1080, 1860), ([6], 0, 1440)]
    >>> parse_schedule("")
    ()
    """
    return tuple(_period(part.strip()) for part in text.split(";") if part.strip())


def _period(text: str) -> Period:
    words = text.lower().split()
    hours = words.pop() if words and ":" in words[-1] else ""
    days = frozenset(range(7)) if not words else _days("".join(words), text)
    if not hours:
        return Period(days, 0, _DAY_MINUTES)
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise Unavailable(f"the schedule {text!r} has {hours!r} instead of hours; {_EXAMPLE}")
    start, end = (int(found[at]) * 60 + int(found[at + 1]) for at in (1, 3))
    if max(start, end) > _DAY_MINUTES or int(found[2]) > 59 or int(found[4]) > 59 or start == _DAY_MINUTES:
        raise Unavailable(f"the schedule {text!r} has hours outside of a day, which lasts from 00:00 to 24:00")
    if start == end:
        raise Unavailable(
            f"the schedule {text!r} begins and ends at the same time; leave the hours out for a whole day"
        )
    return Period(days, start, end if end > start else end + _DAY_MINUTES)


def _days(text: str, shown: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first[:3] not in _DAYS or (dash and last[:3] not in _DAYS):
            raise Unavailable(f"the schedule {shown!r} has {part!r} instead of a day; {_EXAMPLE}")
        begin = _DAYS.index(first[:3])
        end = _DAYS.index(last[:3]) if dash else begin
        days.update(day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))
    return frozenset(days)
