"""``./install`` on the machine itself, as the README says: a copy of the checkout, an ordinary user, sudo."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml

from tests.e2e import probe, roots, wheels
from tests.e2e.conftest import folder_of_run
from tests.e2e.machines import USER, Machine
from tests.e2e.playbook import PROJECT
from tests.e2e.site import Site, booted
from tests.e2e.test_fleet import NotYet, ask, eventually, reachable

#: The README's command.
COMMAND = "cd sensetig && sudo ./install"

NOWHERE = "http://127.0.0.1:9/archive.key"

#: Folders that only the installation makes. /etc/sensetig is there before it: the test's mirrors are in its config.yml.
INSTALLED = ("/opt/sensetig", "/opt/sensetig-installer", "/etc/sensetig/inventory.yml", "/var/log/sensetig-install.log")


class Done(NamedTuple):
    """A command that has ended.

    Args:
        status: its exit status.
        output: stdout and stderr.
        seconds: its duration.
    """

    status: int
    output: str
    seconds: float


class Berry(NamedTuple):
    """A machine with a copy of the checkout in the home folder of an ordinary user.

    Args:
        site: the mirrors that it installs from.
        machine: the machine.
    """

    site: Site
    machine: Machine

    def typed(self, command: str, *, check: bool = True) -> Done:
        """Run a command as the ordinary user."""
        started = time.monotonic()
        done = subprocess.run(
            ["ssh", *self.machine.ssh_options, f"{USER}@{self.machine.address}", command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1500,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        print(f"$ {command}\n{done.stdout}")
        if check and done.returncode:
            log = self.machine.ssh("tail -n 100 /var/log/sensetig-install.log", check=False).stdout
            raise AssertionError(f"{command!r} ended with {done.returncode}: {done.stdout}{log}")
        return Done(done.returncode, done.stdout, time.monotonic() - started)

    def install(self, options: str = "", *, check: bool = True) -> Done:
        """Run ``./install`` as the ordinary user."""
        return self.typed(f"{COMMAND} {options}".strip(), check=check)

    def megabytes(self) -> int:
        """The size of all files, without the home folders and the kernel's."""
        size = self.machine.ssh("du -xsm / --exclude=/home --exclude=/proc --exclude=/sys 2>/dev/null || true").stdout
        return int(size.split()[0])

    def state(self) -> str:
        """The packages and folders of an installation that the machine has."""
        packages = self.machine.ssh("dpkg-query --show | sha256sum").stdout
        return packages + self.machine.ssh(f"ls -d {' '.join(INSTALLED)} 2>/dev/null || true").stdout

    def points(self, host: str = "berry") -> int:
        """How many points of a host's uptime its InfluxDB has; at least one, which is waited for."""
        query = f"SELECT count(uptime) FROM system WHERE host = '{host}'"  # noqa: S608 – InfluxQL, and the host is the test's
        path = f"/query?db=raw&q={quote(query)}"
        for attempt in eventually():
            with attempt:
                status, text = ask(self.machine, "/etc/sensetig/tokens/grafana.token", "GET", path)
                if status != 200 or "series" not in text:
                    raise NotYet(f"InfluxDB answers {status}: {text}")
        return int(json.loads(text)["results"][0]["series"][0]["values"][0][1])


def copy_checkout(machine: Machine, folder: str = f"/home/{USER}/sensetig") -> Path:
    """Put a plain copy of the checkout, without its history, into a folder of the user; where this machine sees it."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, check=True, capture_output=True).stdout
    target = machine.system / folder.lstrip("/")
    target.mkdir(parents=True)
    pack = ["tar", "--create", "--null", "--files-from=-"]
    packed = subprocess.run(pack, cwd=PROJECT, input=names, check=True, capture_output=True).stdout
    subprocess.run(["tar", "--extract", f"--directory={target}"], input=packed, check=True)
    machine.ssh(f"chown -R {USER}: {folder}")
    return target


def settings_of(site: Site) -> dict[str, Any]:
    """The settings of a machine that has no internet access: where the vendors' mirrors are."""
    names = ("common_archives", "grafana_enabled", "grafana_version")
    settings = {name: site.config[name] for name in names if name in site.config}
    return {**settings, "common_site": "shelf", "collectors_settings": {"sensehat": {"backend": "simulated"}}}


def use_package_index(site: Site, machine: Machine) -> None:
    """Point pip on a machine without internet access to a mirror."""
    served = site.folder / "served" / "wheels"
    if not served.exists():
        served.mkdir()
        for wheel in wheels.house(PROJECT, "ansible,enrolment,mqtt,outbox").iterdir():
            os.link(wheel, served / wheel.name)
    address = site.packages.removesuffix("/os")
    index = f"[global]\nno-index = true\nfind-links = {address}/wheels/\ntrusted-host = {site.network.here}\n"
    (machine.system / "etc/pip.conf").write_text(index)


