"""One hub and two edges: the playbook on three fresh machines. The tests depend on each other, in order."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.e2e.machines import Machine
from tests.e2e.playbook import Run
from tests.e2e.site import Site

#: The units of each machine, and how exposed each may be by the measure of `systemd-analyze security`.
UNITS: dict[str, dict[str, float]] = {
    "loft": {
        "influxdb": 3.0,
        "telegraf": 2.4,
        "mosquitto": 2.0,
        "nats-server": 2.0,
        "sensetig-outbox": 2.0,
        "sensetig-proxy": 2.0,
        "sensetig-receiver": 2.0,
    },
    "hall": {"telegraf": 2.4, "sensetig-camera": 2.0, "sensetig-outbox": 2.0},
    "lab": {"telegraf": 2.4, "sensetig-outbox": 2.0},
}

#: Services that a timer starts, and how exposed each may be.
TIMED: dict[str, dict[str, float]] = {
    "loft": {"sensetig-backup": 2.0, "sensetig-certificate": 2.0},
    "hall": {},
    "lab": {},
}

#: What may be reached from the network: ssh, and on the hub the proxy, the broker and NATS, all with TLS.
REACHABLE = {"loft": {22, 443, 8883, 4222}, "hall": {22}, "lab": {22}}

_DOOR = """
import json, ssl, sys, urllib.error, urllib.request
path, token, method, body, certified = sys.argv[1:]
context = ssl.create_default_context(cafile="/etc/sensetig/tls/trusted/authority.crt")
if certified:
    context.load_cert_chain("/etc/sensetig/tls/device.crt", "/etc/sensetig/tls/device.key")
headers = {"Authorization": "Token " + open(token).read().strip()} if token else {}
request = urllib.request.Request("https://loft" + path, body.encode() or None, headers, method=method)
try:
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        print(json.dumps([answer.status, answer.read().decode(), dict(answer.headers)]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode(), dict(error.headers)]))
"""

_WRITE = "/api/v2/write?org=sensetig&bucket=raw"

_ASK = """
import json, sys, urllib.error, urllib.request
path, token, method, body, kind = sys.argv[1:]
url = open("/etc/sensetig/influxdb-url").read().strip() + path
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
    command = shlex.join(["python3", "-c", _ASK, path, token, method, body, kind])
    status, text = json.loads(machine.ssh(command).stdout)
    return status, text


def knock(
    machine: Machine, path: str, *, token: str = "", method: str = "GET", body: str = "", certified: bool = True
) -> tuple[int, str, dict[str, str]]:
    """A machine's request to the hub's web port: status, body and headers.

    *token* is a file on the machine; *certified* is whether the machine presents its certificate.
    """
    command = shlex.join(["python3", "-c", _DOOR, path, token, method, body, "yes" if certified else ""])
    status, text, headers = json.loads(machine.ssh(command).stdout)
    return status, text, headers


def flux(machine: Machine, token: str, query: str) -> tuple[int, str]:
    """Run a query; the result is InfluxDB's annotated CSV."""
    return ask(machine, token, "POST", "/api/v2/query?org=sensetig", query, "application/vnd.flux")


def reachable(machine: Machine) -> set[int]:
    """The ports that others can reach: those that listen beyond loopback."""
    ports = set()
    for line in machine.ssh("ss -H -l -t -u -n").stdout.splitlines():
        address, _, port = line.split()[4].rpartition(":")
        if not re.match(r"127\.|\[::1\]", address):
            ports.add(int(port))
    return ports


def shown(machine: Machine, unit: str) -> dict[str, str]:
    """The properties of a unit."""
    lines = machine.ssh(f"systemctl show {unit}").stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def score(machine: Machine, unit: str) -> float:
    """How exposed a unit is."""
    said = machine.ssh(f"systemd-analyze security --no-pager {unit} | tail -1").stdout
    return float(said.split(": ")[1].split()[0])


class NotYet(Exception):
    """Something that is waited for has not come."""


def put(machine: Machine, name: str, text: str) -> str:
    """A file that root alone can read there: a secret in a command would be in the journal."""
    path = machine.system / "root" / name
    path.write_text(text)
    path.chmod(0o600)
    return f"/root/{name}"


