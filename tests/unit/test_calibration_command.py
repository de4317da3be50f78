"""``sensetig calibrate``: the files it writes, the input it rejects, and that existing files survive an error."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from collectors.telemetry.calibration import entries, read
from collectors.telemetry.calibrations import Calibrations
from sensetig.__main__ import main
from sensetig.calibration import CalibrateError, store

Call = Callable[..., Result]


class Recorder:
    """What influxdb_client gives of one value."""

    def __init__(self, **values: Any) -> None:
        self.values = values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "calibrations"


@pytest.fixture
def call(folder: Path) -> Call:
    def run(*arguments: str, typed: str | None = None, **environ: str) -> Result:
        variables = {"SENSETIG_TELEMETRY_CALIBRATIONS": str(folder), "COLUMNS": "80", **environ}
        runner = CliRunner(env={"SENSETIG_SETTINGS": None, "SUDO_USER": None, **variables})
        return runner.invoke(main, ["calibrate", *arguments], input=typed)

    return run


FIVE = ("--pair", "18.2", "14.0", "--pair", "21.4", "17.1", "--pair", "25", "20.4", "--pair", "31", "26.1")


def test_pairs_become_an_entry_with_who_when_and_with_what(call: Call, folder: Path) -> None:
    result = call("pi-1", *FIVE, "--by", "Ada", "--reference", "PT100 no 7", "--comment", "bath", "--yes")
    assert result.exit_code == 0, result.output
    assert "with 2 degrees of freedom" in result.output
    assert "o: the pairs, line: the curve" in result.output
    (found,) = entries((folder / "pi-1.toml").read_text(), "x", "pi-1")
    assert (found.measurement, found.field, found.sensor) == ("environment", "temperature_raw_celsius", "hts221")
    assert found.kind == "gain"
    assert (found.values["by"], found.values["reference"], found.values["comment"]) == ("Ada", "PT100 no 7", "bath")
    assert found.values["calibrated_at"] == found.values["valid_from"]
    assert found.values["pairs"] == [[18.2, 14.0], [21.4, 17.1], [25.0, 20.4], [31.0, 26.1]]
    (curve,) = read((folder / "pi-1.toml").read_text(), "x")
    assert curve.apply(25.0) == pytest.approx(20.45, abs=0.1)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_window_is_a_finite_time(call: Call, folder: Path, number: str) -> None:
    result = call("pi-1", *FIVE, "--window", number, "--yes")
    assert (result.exit_code, folder.exists()) == (2, False)
    assert f"Invalid value for '--window': {number} is no finite number." in result.output


def test_the_processor_reads_the_written_file_while_it_watches(call: Call, folder: Path) -> None:
    now = [0.0]
    calibrations = Calibrations(str(folder), pytest.fail, lambda: now[0])
    assert calibrations.of("pi/1") == ()
    assert call("pi/1", "--pair", "20", "19", "--valid-from", "2026-11-01", "--yes").exit_code == 0
    now[0] = 5.0
    (curve,) = calibrations.of("pi/1")
    assert curve.apply(30.0) == 29.0
    assert call("pi/1", "--pair", "20", "18", "--valid-from", "2026-11-02T10:00:00Z", "--yes").exit_code == 0
    now[0] = 10.0
    first, second = calibrations.of("pi/1")
    assert (first.apply(30.0), second.apply(30.0)) == (29.0, 28.0)
    assert first.valid_until_ns == second.valid_from_ns


def test_the_old_entries_stay_as_they_were_with_their_remarks(call: Call, folder: Path) -> None:
    assert call("pi-1", "--pair", "20", "19", "--valid-from", "2026-11-01", "--yes").exit_code == 0
    path = folder / "pi-1.toml"
    before = path.read_text() + "# a remark of my own\n"
    path.write_text(before)
    path.chmod(0o640)
    assert call("pi-1", "--pair", "20", "18", "--yes").exit_code == 0
    assert path.read_text().startswith(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert call("pi-1", "--end", "--valid-from", "2100-01-01", "--yes").exit_code == 0
    listed = call("pi-1", "--list").output
    assert [line.split(":")[0] for line in listed.splitlines() if line.startswith("from ")] == [
        "from 2026-11-01 00",
        f"from {tomllib.loads(path.read_text())['calibration'][1]['valid_from']:%Y-%m-%d %H}",
        "from 2100-01-01 00",
    ]


def test_readings_that_are_typed_in_are_asked_for_until_an_empty_line(call: Call, folder: Path) -> None:
    result = call("pi-1", typed="18 14\nwarm\n30\n31 26\n\nmercury\ny\n")
    assert result.exit_code == 0, result.output
    assert result.output.count("expected 2 numbers such as 21.5") == 2
    (entry,) = entries((folder / "pi-1.toml").read_text(), "x")
    assert (entry.kind, entry.values["reference"]) == ("two_point", "mercury")


def test_a_no_writes_nothing(call: Call, folder: Path) -> None:
    result = call("pi-1", *FIVE, "--reference", "x", typed="n\n")
    assert (result.exit_code, folder.exists()) == (0, False)
    assert "nothing was written" in result.output


@pytest.mark.parametrize("typed", ["", "18 14\n", "18 14\n31 26\n\n", "18 14\n31 26\n\nmercury\n"])
def test_an_input_that_ends_or_ctrl_c_at_any_question_writes_nothing(call: Call, folder: Path, typed: str) -> None:
    result = call("pi-1", typed=typed)
    assert result.exit_code == 1
    assert "Aborted!" in result.output
    assert not folder.exists()


def test_ctrl_c_in_a_real_process_writes_nothing_and_is_reported(folder: Path) -> None:
    arguments = [sys.executable, "-m", "sensetig", "calibrate", "pi-1", "--calibrations", str(folder)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("18 14\n")
        process.stdin.flush()
        shown = ""
        while not shown.endswith("pair 2: ") and (character := process.stdout.read(1)):
            shown += character
        process.send_signal(signal.SIGINT)
        assert "Aborted!" in process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert not folder.exists()


def test_a_dry_run_shows_the_entry_and_writes_nothing(call: Call, folder: Path) -> None:
    result = call("pi-1", *FIVE, "--dry-run")
    assert result.exit_code == 0
    assert not folder.exists()
    shown = result.output[result.output.index("[[calibration]]") :]
    assert read(shown, "x")[0].output == "temperature_calibrated_celsius"


def test_a_table_of_pairs_and_a_picture_of_the_report(call: Call, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("raw,reference\n1000,1002\n1010,1012.1\n1020,1022\n")
    drawn = tmp_path / "report.svg"
    options = ("--pairs", str(tmp_path / "pairs.csv"), "--field", "pressure_hpa", "--plot", str(drawn), "--dry-run")
    result = call("pi-1", *options)
    assert result.exit_code == 0, result.output
    assert 'sensor = "lps25h"' in result.output
    picture = drawn.read_text()
    assert picture.startswith("<svg")
    assert "1012.1" in picture
    assert "http" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_a_recording_in_local_time_with_other_columns_is_matched(call: Call, tmp_path: Path) -> None:
    rows = [f"2026-01-01 01:{minute:02}:00;{25 + minute / 10}" for minute in range(60)]
    (tmp_path / "made.csv").write_text("Zeit;Temperatur\n" + "\n".join(rows))
    (tmp_path / "true.csv").write_text("time,reference\n2026-01-01T00:00:00Z,20\n2026-01-01T00:59:00Z,25.9\n")
    readings = ("--readings", str(tmp_path / "made.csv"), "--references", str(tmp_path / "true.csv"))
    form = ("--columns", "time_stamp=Zeit,temp_h=Temperatur", "--time-zone", "Europe/Berlin")
    result = call("pi-1", *readings, *form, "--window", "1", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "pairs = [[25.0, 20.0], [30.9, 25.9]]" in result.output


def test_a_recording_is_matched_with_references_by_time(call: Call, tmp_path: Path) -> None:
    rows = [f"{45 + minute / 10},{25 + minute / 10},24,50,1013,2026-01-01 00:{minute:02}:00" for minute in range(60)]
    (tmp_path / "made.csv").write_text("temp_cpu,temp_h,temp_p,humidity,pressure,time_stamp\n" + "\n".join(rows))
    (tmp_path / "true.csv").write_text(
        "time,reference\n2026-01-01T00:00:00Z,20\n2026-01-01T00:59:00Z,25.9\n2026-02-01T00:00:00Z,1\n"
    )
    readings = ("--readings", str(tmp_path / "made.csv"), "--references", str(tmp_path / "true.csv"))
    result = call("pi-1", *readings, "--window", "1", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "1 references have no reading within 1 s" in result.output
    assert "pairs = [[25.0, 20.0], [30.9, 25.9]]" in result.output
    heat = call("pi-1", *readings, "--window", "1", "--cpu-heat")
    assert "compensation_factor = 4" in heat.output, heat.output


def test_the_collector_itself_gives_the_readings(call: Call, folder: Path) -> None:
    options = ("--readings", "collector", "--samples", "1", "--reference", "x", "--yes")
    simulated = {"SENSETIG_SENSEHAT_BACKEND": "simulated", "SENSETIG_SENSEHAT_DEVICE": "pi-1"}
    result = call("pi-1", *options, typed="20\n\n", **simulated)
    assert result.exit_code == 0, result.output
    assert "the CPU" in result.output
    assert "these readings are simulated" in result.output
    (entry,) = entries((folder / "pi-1.toml").read_text(), "x")
    assert entry.kind == "offset"
    other = call("pi-2", *options, typed="20\n\n", **simulated)
    assert "reads the device pi-1, not pi-2" in other.output


def test_the_factor_against_the_cpus_heat_goes_into_a_new_file_only(call: Call, tmp_path: Path) -> None:
    (tmp_path / "heat.csv").write_text("raw,cpu,reference\n29,47,20\n31,61,21\n28,43,20.5\n")
    out = tmp_path / "sensetig.toml"
    result = call("pi-1", "--pairs", str(tmp_path / "heat.csv"), "--cpu-heat", "--write-settings", str(out))
    assert result.exit_code == 0, result.output
    factor = tomllib.loads(out.read_text())["sensehat"]["compensation_factor"]
    assert 1.9 < factor < 3.1
    again = call("pi-1", "--pairs", str(tmp_path / "heat.csv"), "--cpu-heat", "--write-settings", str(out))
    assert again.exit_code == 1
    assert "is there already and is left as it is" in again.output
    assert (
        "compensation_factor_lps25h"
        in call("pi-1", "--pairs", str(tmp_path / "heat.csv"), "--cpu-heat", "--sensor", "lps25h").output
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "--pair", "1", "2"), "the device has an empty name"),
        (("pi-1", "--pair", "20", "19", "--kind", "gain"), "needs as many pairs"),
        (("pi-1", "--pair", "nan", "19"), "finite"),
        (("pi-1", "--pair", "20", "19", "--valid-from", "soon"), "--valid-from: the time is 'soon'"),
        (("pi-1", "--pair", "20", "19", "--valid-from", "1500-01-01"), "outside the years"),
        (("pi-1", "--pair", "20", "19", "--field", "temperature_calibrated_celsius"), "calibrated already"),
        (("pi-1", "--pair", "20", "19", "--plot", "x.png"), "does not end in .svg"),
        (("pi-1", "--pair", "20", "19", "--cpu-heat"), "the CPU's temperature is missing"),
        (("pi-1", "--readings", "flight.csv"), "needs --references"),
        (("pi-1", "--readings", "influxdb", "--token-file", "/absent"), "/absent cannot be read"),
        (("pi-1", "--pair", "20", "19", "--calibrations", "/proc/none"), "cannot be written"),
        (("pi-1", "--pairs", "/absent.csv"), "does not exist"),
        (("pi-1", "--end"), "there is no calibration of temperature_raw_celsius (sensor hts221) of pi-1"),
    ],
)
def test_an_error_is_one_sentence_and_nothing_is_written(
    call: Call, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = call(*arguments, "--yes", typed="")
    assert result.exit_code in (1, 2)
    assert said in result.output.replace("\n", " ")
    assert "Traceback" not in result.output
    assert not folder.exists()


def test_an_unreachable_influxdb_is_reported(call: Call, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    result = call(
        *("pi-1", "--readings", "influxdb", "--token-file", str(tmp_path / "token"), "--url", "http://127.0.0.1:9"),
        typed="20\n",
    )
    assert result.exit_code == 1
    assert "InfluxDB at http://127.0.0.1:9 does not answer (connection refused)" in result.output
    assert "secret" not in result.output


def test_values_of_influxdb_are_put_together_by_sensor_and_time() -> None:
    from sensetig.calibration import sources

    moment = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    common = {"_time": moment, "device": "pi-1", "sensor": "hts221"}
    records: list[Any] = [
        Recorder(**common, _field="temperature_raw_celsius", _value=25.5),
        Recorder(**common, _field="temperature_cpu_celsius", _value=50.0),
        Recorder(**{**common, "sensor": "lps25h"}, _field="temperature_raw_celsius", _value=23.0),
        Recorder(**{**common, "device": "pi-2"}, _field="temperature_raw_celsius", _value=1.0),
        Recorder(
            **{**common, "device": None, "host": "pi-1", "sensor": None}, _field="temperature_raw_celsius", _value=2
        ),
    ]
    place = sources.Place("pi-1", "environment", "temperature_raw_celsius", "hts221")
    assert sources.assembled(records, place) == [(60 * 10**9, 25.5, 50.0)]
    assert len(sources.assembled(records, place._replace(sensor=None))) == 3


def test_a_file_that_is_broken_is_not_added_to(call: Call, folder: Path) -> None:
    folder.mkdir()
    (folder / "pi-1.toml").write_text("[[calibration]]\nkind = 3\n")
    result = call("pi-1", "--pair", "20", "19", "--yes")
    assert result.exit_code == 1
    assert "entry 1: measurement is missing" in result.output
    assert "nothing was written" in result.output
    assert (folder / "pi-1.toml").read_text() == "[[calibration]]\nkind = 3\n"
    assert call("pi-1", "--list").exit_code == 1


ENTRY: dict[str, Any] = {
    "measurement": "environment",
    "field": "pressure_hpa",
    "valid_from": datetime(2026, 11, 1, tzinfo=UTC),
    "kind": "offset",
    "offset": 1.5,
}


def test_writers_at_the_same_time_lose_nothing_of_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PATIENCE", 120.0)  # the last one waits for seven, and each for the disk
    together = threading.Barrier(8)
    failed: list[BaseException] = []

    def write(day: int) -> None:
        together.wait(60)
        try:
            store.add(folder, "pi-1", {**ENTRY, "valid_from": datetime(2026, 11, day, tzinfo=UTC)})
        except BaseException as error:  # noqa: BLE001 - told by the one who waits
            failed.append(error)

    threads = [threading.Thread(target=write, args=(day,)) for day in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert len(read((folder / "pi-1.toml").read_text(), "x", "pi-1")) == 8


def test_a_full_disk_leaves_the_old_file_unchanged_and_no_other_file(folder: Path) -> None:
    store.add(folder, "pi-1", ENTRY)
    before = (folder / "pi-1.toml").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        with pytest.raises(CalibrateError, match="nothing was changed"):
            store.add(folder, "pi-1", {**ENTRY, "valid_from": datetime(2026, 12, 1, tzinfo=UTC)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (folder / "pi-1.toml").read_bytes() == before
    assert [name for name in os.listdir(folder) if not name.endswith(".lock")] == ["pi-1.toml"]


def test_a_folder_that_may_not_be_written_leaves_the_old_file(folder: Path) -> None:
    store.add(folder, "pi-1", ENTRY)
    before = (folder / "pi-1.toml").read_bytes()
    later = {**ENTRY, "valid_from": datetime(2026, 12, 1, tzinfo=UTC)}
    if os.geteuid() == 0:
        (folder / ".pi-1.toml.lock").unlink(missing_ok=True)
        (folder / ".pi-1.toml.lock").mkdir()  # root ignores a read-only folder, so block the file that must be created
    else:
        folder.chmod(0o555)
    try:
        with pytest.raises(CalibrateError, match="cannot be written"):
            store.add(folder, "pi-1", later)
    finally:
        folder.chmod(0o755)
    assert (folder / "pi-1.toml").read_bytes() == before


def test_a_service_of_another_user_can_read_the_file_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        store.add(folder, "pi-1", ENTRY)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "pi-1.toml").stat().st_mode & 0o777 == 0o644


def test_a_link_stays_one(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "pi-1.toml").symlink_to(tmp_path / "kept.toml")
    store.add(folder, "pi-1", ENTRY)
    assert (folder / "pi-1.toml").is_symlink()
    assert len(read((tmp_path / "kept.toml").read_text(), "x")) == 1


@given(
    st.fixed_dictionaries(
        {
            "offset": st.floats(allow_nan=False, allow_infinity=False),
            "residual_rms": st.floats(0, 1e6),
            "degrees_of_freedom": st.integers(0, 1000),
            "uncertainties": st.lists(st.floats(0, 1e300), max_size=3),
            "pairs": st.lists(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2), max_size=4),
            "by": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            "comment": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        }
    )
)
def test_an_entry_is_read_back_as_it_was_written(values: dict[str, Any]) -> None:
    written = {**ENTRY, **values}
    (found,) = entries(store.spelled(written), "x")
    assert found.values == written
