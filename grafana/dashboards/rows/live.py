"""The Live dashboard: what a device measures, shown as it comes."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.device_state.measurement import LATE, OFFLINE, ONLINE
from collectors.device_state.measurement import MEASUREMENTS as STATE
from collectors.sensehat import MEASUREMENTS as SENSEHAT
from collectors.system import MEASUREMENTS as SYSTEM
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.live import Names, channels, dressed
from grafana.dashboards.lib.panels import Panel, lines, listing, number, origin
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties, value_map

#: What comes through a hub names its device in a tag of its own.
_SOURCE = Source(SENSEHAT, scope=('"device" =~ /^$host$/', '"site" =~ /^$site$/'))

#: The state is that of every device of the chosen sites, whichever device is watched.
_STATE = Source(STATE, scope=('"site" =~ /^$site$/',))

#: How far back a device's newest state may lie: one that is silent for longer is no longer told of.
_STATE_DAYS = 30

_STATUS = {
    OFFLINE: (OFFLINE, thresholds.ACT),
    LATE: (LATE, thresholds.LOOK),
    ONLINE: (ONLINE, thresholds.GOOD),
}

#: A panel that is open hears of the next reading; what was before it is on the other dashboards.
_WAITING = "waiting for the next reading"

_SENSORS: Names = {"temperature_raw_celsius": ("${__field.labels.sensor}", None)}

#: The processor's time by what it went into, as on the Device dashboard.
_CPU: Names = {
    "usage_user": ("user", "blue"),
    "usage_system": ("system", "orange"),
    "usage_iowait": ("waiting for disk", "red"),
    "usage_softirq": ("interrupts", "purple"),
}


def rows() -> Iterable[Row]:
    yield Row("live", "", [_state()], order=0)
    yield Row("live", "Now", _now(), order=10)
    yield Row("live", "Air, as it is measured", _air(), order=20)
    yield Row("live", "Motion, as it is measured", _motion(), order=30)
    yield Row("live", "The machine, as it is measured", _machine(), order=40)


def _state() -> Panel:
    panel = listing(
        "State of all devices",
        "Each device's newest state, those that need a look first: late after some intervals without telemetry, "
        "offline after more. Messages are counted once, however often they came.",
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
            "SenseTIG": properties(noValue="not told", custom__minWidth=90),
            "Firmware": properties(noValue="not told", custom__minWidth=120),
        },
        hidden=("Time",),
        order=("device", "Status", "Last telemetry", "Messages", "SenseTIG", "Firmware"),
        renamed={"device": "Device"},
        sort="Status",
        size=(24, 7),
        no_data="No device has a state yet: the telemetry processor tells it within a minute",
        links={"Pipeline": "/d/sensetig-pipeline"},
    )
    return panel.time_from(f"{_STATE_DAYS}d").hide_time_override(True)


def _now() -> list[Panel]:
    return [
        dressed(
            number(
                "Temperature",
                "The newest reading of each sensor. The processor below warms the board, so the room is colder.",
                *channels(SENSEHAT, "environment", _SENSORS),
                decimals=1,
                size=(6, 4),
                no_data=_WAITING,
                links={"Environment": "/d/sensetig-environment"},
            ),
            _SENSORS,
        ),
        number(
            "Humidity",
            "The newest reading of relative humidity, as the sensor gives it: lower than the room's.",
            *channels(SENSEHAT, "environment", ["humidity_raw_percent"]),
            decimals=0,
            low=0,
            high=100,
            size=(5, 4),
            no_data=_WAITING,
        ),
        number(
            "Pressure",
            "The newest reading of air pressure where the board is, not reduced to sea level.",
            *channels(SENSEHAT, "environment", ["pressure_hpa"]),
            decimals=2,
            size=(5, 4),
            no_data=_WAITING,
        ),
        number(
            "Memory",
            "Memory in use. Above 90 % a device grows slow, and may end programs.",
            *channels(SYSTEM, "mem", ["used_percent"]),
            steps=thresholds.BUSY,
            decimals=0,
            low=0,
            high=100,
            size=(5, 4),
            no_data=_WAITING,
            links={"Device": "/d/sensetig-device"},
        ),
        origin(
            "Whether these are readings of a sensor, of a simulation, or of a recording that is played.",
            _SOURCE.origin("environment", "temperature_raw_celsius"),
            size=(3, 4),
        ),
    ]


def _air() -> list[Panel]:
    temperatures: Names = {
        **_SENSORS,
        "temperature_compensated_celsius": ("room, ${__field.labels.sensor}", None),
        "temperature_calibrated_celsius": ("calibrated, ${__field.labels.sensor}", None),
    }
    humidities: Names = {
        "humidity_raw_percent": ("at the sensor", "blue"),
        "humidity_compensated_percent": ("in the room", "green"),
        "humidity_calibrated_percent": ("calibrated", "purple"),
    }
    pressures: Names = {
        "pressure_hpa": ("pressure", "purple"),
        "pressure_calibrated_hpa": ("calibrated", "green"),
    }
    return [
        dressed(
            lines(
                "Temperature",
                "As each sensor gives it, with the processor's heat taken out where a factor is set, and calibrated "
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
                steps=((None, "transparent"), (60, thresholds.LOOK), (70, thresholds.ACT)),
                size=(7, 9),
                no_data=_WAITING,
            ),
            humidities,
        ),
        dressed(
            lines(
                "Pressure",
                "Air pressure at the board, and calibrated where the device has a calibration. A door that is opened "
                "shows here at once.",
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
                "How the board lies: pitch, roll and yaw. Turn it, and see it here.",
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
                "Rate of turning",
                "How fast the board turns about each axis; near 0 at rest.",
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
                "Processor",
                "Where the time of all cores goes, together. Above the dashed lines the device answers slowly.",
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
                "Memory in use",
                "Memory in use. A line that only climbs is a program that never gives back.",
                *channels(SYSTEM, "mem", ["used_percent"]),
                steps=thresholds.BUSY,
                low=0,
                high=100,
                decimals=0,
                size=(12, 8),
                no_data=_WAITING,
            ),
            {"used_percent": ("in use", "blue")},
        ),
    ]