def eventually(seconds: float = 90) -> Retrying:
    """Retry while NotYet is raised, for at most *seconds*."""
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
            states = site.machines[name].ssh(f"systemctl is-active {unit}; systemctl is-enabled {unit}").stdout.split()
            assert states == ["active", "enabled"], f"{unit} on {name}"


@pytest.mark.usefixtures("installed")
def test_every_machine_has_a_separate_token(site: Site) -> None:
    hub = site.machines["loft"]
    tokens = set()
    for name in UNITS:
        machine = site.machines[name]
        made = hub.ssh(f"cat /etc/sensetig/tokens/device-{name}.token").stdout.strip()
        used = machine.ssh(
            "systemd-creds decrypt --name=telegraf_token /etc/sensetig/credentials/telegraf_token -"
        ).stdout
        assert used.strip() == made
        tokens.add(made)
    assert len(tokens) == len(UNITS)


@pytest.mark.usefixtures("installed")
def test_points_of_every_machine_are_on_the_hub(site: Site) -> None:
    hub = site.machines["loft"]
    query = 'import "influxdata/influxdb/schema" schema.tagValues(bucket: "raw", tag: "host")'
    for attempt in eventually():
        with attempt:
            status, text = flux(hub, "/etc/sensetig/tokens/grafana.token", query)
            assert status == 200, text
            hosts = {line.split(",")[-1] for line in text.split() if line.startswith(",_result")}
            if not set(UNITS) <= hosts:
                raise NotYet(f"there are points of {sorted(hosts)}")


@pytest.mark.usefixtures("installed")
def test_the_hub_has_a_verdict_on_every_machine(site: Site) -> None:
    hub = site.machines["loft"]
    query = (
        'from(bucket: "raw") |> range(start: -5m) |> filter(fn: (r) => r._measurement == "device_health" and '
        'r._field == "status") |> last() |> keep(columns: ["device", "_value"])'
    )
    for attempt in eventually():
        with attempt:
            status, text = flux(hub, "/etc/sensetig/tokens/grafana.token", query)
            assert status == 200, text
            lacking = [name for name in UNITS if not re.search(rf"\b(online,{name}|{name},online)\b", text)]
            if lacking:
                raise NotYet(f"no machine called {', '.join(lacking)} is online in: {text}")


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
def test_a_stolen_pi_writes_its_points_and_deletes_nothing(site: Site) -> None:
    """InfluxDB itself would let a token that writes delete, too."""
    hub, hall = site.machines["loft"], site.machines["hall"]
    secret = hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout
    token = put(hall, "stolen", secret)
    assert knock(hall, _WRITE, token=token, method="POST", body="stolen,host=hall value=2")[0] == 204
    for line in ("stolen,host=lab value=2", "stolen value=2"):
        status, text, _ = knock(hall, _WRITE, token=token, method="POST", body=line)
        assert (status, "a device writes its own points only" in text) == (422, True), text
    everything = '{"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"}'
    for path in ("/api/v2/delete?org=sensetig&bucket=raw", "/api/v2/write/../delete?org=sensetig&bucket=raw"):
        status, _, headers = knock(hall, path, token=token, method="POST", body=everything)
        assert status in (401, 403, 404), path
        assert "X-Influxdb-Version" not in headers, path
    assert knock(hall, "/metrics", token=token)[0] in (302, 401, 403, 404)
    for port in (8086, 3000):
        tried = f"import socket; socket.create_connection(('loft', {port}), 5)"
        assert "ConnectionRefusedError" in hall.ssh(f"python3 -c {shlex.quote(tried)}", check=False).stderr
    hall.ssh(f"rm {token}")


@pytest.mark.usefixtures("installed")
def test_a_token_without_its_certificate_is_useless(site: Site) -> None:
    hub, hall = site.machines["loft"], site.machines["hall"]
    token = put(hall, "stolen", hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout)
    assert knock(hall, _WRITE, token=token, method="POST", body="stolen,host=hall value=3", certified=False)[0] == 403
    hall.ssh(f"rm {token}")


