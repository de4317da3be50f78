"""The processor in the real Telegraf: calibrated points and exact counts in InfluxDB, and a process that is killed."""

from __future__ import annotations

import contextlib
import csv
import gzip
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig import bundle
from sensetig.demo.testbed import processes
from tests.integration.conftest import InfluxDB, errors_of
from tests.unit.telemetry_support import Stage, rejected

ROOT = bundle.root()
SECOND = 1_000_000_000


def _await(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until *condition* answers True; raises RetryError when the time is up."""
    Retrying(retry=retry_if_result(lambda met: not met), stop=stop_after_delay(seconds), wait=wait_fixed(0.2))(
        condition
    )


class Telegraf:
    """Telegraf with the shipped snippet, reading the lines that a test appends to a file."""

    def __init__(self, program: Path, influxdb: InfluxDB, folder: Path, site: str) -> None:
        self.folder, self.influxdb, self.site = folder, influxdb, site
        self.source = folder / "lines.influx"
        self.source.touch()
        self.log = folder / "telegraf.log"
        snippet = (ROOT / "telegraf" / "telegraf.d" / "telemetry.conf").read_text()
        (folder / "telegraf.conf").write_text(
            '[agent]\nomit_hostname = true\nflush_interval = "200ms"\nskip_processors_after_aggregators = true\n'
            'interval = "200ms"\nprecision = "1ns"\n'
            '[[inputs.execd]]\nsignal = "none"\ndata_format = "influx"\n'
            f"command = ['tail', '-n', '+1', '-F', '{self.source}']\n"
            f"[[outputs.influxdb_v2]]\nurls = ['{influxdb.url}']\ntoken = '{influxdb.write_token}'\n"
            f"organization = '{influxdb.org}'\nbucket = '{influxdb.raw}'\n{snippet}"
        )
        calibrations = folder / "calibrations"
        calibrations.mkdir()
        (calibrations / "pi-1.toml").write_text(
            '[[calibration]]\nmeasurement = "environment"\nfield = "temperature_raw_celsius"\n'
            'valid_from = 2020-01-01\nkind = "offset"\noffset = -4\n'
        )
        self.identity = processes.start(
            "Telegraf",
            [program, "--strict-env-handling", "--config", folder / "telegraf.conf"],
            log=self.log,
            environment={
                "SENSETIG_PYTHON": sys.executable,
                "SENSETIG_SITE": site,
                "SENSETIG_HOST": "hub",
                "SENSETIG_TELEMETRY_CALIBRATIONS": str(calibrations),
                "SENSETIG_TELEMETRY_STATE": str(folder / "state.db"),
                "SENSETIG_TELEMETRY_STATE_SECONDS": "1",
                "SENSETIG_SETTINGS": os.devnull,
            },
            folder=ROOT,
        )

    def feed(self, *lines: str) -> None:
        with self.source.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def query(self, flux: str) -> list[dict[str, Any]]:
        """Records of this test alone."""
        influxdb = self.influxdb
        query = f'from(bucket: "{influxdb.raw}") |> range(start: -1d) |> filter(fn: (r) => r.site == "{self.site}")'
        with InfluxDBClient(influxdb.url, influxdb.operator_token, org=influxdb.org) as client:
            tables = client.query_api().query(f"{query} |> {flux}")
        return [record.values for table in tables for record in table.records]

    def total(self, measurement: str, field: str, function: str) -> int:
        found = self.query(
            f'filter(fn: (r) => r._measurement == "{measurement}" and r._field == "{field}") |> group() |> {function}()'
        )
        return int(found[0]["_value"]) if found else 0

    def processor(self) -> int | None:
        """The processor's process, or None while there is none."""
        process = self.identity.process()
        assert process is not None, self.log.read_text()
        # The shell that holds its pipes is Telegraf's child, and it is the shell's.
        words = ["-m", "collectors", "telemetry"]
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end during the lookup
                if child.cmdline()[1:4] == words:
                    return child.pid
        return None


@pytest.fixture
def start(telegraf: Path, influxdb: InfluxDB, tmp_path: Path) -> Iterator[Callable[[str], Telegraf]]:
    started: list[Telegraf] = []

    def make(site: str) -> Telegraf:
        started.append(Telegraf(telegraf, influxdb, tmp_path, site))
        return started[-1]

    yield make
    processes.stop([each.identity for each in started])


def _reading(site: str, at: int, temperature: float, device: str = "pi-1") -> str:
    begin = time.time_ns() // SECOND * SECOND - 3600 * SECOND
    tags = f"environment,device={device},host={device},sensor=hts221,site={site}"
    return f"{tags} temperature_raw_celsius={temperature},humidity_raw_percent={45 + at % 5 / 10} {begin + at}"


def test_points_arrive_calibrated_and_rejections_are_stored_and_counted_exactly(
    start: Callable[[str], Telegraf],
) -> None:
    site = "telemetry-counts"
    telegraf = start(site)
    good = [_reading(site, at, 20 + at % 7 / 10) for at in range(500)]
    bad = [_reading(site, 1000 + at, 200) for at in range(60)]
    telegraf.feed(*good, *bad, f"other,site={site} value=1 {time.time_ns()}")
    _await(lambda: telegraf.total("telemetry_rejected", "count", "sum") == 60)
    _await(lambda: telegraf.total("environment", "humidity_raw_percent", "count") == 560)
    assert telegraf.total("environment", "temperature_raw_celsius", "count") == 500
    assert telegraf.total("environment", "temperature_calibrated_celsius", "count") == 500
    assert telegraf.total("environment", "temperature_calibrated_celsius", "max") == 16
    assert telegraf.total("other", "value", "count") == 1
    _await(lambda: telegraf.total("device_state", "messages", "max") == 560)
    refused = telegraf.query('filter(fn: (r) => r._measurement == "telemetry_rejected" and r._field == "value")')
    assert {(record["reason"], record["field"], record["device"], record["_value"]) for record in refused} == {
        ("out_of_range", "temperature_raw_celsius", "pi-1", 200.0)
    }


def test_a_processor_that_is_killed_under_load_loses_no_line_and_invents_none(
    start: Callable[[str], Telegraf],
) -> None:
    site = "telemetry-killed"
    telegraf = start(site)
    begin = (time.time_ns() // SECOND - 3600) * SECOND
    tags = f"environment,device=pi-1,host=pi-1,sensor=hts221,site={site}"

    def feed(numbers: range) -> None:
        telegraf.feed(
            *(f"{tags} temperature_raw_celsius={20 + at % 7 / 10} {begin + at * 1_000_000}" for at in numbers)
        )

    def arrived(least: int) -> bool:
        return telegraf.total("environment", "temperature_raw_celsius", "count") >= least

    count, killed = 1, set[int]()
    feed(range(1))
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        _await(lambda: telegraf.processor() not in (None, *killed))
        _await(partial(arrived, count))
        found = telegraf.processor()
        assert found is not None
        feed(range(count, count + 4000))
        killed.add(found)
        os.kill(found, number)
        feed(range(count + 4000, count + 5000))
        count += 5000
    _await(partial(arrived, count))
    for field, offset in (("raw", 0), ("calibrated", -4)):
        rows = telegraf.query(f'filter(fn: (r) => r._field == "temperature_{field}_celsius") |> group()')
        assert len(rows) == count
        for row in rows:
            at = round(row["_time"].timestamp() * 1000) - begin // 1_000_000
            assert row["_value"] == pytest.approx(offset + 20 + at % 7 / 10)
    log = telegraf.log.read_text()
    assert "Restarting in" not in log
    assert "error writing to process stdin" not in log


def test_accepted_lines_are_written_when_telegraf_stops(start: Callable[[str], Telegraf]) -> None:
    site = "telemetry-stopped"
    telegraf = start(site)
    telegraf.feed(_reading(site, 0, 20))
    _await(lambda: telegraf.total("environment", "temperature_raw_celsius", "count") == 1)
    telegraf.feed(*(_reading(site, at, 20 + at % 3) for at in range(1, 3001)))
    _await(lambda: telegraf.total("environment", "temperature_raw_celsius", "count") > 1)
    processes.stop([telegraf.identity], seconds=120)
    assert [line for line in errors_of(telegraf.log.read_text()) if "E! [processors" in line] == []
    # Telegraf stops reading its inputs at once; whatever had entered is in the database, calibrated, once.
    taken = telegraf.total("environment", "temperature_raw_celsius", "count")
    assert telegraf.total("environment", "temperature_calibrated_celsius", "count") == taken
    assert telegraf.total("device_state", "messages", "max") == taken


def test_the_snippet_selects_exactly_the_validated_measurements() -> None:
    section = tomllib.loads((ROOT / "telegraf" / "telegraf.d" / "telemetry.conf").read_text())["processors"]["execd"][0]
    assert section["namepass"] == ["environment", "device_status", "mqtt_message"]


def test_the_real_recording_has_only_justified_rejections(recordings: Path) -> None:
    """The board lay still for three days and nothing of its air is implausible: the largest change within ten seconds
    is 1.2 hPa, 2.2 % or 1.1 °C, where the recording was interrupted."""
    stage = Stage()
    refused = []
    with gzip.open(recordings / "sensehat" / "astro_pi_2015-08.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            time_ns = int(datetime.fromisoformat(row["time_stamp"]).replace(tzinfo=UTC).timestamp()) * SECOND
            tags = "environment,device=astro,replayed=true,sensor="
            out = stage.metrics(
                f"{tags}hts221 temperature_raw_celsius={row['temp_h']},humidity_raw_percent={row['humidity']},"
                f"temperature_cpu_celsius={row['temp_cpu']} {time_ns}",
                f"{tags}lps25h temperature_raw_celsius={row['temp_p']},pressure_hpa={row['pressure']} {time_ns}",
            )
            refused += rejected(out)
    assert refused == []
    assert len(stage.tracker.messages) == 2 * 24_604