def use_mirrors(site: Site, machine: Machine) -> None:
    """Point a machine without internet access to mirrors: of Python's packages and of the vendors'."""
    use_package_index(site, machine)
    folder = machine.system / "etc/sensetig"
    folder.mkdir()
    (folder / "config.yml").write_text(yaml.safe_dump(settings_of(site)))


@contextmanager
def fresh(suite: str) -> Iterator[Berry]:
    """A fresh machine of that suite with a copy of the checkout, where even python3-venv is missing."""
    with folder_of_run("playbooks-install.log") as folder, booted(folder, [("berry", "standalone", suite)]) as site:
        machine = site.machines["berry"]
        machine.ssh("apt-get purge --yes --auto-remove python3-venv")
        copy_checkout(machine)
        use_mirrors(site, machine)
        yield Berry(site, machine)


def fill_offline_folder(berry: Berry, suite: str) -> None:
    """Put packages and wheels into the user's home folder, the wheels with the command of the documents."""
    folder = berry.machine.system / "home" / USER / "offline"
    packages = folder / "packages"
    packages.mkdir(parents=True)
    system = roots.root(suite, datetime.now(UTC).date()).packages
    for package in [*system.iterdir(), *berry.site.vendor.pool.glob("*.deb")]:
        shutil.copy(package, packages)
    scan = ["dpkg-scanpackages", "--multiversion", "."]
    (packages / "Packages").write_bytes(subprocess.run(scan, cwd=packages, check=True, capture_output=True).stdout)
    page = (PROJECT / "docs" / "how-to" / "air-gapped.md").read_text()
    loop = re.search(r"^for extra in .*?^done$", page, re.MULTILINE | re.DOTALL)
    assert loop is not None
    command = loop[0].replace("aarch64", "x86_64").replace("3.13", wheels.PYTHONS[suite])
    command = command.replace("offline/wheels", str(folder / "wheels")).replace(
        ".venv/bin/pip", f"{sys.executable} -m pip"
    )
    subprocess.run(["sh", "-euc", command], cwd=PROJECT, check=True, capture_output=True)
    berry.machine.ssh(f"chown -R {USER}: /home/{USER}/offline")


@pytest.fixture(scope="module")
def berry() -> Iterator[Berry]:
    with fresh("trixie") as made:
        yield made


def name_host(machine: Machine, host: Machine) -> None:
    """Let a machine find another one as ``NAME.local``, as mDNS does."""
    hosts = machine.system / "etc/hosts"
    hosts.write_text(f"{hosts.read_text()}{host.address} {host.name}.local\n")


def let_in(guest: Berry, *hosts: Machine) -> None:
    """Give the user of one machine the way into others, by their names and with the key of the run."""
    folder = guest.machine.system / "home" / USER / ".ssh"
    known = (guest.site.folder / "known_hosts").read_text()
    for host in hosts:
        name_host(guest.machine, host)
        known = known.replace(f"{host.address} ", f"{host.name}.local ")
    (folder / "known_hosts").write_text(known)
    (folder / "id_ed25519").write_bytes((guest.site.folder / "key").read_bytes())
    (folder / "id_ed25519").chmod(0o600)
    guest.machine.ssh(f"chown -R {USER}: /home/{USER}/.ssh")


@contextmanager
def program(machine: Machine, name: str, script: str) -> Iterator[None]:
    """A program that root's PATH has before the system's own."""
    path = machine.system / "usr/local/bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    try:
        yield
    finally:
        path.unlink()


def refused(berry: Berry, command: str, *words: str) -> None:
    """The command ends with one sentence that has these words, and changes nothing."""
    before = berry.state()
    done = berry.typed(command, check=False)
    assert done.status != 0
    assert len(done.output.splitlines()) == 1
    assert done.output.startswith("install: ")
    for each in words:
        assert each in done.output
    assert berry.state() == before


def test_an_ordinary_user_without_sudo_is_refused(berry: Berry) -> None:
    refused(berry, "cd sensetig && ./install", "needs root", "sudo ./install")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--hup", ("--hup is not an option", "--help")),
        ("--site", ("--site needs a value",)),
        ("--site 'a\"b'", ("contains a quote",)),
        (
            "--offline /no/such/folder",
            ("/no/such/folder needs the folders packages and wheels", "docs/how-to/air-gapped.md"),
        ),
        ("--purge", ("--purge needs --uninstall",)),
        ("--edge-of 'hub.local; reboot'", ("is not the name of a hub",)),
        ("--edge-of nowhere.invalid", ("nowhere.invalid cannot be resolved",)),
        ("--edge-of hub.local --ticket /no/such/file", ("/no/such/file does not exist",)),
    ],
)
def test_a_wrong_option_is_refused(berry: Berry, options: str, words: tuple[str, ...]) -> None:
    refused(berry, f"{COMMAND} {options}", *words)


