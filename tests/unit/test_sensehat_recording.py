"""Recordings: their rows, their pace, and their errors."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.core.api import Polled, Streaming, Unavailable
from collectors.core.line_protocol import Metric
from collectors.sensehat import MEASUREMENTS, create
from collectors.sensehat.collector import SenseHatCollector
from collectors.sensehat.csv_recording import CsvRecording, parse_time
from collectors.sensehat.recording import Replay, Schedule
from tests.schema_check import violations
from tests.unit.sensehat_support import START_NS, Bench, fields

REAL = Path(__file__).resolve().parents[3] / "shared/data/sensehat/astro_pi_2015-08.csv.gz"

HEADER = "temp_cpu,temp_h,temp_p,humidity,pressure,time_stamp"
ROWS = (
    "47.5,28.5,26.5,45.25,1013.25,2026-01-01 00:00:00",
    "47.6,28.6,26.6,45.35,1013.35,2026-01-01 00:00:10",
    "47.7,28.7,26.7,45.45,1013.45,2026-01-01 00:00:20",
)


def written(folder: Path, *rows: str, header: str = HEADER, name: str = "recording.csv") -> str:
    file = folder / name
    file.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return str(file)


@pytest.fixture
def open_in() -> Iterator[Callable[[Bench], Polled]]:
    """Makes the collector of a test, and closes it at the end."""
    made: list[Polled] = []

    def create_polled(bench: Bench) -> Polled:
        collector = create(bench.context)
        assert isinstance(collector, Polled)
        made.append(collector)
        return collector

    yield create_polled
    for each in made:
        each.close()


Open = Callable[[Bench], Polled]


def temperatures(metrics: Iterator[Metric]) -> list[tuple[float, float]]:
    """Seconds since the start, and the temperature, of each line of the HTS221."""
    return [
        (((metric.time_ns or 0) - START_NS) / 1e9, float(metric.fields["temperature_raw_celsius"]))
        for metric in metrics
        if metric.series.tags.get("sensor") == "hts221"
    ]


def test_rows_are_returned_as_they_become_due(tmp_path: Path, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, *ROWS))
    made = open_in(bench)
    assert temperatures(iter(made.collect())) == [(0.0, 28.5)]
    bench.after(9)
    assert list(made.collect()) == []
    bench.after(1)
    assert temperatures(iter(made.collect())) == [(10.0, 28.6)]
    made.close()
    assert bench.report.errors == 0


def test_rows_of_one_reading_keep_separate_times_at_a_faster_pace(tmp_path: Path, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, *ROWS), pace=20.0)
    made = open_in(bench)
    assert temperatures(iter(made.collect())) == [(0.0, 28.5)]
    bench.after(5)
    assert temperatures(iter(made.collect())) == [(0.5, 28.6), (1.0, 28.7)]


def test_pace_0_returns_one_row_per_reading_with_the_current_time(tmp_path: Path, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, *ROWS), pace=0.0)
    made = open_in(bench)
    seen = []
    for _ in range(3):
        seen += temperatures(iter(made.collect()))
        bench.after(1)
    assert seen == [(0.0, 28.5), (1.0, 28.6), (2.0, 28.7)]


def test_every_line_is_tagged_as_replayed(tmp_path: Path, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, *ROWS), device="astro-pi")
    lines = list(open_in(bench).collect())
    assert [dict(line.series.tags) for line in lines] == [
        {"device": "astro-pi", "sensor": "hts221", "replayed": "true"},
        {"device": "astro-pi", "sensor": "lps25h", "replayed": "true"},
    ]


def test_end_is_logged_once_and_there_is_no_more_data(tmp_path: Path) -> None:
    path = written(tmp_path, *ROWS)
    bench = Bench(backend="recording", recording=path, pace=0.0)
    said: list[str] = []
    made = SenseHatCollector(bench.context, Replay(bench.context, said.append))
    assert [len(list(made.collect())) for _ in range(6)] == [2, 2, 2, 0, 0, 0]
    made.close()
    assert said == [f"{path}: the recording has ended, so there is no more data; see the setting repeat"]
    assert bench.report.errors == 0


def test_repeated_recording_restarts_one_interval_after_its_end(tmp_path: Path, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, *ROWS), repeat=True)
    made = open_in(bench)
    bench_lines = temperatures(iter(made.collect()))
    bench.after(45)
    assert bench_lines + temperatures(iter(made.collect())) == [
        (0.0, 28.5),
        (10.0, 28.6),
        (20.0, 28.7),
        (30.0, 28.5),
        (40.0, 28.6),
    ]


@pytest.mark.parametrize("pace", [0.0, 1.0])
def test_recording_without_rows_ends_at_once_even_when_repeated(tmp_path: Path, pace: float, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path), repeat=True, pace=pace)
    assert list(open_in(bench).collect()) == []


def test_rows_due_after_a_suspend_take_several_readings(tmp_path: Path, open_in: Open) -> None:
    rows = [
        f"47,28.5,26.5,{45 + n / 1000},{1013 + n / 1000},2026-01-01 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}"
        for n in range(1500)
    ]
    bench = Bench(backend="recording", recording=written(tmp_path, *rows))
    made = open_in(bench)
    list(made.collect())
    bench.after(86_400)
    assert [len(temperatures(iter(made.collect()))) for _ in range(3)] == [1000, 499, 0]


def test_import_emits_every_row_with_its_own_time(tmp_path: Path) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, *ROWS), keep_times=True)
    made = create(bench.context)
    assert isinstance(made, Streaming)
    metrics = [metric for batch in made.stream(lambda *_: False) for metric in batch]
    made.close()
    assert [metric.time_ns for metric in metrics[::2]] == [1767225600 * 10**9 + step * 10**10 for step in range(3)]
    assert {metric.series.tags["replayed"] for metric in metrics} == {"true"}


def test_import_stops_between_batches_on_shutdown(tmp_path: Path) -> None:
    rows = [
        f"47,28.5,26.5,{45 + n / 1000},{1013 + n / 1000},2026-01-01 00:{n // 60:02}:{n % 60:02}" for n in range(1200)
    ]
    made = create(Bench(backend="recording", recording=written(tmp_path, *rows), keep_times=True).context)
    assert isinstance(made, Streaming)
    assert [len(list(batch)) for batch in made.stream(lambda *_: True)] == [1000]
    made.close()


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("47.6,28.6,26.6,45.35", "expected 6 cells, got 4"),
        ("47.6,28.6,26.6,45.35,1013.35,2026-01-01 00:00:10,1", "expected 6 cells, got 7"),
        (
            "47.6,28.6,26.6,45.35,1013.35,yesterday",
            "time_stamp: expected a time such as 2015-08-20 23:58:30, got 'yesterday'",
        ),
        ('47.6,"28.6,26.6,45.35,1013.35,2026-01-01 00:00:10', "expected cells between separators, got '47.6,\"28.6"),
        ("9" * 20_000, "expected 6 cells, got 1"),
    ],
)
def test_malformed_row_is_reported_with_its_line_and_skipped(
    tmp_path: Path, row: str, sentence: str, open_in: Open
) -> None:
    path = written(tmp_path, ROWS[0], row, ROWS[2])
    bench = Bench(backend="recording", recording=path, pace=100.0)
    made = open_in(bench)
    first = temperatures(iter(made.collect()))
    bench.after(1)
    assert first + temperatures(iter(made.collect())) == [(0.0, 28.5), (0.2, 28.7)]
    assert bench.report.errors == 1
    assert bench.errors[0].startswith(f"E! sensehat: {path}, line 3: {sentence}")
    assert bench.errors[0].endswith("; the row is skipped")


@pytest.mark.parametrize(
    "row", ["47.6,28.6,26.6,45.35,nan,2026-01-01 00:00:10", "47.6,28.6,26.6,45.35,0,2026-01-01 00:00:10"]
)
def test_invalid_value_in_a_row_only_drops_that_value(tmp_path: Path, row: str, open_in: Open) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, row), pace=0.0)
    metrics = list(open_in(bench).collect())
    assert fields(metrics, "environment", "lps25h") == {
        "temperature_raw_celsius": 26.6,
        "temperature_cpu_celsius": 47.6,
    }
    assert bench.report.errors == 1


def test_unknown_column_is_reported_once_and_ignored(tmp_path: Path, open_in: Open) -> None:
    path = written(tmp_path, *(f"{row},7" for row in ROWS), header=f"{HEADER},wind")
    bench = Bench(backend="recording", recording=path, pace=0.0)
    made = open_in(bench)
    assert [len(list(made.collect())) for _ in range(3)] == [2, 2, 2]
    assert bench.report.errors == 1
    assert bench.errors[0].startswith(
        f"E! sensehat: {path}, line 1: unknown column wind is ignored; known are time_stamp, temp_h"
    )


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("temp_h,temp_p,humidity,pressure", "line 1: the column time_stamp is missing"),
        ("time_stamp,wind,rain", "line 1: no column is known; expected time_stamp and some of temp_h"),
        (f"{HEADER},humidity", "line 1: the column humidity is duplicated"),
        ('"temp_h', "line 1: expected cells between separators"),
    ],
)
def test_recording_without_required_columns_cannot_start(tmp_path: Path, header: str, sentence: str) -> None:
    path = written(tmp_path, header=header)
    with pytest.raises(Unavailable) as raised:
        create(Bench(backend="recording", recording=path).context)
    assert str(raised.value).startswith(f"{path}, {sentence}")


def test_missing_file_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"none\.csv: there is no such recording; name a CSV or CSV\.gz file"):
        create(Bench(backend="recording", recording=str(tmp_path / "none.csv")).context)


def test_folder_instead_of_a_file_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"the recording cannot be read: .*Is a directory"):
        create(Bench(backend="recording", recording=str(tmp_path)).context)


def test_empty_file_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    with pytest.raises(Unavailable, match=r"empty\.csv: the recording is empty; expected a first line"):
        create(Bench(backend="recording", recording=str(tmp_path / "empty.csv")).context)


def test_recording_backend_without_a_file_names_the_setting() -> None:
    with pytest.raises(Unavailable, match="set SENSETIG_SENSEHAT_RECORDING"):
        create(Bench(backend="recording").context)


def test_compressed_recording_is_recognised_by_its_content(tmp_path: Path, open_in: Open) -> None:
    path = tmp_path / "recording"
    path.write_bytes(gzip.compress(("\n".join((HEADER, *ROWS)) + "\n").encode()))
    bench = Bench(backend="recording", recording=str(path), pace=0.0)
    made = open_in(bench)
    assert [len(list(made.collect())) for _ in range(4)] == [2, 2, 2, 0]


def test_truncated_compressed_recording_ends_there_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    rows = [
        f"47,28.5,26.5,{45 + n / 1000},{1013 + n / 777},2026-01-01 00:{n // 60:02}:{n % 60:02}" for n in range(3000)
    ]
    whole = gzip.compress("\n".join((HEADER, *rows)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    refused: list[str] = []
    table = CsvRecording(str(path), refused.append)
    count = sum(1 for _ in table.rows())
    table.close()
    assert 1000 < count < 2000
    assert len(refused) == 1
    assert refused[0].startswith(f"{path}: the recording is truncated after line {count + 1}: ")


def test_compressed_recording_truncated_in_its_first_bytes_cannot_start(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode())[:12])
    with pytest.raises(Unavailable, match="the recording cannot be read"):
        CsvRecording(str(path), pytest.fail)


def test_spreadsheet_quotes_byte_order_marks_and_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    quoted = ",".join(f'"{name}"' for name in HEADER.split(","))
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join((quoted, *ROWS, "")).encode())
    table = CsvRecording(str(path), pytest.fail)
    assert [row.reading.temperature_cpu for row in table.rows()] == [47.5, 47.6, 47.7]
    table.close()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-02 00:00:00", 86_400.0), ("1970-01-01T02:00:00.25+02:00", 0.25), ("1970-01-01T00:00:10Z", 10.0)],
)
def test_time_is_utc_by_default(text: str, seconds: float) -> None:
    assert parse_time("time_stamp", text) == seconds * 1e9


def test_schedule_keeps_the_intervals_of_the_recording() -> None:
    schedule = Schedule(10.0, 1000)
    assert [schedule.due(step) for step in (0, 100, 200, 1000)] == [1000, 1010, 1030, 1130]


@pytest.mark.skipif(not REAL.is_file(), reason=f"no recording: {REAL.name} is not in shared/data beside the project")
@pytest.mark.parametrize(("factor", "humidities", "refused"), [(None, 0, 0), (1.0, 20_865, 3739)])
def test_flight_recording_is_valid_and_too_small_a_factor_is_rejected(
    factor: float | None, humidities: int, refused: int
) -> None:
    bench = Bench(backend="recording", recording=str(REAL), keep_times=True, compensation_factor=factor)
    made = create(bench.context)
    assert isinstance(made, Streaming)
    counts = {"environment": 0, "imu": 0, "humidity_compensated_percent": 0}
    wrong: list[str] = []
    for batch in made.stream(lambda *_: False):
        for metric in batch:
            counts[metric.series.measurement] += 1
            counts["humidity_compensated_percent"] += "humidity_compensated_percent" in metric.fields
            wrong += violations(metric, MEASUREMENTS)
    made.close()
    assert counts == {"environment": 2 * 24_604, "imu": 24_604, "humidity_compensated_percent": humidities}
    assert bench.report.errors == refused
    assert wrong == []


@pytest.mark.skipif(not REAL.is_file(), reason=f"no recording: {REAL.name} is not in shared/data beside the project")
def test_recording_is_never_held_in_memory_as_a_whole() -> None:
    table = CsvRecording(str(REAL), pytest.fail)
    tracemalloc.start()
    rows = sum(1 for _ in table.rows())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table.close()
    assert rows == 24_604
    assert peak < 500_000  # its text alone is 4.1 MB
