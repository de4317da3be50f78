"""Names of columns that other programs write, and the units in them: a value in an unknown unit is never emitted."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from collectors.sensehat.columns import parse_header, parse_map
from collectors.sensehat.recorded_time import TimeParser, parse_zone


@pytest.mark.parametrize(
    ("name", "ours", "value"),
    [
        ("Pressure (mmHg)", "pressure", 66.661195),
        ("pressure_inHg", "pressure", 1693.1943),
        ("Pressure [bar]", "pressure", 50_000),
        ("Pressure (psi)", "pressure", 3447.37865),
        ("Pressure mb", "pressure", 50),
        ("Gyro X (°/s)", "gyro_x", math.radians(50)),
        ("gyro_x_mdps", "gyro_x", math.radians(0.05)),
        ("GyroX [rad/s]", "gyro_x", 50),
        ("Mag X (µT)", "mag_x", 50),
        ("Mag_x (G)", "mag_x", 5000),
        ("mag_x_mG", "mag_x", 5),
        ("accel_x (mg)", "accel_x", 0.05),
        ("Accel X (m/s²)", "accel_x", 50 / 9.80665),
        ("x_acc", "accel_x", 50),
        ("Temperature (ºF)", "temp_h", 10),
        ("Temp [degF]", "temp_h", 10),
        ("Temperature (pressure)", "temp_p", 50),
        ("Temperature (CPU)", "temp_cpu", 50),
        ("Humidity %rH", "humidity", 50),
        ("temp_press", "temp_p", 50),
        ("temp_humi", "temp_h", 50),
        ("Atmospheric pressure (hPa)", "pressure", 50),
    ],
)
def test_a_name_gives_the_quantity_and_its_unit(name: str, ours: str, value: float) -> None:
    column = parse_header(["timestamp", name], {}).columns[ours]
    assert (column.convert(50.0) if column.convert else 50.0) == pytest.approx(value)


@pytest.mark.parametrize(
    "name",
    [
        *("Pressure (mH2O)", "Pressure [dbar]", "Temperature (raw ADC)", "Temp (mV)", "Humidity (g/m3)"),
        *("gyro_x (rpm)", "mag_x (A/m)", "accel_x (LSB)", "pitch (turns)"),
    ],
)
def test_a_value_in_an_unknown_unit_is_not_taken_for_the_usual_one(name: str) -> None:
    assert parse_header(["timestamp", "temp_cpu", name], {}).unknown == (name,)


def test_the_setting_columns_gives_a_unit_to_a_column_without_one() -> None:
    header = parse_header(["when", "Luftdruck"], parse_map("pressure=Luftdruck (mmHg)"))
    convert = header.columns["pressure"].convert
    assert convert is not None
    assert convert(750.0) == pytest.approx(999.917925)


@pytest.mark.parametrize("name", ["epoch", "Unix Timestamp", "ts", "created_at", "Local Time", "time_utc", "When"])
def test_a_time_has_many_names(name: str) -> None:
    assert parse_header([name, "temp"], {}).columns["time_stamp"].place == 0


@pytest.mark.parametrize(
    "text", ["1714554000", "1714554000.0", "1714554000000", "1714554000000000", "1714554000000000000"]
)
def test_the_length_of_a_number_gives_the_unit_of_a_time(text: str) -> None:
    assert TimeParser().parse("time", text) == 1714554000 * 10**9


@pytest.mark.parametrize(
    ("zone", "day", "clocks"),
    [
        ("Australia/Sydney", "2024-04-07", "01:30 02:00 02:30 02:00 02:30 03:00"),
        ("America/Santiago", "2024-04-06", "22:30 23:00 23:30 23:00 23:30"),
        ("Pacific/Auckland", "2024-04-07", "01:30 02:00 02:30 02:00 02:30 03:00"),
        ("Africa/Casablanca", "2024-03-10", "01:30 02:00 02:30 02:00 02:30 03:00"),
    ],
)
def test_an_hour_that_comes_twice_keeps_its_order_in_every_season(zone: str, day: str, clocks: str) -> None:
    parser = TimeParser(parse_zone(zone))
    times = [parser.parse("time", f"{day} {clock}:00") for clock in clocks.split()]
    assert [later - earlier for earlier, later in pairwise(times)] == [1800 * 10**9] * (len(times) - 1)


@pytest.mark.parametrize(
    ("zone", "day", "clocks", "steps"),
    [
        ("Australia/Lord_Howe", "2024-04-07", "01:15 01:30 01:45 01:30 01:45 02:00", [15] * 5),
        ("Pacific/Chatham", "2024-04-07", "02:15 02:45 03:15 02:45 03:15 03:45", [30] * 5),
        ("Antarctica/Troll", "2024-10-27", "00:30 01:30 02:30 01:30 02:30 03:30", [60] * 5),
    ],
)
def test_zones_with_other_steps_than_an_hour(zone: str, day: str, clocks: str, steps: list[int]) -> None:
    parser = TimeParser(parse_zone(zone))
    times = [parser.parse("time", f"{day} {clock}:00") for clock in clocks.split()]
    assert [(later - earlier) // 60_000_000_000 for earlier, later in pairwise(times)] == steps


def test_an_hourly_recording_has_a_row_in_each_of_the_two_hours() -> None:
    parser = TimeParser(parse_zone("Europe/Berlin"))
    hours = [parser.parse("time", f"2024-10-27 {hour}:30:00") // 3_600_000_000_000 for hour in ("01", "02", "02", "03")]
    assert [hour - hours[0] for hour in hours] == [0, 1, 2, 3]


def test_rows_of_one_second_stay_in_one_hour_while_it_comes_twice() -> None:
    parser = TimeParser(parse_zone("Europe/Berlin"))
    assert len({parser.parse("time", "2024-10-27 02:30:00") for _ in range(4)}) == 1
