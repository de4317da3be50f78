"""Telegraf's buffer on disk with the real engines: an outage, a kill and a damaged log cost no point."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig.demo.testbed import ports
from tests.integration.conftest import InfluxDB

POINTS = 200

_CONFIGURATION = """\
[agent]
  interval = "1s"
  flush_interval = "1s"
  skip_processors_after_aggregators = true
  buffer_strategy = "disk"
  buffer_directory = "{folder}/buffer"
  buffer_disk_sync = false
{inputs}
[[outputs.influxdb_v2]]
  urls = ["{url}"]
  organization = "{organisation}"
  bucket = "{bucket}"
  token = "{token}"
  startup_error_behavior = "retry"
"""

_INPUT = """\
[[inputs.file]]
  files = ["{folder}/outage.influx"]
  data_format = "influx"
"""


@contextmanager
def running(telegraf: Path, folder: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Telegraf with this configuration, which is killed at the end as a power cut would."""
    (folder / "telegraf.conf").write_text(text)
    with (
        (folder / "telegraf.log").open("ab") as log,
        subprocess.Popen([telegraf, "--config", folder / "telegraf.conf"], stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def waited(found: object) -> Retrying:
    """Attempts until something is found, for three minutes."""
    return Retrying(stop=stop_after_delay(180), wait=wait_fixed(0.2), retry=retry_if_result(lambda got: got != found))


def guard(folder: Path) -> str:
    """What `sensetig buffer` says."""
    done = subprocess.run(
        [sys.executable, "-m", "sensetig", "buffer", "--directory", folder / "buffer", "--one-output"],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    return done.stderr


def test_points_outlive_an_outage_a_kill_a_damaged_log_and_a_new_address(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    now = int(time.time())
    lines = (f"outlived value={number}i {now - number}000000000\n" for number in range(POINTS))
    (tmp_path / "outage.influx").write_text("".join(lines))
    values = {
        "folder": tmp_path, "organisation": influxdb.org, "bucket": influxdb.raw, "token": influxdb.write_token,
    }  # fmt: skip
    nobody = _CONFIGURATION.format(
        **values, url=f"http://127.0.0.1:{ports.any_free()}", inputs=_INPUT.format(folder=tmp_path)
    )
    buffer = tmp_path / "buffer"

    def held() -> bool:
        return sum(path.read_bytes().count(b"outlived") for path in buffer.glob("*/*")) >= POINTS

    with running(telegraf, tmp_path, nobody):
        waited(True)(held)
    (last,) = buffer.glob("*/*")
    with last.open("ab") as file:
        file.write(b"\xff\x01half")

    refused = subprocess.run(
        [telegraf, "--config", tmp_path / "telegraf.conf"], capture_output=True, text=True, timeout=240, check=False
    )
    assert "wal file is corrupt" in refused.stderr, "Telegraf no longer needs this guard"
    assert "6 bytes of the buffer could not be read" in guard(tmp_path)

    there = _CONFIGURATION.format(**values, url=influxdb.url, inputs="[[inputs.internal]]\n")
    with running(telegraf, tmp_path, there):
        waited(2)(lambda: len([path for path in buffer.iterdir() if path.name != "damaged"]))
    assert "points that waited for an older address go to the present one" in guard(tmp_path)

    def arrived() -> int:
        answer = urllib3.request(
            "GET", f"{influxdb.url}/query?db=raw&q=SELECT%20count(value)%20FROM%20outlived",
            headers={"Authorization": f"Token {influxdb.read_token}"}, timeout=60, retries=False,
        )  # fmt: skip
        series = answer.json()["results"][0].get("series", [])
        return series[0]["values"][0][1] if series else 0

    with running(telegraf, tmp_path, there):
        waited(POINTS)(arrived)
