"""Simulated readings: a Pi with a Sense HAT on a shelf in a living room, computed from a seed and a time alone.

No state is carried from one reading to the next, so that two processes with the same seed agree at any time. The model
has the sun's day and season, weather fronts, people who come home, warm the room, breathe and light a lamp, and a CPU
whose load warms the sensors above it. The room's clock is UTC. Temperatures are in degrees Celsius, pressures in hPa.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from collectors.core.api import Context, Unavailable
from collectors.sensehat import PACE, SEED, START
from collectors.sensehat.psychrometrics import dew_point, humidity_at, saturation_vapour_pressure
from collectors.sensehat.readings import Attitude, Colour, Reading, Vector

HOUR, DAY = 3600.0, 86_400.0
YEAR_DAYS = 365.2425

#: Cambridge: latitude, and the horizontal and downward components of the earth's magnetic field, in microtesla.
LATITUDE_DEGREES = 52.2
FIELD_HORIZONTAL, FIELD_DOWN = 19.5, 45.5

#: The compensation factors that recover the room's temperature. They keep the LPS25H about 2 °C below the HTS221, as on
#: the real board.
FACTOR_HTS221, FACTOR_LPS25H = 1.6, 2.4

#: The sensors convert at 12.5 Hz or faster; readings within one conversion are equal.
CONVERSION_NS = 80_000_000

#: Resolution of the sensors, from the datasheets. HTS221: 256 per percent, 64 per degree; LPS25H: 4096 per hPa, 480 per
#: degree; LSM9DS1 at the full scales that the library sets: 0.244 mg, 17.5 mdps, 0.14 mgauss (0.014 microtesla).
#: BCM2711: 0.487 °C.
STEP_HUMIDITY, STEP_TEMPERATURE_H = 1 / 256, 1 / 64
STEP_PRESSURE, STEP_TEMPERATURE_P = 1 / 4096, 1 / 480
STEP_ACCELERATION, STEP_GYRO, STEP_MAGNETIC = 0.000244, math.radians(0.0175), 0.014
STEP_CPU = 0.487

#: Noise (standard deviation) between readings, measured in the Astro Pi's flight data of August 2015; for pressure, it
#: equals the 1 Pa of the LPS25H's datasheet.
NOISE_HUMIDITY, NOISE_TEMPERATURE, NOISE_PRESSURE = 0.09, 0.01, 0.01
NOISE_ACCELERATION, NOISE_GYRO, NOISE_MAGNETIC = 0.0003, 0.0005, 0.12
NOISE_PITCH, NOISE_YAW = 0.05, 0.25


class RoomState(NamedTuple):
    """The true state that the sensors measure.

    Args:
        temperature, humidity: of the air; relative humidity in percent.
        pressure: of the air.
        cpu: temperature of the CPU.
        warmth: temperature of the CPU's heat at the sensors; it follows the CPU slowly.
        daylight, lamp: light on the shelf, 0 for none, 1 for a bright noon.
        redness: 0 for a high sun, 1 for a lamp or a low sun.
    """

    temperature: float
    humidity: float
    pressure: float
    cpu: float
    warmth: float
    daylight: float
    lamp: float
    redness: float


def _draw(seed: int, name: str, number: int) -> Random:
    return Random(f"{seed}/{name}/{number}")


def smooth_noise(seed: int, name: str, seconds: float, period: float) -> float:
    """Noise around 0 with a standard deviation of about 1, which changes smoothly within its period."""
    number, share = divmod(seconds / period, 1.0)
    before = _draw(seed, name, int(number)).gauss(0, 1)
    after = _draw(seed, name, int(number) + 1).gauss(0, 1)
    return before + (after - before) * share * share * (3 - 2 * share)


def sun_elevation_sine(seconds: float) -> float:
    """Sine of the sun's elevation; below 0 at night.

    Declination after P. I. Cooper (1969), Solar Energy 12, 333-346.
    """
    day = seconds / DAY
    declination = math.radians(23.45) * math.sin(math.tau * (284 + day % YEAR_DAYS) / YEAR_DAYS)
    latitude = math.radians(LATITUDE_DEGREES)
    hour_angle = math.tau * (day % 1 - 0.5)
    return math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )


def _rise(value: float, at: float, width: float) -> float:
    """A smooth step from 0 to 1 at *at*."""
    return 0.5 + 0.5 * math.tanh((value - at) / width)


def _between(value: float, begin: float, end: float, width: float) -> float:
    """1 between begin and end and 0 elsewhere, with smooth edges; 0 everywhere if the end comes first."""
    return max(0.0, _rise(value, begin, width) - _rise(value, end, width))


def occupancy(seed: int, seconds: float) -> float:
    """Number of people in the room: in the morning and the evening, and all day at weekends."""
    number, hour = int(seconds // DAY), seconds % DAY / HOUR
    chance = _draw(seed, "people", number)
    count = chance.choice((1, 2, 2, 3, 4))
    up, leave, back, bed = (
        chance.gauss(mean, spread) for mean, spread in ((7, 0.3), (8.3, 0.2), (17.6, 0.6), (22.8, 0.4))
    )
    if (number + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
        return count * _between(hour, up + 1.5, bed + 0.5, 0.3)
    return count * (_between(hour, up, leave, 0.2) + _between(hour, back, bed, 0.3))


def _load(seed: int, seconds: float, present: float) -> float:
    """CPU load, 0 to 1: a job every quarter of an hour, a backup at night, people who view dashboards."""
    load = 0.06 + 0.05 * min(present, 2.0)
    if seconds % 900 < 100:
        load += 0.5
    if 3 * HOUR <= seconds % DAY < 3.4 * HOUR:
        load += 0.7
    return min(1.0, load + 0.1 * abs(smooth_noise(seed, "load", seconds, 120)))


def _load_felt(seed: int, seconds: float, present: float, lag: float) -> float:
    """The load averaged with exponentially decreasing weights, as for a body that takes *lag* seconds to warm up."""
    weights = [math.exp(-number / 3) for number in range(12)]
    loads = [_load(seed, seconds - number * lag / 3, present) for number in range(12)]
    return sum(weight * load for weight, load in zip(weights, loads, strict=True)) / sum(weights)


def room_state(seed: int, seconds: float) -> RoomState:
    """The state of the room at a time, in seconds since 1970."""
    hour = seconds % DAY / HOUR
    season = -math.cos(math.tau * ((seconds / DAY) % YEAR_DAYS - 25) / YEAR_DAYS)  # coldest at the end of January
    cloud = _rise(smooth_noise(seed, "cloud", seconds, 7 * HOUR), 0, 1)
    overcast = _rise(smooth_noise(seed, "overcast", seconds, 2 * DAY), 0, 1)
    mean_outside = 10.5 + 7 * season + 3 * smooth_noise(seed, "front", seconds, 3 * DAY)
    swing = (3 + 2 * season) * (1 - 0.7 * overcast)
    outside = mean_outside + swing * math.cos(math.tau * (hour - 15) / 24)
    dew_point_outside = min(outside, mean_outside - 4 + 2 * smooth_noise(seed, "damp", seconds, 2 * DAY))

    pressure = (
        1013.25
        + 7 * smooth_noise(seed, "pressure", seconds, 5 * DAY)
        + 2.5 * smooth_noise(seed, "trough", seconds, DAY)
    )
    # The atmospheric tide: two maxima a day, at 10:00 and at 22:00.
    pressure += 0.5 * math.cos(2 * math.tau * (hour - 10) / 24)

    present = occupancy(seed, seconds)
    daylight = max(0.0, sun_elevation_sine(seconds)) * (1 - 0.7 * cloud)
    warmed_by_sun = 3 * max(0.0, sun_elevation_sine(seconds - 2 * HOUR)) * (1 - 0.7 * overcast)
    temperature = 19 + 0.15 * (outside - 10) + warmed_by_sun + 0.5 * min(present, 1.0) + 0.4 * present
    vapour = saturation_vapour_pressure(dew_point_outside) + 0.8 * present
    # Ventilation limits the humidity. A CPU that has just become busy misleads the compensation by up to about 6 °C,
    # and the humidity at that temperature must stay below 100 percent.
    humidity = min(60.0, max(8.0, 100 * vapour / saturation_vapour_pressure(temperature)))

    lamp = 0.03 * min(present, 1.0) * (1 - _rise(daylight, 0.1, 0.03))
    redness = 1.0 if daylight == 0 else max(1 - daylight * 3, 0.0)
    return RoomState(
        temperature,
        humidity,
        pressure,
        cpu=temperature + 15 + 22 * _load_felt(seed, seconds, present, 60),
        warmth=temperature + 15 + 22 * _load_felt(seed, seconds, present, 300),
        daylight=daylight,
        lamp=lamp,
        redness=redness,
    )


def _stepped(value: float, step: float) -> float:
    return round(round(value / step) * step, 9)


def read_sensors(seed: int, time_ns: int) -> Reading:
    """The board's reading at a time, in nanoseconds since 1970: the room, with warmed, noisy, quantised sensors."""
    conversion = time_ns // CONVERSION_NS
    return read_sensors_at(seed, conversion, room_state(seed, conversion * CONVERSION_NS / 1e9))


