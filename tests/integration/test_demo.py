"""The demo as a new user runs it: the data that arrives, the files that remain, and messages about obstacles."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3

from sensetig.demo.state import State
from sensetig.demo.testbed import ports
from sensetig.engines import locate
from tests.integration.conftest import Demo, run_demo


def test_every_collectors_data_arrives_through_telegraf(demo: Demo) -> None:
    assert demo.status == 0, demo.output
    assert all(each["arrived"] for each in demo.summary["collectors"].values())
    assert {"system", "sensehat", "camera", "random_data"} <= demo.summary["collectors"].keys()
    measurements = demo.summary["measurements"]
    expected = {"cpu", "mem", "disk", "net", "system", "processes", "environment", "imu", "camera", "collector"}
    assert expected <= measurements.keys()
    for name in expected:
        assert measurements[name]["through_telegraf"], name
        assert measurements[name]["points"] > 0, name
        assert measurements[name]["newest_age_seconds"] < demo.summary["seconds"], name


def test_the_summary_has_the_data_for_scripts(demo: Demo) -> None:
    summary = demo.summary
    assert summary["versions"].keys() == {"sensetig", "python", "telegraf", "influxdb", "grafana"}
    assert summary["seconds"] >= 40
    assert summary["influxdb"]["buckets"] == ["raw", "hourly"]
    assert (summary["grafana_url"] is None) == (summary["versions"]["grafana"] is None)


def test_the_read_token_reads_and_cannot_write(demo: Demo) -> None:
    url, organisation = demo.summary["influxdb"]["url"], demo.summary["influxdb"]["organisation"]
    headers = {"Authorization": f"Token {demo.read_token}"}
    answer = urllib3.request("GET", f"{url}/query", fields={"db": "raw", "q": "SHOW MEASUREMENTS"}, headers=headers)
    assert "environment" in answer.data.decode()
    target = f"{url}/api/v2/write?org={organisation}&bucket=raw"
    assert urllib3.request("POST", target, body=b"intruder value=1", headers=headers).status in (401, 403)


def test_the_terminal_shows_a_line_for_each_measurement_with_its_age(demo: Demo) -> None:
    assert re.search(r"^environment +[\d,]+ .*°C.* \d+ s$", demo.output, re.MULTILINE), demo.output


def test_without_a_grafana_the_report_of_its_minutes_is_written(demo: Demo) -> None:
    if demo.summary["grafana_url"] is not None:
        assert not (demo.state / "reports").exists()
        return
    (page,) = (demo.state / "reports").glob("*.html")
    assert f"the report: {page}" in demo.output
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") >= 10
    assert re.search(r"Some of what is shown is [a-z ]+, and was not measured", text)


def test_no_secret_is_in_a_log_a_command_line_or_a_file_that_others_can_read(demo: Demo) -> None:
    secrets = [path.read_text().strip() for path in (demo.state / "tokens").iterdir()]
    assert len(secrets) >= 3
    engines = [psutil.Process(entry[1]) for entry in json.loads((demo.state / "running.json").read_text())]
    assert len(engines) >= 2
    for engine in engines:
        for process in (engine, *engine.children(recursive=True)):
            assert not any(secret in word for word in process.cmdline() for secret in secrets)
    for folder, _, files in os.walk(demo.state):
        for path in (Path(folder) / name for name in files if Path(folder).name in ("tokens", "logs", "state")):
            assert path.stat().st_mode & 0o077 == 0 or path.name in (".sensetig-demo", "lock", "tags.conf"), path
            if Path(folder).name == "logs":
                assert not any(secret in path.read_text(errors="replace") for secret in secrets), path


def test_kept_engines_listen_on_loopback_alone_and_end_with_stop(demo: Demo) -> None:
    entries = json.loads((demo.state / "running.json").read_text())
    for _, pid, _ in entries:
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr[0] in ("127.0.0.1", "::1"), connection


@contextmanager
def _started(state: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that is up and has its first data; ended, with its engines, in any case."""
    child = subprocess.Popen(
        [sys.executable, "-m", "sensetig", "demo", "--state", str(state), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert child.stdout is not None
        said = []
        for line in child.stdout:  # ends when the demo does, so the wait is bounded by the test's time
            said.append(line)
            if line.startswith("InfluxDB "):
                break
        else:
            pytest.fail(f"the demo did not come up:\n{''.join(said)}", pytrace=False)
        yield child
    finally:
        child.kill()
        child.communicate()
        run_demo(state, "--stop")


def _engines(state: Path) -> list[psutil.Process]:
    engines = [psutil.Process(pid) for _, pid, _ in json.loads((state / "running.json").read_text())]
    return [*engines, *(child for engine in engines for child in engine.children(recursive=True))]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_that_the_demo_started(
    tmp_path: Path, telegraf: Path, number: signal.Signals
) -> None:
    del telegraf
    with _started(tmp_path / "state") as demo:
        engines = _engines(tmp_path / "state")
        assert len(engines) >= 4, "two engines, and collectors below Telegraf"
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=240)
        assert demo.returncode == 0, output
        assert not psutil.wait_procs(engines, timeout=60)[1]


def test_after_a_kill_the_next_run_stops_leftover_engines_and_names_taken_ports(tmp_path: Path, telegraf: Path) -> None:
    del telegraf
    state = tmp_path / "state"
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Otherwise another program has the port, and keeps it.
        if ports.reserve(8086):
            taken.bind((ports.LOOPBACK, 8086))
            taken.listen()
        with _started(state) as demo:
            engines = _engines(state)
            demo.kill()
            demo.wait(timeout=60)
            assert any(engine.is_running() for engine in engines)
            again = run_demo(state, "--for", "45s", "--json", str(tmp_path / "summary.json"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "stopping the engines that an earlier run has left" in again.stderr
    assert re.search(r"port 8086 is taken by .+; \d+ is used instead", again.stderr)
    assert not psutil.wait_procs(engines, timeout=60)[1]


@pytest.mark.parametrize("said", ["starting InfluxDB", "starting Telegraf", "starting Grafana", "waiting for"])
def test_ctrl_c_during_the_start_leaves_nothing_behind(tmp_path: Path, telegraf: Path, said: str) -> None:
    del telegraf
    if said == "starting Grafana" and locate("grafana") is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder")
    state = tmp_path / "state"
    before = set(_named_after(state))
    with subprocess.Popen(
        [sys.executable, "-m", "sensetig", "demo", "--state", str(state)], stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if said in line:
                break
        demo.send_signal(signal.SIGINT)
        rest = demo.stderr.read()
        demo.wait(timeout=240)
    assert "Traceback" not in rest
    assert set(_named_after(state)) == before
    assert not (state / "running.json").exists()


def _named_after(state: Path) -> list[int]:
    """The processes that have the state folder on their command line, among them every engine of that demo."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(state) in word for word in words) and "sensetig" not in words:
            found.append(process.pid)
    return found


@pytest.mark.parametrize("name", ["InfluxDB", "Telegraf"])
def test_an_engine_that_is_killed_ends_the_demo_with_a_sentence(tmp_path: Path, telegraf: Path, name: str) -> None:
    del telegraf
    with _started(tmp_path / "state") as demo:
        engines = _engines(tmp_path / "state")
        pids = {each: pid for each, pid, _ in json.loads((tmp_path / "state" / "running.json").read_text())}
        psutil.Process(pids[name]).kill()
        output, _ = demo.communicate(timeout=240)
        assert demo.returncode == 1
        assert f"Error: {name} has ended" in output
        assert "Traceback" not in output
        assert not psutil.wait_procs(engines, timeout=60)[1]


def test_an_invalid_recording_is_reported_in_the_collectors_words(tmp_path: Path, telegraf: Path) -> None:
    del telegraf
    recording = tmp_path / "readings.csv"
    recording.write_text("this,is,no,recording\n1,2,3,4\n")
    ran = run_demo(tmp_path / "state", "--for", "15s", "--recording", str(recording))
    assert ran.returncode == 1
    assert re.search(r"no data of sensehat yet: .*readings\.csv", ran.stderr), ran.stderr
    assert "no data has arrived through Telegraf from: sensehat" in ran.stderr


def test_a_full_disk_is_reported_and_the_state_can_still_be_removed(tmp_path: Path, telegraf: Path) -> None:
    del telegraf
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small file system that this test fills")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220m", "none", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        state = place / "state"
        with _started(state) as demo:
            with (
                Path("/dev/zero").open("rb") as zeros,
                (place / "filler").open("wb", buffering=0) as filler,
                pytest.raises(OSError, match="No space left"),
            ):
                shutil.copyfileobj(zeros, filler)
            demo.send_signal(signal.SIGINT)
            output, _ = demo.communicate(timeout=240)
            assert "Traceback" not in output
        refused = run_demo(state, "--for", "5s")
        assert refused.returncode == 1
        assert re.search(r"has \d+ MiB of room left, and the demo needs|cannot be written to", refused.stderr)
        cleaned = run_demo(state, "--clean")
        assert cleaned.returncode == 0, cleaned.stderr
        assert not state.exists()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_failed_grafana_is_reported_and_the_rest_runs(tmp_path: Path, telegraf: Path) -> None:
    del telegraf
    home = tmp_path / "grafana"
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "grafana"
    program.write_text('#!/bin/sh\n[ "$1" = server ] && exit 1\necho grafana version 12.2.0\n')
    program.chmod(0o755)
    ran = run_demo(tmp_path / "state", "--for", "30s", environ={**os.environ, "GRAFANA_HOME": str(home)})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "going on without the dashboards: Grafana ended" in ran.stderr


def test_clean_removes_the_state_folder_and_a_second_time_says_that_there_is_none(tmp_path: Path) -> None:
    State(tmp_path / "state")
    assert run_demo(tmp_path / "state", "--clean").returncode == 0
    assert not (tmp_path / "state").exists()
    again = run_demo(tmp_path / "state", "--clean")
    assert again.returncode == 0
    assert "there is no demo in" in again.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--recording", "absent.csv"], "File 'absent.csv' does not exist"),
        (["--for", "soon"], "'soon' is no duration: write it as 40s, 5m, 6h or 7d"),
        (["--for", "0s"], "'0s' is no duration"),
        (["--json", "summary.json"], "--json goes with --for"),
        (["--state", "/dev/null/state"], "the state folder /dev/null/state cannot be written to"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    ran = run_demo(tmp_path / "state", *options)
    assert ran.returncode in (1, 2)
    assert sentence in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr
