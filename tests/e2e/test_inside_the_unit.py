"""Collectors inside Telegraf's unit report the numbers that the machine has outside it.

The points come the whole way: collector, Telegraf, hub. The machine is asked as root, in no sandbox.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from grafana.alerting import FOLDER
from sensetig.alerts import rules
from sensetig.alerts.evaluate import firing, outcomes
from sensetig.alerts.rules import Rule
from sensetig.influxdb.client import Series
from tests.e2e.machines import Machine
from tests.e2e.playbook import Run
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, ask, eventually

#: How long every collector has to go without an error.
MINUTES = float(os.environ.get("SENSETIG_E2E_MINUTES", "10"))

#: The collectors of each machine.
COLLECTORS = {"clock", "outbox", "pi", "random_data", "sensehat", "system", "telemetry"}

#: Collectors that emit nothing, not even about themselves, if there is nothing to read.
SILENT = {"pi", "joystick"}

#: The committed alert rules.
RULES: Sequence[Rule] = rules.read(FOLDER)

#: Grafana evaluates each rule once in this time.
_EVERY_SECONDS = 60

#: Rules without data on these machines, with the reason. A healthy machine is judged by each of the others.
WITHOUT_DATA = {
    "processor-hot": "a container has no thermometer",
    "under-voltage": "only a Raspberry Pi measures its supply",
    "throttled": "only a Raspberry Pi has a firmware that throttles",
    "sd-card-worn": "there is no card",
    "sd-card-end-of-life": "there is no card",
    "person-seen": "the camera counts persons only with a model",
    "gateway-new-names": "no message has been rejected",
    "telemetry-rejected": "no message has been rejected",
    "spool-dropped": "no camera's spool is in use",
}

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


def influxql(hub: Machine, queries: Sequence[str], bucket: str = "raw") -> list[list[Series]]:
    """The series that InfluxDB gives for each query."""
    body = urlencode({"db": bucket, "epoch": "ms", "q": ";".join(queries)})
    status, text = ask(
        hub, "/etc/sensetig/tokens/grafana.token", "POST", "/query", body, "application/x-www-form-urlencoded"
    )
    assert status == 200, text
    results = json.loads(text)["results"]
    assert len(results) == len(queries), text
    assert not any("error" in result for result in results), text
    return [
        [Series(each.get("tags", {}), each["columns"], each["values"]) for each in result.get("series", ())]
        for result in results
    ]


def select(hub: Machine, query: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """The tags and the last row of each series that InfluxDB answers with."""
    (found,) = influxql(hub, [query])
    return [(series.tags, dict(zip(series.columns, series.rows[-1], strict=True))) for series in found]


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
    fired, judged = alerts(hub, since)
    keys = {rule.uid.removeprefix("sensetig-") for rule in RULES}
    assert WITHOUT_DATA.keys() <= keys
    assert keys - judged <= WITHOUT_DATA.keys(), "a healthy machine is not judged by these"
    assert fired == []


def alerts(hub: Machine, since: int) -> tuple[list[str], set[str]]:
    """The alerts that fire, and the keys of the rules that had a number to judge by.

    Each committed rule is evaluated once a minute from *since* to now, as Grafana does. One that waits for longer
    than that before it fires need hold for all of the time only. An alert that was there from the start belongs to
    what came before, unless the points since then fire it as well.
    """

    def points(queries: Sequence[str], bucket: str) -> list[list[Series]]:
        return influxql(hub, queries, bucket)

    synchronised = hub.ssh("timedatectl show --property=NTPSynchronized --value").stdout.strip() == "yes"
    times = [second * 1000 for second in range(since, int(time.time()) + 1, _EVERY_SECONDS)]
    period = (times[-1] - times[0]) / 1000
    fired, judged = [], set()
    for rule in RULES:
        found = outcomes(points, rule, times)
        key = rule.uid.removeprefix("sensetig-")
        if any(holds is not None for outcome in found for holds in outcome.values()):
            judged.add(key)
        if key == "clock-unsynchronised" and not synchronised:
            continue  # it fires rightly: the machines share this kernel's clock, which no time service has set
        query = rule.query._replace(begin_seconds=min(rule.query.begin_seconds, period))
        (since_then,) = outcomes(points, rule._replace(query=query), times[-1:])
        held = firing(rule._replace(for_seconds=min(rule.for_seconds, period)), times, found)
        fired += [
            f"{rule.title}: {dict(each.labels)}"
            for each in held
            if each.begin_ms > times[0] or since_then.get(each.labels)
        ]
    return fired, judged