@pytest.mark.usefixtures("installed")
def test_the_certificate_follows_the_hubs_records(site: Site) -> None:
    hall = site.machines["hall"]
    shown = hall.ssh("openssl x509 -in /etc/sensetig/tls/device.crt -noout -subject -ext subjectAltName").stdout
    assert re.findall(r"DNS:[^\s,]+|IP[^,]+", shown) == ["DNS:hall.sensetig.internal"]
    assert re.search(r"CN ?= ?hall$", shown, re.MULTILINE)
    authority = hall.ssh("openssl x509 -in /etc/sensetig/tls/trusted/authority.crt -noout -text").stdout
    assert "X509v3 Name Constraints: critical" in authority
    assert "DNS:sensetig.internal" in authority


@pytest.mark.usefixtures("installed")
def test_other_programs_do_not_trust_the_hubs_authority(site: Site) -> None:
    for name, machine in site.machines.items():
        verified = machine.ssh("openssl verify /etc/sensetig/tls/device.crt 2>&1", check=False)
        assert "unable to get local issuer certificate" in verified.stdout, name


@pytest.mark.usefixtures("installed")
def test_grafana_is_behind_the_proxy(site: Site) -> None:
    if not site.config["grafana_enabled"]:
        pytest.skip("there is no package of Grafana to install")
    status, text, headers = knock(site.machines["hall"], "/login", certified=False)
    assert status == 200, text
    assert "default-src" in headers["Content-Security-Policy"] or "script-src" in headers["Content-Security-Policy"]


@pytest.mark.usefixtures("installed")
def test_the_hub_serves_the_documentation_and_alerts_lead_there(site: Site) -> None:
    if not site.config["grafana_enabled"]:
        pytest.skip("there is no package of Grafana to install")
    status, text, _headers = knock(site.machines["hall"], "/public/sensetig/how-to/runbooks.html", certified=False)
    assert status == 200, text
    rules = site.machines["loft"].ssh("cat /etc/grafana/provisioning/alerting/rules.yaml").stdout
    root = set(re.findall(r"Documentation: (https://\S+)/how-to/runbooks[\w-]*\.html#[\w-]+", rules))
    assert len(root) == 1, root
    for machine in site.machines.values():
        assert root == set(
            re.findall(r'^documentation_url = "(.*)"$', machine.ssh("cat /etc/sensetig/site.toml").stdout, re.M)
        )


@pytest.mark.usefixtures("installed")
def test_only_documented_ports_listen(site: Site) -> None:
    for name, ports in REACHABLE.items():
        assert reachable(site.machines[name]) == ports, name


@pytest.mark.usefixtures("installed")
def test_influxdb_fetches_no_address_for_a_query(site: Site) -> None:
    hub = site.machines["loft"]
    query = 'import "experimental/http" http.get(url: "http://127.0.0.1:8086/health") |> yield()'
    status, text = flux(hub, "/etc/sensetig/tokens/grafana.token", query)
    assert status != 200 or "error" in text, text


@pytest.mark.usefixtures("installed")
def test_the_services_are_hardened(site: Site) -> None:
    for name, units in UNITS.items():
        for unit, most in (units | TIMED[name]).items():
            found = score(site.machines[name], unit)
            print(f"{name}: {unit} {found}")
            assert found <= most, f"{unit} on {name} has {found}"


@pytest.mark.usefixtures("installed")
def test_secrets_are_in_nobodys_sight(site: Site, installed: Run) -> None:
    hub = site.machines["loft"]
    files = hub.ssh("ls /etc/sensetig/tokens").stdout.split()
    assert {"operator.token", "device-hall.token", "mqtt-telegraf.password"} <= set(files)
    log = (site.folder / "playbooks.log").read_text()
    secrets = {file: hub.ssh(f"cat /etc/sensetig/tokens/{file}").stdout.split(":")[-1].strip() for file in files}
    assert all(secrets.values()), "an empty line would be found everywhere"
    assert [file for file, secret in secrets.items() if secret in log] == []
    for name, machine in site.machines.items():
        # Through a file, because sudo would log a secret in a command to the journal.
        sought = put(machine, "sought", "\n".join(secrets.values()) + "\n")
        told = machine.ssh(f"journalctl --no-pager | grep -F -f {sought} || true", timeout=300).stdout
        assert told == "", f"{len(told.splitlines())} lines in the journal of {name}"
        assert machine.ssh(f"find /etc /var /opt /run /tmp -xdev -type f -perm /o+r -size -1M -print0 | "
                           f"xargs -0 grep -F -l -s -f {sought} || true", timeout=300).stdout == "", name  # fmt: skip
        machine.ssh(f"rm {sought}")
    del installed


