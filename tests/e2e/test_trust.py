"""Who is trusted, on booted machines: certificates, tokens that change, a Pi that enrols, and one that is revoked."""

from __future__ import annotations

import json
import shlex
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509

from tests.e2e import wheels
from tests.e2e.machines import Machine
from tests.e2e.playbook import PROJECT
from tests.e2e.playbook import Run as Played
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, ask, eventually, flux

pytestmark = pytest.mark.usefixtures("installed")

READS = "/etc/sensetig/tokens/grafana.token"

#: Prints a number each 200 ms, goes on where it stood, and ends with a whole line when Telegraf closes its input.
_NUMBERS = """
import os, select, sys, time
file = "/var/lib/telegraf/numbers"
number = int(open(file).read()) if os.path.exists(file) else 0
while not select.select([sys.stdin], [], [], 0.2)[0]:
    number += 1
    print(f"numbered number={number}i {time.time_ns()}", flush=True)
    open(file, "w").write(str(number))
"""

_EXECD = """
[[inputs.execd]]
  command = ["/usr/bin/python3", "/etc/telegraf/numbers.py"]
  signal = "none"
  data_format = "influx"
"""

#: The effect of systemd.run= on the kernel's command line, which a container lacks.
_FIRST_BOOT = """
[Unit]
ConditionPathExists=/boot/firmware/firstrun.sh
[Service]
Type=oneshot
ExecStart=/bin/sh /boot/firmware/firstrun.sh
[Install]
WantedBy=multi-user.target
"""

#: Keeps every command line that it sees, until it is stopped.
_SAMPLER = """
import glob, time
seen = set()
with open("/run/cmdlines", "ab", buffering=0) as file:
    while True:
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                line = open(path, "rb").read()
            except OSError:
                continue
            if line not in seen:
                seen.add(line)
                file.write(line + b"\\n")
        time.sleep(0.03)
"""


def served(machine: Machine, port: int) -> x509.Certificate:
    """The certificate that a port shows."""
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((machine.address, port), timeout=20).encode())


def newest(hub: Machine, host: str, field: str) -> int:
    """The highest number of a field that the hub has of a host; 0 if there is none."""
    query = (
        f'from(bucket: "raw") |> range(start: -1h) |> filter(fn: (r) => r.host == "{host}" and r._field == "{field}")'
        ' |> group() |> max() |> keep(columns: ["_value"])'
    )
    status, text = flux(hub, READS, query)
    assert status == 200, text
    rows = [line for line in text.split() if line.startswith(",_result")]
    return int(float(rows[0].split(",")[-1])) if rows else 0


def arrives(hub: Machine, host: str, field: str, beyond: int, seconds: float = 120) -> None:
    """Wait until the hub has a higher number of that field."""
    for attempt in eventually(seconds):
        with attempt:
            if newest(hub, host, field) <= beyond:
                raise NotYet(f"there is no newer {field} of {host} on the hub")


@contextmanager
def sampled(*machines: Machine) -> Iterator[None]:
    """Command lines are kept in the meantime; afterwards none of them has a secret of the hub's."""
    for machine in machines:
        command = shlex.join(["python3", "-c", _SAMPLER])
        machine.ssh(f"rm -f /run/cmdlines; systemd-run --quiet --collect --unit=sampler {command}")
    yield
    hub = machines[0]
    secrets = hub.ssh("cat /etc/sensetig/tokens/*.token /etc/sensetig/tokens/*.password", check=False).stdout
    for machine in machines:
        machine.ssh("systemctl stop sampler")
        seen = machine.ssh("cat /run/cmdlines").stdout
        assert "ansible" in seen or "python3" in seen
        for secret in secrets.split():
            assert secret not in seen, f"a secret was on a command line of {machine.name}"


