"""What makes a reading valid, and the lines that are made of it."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.core.line_protocol import Metric
from collectors.sensehat import MEASUREMENTS
from collectors.sensehat.collector import LineBuilder
from collectors.sensehat.readings import (
    INVALID,
    Attitude,
    Colour,
    Reading,
    StuckDetector,
    Vector,
    replace_zeros,
    shortest,
)
from tests.schema_check import violations
from tests.unit.sensehat_support import fields

GOOD = Reading(
    humidity=45.0,
    temperature_humidity=29.0,
    pressure=1013.0,
    temperature_pressure=27.0,
    temperature_cpu=47.0,
    attitude=Attitude(1.0, 359.0, 90.0),
    acceleration=Vector(0.0, 0.0, 1.0),
    gyro=Vector(0.0, 0.0, 0.001),
    magnetic=Vector(20.0, 0.0, 45.0),
    colour=Colour(30, 40, 20, 100, 16),
)


class Made:
    """The lines of consecutive readings, and the rejections."""

    def __init__(
        self, *, factor: float | None = None, factor_lps25h: float | None = None, stale_after: int = 10
    ) -> None:
        self.refused: list[str] = []
        self._lines = LineBuilder("pi-1", {}, factor, factor_lps25h, stale_after, self.refused.append)

    def of(self, reading: Reading) -> list[Metric]:
        return list(self._lines.build(reading, 17))


def test_valid_reading_gives_four_lines_at_one_time_without_errors() -> None:
    made = Made()
    metrics = made.of(GOOD)
    assert [(metric.series.measurement, metric.series.tags.get("sensor")) for metric in metrics] == [
        ("environment", "hts221"),
        ("environment", "lps25h"),
        ("imu", None),
        ("colour", None),
    ]
    assert {metric.time_ns for metric in metrics} == {17}
    assert fields(metrics, "environment", "lps25h") == {
        "temperature_raw_celsius": 27.0,
        "pressure_hpa": 1013.0,
        "temperature_cpu_celsius": 47.0,
    }
    assert fields(metrics, "imu")["heading_degrees"] == 0.0
    assert fields(metrics, "colour") == {"red": 30, "green": 40, "blue": 20, "clear": 100, "gain": 16}
    assert made.refused == []


def test_without_a_factor_there_is_no_compensation() -> None:
    line = fields(Made().of(GOOD), "environment", "hts221")
    assert set(line) == {
        "temperature_raw_celsius",
        "temperature_cpu_celsius",
        "humidity_raw_percent",
        "dew_point_celsius",
    }
    # 45 % of the saturation pressure at 29 °C (40.055 hPa) is that at 15.86 °C, by the Smithsonian tables.
    assert line["dew_point_celsius"] == pytest.approx(15.86, abs=0.03)


def test_compensated_humidity_follows_from_the_dew_point() -> None:
    metrics = Made(factor=2.0).of(GOOD)
    line = fields(metrics, "environment", "hts221")
    assert line["temperature_compensated_celsius"] == 20.0
    assert line["compensation_factor"] == 2.0
    # The same vapour: its pressure is 45 % of saturation at 29 °C, and so a larger share of it at 20 °C.
    assert line["humidity_compensated_percent"] == pytest.approx(45 * 40.055 / 23.373, rel=0.003)
    assert line["dew_point_celsius"] == fields(Made().of(GOOD), "environment", "hts221")["dew_point_celsius"]
    assert "temperature_compensated_celsius" not in fields(metrics, "environment", "lps25h")


def test_each_sensor_has_its_own_factor() -> None:
    line = fields(Made(factor_lps25h=4.0).of(GOOD), "environment", "lps25h")
    assert line["temperature_compensated_celsius"] == 22.0
    assert line["compensation_factor"] == 4.0
    assert "humidity_compensated_percent" not in line


def test_factor_that_cools_below_the_dew_point_is_reported_and_compensates_nothing() -> None:
    made = Made(factor=0.8, factor_lps25h=0.8)
    metrics = made.of(GOOD)
    for sensor in ("hts221", "lps25h"):
        line = fields(metrics, "environment", sensor)
        assert "temperature_raw_celsius" in line
        assert not {"temperature_compensated_celsius", "humidity_compensated_percent", "compensation_factor"} & set(
            line
        )
    assert made.refused == [
        f"the compensated temperature of {sensor} is below the dew point, which air never is; it is dropped. "
        "Increase the compensation factor"
        for sensor in ("hts221", "lps25h")
    ]


@pytest.mark.parametrize(("measured", "emitted"), [(100.4, 100.0), (104.9, 100.0), (-0.4, 0.0)])
def test_humidity_beyond_the_ends_within_the_accuracy_is_that_of_the_end(measured: float, emitted: float) -> None:
    made = Made()
    line = fields(made.of(GOOD._replace(humidity=measured)), "environment", "hts221")
    assert line["humidity_raw_percent"] == emitted
    assert line.get("dew_point_celsius") == (29.0 if emitted else None)
    assert made.refused == []


def test_compensation_of_saturated_air_without_heat_is_valid() -> None:
    made = Made(factor=2.0)
    line = fields(made.of(GOOD._replace(humidity=100.4, temperature_cpu=29.0)), "environment", "hts221")
    assert (line["temperature_compensated_celsius"], line["humidity_compensated_percent"]) == (29.0, 100.0)
    assert made.refused == []


@given(st.floats(width=32))
def test_shortened_value_is_the_same_in_single_precision(value: float) -> None:
    short = shortest(value)
    assert math.isnan(value) or struct.pack("<f", short) == struct.pack("<f", value)


@given(st.floats(-2000, 2000))
def test_value_of_double_precision_stays(value: float) -> None:
    assert shortest(value) == pytest.approx(value, rel=1e-6, abs=1e-30)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.4, 1.8])
def test_without_gravity_there_is_no_heading_and_no_error(share: float) -> None:
    made = Made()
    line = fields(made.of(GOOD._replace(acceleration=Vector(0.0, 0.0, share))), "imu")
    assert line["acceleration_z_g"] == share
    assert "heading_degrees" not in line
    assert made.refused == []


def test_factor_without_a_cpu_temperature_is_reported() -> None:
    made = Made(factor=2.0)
    line = fields(made.of(GOOD._replace(temperature_cpu=None)), "environment", "hts221")
    assert "compensation_factor" not in line
    assert made.refused == [
        "hts221 has a compensation factor, but there is no CPU temperature to compensate with; see sys_root"
    ]


@pytest.mark.parametrize(("name", "sensor"), [("humidity", "hts221"), ("pressure", "lps25h")])
def test_zero_humidity_or_pressure_is_invalid_and_counted(name: str, sensor: str) -> None:
    made = Made()
    change: dict[str, Any] = {name: 0.0}
    line = fields(made.of(GOOD._replace(**change)), "environment", sensor)
    assert set(line) == {"temperature_raw_celsius", "temperature_cpu_celsius"}
    assert len(made.refused) == 1
    assert made.refused[0].startswith(f"{sensor} returned no valid {name}_")


def test_zero_degrees_is_valid_unless_the_sensor_is_invalid() -> None:
    cold = replace_zeros(Reading(humidity=80.0, temperature_humidity=0.0, pressure=0.0, temperature_pressure=0.0))
    assert cold.temperature_humidity == 0.0
    assert cold.temperature_pressure is not None
    assert math.isnan(cold.temperature_pressure)


def test_sensor_without_valid_values_has_no_line() -> None:
    made = Made()
    metrics = made.of(GOOD._replace(humidity=INVALID, temperature_humidity=INVALID))
    assert fields(metrics, "environment", "hts221") == {}
    assert fields(metrics, "environment", "lps25h") != {}
    assert len(made.refused) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"humidity": 105.5}, "hts221 returned a humidity_raw_percent outside its range of 0 to 100 percent"),
        (
            {"temperature_humidity": -41.0},
            "hts221 returned a temperature_raw_celsius outside its range of -40 to 120 celsius",
        ),
        ({"pressure": 259.9}, "lps25h returned a pressure_hpa outside its range of 260 to 1260 hpa"),
        (
            {"temperature_pressure": -35.0},
            "lps25h returned a temperature_raw_celsius outside its range of -30 to 105 celsius",
        ),
        (
            {"temperature_cpu": 300.0},
            "the CPU returned a temperature_cpu_celsius outside its range of -40 to 125 celsius",
        ),
        (
            {"gyro": Vector(0.0, 36.0, 0.0)},
            "lsm9ds1 returned a gyro_y_radians_per_second outside its range of -34.91 to 34.91",
        ),
        ({"pressure": math.inf}, "lps25h returned a pressure_hpa outside its range"),
        ({"humidity": math.nan}, "hts221 returned no valid humidity_raw_percent"),
        ({"colour": Colour(1, 2, 70_000, 4, 16)}, "the colour sensor returned a blue outside its range of 0 to 65535"),
    ],
)
def test_value_out_of_range_is_dropped_and_counted(change: dict[str, Any], sentence: str) -> None:
    made = Made()
    metrics = made.of(GOOD._replace(**change))
    assert any(refused.startswith(sentence) for refused in made.refused), made.refused
    assert [each for metric in metrics for each in violations(metric, MEASUREMENTS)] == []


def test_stuck_reading_is_dropped_and_counted_until_it_changes() -> None:
    made = Made(stale_after=3)
    lines = [fields(made.of(GOOD._replace(pressure=1000.0 + n)), "environment", "hts221") for n in range(4)]
    assert [bool(line) for line in lines] == [True, True, False, False]
    assert len([refused for refused in made.refused if refused.startswith("hts221 repeats the same")]) == 2
    changed = made.of(GOOD._replace(humidity=45.1, pressure=1005.0))
    assert fields(changed, "environment", "hts221")["humidity_raw_percent"] == 45.1
    assert not [refused for refused in made.refused if refused.startswith("lps25h")]


def test_recorded_readings_rounded_to_a_tenth_are_not_stuck() -> None:
    stuck = StuckDetector(3, recorded=True)
    assert [stuck.is_stuck("hts221", (21.4, 45.3)) for _ in range(30)] == [False] * 30
    assert [stuck.is_stuck("lps25h", (21.43, 1013.2)) for _ in range(4)] == [False, False, True, True]


def test_one_noisy_axis_keeps_the_imu_from_being_stuck() -> None:
    made = Made(stale_after=2)
    for number in range(4):
        noisy = GOOD._replace(gyro=Vector(0.0, 0.0, number / 1000))
        assert "pitch_degrees" in fields(made.of(noisy), "imu")


def test_constant_colour_is_not_stuck() -> None:
    made = Made(stale_after=2)
    dark = Reading(colour=Colour(0, 0, 0, 0, 16))
    assert [fields(made.of(dark), "colour")["clear"] for _ in range(5)] == [0] * 5
    assert made.refused == []


def test_stuck_detection_can_be_disabled() -> None:
    stuck = StuckDetector(0)
    assert [stuck.is_stuck("hts221", (1.0,)) for _ in range(50)] == [False] * 50


def test_missing_sensor_is_not_an_error() -> None:
    made = Made()
    assert made.of(Reading()) == []
    assert made.refused == []


numbers = st.none() | st.floats() | st.just(0.0)
vectors = st.none() | st.builds(Vector, st.floats(), st.floats(), st.floats())


@given(
    st.builds(
        Reading,
        humidity=numbers,
        temperature_humidity=numbers,
        pressure=numbers,
        temperature_pressure=numbers,
        temperature_cpu=numbers,
        attitude=st.none() | st.builds(Attitude, st.floats(), st.floats(), st.floats()),
        acceleration=vectors,
        gyro=vectors,
        magnetic=vectors,
        colour=st.none() | st.builds(Colour, *[st.integers()] * 5),
        time_ns=st.none(),
    ),
    st.none() | st.floats(0.1, 100),
)
def test_any_reading_gives_lines_as_declared(reading: Reading, factor: float | None) -> None:
    for metric in Made(factor=factor, factor_lps25h=factor).of(reading):
        assert metric.fields
        assert list(violations(metric, MEASUREMENTS)) == []
