"""The worked example against a real InfluxDB: batches, an InfluxDB that comes back, and nothing lost at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode
from sensetig import bundle
from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from sensetig.influxdb.prepare import setup
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

#: Time limit for awaited events, in seconds.
SECONDS = 180.0


def _environment(url: str, token: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return {
        **inherited,
        "SENSETIG_SETTINGS": os.devnull,
        "SENSETIG_RANDOM_DATA_URL": url,
        "SENSETIG_RANDOM_DATA_TOKEN": token,
    }


class Application:
    """``random_data --execd`` in a separate process; its output is read line by line."""

    def __init__(self, url: str, token: str, log: Path, *options: str) -> None:
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "collectors", "random_data", "--execd", *options],
                cwd=bundle.root(),
                env=_environment(url, token),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._log = log

    @property
    def said(self) -> list[str]:
        return self._log.read_text().splitlines()

    def ask(self) -> Metric:
        """Ask for one point; its self-metric."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return decode(self.process.stdout.readline())

    def ask_until(self, reached: Callable[[Metric], bool]) -> list[Metric]:
        """Ask ten times a second until a self-metric is as expected."""
        end = time.monotonic() + SECONDS
        answers = [self.ask()]
        while not reached(answers[-1]):
            assert time.monotonic() < end, (answers[-1], self.said)
            time.sleep(0.1)
            answers.append(self.ask())
        return answers

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Application]]:
    """Starts applications, and ends those that a failed test leaves."""
    started: list[Application] = []

    def application(url: str, token: str, *options: str) -> Application:
        started.append(Application(url, token, tmp_path / f"{len(started)}.err", *options))
        return started[-1]

    yield application
    for each in started:
        each.process.kill()
        each.process.communicate()


def _stored(
    url: str, token: str, value: str, *, tag: str = "device", source: str = "random_data"
) -> list[dict[str, Any]]:
    """The points with this value of a tag in the bucket raw, oldest first."""
    answer = urllib3.request(
        "GET",
        f"{url}/query",
        fields={"db": "raw", "q": f"SELECT * FROM {source} WHERE {tag} = '{value}'"},  # noqa: S608
        headers={"Authorization": f"Token {token}"},
    )
    assert answer.status == 200, answer.data
    series = answer.json()["results"][0].get("series", [])
    return [dict(zip(each["columns"], row, strict=True)) for each in series for row in each["values"]]


def test_one_point_is_pushed_and_waited_for(influxdb: InfluxDB) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collectors", "random_data", "--device", "once", "--host", "shelf", "--site", "school"],
        cwd=bundle.root(),
        env=_environment(influxdb.url, influxdb.write_token),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (point,) = _stored(influxdb.url, influxdb.read_token, "once")
    assert (point["host"], point["site"], point["simulated"]) == ("shelf", "school", "true")
    assert 0 <= point["value"] <= 100
    assert decode(done.stdout).fields["up"] == 1


@pytest.mark.parametrize("whose", ["nobody's", "a reader's"])
def test_one_point_with_a_token_that_may_not_write_fails_with_a_sentence(influxdb: InfluxDB, whose: str) -> None:
    token = "not-a-token" if whose == "nobody's" else influxdb.read_token
    done = subprocess.run(
        [sys.executable, "-m", "collectors", "random_data", "--device", "refused"],
        cwd=bundle.root(),
        env=_environment(influxdb.url, token),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"E! random_data: InfluxDB at {influxdb.url} does not let this token write to the bucket 'raw'; "
        "give one that may in SENSETIG_RANDOM_DATA_TOKEN or in token_file\n"
    )
    assert decode(done.stdout).fields["up"] == 0
    assert _stored(influxdb.url, influxdb.read_token, "refused") == []


def test_a_missing_bucket_is_reported_in_influxdbs_words(influxdb: InfluxDB) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collectors", "random_data", "--bucket", "nowhere"],
        cwd=bundle.root(),
        env=_environment(influxdb.url, influxdb.operator_token),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "refused the points: " in done.stderr
    assert "nowhere" in done.stderr
    assert "(status 404)" in done.stderr


def test_waiting_points_are_delivered_on_shutdown(influxdb: InfluxDB, start: Callable[..., Application]) -> None:
    application = start(influxdb.url, influxdb.write_token, "--device", "stopped", "--flush-seconds", "60")
    for _ in range(20):
        application.ask()
    assert _stored(influxdb.url, influxdb.read_token, "stopped") == [], "the batch is neither full nor due"
    assert application.stop() == 0
    points = _stored(influxdb.url, influxdb.read_token, "stopped")
    assert [point["step_count"] for point in points] == list(range(1, 21))
    assert application.said == []


