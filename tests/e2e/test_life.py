"""The life of an installed fleet: manual changes, upgrades, backups, a checkout under test, and removal.

The tests use the existing installation, and restore it afterwards.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensetig.engines import locate
from tests.e2e import archive
from tests.e2e.machines import USER, Machine
from tests.e2e.playbook import ANSIBLE, PROJECT
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, ask, eventually, flux

pytestmark = pytest.mark.usefixtures("installed")

GRAFANA = "/etc/sensetig/tokens/grafana.token"
BACKUPS = "/var/lib/sensetig-backup/backups"


def version(machine: Machine) -> str:
    return machine.ssh("sensetig --version").stdout.split()[-1]


def count(hub: Machine, query: str) -> int:
    """The one number that an InfluxQL query gives; 0 where it gives none."""
    status, text = ask(hub, GRAFANA, "POST", "/query?db=raw", f"q={query}", "application/x-www-form-urlencoded")
    assert status == 200, text
    series = json.loads(text)["results"][0].get("series")
    return int(series[0]["values"][0][1]) if series else 0


def writes(site: Site, name: str, since: int) -> None:
    """Wait until a machine has written what its collector has measured since a time."""
    for attempt in eventually():
        with attempt:
            query = f"SELECT count(uptime) FROM system WHERE host = '{name}' AND time >= {since}s"  # noqa: S608
            if not count(site.machines["loft"], query):
                raise NotYet(f"{name} has not written since {since}")


def checkout(folder: Path, version: str) -> Path:
    """A copy of the sources of the wheel, with that version."""
    for each in ("collectors", "sensetig", "engines", "grafana", "influxdb", "mosquitto", "systemd", "telegraf"):
        shutil.copytree(PROJECT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
    for each in ("pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt"):
        shutil.copy(PROJECT / each, folder / each)
    (folder / "ansible").mkdir()
    shutil.copy(ANSIBLE / "development.sh", folder / "ansible")
    init = folder / "collectors" / "__init__.py"
    init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text()))
    return folder


def wheel(source: Path, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(into), str(source)]
    subprocess.run(command, check=True, timeout=300)
    (made,) = into.glob("*.whl")
    return made


def test_manual_changes_are_reported_and_then_repaired(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_DISPLAY_OK_HOSTS", "no")
    hall, file = site.machines["hall"], "/etc/telegraf/telegraf.d/system.conf"
    hall.ssh(f"echo '# by hand' >> {file}")
    told = site.play("site.yml", "--check", "--diff", "--tags", "telegraf")
    assert told.status == 0, told.output[-4000:]
    assert told.changed() == {"loft": 0, "hall": 1, "lab": 0}
    assert "-# by hand" in told.output
    assert hall.ssh(f"grep -c 'by hand' {file}").stdout.strip() == "1", "a report changes nothing"
    repaired = site.play("site.yml", "--tags", "telegraf")
    assert repaired.status == 0, repaired.output[-4000:]
    assert hall.ssh(f"grep -c 'by hand' {file}", check=False).stdout.strip() == "0"


def test_a_newer_version_reaches_every_machine(site: Site, tmp_path: Path) -> None:
    newer = wheel(checkout(tmp_path / "newer", "9.0.0"), tmp_path / "wheels")
    upgraded = site.play("upgrade.yml", collectors_wheel=str(newer))
    assert upgraded.status == 0, upgraded.output[-6000:]
    print(f"the upgrade of three machines took {upgraded.seconds:.0f} s")
    for name, machine in site.machines.items():
        assert version(machine) == "9.0.0", name
        assert machine.ssh("test -e /var/lib/sensetig-upgrade", check=False).returncode == 1


def test_a_version_that_does_not_work_stops_at_its_first_machine_which_goes_back(site: Site, tmp_path: Path) -> None:
    source = checkout(tmp_path / "broken", "9.0.1")
    module = source / "collectors" / "system" / "__init__.py"
    # On the hub it works, so that the edges have their turn.
    broken = "\nimport os\nif os.uname().nodename != 'loft':\n    raise ImportError('broken on purpose')\n"
    module.write_text(module.read_text() + broken)
    stopped = site.play(
        "upgrade.yml", collectors_wheel=str(wheel(source, tmp_path / "wheels")), upgrade_health_seconds=60
    )
    assert stopped.status != 0
    assert "hall does not write system" in stopped.output
    versions = {name: version(machine) for name, machine in site.machines.items()}
    assert versions == {"loft": "9.0.1", "hall": "9.0.0", "lab": "9.0.0"}
    assert "lab" not in stopped.recap, "it was not even looked at"
    writes(site, "hall", int(time.time()))
    versions_there = site.machines["hall"].ssh("ls /opt/sensetig/versions | wc -l").stdout
    assert int(versions_there) <= 2, "what failed is removed"


def test_an_engine_is_upgraded_and_goes_back(site: Site) -> None:
    engine = locate("telegraf")
    assert engine is not None
    archive.deb("telegraf", "1.39.3-2", archive.telegraf(engine.path), site.vendor.pool)
    site.vendor.publish()
    for wanted in ("1.39.3-2", "1.39.3-1"):
        done = site.play("upgrade.yml", "--limit", "loft,hall", telegraf_version=wanted)
        assert done.status == 0, done.output[-6000:]
        for name in ("loft", "hall"):
            there = site.machines[name].ssh("dpkg-query --showformat '${Version} ${db:Status-Want}' --show telegraf")
            assert there.stdout == f"{wanted} hold", name
    # And with this, the collectors are those of the checkout again.
    assert site.play("site.yml", "--tags", "collectors").status == 0


def test_a_checkout_runs_within_seconds_until_the_next_playbook(site: Site, tmp_path: Path) -> None:
    hall = site.machines["hall"]
    before = version(hall)
    source = checkout(tmp_path / "tried", "9.9.9")
    ssh = " ".join(("ssh", *hall.ssh_options))
    command = ["make", "--no-print-directory", "deploy", f"HOST={USER}@{hall.address}", f"SSH={ssh}"]
    for turn in ("first", "second"):
        started = time.monotonic()
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=300)
        print(f"the {turn} make deploy took {time.monotonic() - started:.1f} s")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "9.9.9" in done.stdout
    assert version(hall) == "9.9.9"
    writes(site, "hall", int(time.time()))
    assert site.play("site.yml", "--tags", "collectors").status == 0
    assert version(hall) == before


def newest(machine: Machine) -> str:
    return machine.ssh(f"ls -t {BACKUPS}/sensetig-* | head -1").stdout.strip()


def test_lost_data_of_the_hub_is_restored(site: Site, tmp_path: Path) -> None:
    hub = site.machines["loft"]
    begin = int(time.time()) - 7200
    line = "\n".join(f"life,host=loft v={each} {begin + each}" for each in range(100))
    written = ask(hub, "/etc/sensetig/tokens/operator.token", "POST",
                  "/api/v2/write?org=sensetig&bucket=hourly&precision=s", line)  # fmt: skip
    assert written[0] == 204
    token = hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout
    started = time.monotonic()
    hub.ssh("systemctl start sensetig-backup", timeout=600)
    print(f"the backup took {time.monotonic() - started:.1f} s")
    file = newest(hub)
    assert hub.ssh(f"stat -c '%a %U' {file}").stdout.split() == ["600", "sensetig-backup"]
    backup = tmp_path / "backup.tar"
    backup.touch(0o600)
    with backup.open("wb") as into:
        subprocess.run(
            ["ssh", *hub.ssh_options, f"{USER}@{hub.address}", f"sudo cat {file}"], stdout=into, check=True, timeout=120
        )
    hub.ssh(
        "systemctl stop influxdb telegraf; rm -rf /var/lib/influxdb/* /etc/sensetig/tokens; systemctl start influxdb"
    )
    restored = site.play("restore.yml", "--tags", "influxdb,mosquitto,grafana,telegraf", restore_file=str(backup))
    assert restored.status == 0, restored.output[-6000:]
    print(f"restore.yml took {restored.seconds:.0f} s")
    assert hub.ssh("cat /etc/sensetig/tokens/device-hall.token").stdout == token
    query = 'from(bucket: "hourly") |> range(start: -1d) |> filter(fn: (r) => r._measurement == "life") |> count()'
    status, text = flux(hub, GRAFANA, query)
    assert status == 200, text
    assert ",100," in text
    for name, machine in site.machines.items():
        assert machine.ssh("systemctl is-active telegraf").stdout.strip() == "active"
        writes(site, name, int(time.time()))
    if site.config["grafana_enabled"]:
        assert hub.ssh("systemctl is-active grafana-server").stdout.strip() == "active"


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Path]:
    """An OpenPGP certificate whose secret key is not needed."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "operator", "default", "default"], check=True, timeout=120)
    file = tmp_path / "operator.asc"
    file.write_bytes(subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout)
    yield file
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True, timeout=30)


