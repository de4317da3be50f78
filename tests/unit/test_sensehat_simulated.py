"""The simulated room: a pure and plausible function of seed and time."""

from __future__ import annotations

import itertools
import math
import statistics
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.core.api import Polled, Unavailable
from collectors.sensehat import MEASUREMENTS, create
from collectors.sensehat.orientation import heading
from collectors.sensehat.psychrometrics import dew_point, humidity_at, without_cpu_heat
from collectors.sensehat.readings import Attitude, Reading, Vector
from collectors.sensehat.simulated import (
    DAY,
    FACTOR_HTS221,
    FACTOR_LPS25H,
    FIELD_DOWN,
    FIELD_HORIZONTAL,
    HOUR,
    occupancy,
    read_sensors,
    room_state,
    sun_elevation_sine,
)
from tests.schema_check import violations
from tests.unit.sensehat_support import START_NS, Bench, fields

#: Monday, 2026-06-15, 00:00 UTC.
SUMMER = 1_781_481_600.0
#: Monday, 2026-12-14, 00:00 UTC.
WINTER = SUMMER + 182 * DAY

seeds = st.integers(0, 2**31)
#: 2020 to 2040.
times_ns = st.integers(1_577_836_800 * 10**9, 2_208_988_800 * 10**9)


def at(seed: int, seconds: float) -> Reading:
    return read_sensors(seed, round(seconds * 1e9))


def value(number: float | None) -> float:
    assert number is not None
    return number


def imu(reading: Reading) -> tuple[Attitude, Vector, Vector, Vector]:
    assert reading.attitude is not None
    assert reading.acceleration is not None
    assert reading.gyro is not None
    assert reading.magnetic is not None
    return reading.attitude, reading.acceleration, reading.gyro, reading.magnetic


def test_two_processes_with_one_seed_agree() -> None:
    code = f"from collectors.sensehat.simulated import read_sensors; print(read_sensors(7, {START_NS}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == str(read_sensors(7, START_NS))


def test_another_seed_is_another_room() -> None:
    assert read_sensors(1, START_NS) != read_sensors(2, START_NS)


def test_reading_changes_with_each_conversion_only() -> None:
    start = START_NS // 80_000_000 * 80_000_000
    assert read_sensors(1, start) == read_sensors(1, start + 79_999_999)
    assert read_sensors(1, start) != read_sensors(1, start + 80_000_000)


@settings(max_examples=40)
@given(seeds, times_ns)
@example(123, 2_196_112_520_000_000_000)  # a damp evening, and a processor that has just become busy
def test_at_any_time_every_value_is_as_declared_and_valid(seed: int, time_ns: int) -> None:
    bench = Bench(backend="simulated", seed=seed, compensation_factor=FACTOR_HTS221)
    bench.now_ns = time_ns
    made = create(bench.context)
    assert isinstance(made, Polled)
    metrics = list(made.collect())
    assert len(metrics) == 4
    assert occupancy(seed, time_ns / 1e9) >= 0
    assert bench.report.errors == 0
    assert [each for metric in metrics for each in violations(metric, MEASUREMENTS)] == []
    assert {metric.series.tags.get("simulated") for metric in metrics} == {"true"}


def test_sun_elevation_is_that_of_cambridge() -> None:
    noon = math.degrees(math.asin(sun_elevation_sine(SUMMER + 6 * DAY + 12 * HOUR)))
    assert noon == pytest.approx(90 - 52.2 + 23.4, abs=0.3)
    assert math.degrees(math.asin(sun_elevation_sine(WINTER + 7 * DAY + 12 * HOUR))) == pytest.approx(
        90 - 52.2 - 23.4, abs=0.3
    )
    assert sun_elevation_sine(WINTER) < 0


def test_light_follows_the_sun_and_a_lamp_lights_the_evening() -> None:
    def clear(seconds: float) -> int:
        colour = at(1, seconds).colour
        assert colour is not None
        assert colour.clear is not None
        return colour.clear

    assert clear(SUMMER + 12 * HOUR) > 5 * clear(WINTER + 8.5 * HOUR)
    assert clear(WINTER + 20 * HOUR) > 0
    assert clear(WINTER + 3 * HOUR) == 0


def test_people_are_out_on_a_working_day_and_in_at_the_weekend() -> None:
    for week in range(8):
        monday = SUMMER + 7 * week * DAY
        assert occupancy(1, monday + 13 * HOUR) == pytest.approx(0, abs=1e-3)
        assert occupancy(1, monday + 20 * HOUR) >= 0.9
        assert occupancy(1, monday + 6 * DAY + 13 * HOUR) >= 0.9
        assert occupancy(1, monday + 3 * HOUR) == pytest.approx(0, abs=1e-3)


