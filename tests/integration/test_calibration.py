"""``sensetig calibrate`` on readings that a real InfluxDB holds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from collectors.telemetry.calibration import entries
from sensetig.__main__ import main
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines


def test_the_last_minutes_and_an_earlier_time_give_the_sensors_readings(influxdb: InfluxDB, tmp_path: Path) -> None:
    now_ns = time.time_ns()
    head = "environment,device=calibrated-pi,sensor"
    lines = [
        f"{head}=hts221 temperature_raw_celsius={25 + n},temperature_cpu_celsius=50 {now_ns - n * 10**9}"
        for n in (0, 2)
    ]
    lines += [f"{head}=lps25h temperature_raw_celsius=99 {now_ns}"]
    earlier_ns = now_ns - 3600 * 10**9
    lines += [f"{head}=hts221 temperature_raw_celsius=36 {earlier_ns}"]
    with InfluxDBClient(influxdb.url, influxdb.write_token, org=influxdb.org) as client:
        client.write_api(write_options=SYNCHRONOUS).write(influxdb.raw, record=lines)
    token = tmp_path / "token"
    token.write_text(influxdb.read_token)
    token.chmod(0o600)
    common = ["calibrate", "calibrated-pi", "--readings", "influxdb", "--url", influxdb.url, "--token-file", str(token)]
    common += ["--calibrations", str(tmp_path), "--yes"]

    result = CliRunner().invoke(main, common, input="20\n\n")
    assert result.exit_code == 0, result.output
    assert "the sensor gives 26.000" in result.output
    (entry,) = entries((tmp_path / "calibrated-pi.toml").read_text(), "x")
    assert entry.values["offset"] == -6.0

    references = tmp_path / "references.csv"
    moments = [datetime.fromtimestamp(each / 1e9, UTC).isoformat() for each in (now_ns, earlier_ns)]
    references.write_text(f"time,reference\n{moments[0]},20\n{moments[1]},30\n")
    result = CliRunner().invoke(
        main, [*common[:-1], "--references", str(references), "--valid-from", "2030-01-01", "--dry-run"]
    )
    assert result.exit_code == 0, result.output
    assert "pairs = [[26.0, 20.0], [36.0, 30.0]]" in result.output

    result = CliRunner().invoke(main, ["calibrate", "another", *common[2:]], input="20\n")
    assert "InfluxDB has no temperature_raw_celsius" in result.output
    assert influxdb.read_token not in result.output