@pytest.fixture(scope="module")
def prepared(site: Site) -> Iterator[Played]:
    """The hub takes in new Pis, and a device may speak MQTT."""
    options = {
        "enrolment_enabled": True,
        "enrolment_wheelhouse": str(wheels.house(PROJECT, "enrolment")),
        "mosquitto_users": ["garret", "hall"],
    }
    before = dict(site.config)
    site.config.update(options)
    done = site.play("site.yml", "--tags", "mosquitto,enrolment", "--limit", "loft")
    assert done.status == 0, done.output[-6000:]
    yield done
    site.config.clear()
    site.config.update(before)
    undone = site.play("site.yml", "--tags", "enrolment", "--limit", "loft")
    assert undone.status == 0, undone.output[-6000:]
    assert "sensetig-enrol" not in site.machines["loft"].ssh("systemctl list-units --all --plain --no-legend").stdout


def test_a_certificate_that_ends_soon_is_renewed_and_the_services_go_on(site: Site) -> None:
    hub = site.machines["loft"]
    before = {port: served(hub, port) for port in (443, 8883)}
    numbers = newest(hub, "hall", "uptime")
    days = {"certificates_valid_days": 800, "certificates_renew_days": 500}
    tags = ("--tags", "certificates,mosquitto,proxy", "--limit", "loft")
    done = site.play("site.yml", *tags, **days)
    assert done.status == 0, done.output[-6000:]
    for port, old in before.items():
        new = served(hub, port)
        assert (new.not_valid_after_utc - old.not_valid_after_utc).days in (402, 403)
        assert new.public_key() == old.public_key()
    arrives(hub, "hall", "uptime", numbers)
    again = site.play("site.yml", *tags, **days)
    assert again.changed() == {"loft": 0}, again.output[-6000:]


def test_the_hub_renews_its_certificate_by_itself(site: Site) -> None:
    hub = site.machines["loft"]
    assert hub.ssh("systemctl is-active sensetig-certificate.timer").stdout.strip() == "active"
    before = served(hub, 443)
    assert "left alone" in hub.ssh("sensetig certificate renew").stdout
    hub.ssh("sensetig certificate renew --within 900 --valid 1000")
    hub.ssh("systemctl start sensetig-certificate.service")
    for attempt in eventually(60):
        with attempt:
            try:
                after = [served(hub, port).serial_number for port in (443, 8883)]
            except OSError as error:
                raise NotYet(str(error)) from None
            if before.serial_number in after:
                raise NotYet("a service has the old certificate")
    assert len(set(after)) == 1
    arrives(hub, "hall", "uptime", newest(hub, "hall", "uptime"))


def test_a_token_is_rotated_and_no_point_is_lost(site: Site) -> None:
    hub, hall = site.machines["loft"], site.machines["hall"]
    hall.ssh(
        f"printf %s {shlex.quote(_NUMBERS)} > /etc/telegraf/numbers.py; chmod 644 /etc/telegraf/numbers.py; "
        f"printf %s {shlex.quote(_EXECD)} > /etc/telegraf/telegraf.d/numbers.conf; "
        "chmod 644 /etc/telegraf/telegraf.d/numbers.conf; systemctl restart telegraf"
    )
    arrives(hub, "hall", "number", 0)
    hub.ssh("cp /etc/sensetig/tokens/device-hall.token /root/old.token")
    with sampled(hub, hall):
        done = site.play("rotate.yml", "--limit", "hall")
    assert done.status == 0, done.output[-6000:]
    made = hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout
    assert made != hub.ssh("cat /root/old.token").stdout
    used = hall.ssh("systemd-creds decrypt --name=telegraf_token /etc/sensetig/credentials/telegraf_token -").stdout
    assert used.strip() == made.strip()
    assert ask(hub, "/root/old.token", "POST", "/api/v2/write?org=sensetig&bucket=raw", "old value=1")[0] == 401
    sent = int(hall.ssh("cat /var/lib/telegraf/numbers").stdout)
    arrives(hub, "hall", "number", sent)
    query = (
        'from(bucket: "raw") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "numbered")'
        f' |> filter(fn: (r) => r._value <= {sent}) |> group() |> distinct() |> keep(columns: ["_value"])'
    )
    rows = [line for line in flux(hub, READS, query)[1].split() if line.startswith(",_result")]
    assert sorted(int(row.split(",")[-1]) for row in rows) == list(range(1, sent + 1))
    hall.ssh("rm /etc/telegraf/telegraf.d/numbers.conf /etc/telegraf/numbers.py; systemctl restart telegraf")


