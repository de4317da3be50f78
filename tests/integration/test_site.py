"""Every command on an installed hub, without an option: a fake /etc, and a real InfluxDB behind its site.toml."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sensetig import site
from sensetig.__main__ import main
from sensetig.influxdb.client import Client
from tests.integration.conftest import InfluxDB

DEVICE = "site-pi"


@pytest.fixture
def hub(influxdb: InfluxDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose ``etc/sensetig`` is a hub's; the user's state folder is another, and empty."""
    for name in ("SENSETIG_INFLUXDB_URL", "SENSETIG_TOKENS", "SENSETIG_READ_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(site, "TOP", tmp_path)
    tokens = tmp_path / "etc" / "sensetig" / "tokens"
    tokens.mkdir(mode=0o700, parents=True)
    for file, secret in (
        ("operator.token", influxdb.operator_token),
        ("telegraf.token", influxdb.write_token),
        ("grafana.token", influxdb.read_token),
    ):
        (tokens / file).write_text(secret)
        (tokens / file).chmod(0o600)
    (tokens.parent / "site.toml").write_text(
        f'influxdb_url = "{influxdb.url}"\norganisation = "{influxdb.org}"\ntokens = "{tokens}"\n'
    )
    now = time.time_ns()
    with Client(influxdb.url, influxdb.write_token, organisation=influxdb.org) as client:
        client.write(
            "raw",
            [
                f"system,host={DEVICE},site=hall uptime=600i,cpu_percent=12 {now}",
                f"environment,host={DEVICE},sensor=hts221 temperature_raw_celsius=26 {now}",
            ],
        )
    return tmp_path


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=given)


@pytest.mark.usefixtures("hub")
def test_status_shows_the_device() -> None:
    done = run("status", "--json")
    assert done.exit_code in (0, 3), done.output
    assert DEVICE in {each["name"] for each in json.loads(done.output)["devices"]}


def test_report_writes_a_file(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hub)
    done = run("report", "--device", DEVICE, "--from", "1d")
    assert done.exit_code == 0, done.output
    (page,) = hub.glob(f"{DEVICE}_*.html")
    assert DEVICE in page.read_text()


@pytest.mark.usefixtures("hub")
def test_retire_writes_and_takes_back() -> None:
    assert run("retire", DEVICE).output == f"{DEVICE} (hall) is retired\n"
    assert run("retire", DEVICE, "--back").output == f"{DEVICE} (hall) is in service again\n"


def test_calibrate_takes_readings_of_influxdb(hub: Path) -> None:
    options = ("--readings", "influxdb", "--calibrations", str(hub / "etc" / "sensetig" / "calibrations"), "--yes")
    done = run("calibrate", DEVICE, *options, given="20\n\n")
    assert done.exit_code == 0, done.output
    assert "the sensor gives 26.000" in done.output


@pytest.mark.usefixtures("hub")
def test_token_and_setup_work_with_the_operator_token() -> None:
    done = run("setup")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("nothing to change\n")
    listed = run("token", "list")
    assert listed.exit_code == 0, listed.output


def test_tokens_that_are_gone_are_missed_in_etc_and_not_in_the_users_state(hub: Path) -> None:
    (hub / "etc" / "sensetig" / "tokens" / "grafana.token").unlink()
    done = run("status")
    assert done.exit_code == 1
    assert f"Error: the token file {hub}/etc/sensetig/tokens/grafana.token cannot be read: No such file" in done.output
