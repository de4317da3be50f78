"""The status of the pipeline as one colour."""

from __future__ import annotations

import re
from datetime import time
from enum import Enum

from collectors.sensehat.led.rendering import NAMES, Pixel, dimmed

#: A broker that is away for longer is more than a passing fault.
AWAY_SECONDS = 60.0

#: Brightness of the corner: visible in a dark room without lighting it.
_BRIGHTNESS = 0.15

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Health(Enum):
    """The status in the corner of the matrix."""

    GOOD = "green"
    TROUBLE = "amber"
    BAD = "red"

    @property
    def pixel(self) -> Pixel:
        """The colour of the corner."""
        return dimmed(NAMES[self.value], _BRIGHTNESS)


def health(away_seconds: float | None, queue_share: float, refused: int) -> Health:
    """The status of the pipeline as the agent sees it.

    Args:
        away_seconds: how long the broker has been away; None while connected.
        queue_share: how full the queue of lines is, 0 to 1.
        refused: lines that the broker refused, or that could not be sent, since the last status.
    """
    if queue_share >= 1 or (away_seconds is not None and away_seconds >= AWAY_SECONDS):
        return Health.BAD
    if away_seconds is not None or queue_share >= 0.5 or refused:
        return Health.TROUBLE
    return Health.GOOD


def hours(text: str) -> tuple[time, time] | None:
    """Parse hours such as ``22:00-07:00``; None for an empty text. Raises ValueError for another text."""
    if not text:
        return None
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(text)
    first, second, third, fourth = map(int, found.groups())
    return time(first, second), time(third, fourth)


def within(now: time, span: tuple[time, time] | None) -> bool:
    """Whether a time of day is within the hours, which may span midnight; the end is excluded.

    >>> night = hours("22:00-07:00")
    >>> within(time(23), night), within(time(7), night), within(time(12), night)
    (True, False, False)
    """
    if span is None:
        return False
    begin, end = span
    return begin <= now < end if begin <= end else now >= begin or now < end
