"""What is counted in memory: the hot path, and how it adds up to what is written."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.metric import FieldValue
from collectors.telemetry.state import model

_NEVER = 2**63


class Device:
    """One series of a device; what it counts is written with the next flush."""

    __slots__ = ("_pending", "duplicates", "first_ns", "from_ns", "last_ns", "name", "place", "steps", "values")

    duplicates: int
    first_ns: int
    from_ns: int
    last_ns: int
    steps: int
    values: Mapping[str, FieldValue]

    def __init__(self, pending: dict[int, Device], name: str, place: str) -> None:
        self._pending = pending
        self.name = name
        self.place = place
        self.clear()

    def count(self, identity: int, time_ns: int, values: Mapping[str, FieldValue]) -> None:
        """Take a message.

        Args:
            identity: 64 bits that are the same for the same message in every process.
            time_ns: its sample's time.
            values: its fields; they must not be changed afterwards.
        """
        pending = self._pending
        if identity in pending:
            self.duplicates += 1
            return
        pending[identity] = self
        if time_ns > self.last_ns:
            if not self.steps:
                self.from_ns = time_ns
            self.steps += 1
            self.last_ns = time_ns
            self.values = values
        if time_ns < self.first_ns:
            self.first_ns = time_ns

    def clear(self) -> None:
        """Begin anew, once what was counted has been taken."""
        self.duplicates = self.steps = 0
        self.first_ns, self.from_ns, self.last_ns = _NEVER, 0, -_NEVER
        self.values = {}


def joined(old: model.Delta, new: model.Delta) -> model.Delta:
    """Two deltas of one device as one."""
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


def with_series(delta: model.Delta | None, handle: Device) -> model.Delta:
    """A device's delta with what one of its series has counted, but for the identities."""
    found = model.Delta(
        first_ns=handle.first_ns,
        last_ns=handle.last_ns,
        steps=handle.steps,
        span_ns=handle.last_ns - handle.from_ns,
        duplicates=handle.duplicates,
        values={handle.place: (handle.last_ns, handle.values)},
    )
    if delta is None:
        return found
    livelier = max(delta, found, key=lambda each: each.steps)
    return found._replace(
        first_ns=min(delta.first_ns, found.first_ns),
        last_ns=max(delta.last_ns, found.last_ns),
        steps=livelier.steps,
        span_ns=livelier.span_ns,
        duplicates=delta.duplicates + found.duplicates,
        values={**delta.values, **found.values},
    )