def test_an_operating_system_that_is_not_supported_is_refused(berry: Berry) -> None:
    berry.machine.ssh("cp --dereference /etc/os-release /root/os-release && rm /etc/os-release")
    try:
        for name, version in (("Debian GNU/Linux 11 (bullseye)", "ID=debian\nVERSION_ID=11"), ("Fedora", "ID=fedora")):
            (berry.machine.system / "etc/os-release").write_text(f'PRETTY_NAME="{name}"\n{version}\n')
            refused(berry, COMMAND, f"this is {name}", "Debian 12 (bookworm)")
    finally:
        berry.machine.ssh("mv /root/os-release /etc/os-release")


def test_a_32_bit_system_is_refused_unless_it_is_an_edge(berry: Berry) -> None:
    with program(berry.machine, "dpkg", "echo armhf"):
        refused(berry, COMMAND, "32-bit (armhf)", "--edge-of HOST")
        refused(berry, f"{COMMAND} --edge-of nowhere.invalid", "nowhere.invalid cannot be resolved")
    with program(berry.machine, "dpkg", "echo riscv64"):
        refused(berry, COMMAND, "riscv64", "arm64 or amd64")


def test_too_little_memory_or_disk_is_refused(berry: Berry) -> None:
    berry.machine.ssh("echo 'MemTotal:         430000 kB' > /run/meminfo && mount --bind /run/meminfo /proc/meminfo")
    try:
        refused(berry, COMMAND, "419 MB of memory", "700 MB", "--edge-of HOST")
    finally:
        berry.machine.ssh("umount /proc/meminfo")
    with program(berry.machine, "df", "echo Avail; echo 600000"):
        refused(berry, COMMAND, "585 MB free on /", "2000 MB", "free up space")


def test_a_port_in_use_is_refused(berry: Berry) -> None:
    berry.machine.ssh("systemd-run --unit=squatter --service-type=exec python3 -m http.server 8086")
    try:
        refused(berry, COMMAND, "port 8086 is in use by python3", "influxdb_port", "config.yml")
    finally:
        berry.machine.ssh("systemctl stop squatter")


def test_a_network_without_the_vendors_archives_is_refused(berry: Berry) -> None:
    config = berry.machine.system / "etc/sensetig/config.yml"
    saved = config.read_text()
    archives = {"influxdata": {"url": NOWHERE, "key": NOWHERE, "fingerprint": "0" * 40}}
    try:
        config.write_text(yaml.safe_dump({**settings_of(berry.site), "common_archives": archives}))
        refused(berry, COMMAND, NOWHERE, "cannot be downloaded", "check the network", "--offline FOLDER")
    finally:
        config.write_text(saved)


@pytest.fixture(scope="module")
def installed(berry: Berry) -> Done:
    """The first run, after those that were refused."""
    before = berry.megabytes()
    done = berry.install()
    print(f"./install took {done.seconds:.0f} s and {berry.megabytes() - before} MB")
    return done


def test_one_command_ends_with_a_page_whose_figures_are_right(berry: Berry, installed: Done) -> None:
    assert "Install InfluxDB 2 with the bundle's buckets, tasks and tokens" in installed.output
    assert "skip" not in installed.output
    assert "WARNING" not in installed.output
    for unit in ("influxdb", "telegraf", "mosquitto"):
        assert berry.machine.ssh(f"systemctl is-active {unit}", check=False).stdout.strip() == "active", unit
    assert reachable(berry.machine) == {22}
    assert berry.points() > 0


@pytest.mark.usefixtures("installed")
def test_a_second_run_changes_nothing_and_ends_with_the_same_page(berry: Berry) -> None:
    second = berry.install()
    print(f"the second ./install took {second.seconds:.0f} s")
    assert "Nothing had to be changed" in second.output


@pytest.mark.usefixtures("installed")
def test_the_playbook_by_hand_from_an_activated_environment_changes_nothing(berry: Berry) -> None:
    by_hand = berry.typed(
        "cd sensetig/ansible && . /opt/sensetig-installer/venv/bin/activate && sudo --preserve-env=PATH "
        'env PATH="$PATH" ansible-playbook site.yml -e @/etc/sensetig/config.yml'
    )
    assert "changed=0" in by_hand.output


