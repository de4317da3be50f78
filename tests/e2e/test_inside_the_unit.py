"""Collectors inside Telegraf's unit report the numbers that the machine has outside it.

The points come the whole way: collector, Telegraf, hub. The machine is asked as root, in no sandbox.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.machines import Machine
from tests.e2e.playbook import Run
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, ask, eventually
from tests.e2e.test_services import shown

#: How long every collector has to go without an error.
MINUTES = float(os.environ.get("SENSETIG_E2E_MINUTES", "10"))

#: The collectors of each machine.
COLLECTORS = {"clock", "pi", "random_data", "sensehat", "system", "telemetry"}

#: Collectors that emit nothing, not even about themselves, if there is nothing to read.
SILENT = {"pi", "outbox", "joystick"}

#: A file system below /home, another elsewhere, one over another, and one that is read-only.
_MOUNTS = """
set -e
mkdir -p /home/films /srv/nas /srv/fixed
mount -t tmpfs -o size=64m films /home/films && head -c 50M /dev/zero > /home/films/film
mount -t tmpfs -o size=16m lower /srv/nas && mount -t tmpfs -o size=8m upper /srv/nas
mount -t tmpfs -o size=4m,ro fixed /srv/fixed
cp /etc/sensetig/sensetig.toml /root/sensetig.toml
printf '\\n[system]\\nignore_fs = "devtmpfs"\\n' >> /etc/sensetig/sensetig.toml
systemctl restart telegraf
"""
_UNMOUNT = """
cp /root/sensetig.toml /etc/sensetig/sensetig.toml
umount /home/films /srv/nas /srv/nas /srv/fixed
systemctl restart telegraf
"""

#: Tolerances: a busy machine goes on working between a point and the comparison.
_PROCESSES, _SECONDS = 60, 120


def select(hub: Machine, query: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """The tags and the last row of each series that InfluxDB answers with."""
    status, text = ask(hub, "/etc/sensetig/tokens/grafana.token", "GET", f"/query?db=raw&epoch=s&q={quote(query)}")
    assert status == 200, text
    (result,) = json.loads(text)["results"]
    return [
        (series.get("tags", {}), dict(zip(series["columns"], series["values"][-1], strict=True)))
        for series in result.get("series", ())
    ]


@pytest.fixture(scope="module", params=["hall", "lab"])
def machine(request: pytest.FixtureRequest, site: Site, installed: Run) -> Iterator[tuple[Machine, int]]:
    """An edge of each Debian with mounts of several kinds, and the time when Telegraf was restarted with them."""
    del installed
    found = site.machines[request.param]
    found.ssh(_MOUNTS)
    try:
        yield found, int(time.time())
    finally:
        found.ssh(_UNMOUNT)


def newest(site: Site, machine: tuple[Machine, int], measurement: str, by: str) -> list[tuple[dict[str, str], Any]]:
    """The newest points of a machine in a measurement, once there are some since Telegraf's restart."""
    where, since = machine
    query = f"SELECT * FROM {measurement} WHERE host = '{where.name}' AND time > {since}s GROUP BY {by}"  # noqa: S608
    for attempt in eventually(180):
        with attempt:
            if found := select(site.machines["loft"], query):
                return found
            raise NotYet(f"{where.name} has no {measurement}")
    raise AssertionError


def test_each_file_system_has_the_size_and_use_that_df_reports(site: Site, machine: tuple[Machine, int]) -> None:
    where, _ = machine
    found = newest(site, machine, "disk", "path, device, mode")
    paths = [tags["path"] for tags, _ in found]
    assert {"/", "/home/films", "/srv/nas", "/srv/fixed"} <= set(paths)
    assert paths.count("/srv/nas") == 1
    for tags, fields in found:
        path = tags["path"]
        if path.startswith(("/run/user/", "/run/host/")):
            continue  # the one goes with the session that looked, the other belongs to systemd-nspawn
        size, used, free = map(int, where.ssh(f"df -B1 --output=size,used,avail '{path}' | tail -1").stdout.split())
        options = where.ssh(f"findmnt --noheadings --output OPTIONS --target '{path}' | tail -1").stdout.split(",")
        assert fields["total"] == size, path
        assert abs(fields["used"] - used) <= size / 20, path
        assert abs(fields["free"] - free) <= size / 20, path
        assert tags["mode"] == options[0].strip(), path
    films = next(fields for tags, fields in found if tags["path"] == "/home/films")
    assert films["used_percent"] > 75


