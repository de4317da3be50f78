"""A recording with mostly invalid lines: each reading processes a bounded part of it, and every line is counted."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.core.api import Polled, Streaming, Unavailable
from collectors.sensehat import create, recording
from collectors.sensehat.csv_recording import CsvRecording
from tests.unit.sensehat_support import Bench

ROW = "2024-05-01 09:00:00,21.5\n"
REFUSED = "yesterday,21.5\n"


@pytest.fixture(autouse=True)
def _small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_REFUSED", 100)


def written(folder: Path, text: str) -> str:
    path = folder / "recording.csv"
    path.write_text(f"timestamp,temp_h\n{text}", encoding="utf-8")
    return str(path)


def readings(bench: Bench, count: int) -> Iterator[tuple[int, int]]:
    """The number of samples and of errors of each reading."""
    made = create(bench.context)
    assert isinstance(made, Polled)
    for _ in range(count):
        yield len(list(made.collect())), bench.report.take()
        bench.after(1)
    made.close()


@pytest.mark.parametrize("pace", [0.0, 1.0, 60.0])
def test_each_reading_passes_over_a_bounded_number_of_lines(tmp_path: Path, pace: float) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, REFUSED * 250 + ROW), pace=pace)
    assert list(readings(bench, 4)) == [(0, 100), (0, 100), (1, 50), (0, 0)]
    assert len(bench.errors) == 1


def test_the_first_row_is_due_when_it_is_reached(tmp_path: Path) -> None:
    rows = "".join(f"2024-05-01 09:00:0{second},21.5\n" for second in range(3))
    bench = Bench(backend="recording", recording=written(tmp_path, REFUSED * 350 + rows))
    assert [samples for samples, _ in readings(bench, 7)] == [0, 0, 0, 1, 1, 1, 0]


def test_rows_between_the_refused_ones_are_all_played(tmp_path: Path) -> None:
    rows = "".join(f"2024-05-01 09:00:{second:02},{second}\n" + REFUSED * 70 for second in range(10))
    bench = Bench(backend="recording", recording=written(tmp_path, rows))
    found = list(readings(bench, 12))
    assert sum(samples for samples, _ in found) == 10
    assert sum(errors for _, errors in found) == 700
    assert max(errors for _, errors in found) <= 100


def test_times_far_from_the_others_are_bounded_as_well(tmp_path: Path) -> None:
    rows = "".join("2024-05-01 09:00:00,21.5\n" + "2051-05-01 09:00:00,21.5\n" * 15 for _ in range(20))
    bench = Bench(backend="recording", recording=written(tmp_path, rows))
    found = list(readings(bench, 20))
    assert sum(errors for _, errors in found) == 285
    assert max(errors for _, errors in found) <= 100


def test_a_repeated_recording_without_a_row_ends(tmp_path: Path) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, REFUSED * 250), repeat=True)
    assert list(readings(bench, 5)) == [(0, 100), (0, 100), (0, 50), (0, 0), (0, 0)]


def test_an_import_can_be_stopped_among_refused_rows(tmp_path: Path) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, REFUSED * 1000 + ROW), keep_times=True)
    made = create(bench.context)
    assert isinstance(made, Streaming)
    waits = iter([False, False, True])
    assert [list(batch) for batch in made.stream(lambda *_: next(waits))] == [[], [], []]
    assert bench.report.errors == 300
    made.close()


def test_an_import_keeps_the_row_after_many_refused_ones(tmp_path: Path) -> None:
    bench = Bench(backend="recording", recording=written(tmp_path, REFUSED * 1000 + ROW), keep_times=True)
    made = create(bench.context)
    assert isinstance(made, Streaming)
    metrics = [metric for batch in made.stream(lambda *_: False) for metric in batch]
    made.close()
    assert [metric.time_ns for metric in metrics] == [1714554000 * 10**9]
    assert (bench.report.errors, len(bench.errors)) == (1000, 1)


def test_a_line_without_an_end_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("timestamp,temp_h\n" + "0" * 3_000_000 + "\n" + ROW)
    said: list[str] = []
    table = CsvRecording(str(path), said.append)
    steps = list(table.steps())
    table.close()
    assert 40 < len(steps) < 60
    assert [step.line for step in steps if step is not None] == [3]
    assert len(said) == 1
    assert "line 2: expected 2 cells, got 1" in said[0]


def test_zeros_after_a_power_cut_cost_one_row(tmp_path: Path) -> None:
    text = f"2024-05-01 08:59:59,21.4\n{chr(0) * 3000}{ROW}2024-05-01 09:00:01,21.6\n"
    bench = Bench(backend="recording", recording=written(tmp_path, text))
    assert sum(samples for samples, _ in readings(bench, 4)) == 2
    assert len(bench.errors) == 1


def test_a_first_line_without_an_end_cannot_start(tmp_path: Path) -> None:
    path = tmp_path / "film.csv"
    path.write_bytes(b"a" * 100_000)
    with pytest.raises(Unavailable, match=r"film\.csv, line 1: expected the names of columns, got a line of more than"):
        create(Bench(backend="recording", recording=str(path)).context)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_recording_that_is_not_a_file_cannot_start(tmp_path: Path, kind: str) -> None:
    path = "/dev/zero"
    if kind == "pipe":
        path = str(tmp_path / "pipe")
        os.mkfifo(path)
    with pytest.raises(Unavailable, match="it is not a file; a pipe or a device cannot be played"):
        create(Bench(backend="recording", recording=path).context)
