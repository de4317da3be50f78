"""The MQTT device dashboard: a device that is known through a gateway, such as a plug or a sensor."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.device_state.measurement import LATE, OFFLINE, ONLINE
from collectors.device_state.measurement import MEASUREMENTS as STATE
from collectors.messaging.parsers.measurements import MEASUREMENTS as OF_MESSAGES
from collectors.sensehat import MEASUREMENTS as SENSEHAT
from grafana.dashboards.lib import health, thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import CLOCK, Panel, lines, listing
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties, value_map
from sensetig import policy

#: Data that comes through a gateway has its device in the tag ``device``.
_SOURCE = Source(STATE, OF_MESSAGES, SENSEHAT, scope=('"device" =~ /^$host$/', '"site" =~ /^$site$/'))

_STATUS = {
    OFFLINE: (OFFLINE, thresholds.ACT),
    LATE: (LATE, thresholds.LOOK),
    # The state is as old as its last message, so it does not prove the present state; the verdict above does.
    ONLINE: (ONLINE, thresholds.PLAIN),
}


def rows() -> Iterable[Row]:
    yield Row("mqtt-device", "", [health.banner(), _state(), health.active((9, 5))], order=0)
    yield Row("mqtt-device", "Readings", _readings(), order=10)


def _state() -> Panel:
    panel = listing(
        "State",
        "The latest state that the hub has of this device: late after some intervals without a message, offline after "
        "more, or when the broker reports that its connection broke.",
        _SOURCE.written(
            'SELECT last("status") AS "Status", last("last_telemetry_seconds") * 1000 AS "Last message", '
            'last("messages") AS "Messages", last("firmware") AS "Firmware" '
            'FROM "device_state" WHERE $scope GROUP BY "device"',
            table=True,
        ),
        columns={
            "Status": properties(mappings=value_map(_STATUS), custom__cellOptions={"type": "color-text"}),
            "Last message": properties(unit=CLOCK, custom__align="left"),
            "Messages": properties(unit="short", decimals=0, custom__align="left"),
            "Firmware": properties(noValue="not reported"),
        },
        hidden=("Time", "device"),
        order=("Status", "Last message", "Messages", "Firmware"),
        size=(15, 5),
        no_data=f"No message within {policy.KNOWN_DAYS} days",
        links={"Pipeline": "/d/sensetig-pipeline"},
    )
    return panel.time_from(f"{policy.KNOWN_DAYS}d").hide_time_override(True)


def _readings() -> list[Panel]:
    return [
        lines(
            "Power",
            "Power by channel. A line that never falls to its floor is an appliance left on.",
            _SOURCE.mean("energy", "power_watts", by=("device", "channel"), alias="power $tag_channel"),
            low=0,
            no_data="No power in this time range",
        ),
        lines(
            "Energy",
            "Energy since the meter was last cleared.",
            _SOURCE.mean(
                "energy", "energy_total_kilowatt_hours", by=("device", "channel"), function="max", alias="$tag_channel"
            ),
            legend=False,
            no_data="No energy in this time range",
        ),
        _air("Temperature", "temperature", "temperature_{}_celsius"),
        _air("Relative humidity", "humidity", "humidity_{}_percent"),
    ]


def _air(quantity: str, name: str, field: str) -> Panel:
    kinds = ("raw", "calibrated")
    return lines(
        name.capitalize(),
        f"{quantity} by sensor: raw, and calibrated where the device has a calibration.",
        _SOURCE.mean("environment", *map(field.format, kinds), by=("sensor",), names=kinds, alias="$tag_sensor $col"),
        fill=0,
        no_data=f"No {name} in this time range",
    )
