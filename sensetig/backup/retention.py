"""Retention of backups: the last of each of a number of days, weeks and months."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple


class Keep(NamedTuple):
    """Number of backups to keep; a day, week or month without a backup does not count.

    Args:
        daily: days.
        weekly: weeks, which begin on Monday.
        monthly: months.
    """

    daily: int = 7
    weekly: int = 4
    monthly: int = 6


def kept(times: Iterable[datetime], keep: Keep) -> set[datetime]:
    """The times of the backups to keep, always including the newest.

    >>> sorted(each.day for each in kept([datetime(2026, 11, day) for day in range(1, 22)], Keep(3, 2, 1)))
    [15, 19, 20, 21]
    """
    newest_first = sorted(times, reverse=True)
    stay = set(newest_first[:1])
    for count, period in (
        (keep.daily, lambda time: time.date()),
        (keep.weekly, lambda time: time.isocalendar()[:2]),
        (keep.monthly, lambda time: (time.year, time.month)),
    ):
        stay |= _last_of_each(newest_first, period, count)
    return stay


def _last_of_each(newest_first: list[datetime], period: Callable[[datetime], object], count: int) -> set[datetime]:
    last: dict[object, datetime] = {}
    for time in newest_first:
        last.setdefault(period(time), time)
    return set(list(last.values())[:count])