def test_the_hub_lists_its_tokens_and_rotates_its_own(site: Site) -> None:
    hub = site.machines["loft"]
    said = hub.ssh("sensetig token rotate loft", timeout=200).stdout
    assert "loft writes with its new token; the old one is revoked" in said
    listed = {line.split()[0]: line.split()[2] for line in hub.ssh("sensetig token list").stdout.splitlines()}
    assert {listed[name] for name in site.machines} == {"holds"}


def enrol(machine: Machine, folder: str) -> tuple[int, str]:
    """Send an enrolment request from a machine, with the files in a folder."""
    done = machine.ssh(f"python3 {folder}/enrol.py {folder} /etc/ssh", check=False)
    return done.returncode, done.stdout + done.stderr


def unpacked(machine: Machine, script: str, folder: str) -> None:
    """Extract the files in a first-boot script into a folder, without running the script."""
    lines = [line for line in script.splitlines() if line.startswith("put /usr/local/lib/sensetig-enrol/")]
    for line in lines:
        _, path, _, content = line.split()
        name = path.rpartition("/")[2]
        machine.ssh(f"mkdir -p {folder}; printf %s {content} | base64 -d > {folder}/{name}")


@pytest.mark.usefixtures("prepared")
def test_a_ticket_that_expired_and_a_hub_that_is_another_are_refused(site: Site) -> None:
    hub, hall = site.machines["loft"], site.machines["hall"]
    hub.ssh("sensetig enrol create late --out /root/late")
    hub.ssh('sed -i \'s/"expires": [0-9]*/"expires": 1/\' /etc/sensetig/enrolment/late.json')
    unpacked(hall, hub.ssh("cat /root/late/firstrun.sh").stdout, "/root/late")
    status, said = enrol(hall, "/root/late")
    assert (status, "has expired" in said) == (3, True), said
    hub.ssh("sensetig enrol create other --out /root/other")
    unpacked(hall, hub.ssh("cat /root/other/firstrun.sh").stdout, "/root/other")
    hall.ssh(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=another "
        "-keyout /dev/null -out /root/other/authority.crt"
    )
    status, said = enrol(hall, "/root/other")
    assert status == 1, said
    assert "is not the right one" in said
    assert hub.ssh("ls /etc/sensetig/enrolment").stdout.split() == ["late.json", "other.json"]
    assert hall.ssh("test -s /root/other/token").returncode == 0
    for name in ("late", "other"):
        hub.ssh(f"rm /etc/sensetig/enrolment/{name}.json")


def put_on_card(machine: Machine, script: str) -> None:
    """Put a first-boot script on the boot partition of a machine that is off, as provisioning.md describes."""
    boot = machine.system / "boot/firmware"
    boot.mkdir(parents=True)
    (boot / "firstrun.sh").write_text(script)
    (boot / "cmdline.txt").write_text("console=tty1 systemd.run=/boot/firmware/firstrun.sh\n")
    unit = machine.system / "etc/systemd/system/firstrun.service"
    unit.write_text(_FIRST_BOOT)
    (unit.parent / "multi-user.target.wants").mkdir(exist_ok=True)
    (unit.parent / "multi-user.target.wants/firstrun.service").symlink_to(unit.name)


