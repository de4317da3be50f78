"""Times of a recording: ISO 8601 in a time zone, or a number since 1970, in seconds or a unit that its length shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
#: Seconds, milliseconds, microseconds or nanoseconds since 1970.
_NUMBER = re.compile(r"\d{9,13}(\.\d{1,9})?|\d{16}|\d{19}")

#: Rows that are at least this far apart, in nanoseconds, do not have one time by chance.
_APART_NS = 60_000_000_000


def parse_zone(text: str) -> tzinfo:
    """A time zone: ``UTC``, an offset such as ``+02:00``, or a name such as ``Europe/Berlin``. Raises ValueError."""
    if text.upper() in ("", "UTC", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(text)
    if offset and int(offset[2]) < 24 and int(offset[3]) < 60:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"expected a time zone such as Europe/Berlin, UTC or +02:00, got {text[:40]!r}") from None


class TimeParser:
    """Parses consecutive times.

    An hour in autumn occurs twice on a local clock. A time in it is the first one, unless that lies before the previous
    time, or equals that of the previous row although rows are a minute apart or more.

    Args:
        zone: the time zone of times without an offset.
        form: a format of strptime instead of ISO 8601, or None.
    """

    def __init__(self, zone: tzinfo = UTC, form: str | None = None) -> None:
        self._zone = zone
        self._form = form
        self._last_ns: int | None = None
        self._step_ns = 0

    def parse(self, name: str, text: str) -> int:
        """Nanoseconds since 1970. Raises ValueError with the expected form."""
        time_ns = self._parse(name, text)
        if self._last_ns is not None:
            self._step_ns = time_ns - self._last_ns
        self._last_ns = time_ns
        return time_ns

    def _parse(self, name: str, text: str) -> int:
        if self._form is None and _NUMBER.fullmatch(text):
            whole, _, fraction = text.partition(".")
            if len(whole) >= 16:
                return int(whole.ljust(19, "0"))
            if len(whole) <= 11:
                return int(whole) * 1_000_000_000 + int(fraction.ljust(9, "0"))
            return int(whole) * 1_000_000 + int(fraction.ljust(6, "0")[:6])
        try:
            if self._form is None:
                moment = datetime.fromisoformat(text.removesuffix("UTC").removesuffix("GMT").rstrip())
            else:
                moment = datetime.strptime(text, self._form)
            if moment.tzinfo is not None:
                return _since_epoch(moment)
            zone = UTC if self._form is None and text.endswith(("UTC", "GMT")) else self._zone
            first = _since_epoch(moment.replace(tzinfo=zone, fold=0))
            second = _since_epoch(moment.replace(tzinfo=zone, fold=1))
        except (ValueError, OverflowError):
            example = "2015-08-20 23:58:30" if self._form is None else f"the format {self._form}"
            raise ValueError(f"{name}: expected a time such as {example}, got {text[:40]!r}") from None
        if self._last_ns is None or first >= second:
            return first
        repeated = first == self._last_ns and self._step_ns >= _APART_NS
        return second if first < self._last_ns or repeated else first


def parse_time(name: str, text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time, UTC by default. Raises ValueError."""
    return TimeParser().parse(name, text)


def _since_epoch(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