@pytest.mark.usefixtures("installed")
def test_a_second_run_changes_nothing(site: Site) -> None:
    second = site.play()
    assert second.status == 0, second.output[-6000:]
    print(f"the second run took {second.seconds:.0f} s")
    assert second.changed() == dict.fromkeys(UNITS, 0), re.findall(r"TASK \[.*\n(?:.*\n)??changed.*", second.output)


@pytest.mark.usefixtures("installed")
def test_telegraf_loads_the_snippets_for_the_role_of_the_machine(site: Site) -> None:
    everywhere = {"clock", "kernel", "outbox", "pi", "sensehat", "services", "system", "telegraf", "telemetry"}
    everywhere |= set(site.config["telegraf_extra_collectors"])
    for name in UNITS:
        loaded = set(site.machines[name].ssh("ls /etc/telegraf/telegraf.d").stdout.split())
        expected = everywhere | ({"credentials", "gateway", "health", "influxdb"} if name == "loft" else set())
        assert {f"{each}.conf" for each in expected} <= loaded, name
        assert ("gateway.conf" in loaded) == ("influxdb.conf" in loaded) == (name == "loft"), name


@pytest.mark.usefixtures("installed")
def test_services_have_bounds_that_fit_the_board(site: Site) -> None:
    for name, units in UNITS.items():
        machine = site.machines[name]
        board = int(machine.ssh("grep MemTotal /proc/meminfo").stdout.split()[1]) // 1024
        telegraf = shown(machine, "telegraf")
        assert f"GOMEMLIMIT={min(max(board // 8, 64), 512)}MiB" in telegraf["Environment"]
        assert int(telegraf["MemoryMax"]) == min(max(board // 2, 256), 2048) * 1_048_576
        assert telegraf["TimeoutStopUSec"] == "20s"
        for unit in set(units) & {"telegraf", "influxdb"}:
            settings = shown(machine, unit)
            assert (settings["Restart"], settings["RestartUSec"]) == ("always", "2s"), unit
            assert {"network-online.target", "time-sync.target"} <= set(settings["After"].split()), unit
            assert settings["StartLimitIntervalUSec"] == "0", unit
            if name != "lab":  # bookworm's systemd does not lengthen its pauses yet
                assert (settings["RestartSteps"], settings["RestartMaxDelayUSec"]) == ("6", "1min"), unit
        assert shown(machine, "systemd-time-wait-sync")["TimeoutStartUSec"] == "2min"
        journal = machine.ssh("systemd-analyze cat-config systemd/journald.conf").stdout
        assert "SystemMaxUse=64M" in journal
        assert "SyncIntervalSec=5m" in journal
    hub = site.machines["loft"]
    board = int(hub.ssh("grep MemTotal /proc/meminfo").stdout.split()[1]) // 1024
    assert f"GOMEMLIMIT={board * 2 // 5}MiB" in shown(hub, "influxdb")["Environment"]
    config = hub.ssh("cat /etc/influxdb/config.toml").stdout
    share = min(max(board // 16, 64), 512) * 1_048_576
    assert f"storage-cache-max-memory-size = {share}" in config
    assert f"query-memory-bytes = {share}" in config


@pytest.mark.usefixtures("installed")
def test_telegraf_has_neither_the_token_nor_the_certificate(site: Site) -> None:
    for name in UNITS:
        machine = site.machines[name]
        telegraf, outbox = (machine.ssh(f"systemctl cat {unit}").stdout for unit in ("telegraf", "sensetig-outbox"))
        assert "telegraf_token" not in telegraf
        assert "tls.key" not in telegraf
        assert "LoadCredentialEncrypted=telegraf_token:" in outbox
        assert ("tls.key" in outbox) == (name != "loft")
        settings = shown(machine, "sensetig-outbox")
        assert (settings["User"], settings["WatchdogUSec"]) == ("sensetig-outbox", "2min")


#: Python that prints the points of a folder of the outbox, by measurement.
_WAITING = """
import glob, sys
from sensetig.outbox.batch import decode
files = glob.glob("/var/lib/sensetig-outbox/*.batch")
lines = [line for file in files for block in decode(open(file, "rb").read()) for line in block.lines]
print(sum(line.startswith(b"outage,") for line in lines))
"""


def waiting(edge: Machine) -> int:
    """Points of the measurement outage that wait on the disk of an edge."""
    command = shlex.join(["/opt/sensetig/venv/bin/python", "-c", _WAITING])
    return int(edge.ssh(command, check=False).stdout.strip() or 0)


@pytest.mark.usefixtures("installed")
def test_nothing_is_lost_while_the_hub_is_away_and_the_edge_is_killed_and_rebooted(site: Site) -> None:
    hub, edge = site.machines["loft"], site.machines["hall"]
    hub.ssh("systemctl stop influxdb")
    begin = int(edge.ssh("date +%s").stdout)
    lines = "\n".join(f"outage value={number}i {begin - number}000000000" for number in range(200))
    edge.ssh(f"printf '%s\\n' {shlex.quote(lines)} > /var/lib/telegraf/outage.influx")
    edge.ssh(
        'printf \'[[inputs.file]]\\n files = ["/var/lib/telegraf/outage.influx"]\\n interval = "1s"\\n'
        ' data_format = "influx"\\n\' > /etc/telegraf/telegraf.d/outage.conf && systemctl restart telegraf'
    )
    for attempt in eventually():
        with attempt:
            if (count := waiting(edge)) < 200:
                raise NotYet(f"{count} points wait on the disk")
    edge.ssh("rm /etc/telegraf/telegraf.d/outage.conf /var/lib/telegraf/outage.influx")
    edge.ssh("systemctl kill --signal=KILL telegraf sensetig-outbox")
    edge.reboot()
    assert waiting(edge) >= 200
    hub.ssh("systemctl start influxdb")
    query = 'from(bucket: "raw") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "outage") |> count()'
    for attempt in eventually(180):
        with attempt:
            status, text = flux(hub, "/etc/sensetig/tokens/grafana.token", query)
            if status != 200 or not re.search(r",200,hall,|,200,value,", text):
                raise NotYet(f"InfluxDB answers {status}: {text}")


@pytest.mark.usefixtures("installed")
def test_a_hub_with_a_full_disk_holds_the_points_of_its_edges(site: Site) -> None:
    """The reserve is set above the free space; the disk itself is the test machine's."""
    hub, edge = site.machines["loft"], site.machines["hall"]
    unit, kept = "/etc/systemd/system/sensetig-receiver.service", "/root/receiver.service"
    again = "systemctl daemon-reload && systemctl restart sensetig-receiver"
    hub.ssh(f"cp -p {unit} {kept} && sed -i 's/reserve-megabytes .*/reserve-megabytes 1000000/' {unit} && {again}")
    for attempt in eventually():
        with attempt:
            if "the disk of InfluxDB has" not in edge.ssh("journalctl --no-pager --unit=sensetig-outbox").stdout:
                raise NotYet("the edge writes")
    hub.ssh(f"mv {kept} {unit} && {again}")
    for attempt in eventually(180):
        with attempt:
            if edge.ssh("ls /var/lib/sensetig-outbox | grep -c batch || true").stdout.strip() != "0":
                raise NotYet("points wait on the edge")


@pytest.mark.usefixtures("installed")
def test_points_of_a_former_disk_buffer_are_delivered(site: Site) -> None:
    """The buffer was written by Telegraf; a second playbook run has nothing to deliver."""
    hub, edge = site.machines["loft"], site.machines["lab"]
    begin = int(edge.ssh("date +%s").stdout)
    lines = "\n".join(f"former value={number}i {begin - number}000000000" for number in range(100))
    edge.ssh(f"printf '%s\\n' {shlex.quote(lines)} > /var/lib/telegraf/former.influx")
    edge.ssh(
        'printf \'[agent]\\n buffer_strategy = "disk"\\n buffer_directory = "/var/lib/telegraf/buffer"\\n'
        ' interval = "1s"\\n flush_interval = "1s"\\n[[inputs.file]]\\n files = ["/var/lib/telegraf/former.influx"]\\n'
        ' data_format = "influx"\\n[[outputs.influxdb_v2]]\\n urls = ["http://127.0.0.1:9"]\\n'
        ' startup_error_behavior = "retry"\\n\' > /var/lib/telegraf/former.conf && '
        "chown -R telegraf: /var/lib/telegraf && "
        "runuser -u telegraf -- timeout -s TERM 5 telegraf --config /var/lib/telegraf/former.conf || true"
    )
    edge.ssh("rm /var/lib/telegraf/former.*")
    assert edge.ssh("cat /var/lib/telegraf/buffer/*/* | grep -a -o former | wc -l").stdout.strip() != "0"
    again = site.play("site.yml", "--tags", "telegraf", "--limit", "loft,lab")
    assert again.status == 0, again.output[-6000:]
    assert "points of /var/lib/telegraf/buffer are delivered" in again.output
    assert edge.ssh("test -e /var/lib/telegraf/buffer", check=False).returncode == 1
    query = 'from(bucket: "raw") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "former") |> count()'
    for attempt in eventually():
        with attempt:
            status, text = flux(hub, "/etc/sensetig/tokens/grafana.token", query)
            if status != 200 or not re.search(r",100,(lab,)?", text):
                raise NotYet(f"InfluxDB answers {status}: {text}")


@pytest.mark.usefixtures("installed")
def test_everything_is_back_after_a_reboot(site: Site) -> None:
    for name, units in UNITS.items():
        machine = site.machines[name]
        machine.reboot()
        for unit in units:
            assert machine.ssh(f"systemctl is-active {unit}", check=False).stdout.strip() == "active", (
                f"{unit} on {name}"
            )


@pytest.mark.usefixtures("installed")
def test_a_revoked_pi_is_refused_at_once_while_others_write(site: Site) -> None:
    """The one that is revoked is taken back by a new certificate and token."""
    hub, lab, hall = (site.machines[name] for name in ("loft", "lab", "hall"))
    token = put(lab, "kept", hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout)
    line = "knock,host=lab value=1"
    assert knock(lab, _WRITE, token=token, method="POST", body=line)[0] == 204
    assert "its certificate" in hub.ssh("sensetig revoke lab").stdout
    for attempt in eventually(10):
        with attempt:
            # The token of another device is valid, so the rejection is due to the certificate.
            if knock(lab, _WRITE, token=token, method="POST", body=line)[0] != 403:
                raise NotYet("the revoked certificate is accepted")
    other = put(hall, "kept", hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout)
    assert knock(hall, _WRITE, token=other, method="POST", body=line.replace("lab", "hall"))[0] == 204
    lab.ssh(f"rm {token}")
    hall.ssh(f"rm {other}")
    hub.ssh("sensetig revoke --back lab")
    again = site.play("site.yml", "--tags", "certificates,outbox,telegraf", "--limit", "loft,lab")
    assert again.status == 0, again.output[-6000:]
    fresh = put(lab, "fresh", hub.ssh("cat /etc/sensetig/tokens/device-lab.token").stdout)
    assert knock(lab, _WRITE, token=fresh, method="POST", body=line)[0] == 204
    lab.ssh(f"rm {fresh}")


def test_the_examples_are_sound(run: Path) -> None:
    del run
    for inventory in ("standalone", "fleet"):
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-inventory"), "-i", f"inventories/{inventory}/hosts.yml", "--list"],
            cwd=Path(__file__).parents[2] / "ansible", capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "_meta" in json.loads(done.stdout)
