"""The real Telegraf reads the collectors' lines unchanged: names, kinds, values and times, for arbitrary content."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3
from hypothesis import HealthCheck, Phase, given, seed, settings
from influxdb_client.client.influxdb_client import InfluxDBClient

from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.line_protocol_parser import decode_lines
from tests.arbitrary import METRICS, carried
from tests.integration.conftest import InfluxDB

#: How many metrics go through Telegraf in one run.
EXAMPLES = 3000

#: By then a Telegraf that works has written them all.
DEADLINE_SECONDS = 240

_AGENT = """
[agent]
  omit_hostname = true
  precision = "1ns"
  flush_interval = "200ms"
  metric_buffer_limit = 100000

[[outputs.file]]
  files = ["{out}"]
  data_format = "influx"
"""
_EXEC = """
[[inputs.exec]]
  commands = [["cat", "{lines}"]]
  timeout = "200s"
  data_format = "influx"
"""
_EXECD = """
[[inputs.execd]]
  command = ["{python}", "-c", "{script}", "{lines}"]
  signal = "none"
  data_format = "influx"
"""
#: Writes the lines, and stays until Telegraf closes its input, as a collector does.
_SCRIPT = "import sys; sys.stdout.write(open(sys.argv[1], newline='').read()); sys.stdout.flush(); sys.stdin.read()"


@pytest.fixture(scope="module")
def metrics() -> list[Metric]:
    """Metrics of arbitrary content, each identified by a distinct time."""
    found: list[Metric] = []

    @seed(20260101)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(METRICS)
    def keep(metric: Metric) -> None:
        found.append(Metric(metric.series, metric.fields, 1_700_000_000_000_000_000 + len(found)))

    keep()
    return found


def by_time(metrics: list[Metric]) -> dict[int, Metric]:
    return {metric.time_ns: metric for metric in metrics if metric.time_ns is not None}


def compare(written: list[Metric], text: str) -> None:
    expected = by_time([metric for each in written if (metric := carried(each)) is not None])
    got = by_time(list(decode_lines(text)))
    assert sorted(expected.keys() - got.keys()) == [], "metrics that Telegraf did not read"
    for time_ns, metric in expected.items():
        read = got[time_ns]
        assert read == metric
        assert {key: type(value) for key, value in read.fields.items()} == {
            key: type(value) for key, value in metric.fields.items()
        }


def lines_of(metrics: list[Metric], folder: Path) -> Path:
    path = folder / "lines"
    path.write_bytes("".join(f"{line}\n" for metric in metrics if (line := encode(metric))).encode("utf-8"))
    return path


def test_telegraf_reads_lines_unchanged_from_exec(telegraf: Path, metrics: list[Metric], tmp_path: Path) -> None:
    out, config = tmp_path / "out", tmp_path / "telegraf.conf"
    config.write_text((_AGENT + _EXEC).format(out=out, lines=lines_of(metrics, tmp_path)))
    done = subprocess.run(
        [telegraf, "--config", config, "--once"], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert "E!" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    compare(metrics, out.read_text(encoding="utf-8"))


def test_telegraf_reads_lines_unchanged_from_execd(telegraf: Path, metrics: list[Metric], tmp_path: Path) -> None:
    out, config = tmp_path / "out", tmp_path / "telegraf.conf"
    lines = lines_of(metrics, tmp_path)
    config.write_text((_AGENT + _EXECD).format(out=out, lines=lines, python=sys.executable, script=_SCRIPT))
    count = lines.read_bytes().count(b"\n")
    with (tmp_path / "log").open("w") as log, subprocess.Popen([telegraf, "--config", config], stderr=log) as process:
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not (out.exists() and out.read_bytes().count(b"\n") >= count) and time.monotonic() < deadline:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.05)  # between two looks, bounded by the deadline
            said = (tmp_path / "log").read_text()
        finally:
            process.terminate()
            process.wait(timeout=DEADLINE_SECONDS)
    assert "E!" not in said, said
    compare(metrics, out.read_text(encoding="utf-8"))


def test_influxdb_accepts_the_whole_batch(influxdb: InfluxDB, metrics: list[Metric]) -> None:
    """A batch with one line that it refuses comes back as an error; a measurement each keeps fields' types apart."""
    now = time.time_ns()
    batch = [
        Metric(Series(f"{number:06}{metric.series.measurement}", metric.series.tags), metric.fields, now)
        for number, metric in enumerate(metrics)
    ]
    lines = [line for metric in batch if (line := encode(metric))]
    with InfluxDBClient(influxdb.url, influxdb.operator_token, org=influxdb.org, timeout=60_000) as client:
        bucket = client.buckets_api().create_bucket(bucket_name=f"arbitrary-{now}", org=influxdb.org)
        try:
            answer = urllib3.request(
                "POST",
                f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket={bucket.name}&precision=ns",
                body="\n".join(lines).encode("utf-8"),
                headers={"Authorization": f"Token {influxdb.operator_token}"},
                timeout=60,
            )
            assert (answer.status, answer.data) == (204, b"")
        finally:
            client.buckets_api().delete_bucket(bucket)


def test_a_non_numeric_value_never_breaks_a_line(telegraf: Path, tmp_path: Path) -> None:
    batch = [
        Metric(Series("a"), {"f": float("nan"), "g": 1.0}, 1),
        Metric(Series("b"), {"f": float("inf")}, 2),
        Metric(Series("c"), {"f": float("-inf"), "": 2, "g": 2**70, "h": True}, 3),
    ]
    out, config = tmp_path / "out", tmp_path / "telegraf.conf"
    config.write_text((_AGENT + _EXEC).format(out=out, lines=lines_of(batch, tmp_path)))
    done = subprocess.run(
        [telegraf, "--config", config, "--once"], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(out.read_text().splitlines()) == ["a g=1 1", "c h=true 3"]
