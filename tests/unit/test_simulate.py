"""``sensetig simulate``: its options, its exits, and lines for a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.core.line_protocol_parser import decode_lines
from sensetig.simulator import SimulatorError
from sensetig.simulator.run import SimulateOptions, plan_of
from sensetig.simulator.transports import Target

SECONDS = 120.0

WISHES = SimulateOptions(
    devices=1,
    interval=10.0,
    profile="perfect",
    url="-",
    seed=1,
    site="here",
    recording=None,
    columns="",
    time_zone="UTC",
    time_format=None,
    duration=None,
    messages=None,
    start=None,
    speed=1.0,
    payload="lines",
    connections=None,
    password_file=None,
    ca_file=None,
    token_file=None,
    organisation="sensetig",
    bucket="raw",
    make_stream=False,
    stream_bytes=1 << 30,
    report=None,
    manifest=None,
    wait=10.0,
    drain=30.0,
)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return subprocess.run(
        [sys.executable, "-m", "sensetig", "simulate", *options],
        capture_output=True,
        text=True,
        env=environment,
        timeout=SECONDS,
        check=False,
    )


def test_lines_for_a_pipe_are_alone_on_standard_output_and_as_many_as_the_report_says(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ran = run("--devices", "3", "--messages", "5", "--speed", "0", "--profile", "hostile", "--json", str(report))
    assert ran.returncode == 0, ran.stderr
    metrics = list(decode_lines(ran.stdout))
    content = json.loads(report.read_text())
    distinct = {(metric.series, metric.time_ns) for metric in metrics}
    assert len(distinct) == content["total"]["points"]
    assert {metric.series.tags["device"] for metric in metrics} == {"sim-0001", "sim-0002", "sim-0003"}
    assert "acknowledged" in ran.stderr
    assert max(map(len, ran.stderr.splitlines())) <= 80


def test_the_same_options_give_the_same_lines() -> None:
    options = ("--messages", "20", "--speed", "0", "--start", "2026-06-21T12:00", "--profile", "field")
    once = run("--devices", "2", *options)
    more = run("--devices", "4", *options)
    assert once.stdout
    assert [line for line in more.stdout.splitlines() if "sim-0001" in line or "sim-0002" in line] == sorted(
        once.stdout.splitlines(), key=more.stdout.splitlines().index
    )


def test_a_recording_of_another_form_is_played(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv"
    path.write_text("Zeit;Feuchte;Temperatur\n21/06/2026 12:00:00;45,5;21,5\n21/06/2026 12:00:10;45,6;21,6\n")
    form = ("--columns", "time_stamp=Zeit,humidity=Feuchte,temp_h=Temperatur", "--time-zone", "Europe/Berlin")
    ran = run(
        *("--devices", "1", "--speed", "0", "--profile", "perfect", "--recording", str(path)),
        *form,
        *("--time-format", "%d/%m/%Y %H:%M:%S"),
    )
    assert ran.returncode == 0, ran.stderr
    assert "temperature_raw_celsius=21.5" in ran.stdout


def test_a_wrong_form_of_a_recording_is_one_sentence() -> None:
    ran = run("--recording", "/dev/null", "--time-zone", "Berlin")
    assert ran.returncode != 0
    assert ran.stderr.startswith("Error: the form of the recording cannot be read: ")
    assert len(ran.stderr.splitlines()) == 1


def test_a_recording_is_played_and_marked_as_replayed(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv"
    path.write_text(
        "temp_h,temp_p,humidity,pressure,time_stamp\n"
        "20,19,50,1000,2026-01-01 00:00:00\nbroken\n21,20,51,1001,2026-01-01 00:00:10\n"
    )
    ran = run("--devices", "2", "--speed", "0", "--profile", "perfect", "--recording", str(path))
    assert ran.returncode == 0
    metrics = list(decode_lines(ran.stdout))
    assert len(metrics) == 2 * 2 * 2
    assert {metric.series.tags["replayed"] for metric in metrics} == {"true"}
    assert "line 3: expected 5 cells, got 1; the row is skipped" in " ".join(ran.stderr.split())


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--devices", "0"), 2, "Error: Invalid value for '--devices': 0 is not in the range 1<=x<=100000."),
        (
            ("--profile", "nobody"),
            1,
            "Error: there is no profile 'nobody': choose one of classroom, field, hostile, perfect, or name a file "
            "that ends in .toml",
        ),
        (("--profile", "none.toml"), 1, "Error: the profile none.toml cannot be read: No such file or directory"),
        (
            ("--to", "ftp://pi:sesame@hub"),
            1,
            "Error: --to is 'ftp://hub'; it must be mqtt://HOST or mqtts://HOST, nats://HOST or tls://HOST, "
            "http://HOST or https://HOST of InfluxDB, or - for standard output",
        ),
        (
            ("--to", "mqtt://hub.example"),
            1,
            "Error: the broker hub.example is not on this machine and would be reached without encryption, so that "
            "others could read and change the messages; use mqtts://",
        ),
        (
            ("--to", "nats://user:pass@127.0.0.1"),
            1,
            "Error: the URL has a password in it, which the list of processes would show; leave the user there "
            "(tls://USER@HOST), and put the password into a file that --password-file names",
        ),
        (
            ("--to", "http://127.0.0.1:8086"),
            1,
            "Error: InfluxDB needs a token that may write: name its file with --token-file, or set "
            "SENSETIG_SIMULATE_TOKEN",
        ),
        (
            ("--to", "mqtt://127.0.0.1:1", "--wait", "1"),
            1,
            "Error: no broker answers at 127.0.0.1:1 within 1 s; start it, or name the right address with --to",
        ),
        (
            ("--to", "nats://127.0.0.1:1", "--wait", "1"),
            1,
            "Error: no NATS answers at 127.0.0.1:1 within 1 s; start it, or name the right address with --to",
        ),
        (
            ("--recording", "nothing.csv"),
            1,
            "Error: nothing.csv: there is no such recording; name a CSV or CSV.gz file with --recording",
        ),
        (("--speed", "0"), 1, "Error: as fast as it goes needs an end: say how much with --messages or --for"),
        (
            ("--start", "noon"),
            2,
            "Error: Invalid value for '--start': 'noon' is no time: write it as 2026-06-21T12:00, in UTC unless it "
            "says otherwise",
        ),
        (
            ("--messages", "1", "--start", "0001-01-01T00:00"),
            1,
            "Error: the simulated time would be beyond the years 1677 to 2262, which no database holds",
        ),
        (("--interval", "nan"), 2, "Error: Invalid value for '--interval': nan is no finite number."),
        (
            ("--messages", "1", "--manifest", "/nowhere/manifest"),
            1,
            "Error: the manifest /nowhere/manifest cannot be written: No such file or directory",
        ),
    ],
)
def test_invalid_options_are_reported_in_one_sentence(options: tuple[str, ...], status: int, said: str) -> None:
    ran = run(*options)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert ran.stderr.splitlines()[-1] == said


def test_a_missing_influxdb_is_reported_in_one_sentence(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("word")
    token.chmod(0o600)
    ran = run("--to", "http://127.0.0.1:1", "--token-file", str(token))
    assert ran.returncode == 1
    assert ran.stderr == (
        "Error: InfluxDB at http://127.0.0.1:1 does not answer (connection refused); start it, or name its address "
        "with --to\n"
    )
    token.chmod(0o644)
    ran = run("--to", "http://127.0.0.1:1", "--token-file", str(token))
    assert ran.stderr == f"Error: --token-file {token} may be read by others (mode 0644); chmod 600 {token}\n"


def test_ctrl_c_ends_it_in_order_with_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "sensetig", "simulate", "--devices", "2", "--interval", "0.05"),
            *("--profile", "perfect", "--json", str(report)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        first = [running.stdout.readline() for _ in range(8)]
        running.send_signal(signal.SIGINT)
        rest, said = running.communicate(timeout=SECONDS)
    finally:
        running.kill()
    content = json.loads(report.read_text())
    assert running.returncode == 0, said
    assert "stopped before its end" in said
    assert content["interrupted"]
    assert content["total"]["points"] == len(first) + len(rest.splitlines())


def test_a_closed_pipe_ends_it_with_the_report() -> None:
    running = subprocess.Popen(
        [*(sys.executable, "-m", "sensetig", "simulate", "--interval", "0.05", "--profile", "perfect")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
        assert running.wait(SECONDS) == 1
        running.stderr.close()
    finally:
        running.kill()
    assert "standard output takes no more lines: Broken pipe" in said
    assert "Traceback" not in said


def test_profiles_are_listed_with_their_descriptions() -> None:
    ran = run("--profiles")
    assert ran.returncode == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["classroom", "field", "hostile", "perfect"]


def test_an_end_is_the_first_of_those_that_are_given() -> None:
    assert plan_of(WISHES._replace(duration=60.0), 5).readings == 6
    assert plan_of(WISHES._replace(duration=60.0, messages=4), 5).readings == 4
    assert plan_of(WISHES, 5) == (5, 10_000_000_000, None, 1.0)


def test_as_fast_as_it_goes_ends_at_the_present_unless_a_start_is_given() -> None:
    now = 10**18
    assert plan_of(WISHES._replace(speed=0, messages=3), now).start_ns == now - 30_000_000_000
    assert plan_of(WISHES._replace(speed=0, messages=3, start=7), now).start_ns == 7
    with pytest.raises(SimulatorError):
        plan_of(WISHES._replace(speed=0), now)


def test_a_target_does_not_show_its_token() -> None:
    assert "secret" not in repr(Target("https://hub", token="secret"))  # noqa: S106 - made up
