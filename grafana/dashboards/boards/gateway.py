"""What comes through a hub's gateway from other devices: messages, their status, and plugs that measure energy."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.messaging.parsers.measurements import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties

_SOURCE = Source(MEASUREMENTS)

_OFF = "Nothing came through an MQTT gateway"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "MQTT gateway", _gateway(), order=17)
    yield Row("environment", "Energy", _energy(), order=40)


def _gateway() -> list[Panel]:
    return [
        lines(
            "Messages received",
            "Messages that the hub's gateway has taken from the broker, per interval. None for long: the broker is "
            "away, or the devices are.",
            _SOURCE.mean("mqtt_receipt", "received", function="sum", names=("messages",)),
            low=0,
            decimals=0,
            bars=True,
            legend=False,
            size=(12, 8),
            no_data=_OFF,
        ),
        listing(
            "What devices said of themselves",
            "The newest words of each device about its status, the broker's last will among them.",
            _SOURCE.newest("device_status", "status", by=("device",), names=("Status",)),
            order=("device", "Status", "Time"),
            renamed={"device": "Device", "Time": "Said"},
            columns={"Said": properties(unit="dateTimeFromNow")},
            size=(12, 8),
            no_data=_OFF,
        ),
    ]


def _energy() -> list[Panel]:
    return [
        lines(
            "Power",
            "What plugs and meters measure, by device. A line that never falls to its floor is something left on.",
            _SOURCE.mean("energy", "power_watts", by=("device",)),
            low=0,
            decimals=0,
            size=(24, 7),
            no_data="No plug or meter sends through the gateway",
        ),
    ]
