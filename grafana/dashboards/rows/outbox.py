"""The Pipeline dashboard's row of the outbox, the durable queue between Telegraf and InfluxDB."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.outbox import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_NONE = "No data of an outbox in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "Outbox", _outbox(), order=25, collapsed=True)


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
            "Points lost by cause",
            "Points that InfluxDB refused for good, such as a number where a text was before, points in files that "
            "the disk damaged, and points that Telegraf dropped or gave up. refused.jsonl in the folder of the outbox "
            "names each refused point with the reason.",
            _SOURCE.rate(
                "outbox",
                "refused_type",
                "refused_retention",
                "refused_syntax",
                "refused_device",
                "damaged_points",
                names=("another type", "too old", "no line protocol", "another device", "damaged"),
            ),
            _SOURCE.rate("delivery", "metrics_dropped", "metrics_rejected", names=("dropped", "given up")),
            low=0,
            size=(8, 8),
            no_data=_NONE,
        ),
        lines(
            "Points sent and stored",
            "Points per second that Telegraf writes, and that InfluxDB stores. Stored below sent: points wait.",
            _SOURCE.rate("delivery", "metrics_written", names=("sent",)),
            _SOURCE.rate("delivery", "stored_points", names=("stored",)),
            low=0,
            size=(12, 8),
            no_data=_NONE,
        ),
        lines(
            "Writes of devices",
            "Writes per second that the hub's receiver passes on to InfluxDB, and that it holds: their points wait in "
            "the outboxes of the devices.",
            _SOURCE.rate("receiver", "passed_writes", "held_writes", names=("passed on", "held")),
            low=0,
            size=(12, 8),
            no_data="No writes of other devices in this time range",
        ),
    ]
