"""A reading of the whole board, and what makes a part of it valid.

A part that the board or the recording does not have is None: no data, and no error. A value that should be
there and is not (the library answers 0 for it) is NaN: no data, and a counted error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue
from collectors.core.schema import Measurement

#: What a source puts in the place of a value that the sensor said is not valid.
INVALID = math.nan


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
    """Counts of the colour sensor's four channels, and the gain they were taken with."""

    red: int
    green: int
    blue: int
    clear: int
    gain: int


class Reading(NamedTuple):
    """What the board sensed at one time.

    Args:
        humidity: relative, percent, of the HTS221.
        temperature_humidity: degrees Celsius, of the HTS221.
        pressure: hPa, of the LPS25H.
        temperature_pressure: degrees Celsius, of the LPS25H.
        temperature_cpu: degrees Celsius, of the Pi below the board.
        attitude: what the library's fusion makes of the three below.
        acceleration: in g.
        gyro: rates of turning, radians per second.
        magnetic: field, microtesla.
        colour: counts.
        time_ns: nanoseconds since 1970-01-01 UTC, or None for the moment it is read.
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


def zeros_removed(reading: Reading) -> Reading:
    """The reading with the zeros that mean "not valid" replaced by :data:`INVALID`.

    0 percent of humidity and 0 hPa occur nowhere on a shelf. A temperature of exactly 0 °C does, so it is
    taken for invalid only where the other value of the same sensor is invalid as well.
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


class Stuck:
    """Notices a sensor that repeats itself.

    The valid flag of the library never clears, so a sensor that has stopped converting looks like one whose
    values do not change. Noise tells them apart: in the Astro Pi's flight data of August 2015, 24,604 readings rounded
    to 0.01, the HTS221 repeats itself once in 87 readings and three times at most; the LPS25H, whose values move more
    slowly, eight times at most; the IMU never. The library gives more digits than that.

    Args:
        after: so many equal readings in a row are a stuck sensor; 0 to never say so.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._last: dict[str, tuple[object, ...]] = {}
        self._runs: dict[str, int] = {}

    def repeats(self, sensor: str, values: tuple[object, ...]) -> bool:
        """Whether this reading of the sensor is one too many of the same."""
        if not self._after:
            return False
        run = self._runs.get(sensor, 0) + 1 if self._last.get(sensor) == values else 1
        self._last[sensor], self._runs[sensor] = values, run
        return run >= self._after


def admitted(
    measurement: Measurement, sensor: str, values: Mapping[str, FieldValue | None], refuse: Callable[[str], None]
) -> dict[str, FieldValue]:
    """The values that the declaration admits, by field; *refuse* is told of each that it does not.

    None is passed over. The sentences leave the value out, so that a sensor which stays out of its range says
    the same again and again, and is written once.
    """
    return dict(_admit(measurement, sensor, values, refuse))


def _admit(
    measurement: Measurement, sensor: str, values: Mapping[str, FieldValue | None], refuse: Callable[[str], None]
) -> Iterator[tuple[str, FieldValue]]:
    for name, value in values.items():
        if value is None:
            continue
        field = measurement.field(name)
        if isinstance(value, float) and math.isnan(value):
            refuse(f"{sensor} gave no valid {name}; if that stays so, check the board's seat on the header")
        elif field.admits(value):
            yield name, value
        else:
            bounds = f"{field.low:g} to {field.high:g} {field.unit}".rstrip()
            refuse(f"{sensor} gave a {name} outside its range of {bounds}; it is left out")
