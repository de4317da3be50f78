"""The Live dashboard: readings of a device, streamed."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.device_state.measurement import LATE, OFFLINE, ONLINE
from collectors.device_state.measurement import MEASUREMENTS as STATE
from collectors.sensehat import MEASUREMENTS as SENSEHAT
from collectors.system import MEASUREMENTS as SYSTEM
from grafana.dashboards.lib import health, thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.live import Names, channels, dressed
from grafana.dashboards.lib.panels import Panel, lines, listing, number, origin
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties, value_map
from sensetig import policy

#: Data that comes through a hub has its device in the tag ``device``.
_SOURCE = Source(SENSEHAT, scope=('"device" =~ /^$host$/', '"site" =~ /^$site$/'))

#: The state is that of every device of the chosen sites, whichever device is watched.
_STATE = Source(STATE, scope=('"site" =~ /^$site$/',))

#: How far back a device's latest state is shown.
_STATE_DAYS = 30

_STATUS = {
    OFFLINE: (OFFLINE, thresholds.ACT),
    LATE: (LATE, thresholds.LOOK),
    ONLINE: (ONLINE, thresholds.GOOD),
}

#: An open panel shows readings from now on; earlier ones are on the other dashboards.
_WAITING = "waiting for the next reading"

#: Several sensors may measure the same; each is a series, called after its sensor.
_SENSORS: Names = {"temperature_raw_celsius": ("${__field.labels.sensor}", None)}
_HUMIDITY: Names = {"humidity_raw_percent": ("${__field.labels.sensor}", None)}
_PRESSURE: Names = {"pressure_hpa": ("${__field.labels.sensor}", None)}

#: CPU time by mode, as on the Device dashboard.
_CPU: Names = {
    "usage_user": ("user", "blue"),
    "usage_system": ("system", "orange"),
    "usage_iowait": ("waiting for disk", "red"),
    "usage_softirq": ("interrupts", "purple"),
}


def rows() -> Iterable[Row]:
    yield Row("live", "", [health.banner()], order=0)
    yield Row("live", "Now", _now(), order=10)
    yield Row("live", "Air (live)", _air(), order=20)
    yield Row("live", "Motion (live)", _motion(), order=30)
    yield Row("live", "Machine (live)", _machine(), order=40)
    yield Row("live", "Devices", [_state()], order=50)


def _state() -> Panel:
    panel = listing(
        "State of all devices",
        "The latest state of each device, most urgent first: late after some intervals without telemetry, offline "
        "after more. A repeated message counts once.",
        _STATE.written(
            'SELECT last("status") AS "Status", last("last_telemetry_seconds") * 1000 AS "Last telemetry", '
            'last("messages") AS "Messages", last("bundle_version") AS "SenseTIG", last("firmware") AS "Firmware" '
            'FROM "device_state" WHERE $scope GROUP BY "device"',
            table=True,
        ),
        columns={
            "Device": properties(custom__minWidth=120),
            "Status": properties(
                mappings=value_map(_STATUS),
                custom__cellOptions={"type": "color-background", "mode": "basic"},
                custom__width=100,
            ),
            "Last telemetry": properties(unit="dateTimeFromNow", custom__minWidth=140, custom__align="left"),
            "Messages": properties(unit="short", decimals=0, custom__minWidth=90),
            "SenseTIG": properties(noValue="not reported", custom__minWidth=90),
            "Firmware": properties(noValue="not reported", custom__minWidth=120),
        },
        hidden=("Time",),
        order=("device", "Status", "Last telemetry", "Messages", "SenseTIG", "Firmware"),
        renamed={"device": "Device"},
        sort="Status",
        size=(24, 7),
        no_data="No device state yet",
        links={"Pipeline": "/d/sensetig-pipeline"},
    )
    return panel.time_from(f"{_STATE_DAYS}d").hide_time_override(True)


def _now() -> list[Panel]:
    return [
        dressed(
            number(
                "Temperature",
                "The latest reading of each sensor. The processor below warms the board, so the room is colder.",
                *channels(SENSEHAT, "environment", _SENSORS),
                decimals=1,
                size=(6, 4),
                no_data=_WAITING,
                links={"Environment": "/d/sensetig-environment"},
            ),
            _SENSORS,
        ),
        dressed(
            number(
                "Humidity",
                "The latest reading of relative humidity at the sensor, which is lower than in the room.",
                *channels(SENSEHAT, "environment", _HUMIDITY),
                decimals=0,
                low=0,
                high=100,
                size=(4, 4),
                no_data=_WAITING,
            ),
            _HUMIDITY,
        ),
        dressed(
            number(
                "Pressure",
                "The latest reading of air pressure at the board, not reduced to sea level.",
                *channels(SENSEHAT, "environment", _PRESSURE),
                decimals=2,
                size=(5, 4),
                no_data=_WAITING,
            ),
            _PRESSURE,
        ),
        number(
            "Memory",
            f"Memory in use. From {policy.MEMORY_PERCENT.act} % a device slows down, and may kill programs.",
            *channels(SYSTEM, "mem", ["used_percent"]),
            steps=thresholds.MEMORY,
            decimals=0,
            low=0,
            high=100,
            size=(5, 4),
            no_data=_WAITING,
        ),
        origin(
            "Whether these are readings of a sensor, of a simulation, or of a recording that is played.",
            _SOURCE.origin("environment", "temperature_raw_celsius"),
            size=(4, 4),
        ),
    ]


def _air() -> list[Panel]:
    temperatures: Names = {
        **_SENSORS,
        "temperature_compensated_celsius": ("room, ${__field.labels.sensor}", None),
        "temperature_calibrated_celsius": ("calibrated, ${__field.labels.sensor}", None),
    }
    humidities: Names = {
        **_HUMIDITY,
        "humidity_compensated_percent": ("room, ${__field.labels.sensor}", None),
        "humidity_calibrated_percent": ("calibrated, ${__field.labels.sensor}", None),
    }
    pressures: Names = {
        **_PRESSURE,
        "pressure_calibrated_hpa": ("calibrated, ${__field.labels.sensor}", None),
    }
    return [
        dressed(
            lines(
                "Temperature",
                "The reading of each sensor, with the processor's heat removed where a factor is set, and calibrated "
                "where the device has a calibration.",
                *channels(SENSEHAT, "environment", temperatures),
                decimals=1,
                fill=4,
                size=(10, 9),
                no_data=_WAITING,
            ),
            temperatures,
        ),
        dressed(
            lines(
                "Humidity",
                "Relative humidity at the sensor, in the room where a factor is set, and calibrated where the device "
                "has a calibration. Above the dashed lines mould grows.",
                *channels(SENSEHAT, "environment", humidities),
                decimals=1,
                fill=4,
                steps=thresholds.DAMP,
                size=(7, 9),
                no_data=_WAITING,
            ),
            humidities,
        ),
        dressed(
            lines(
                "Pressure",
                "Air pressure at the board, and calibrated where the device has a calibration. An opened door shows "
                "here at once.",
                *channels(SENSEHAT, "environment", pressures),
                decimals=2,
                fill=4,
                size=(7, 9),
                no_data=_WAITING,
            ),
            pressures,
        ),
    ]


def _axes(kind: str, unit: str) -> Names:
    colours = {"x": "red", "y": "green", "z": "blue"}
    return {f"{kind}_{axis}_{unit}": (axis, colour) for axis, colour in colours.items()}


def _motion() -> list[Panel]:
    lying: Names = {
        "pitch_degrees": ("pitch", "red"),
        "roll_degrees": ("roll", "green"),
        "yaw_degrees": ("yaw", "blue"),
    }
    pushed, turned = _axes("acceleration", "g"), _axes("gyro", "radians_per_second")
    return [
        dressed(
            lines(
                "Orientation",
                "Pitch, roll and yaw of the board. Turn it, and see it here.",
                *channels(SENSEHAT, "imu", lying),
                low=0,
                high=360,
                fill=0,
                size=(8, 8),
                no_data=_WAITING,
            ),
            lying,
        ),
        dressed(
            lines(
                "Acceleration",
                "In multiples of gravity: 1 g on z where the board lies flat. Spikes are knocks.",
                *channels(SENSEHAT, "imu", pushed),
                fill=0,
                soft_low=-1,
                soft_high=1,
                decimals=1,
                size=(8, 8),
                no_data=_WAITING,
            ),
            pushed,
        ),
        dressed(
            lines(
                "Angular velocity",
                "Rotation about each axis; near 0 at rest.",
                *channels(SENSEHAT, "imu", turned),
                fill=0,
                soft_low=-0.1,
                soft_high=0.1,
                size=(8, 8),
                no_data=_WAITING,
            ),
            turned,
        ),
    ]


def _machine() -> list[Panel]:
    return [
        dressed(
            lines(
                "CPU by mode",
                "CPU time of all cores together, by mode. Above the dashed line the device responds slowly.",
                *channels(SYSTEM, "cpu", _CPU),
                steps=thresholds.BUSY,
                low=0,
                high=100,
                decimals=0,
                stacked=True,
                size=(12, 8),
                no_data=_WAITING,
            ),
            _CPU,
        ),
        dressed(
            lines(
                "Memory usage",
                "Memory in use. A line that only climbs is a memory leak.",
                *channels(SYSTEM, "mem", ["used_percent"]),
                steps=thresholds.MEMORY,
                low=0,
                high=100,
                decimals=0,
                size=(12, 8),
                no_data=_WAITING,
            ),
            {"used_percent": ("in use", "blue")},
        ),
    ]