def test_telegraf_supervises_it_and_carries_its_self_metric_while_its_points_go_past(
    influxdb: InfluxDB, telegraf: Path, tmp_path: Path
) -> None:
    files = bundle.root() / "telegraf"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    environment = {
        **inherited,
        "SENSETIG_PYTHON": sys.executable,
        "SENSETIG_SETTINGS": os.devnull,
        "SENSETIG_INFLUXDB_URL": influxdb.url,
        "SENSETIG_TELEGRAF_TOKEN": influxdb.write_token,
        "SENSETIG_FLUSH_INTERVAL": "1s",
        "SENSETIG_HOST": "supervised",
        "SENSETIG_SITE": "school",
    }
    command: list[str | Path] = [
        telegraf,
        "--config",
        files / "telegraf.conf",
        "--config",
        files / "telegraf.d" / "random_data.conf",
    ]
    log = tmp_path / "telegraf.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=bundle.root(), env=environment, stdout=file, stderr=file)
    try:
        end = time.monotonic() + SECONDS
        points: list[dict[str, Any]] = []
        batches: list[dict[str, Any]] = []
        while len(points) < 2 or not batches:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
            points = _stored(influxdb.url, influxdb.read_token, "supervised", tag="host")
            batches = _stored(influxdb.url, influxdb.read_token, "supervised", tag="host", source="collector")
    finally:
        process.terminate()
        process.wait(SECONDS)
    assert {point["site"] for point in (*points, *batches)} == {"school"}
    assert {batch["collector"] for batch in batches} == {"random_data"}
    assert {(batch["up"], batch["errors"], batch["samples"]) for batch in batches} == {(1, 0, 0)}


def test_a_full_batch_goes_out_and_is_acknowledged(influxdb: InfluxDB, start: Callable[..., Application]) -> None:
    options = ("--device", "batches", "--flush-seconds", "60", "--batch-size", "5")
    application = start(influxdb.url, influxdb.write_token, *options)
    for _ in range(5):
        application.ask()
    end = time.monotonic() + SECONDS
    while len(_stored(influxdb.url, influxdb.read_token, "batches")) < 5:
        assert time.monotonic() < end
        time.sleep(0.05)
    # The application would end later by itself; the test does not wait for that.


def test_a_wrong_token_is_counted_on_and_on_and_said_once(
    influxdb: InfluxDB, start: Callable[..., Application]
) -> None:
    application = start(influxdb.url, "not-a-token", "--device", "wrong", "--flush-seconds", "0.1")
    application.ask_until(lambda metric: metric.fields["errors"] == 1)
    answers = [application.ask() for _ in range(5)]
    assert [(metric.fields["errors"], metric.fields["up"]) for metric in answers] == [(1, 1)] * 5
    assert application.stop() == 0
    first, last = application.said
    assert "does not let this token write to the bucket 'raw'" in first
    assert "misses points: " in last
    assert "refused" in last
    assert "not-a-token" not in f"{first}{last}"


def test_an_influxdb_that_comes_up_late_gets_every_point_that_was_made_before(
    influxd: Path, tmp_path: Path, start: Callable[..., Application]
) -> None:
    port = ports.any_free()
    url = f"http://127.0.0.1:{port}"

    def prepared() -> tuple[processes.Identity, Any]:
        identity, _ = local_influxdb.start(influxd, tmp_path / "data", port, tmp_path / "influxd.log")
        outcome = setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=tmp_path / "tokens",
            definitions=bundle.root() / "influxdb",
            say=lambda _: None,
        )
        return identity, outcome.tokens

    identity, tokens = prepared()
    processes.stop([identity])

    application = start(url, tokens.telegraf, "--device", "late", "--flush-seconds", "0.2")
    away = application.ask_until(lambda metric: metric.fields["errors"] == 1)
    assert all(metric.fields["up"] == 1 for metric in away), "it goes on"
    assert application.said == [f"E! random_data: InfluxDB at {url} does not answer; points wait for it"]

    identity, _ = prepared()
    try:
        back = application.ask_until(lambda metric: metric.fields["errors"] == 0)
        assert application.stop() == 0
        points = _stored(url, tokens.grafana, "late")
        assert [point["step_count"] for point in points] == list(range(1, len(away) + len(back) + 1))
        assert len(application.said) == 1, "nothing was lost"
    finally:
        processes.stop([identity])


def test_a_buffer_that_is_full_drops_counts_and_says_so(start: Callable[..., Application]) -> None:
    url = f"http://127.0.0.1:{ports.any_free()}"
    application = start(url, "a-token", "--buffer-size", "3", "--flush-seconds", "0.1")
    answers = [application.ask() for _ in range(5)]
    assert [metric.fields["errors"] for metric in answers[3:]] == [1, 1]
    application.stop()
    assert any("3 points wait, so this one is dropped" in line for line in application.said)
    assert "3 had not reached it when it was time to stop" in application.said[-1]


def test_an_influxdb_that_is_away_does_not_hold_up_the_end(start: Callable[..., Application]) -> None:
    url = f"http://127.0.0.1:{ports.any_free()}"
    application = start(url, "a-token", "--flush-seconds", "0.1")
    application.ask_until(lambda metric: metric.fields["errors"] == 1)
    assert application.stop() == 0, "an hour of attempts is left, and is not waited for"
    assert "had not reached it when it was time to stop" in application.said[-1]
