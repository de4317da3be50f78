"""Helpers for the tests of the Sense HAT: a context whose clock and errors the test controls."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.core.api import Context
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric
from collectors.core.settings import Values

START_NS = 1_750_000_000_000_000_000


class Bench:
    """A context with an adjustable clock and a list of errors.

    ``errors`` are the logged sentences; the number counted is ``report.errors``.
    """

    def __init__(self, **settings: object) -> None:
        self.now_ns = START_NS
        self.errors: list[str] = []
        self.report = ErrorReporter("sensehat", self.errors.append)
        self.monotonic_ns = 7_000
        self.context = Context(
            Values(settings), self.report, False, "pi-1", lambda: self.now_ns, lambda: self.monotonic_ns
        )

    def after(self, seconds: float) -> None:
        """Turn both clocks on."""
        self.now_ns += round(seconds * 1e9)
        self.monotonic_ns += round(seconds * 1e9)


def fields(metrics: Iterable[Metric], measurement: str, sensor: str | None = None) -> dict[str, FieldValue]:
    """The fields of the one line of a measurement (and sensor) among the metrics; empty if there is none."""
    found = [
        metric
        for metric in metrics
        if metric.series.measurement == measurement and metric.series.tags.get("sensor") == sensor
    ]
    assert len(found) <= 1, found
    return dict(found[0].fields) if found else {}
