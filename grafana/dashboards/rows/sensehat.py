"""The Environment dashboard: the readings of the Sense HAT's sensors, and of others."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.sensehat import MEASUREMENTS
from grafana.dashboards.boards import weather
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing, number, origin
from grafana.dashboards.lib.query import Source, Target, switched
from grafana.dashboards.lib.style import paint, properties, shaded
from grafana.dashboards.lib.swatch import swatch
from sensetig import policy

_SOURCE = Source(MEASUREMENTS)

#: The Sense HAT's two sensors, and those of other collectors: a tag separates them.
_HUMIDITY_SENSOR = {"sensor": "hts221"}
_PRESSURE_SENSOR = {"sensor": "lps25h"}
_SENSE_HAT = {"sensor": "(hts221|lps25h)"}
_OTHER_SENSORS = {"sensor": "!(hts221|lps25h)"}

#: The legend's columns on this dashboard.
_TABLE = ("min", "mean", "max")


def rows() -> Iterable[Row]:
    yield Row("environment", "", _glance(), order=0)
    yield Row("environment", "Air", _air(), order=10)
    yield Row("environment", "Position and motion", _motion(), order=20, collapsed=True)
    yield Row("environment", "Light", _light(), order=30, collapsed=True)


def _glance() -> list[Panel]:
    return [
        weather.now(_SOURCE),
        number(
            "Last reading",
            "When the Sense HAT was last read. More than a minute ago: see the Pipeline dashboard.",
            _SOURCE.newest("environment", "temperature_raw_celsius", where=_SENSE_HAT),
            time=True,
            size=(5, 3),
            no_data=f"none within {policy.FORGOTTEN_DAYS} days",
        ),
        weather.tendency(_SOURCE),
        weather.comfort(_SOURCE, no_data="no calibrated reading"),
        swatch(
            "Light",
            "The colour of the light that falls on the board: each channel as a share of the strongest. The number "
            "is its brightness, in per cent of the sensor's maximum.",
            "colour",
            size=(4, 3),
            no_data="no reading",
        ),
        origin(
            "Whether these are readings of a sensor, of a simulation, or of a recording that is played.",
            _SOURCE.origin("environment", "temperature_raw_celsius"),
            size=(4, 3),
        ),
    ]


def _air() -> list[Panel]:
    return [
        lines(
            "Temperature",
            "The reading of each sensor, with the processor's heat removed where a factor is set, the calibrated "
            "temperature, the processor's own, and the dew point. Raw lines that follow the processor are warmed by "
            "it.",
            _SOURCE.mean("environment", "temperature_raw_celsius", where=_HUMIDITY_SENSOR, names=("humidity sensor",)),
            _SOURCE.mean("environment", "temperature_raw_celsius", where=_PRESSURE_SENSOR, names=("pressure sensor",)),
            _SOURCE.mean("environment", "temperature_compensated_celsius", where=_HUMIDITY_SENSOR, names=("room",)),
            _SOURCE.mean(
                "environment", "temperature_calibrated_celsius", where=_HUMIDITY_SENSOR, names=("calibrated",)
            ),
            _SOURCE.mean("environment", "temperature_cpu_celsius", where=_HUMIDITY_SENSOR, names=("processor",)),
            _SOURCE.mean("environment", "dew_point_celsius", where=_HUMIDITY_SENSOR, names=("dew point",)),
            _others("temperature_raw_celsius", "temperature_calibrated_celsius"),
            decimals=1,
            fill=4,
            calcs=_TABLE,
            colours={
                "humidity sensor": "orange",
                "pressure sensor": "grey",
                "room": "green",
                "calibrated": "purple",
                "processor": "red",
                "dew point": "blue",
            },
            size=(14, 14),
            links={"Device": "/d/sensetig-device"},
        ),
        lines(
            "Humidity",
            "Relative humidity at the sensor and, where a factor is set, in the room. Above the upper dashed line "
            "mould grows.",
            _SOURCE.mean(
                "environment",
                "humidity_raw_percent",
                "humidity_compensated_percent",
                "humidity_calibrated_percent",
                where=_HUMIDITY_SENSOR,
                names=("at the sensor", "in the room", "calibrated"),
            ),
            _others("humidity_raw_percent", "humidity_calibrated_percent"),
            decimals=1,
            soft_low=25,
            soft_high=75,
            fill=4,
            steps=thresholds.DAMP,
            calcs=_TABLE,
            colours={"at the sensor": "blue", "in the room": "green", "calibrated": "purple"},
            size=(10, 14),
        ),
        lines(
            "Pressure",
            "Air pressure at the board. Falling by more than 1 hPa an hour: wind and rain are near.",
            _SOURCE.mean(
                "environment",
                "pressure_hpa",
                "pressure_calibrated_hpa",
                where=_PRESSURE_SENSOR,
                names=("raw", "calibrated"),
            ),
            _others("pressure_hpa", "pressure_calibrated_hpa"),
            decimals=1,
            fill=0,
            calcs=("min", "max"),
            colours={"raw": "purple", "calibrated": "blue"},
            legend=True,
            size=(10, 8),
        ),
        lines(
            "Pressure change, 3 h",
            "The last two days: each bar is the mean of three hours less that of the three hours before. Below the "
            "dashed lines the weather turns: from 3.5 hPa the pressure falls quickly, from 6 very rapidly.",
            _SOURCE.written(
                'SELECT difference(mean("pressure_hpa")) AS "change" FROM "environment" WHERE $scope '
                "AND \"sensor\" = 'lps25h' GROUP BY time(3h) fill(none)",
                alias="$col",
                unit="hpa",
            ),
            decimals=1,
            bars=True,
            soft_low=-4,
            soft_high=4,
            steps=thresholds.FALLING_PRESSURE,
            colours={"change": "purple"},
            legend=False,
            size=(7, 8),
            no_data="Not enough readings in two days",
        )
        .time_from("48h")
        .hide_time_override(True),
        lines(
            "Heat from the processor",
            "How much warmer the processor is than the sensor above it. The larger and the less steady the "
            "difference, the more of the raw temperature is the board's own heat.",
            _SOURCE.written(
                switched(
                    *(
                        'SELECT mean("temperature_cpu_celsius") - mean("temperature_raw_celsius") '  # noqa: S608 - no input
                        f'AS "processor above sensor" FROM {bucket}"environment" WHERE $scope '
                        "AND \"sensor\" = 'hts221' GROUP BY time($interval) fill(null)"
                        for bucket in ("", '"hourly"..')
                    )
                ),
                alias="$col",
                unit="celsius",
            ),
            decimals=1,
            low=0,
            colours={"processor above sensor": "red"},
            legend=False,
            size=(7, 8),
        ),
        listing(
            "Sensors",
            "The reading of each sensor within the last minute, those of the Sense HAT and others. The numbers on top "
            "are the Sense HAT's.",
            _SOURCE.newest(
                "environment",
                "temperature_raw_celsius",
                "humidity_raw_percent",
                "pressure_hpa",
                by=("sensor",),
                names=("Temperature", "Humidity", "Pressure"),
            ),
            hidden=("Time",),
            order=("sensor", "Temperature", "Humidity", "Pressure"),
            renamed={"sensor": "Sensor"},
            columns={
                "Temperature": properties(unit="celsius", decimals=1, noValue="–"),
                "Humidity": properties(unit="percent", decimals=0, noValue="–"),
                "Pressure": properties(unit="pressurehpa", decimals=1, noValue="–"),
            },
            seconds=policy.LATE_SECONDS,
            size=(24, 5),
            no_data="No sensor was read within a minute",
        ),
    ]


def _others(raw: str, calibrated: str) -> Target:
    """The same of each sensor that is not the Sense HAT's."""
    return _SOURCE.mean(
        "environment",
        raw,
        calibrated,
        by=("sensor",),
        where=_OTHER_SENSORS,
        names=("raw", "calibrated"),
        alias="$tag_sensor $col",
    )


