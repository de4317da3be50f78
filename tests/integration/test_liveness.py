"""One rule says who is online, late or offline: `sensetig status`, Fleet and the alert, on the real InfluxDB."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode
from sensetig import policy
from sensetig.__main__ import main
from sensetig.cli.status import NEEDS_ACTION
from sensetig.fleet import losses
from tests import dashboards
from tests.integration.alerting import committed, evaluated, reader, write
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

SITE = "rhythm"

#: Machines: name -> the time between its samples, and how long it has been silent. Each is most of a minute away from
#: where it would be called something else, so that a busy machine may take its time to ask.
MACHINES: dict[str, tuple[float | None, int]] = {
    f"every-{interval}-silent-{silent}": (interval, silent)
    for interval in (None, 10, 90, 900, 3600)
    for silent in (2, 170, 500, 1700, 5000, 20_000, 40_000, 90_000)
}


@pytest.fixture(scope="module")
def now(influxdb: InfluxDB) -> int:
    """The current time; the machines, and a sensor behind a hub, have been silent for their given durations."""
    seconds = int(time.time())
    lines = []
    for name, (interval, silent) in MACHINES.items():
        fields = "uptime=1i" + (f",interval_seconds={float(interval)}" if interval else "")
        lines.append(f"system,host={name},site={SITE} {fields} {seconds - silent}")
    for name, state in (("slow-sensor", "online"), ("gone-sensor", "offline")):
        lines.append(
            f"device_state,device={name},host=hub,site={SITE} messages=25i,interval_seconds=1800,"
            f'last_telemetry_seconds={seconds - 960}.0,status="{state}" {seconds - 900}'
        )
    for ago in range(0, 900, 10):
        lines.append(f"system,host=twin,site={SITE} uptime=1i,boot_number={ago // 10 % 2}i {seconds - ago}")
    for ago, dropped, refused in ((60, 2, 1), (40, 5, 1), (20, 0, 4)):  # Telegraf restarts before the last
        tags = f"host=leaky,site={SITE}"
        lines.append(f"system,{tags} uptime=1i {seconds - ago}")
        lines.append(f"delivery,stage=telegraf,{tags} metrics_dropped={dropped}i,metrics_rejected=0i {seconds - ago}")
        lines.append(f"delivery,stage=outbox,{tags} refused_points={refused}i,damaged_points=0i {seconds - ago}")
        lines.append(f"outbox,{tags} oldest_seconds=1200 {seconds - ago}")
    write(influxdb, lines)
    return seconds


def told(influxdb: InfluxDB, folder: Path) -> dict[str, dict[str, Any]]:
    """Each device as `sensetig status` shows it."""
    token = folder / "grafana.token"
    token.write_text(influxdb.read_token)
    token.chmod(0o600)
    options = ["--url", influxdb.url, "--token-file", str(token), "--json"]
    answer = CliRunner().invoke(main, ["status", *options])
    assert answer.exit_code == NEEDS_ACTION, answer.output
    return {each["name"]: each for each in json.loads(answer.output)["devices"]}


def verdicts(influxdb: InfluxDB, folder: Path) -> dict[str, Metric]:
    """The points of `sensetig health`, which Fleet shows."""
    told(influxdb, folder)
    command = [sys.executable, "-m", "sensetig", "health", "--url", influxdb.url]
    ran = subprocess.run(
        [*command, "--token-file", str(folder / "grafana.token")], capture_output=True, text=True, check=True
    )
    points = [decode(line) for line in ran.stdout.splitlines() if line.startswith("device_health,")]
    return {str(point.series.tags["device"]): point for point in points}


def test_status_fleet_and_the_alert_agree_on_every_machine(influxdb: InfluxDB, now: int, tmp_path: Path) -> None:
    expected = {name: policy.liveness(now, now - silent, interval) for name, (interval, silent) in MACHINES.items()}
    assert set(expected.values()) == set(policy.LIVENESS_LEVELS)

    devices, fleet = told(influxdb, tmp_path), verdicts(influxdb, tmp_path)
    assert {name: devices[name]["status"] for name in MACHINES} == expected
    assert {name: fleet[name].fields["status"] for name in MACHINES} == expected
    alerts = evaluated(committed()["sensetig-device-silent"], influxdb, now)
    fired = {each.labels["host"]: each.fires for each in alerts if each.labels["site"] == SITE}
    assert {name: fired[name] for name in MACHINES} == {name: state == "offline" for name, state in expected.items()}


def test_a_sensor_that_reports_each_half_hour_is_as_its_state_says(
    influxdb: InfluxDB, now: int, tmp_path: Path
) -> None:
    del now
    devices, fleet = told(influxdb, tmp_path), verdicts(influxdb, tmp_path)
    slow, gone = devices["slow-sensor"], devices["gone-sensor"]
    assert (slow["status"], slow["level"], slow["interval_seconds"]) == ("online", "good", 1800)
    assert (gone["status"], gone["level"], gone["reasons"]) == ("offline", "act", ["silent"])
    assert [fleet[name].fields["status"] for name in ("slow-sensor", "gone-sensor")] == ["online", "offline"]


def test_lost_and_waiting_points_of_a_machine_are_reported(influxdb: InfluxDB, now: int, tmp_path: Path) -> None:
    del now
    leaky = told(influxdb, tmp_path)["leaky"]
    assert (leaky["lost_points"], leaky["waiting_seconds"]) == (6, 1200)
    assert leaky["reasons"] == ["lost", "waiting"]
    lost, waiting = leaky["details"]
    assert re.fullmatch(r"6 points lost, \d+\u202f(s|min) ago", lost)
    assert waiting == "points wait for 20\u202fmin"


def test_losses_of_the_day_before_are_read_by_the_hour_and_older_ones_end(influxdb: InfluxDB) -> None:
    hour = 3600
    end = int(time.time()) // hour * hour
    # A week ago 9 points, yesterday 5, and 2 in this hour: the task has summarised all but the latest.
    for machine, totals in (("day", {-170: 0, -169: 9, -20: 9, -19: 14, 0: 14}), ("week", {-170: 0, -169: 9, 0: 9})):
        tags = f"host=loss-{machine},site={SITE},stage=outbox"
        hours = [f"delivery,{tags} refused_points__max={total}.0 {end + at * hour}" for at, total in totals.items()]
        write(influxdb, hours, "hourly")
        newest = max(totals.values())
        raw = {-1: newest, 1: newest + (2 if machine == "day" else 0)}
        write(influxdb, [f"delivery,{tags} refused_points={total}i {end + seconds}" for seconds, total in raw.items()])
    found = losses.read(reader(influxdb), end + 2.0, 7 * 86400)
    assert {name: found.get(f"loss-{name}") for name in ("day", "week")} == {
        "day": losses.Loss(7, (end + 1) * 1000),
        "week": None,
    }
    earlier = losses.read(reader(influxdb), end + 0.5, 7 * 86400)
    assert earlier["loss-day"] == losses.Loss(5, (end - 19 * hour) * 1000)


def test_two_machines_under_one_name_are_noticed(influxdb: InfluxDB, now: int, tmp_path: Path) -> None:
    devices = told(influxdb, tmp_path)
    assert devices["twin"]["reasons"] == ["two machines report as twin"]
    assert {name for name, each in devices.items() if each["name_clash"]} == {"twin"}

    (target,) = [
        each
        for each in dashboards.targets(dashboards.committed()["fleet.json"])
        if each.panel == "Two machines under one name"
    ]
    answer = reader(influxdb).query(dashboards.filled(target.query, {"site": SITE}))
    assert [series.tags for series in answer] == [{"host": "twin", "site": SITE}]
    alerts = evaluated(committed()["sensetig-name-clash"], influxdb, now)
    assert {each.labels["host"] for each in alerts if each.fires and each.labels["site"] == SITE} == {"twin"}
