"""The verdict on each device, from points in the real InfluxDB."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collectors.core.line_protocol_parser import decode_lines
from tests.integration.alerting import write
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

SITE = "verdicts"


def machine(name: str, seconds: int, *more: str) -> list[str]:
    """A machine that is well, as it writes at a time."""
    tags = f"host={name},site={SITE}"
    return [
        f"system,{tags} uptime=5000i {seconds}",
        f"cpu,cpu=cpu-total,{tags} usage_idle=88 {seconds}",
        f"mem,{tags} used_percent=40 {seconds}",
        f"disk,path=/,fstype=ext4,{tags} used_percent=30 {seconds}",
        f"disk,path=/snap,fstype=squashfs,{tags} used_percent=100 {seconds}",
        f"collector,collector=system,{tags} up=1i {seconds}",
        f"systemd_units,name=ssh.service,{tags} active_code=0i,sub_code=0i,active_enter_timestamp_us=9i {seconds}",
        f"systemd_units,name=backup.service,{tags} active_code=2i,sub_code=0i,active_enter_timestamp_us=0i {seconds}",
        *(f"{line.replace('TAGS', tags)} {seconds}" for line in more),
    ]


def health(influxdb: InfluxDB, token: Path) -> str:
    """The output of `sensetig health`, run in a separate process."""
    command = [sys.executable, "-m", "sensetig", "health", "--url", influxdb.url, "--token-file", str(token)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_each_device_gets_the_verdict_of_its_last_values(influxdb: InfluxDB, tmp_path: Path) -> None:
    now = int(time.time())
    broken = (
        "pi,TAGS under_voltage=true",
        "collector,collector=camera,TAGS up=0i",
        "systemd_units,name=grafana-server.service,TAGS active_code=3i,sub_code=12i,active_enter_timestamp_us=7i",
        "systemd_units,name=mosquitto.service,TAGS active_code=2i,sub_code=0i,active_enter_timestamp_us=7i",
    )
    write(
        influxdb,
        [
            *machine("well", now - 5),
            *machine("broken", now - 5, *broken),
            *machine("dead", now - 1800, "pi,TAGS under_voltage=true"),
            # A sensor that was hot went away an hour ago, and its machine goes on.
            *machine("cooled", now - 3600, "temp,sensor=probe,TAGS temp=95"),
            *machine("cooled", now - 5),
            # A machine that moved is judged once, where it last wrote.
            *(line.replace(f"site={SITE}", "site=elsewhere") for line in machine("moved", now - 900)),
            *machine("moved", now - 5),
        ],
    )
    (token := tmp_path / "reader.token").write_text(influxdb.read_token)
    token.chmod(0o600)
    printed = health(influxdb, token)
    points = {
        point.series.tags["device"]: point
        for point in decode_lines(printed)
        if point.series.measurement == "device_health" and point.series.tags.get("site") == SITE
    }
    verdicts = {name: str(point.fields["verdict"]) for name, point in points.items()}
    # A busy machine may take a minute or more until here.
    assert re.fullmatch(r"✖ dead: silent for 3\d\u202fmin; before that: under-voltage", verdicts.pop("dead"))
    assert verdicts == {
        "well": "● well: all is well",
        "broken": "✖ broken: 3 things to act on: under-voltage, collectors failing: camera, services down: "
        "grafana-server.service, mosquitto.service",
        "cooled": "● cooled: all is well",
        "moved": "● moved: all is well",
    }
    assert points["well"].fields["cpu_percent"] == 12.0
    assert points["well"].fields["disk_percent"] == 30.0
    assert "cpu_percent" not in points["dead"].fields
    # Stored, the verdicts are the levels before of the next run.
    stored = [line.rpartition(" ") for line in printed.splitlines() if line.startswith("device_health")]
    write(influxdb, [f"{point} {int(time_ns) // 10**9}" for point, _, time_ns in stored])
    again = health(influxdb, token)
    later = {point.series.tags["device"]: point for point in decode_lines(again) if "level" in point.fields}
    assert later["broken"].fields["since_seconds"] == points["broken"].fields["since_seconds"]
    assert "collector,collector=health" in again
