"""What all collectors declare, by measurement."""

from __future__ import annotations

from typing import NamedTuple, cast

from collectors.core.api import Module
from collectors.core.registry import catalogue, load
from collectors.core.schema import COLLECTOR, Measurement


class Declared(NamedTuple):
    """A measurement and the collector that emits it; none emits the runner's own."""

    collector: str | None
    measurement: Measurement


def collector_module(name: str) -> Module:
    """The module of a collector of the catalogue."""
    return cast("Module", load(name))


def declared() -> dict[str, Declared]:
    """Every measurement by its name, in the order of the catalogue; the runner's own last."""
    found = {
        measurement.name: Declared(name, measurement)
        for name in catalogue()
        for measurement in collector_module(name).MEASUREMENTS
    }
    found[COLLECTOR.name] = Declared(None, COLLECTOR)
    return found
