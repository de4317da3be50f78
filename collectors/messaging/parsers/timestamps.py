"""Timestamps in the formats of devices, converted to nanoseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from collectors.core.line_protocol import MAX_TIME_NS, MIN_TIME_NS
from collectors.messaging.parsers.results import PayloadError

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}+)\d{0,32}+)?+ ?([Zz]|[+-]\d\d:?\d\d)?\Z", re.ASCII
)
#: A local date, time or both in any country's order, or the time since a program's start (rtl_433: ``@0.123456s``).
_LOCAL = re.compile(
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}[ T,]{1,2})?\d{1,2}[:.]\d\d(?:[:.]\d\d(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?"
    r"|@\d{1,12}(?:\.\d{1,12})?s",
    re.ASCII,
)
_NUMBER = re.compile(r"(-?\d{1,20}+)(\.\d{0,20}+)?\Z", re.ASCII)
_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)

#: Maximum number of characters of a time.
_MAX_TEXT = 80

#: The unit of a number by its size; larger numbers are nanoseconds. Seconds reach to the year 5138, and smaller units
#: go back to 1973.
_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 1e11, 1e14, 1e17


def read_time(value: object) -> int | None:
    """Nanoseconds since 1970 of a date and time with a zone, or of a number whose size determines its unit.

    The number may be quoted. A fractional number is rounded to microseconds, a double's precision for present times.

    >>> read_time("1970-01-01T01:00:00.5+01:00")
    500000000
    >>> read_time(1_800_000_000) == read_time(1_800_000_000_000) == read_time("1800000000000000000")
    True

    Returns:
        None for a local time without a zone, or a time without a date, which cannot be converted.

    Raises:
        PayloadError: the value is neither, or outside the range of InfluxDB.
    """
    nanoseconds: int | None = None
    if isinstance(value, str):
        text = value.strip() if len(value) <= _MAX_TEXT else ""
        spelled = _NUMBER.match(text)
        if spelled is not None:
            nanoseconds = _of_number(float(text) if spelled[2] else int(text))
        elif (written := _RFC3339.match(text)) is not None:
            nanoseconds = _of_text(written)
            if nanoseconds is not None and written[4] is None:
                return None
        elif _LOCAL.fullmatch(text) is not None:
            return None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        nanoseconds = _of_number(value)
    if nanoseconds is None or not MIN_TIME_NS <= nanoseconds <= MAX_TIME_NS:
        raise PayloadError(
            "unreadable_time",
            f"the time {str(value)[:80]!r} is neither RFC 3339 with its zone (2026-11-21T10:00:00Z) nor a number of "
            "seconds, milliseconds, microseconds or nanoseconds since 1970",
        )
    return nanoseconds


def _of_text(match: re.Match[str]) -> int | None:
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone is None or zone in 'Zz' else zone}")
    except ValueError:
        return None
    return (moment - _EPOCH) // _SECOND * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def _of_number(number: float) -> int | None:
    size = abs(number)
    if size < _SECONDS_BELOW:
        factor = 1_000_000_000
    elif size < _MILLISECONDS_BELOW:
        factor = 1_000_000
    elif size < _MICROSECONDS_BELOW:
        factor = 1000
    else:
        factor = 1
    if isinstance(number, int):
        return number * factor
    if number - number != 0.0:  # NaN or infinite
        return None
    return round(number * (factor // 1000)) * 1000 if factor >= 1000 else int(number)
