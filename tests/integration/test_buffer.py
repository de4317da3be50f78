"""Telegraf's former disk buffer, as the real Telegraf writes it, on its way through the outbox to InfluxDB."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sensetig.demo.testbed import ports
from tests.integration.conftest import InfluxDB
from tests.integration.test_outbox import House, asked, until

POINTS = 200

_CONFIGURATION = """\
[agent]
  interval = "1s"
  flush_interval = "1s"
  skip_processors_after_aggregators = true
  omit_hostname = true
  precision = "1ns"
  buffer_strategy = "disk"
  buffer_directory = "{folder}/buffer"
  buffer_disk_sync = false
[[inputs.file]]
  files = ["{folder}/outage.influx"]
  data_format = "influx"
[[outputs.influxdb_v2]]
  urls = ["http://127.0.0.1:{port}"]
  organization = "sensetig"
  bucket = "raw"
  token = "unused"
  startup_error_behavior = "retry"
"""


def written(telegraf: Path, folder: Path, name: str) -> None:
    """A buffer with 200 points of a Telegraf that was killed."""
    now = int(time.time())
    lines = (
        f'{name},host=h\\ 1 value={number}i,text="a, \\"b\\"",u=7u {now - number}000000001\n'
        for number in range(POINTS)
    )
    (folder / "outage.influx").write_text("".join(lines))
    (folder / "telegraf.conf").write_text(_CONFIGURATION.format(folder=folder, port=ports.any_free()))

    def held() -> bool:
        return sum(path.read_bytes().count(name.encode()) for path in (folder / "buffer").glob("*/*")) >= POINTS

    with (
        (folder / "telegraf.log").open("ab") as log,
        subprocess.Popen([telegraf, "--config", folder / "telegraf.conf"], stdout=log, stderr=log) as process,
    ):
        try:
            until(held)
        finally:
            process.kill()


def handed_over(folder: Path, socket: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        sys.executable, "-m", "sensetig", "buffer", "--directory", folder / "buffer", "--socket", socket,
        "--organisation", "sensetig", "--bucket", "raw", *options,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_points_of_a_killed_telegraf_are_delivered_once(telegraf: Path, influxdb: InfluxDB, tmp_path: Path) -> None:
    written(telegraf, tmp_path, "former")
    house = House(tmp_path / "house", telegraf, influxdb.url, influxdb.write_token, "unused")

    nothing_listens = handed_over(tmp_path, house.socket)
    assert nothing_listens.returncode == 1
    assert "start sensetig-outbox, and run this again" in nothing_listens.stderr

    with house.outbox():
        done = handed_over(tmp_path, house.socket)
        assert (done.returncode, done.stderr) == (0, "")
        count = int(done.stdout.split()[0])
        assert count >= POINTS
        assert done.stdout == f"{count} points of {tmp_path / 'buffer'} are delivered\n"
        assert not (tmp_path / "buffer").exists()
        again = handed_over(tmp_path, house.socket)
        assert again.stdout == f"0 points of {tmp_path / 'buffer'} are delivered\n"
    query = "SELECT value, text, u, host FROM former ORDER BY time DESC"
    rows = asked(influxdb.url, influxdb.read_token, query)
    assert [row[1:] for row in rows] == [[number, 'a, "b"', 7, "h 1"] for number in range(POINTS)]
    assert all(row[0] % 1_000_000_000 == 1 for row in rows)


def test_a_damaged_buffer_loses_only_damaged_points(telegraf: Path, influxdb: InfluxDB, tmp_path: Path) -> None:
    written(telegraf, tmp_path, "spoiled")
    (segment,) = [path for path in (tmp_path / "buffer").glob("*/*") if path.stat().st_size]
    content = bytearray(segment.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    content[100] ^= 4
    segment.write_bytes(content)
    house = House(tmp_path / "house", telegraf, influxdb.url, influxdb.write_token, "unused")
    with house.outbox():
        done = handed_over(tmp_path, house.socket, "--one-output", "--most-megabytes", "1024")
        assert done.returncode == 0
        assert done.stderr.startswith("W! --most-megabytes, --free-megabytes, --one-output and --only-look are deprec")
        assert "cannot be read; the file is kept as" in done.stderr
    assert len(list((tmp_path / "buffer" / "damaged").iterdir())) == 1
    ((_, count),) = asked(influxdb.url, influxdb.read_token, "SELECT count(value) FROM spoiled")
    # 4,096 bytes and a bit of points of some 400 bytes; the buffer may hold each point more than once.
    assert count >= POINTS - 14