def read_sensors_at(seed: int, conversion: int, truth: RoomState) -> Reading:
    """The board's reading of a room at a conversion, counted since 1970; lets a caller reuse the state of the room."""
    noise = _draw(seed, "noise", conversion)

    def noisy(value: float, spread: float, step: float) -> float:
        return _stepped(value + noise.gauss(0, spread), step)

    warm_h = truth.temperature + (truth.warmth - truth.temperature) / (1 + FACTOR_HTS221)
    warm_p = truth.temperature + (truth.warmth - truth.temperature) / (1 + FACTOR_LPS25H)
    rest = _at_rest(seed, noise)
    humidity = humidity_at(warm_h, dew_point(truth.temperature, truth.humidity))
    return Reading(
        humidity=noisy(humidity, NOISE_HUMIDITY, STEP_HUMIDITY),
        temperature_humidity=noisy(warm_h, NOISE_TEMPERATURE, STEP_TEMPERATURE_H),
        pressure=noisy(truth.pressure, NOISE_PRESSURE, STEP_PRESSURE),
        temperature_pressure=noisy(warm_p, NOISE_TEMPERATURE, STEP_TEMPERATURE_P),
        temperature_cpu=round(noisy(truth.cpu, 0.2, STEP_CPU), 3),
        attitude=rest.attitude,
        acceleration=rest.acceleration,
        gyro=rest.gyro,
        magnetic=rest.magnetic,
        colour=_light(truth, noise),
    )


