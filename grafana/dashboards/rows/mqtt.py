"""The Pipeline dashboard's row of the agent at the MQTT broker."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.mqtt import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_OFF = "No data of the collector mqtt in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "MQTT", _agent(), order=39, collapsed=True)


def _agent() -> list[Panel]:
    return [
        lines(
            "Lines published",
            "Lines that the broker acknowledged, and lines that were rejected, per interval. A rejected line is not "
            "line protocol, is too long or cut off, or is denied by the broker's access list.",
            _SOURCE.mean("mqtt", "lines_published", "lines_refused", function="sum", names=("published", "rejected")),
            low=0,
            decimals=0,
            bars=True,
            colours={"published": "green", "rejected": "red"},
            size=(8, 7),
            no_data=_OFF,
        ),
        lines(
            "Lines waiting for the broker",
            "Lines that are not acknowledged yet. A peak after a broker outage is normal; a line that stays up means "
            "that the broker is offline or has no subscriber.",
            _SOURCE.mean("mqtt", "lines_waiting", by=("device",), function="max"),
            low=0,
            decimals=0,
            size=(8, 7),
            no_data=_OFF,
        ),
        lines(
            "Commands",
            "Commands that were executed, rejected, or failed, per interval.",
            _SOURCE.mean(
                "mqtt",
                "commands_ok",
                "commands_refused",
                "commands_failed",
                function="sum",
                names=("ok", "rejected", "failed"),
            ),
            low=0,
            decimals=0,
            bars=True,
            stacked=True,
            colours={"ok": "green", "rejected": "orange", "failed": "red"},
            size=(8, 7),
            no_data=_OFF,
        ),
    ]
