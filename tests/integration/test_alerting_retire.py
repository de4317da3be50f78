"""``sensetig retire`` as a person runs it, on the real InfluxDB."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sensetig.__main__ import main
from tests.integration.alerting import committed, evaluated, reader, write
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

RULE = committed()["sensetig-device-silent"]


def retire(influxdb: InfluxDB, folder: Path, *arguments: str, token: str | None = None) -> Result:
    """Run the command with the tokens that the setup has made, or another to write with."""
    for name, secret in (("grafana", influxdb.read_token), ("telegraf", token or influxdb.write_token)):
        path = folder / f"{name}.token"
        path.write_text(secret)
        path.chmod(0o600)
    options = ["--url", influxdb.url, "--organisation", influxdb.org, "--tokens", str(folder)]
    return CliRunner().invoke(main, ["retire", *arguments, *options])


def silent(influxdb: InfluxDB, name: str) -> dict[str, bool]:
    """Whether the rule fires for a machine, at each of its sites."""
    outcomes = evaluated(RULE, influxdb, time.time() + 1)
    return {each.labels["site"]: each.fires for each in outcomes if each.labels["host"] == name}


def test_a_machine_is_retired_wherever_it_wrote_and_taken_back(influxdb: InfluxDB, tmp_path: Path) -> None:
    now = int(time.time())
    write(influxdb, [f"system,host=it's\\ old,site={site} uptime=1i {now - 3600}" for site in ("hall", "yard")])
    assert silent(influxdb, "it's old") == {"hall": True, "yard": True}

    done = retire(influxdb, tmp_path, "it's old")
    assert (done.exit_code, done.output) == (0, "it's old (hall, yard) is retired\n")
    assert silent(influxdb, "it's old") == {"hall": False, "yard": False}


def test_a_machine_that_moved_is_retired_at_its_old_site_alone(influxdb: InfluxDB, tmp_path: Path) -> None:
    now = int(time.time())
    write(influxdb, [f"system,host=moved,site={site} uptime=1i {now - 3600}" for site in ("hall", "yard")])
    assert retire(influxdb, tmp_path, "moved", "--site", "hall").exit_code == 0
    assert silent(influxdb, "moved") == {"hall": False, "yard": True}
    assert "moved" in told(influxdb, tmp_path)


def told(influxdb: InfluxDB, folder: Path) -> set[str]:
    """The devices that `sensetig status` shows."""
    options = ["--url", influxdb.url, "--token-file", str(folder / "grafana.token"), "--json"]
    answer = CliRunner().invoke(main, ["status", *options])
    return {each["name"] for each in json.loads(answer.output)["devices"]}


def test_the_status_shows_a_retired_device_no_more_until_it_is_taken_back(influxdb: InfluxDB, tmp_path: Path) -> None:
    now = int(time.time())
    write(influxdb, [f"system,host={name},site=hall uptime=1i {now - 3600}" for name in ("shown", "hidden")])
    write(
        influxdb,
        [
            f"device_state,device=sensor-{name},host=hub,site=hall messages=3i,"
            f"last_telemetry_seconds={now - 3600}.0 {now - 1}"
            for name in ("shown", "hidden")
        ],
    )
    for name in ("hidden", "sensor-hidden"):
        assert retire(influxdb, tmp_path, name).exit_code == 0
    assert {each for each in told(influxdb, tmp_path) if "hidden" in each or "shown" in each} == {
        "shown",
        "sensor-shown",
    }
    assert retire(influxdb, tmp_path, "hidden", "--back").exit_code == 0
    assert "hidden" in told(influxdb, tmp_path)


def test_one_that_comes_back_is_watched_again(influxdb: InfluxDB, tmp_path: Path) -> None:
    now = int(time.time())
    write(influxdb, [f"system,host=back,site=hall uptime=1i {now - 3600}"])
    write(influxdb, [f"system,host=back,site=hall retired=1i {now - 1800}"])
    assert silent(influxdb, "back") == {"hall": False}
    assert retire(influxdb, tmp_path, "back", "--back").output == "back (hall) is in service again\n"
    assert silent(influxdb, "back") == {"hall": True}


def test_an_unknown_name_is_rejected_and_nothing_is_written(influxdb: InfluxDB, tmp_path: Path) -> None:
    done = retire(influxdb, tmp_path, "nobody")
    assert done.exit_code == 1
    assert "no device 'nobody' has written within what InfluxDB keeps" in done.output
    assert reader(influxdb).query('SELECT "retired" FROM "system" WHERE "host" = \'nobody\'') == []


def test_a_token_without_write_permission_is_reported(influxdb: InfluxDB, tmp_path: Path) -> None:
    write(influxdb, [f"system,host=kept,site=hall uptime=1i {int(time.time()) - 3600}"])
    done = retire(influxdb, tmp_path, "kept", token=influxdb.read_token)
    assert done.exit_code == 1
    assert f"refuses the token in {tmp_path / 'telegraf.token'}: it may not write to the bucket 'raw'" in done.output
    assert influxdb.read_token not in done.output
