"""The Your data dashboard: what the worked example writes, as a pattern for rows of your own."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.random_data import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, number, words
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_GUIDE = """\
#### Data of your own, on a dashboard of your own

These numbers are random; the way is what counts. To add yours:

1. Write a **collector**, one module in `collectors/`, which declares its measurements: fields, units, ranges, help.
2. Let **Telegraf** run it: one snippet in `telegraf/telegraf.d/`.
3. Build its **row**: one module in `grafana/dashboards/rows/`, like the one that makes this page.
   Units come from the declaration; a field that nobody declares does not build.
4. Run `make dashboards`. Grafana shows the change within half a minute.
"""


def rows() -> Iterable[Row]:
    yield Row("your-data", "", _glance(), order=0)
    yield Row("your-data", "Random data", _random(), order=10)


def _glance() -> list[Panel]:
    return [
        number(
            "Last point",
            "When the application last wrote. More than a minute ago: it is stopped, or InfluxDB refuses its token.",
            _SOURCE.newest("random_data", "value"),
            time=True,
            size=(4, 3),
            no_data="silent in this time range",
        ),
        number(
            "Value",
            "Where the walk is now, between 0 and 100.",
            _SOURCE.mean("random_data", "value", function="last", names=("Value",)),
            decimals=1,
            low=0,
            high=100,
            size=(4, 3),
        ),
        number(
            "Steps",
            "Steps since the application was started. It starts anew at 1.",
            _SOURCE.newest("random_data", "step_count", names=("Steps",)),
            decimals=0,
            graph=False,
            size=(4, 3),
        ),
        number(
            "Acknowledged",
            "Points that InfluxDB has acknowledged since the start. A few less than the steps: they wait "
            "for their batch. Many less: InfluxDB was away.",
            _SOURCE.newest("random_data", "acknowledged_count", names=("Acknowledged",)),
            decimals=0,
            graph=False,
            size=(4, 3),
            no_data="not told",
        ),
        words("", _GUIDE, size=(8, 11)),
        lines(
            "Walk",
            "A random walk that turns back at 0 and 100. A gap: the application stood still.",
            _SOURCE.mean("random_data", "value", names=("value",)),
            low=0,
            high=100,
            colours={"value": "blue"},
            size=(16, 8),
        ),
    ]


def _random() -> list[Panel]:
    return [
        lines(
            "Noise",
            "Normally distributed around 0 with a standard deviation of 1: mean, smallest and largest of each "
            "interval. Means drift towards 0 as the interval grows.",
            _SOURCE.mean("random_data", "noise", names=("mean",)),
            _SOURCE.mean("random_data", "noise", function="min", names=("smallest",)),
            _SOURCE.mean("random_data", "noise", function="max", names=("largest",)),
            fill=0,
            soft_low=-3,
            soft_high=3,
            colours={"mean": "blue", "smallest": "light-blue", "largest": "light-blue"},
            size=(12, 8),
        ),
        lines(
            "Steps per second",
            "How fast the application writes: one point a second where nothing holds it up.",
            _SOURCE.rate("random_data", "step_count", names=("steps",)),
            low=0,
            soft_high=1.5,
            colours={"steps": "green"},
            size=(12, 8),
        ),
    ]