def test_people_make_the_room_warmer_and_damper() -> None:
    noons, evenings = ([room_state(1, WINTER + day * DAY + hour * HOUR) for day in range(5)] for hour in (14, 21))
    assert statistics.mean(each.temperature for each in evenings) > statistics.mean(each.temperature for each in noons)
    damp = [dew_point(each.temperature, each.humidity) for each in (*noons, *evenings)]
    assert statistics.mean(damp[5:]) > statistics.mean(damp[:5]) + 0.5


def test_weather_changes_over_days_and_not_over_minutes() -> None:
    hourly = [room_state(1, SUMMER + hour * HOUR).pressure for hour in range(24 * 60)]
    assert 3 < statistics.stdev(hourly) < 15
    assert 960 < min(hourly) < max(hourly) < 1060
    assert max(abs(after - before) for before, after in itertools.pairwise(hourly)) < 3


def test_cpu_load_warms_the_cpu_and_the_sensors() -> None:
    idle, busy = WINTER + 2.9 * HOUR, WINTER + 3.35 * HOUR
    assert room_state(1, busy).cpu > room_state(1, idle).cpu + 8
    assert value(at(1, busy).temperature_humidity) > value(at(1, idle).temperature_humidity) + 2


def test_lps25h_reads_about_2_degrees_below_the_hts221() -> None:
    below = []
    for hour in range(48):
        reading = at(1, SUMMER + hour * HOUR)
        below.append(value(reading.temperature_humidity) - value(reading.temperature_pressure))
    assert 1 < statistics.mean(below) < 3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_compensation_recovers_the_room_temperature(seed: int) -> None:
    warm, damp, pressure_side = [], [], []
    for number in range(600):
        seconds = SUMMER + number * 1013  # no multiple of the quarter of an hour at which the CPU's jobs run
        truth, reading = room_state(seed, seconds), at(seed, seconds)
        raw, cpu = value(reading.temperature_humidity), value(reading.temperature_cpu)
        found = without_cpu_heat(raw, cpu, FACTOR_HTS221)
        warm.append(found - truth.temperature)
        damp.append(humidity_at(found, dew_point(raw, value(reading.humidity))) - truth.humidity)
        pressure_side.append(
            without_cpu_heat(value(reading.temperature_pressure), cpu, FACTOR_LPS25H) - truth.temperature
        )
    for errors, bound in ((warm, 0.5), (pressure_side, 0.5), (damp, 2.0)):
        assert abs(statistics.mean(errors)) < bound


def test_imu_at_rest_measures_gravity_and_the_earths_field() -> None:
    for seed in range(20):
        attitude, acceleration, gyro, magnetic = imu(at(seed, SUMMER))
        assert math.hypot(*acceleration) == pytest.approx(1, abs=0.005)
        assert math.hypot(*magnetic) == pytest.approx(math.hypot(FIELD_HORIZONTAL, FIELD_DOWN), abs=1)
        assert max(map(abs, gyro)) < 0.01
        assert abs((heading(acceleration, magnetic) - attitude.yaw + 180) % 360 - 180) < 3


def test_values_are_multiples_of_the_sensors_resolution() -> None:
    reading = at(1, SUMMER)
    for number, steps in (
        (reading.humidity, 256),
        (reading.temperature_humidity, 64),
        (reading.pressure, 4096),
        (reading.temperature_pressure, 480),
    ):
        assert value(number) * steps == pytest.approx(round(value(number) * steps), abs=1e-4)


def test_simulated_board_is_never_stuck() -> None:
    bench = Bench(backend="simulated", stale_after=3)
    made = create(bench.context)
    assert isinstance(made, Polled)
    for _ in range(300):
        assert len(list(made.collect())) == 4
        bench.after(10)
    assert bench.report.errors == 0


def test_pace_plays_a_day_in_a_minute_from_its_start() -> None:
    bench = Bench(backend="simulated", start="2026-06-15T00:00", pace=1440.0, seed=4)
    made = create(bench.context)
    assert isinstance(made, Polled)
    midnight = fields(made.collect(), "environment", "lps25h")
    bench.after(30)
    metrics = list(made.collect())
    assert {metric.time_ns for metric in metrics} == {START_NS + 30 * 10**9}
    assert midnight["pressure_hpa"] == at(4, SUMMER).pressure
    assert fields(metrics, "environment", "lps25h")["pressure_hpa"] == at(4, SUMMER + 12 * HOUR).pressure


def test_invalid_start_time_cannot_start() -> None:
    with pytest.raises(Unavailable, match=r"the setting start: expected a time such as .*, got 'noon'"):
        create(Bench(backend="simulated", start="noon").context)


def test_simulation_with_pace_0_cannot_start() -> None:
    with pytest.raises(Unavailable, match="the setting pace is 0, which is only valid for recordings"):
        create(Bench(backend="simulated", pace=0.0).context)
