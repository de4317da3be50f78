"""`sensetig info` on a real InfluxDB: the points that it counts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensetig import site as sites
from sensetig.__main__ import main
from sensetig.cli import info
from sensetig.influxdb.client import Client
from tests.integration.conftest import prepared

pytestmark = pytest.mark.engines


def test_points_are_counted_by_measurement_over_series_of_different_types(
    influxd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with prepared(influxd, tmp_path) as there:
        etc = tmp_path / "etc/sensetig"
        etc.mkdir(parents=True)
        (etc / "site.toml").write_text(
            f'influxdb_url = "{there.url}"\ntokens = "{tmp_path / "tokens"}"\n'
            f'grafana_password_file = "{tmp_path / "tokens/grafana-admin.password"}"\n'
        )
        monkeypatch.setattr(sites, "TOP", tmp_path)
        monkeypatch.setattr(info, "_MINUTE", 600)  # a busy machine may take more than one
        ended = CliRunner().invoke(main, ["info", "--json"], catch_exceptions=False)
        assert json.loads(ended.output)["points_last_minute"] == {}

        now = time.time_ns()
        lines = [f"weather,host=a temperature=20.5,rain=true {now - n}" for n in range(3)]
        lines += [f'weather,host=b temperature=19.5,note="wet" {now}', f"load value=1i {now}"]
        lines.append(f"load value=1i {now - 3_600_000_000_000}")
        with Client(there.url, there.write_token, organisation=there.org) as client:
            client.write(there.raw, lines)
        ended = CliRunner().invoke(main, ["info", "--json", "--wait", "120s"], catch_exceptions=False)
        assert json.loads(ended.output)["points_last_minute"] == {"weather": 4, "load": 1}
        ended = CliRunner().invoke(main, ["info"], catch_exceptions=False)
        assert "Points in the last minute: 5" in ended.output
        for secret in (there.read_token, there.operator_token):
            assert secret not in ended.output
