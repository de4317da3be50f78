"""Data from a hub's gateway: messages and status of other devices, and plugs that measure energy."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.gateway import MEASUREMENTS
from collectors.messaging.parsers.measurements import MEASUREMENTS as OF_MESSAGES
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import CLOCK, Panel, lines, listing
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties

_SOURCE = Source((*MEASUREMENTS, *OF_MESSAGES))

_OFF = "No data of an MQTT gateway in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "MQTT gateway", _gateway(), order=38, collapsed=True)
    yield Row("environment", "Energy", _energy(), order=40, collapsed=True)


def _gateway() -> list[Panel]:
    return [
        lines(
            "Messages received",
            "Messages that the hub's gateway received from the broker, per interval. None for long: the broker or "
            "the devices are offline.",
            _SOURCE.mean("mqtt_receipt", "received", function="sum", names=("messages",)),
            low=0,
            decimals=0,
            bars=True,
            legend=False,
            size=(12, 8),
            no_data=_OFF,
        ),
        lines(
            "Oldest unconfirmed message",
            "Age of the oldest message that is not written yet. It rises while InfluxDB is away; an alert reports more "
            "than a minute. Over NATS: of all that the stream has for the workers.",
            _SOURCE.mean("mqtt_gateway", "unconfirmed_seconds", function="max", names=("age",)),
            low=0,
            decimals=0,
            legend=False,
            size=(12, 8),
            no_data=_OFF,
        ),
        listing(
            "Status messages",
            "The latest status message of each device, including the last will that the broker publishes for it.",
            _SOURCE.newest("device_status", "status", by=("device",), names=("Status",)),
            order=("device", "Status", "Time"),
            renamed={"device": "Device", "Time": "Received"},
            columns={"Received": properties(unit=CLOCK)},
            size=(24, 7),
            no_data=_OFF,
        ),
    ]


def _energy() -> list[Panel]:
    return [
        lines(
            "Power",
            "The power that plugs and meters measure, by device. A line that never falls to its floor is an "
            "appliance left on.",
            _SOURCE.mean("energy", "power_watts", by=("device",)),
            low=0,
            decimals=0,
            size=(24, 7),
            no_data="No plug or meter in this time range",
        ),
    ]
