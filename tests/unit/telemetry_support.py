"""A telemetry pipeline whose dependencies are doubles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collectors.core.line_protocol import FieldValue, Metric
from collectors.core.line_protocol_parser import decode
from collectors.core.measurements import ENVIRONMENT
from collectors.messaging.parsers.vocabulary import vocabulary
from collectors.sensehat import COLOUR
from collectors.telemetry.allowance import Allowance, Bounds
from collectors.telemetry.calibration import Curve
from collectors.telemetry.limits import LimitTable
from collectors.telemetry.lines import is_plain
from collectors.telemetry.pipeline import Gateway, Pipeline
from collectors.telemetry.redelivery import Redelivery
from collectors.telemetry.rejections import Rejections

NOW = 1_781_600_000_000_000_000
SECOND = 1_000_000_000
EARLIEST = 1_262_304_000_000_000_000


class Calibrations:
    """Curves by device, and how often each was asked for."""

    def __init__(self, curves: Mapping[str, tuple[Curve, ...]] | None = None) -> None:
        self.curves = dict(curves or {})
        self.asked: list[str] = []

    def of(self, device: str) -> tuple[Curve, ...]:
        self.asked.append(device)
        return self.curves.get(device, ())


class Handle:
    """What counts the messages of one series."""

    def __init__(self, name: str, place: str, messages: list[tuple[str, str, int, int, dict[str, FieldValue]]]) -> None:
        self.name, self.place, self.messages = name, place, messages

    def count(self, identity: int, time_ns: int, values: Mapping[str, FieldValue]) -> None:
        self.messages.append((self.name, self.place, identity, time_ns, dict(values)))


class Tracker:
    """Record every message."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, int, int, dict[str, FieldValue]]] = []
        self.told: list[tuple[str, dict[str, FieldValue]]] = []

    def device(self, name: str, place: str) -> Handle:
        return Handle(name, place, self.messages)

    def status(self, name: str, fields: Mapping[str, FieldValue]) -> None:
        self.told.append((name, dict(fields)))


class Stage:
    """A pipeline with its input and output."""

    def __init__(
        self,
        *,
        curves: Mapping[str, tuple[Curve, ...]] | None = None,
        file: Mapping[str, Any] | None = None,
        devices: Sequence[str] = (),
        names: Sequence[str] = ("environment",),
        max_series: int = 1000,
        max_names: int = 100,
        bounds: Bounds | None = None,
    ) -> None:
        self.now = NOW
        self.synchronised = True
        self.calibrations = Calibrations(curves)
        self.tracker = Tracker()
        self.rejections = Rejections({"host": "hub"}, max_names)
        self.said: list[str] = []
        self.pipeline = Pipeline(
            names=names,
            limit_table=LimitTable((ENVIRONMENT, COLOUR), file),
            calibrations=self.calibrations,
            tracker=self.tracker,
            rejections=self.rejections,
            devices=devices,
            earliest_ns=EARLIEST,
            ahead_ns=600 * SECOND,
            max_series=max_series,
            clock_ns=lambda: self.now,
            synchronised=lambda: self.synchronised,
            complain=self.said.append,
            open_gateway=lambda: Gateway(
                is_machine=lambda device: device.startswith("pi-"),
                redelivery=Redelivery(),
                allowance=Allowance(bounds or Bounds(), vocabulary().kinds),
                flush=lambda: None,
                close=lambda: None,
                retention_ns=30 * 86400 * SECOND,
            ),
        )

    def run(self, *lines: str, plain: bool | None = None) -> list[str]:
        """The lines that come out, as text."""
        return self.pipeline.run(lines, plain=all(map(is_plain, lines)) if plain is None else plain)

    def metrics(self, *lines: str) -> list[Metric]:
        return [decode(line) for line in self.run(*lines)]


def reading(
    temperature: float, seconds: float = 0.0, *, device: str = "pi", sensor: str = "hts221", more: str = ""
) -> str:
    """A line of a sensor, *seconds* after NOW less a day."""
    time_ns = NOW - 86400 * SECOND + round(seconds * SECOND)
    tags = f"environment,device={device},host={device},sensor={sensor}"
    return f"{tags} temperature_raw_celsius={temperature}{more} {time_ns}"


def rejected(metrics: Iterable[Metric]) -> list[tuple[str, str, FieldValue | None]]:
    """Reason, field and value of each rejection."""
    return [
        (
            metric.series.tags["reason"],
            metric.series.tags.get("field", ""),
            metric.fields.get("value", metric.fields.get("text")),
        )
        for metric in metrics
        if metric.series.measurement == "telemetry_rejected"
    ]


def offset(
    amount: float,
    *,
    field: str = "temperature_raw_celsius",
    output: str = "temperature_calibrated_celsius",
    sensor: str | None = None,
    since_ns: int = 0,
    until_ns: int = 2**62,
) -> Curve:
    """A curve that adds."""
    return Curve("environment", field, sensor, since_ns, output, lambda value: value + amount, until_ns)
