"""The Device dashboard's row of the clock."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.clock import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, states
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_NONE = "No data of the collector clock in this time range"


def rows() -> Iterable[Row]:
    yield Row("device", "Clock", _clock(), order=70, collapsed=True)


def _clock() -> list[Panel]:
    return [
        states(
            "Clock synchronised",
            "When the clock was synchronised. While it is not, points may carry wrong times: check that the device "
            "reaches a time server.",
            _SOURCE.mean("clock", "synchronised", function="min", names=("clock",)),
            texts={"1": ("synchronised", thresholds.GOOD), "0": ("not synchronised", thresholds.LOOK)},
            show_value=True,
            size=(12, 7),
            no_data=_NONE,
        ),
        lines(
            "Clock error",
            "The maximum and the estimated error of the clock. The kernel reports 16 s where it does not know.",
            _SOURCE.mean(
                "clock",
                "maximum_error_seconds",
                "estimated_error_seconds",
                function="max",
                names=("maximum", "estimated"),
            ),
            low=0,
            size=(12, 7),
            no_data=_NONE,
        ),
    ]
