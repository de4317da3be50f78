"""The demo's pure parts: the arrival of data, its display, and the choice of sources."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from influxdb_client.client.flux_table import FluxRecord

from collectors.core.schema import Field, Measurement, Tag
from sensetig import bundle
from sensetig.declarations import Declared
from sensetig.demo.arrivals import Arrivals, Reading, came_through, gather, missing
from sensetig.demo.run import sources
from sensetig.demo.state import State, StateError
from sensetig.demo.summary import dashboards, save
from sensetig.demo.table import amount, values
from sensetig.demo.testbed import ports
from sensetig.demo.testbed.processes import EngineFailed, Identity, await_ready, start, stop
from sensetig.demo.watch import last_error

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WEATHER = Measurement(
    "weather",
    "The weather.",
    (Tag("sensor", "Which one."),),
    (
        Field("temperature_celsius", float, "celsius", "Temperature."),
        Field("rain", bool, "", "Whether it rains."),
        Field("picture", str, "", "A picture."),
    ),
)


def _record(measurement: str, field: str, value: object, age: float = 0, **tags: str) -> FluxRecord:
    time = NOW - timedelta(seconds=age)
    return FluxRecord(0, {"_measurement": measurement, "_field": field, "_value": value, "_time": time, **tags})


def _arrivals(*newest: FluxRecord) -> Arrivals:
    counts = [FluxRecord(0, {**record.values, "_value": 1}) for record in newest]
    return gather(counts, newest)


def test_points_of_a_measurement_are_the_sum_over_its_series_of_the_most_frequent_field() -> None:
    counts = [
        _record("weather", "temperature_celsius", 10, sensor="a"),
        _record("weather", "rain", 4, sensor="a"),
        _record("weather", "temperature_celsius", 5, sensor="b"),
    ]
    newest = [
        _record("weather", "temperature_celsius", 20.5, sensor="a"),
        _record("weather", "rain", True, 9, sensor="a"),
    ]
    arrived = gather(counts, newest).measurements["weather"]
    assert arrived.points == 15
    assert arrived.fields == ("rain", "temperature_celsius")
    assert arrived.newest == NOW


def test_a_collector_has_arrived_when_its_own_metric_came_through_telegraf_and_its_data_is_there() -> None:
    declared = {"weather": Declared(("sky",), WEATHER)}
    data = _record("weather", "rain", True, sensor="a", site="demo")
    direct = _record("collector", "up", 1, collector="sky")
    through = _record("collector", "samples", 1, collector="sky", ingest_path="telegraf")
    printing_nothing = _record("collector", "samples", 0, collector="sky", ingest_path="telegraf")
    brought = _record("weather", "rain", True, sensor="a", ingest_path="telegraf")
    assert missing(_arrivals(brought, through), ["sky"], declared) == []
    assert missing(_arrivals(brought, direct), ["sky"], declared) == ["sky"]
    assert missing(_arrivals(through), ["sky"], declared) == ["sky"]
    assert missing(_arrivals(data, through), ["sky"], declared) == ["sky"]
    assert missing(_arrivals(data, printing_nothing), ["sky"], declared) == [], "it writes to InfluxDB on its own"


def test_self_metrics_of_a_processor_count_as_delivered_by_telegraf() -> None:
    through = _record("collector", "up", 1, collector="sky", ingest_path="telegraf")
    processor = _record("collector", "up", 1, collector="telemetry")
    assert _arrivals(through, processor).measurements["collector"].through_telegraf
    assert (
        not _arrivals(through, _record("collector", "up", 1, collector="sky"))
        .measurements["collector"]
        .through_telegraf
    )


def test_processor_output_counts_as_delivered_without_telegrafs_tag() -> None:
    arrived = _arrivals(_record("weather", "rain", True)).measurements["weather"]
    assert came_through("weather", arrived, {"weather": Declared(("telemetry",), WEATHER)})
    assert not came_through("weather", arrived, {"weather": Declared(("sky",), WEATHER)})
    assert not came_through("weather", arrived, {})


def test_the_table_shows_declared_fields_of_the_newest_series_with_their_units_and_leaves_texts_out() -> None:
    arrivals = _arrivals(
        _record("weather", "temperature_celsius", 3.0, 60, sensor="old"),
        _record("weather", "temperature_celsius", 21.456, sensor="new"),
        _record("weather", "rain", False, sensor="new"),
        _record("weather", "picture", "data:image/jpeg;base64,", sensor="new"),
    )
    assert values(arrivals, "weather", Declared(("sky",), WEATHER)) == "temperature_celsius 21.46 °C  rain no"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (21.456, "celsius", "21.46 °C"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (512, "bytes", "512 B"),
        (5 * 1024**5, "bytes", "5120 TiB"),
        (1234567, "", "1,234,567"),
        (True, "", "yes"),
        (90.0, "seconds", "90 s"),
    ],
)
def test_an_amount_is_written_as_people_write_it(value: float | bool, unit: str, words: str) -> None:
    assert amount(value, unit) == words


def test_a_time_is_written_by_the_clock_of_this_machine() -> None:
    noon = datetime(2026, 1, 2, 12, 34, 56).astimezone()
    assert amount(noon.timestamp(), "seconds") == "12:34:56"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"SENSETIG_SENSEHAT_BACKEND": "simulated", "SENSETIG_CAMERA_BACKEND": "simulated"}),
        ({"SENSETIG_SENSEHAT_BACKEND": "emulator", "SENSETIG_CAMERA_SOURCE": "0"}, {}),
    ],
)
def test_without_a_pi_hardware_is_simulated_unless_the_environment_says_otherwise(
    environ: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    if Path("/proc/device-tree/model").exists():
        pytest.skip("this machine is a Pi, which may have the hardware")
    assert sources(environ, None, None) == expected


def test_a_named_recording_and_video_come_before_the_environment(tmp_path: Path) -> None:
    environ = {"SENSETIG_SENSEHAT_BACKEND": "emulator", "SENSETIG_CAMERA_SOURCE": "0"}
    chosen = sources(environ, tmp_path / "a.csv", tmp_path / "b.avi")
    assert chosen["SENSETIG_SENSEHAT_BACKEND"] == "recording"
    assert chosen["SENSETIG_CAMERA_SOURCE"] == str(tmp_path / "b.avi")


def test_a_state_folder_that_cannot_be_made_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file/state cannot be written to \(Not a directory\).*--state"):
        State(tmp_path / "file" / "state")


def test_a_state_folder_without_room_is_refused_with_the_room_it_needs(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"MiB of room left, and the demo needs \d+"):
        State(tmp_path, needed=2**62)


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with State(tmp_path).locked(), pytest.raises(StateError, match="another demo is running"), State(tmp_path).locked():
        pytest.fail("the second demo got in")


def test_a_secret_stays_the_same_and_is_the_owners_alone(tmp_path: Path) -> None:
    secret = State(tmp_path).secret("grafana")
    assert State(tmp_path).secret("grafana") == secret
    assert (tmp_path / "grafana.secret").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_holds_other_things_is_neither_used_nor_cleaned(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("mine")
    with pytest.raises(StateError, match="holds other things than a demo's"):
        State(tmp_path)
    with pytest.raises(StateError, match="is not the state folder of a demo, so nothing in it is touched"):
        State.existing(tmp_path)
    assert (tmp_path / "thesis").read_text() == "mine"


def test_removing_keeps_files_that_are_not_the_demos(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.secret("grafana")
    state.tokens.mkdir()
    (state.tokens / "operator.token").write_text("x")
    (state.folder / "thesis").write_text("mine")
    state.remove()
    assert [path.name for path in state.folder.iterdir()] == ["thesis"]
    (state.folder / "thesis").unlink()
    State(state.folder).remove()
    assert not state.folder.exists()


def test_a_damaged_list_of_engines_is_reported_with_a_remedy(tmp_path: Path) -> None:
    state = State(tmp_path)
    (tmp_path / "running.json").write_text('[["InfluxDB"')
    with pytest.raises(StateError, match=r"running.json is damaged.*remove that file"):
        state.running()


def test_the_list_of_engines_is_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = State(tmp_path / "state")
        state.remember([])
        start("nothing", ["true"], log=state.log("nothing"))
    finally:
        os.umask(before)
    assert (state.folder / "running.json").stat().st_mode & 0o777 == 0o600
    assert state.logs.stat().st_mode & 0o777 == 0o700


def test_the_last_error_of_a_collector_is_found_in_telegrafs_log(tmp_path: Path) -> None:
    log = tmp_path / "telegraf.log"
    log.write_text(
        "2026-01-01T00:00:00Z E! [inputs.execd] sky: first\n"
        "2026-01-01T00:00:01Z E! [inputs.execd] skyline: another's\n"
        "2026-01-01T00:00:02Z E! [inputs.execd] sky: the sensor is gone; plug it in\n"
    )
    assert last_error(log, "sky") == "the sensor is gone; plug it in"
    assert last_error(log, "sea") == f"it has said nothing of an error; Telegraf's log is {log}"


def test_an_interrupt_that_is_held_back_comes_at_the_release() -> None:
    program = (
        "import os, signal\n"
        "from sensetig.demo.interrupts import Interrupts\n"
        "interrupts = Interrupts()\n"
        "interrupts.hold()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('held', flush=True)\n"
        "try:\n    interrupts.release()\nexcept KeyboardInterrupt:\n    print('came', flush=True)\n"
        "interrupts.ignore()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('ignored')\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["held", "came", "ignored"]


def test_an_engine_that_ended_is_not_taken_for_a_later_process_with_its_id(tmp_path: Path) -> None:
    state = State(tmp_path)
    engine = start("sleeper", ["sleep", "600"], log=tmp_path / "log")
    state.remember([engine, Identity("another", engine.pid, engine.started - 100)])
    try:
        assert state.running() == [engine]
    finally:
        stop([engine])
    assert state.running() == []


def test_an_engine_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine = start("engine", ["sh", "-c", "echo cannot bind; exit 3"], log=log)
    with pytest.raises(EngineFailed, match=r"engine ended(.|\n)*cannot bind"):
        await_ready(engine, lambda: False, log=log, seconds=60)


def test_a_taken_port_is_named_with_its_holder_and_another_is_chosen() -> None:
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen, sentence = ports.choose(port)
    assert chosen != port
    assert sentence is not None
    assert sentence.startswith(f"port {port} is taken by ")
    assert f"{chosen} is used instead" in sentence
    assert "(process " in sentence


def test_a_summary_is_written_whole(tmp_path: Path) -> None:
    save({"a": 1}, tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_the_main_dashboards_are_listed_by_importance_with_their_path() -> None:
    listed = dashboards(bundle.root() / "grafana" / "dashboards")
    assert [title for title, _ in listed] == ["Fleet", "Device", "Environment", "Camera", "Live"]
    assert dict(listed)["Device"] == "/d/sensetig-device"


def test_the_newest_reading_wins_over_an_older_one_of_another_series() -> None:
    readings = (
        Reading("m", {"cpu": "cpu-total"}, "usage", 1.0, NOW),
        Reading("m", {"cpu": "cpu0"}, "usage", 2.0, NOW - timedelta(seconds=1)),
    )
    assert values(Arrivals({}, readings), "m", None) == "usage 1"


def test_an_engine_is_known_after_the_clock_was_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start("sleeper", ["sleep", "600"], log=tmp_path / "log")
    told = psutil.Process(engine.pid).create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: told + 3600)
    stop([engine])
    assert engine.process() is None
    assert not psutil.pid_exists(engine.pid)


def test_a_child_started_during_the_stop_of_an_engine_ends_with_it(tmp_path: Path) -> None:
    ready, late = tmp_path / "ready", tmp_path / "late"
    script = f"trap 'sleep 600 & echo $! > {late}; exit' TERM; touch {ready}; while :; do sleep 0.1; done"
    engine = start("starter", ["sh", "-c", script], log=tmp_path / "log")
    await_ready(engine, ready.exists, log=tmp_path / "log", seconds=60)
    # The engine ends at once; its child ignores SIGTERM and uses up the rest of the time.
    stop([engine], seconds=8)
    assert not psutil.pid_exists(int(late.read_text()))


def test_an_empty_text_is_no_number() -> None:
    arrivals = _arrivals(_record("device_health", "reasons", None), _record("device_health", "act", 0))
    assert values(arrivals, "device_health", None) == "act 0"
