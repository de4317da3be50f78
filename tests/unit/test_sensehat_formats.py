"""Recordings of other programs: names of columns, separators, units, times, and cells without a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.core.api import Polled, Streaming, Unavailable
from collectors.core.line_protocol import Metric
from collectors.sensehat import MEASUREMENTS, create
from collectors.sensehat.columns import EMULATOR, parse_header, parse_map
from collectors.sensehat.csv_recording import CsvRecording, Row
from tests.schema_check import violations
from tests.unit.sensehat_support import Bench, fields


def imported(folder: Path, text: str, **settings: object) -> tuple[list[Metric], Bench]:
    """The metrics of a whole recording with its own times, and the bench with the errors."""
    path = folder / "recording.csv"
    path.write_text(text, encoding="utf-8")
    bench = Bench(backend="recording", recording=str(path), keep_times=True, **settings)
    made = create(bench.context)
    assert isinstance(made, Streaming)
    metrics = [metric for batch in made.stream(lambda *_: False) for metric in batch]
    made.close()
    assert [each for metric in metrics for each in violations(metric, MEASUREMENTS)] == []
    return metrics, bench


def rows_of(path: Path, on_error: Callable[[str], None] = pytest.fail) -> list[Row]:
    table = CsvRecording(str(path), on_error)
    rows = list(table.rows())
    table.close()
    return rows


SENSE_LOGGER = "temp_h,humidity,pressure,pitch,roll,yaw,mag_x,mag_y,mag_z,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z"
MARK_2 = (
    "Date/Time,Latitude,Longitude,Temperature,Humidity,Pressure,Compass,MagX,MagY,MagZ,Pitch,Roll,Yaw,"
    "AccelX,AccelY,AccelZ,R,G,B,C,Motion"
)
DATA_LOGGER = (
    "temp,pres,hum,red,green,blue,clear,yaw,pitch,roll,mag_x,mag_y,mag_z,acc_x,acc_y,acc_z,"
    "gyro_x,gyro_y,gyro_z,datetime"
)


@pytest.mark.parametrize(
    ("header", "row", "measurements"),
    [
        pytest.param(
            f"{SENSE_LOGGER},timestamp",
            "27.3,55.4,1014.7,0.1,298.7,3.3,30.1,59.2,67.5,0.0,0.06,0.98,0.001,0.0,0.0,2024-05-01 09:00:00.100000",
            {"environment", "imu"},
            id="the Sense Logger",
        ),
        pytest.param(
            MARK_2,
            "2022-03-01 10:00:00,1.1,2.2,27.3,55.4,1014.7,10,1,2,3,1,359,10,0,0,1,20,21,22,60,1",
            {"environment", "imu", "colour"},
            id="the commissioning data of Mark II",
        ),
        pytest.param(
            DATA_LOGGER,
            "27.3,1014.7,55.4,10,11,12,40,3.3,0.1,298.7,30.1,59.2,67.5,0.0,0.06,0.98,0.001,0.0,0.0,"
            "2024-05-01 09:00:00.100000",
            {"environment", "imu", "colour"},
            id="the data logger",
        ),
        pytest.param(
            "Counter,Date/time,Latitude,Longitude,Temperature,Humidity,Pressure",
            "1,2024-05-01 09:00:00,1,2,27.3,55.4,1014.7",
            {"environment"},
            id="Mission Space Lab's data01.csv",
        ),
        pytest.param("temp,hum,press,datetime", "27.3,55.4,1014.7,2024-05-01 09:00:00", {"environment"}, id="short"),
        pytest.param(
            "DateTime,Temp_h,Temp_p,Humidity,Pressure",
            "2024-05-01 09:00:00,27.3,26.0,55.4,1014.7",
            {"environment"},
            id="capitals",
        ),
        pytest.param(
            "Time;Date;Temperature (°C);Humidity [%];Pressure (hPa)",
            "09:00:00;2024-05-01;27,3;55,4;1.014,7",
            {"environment"},
            id="a spreadsheet with decimal commas, and date and time in two columns",
        ),
        pytest.param(
            "sep=\t\ntimestamp\tTemp (°F)\tRH\tPressure (Pa)",
            "1714554000.25\t81.14\t55.4\t101470",
            {"environment"},
            id="tabs, other units and seconds since 1970",
        ),
    ],
)
def test_layouts_of_known_programs_are_read(tmp_path: Path, header: str, row: str, measurements: set[str]) -> None:
    metrics, bench = imported(tmp_path, f"{header}\n{row}\n")
    assert bench.errors == []
    assert {metric.series.measurement for metric in metrics} == measurements
    line = fields(metrics, "environment", "hts221")
    assert line["temperature_raw_celsius"] == pytest.approx(27.3)
    assert line["humidity_raw_percent"] == 55.4
    assert fields(metrics, "environment", "lps25h")["pressure_hpa"] == pytest.approx(1014.7)


def test_colour_of_a_recording_needs_no_gain(tmp_path: Path) -> None:
    metrics, bench = imported(tmp_path, "time,R,G,B,C\n2024-05-01 09:00:00,20,21.4,22,60\n")
    assert fields(metrics, "colour") == {"red": 20, "green": 21, "blue": 22, "clear": 60}
    assert bench.errors == []


@pytest.mark.parametrize("first", [",".join(EMULATOR) + "\n", ""])
def test_dump_of_the_emulator_is_read_with_and_without_its_header(tmp_path: Path, first: str) -> None:
    row = "2024-05-01T09:00:00.000000,1001.1,20.1,40.1,21.1,0.0,0.0,1.0,0.0,0.0,0.0,33.0,0.0,40.0,-0.5,0.25,1.5"
    metrics, bench = imported(tmp_path, f"{first}{row}\n")
    assert bench.errors == []
    assert fields(metrics, "environment", "hts221")["temperature_raw_celsius"] == 21.1
    assert fields(metrics, "environment", "lps25h")["temperature_raw_celsius"] == 20.1
    line = fields(metrics, "imu")
    assert line["roll_degrees"] == pytest.approx(360 - math.degrees(0.5))
    assert line["pitch_degrees"] == pytest.approx(math.degrees(0.25))
    assert line["yaw_degrees"] == pytest.approx(math.degrees(1.5))


def test_one_temperature_is_enough(tmp_path: Path) -> None:
    metrics, bench = imported(tmp_path, "timestamp,Temperature\n2024-05-01 09:00:00,21.5\n")
    assert [dict(metric.fields) for metric in metrics] == [{"temperature_raw_celsius": 21.5}]
    assert bench.errors == []


def test_angles_either_side_of_zero_are_turned(tmp_path: Path) -> None:
    metrics, bench = imported(tmp_path, "timestamp,pitch,roll,yaw\n2024-05-01 09:00:00,-3.2,181,-170\n")
    assert dict(metrics[0].fields) == {"pitch_degrees": 356.8, "roll_degrees": 181.0, "yaw_degrees": 190.0}
    assert bench.errors == []


def test_column_map_names_columns_by_name_or_number(tmp_path: Path) -> None:
    text = "Zeitstempel;Temperatur;Feuchte\n2024-05-01 09:00:00;21,5;40\n"
    metrics, bench = imported(tmp_path, text, columns="time_stamp=Zeitstempel, temp_p=temperatur, humidity=3")
    assert fields(metrics, "environment", "lps25h") == {"temperature_raw_celsius": 21.5}
    assert fields(metrics, "environment", "hts221") == {"humidity_raw_percent": 40.0}
    assert bench.errors == []


@pytest.mark.parametrize("pitch", ["Pitch (rad)", "3 (rad)"])
def test_column_map_gives_the_unit_of_a_column(tmp_path: Path, pitch: str) -> None:
    text = "Date/Time,Temperature,Pitch\n2024-05-01 09:00:00,21.5,0.5\n"
    metrics, bench = imported(tmp_path, text, columns=f"pitch={pitch}")
    assert fields(metrics, "imu")["pitch_degrees"] == pytest.approx(math.degrees(0.5))
    assert bench.errors == []


def test_column_map_of_numbers_reads_a_file_without_names(tmp_path: Path) -> None:
    text = "09:15,21.5,2024-05-01 09:00:00\n09:16,21.6,2024-05-01 09:01:00\n"
    metrics, bench = imported(tmp_path, text, columns="time_stamp=3,temp_h=2")
    assert [metric.fields["temperature_raw_celsius"] for metric in metrics] == [21.5, 21.6]
    assert bench.errors == []


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"columns": "warmth=Temperature"}, "columns: expected pairs such as temp_h=Temperature"),
        ({"columns": "temp_h=Warmth"}, "the column 'Warmth' of the setting columns is missing"),
        ({"columns": "temp_h=9"}, "the column '9' of the setting columns is missing"),
        ({"time_zone": "Europe/Atlantis"}, "expected a time zone such as Europe/Berlin, UTC or +02:00"),
    ],
)
def test_wrong_setting_of_the_form_cannot_start(tmp_path: Path, setting: dict[str, object], sentence: str) -> None:
    with pytest.raises(Unavailable) as raised:
        imported(tmp_path, "timestamp,temp_h\n2024-05-01 09:00:00,21.5\n", **setting)
    assert sentence in str(raised.value)


def test_column_map_parses_pairs() -> None:
    assert parse_map(" temp_h = Temp (C) ,time_stamp=1,") == {"temp_h": "Temp (C)", "time_stamp": "1"}


def test_exact_name_wins_over_another_name_of_the_same_value() -> None:
    header = parse_header(["temp", "temp_h", "date", "timestamp"], {})
    assert {name: column.place for name, column in header.columns.items()} == {"temp_h": 1, "time_stamp": 3}
    assert header.unknown == ("temp", "date")


@pytest.mark.parametrize(
    ("name", "ours", "value"),
    [
        ("Temp C", "temp_h", 50.0),
        ("temperature_raw_celsius", "temp_h", 50.0),
        ("temp_f", "temp_h", 10.0),
        ("Temperature (\ufffdF)", "temp_h", 10.0),
        ("Temp_Pressure_Sensor", "temp_p", 50.0),
        ("pressure_hpa", "pressure", 50.0),
        ("Pressure kPa", "pressure", 500.0),
        ("humidity_raw_percent", "humidity", 50.0),
        ("acceleration_x_g", "accel_x", 50.0),
        ("gyro_x_radians_per_second", "gyro_x", 50.0),
        ("gyro_x (deg/s)", "gyro_x", math.radians(50)),
        ("magnetic_x_microtesla", "mag_x", 50.0),
    ],
)
def test_unit_at_the_end_of_a_name_is_understood(name: str, ours: str, value: float) -> None:
    column = parse_header(["timestamp", name], {}).columns[ours]
    assert (column.convert(50.0) if column.convert else 50.0) == pytest.approx(value)


@pytest.mark.parametrize("name", ["wind", "datec", "temp_kg", "rc", "humidity_target", "x"])
def test_unknown_name_stays_unknown(name: str) -> None:
    assert parse_header(["timestamp", "temp_h", name], {}).unknown == (name,)


def test_group_with_a_missing_axis_keeps_the_others(tmp_path: Path) -> None:
    metrics, bench = imported(tmp_path, "timestamp,pitch,yaw\n2024-05-01 09:00:00,1,2\n")
    assert dict(metrics[0].fields) == {"pitch_degrees": 1.0, "yaw_degrees": 2.0}
    assert bench.errors == []


# --- cells and rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "errors"), [("", 0), ("None", 0), ("N/A", 0), ("warm", 1), ("2\ufffd1", 1), ("nan", 1)]
)
def test_cell_without_a_number_costs_its_value_only(tmp_path: Path, cell: str, errors: int) -> None:
    text = (
        f"timestamp,temp_h,temp_p,humidity,accel_x,accel_y,accel_z\n2024-05-01 09:00:00,21.1,{cell},40.1,0,{cell},1\n"
    )
    metrics, bench = imported(tmp_path, text)
    assert fields(metrics, "environment", "hts221")["temperature_raw_celsius"] == 21.1
    assert fields(metrics, "environment", "lps25h") == {}
    assert fields(metrics, "imu") == {"acceleration_x_g": 0.0, "acceleration_z_g": 1.0}
    assert len(bench.errors) == 2 * errors


def test_refused_value_is_reported_with_its_line(tmp_path: Path) -> None:
    _, bench = imported(tmp_path, "timestamp,temp_h,humidity\n2024-05-01 09:00:00,warm,40\n")
    assert bench.errors[0].endswith("line 2: temp_h: expected a number, got 'warm'; the value is left out")


def test_many_refused_rows_are_one_line_of_the_log_and_a_count(tmp_path: Path) -> None:
    rows = "".join(f"01/05/2024 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02},{n / 1000}\n" for n in range(20_000))
    metrics, bench = imported(tmp_path, f"timestamp,temp_h\n{rows}")
    assert metrics == []
    assert bench.report.errors == 20_000
    assert len(bench.errors) == 1
    assert (
        "line 2: time_stamp: expected a time such as 2015-08-20 23:58:30, got '01/05/2024 00:00:00'" in bench.errors[0]
    )


def test_refused_rows_of_other_commands_are_a_sentence_and_a_number(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv"
    path.write_text("timestamp,temp_h\n" + "yesterday,21\n" * 300, encoding="utf-8")
    said: list[str] = []
    assert rows_of(path, said.append) == []
    assert len(said) == 2
    assert said[1] == f"{path}: 299 further rows or values were left out for the same reasons"


def test_values_of_single_precision_have_no_tails(tmp_path: Path) -> None:
    metrics, _ = imported(tmp_path, "timestamp,temp_h\n2024-05-01 09:00:00,25.040000915527344\n")
    assert metrics[0].fields["temperature_raw_celsius"] == 25.04


def test_readings_rounded_to_a_tenth_are_not_stuck(tmp_path: Path) -> None:
    rows = "".join(f"2024-05-01 09:00:{n:02},21.4,45.3\n" for n in range(30))
    metrics, bench = imported(tmp_path, f"timestamp,temp_h,humidity\n{rows}")
    assert (len(metrics), bench.errors) == (30, [])


def test_trailing_separators_are_no_cells(tmp_path: Path) -> None:
    metrics, bench = imported(tmp_path, "timestamp,temp_h\n2024-05-01 09:00:00,21.5,,\n")
    assert (len(metrics), bench.errors) == (1, [])


def test_file_in_utf_16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv"
    path.write_text("timestamp\ttemp_h\r\n2024-05-01 09:00:00\t21,5\r\n", encoding="utf-16")
    assert [row.reading.temperature_humidity for row in rows_of(path)] == [21.5]


# --- times -------------------------------------------------------------------------------------------


def seconds_of(metrics: list[Metric]) -> list[float]:
    """Seconds from the first metric to each."""
    return [((metric.time_ns or 0) - (metrics[0].time_ns or 0)) / 1e9 for metric in metrics]


def test_times_without_an_offset_are_in_the_zone_of_the_setting(tmp_path: Path) -> None:
    for zone, clock in (("Europe/Berlin", "11:00"), ("+05:30", "14:30"), ("UTC", "09:00")):
        metrics, _ = imported(tmp_path, f"timestamp,temp_h\n2024-05-01 {clock}:00,21\n", time_zone=zone)
        assert metrics[0].time_ns == 1714554000 * 10**9


def test_format_of_times_is_a_setting(tmp_path: Path) -> None:
    text = "timestamp,temp_h\n01/05/2024 09:00:00,21\n2024-05-01 09:00:00,22\n"
    metrics, bench = imported(tmp_path, text, time_format="%d/%m/%Y %H:%M:%S")
    assert [metric.time_ns for metric in metrics] == [1714554000 * 10**9]
    assert "expected a time such as the format %d/%m/%Y %H:%M:%S" in bench.errors[0]


def test_hour_that_comes_twice_in_autumn_keeps_its_order(tmp_path: Path) -> None:
    clocks = ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    text = "timestamp,temp_h\n" + "".join(f"2024-10-27 {clock}:00,{n}.5\n" for n, clock in enumerate(clocks))
    metrics, bench = imported(tmp_path, text, time_zone="Europe/Berlin")
    assert seconds_of(metrics) == [1800.0 * n for n in range(6)]
    assert bench.errors == []


def test_hour_that_comes_twice_loses_no_row_without_a_time_zone(tmp_path: Path) -> None:
    clocks = ("02:00:00", "02:30:00", "02:00:00", "02:30:00", "03:00:00")
    text = "timestamp,temp_h\n" + "".join(f"2024-10-27 {clock},{n}.5\n" for n, clock in enumerate(clocks))
    metrics, bench = imported(tmp_path, text)
    assert len({metric.time_ns for metric in metrics}) == 5
    assert bench.report.errors == 1
    assert "line 4: time_stamp is before that of the previous row" in bench.errors[0]
    assert "see the setting time_zone" in bench.errors[0]


def test_rows_of_one_second_are_separate_points(tmp_path: Path) -> None:
    text = "timestamp,temp_h\n" + "".join(f"2024-05-01 09:00:0{n // 3},21.{n}\n" for n in range(6))
    metrics, bench = imported(tmp_path, text)
    assert seconds_of(metrics) == [0.0, 0.001, 0.002, 1.0, 1.001, 1.002]
    assert bench.errors == []


def played(folder: Path, text: str, seconds: int) -> tuple[list[float], Bench]:
    """The temperatures of a recording that was played for a while."""
    path = folder / "recording.csv"
    path.write_text(text, encoding="utf-8")
    bench = Bench(backend="recording", recording=str(path))
    made = create(bench.context)
    assert isinstance(made, Polled)
    found: list[float] = []
    for _ in range(seconds):
        found += [float(metric.fields["temperature_raw_celsius"]) for metric in made.collect()]
        bench.after(1)
    made.close()
    return found, bench


FAR_AHEAD = ("2024-05-01 09:00:00", "2024-05-01 09:00:01", "2051-01-01 00:00:00", "2024-05-01 09:00:03")


def of_times(*times: str) -> str:
    return "timestamp,temp_h\n" + "".join(f"{time},{n}.5\n" for n, time in enumerate(times))


def test_time_far_from_those_around_it_costs_its_row_only(tmp_path: Path) -> None:
    found, bench = played(tmp_path, of_times(*FAR_AHEAD, "2024-05-01 09:00:04"), 6)
    assert found == [0.5, 1.5, 3.5, 4.5]
    assert bench.report.errors == 1
    assert "line 4: time_stamp is far from the times around it; the row is skipped" in bench.errors[0]
    metrics, bench = imported(tmp_path, of_times(*FAR_AHEAD))
    assert seconds_of(metrics) == [0.0, 1.0, 3.0]
    assert bench.report.errors == 1


def test_several_wrong_times_in_a_row_are_found(tmp_path: Path) -> None:
    times = ("2024-05-01 09:00:00", "1970-01-01 00:00:07", "1970-01-01 00:00:08", "2024-05-01 09:00:03")
    metrics, bench = imported(tmp_path, of_times(*times))
    assert seconds_of(metrics) == [0.0, 3.0]
    assert bench.report.errors == 2


def test_recording_with_the_last_row_first_is_one_line_of_the_log(tmp_path: Path) -> None:
    text = of_times(*(f"2024-05-01 09:{59 - n:02}:00" for n in range(60)))
    metrics, bench = imported(tmp_path, text)
    assert seconds_of(metrics)[-1] == pytest.approx(-59 * 60, abs=0.001)
    assert len({metric.time_ns for metric in metrics}) == 60
    assert (bench.report.errors, len(bench.errors)) == (59, 1)
    found, _ = played(tmp_path, text, 60)
    assert len(found) == 60


def test_wrong_first_time_costs_its_row_only(tmp_path: Path) -> None:
    found, bench = played(tmp_path, of_times("2165-10-01 09:00:00", *(f"2024-05-01 09:00:0{n}" for n in (3, 4, 5))), 4)
    assert found == [1.5, 2.5, 3.5]
    assert bench.report.errors == 1


@pytest.mark.parametrize("early", ["1970-01-01 00:00", "2026-01-01 00:00"])
def test_clock_that_was_set_during_the_recording_stops_nothing(tmp_path: Path, early: str) -> None:
    times = (*(f"{early}:0{n}" for n in range(3)), *(f"2024-05-01 09:00:0{n}" for n in range(3)))
    found, _ = played(tmp_path, of_times(*times), 6)
    assert found == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_long_gap_passes_in_one_interval_and_is_logged_once(tmp_path: Path) -> None:
    days = [f"2024-05-0{day} 09:00:0{second}" for day in (1, 2, 3) for second in (0, 1)]
    found, bench = played(tmp_path, of_times(*days), 6)
    assert found == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert bench.report.errors == 0
    assert len(bench.errors) == 1
    assert "line 4: gaps of more than an hour, such as before this row, pass in one interval" in bench.errors[0]


def test_wall_clock_that_jumps_changes_times_and_not_the_pace(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv"
    path.write_text(of_times(*(f"2024-05-01 09:00:0{n}" for n in range(5))), encoding="utf-8")
    bench = Bench(backend="recording", recording=str(path))
    made = create(bench.context)
    assert isinstance(made, Polled)
    assert len(list(made.collect())) == 1
    bench.now_ns += 86_400 * 10**9
    bench.after(1)
    ahead = list(made.collect())
    bench.now_ns -= 2 * 86_400 * 10**9
    bench.after(1)
    behind = list(made.collect())
    made.close()
    assert [metric.fields["temperature_raw_celsius"] for metric in (*ahead, *behind)] == [1.5, 2.5]
    assert [round(((metric.time_ns or 0) - bench.now_ns) / 1e9) for metric in behind] == [0]
