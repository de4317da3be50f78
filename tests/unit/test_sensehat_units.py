"""Names of columns that other programs write, and the units in them: a value in an unknown unit is never emitted."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest

from collectors.core.api import Unavailable
from collectors.sensehat.columns import parse_header, parse_map
from collectors.sensehat.csv_recording import CsvRecording
from collectors.sensehat.readings import Reading
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


def readings(folder: Path, text: str) -> tuple[list[Reading], list[str]]:
    path = folder / "recording.csv"
    path.write_bytes(text.encode())
    said: list[str] = []
    table = CsvRecording(str(path), said.append)
    found = [row.reading for row in table.rows()]
    table.close()
    return found, said


@pytest.mark.parametrize(
    ("cell", "celsius"),
    [("20.5C", 20.5), ("20.5 °C", 20.5), ('"20,5 ºC"', 20.5), ("68 °F", 20.0), ("293.15K", 20.0), ("\u22123.5", -3.5)],
)
def test_a_cell_can_have_its_unit(cell: str, celsius: float, tmp_path: Path) -> None:
    ((reading,), said) = readings(tmp_path, f"timestamp,temp,hum,pres\n2024-05-01 09:00:00,{cell},40 %,1013.2 hPa\n")
    assert reading.temperature_humidity == pytest.approx(celsius)
    assert (reading.humidity, reading.pressure) == (40.0, 1013.2)
    assert said == []


@pytest.mark.parametrize("cell", ["0x15", "1_0", "True", "20.5 m", "20.5 hPa", "C", "20 5", "--", "1e", "20.5C20.5C"])
def test_a_non_numeric_cell_is_rejected(cell: str, tmp_path: Path) -> None:
    ((reading,), said) = readings(tmp_path, f"timestamp,temp,hum\n2024-05-01 09:00:00,{cell},40\n")
    assert (reading.temperature_humidity, reading.humidity) == (None, 40.0)
    assert said[0].endswith(f"line 2: temp_h: expected a number, got {cell!r}; the value is left out")


def test_milliseconds_after_a_comma_belong_to_the_time(tmp_path: Path) -> None:
    text = "timestamp,temp\n2024-05-01 09:00:00,250,20.5\n2024-05-01 09:00:01,251,20.6,1\n"
    path = tmp_path / "log.csv"
    path.write_text(text)
    said: list[str] = []
    table = CsvRecording(str(path), said.append)
    assert [(row.time_ns, row.reading.temperature_humidity) for row in table.rows()] == [(1714554000250000000, 20.5)]
    table.close()
    assert [sentence.partition(", ")[2] for sentence in said] == ["line 3: expected 2 cells, got 4; the row is skipped"]


def test_lines_can_end_as_on_an_old_macintosh(tmp_path: Path) -> None:
    found, said = readings(tmp_path, "timestamp,temp\r2024-05-01 09:00:00,20.5\r2024-05-01 09:00:01,20.6\r")
    assert ([reading.temperature_humidity for reading in found], said) == ([20.5, 20.6], [])


@pytest.mark.parametrize("row", ["29.1,1001.2,40.1,2020-01-01 10:00:00.1", "17:23:15,21.2,1001.3,40.4"])
def test_a_file_without_names_says_how_to_number_its_columns(row: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the first line has values and no names; number the columns"):
        readings(tmp_path, f"{row}\n{row}\n")


#: First lines that programs on public code hosts write, with a row.
PROGRAMS = {
    "a balloon": (
        "DateTime,Yaw,Pitch,Roll,Mag_x,Mag_y,Mag_z,Accel_x,Accel_y,Accel_z,Gyro_x,Gyro_y,Gyro_z,Temp_h,Temp_p,Humidity,"
        "Pressure,Message",
        "2017-08-21 10:00:00.5,3,1,2,4,5,6,0,0,1,0,0,0,30.5,29.5,40.5,1001.5,launch",
    ),
    "a logger with settings": (
        "temp_h,temp_p,humidity,pressure,mag_x,mag_y,mag_z,timestamp",
        "30.5,29.5,40.5,1001.5,4,5,6,2017-08-21_10:00:00",
    ),
    "a space lab": (
        "Counter,Date/time,Latitude,Longitude,Temperature,Humidity,Pressure,Elevation",
        "0,2017-08-21 10:00:00.5,51 deg N,0 deg W,30.5,40.5,1001.5,417.2",
    ),
    "keys of the library": (
        "time,temperature_from_humidity,temperature_from_pressure,humidity,pressure,orientation.pitch,compass.x",
        "1503309600.5,30.5,29.5,40.5,1001.5,1,4",
    ),
    "prefixes": ("ts,temp_humi,temp_press,humi,baro,x_acc,y_acc,z_acc", "1503309600500,30.5,29.5,40.5,1001.5,0,0,1"),
    "units": (
        "Unix Timestamp;Temp (°F);Humidity %rH;Pressure (mmHg);Gyro X (°/s)",
        "1503309600;86,9;40,5;751,186925;1",
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_recordings_of_other_programs_are_read_without_an_error(program: str, tmp_path: Path) -> None:
    header, row = PROGRAMS[program]
    ((reading,), said) = readings(tmp_path, f"{header}\n{row}\n")
    assert said == []
    assert reading.temperature_humidity == pytest.approx(30.5)
    assert reading.humidity == 40.5
    assert reading.pressure == pytest.approx(1001.5)