@pytest.mark.usefixtures("prepared")
def test_a_new_pi_enrols_with_no_hands_and_is_revoked_with_one_command(site: Site) -> None:
    hub, hall, lab = (site.machines[name] for name in ("loft", "hall", "lab"))
    hub.ssh("sensetig enrol create garret --out /root/garret")
    script = hub.ssh("cat /root/garret/firstrun.sh").stdout
    with site.newcomer("garret", "bookworm") as garret, sampled(hub):
        put_on_card(garret, script)
        garret.start()
        arrives(hub, "garret", "uptime", 0, seconds=900)

        # The result must equal that of the playbook on a machine that it reaches over ssh.
        for command in (
            "readlink /opt/sensetig/venv",
            "cat /etc/telegraf/telegraf.conf /etc/telegraf/telegraf.d/*.conf /etc/sensetig/sensetig.toml | sha256sum",
            "cat /etc/systemd/system/telegraf.service.d/*.conf | sha256sum",
            "dpkg-query -W telegraf",
            "find /etc/sensetig /etc/telegraf -printf '%p %u %g %m\\n' | sort",
        ):
            assert garret.ssh(command).stdout == lab.ssh(command).stdout, command
        assert garret.ssh("test -e /boot/firmware/firstrun.sh", check=False).returncode == 1
        assert "systemd.run" not in garret.ssh("cat /boot/firmware/cmdline.txt").stdout
        for attempt in eventually(120):
            with attempt:
                state = json.loads(hub.ssh("cat /etc/sensetig/controller/enrolled.json").stdout)["garret"]
                if not state["installed"]:
                    raise NotYet("the playbook has not ended")

        # The token is used up.
        unpacked(hall, script, "/root/garret")
        status, said = enrol(hall, "/root/garret")
        assert (status, "used before" in said) == (3, True), said

        _revoked(site, garret)


def _revoked(site: Site, garret: Machine) -> None:
    hub = site.machines["loft"]
    hub.ssh("apt-get install --yes --quiet --no-install-recommends mosquitto-clients")
    hub.ssh("cp /etc/sensetig/tokens/device-garret.token /root/stolen.token")
    password = hub.ssh("cat /etc/sensetig/tokens/mqtt-garret.password").stdout.strip()
    others = hub.ssh("cat /etc/sensetig/tokens/mqtt-hall.password").stdout.strip()

    def publishes(user: str, secret: str) -> bool:
        command = shlex.join(["mosquitto_pub", "-h", "127.0.0.1", "-u", user, "-P", secret, "-q", "1",
                              "-t", f"sensetig/{user}/status", "-m", "online"])  # fmt: skip
        return hub.ssh(command, check=False).returncode == 0

    assert publishes("garret", password)
    said = hub.ssh("sensetig revoke garret").stdout
    assert said.startswith("garret is revoked: "), said
    for what in ("InfluxDB token", "MQTT password", "certificate", "enrolment"):
        assert what in said
    write = "/api/v2/write?org=sensetig&bucket=raw"
    assert ask(hub, "/root/stolen.token", "POST", write, "stolen value=1")[0] == 401
    assert not publishes("garret", password)
    assert publishes("hall", others)
    arrives(hub, "hall", "uptime", newest(hub, "hall", "uptime"))
    assert "nothing to change" in hub.ssh("sensetig revoke garret").stdout
    refused = hub.ssh("sensetig enrol create garret --out /root/again", check=False)
    assert refused.returncode == 1
    assert "has been revoked" in refused.stderr
    log = garret.ssh("journalctl --unit=telegraf --no-pager", check=False).stdout
    assert hub.ssh("cat /root/stolen.token").stdout.strip() not in log
    listed = hub.ssh("openssl crl -in /etc/sensetig/authority/revoked.crl -noout -text").stdout.lower()
    serial = garret.ssh("openssl x509 -in /etc/sensetig/tls/device.crt -noout -serial").stdout.strip().split("=")[1]
    assert serial.lower().lstrip("0") in listed
