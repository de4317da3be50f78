"""The Collectors dashboard's row of the telemetry: what was refused, of which device and why."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.telemetry import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing, number
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_NONE = "nothing was refused"


def rows() -> Iterable[Row]:
    yield Row("collectors", "Telemetry", _telemetry(), order=20)


def _telemetry() -> list[Panel]:
    return [
        number(
            "Values refused",
            "Values, lines and messages that were refused, in the whole time range. Each is kept with its reason.",
            _SOURCE.written('SELECT sum("count") AS "Refused" FROM "telemetry_rejected" WHERE $scope', table=True),
            steps=thresholds.SELDOM,
            graph=False,
            size=(4, 8),
            no_data=_NONE,
        ),
        lines(
            "Refused by reason",
            "How many values were refused, per interval. A reason that goes on for long is a sensor that is broken, or "
            "a limit that does not fit.",
            _SOURCE.mean("telemetry_rejected", "count", by=("reason",), function="sum"),
            low=0,
            decimals=0,
            bars=True,
            size=(10, 8),
            no_data=_NONE,
        ),
        listing(
            "Refused by device",
            "What was refused of each device in the time range, the most first.",
            _SOURCE.written(
                'SELECT sum("count") AS "Refused" FROM "telemetry_rejected" WHERE $scope '
                'GROUP BY "device", "measurement", "field", "reason"',
                table=True,
            ),
            hidden=("Time",),
            order=("device", "measurement", "field", "reason", "Refused"),
            renamed={"device": "Device", "measurement": "Measurement", "field": "Field", "reason": "Reason"},
            sort="Refused",
            descending=True,
            size=(10, 8),
            no_data=_NONE,
        ),
        listing(
            "Devices",
            "The state of each device as it last changed: whether it still tells something, how much it has told, and "
            "how many messages came again.",
            _SOURCE.written(
                'SELECT last("status") AS "Status", last("messages") AS "Messages", last("duplicates") AS "Repeated" '
                'FROM "device_state" WHERE $scope GROUP BY "device"',
                table=True,
            ),
            hidden=("Time",),
            order=("device", "Status", "Messages", "Repeated"),
            renamed={"device": "Device"},
            sort="Device",
            size=(24, 8),
            no_data="no device has told anything",
        ),
        lines(
            "State waiting to be written",
            "Messages that are counted in memory and not in the store yet. It climbs while the store is away.",
            _SOURCE.mean("device_store", "pending_messages", function="max"),
            low=0,
            decimals=0,
            size=(6, 8),
            no_data="no state is kept",
        ),
        lines(
            "MQTT messages",
            "Messages that the gateway has taken, per interval.",
            _SOURCE.mean("mqtt_receipt", "received", function="sum"),
            low=0,
            decimals=0,
            bars=True,
            size=(6, 8),
            no_data="there is no gateway here",
        ),
        lines(
            "Power",
            "What plugs and meters measure that speak MQTT.",
            _SOURCE.mean("energy", "power_watts", by=("device",)),
            size=(6, 8),
            no_data="no meter has told anything",
        ),
        listing(
            "Said of devices",
            "What each device, or the broker for it, has last said of it.",
            _SOURCE.written(
                'SELECT last("status") AS "Status" FROM "device_status" WHERE $scope GROUP BY "device"', table=True
            ),
            hidden=("Time",),
            renamed={"device": "Device"},
            size=(6, 8),
            no_data="no device has said anything",
        ),
    ]