def _axes(prefix: str, unit: str) -> tuple[str, str, str]:
    return (f"{prefix}_x_{unit}", f"{prefix}_y_{unit}", f"{prefix}_z_{unit}")


def _motion() -> list[Panel]:
    axes = {"x": "red", "y": "green", "z": "blue"}
    return [
        lines(
            "Orientation",
            "Pitch, roll and yaw of the board. Unexpected steps mean that it was moved.",
            _SOURCE.mean(
                "imu", "pitch_degrees", "roll_degrees", "yaw_degrees", function="last", names=("pitch", "roll", "yaw")
            ),
            low=0,
            high=360,
            fill=0,
            colours={"pitch": "red", "roll": "green", "yaw": "blue"},
            size=(8, 8),
        ),
        lines(
            "Acceleration",
            "In multiples of gravity: 1 g on z where the board lies flat. Spikes are knocks.",
            _SOURCE.mean("imu", *_axes("acceleration", "g"), names=axes),
            fill=0,
            soft_low=-1,
            soft_high=1,
            decimals=1,
            colours=axes,
            size=(8, 8),
        ),
        lines(
            "Angular velocity",
            "Rotation about each axis; near 0 at rest.",
            _SOURCE.mean("imu", *_axes("gyro", "radians_per_second"), names=axes),
            fill=0,
            soft_low=-0.1,
            soft_high=0.1,
            colours=axes,
            size=(8, 8),
        ),
        lines(
            "Magnetic field",
            "Along each axis; the Earth's is 25 to 65 µT in total. More: iron, a magnet or a motor is near.",
            _SOURCE.mean("imu", *_axes("magnetic", "microtesla"), names=axes),
            fill=0,
            colours=axes,
            size=(16, 8),
        ),
        lines(
            "Heading",
            "Direction of the board's x axis, from magnetic north.",
            _SOURCE.mean("imu", "heading_degrees", function="last", names=("heading",)),
            low=0,
            high=360,
            fill=0,
            overrides={"heading": shaded("purple")},
            size=(8, 8),
        ),
    ]


def _light() -> list[Panel]:
    return [
        lines(
            "Colour",
            "Counts of the colour sensor behind its filters, and without one (clear). At 65535 it is saturated: "
            "lower the gain.",
            _SOURCE.mean("colour", "red", "green", "blue", "clear"),
            low=0,
            fill=4,
            colours={"red": "red", "green": "green", "blue": "blue"},
            overrides={"clear": properties(color=paint("text"))},
            size=(16, 8),
            no_data="No colour in this time range; the second edition of the Sense HAT measures it",
        ),
        lines(
            "Gain",
            "The gain of the counts; compare counts only at the same gain.",
            _SOURCE.mean("colour", "gain", function="last"),
            low=0,
            size=(8, 8),
            no_data="No colour in this time range",
        ),
    ]