def test_a_backup_is_copied_elsewhere_encrypted_and_a_failure_shows(site: Site, certificate: Path) -> None:
    hub, other = site.machines["loft"], site.machines["lab"]
    other.ssh("apt-get install --yes --quiet rsync")
    address, known = other.address, (site.folder / "known_hosts").read_text()
    settings = {
        "backup_encrypt_to": str(certificate),
        "backup_copy_to": f"{USER}@{address}:",
        "backup_copy_host_key": next(line for line in known.splitlines() if line.startswith(address)),
    }
    played = site.play("site.yml", "--tags", "backup", **settings)
    assert played.status == 0, played.output[-4000:]
    refused = hub.ssh("systemctl start sensetig-backup", check=False)
    assert refused.returncode != 0
    assert hub.ssh("systemctl is-failed sensetig-backup").stdout.strip() == "failed"
    assert "could not be copied" in hub.ssh("journalctl --no-pager -u sensetig-backup -n 20").stdout
    public = hub.ssh("cat /etc/sensetig/backup/key.pub").stdout.strip()
    allowed = f'restrict,command="rrsync -wo /home/{USER}/backups" {public}'
    other.ssh(
        f"install -d -o {USER} -m 700 /home/{USER}/backups; echo '{allowed}' >> /home/{USER}/.ssh/authorized_keys"
    )
    hub.ssh("systemctl start sensetig-backup", timeout=600)
    name = Path(newest(hub)).name
    assert name.endswith(".tar.gpg")
    there = other.ssh(f"ls -l /home/{USER}/backups/{name}").stdout
    assert there.startswith("-rw-------"), there
    assert site.play("site.yml", "--tags", "backup").status == 0


