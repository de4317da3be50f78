"""The Your data dashboard: the worked example, as a pattern for your own rows."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.random_data import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, number, words
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_GUIDE = """\
#### Your own data on your own dashboard

These numbers are random: they show the steps. To add yours:

1. Write a **collector**, one module in `collectors/`, which declares its measurements: fields, units, ranges, help.
2. Let **Telegraf** run it: one snippet in `telegraf/telegraf.d/`.
3. Build its **row**: one module in `grafana/dashboards/rows/`, like the one that makes this page.
   Units come from the declaration; an undeclared field does not build.
4. Run `make dashboards`. Grafana shows the change within half a minute.
"""


def rows() -> Iterable[Row]:
    yield Row("your-data", "", _glance(), order=0)
    yield Row("your-data", "Random data", _random(), order=10)


def _glance() -> list[Panel]:
    return [
        number(
            "Last point",
            "When the application last wrote. More than a minute ago: it is stopped, or InfluxDB rejects its token.",
            _SOURCE.newest("random_data", "value"),
            time=True,
            size=(6, 3),
            no_data="no data in this time range",
        ),
        number(
            "Value",
            "The current value of the walk, between 0 and 100.",
            _SOURCE.mean("random_data", "value", function="last", names=("Value",)),
            decimals=1,
            low=0,
            high=100,
            size=(6, 3),
        ),
        number(
            "Steps",
            "Steps since the application was started. A restart begins again at 1.",
            _SOURCE.newest("random_data", "step_count", names=("Steps",)),
            recent=True,
            decimals=0,
            size=(6, 3),
        ),
        number(
            "Acknowledged",
            "Points that InfluxDB has acknowledged since the start. A few less than the steps wait for their batch. "
            "Many less: InfluxDB was offline.",
            _SOURCE.newest("random_data", "acknowledged_count", names=("Acknowledged",)),
            recent=True,
            decimals=0,
            size=(6, 3),
            no_data="not reported",
        ),
        lines(
            "Walk",
            "A random walk that turns back at 0 and 100. A gap: the application was stopped.",
            _SOURCE.mean("random_data", "value", names=("value",)),
            low=0,
            high=100,
            colours={"value": "blue"},
            size=(14, 10),
        ),
        words("", _GUIDE, size=(10, 10)),
    ]


def _random() -> list[Panel]:
    return [
        lines(
            "Noise",
            "Normally distributed around 0 with a standard deviation of 1: mean, minimum and maximum of each "
            "interval. Means drift towards 0 as the interval grows.",
            _SOURCE.mean("random_data", "noise", names=("mean",)),
            _SOURCE.mean("random_data", "noise", function="min", names=("min",)),
            _SOURCE.mean("random_data", "noise", function="max", names=("max",)),
            fill=0,
            soft_low=-3,
            soft_high=3,
            colours={"mean": "blue", "min": "orange", "max": "orange"},
            size=(12, 8),
        ),
        lines(
            "Steps per second",
            "The rate at which the application writes: normally one point a second.",
            _SOURCE.rate("random_data", "step_count", names=("steps",)),
            low=0,
            soft_high=1.5,
            colours={"steps": "green"},
            size=(12, 8),
        ),
    ]
