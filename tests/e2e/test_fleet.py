"""One hub and two edges: what the playbook makes of three fresh machines. The tests build on each other, in order."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.e2e.machines import Machine
from tests.e2e.playbook import Run
from tests.e2e.site import Site

#: The units of each machine, and how exposed each may be by the measure of `systemd-analyze security`.
UNITS: dict[str, dict[str, float | None]] = {
    "loft": {"influxdb": 3.0, "telegraf": 2.0, "mosquitto": None, "nats-server": 2.0},
    "hall": {"telegraf": 2.0, "sensetig-camera": 2.0},
    "lab": {"telegraf": 2.0},
}

#: What may be reached from the network: ssh, and on the hub InfluxDB, the broker and NATS, all with TLS.
REACHABLE = {"loft": {22, 8086, 8883, 4222}, "hall": {22}, "lab": {22}}

_ASK = """
import json, sys, urllib.error, urllib.request
url, token, method, body, kind = sys.argv[1:]
token = open(token).read().strip()
headers = {"Authorization": "Token " + token, "Content-Type": kind}
request = urllib.request.Request(url, body.encode() or None, headers, method=method)
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""


def ask(machine: Machine, token: str, method: str, path: str, body: str = "", kind: str = "") -> tuple[int, str]:
    """What InfluxDB answers on the hub: status and body; *token* is a file there."""
    url = f"https://127.0.0.1:8086{path}"
    command = shlex.join(["python3", "-c", _ASK, url, token, method, body, kind])
    status, text = json.loads(machine.ssh(command).stdout)
    return status, text


def flux(machine: Machine, token: str, query: str) -> tuple[int, str]:
    """What a query gives, as InfluxDB's annotated CSV."""
    return ask(machine, token, "POST", "/api/v2/query?org=sensetig", query, "application/vnd.flux")


class NotYet(Exception):
    """Something that is waited for has not come."""


def eventually(seconds: float = 90) -> Retrying:
    """Attempts until one raises no NotYet, and for no longer than so many seconds."""
    return Retrying(
        stop=stop_after_delay(seconds), wait=wait_fixed(1), retry=retry_if_exception_type(NotYet), reraise=True
    )


def test_check_mode_does_not_fail_on_fresh_machines(checked: Run, site: Site) -> None:
    assert checked.status == 0, checked.output[-6000:]
    for machine in site.machines.values():
        assert machine.ssh("test -e /opt/sensetig -o -e /etc/sensetig", check=False).returncode == 1


def test_the_first_run_installs_everything(installed: Run, site: Site) -> None:
    assert installed.status == 0
    print(f"the first run took {installed.seconds:.0f} s")
    for name, units in UNITS.items():
        for unit in units:
            shown = site.machines[name].ssh(f"systemctl is-active {unit}; systemctl is-enabled {unit}").stdout.split()
            assert shown == ["active", "enabled"], f"{unit} on {name}"


@pytest.mark.usefixtures("installed")
def test_every_machine_has_a_token_of_its_own(site: Site) -> None:
    hub = site.machines["loft"]
    tokens = set()
    for name, machine in site.machines.items():
        made = hub.ssh(f"cat /etc/sensetig/tokens/device-{name}.token").stdout.strip()
        used = machine.ssh(
            "systemd-creds decrypt --name=telegraf_token /etc/sensetig/credentials/telegraf_token -"
        ).stdout
        assert used.strip() == made
        tokens.add(made)
    assert len(tokens) == len(site.machines)


@pytest.mark.usefixtures("installed")
def test_points_of_every_machine_are_on_the_hub(site: Site) -> None:
    hub = site.machines["loft"]
    query = 'import "influxdata/influxdb/schema" schema.tagValues(bucket: "raw", tag: "host")'
    for attempt in eventually():
        with attempt:
            status, text = flux(hub, "/etc/sensetig/tokens/grafana.token", query)
            assert status == 200, text
            hosts = {line.split(",")[-1] for line in text.split() if line.startswith(",_result")}
            if not set(site.machines) <= hosts:
                raise NotYet(f"there are points of {sorted(hosts)}")


@pytest.mark.usefixtures("installed")
def test_a_stolen_token_neither_reads_nor_writes_elsewhere(site: Site) -> None:
    hub, token = site.machines["loft"], "/etc/sensetig/tokens/device-hall.token"
    line = "stolen value=1"
    assert ask(hub, token, "POST", "/api/v2/write?org=sensetig&bucket=raw", line)[0] == 204
    assert ask(hub, token, "POST", "/api/v2/write?org=sensetig&bucket=hourly", line)[0] in (401, 403, 404)
    status, text = flux(hub, token, 'from(bucket: "raw") |> range(start: -1h)')
    assert status in (401, 403, 404), text
    status, text = ask(hub, token, "GET", "/api/v2/authorizations")
    assert status in (401, 403) or json.loads(text)["authorizations"] == []


