"""The declarations of all collectors, by measurement."""

from __future__ import annotations

from typing import NamedTuple, cast

from collectors.core.api import Module
from collectors.core.measurements import SHARED
from collectors.core.registry import catalogue, load
from collectors.core.schema import COLLECTOR, Measurement


class Declared(NamedTuple):
    """A measurement and the collectors that emit it; none for the runner's own."""

    collectors: tuple[str, ...]
    measurement: Measurement


def collector_module(name: str) -> Module:
    """The module of a collector of the catalogue."""
    return cast("Module", load(name))


def declared() -> dict[str, Declared]:
    """Every measurement by its name, in the order of the catalogue; the runner's own is last."""
    found: dict[str, Declared] = {}
    for name in catalogue():
        for measurement in collector_module(name).MEASUREMENTS:
            others = found[measurement.name].collectors if measurement.name in found else ()
            whole = SHARED.get(measurement.name, measurement)
            found[measurement.name] = Declared((*others, name), whole)
    found[COLLECTOR.name] = Declared((), COLLECTOR)
    return found