def test_nothing_that_is_no_longer_needed_stays_on_the_disk(site: Site) -> None:
    for machine in site.machines.values():
        machine.ssh("mkdir -p /opt/sensetig/versions/interrupted; touch /var/cache/apt/archives/old_1_all.deb")
    cleaned = site.play("site.yml", "--tags", "cleanup")
    assert cleaned.status == 0, cleaned.output[-4000:]
    for name, machine in site.machines.items():
        left = machine.ssh("ls /opt/sensetig/versions /var/cache/apt/archives").stdout
        assert "interrupted" not in left, name
        assert ".deb" not in left, name
        assert len(machine.ssh("ls /opt/sensetig/versions").stdout.split()) <= 2, name
        assert "SystemMaxUse" in machine.ssh("cat /etc/systemd/journald.conf.d/sensetig.conf").stdout, name


#: Of ours, by its name; what apt, dpkg and the journal remember is theirs.
_OURS = (
    r"find / -xdev \( -path /proc -o -path /var/lib/dpkg -o -path /var/log -o -path /var/lib/apt -o -path /var/cache "
    r"-o -path /run -o -path /home -o -path /usr/share/doc -o -path /usr/lib/python3 \) -prune -o "
    r"-regextype posix-extended -iregex '.*(sensetig|telegraf|influx).*' -print"
)


def test_an_installation_after_a_teardown_finds_its_data(site: Site) -> None:
    hub = site.machines["loft"]
    query = f"SELECT count(uptime) FROM system WHERE time < {int(time.time())}s"  # noqa: S608
    before = count(hub, query)
    assert before > 0
    for turn in ("first", "second"):
        torn = site.play("teardown.yml")
        assert torn.status == 0, torn.output[-6000:]
        if turn == "second":
            assert torn.changed() == dict.fromkeys(site.machines, 0), torn.output[-6000:]
    for name, machine in site.machines.items():
        left = set(machine.ssh(_OURS).stdout.split())
        kept = ("/etc/sensetig", "/etc/influxdb", "/etc/default/influxdb2", "/var/lib/influxdb", "/var/lib/sensetig",
                "/var/lib/telegraf", "/etc/mosquitto/sensetig", "/var/lib/private/sensetig-report")  # fmt: skip
        assert [path for path in left if not path.startswith(kept)] == [], name
        units = machine.ssh("systemctl list-unit-files --no-legend 'sensetig*' 'telegraf*' 'influx*'", check=False)
        assert units.stdout == "", name
    again = site.play()
    assert again.status == 0, again.output[-6000:]
    assert count(hub, query) >= before
