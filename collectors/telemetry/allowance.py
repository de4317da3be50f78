"""Limits the new names from a device: each new series and each new field costs InfluxDB memory permanently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple, Protocol

from collectors.core.line_protocol import FieldValue, Series

_DAY_NS = 86_400 * 1_000_000_000

#: Maximum number of devices with an individual count of today's new names; others share one allowance.
_MAX_DEVICES = 20_000
_OTHERS = ""


class Bounds(NamedTuple):
    """The limits for a day.

    Args:
        fields, series: new ones per device.
        all_fields, all_series: new ones of all devices together; ten times as many are remembered.
    """

    fields: int = 200
    series: int = 200
    all_fields: int = 5_000
    all_series: int = 20_000


class Names(Protocol):
    """Stores known names across restarts."""

    def known(self, kind: str, most: int) -> Iterable[str]:
        """The most recently added names of a kind."""
        ...

    def add(self, kind: str, name: str, day: int) -> None:
        """Store a name."""
        ...

    def spent(self, day: int) -> Iterable[tuple[str, int, int]]:
        """Devices with their numbers of new fields and series on a day."""
        ...

    def spend(self, device: str, day: int, fields: int, series: int) -> None:
        """Store the counts of a device."""
        ...


class _Known:
    """A bounded set, which drops the least recently used entries."""

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._newest: set[str] = set()
        self._aside: set[str] = set()

    def __contains__(self, name: str) -> bool:
        if name in self._newest:
            return True
        if name in self._aside:
            self.add(name)
            return True
        return False

    def add(self, name: str) -> None:
        if len(self._newest) >= self._half:
            self._aside, self._newest = self._newest, set()
        self._newest.add(name)


class Allowance:
    """Admits the series and fields of devices within the limits of a day.

    Names that were admitted before cost nothing, for any device.

    Args:
        bounds: the limits for a day.
        declared: returns the declared fields of a measurement, which cost nothing.
        names: stores known names across restarts; or None.
    """

    def __init__(
        self, bounds: Bounds, declared: Callable[[str], Mapping[str, type]], names: Names | None = None
    ) -> None:
        self._bounds = bounds
        self._declared = declared
        self._names = names
        self._series, self._fields = _Known(10 * bounds.all_series), _Known(10 * bounds.all_fields)
        self._day = -1
        self._spent: dict[str, list[int]] = {}
        self._all = [0, 0]
        if names is not None:
            for kind, known, most in (
                ("series", self._series, 5 * bounds.all_series),
                ("field", self._fields, 5 * bounds.all_fields),
            ):
                for name in names.known(kind, most):
                    known.add(name)

    def admit(
        self, device: str, series: Series, fields: Mapping[str, FieldValue], now_ns: int
    ) -> tuple[bool, list[str]]:
        """Whether a series is admitted, and its fields that are not."""
        declared = self._declared(series.measurement)
        unknown = [
            name for name in fields if name not in declared and f"{series.measurement}\0{name}" not in self._fields
        ]
        identity = blake2b(series.prefix.encode(), digest_size=8).hexdigest()
        if identity in self._series and not unknown:
            return True, []
        self._begin(now_ns // _DAY_NS)
        spent = self._of(device)
        if identity not in self._series:
            if spent[1] >= self._bounds.series or self._all[1] >= self._bounds.all_series:
                return False, []
            self._take(spent, 1, "series", identity)
            self._series.add(identity)
        refused = []
        for name in unknown:
            if spent[0] >= self._bounds.fields or self._all[0] >= self._bounds.all_fields:
                refused.append(name)
                continue
            self._take(spent, 0, "field", f"{series.measurement}\0{name}")
            self._fields.add(f"{series.measurement}\0{name}")
        if self._names is not None:
            self._names.spend(device if device in self._spent else _OTHERS, self._day, *spent)
        return True, refused

    def _begin(self, day: int) -> None:
        if day == self._day:
            return
        self._day, self._spent, self._all = day, {}, [0, 0]
        for device, fields, series in self._names.spent(day) if self._names is not None else ():
            self._spent[device] = [fields, series]
            self._all[0] += fields
            self._all[1] += series

    def _of(self, device: str) -> list[int]:
        if device not in self._spent and len(self._spent) >= _MAX_DEVICES:
            device = _OTHERS
        return self._spent.setdefault(device, [0, 0])

    def _take(self, spent: list[int], place: int, kind: str, name: str) -> None:
        spent[place] += 1
        self._all[place] += 1
        if self._names is not None:
            self._names.add(kind, name, self._day)
