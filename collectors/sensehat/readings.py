"""A reading of the whole board, and the validity of its values.

A value that the board or the recording does not have is None: no data, and no error. A value that is missing although
the board has the sensor (the library returns 0 for it) is NaN: no data, and a counted error.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue
from collectors.core.schema import Measurement

#: Replaces a value that the sensor marks as invalid.
INVALID = math.nan

#: By how much the HTS221's humidity may be off, percent.
HUMIDITY_ACCURACY = 5.0

_SINGLE = struct.Struct("<f")
_MAX_SINGLE = 1e30

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


def within_humidity(value: float | None) -> float | None:
    """The relative humidity within 0 to 100 percent if it is beyond by less than the sensor's accuracy.

    In saturated air a capacitive sensor reads a little more than 100. HTS221 (DocID026333): 5 percent over the whole
    range.
    """
    if value is None or not -HUMIDITY_ACCURACY <= value <= 100 + HUMIDITY_ACCURACY:
        return value
    return min(100.0, max(0.0, value))


def shortest(value: float) -> float:
    """The shortest number that is equal in single precision, the library's precision; others are unchanged.

    >>> shortest(25.040000915527344), shortest(1013.25), shortest(0.1), shortest(1013.249755859375)
    (25.04, 1013.25, 0.1, 1013.24976)
    """
    if not math.isfinite(value) or value == round(value, 6) or abs(value) > _MAX_SINGLE:
        return value
    single = _SINGLE.pack(value)
    if _SINGLE.unpack(single)[0] != value:
        return value
    for digits in range(6, 10):
        short = float(f"{value:.{digits}g}")
        if _SINGLE.pack(short) == single:
            return short
    return value


class StuckDetector:
    """Detects a sensor that repeats its reading.

    The library's valid flag never clears, so a sensor that has stopped converting looks like one whose values do not
    change. A working sensor has noise: in the Astro Pi's flight data of August 2015, 24,604 readings rounded to 0.01,
    the HTS221 repeats once in 87 readings and at most three times in a row; the LPS25H, whose values change more
    slowly, at most eight times; the IMU never. The library returns more digits than that.

    Args:
        after: number of consecutive equal readings of a stuck sensor; 0 disables the detection.
        recorded: whether readings may have been rounded; those rounded to 0.1 repeat in still air, and prove nothing.
    """

    def __init__(self, after: int, *, recorded: bool = False) -> None:
        self._after = after
        self._recorded = recorded
        self._last: dict[str, tuple[object, ...]] = {}
        self._runs: dict[str, int] = {}

    def is_stuck(self, sensor: str, values: tuple[object, ...]) -> bool:
        """Whether the sensor is stuck, given its next reading."""
        if not self._after or (self._recorded and all(map(_is_coarse, values))):
            return False
        run = self._runs.get(sensor, 0) + 1 if self._last.get(sensor) == values else 1
        self._last[sensor], self._runs[sensor] = values, run
        return run >= self._after


def _is_coarse(value: object) -> bool:
    """Whether a value is missing, or rounded to 0.1."""
    return not isinstance(value, float) or not math.isfinite(value) or round(value, 1) == value


#: What to do about a board that gives no valid value.
CHECK_SEAT = "if that persists, check the board's seat on the header"


def valid_fields(
    measurement: Measurement,
    sensor: str,
    values: Mapping[str, FieldValue | None],
    on_error: Callable[[str], None],
    cure: str = CHECK_SEAT,
) -> dict[str, FieldValue]:
    """The values within the declared range, by field; reports each other value to *on_error*.

    None and :data:`ABSENT` are ignored. The messages do not include the value, so that a sensor that stays out of range
    repeats the same message, which is logged once.

    Args:
        cure: ends the message about a value that the source marks as invalid.
    """
    return dict(_valid(measurement, sensor, values, on_error, cure))


def _valid(
    measurement: Measurement,
    sensor: str,
    values: Mapping[str, FieldValue | None],
    on_error: Callable[[str], None],
    cure: str,
) -> Iterator[tuple[str, FieldValue]]:
    for name, value in values.items():
        if value is None or value is ABSENT:
            continue
        field = measurement.field(name)
        if isinstance(value, float) and math.isnan(value):
            on_error(f"{sensor} returned no valid {name}; {cure}")
        elif field.admits(value):
            yield name, value
        else:
            bounds = f"{field.low:g} to {field.high:g} {field.unit}".rstrip()
            on_error(f"{sensor} returned a {name} outside its range of {bounds}; it is dropped")
