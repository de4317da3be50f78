"""The Pipeline dashboard's row of the outbox, the durable queue between Telegraf and InfluxDB."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.outbox import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_NONE = "no data of an outbox in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "Outbox", _outbox(), order=35)


def _outbox() -> list[Panel]:
    return [
        lines(
            "Points waiting",
            "Points on the disk of each device that InfluxDB does not have yet. They rise while InfluxDB is away.",
            _SOURCE.mean("outbox", "waiting_points", by=("host",), function="max"),
            low=0,
            decimals=0,
            size=(8, 8),
            no_data=_NONE,
        ),
        lines(
            "Age of the oldest waiting point",
            "How far InfluxDB is behind. An age that rises means that no point arrives.",
            _SOURCE.mean("outbox", "oldest_seconds", by=("host",), function="max"),
            low=0,
            size=(8, 8),
            no_data=_NONE,
        ),
        lines(
            "Points refused or damaged",
            "Points that InfluxDB refused for good, such as a number where a text was before, and points in files that "
            "the disk damaged. refused.jsonl in the folder of the outbox names each refused point with the reason.",
            _SOURCE.rate("outbox", "refused_points", "damaged_points", names=("refused", "damaged")),
            low=0,
            size=(8, 8),
            no_data=_NONE,
        ),
    ]