def test_memory_processes_and_uptime_are_those_of_the_machine(site: Site, machine: tuple[Machine, int]) -> None:
    where, _ = machine
    memory, swap = (line.split() for line in where.ssh("free --bytes | tail -2").stdout.splitlines())
    ((_, mem),) = newest(site, machine, "mem", "host")
    assert mem["total"] == int(memory[1])
    assert abs(mem["available"] - int(memory[6])) < mem["total"] / 4
    ((_, fields),) = newest(site, machine, "swap", "host")
    assert fields["total"] == int(swap[1])
    ((_, processes),) = newest(site, machine, "processes", "host")
    assert abs(processes["total"] - int(where.ssh("ls -d /proc/[0-9]* | wc -l").stdout)) <= _PROCESSES
    ((_, system),) = newest(site, machine, "system", "host")
    assert abs(system["uptime"] - float(where.ssh("cat /proc/uptime").stdout.split()[0])) <= _SECONDS
    assert system["n_cpus"] == int(where.ssh("getconf _NPROCESSORS_ONLN").stdout)


def test_the_clock_is_synchronised_where_timedatectl_says_so(site: Site, machine: tuple[Machine, int]) -> None:
    where, _ = machine
    said = where.ssh("timedatectl show --property=NTPSynchronized --value").stdout.strip()
    ((_, clock),) = newest(site, machine, "clock", "host")
    assert clock["synchronised"] == int(said == "yes")
    assert "maximum_error_seconds" in clock, "the unit keeps the collector from querying the kernel"


def test_no_collector_has_an_error_and_no_alert_fires(site: Site, installed: Run) -> None:
    del installed
    hub = site.machines["loft"]
    since = int(time.time())
    until = since + MINUTES * 60
    query = (
        "SELECT sum(errors) AS errors, min(up) AS up, max(up) AS ever FROM collector "  # noqa: S608
        f"WHERE time > {since}s GROUP BY host, collector"
    )
    reached = f"SELECT last(up) FROM collector WHERE collector = 'system' AND time >= {int(until)}s GROUP BY host"  # noqa: S608
    for attempt in eventually(MINUTES * 60 + 180):
        with attempt:
            if {tags["host"] for tags, _ in select(hub, reached)} < set(site.machines):
                raise NotYet("the time is not over")
    found = {(tags["host"], tags["collector"]): fields for tags, fields in select(hub, query)}
    for host in site.machines:
        assert {collector for name, collector in found if name == host} >= COLLECTORS - SILENT
    failed = {key: fields for key, fields in found.items() if fields["errors"] or not fields["up"]}
    said = {host: site.machines[host].ssh(
        "journalctl --no-pager --unit=telegraf --since=-20min | grep -F 'E!' | tail -20", check=False
    ).stdout for host, _ in failed}  # fmt: skip
    assert failed == {}, said
    if site.config["grafana_enabled"]:
        assert alerts(hub, since) == []


def alerts(hub: Machine, since: int) -> list[str]:
    """The alerts that fire and began after a time, but for that of a clock that is not synchronised indeed."""
    synchronised = hub.ssh("timedatectl show --property=NTPSynchronized --value").stdout.strip() == "yes"
    status, answer = shown(hub, "/api/prometheus/grafana/api/v1/alerts")
    assert status == 200, answer
    found = []
    for alert in answer["data"]["alerts"]:
        if alert["state"].lower() not in ("alerting", "firing"):
            continue
        name = alert["labels"]["alertname"]
        began = datetime.fromisoformat(alert["activeAt"]).astimezone(UTC).timestamp()
        if began >= since and (synchronised or name != "Clock unsynchronised"):
            found.append(f"{name}: {alert['labels']}")
    return found
