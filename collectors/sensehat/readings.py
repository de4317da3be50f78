"""A reading of the whole board, and the validity of its values.

A value that the board or the recording does not have is None: no data, and no error. A value that is missing although
the board has the sensor (the library returns 0 for it) is NaN: no data, and a counted error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue
from collectors.core.schema import Measurement

#: Replaces a value that the sensor marks as invalid.
INVALID = math.nan

#: Replaces an axis that a recording does not have; found by identity.
ABSENT = float("nan")


class Vector(NamedTuple):
    """Three axes of one quantity."""

    x: float
    y: float
    z: float


class Attitude(NamedTuple):
    """Orientation as aircraft axes in degrees, each 0 to 360."""

    pitch: float
    roll: float
    yaw: float


class Colour(NamedTuple):
    """Counts of the colour sensor's four channels, and the gain that they were measured with; None if unknown."""

    red: int | None
    green: int | None
    blue: int | None
    clear: int | None
    gain: int | None


class Reading(NamedTuple):
    """The values of all sensors at one time.

    Args:
        humidity: relative, percent, of the HTS221.
        temperature_humidity: degrees Celsius, of the HTS221.
        pressure: hPa, of the LPS25H.
        temperature_pressure: degrees Celsius, of the LPS25H.
        temperature_cpu: degrees Celsius, of the Pi below the board.
        attitude: the library's fusion of the three below.
        acceleration: in g.
        gyro: angular rates, radians per second.
        magnetic: field, microtesla.
        colour: counts.
        time_ns: nanoseconds since 1970-01-01 UTC, or None for the time of reading.
    """

    humidity: float | None = None
    temperature_humidity: float | None = None
    pressure: float | None = None
    temperature_pressure: float | None = None
    temperature_cpu: float | None = None
    attitude: Attitude | None = None
    acceleration: Vector | None = None
    gyro: Vector | None = None
    magnetic: Vector | None = None
    colour: Colour | None = None
    time_ns: int | None = None


def replace_zeros(reading: Reading) -> Reading:
    """Replace zeros that mean "invalid" with :data:`INVALID`.

    A humidity of 0 percent and a pressure of 0 hPa do not occur. A temperature of exactly 0 °C does, so it counts as
    invalid only if the other value of the same sensor is invalid as well.
    """
    humidity, warm_h = _pair(reading.humidity, reading.temperature_humidity)
    pressure, warm_p = _pair(reading.pressure, reading.temperature_pressure)
    return reading._replace(
        humidity=humidity, temperature_humidity=warm_h, pressure=pressure, temperature_pressure=warm_p
    )


def _pair(value: float | None, temperature: float | None) -> tuple[float | None, float | None]:
    if value == 0:
        value = INVALID
    if temperature == 0 and value is not None and math.isnan(value):
        temperature = INVALID
    return value, temperature


class StuckDetector:
    """Detects a sensor that repeats its reading.

    The library's valid flag never clears, so a sensor that has stopped converting looks like one whose values do not
    change. A working sensor has noise: in the Astro Pi's flight data of August 2015, 24,604 readings rounded to 0.01,
    the HTS221 repeats once in 87 readings and at most three times in a row; the LPS25H, whose values change more
    slowly, at most eight times; the IMU never. The library returns more digits than that.

    Args:
        after: number of consecutive equal readings of a stuck sensor; 0 disables the detection.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._last: dict[str, tuple[object, ...]] = {}
        self._runs: dict[str, int] = {}

    def is_stuck(self, sensor: str, values: tuple[object, ...]) -> bool:
        """Whether the sensor is stuck, given its next reading."""
        if not self._after:
            return False
        run = self._runs.get(sensor, 0) + 1 if self._last.get(sensor) == values else 1
        self._last[sensor], self._runs[sensor] = values, run
        return run >= self._after


def valid_fields(
    measurement: Measurement, sensor: str, values: Mapping[str, FieldValue | None], on_error: Callable[[str], None]
) -> dict[str, FieldValue]:
    """The values within the declared range, by field; reports each other value to *on_error*.

    None and :data:`ABSENT` are ignored. The messages do not include the value, so that a sensor that stays out of range
    repeats the same message, which is logged once.
    """
    return dict(_valid(measurement, sensor, values, on_error))


def _valid(
    measurement: Measurement, sensor: str, values: Mapping[str, FieldValue | None], on_error: Callable[[str], None]
) -> Iterator[tuple[str, FieldValue]]:
    for name, value in values.items():
        if value is None or value is ABSENT:
            continue
        field = measurement.field(name)
        if isinstance(value, float) and math.isnan(value):
            on_error(f"{sensor} returned no valid {name}; if that persists, check the board's seat on the header")
        elif field.admits(value):
            yield name, value
        else:
            bounds = f"{field.low:g} to {field.high:g} {field.unit}".rstrip()
            on_error(f"{sensor} returned a {name} outside its range of {bounds}; it is dropped")