@pytest.mark.usefixtures("installed")
def test_nothing_listens_beyond_what_is_stated(site: Site) -> None:
    for name, machine in site.machines.items():
        listening = set()
        for line in machine.ssh("ss -H -l -t -u -n").stdout.splitlines():
            address, _, port = line.split()[4].rpartition(":")
            if not re.match(r"127\.|\[::1\]", address):
                listening.add(int(port))
        shown = {3000} if name == "loft" and site.config["grafana_enabled"] else set()
        assert listening == REACHABLE[name] | shown, name


@pytest.mark.usefixtures("installed")
def test_the_services_are_hardened(site: Site) -> None:
    for name, units in UNITS.items():
        for unit, most in units.items():
            said = site.machines[name].ssh(f"systemd-analyze security --no-pager {unit} | tail -1").stdout
            score = float(said.split(": ")[1].split()[0])
            print(f"{name}: {unit} {score}")
            assert most is None or score <= most, f"{unit} on {name} has {score}"


@pytest.mark.usefixtures("installed")
def test_secrets_are_in_nobodys_sight(site: Site, installed: Run) -> None:
    hub = site.machines["loft"]
    files = hub.ssh("ls /etc/sensetig/tokens").stdout.split()
    assert {"operator.token", "device-hall.token", "mqtt-telegraf.password"} <= set(files)
    log = (site.folder / "playbooks.log").read_text()
    for file in files:
        secret = hub.ssh(f"cat /etc/sensetig/tokens/{file}").stdout.split(":")[-1].strip()
        assert secret not in log, file
        for name, machine in site.machines.items():
            pattern = shlex.quote(secret)
            assert machine.ssh(f"journalctl --no-pager | grep -F -c -e {pattern}", check=False).stdout.strip() == "0", (
                file
            )
            seen = machine.ssh(f"find /etc /var /opt /run /tmp -xdev -type f -perm /o+r -size -1M -print0 | "
                               f"xargs -0 grep -F -l -s -e {pattern}", check=False).stdout  # fmt: skip
            assert seen == "", f"{file} on {name}"
    del installed


@pytest.mark.usefixtures("installed")
def test_a_second_run_changes_nothing(site: Site) -> None:
    second = site.play()
    assert second.status == 0, second.output[-6000:]
    print(f"the second run took {second.seconds:.0f} s")
    assert second.changed() == dict.fromkeys(site.machines, 0), re.findall(
        r"TASK \[.*\n(?:.*\n)??changed.*", second.output
    )


@pytest.mark.usefixtures("installed")
def test_everything_is_back_after_a_reboot(site: Site) -> None:
    for name, machine in site.machines.items():
        machine.reboot()
        for unit in UNITS[name]:
            assert machine.ssh(f"systemctl is-active {unit}", check=False).stdout.strip() == "active", (
                f"{unit} on {name}"
            )


@pytest.mark.usefixtures("installed")
def test_teardown_keeps_the_data_unless_it_is_told_otherwise(site: Site) -> None:
    hub = site.machines["loft"]
    kept = site.play("teardown.yml")
    assert kept.status == 0, kept.output[-6000:]
    assert hub.ssh("test -s /var/lib/influxdb/influxd.bolt -a -s /etc/sensetig/tokens/operator.token").returncode == 0
    for machine in site.machines.values():
        assert (
            machine.ssh("systemctl is-active telegraf influxdb mosquitto", check=False).stdout.split()
            == ["inactive"] * 3
        )
        assert machine.ssh("test -e /opt/sensetig", check=False).returncode == 1
    purged = site.play("teardown.yml", teardown_purge=True)
    assert purged.status == 0, purged.output[-6000:]
    for machine in site.machines.values():
        left = machine.ssh(
            "ls -d /etc/sensetig /var/lib/influxdb /var/lib/sensetig /opt/sensetig 2>/dev/null", check=False
        )
        assert left.stdout == "", machine.name


def test_the_examples_are_sound(run: Path) -> None:
    del run
    for inventory in ("standalone", "fleet"):
        done = subprocess.run(
            ["ansible-inventory", "-i", f"inventories/{inventory}/hosts.yml", "--list"],
            cwd=Path(__file__).parents[2] / "ansible", capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "_meta" in json.loads(done.stdout)
