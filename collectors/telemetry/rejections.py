"""What was refused, as lines of ``telemetry_rejected`` that never fall together into one point."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.telemetry.measurements import REJECTED

#: Tags of the refused line that its point takes over, besides the device.
_KEPT_TAGS = ("host", "site", "simulated", "replayed")

#: Characters of a text that are kept.
_MAX_TEXT = 200

#: Readings whose refusal is remembered.
_MAX_CACHED = 8192

#: Points whose times are remembered, so that another of the same series gets one of its own.
_MAX_TIMES = 8192


class NameLimit:
    """Tells the first so many names apart; any further one is called ``other``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def name(self, text: str) -> str:
        """The name itself, or ``other``."""
        if text not in self._known:
            if len(self._known) >= self._most:
                return "other"
            self._known.add(text)
        return text


class RejectionCache:
    """Why the readings before of a series and field refused one, so that it is refused again when it comes again.

    By then others may have come, and nothing else would tell that they had spoken against it. Of the newest
    refusals some thousands are remembered.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, int], tuple[FieldValue, str]] = {}
        self._before: dict[tuple[int, str, int], tuple[FieldValue, str]] = {}

    def keep(self, place: tuple[int, str, int], value: FieldValue, reason: str) -> None:
        """Remember a refusal.

        Args:
            place: the identity of its series, the field, and its time.
        """
        if len(self._known) >= _MAX_CACHED:
            self._before, self._known = self._known, {}
        self._known[place] = value, reason

    def of(self, place: tuple[int, str, int], value: FieldValue) -> str | None:
        """Why this value was refused at this place; None where that is not known."""
        known, reason = self._known.get(place) or self._before.get(place) or (None, None)
        return reason if known == value else None


class Rejections:
    """Makes a line of each thing that is refused, and counts them.

    Two points of the same series at the same time would be one to InfluxDB, and a count would be lost: the second gets
    the next nanosecond that is free.

    Args:
        tags: ``host`` and ``site`` for what has none of its own.
        most_names: topics that are told apart, and as many unknown devices.
    """

    def __init__(self, tags: Mapping[str, str], most_names: int) -> None:
        self.count = 0
        self.topics = NameLimit(most_names)
        self.strangers = NameLimit(most_names)
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
    ) -> str:
        """One line of line protocol.

        Args:
            tags: those of the refused line, from which some are taken over.
            value: what was refused, kept as a number or as a text.
            text: a sentence about it.
        """
        self.count += 1
        own = {name: tags[name] for name in _KEPT_TAGS if name in tags} if tags else {}
        named = {"device": device, "measurement": measurement, "field": field, "reason": reason, "topic": topic}
        series = Series(REJECTED.name, {**self._tags, **own, **named})
        fields: dict[str, FieldValue] = {"count": 1}
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1.7e308:
            fields["value"] = float(value)
        elif value is not None:
            text = text or str(value)
        if text:
            fields["text"] = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
        return encode(Metric(series, fields, self._free_time(series.prefix, time_ns)))

    def _free_time(self, prefix: str, time_ns: int) -> int:
        asked = time_ns
        while (after := self._free.get((prefix, time_ns), self._free_before.get((prefix, time_ns)))) is not None:
            time_ns = after
        if len(self._free) >= _MAX_TIMES:
            self._free_before, self._free = self._free, {}
        self._free[prefix, asked] = self._free[prefix, time_ns] = time_ns + 1
        return time_ns
