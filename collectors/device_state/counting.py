"""Counting in memory, which is the hot path, and its summary for a write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue
from collectors.device_state import model

_NEVER = 2**63

#: Counts of one series: place, times of the oldest and the newest sample, time of the first sample that was newer than
#: all before, number of such samples, duplicates, and the values of the newest sample.
Part = tuple[str, int, int, int, int, int, Mapping[str, FieldValue]]


class Seen(NamedTuple):
    """Counts of one device, taken for a flush.

    Args:
        identities: of its messages, in order of arrival.
        parts: counts of each series.
        status: the last status message.
    """

    identities: Collection[int] = ()
    parts: Sequence[Part] = ()
    status: StatusMessage | None = None


class StatusMessage(NamedTuple):
    """A status message: the number of pending messages when it arrived, whether it reported offline, and its facts."""

    position: int
    gone: bool | None
    about: Mapping[str, str]


class Pending:
    """Messages of one device that are not written yet, shared by its series."""

    __slots__ = ("__weakref__", "changed", "identities", "name", "series")

    def __init__(self, changed: dict[str, Pending], name: str) -> None:
        self.changed = changed
        self.name = name
        self.identities: dict[int, None] = {}
        self.series: list[Device] = []

    def take(self, status: StatusMessage | None) -> Seen:
        """Return the counts and reset them."""
        seen = Seen(self.identities, [series.take() for series in self.series], status)
        self.identities, self.series = {}, []
        return seen


class Device:
    """One series of a device; the next flush writes its counts."""

    __slots__ = ("_pending", "_place", "duplicates", "first_ns", "from_ns", "last_ns", "steps", "values")

    def __init__(self, pending: Pending, place: str) -> None:
        self._pending = pending
        self._place = place
        self.duplicates = self.steps = 0
        self.first_ns, self.from_ns, self.last_ns = _NEVER, 0, -_NEVER
        self.values: Mapping[str, FieldValue] = {}

    def count(self, identity: int, time_ns: int, values: Mapping[str, FieldValue]) -> None:
        """Count a message.

        Args:
            identity: 64 bits, the same for the same message in every process.
            time_ns: time of the sample, nanoseconds since 1970.
            values: the fields; the caller must not change them afterwards.
        """
        pending = self._pending
        identities = pending.identities
        if identity in identities:
            self.duplicates += 1
            return
        if not identities:
            pending.changed[pending.name] = pending
        identities[identity] = None
        if time_ns > self.last_ns:
            if not self.steps:
                pending.series.append(self)
                self.from_ns = self.first_ns = time_ns
            self.steps += 1
            self.last_ns = time_ns
            self.values = values
        elif time_ns < self.first_ns:
            self.first_ns = time_ns

    def take(self) -> Part:
        """Return the counts and reset them."""
        part = (self._place, self.first_ns, self.last_ns, self.from_ns, self.steps, self.duplicates, self.values)
        self.duplicates = self.steps = 0
        self.first_ns, self.from_ns, self.last_ns = _NEVER, 0, -_NEVER
        self.values = {}
        return part


def delta_of(seen: Seen) -> model.Delta:
    """Convert the counts of a device to a change of its state."""
    first_ns, last_ns = _NEVER, -_NEVER
    steps = span_ns = duplicates = 0
    values: dict[str, tuple[int, Mapping[str, FieldValue]]] = {}
    for place, first, last, begin, count, repeated, fields in seen.parts:
        first_ns, last_ns = min(first_ns, first), max(last_ns, last)
        duplicates += repeated
        if count > steps:
            steps, span_ns = count, last - begin
        # Several series may share a place, since host and site do not distinguish sensors.
        if place not in values or last >= values[place][0]:
            values[place] = last, fields
    status = seen.status
    about: Mapping[str, str] = status.about if status else {}
    gone = status.gone if status else None
    if status and status.gone and len(seen.identities) > status.position:
        gone = False  # a message arrived after it
    return model.Delta(tuple(seen.identities), 0, first_ns, last_ns, steps, span_ns, duplicates, values, about, gone)


def joined(old: model.Delta, new: model.Delta) -> model.Delta:
    """Join two deltas of one device."""
    known = set(old.identities)
    fresh = tuple(identity for identity in new.identities if identity not in known)
    if not old.messages:
        first_ns, last_ns = new.first_ns, new.last_ns
    elif not new.messages:
        first_ns, last_ns = old.first_ns, old.last_ns
    else:
        first_ns, last_ns = min(old.first_ns, new.first_ns), max(old.last_ns, new.last_ns)
    livelier = max(old, new, key=lambda delta: delta.steps)
    return model.Delta(
        old.identities + fresh,
        old.unchecked + new.unchecked,
        first_ns,
        last_ns,
        livelier.steps,
        livelier.span_ns,
        old.duplicates + new.duplicates + len(new.identities) - len(fresh),
        {**old.values, **new.values},
        {**old.about, **new.about},
        (None if new.messages and old.gone else old.gone) if new.gone is None else new.gone,
    )
