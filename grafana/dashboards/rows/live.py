"""The Live dashboard: readings of a device, streamed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.builders.common import VizTextDisplayOptions

from collectors.sensehat import MEASUREMENTS as SENSEHAT
from collectors.system import MEASUREMENTS as SYSTEM
from grafana.dashboards.lib import health, thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.live import Names, channels, dressed, fresh
from grafana.dashboards.lib.panels import NOW, Panel, lines, number, origin
from grafana.dashboards.lib.query import Source, Target

#: Data that comes through a hub has its device in the tag ``device``.
_SOURCE = Source(SENSEHAT, scope=('"device" =~ /^$host$/', '"site" =~ /^$site$/'))

#: Of a machine, the tag ``host`` is the device.
_MACHINE = Source(SYSTEM)

_WAITING = "no reading within a minute"

#: Several sensors may measure the same; each is a series, called after its sensor.
_SENSORS: Names = {"temperature_raw_celsius": ("${__field.labels.sensor}", None)}
_HUMIDITY: Names = {"humidity_raw_percent": ("${__field.labels.sensor}", None)}
_PRESSURE: Names = {"pressure_hpa": ("${__field.labels.sensor}", None)}

#: CPU time by mode, as on the Device dashboard.
_CPU = {
    "user": ("usage_user", "blue"),
    "system": ("usage_system", "orange"),
    "waiting for disk": ("usage_iowait", "red"),
    "interrupts": ("usage_softirq", "purple"),
}


def rows() -> Iterable[Row]:
    yield Row("live", "", [health.banner()], order=0)
    yield Row("live", "Now (live)", _now(), order=10)
    yield Row("live", "Air, last 5 minutes", _air(), order=20)
    yield Row("live", "Machine, last 5 minutes", _machine(), order=30)
    yield Row("live", "Motion (live)", [_short(panel) for panel in _motion()], order=40, collapsed=True)


def _now() -> list[Panel]:
    return [
        _newest(
            "Temperature",
            "The latest reading of each sensor. The processor below warms the board, so the room is colder.",
            _SENSORS,
            decimals=1,
            size=(6, 3),
            links={"Environment": "/d/sensetig-environment"},
        ),
        _newest(
            "Humidity",
            "The latest reading of relative humidity at the sensor, which is lower than in the room.",
            _HUMIDITY,
            decimals=0,
            low=0,
            high=100,
            size=(5, 3),
        ),
        _newest(
            "Pressure",
            "The latest reading of air pressure at the board, not reduced to sea level.",
            _PRESSURE,
            decimals=2,
            size=(8, 3),
        ),
        origin(
            "Whether these are readings of a sensor, of a simulation, or of a recording that is played.",
            _SOURCE.origin("environment", "temperature_raw_celsius"),
            size=(5, 3),
        ),
    ]


def _newest(title: str, description: str, names: Names, **more: Any) -> Panel:
    """The latest reading of a field by each sensor, until it is a minute old."""
    panel = number(title, description, *channels(SENSEHAT, "environment", names), no_data=_WAITING, **more)
    return fresh(dressed(panel.text(VizTextDisplayOptions().title_size(13).value_size(20)), names), NOW)


#: The colours of the lines of the Sense HAT's two sensors; others take Grafana's.
_LINES = {
    "hts221 raw": "orange",
    "hts221 room": "green",
    "hts221 calibrated": "purple",
    "lps25h raw": "grey",
    "lps25h room": "blue",
    "lps25h calibrated": "red",
}

#: How far back a chart begins, read from InfluxDB.
_MINUTES = "5m"


def _air() -> list[Panel]:
    return [
        _recent(
            "Temperature",
            "The reading of each sensor within five minutes, and with the processor's heat removed or calibrated where "
            "the device has that.",
            _points(
                "temperature_raw_celsius",
                "temperature_compensated_celsius",
                "temperature_calibrated_celsius",
                names=("raw", "room", "calibrated"),
            ),
            decimals=1,
            colours=_LINES,
            size=(10, 9),
        ),
        _recent(
            "Humidity",
            "Relative humidity at the sensor within five minutes, in the room where a factor is set, and calibrated "
            "where the device has a calibration. Above the dashed lines mould grows.",
            _points(
                "humidity_raw_percent",
                "humidity_compensated_percent",
                "humidity_calibrated_percent",
                names=("raw", "room", "calibrated"),
            ),
            decimals=1,
            colours=_LINES,
            steps=thresholds.DAMP,
            size=(7, 9),
        ),
        _recent(
            "Pressure",
            "Air pressure at the board within five minutes, and calibrated where the device has a calibration. An "
            "opened door shows here at once.",
            _points("pressure_hpa", "pressure_calibrated_hpa", names=("raw", "calibrated")),
            decimals=1,
            colours=_LINES,
            size=(7, 9),
        ),
    ]


def _points(*fields: str, names: tuple[str, ...]) -> Target:
    """The fields of each sensor, a point every five seconds at most."""
    target = _SOURCE.mean("environment", *fields, by=("sensor",), names=names, alias="$tag_sensor $col", fill="none")
    return target.now()


def _recent(title: str, description: str, target: Target, **more: Any) -> Panel:
    """A chart of the last minutes: Grafana cannot begin a streamed one with stored values."""
    panel = lines(title, description, target, fill=0, no_data=f"No reading within {_MINUTES[:-1]} minutes", **more)
    return panel.time_from(_MINUTES).hide_time_override(True).interval("5s")


def _axes(kind: str, unit: str) -> Names:
    colours = {"x": "red", "y": "green", "z": "blue"}
    return {f"{kind}_{axis}_{unit}": (axis, colour) for axis, colour in colours.items()}


def _short(panel: timeseries.Panel) -> timeseries.Panel:
    """A streamed chart of a minute: it begins empty, and is full after that."""
    return panel.time_from("1m").hide_time_override(True)


def _motion() -> list[timeseries.Panel]:
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
    cpu = _MACHINE.mean(
        "cpu",
        *(field for field, _ in _CPU.values()),
        where={"cpu": "cpu-total"},
        names=tuple(_CPU),
        fill="none",
    )
    memory = _MACHINE.mean("mem", "used_percent", names=("in use",), fill="none")
    return [
        _recent(
            "CPU by mode",
            "CPU time of all cores together within five minutes, by mode. Above the dashed line the device responds "
            "slowly.",
            cpu.now(),
            steps=thresholds.BUSY,
            low=0,
            high=100,
            decimals=0,
            stacked=True,
            colours={name: colour for name, (_, colour) in _CPU.items()},
            size=(12, 8),
        ),
        _recent(
            "Memory usage",
            "Memory in use within five minutes. A line that only climbs is a memory leak.",
            memory.now(),
            steps=thresholds.MEMORY,
            low=0,
            high=100,
            decimals=0,
            colours={"in use": "blue"},
            size=(12, 8),
        ),
    ]