class _Rest(NamedTuple):
    """The IMU's part of a reading."""

    attitude: Attitude
    acceleration: Vector
    gyro: Vector
    magnetic: Vector


def _at_rest(seed: int, noise: Random) -> _Rest:
    """The IMU's values for a still, slightly tilted board in the earth's field."""
    placed = _draw(seed, "placed", 0)
    pitch, roll = (math.radians(placed.uniform(-1.5, 1.5)) for _ in range(2))
    yaw = math.radians(placed.uniform(0, 360))
    north, east = FIELD_HORIZONTAL * math.cos(yaw), -FIELD_HORIZONTAL * math.sin(yaw)
    x = north * math.cos(pitch) - FIELD_DOWN * math.sin(pitch)
    down = north * math.sin(pitch) + FIELD_DOWN * math.cos(pitch)
    field = (x, east * math.cos(roll) + down * math.sin(roll), down * math.cos(roll) - east * math.sin(roll))
    gravity = (-math.sin(pitch), math.sin(roll) * math.cos(pitch), math.cos(roll) * math.cos(pitch))

    def angle(radians: float, spread: float) -> float:
        return round((math.degrees(radians) + noise.gauss(0, spread)) % 360, 3)

    return _Rest(
        Attitude(angle(pitch, NOISE_PITCH), angle(roll, NOISE_PITCH), angle(yaw, NOISE_YAW)),
        Vector(*(_stepped(value + noise.gauss(0, NOISE_ACCELERATION), STEP_ACCELERATION) for value in gravity)),
        Vector(*(_stepped(noise.gauss(0, NOISE_GYRO), STEP_GYRO) for _ in range(3))),
        Vector(*(_stepped(value + noise.gauss(0, NOISE_MAGNETIC), STEP_MAGNETIC) for value in field)),
    )


def _light(truth: RoomState, noise: Random) -> Colour:
    """Counts of the colour sensor at gain 16 and 64 cycles, one metre from a window."""
    clear = 40_000 * (truth.daylight + truth.lamp)
    shares = (0.32 + 0.14 * truth.redness, 0.36, 0.30 - 0.14 * truth.redness, 1.0)
    red, green, blue, white = (
        max(0, min(65_535, round(clear * share + noise.gauss(0, 1) * math.sqrt(clear * share)))) for share in shares
    )
    return Colour(red, green, blue, white, gain=16)


class SimulatedBoard:
    """A simulated board.

    Without a start and at pace 1, the simulated time is the current time, so that two processes with the same seed
    agree. Lines always carry the current time.
    """

    tags = {"simulated": "true"}  # noqa: RUF012 - never modified

    def __init__(self, context: Context) -> None:
        self._clock_ns = context.clock_ns
        self._seed = context.values[SEED]
        self._pace = context.values[PACE]
        if self._pace == 0:
            raise Unavailable("the setting pace is 0, which is only valid for recordings: a simulation would stop")
        self._started_ns: int | None = None
        start = context.values[START]
        self._origin_ns: int | None = None
        if start:
            from collectors.sensehat.csv_recording import parse_time  # only needed for a start

            try:
                self._origin_ns = parse_time("the setting start", start)
            except ValueError as error:
                raise Unavailable(f"{error}") from None

    def read(self) -> Iterator[Reading]:
        """One reading."""
        now_ns = self._clock_ns()
        if self._started_ns is None:
            self._started_ns = now_ns
        origin_ns = self._started_ns if self._origin_ns is None else self._origin_ns
        yield read_sensors(self._seed, origin_ns + round((now_ns - self._started_ns) * self._pace))

    def close(self) -> None:
        """Nothing to close."""
