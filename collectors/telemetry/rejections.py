"""Rejected values as lines of ``telemetry_rejected``, each a separate point."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.telemetry.measurements import REJECTED

#: Tags that the point copies from the rejected line, in addition to the device.
_KEPT_TAGS = ("host", "site", "simulated", "replayed")

#: Maximum length of a text.
_MAX_TEXT = 200

#: Maximum number of remembered rejections.
_MAX_CACHED = 8192

#: Maximum number of points whose times are remembered, so that each point of a series has a different time.
_MAX_TIMES = 8192


#: Maximum number of names per device within the total limit, so that other devices get some.
_MAX_OF_ONE = 16


class NameLimit:
    """Limits the number of names; further names become ``other``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._of: dict[str, int] = {}

    def name(self, text: str, device: str = "") -> str:
        """The name itself, or ``other``.

        Args:
            device: the device whose name it is, if any.
        """
        if text not in self._known:
            if len(self._known) >= self._most or (device and self._of.get(device, 0) >= _MAX_OF_ONE):
                return "other"
            self._known.add(text)
            if device:
                self._of[device] = self._of.get(device, 0) + 1
        return text


class RejectionCache:
    """Remembers rejections that depend on earlier readings, so that a redelivered reading is rejected again.

    By then the earlier readings may be forgotten. Some thousands of the latest rejections are kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, int], tuple[FieldValue, str]] = {}
        self._before: dict[tuple[int, str, int], tuple[FieldValue, str]] = {}

    def keep(self, place: tuple[int, str, int], value: FieldValue, reason: str) -> None:
        """Store a rejection.

        Args:
            place: the identity of the series, the field, and the time.
        """
        if len(self._known) >= _MAX_CACHED:
            self._before, self._known = self._known, {}
        self._known[place] = value, reason

    def get(self, place: tuple[int, str, int], value: FieldValue) -> str | None:
        """The reason why this value was rejected; None if it was not, or is no longer known."""
        known, reason = self._known.get(place) or self._before.get(place) or (None, None)
        return reason if known == value else None


class Rejections:
    """Creates a line for each rejection, and counts them.

    InfluxDB merges points of a series with the same time, which would lose a count, so the second one gets the next
    free nanosecond.

    Args:
        tags: default ``host`` and ``site``.
        max_names: limit of distinct topics, of measurements of rejected messages, and of distinct unknown devices.
    """

    def __init__(self, tags: Mapping[str, str], max_names: int) -> None:
        self.count = 0
        self.topics = NameLimit(max_names)
        self.measurements = NameLimit(max_names)
        self.unknown_devices = NameLimit(max_names)
        self._tags = dict(tags)
        self._free: dict[tuple[str, int], int] = {}
        self._free_before: dict[tuple[str, int], int] = {}

    def line(
        self,
        reason: str,
        time_ns: int,
        *,
        tags: Mapping[str, str] | None = None,
        device: str = "",
        measurement: str = "",
        field: str = "",
        topic: str = "",
        value: FieldValue | None = None,
        text: str = "",
        count: int = 1,
        exact: bool = False,
    ) -> str:
        """One line for one or more rejections.

        Args:
            tags: tags of the rejected line; some are copied.
            value: the rejected value, stored as a number or a text.
            text: one sentence.
            count: number of rejected values.
            exact: whether the time is unique to this rejection, and the same for a redelivery.
        """
        self.count += count
        own = {name: tags[name] for name in _KEPT_TAGS if name in tags} if tags else {}
        named = {"device": device, "measurement": measurement, "field": field, "reason": reason, "topic": topic}
        series = Series(REJECTED.name, {**self._tags, **own, **named})
        fields: dict[str, FieldValue] = {"count": count}
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1.7e308:
            fields["value"] = float(value)
        elif value is not None:
            text = text or str(value)
        if text:
            fields["text"] = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
        return encode(Metric(series, fields, time_ns if exact else self._free_time(series.prefix, time_ns)))

    def _free_time(self, prefix: str, time_ns: int) -> int:
        asked = time_ns
        while (after := self._free.get((prefix, time_ns), self._free_before.get((prefix, time_ns)))) is not None:
            time_ns = after
        if len(self._free) >= _MAX_TIMES:
            self._free_before, self._free = self._free, {}
        self._free[prefix, asked] = self._free[prefix, time_ns] = time_ns + 1
        return time_ns