@pytest.mark.usefixtures("installed")
def test_a_lone_machine_becomes_a_hub_with_an_edge_and_lone_again_with_its_data(berry: Berry) -> None:
    before = berry.points()
    berry.install("--hub")
    assert berry.points("berry") >= before
    assert {443, 8883, 8087} <= reachable(berry.machine)
    assert "Nothing had to be changed" in berry.install().output
    with berry.site.newcomer("attic", "trixie") as machine:
        machine.start()
        attic = Berry(berry.site, machine)
        copy_checkout(machine)
        use_mirrors(berry.site, machine)
        let_in(attic, berry.machine)
        refused(attic, f"{COMMAND} --edge-of berry.local --ticket README.md", "is not a firstrun.sh")
        attic.install(f"--edge-of {USER}@berry.local")
        assert berry.points("attic") > 0
        attic.install()
    between = berry.points("berry"), berry.points("attic")
    berry.install("--standalone")
    assert berry.points("berry") >= between[0]
    assert berry.points("attic") == between[1]
    assert reachable(berry.machine) == {22}


@pytest.mark.usefixtures("installed")
def test_the_dashboards_can_be_opened_to_the_network(berry: Berry) -> None:
    berry.install("--lan --site 'Upper shelf'")
    assert reachable(berry.machine) == {22, 443}
    assert 'common_site: "Upper shelf"' in (berry.machine.system / "etc/sensetig/config.yml").read_text()


@pytest.mark.usefixtures("installed")
def test_the_removal_leaves_the_data_and_then_nothing(berry: Berry) -> None:
    removed = berry.install("--uninstall")
    print(f"--uninstall took {removed.seconds:.0f} s; {berry.megabytes()} MB")
    assert berry.machine.ssh("ls -d /opt/sensetig* || true").stdout == ""
    assert berry.machine.ssh("test -s /var/lib/influxdb/influxd.bolt -a -s /etc/sensetig/config.yml").returncode == 0
    berry.install("--uninstall --purge")
    left = berry.machine.ssh("find / -xdev -iname '*sensetig*' -not -path '/home/*' -not -path '/proc/*'").stdout
    print(left)
    assert left == ""


def break_off(berry: Berry, options: str, task: str) -> None:
    """Run ``./install`` until its log has a task, and restart the machine then."""
    log = berry.machine.system / "var/log/sensetig-install.log"
    with subprocess.Popen(
        ["ssh", *berry.machine.ssh_options, f"{USER}@{berry.machine.address}", f"{COMMAND} {options}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        for attempt in eventually(900):
            with attempt:
                if process.poll() is None and not (log.exists() and task in log.read_text(errors="replace")):
                    raise NotYet(f"{task} is not in {log}")
        assert process.poll() is None, process.communicate()[0]
        berry.machine.reboot()
        process.communicate()
    assert process.returncode != 0


def test_an_installation_without_a_network_that_was_broken_off_is_completed_by_the_next_run() -> None:
    with fresh("bookworm") as berry:
        system = berry.machine.system
        for file in ("etc/pip.conf", "etc/apt/sources.list"):
            (system / file).write_text("")
        (system / "boot/firmware").mkdir(parents=True)
        (system / "boot/firmware/cmdline.txt").write_text("console=tty1 root=PARTUUID=12345678-02 rootwait\n")
        settings = settings_of(berry.site)
        del settings["common_archives"]
        settings["common_memory_cgroup"] = True
        (system / "etc/sensetig/config.yml").write_text(yaml.safe_dump(settings))
        fill_offline_folder(berry, "bookworm")
        break_off(berry, "--without-grafana --offline ~/offline", "collectors : Create the Python environment")
        done = berry.install()
        print(f"./install without a network took {done.seconds:.0f} s after it was broken off")
        assert berry.points() > 0
        line = "console=tty1 root=PARTUUID=12345678-02 rootwait cgroup_enable=memory\n"
        assert (system / "boot/firmware/cmdline.txt").read_text() == line
        assert "Nothing had to be changed" in berry.install().output
        check = berry.typed(
            "cd sensetig/ansible && sudo /opt/sensetig-installer/venv/bin/ansible-playbook site.yml --check "
            "-i /etc/sensetig/inventory.yml -e @/etc/sensetig/config.yml"
        )
        assert "changed=0" in check.output


@pytest.mark.parametrize("suite", ["noble"])
def test_one_command_installs_everything_on_ubuntu(suite: str) -> None:
    """Ubuntu differs from Debian in its Python, its packages' versions and its security defaults."""
    if reason := probe.obstacle([suite], datetime.now(UTC).date()):
        pytest.skip(reason)
    with fresh(suite) as berry:
        done = berry.install()
        print(f"./install took {done.seconds:.0f} s on {suite}")
        for unit in ("influxdb", "telegraf", "mosquitto"):
            assert berry.machine.ssh(f"systemctl is-active {unit}", check=False).stdout.strip() == "active", unit
        assert berry.points() > 0
        assert "Nothing had to be changed" in berry.install().output
        berry.install("--uninstall --purge")
