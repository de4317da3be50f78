"""The demo as a stranger runs it: what arrives, what it leaves, and what it says when something is in its way."""

from __future__ import annotations

import json
import os
import re
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

from sensetig.local import ports
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
        assert measurements[name]["newest_age_seconds"] < 30, name


def test_the_summary_says_what_a_script_needs(demo: Demo) -> None:
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
            assert path.stat().st_mode & 0o077 == 0 or path.name in ("lock", "running.json"), path
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
        output, _ = demo.communicate(timeout=60)
        assert demo.returncode == 0, output
        assert not psutil.wait_procs(engines, timeout=5)[1]


def test_after_a_kill_the_next_run_stops_what_was_left_and_says_which_ports_are_taken(
    tmp_path: Path, telegraf: Path
) -> None:
    del telegraf
    state = tmp_path / "state"
    with _started(state) as demo:
        engines = _engines(state)
        demo.kill()
        demo.wait(timeout=10)
        assert any(engine.is_running() for engine in engines)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ports.is_free(8086):
                taken.bind((ports.LOOPBACK, 8086))
                taken.listen()
            again = run_demo(state, "--for", "25s", "--json", str(tmp_path / "summary.json"))
        assert again.returncode == 0, again.stdout + again.stderr
        assert "stopping the engines that an earlier run has left" in again.stderr
        assert re.search(r"port 8086 is taken by .+; \d+ is used instead", again.stderr)
        assert not psutil.wait_procs(engines, timeout=5)[1]


def test_clean_removes_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert run_demo(tmp_path / "state", "--clean").returncode == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--recording", "absent.csv"], "File 'absent.csv' does not exist"),
        (["--for", "soon"], "'soon' is no duration: write it as 40s, 5m or 1h"),
        (["--for", "0s"], "'0s' is no duration"),
        (["--state", "/dev/null/state"], "the state folder /dev/null/state cannot be written to"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    ran = run_demo(tmp_path / "state", *options)
    assert ran.returncode in (1, 2)
    assert sentence in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr
