"""The machines, archives and the first run of the playbook, which all tests share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock

from sensetig.engines import locate
from tests.e2e import archive, machines, roots, wheels
from tests.e2e.machines import Machine
from tests.e2e.playbook import PROJECT, Run, play

#: The machines and what they are: a hub and an edge of the newest Debian, and an edge of the one before.
FLEET = (("hub", "hub", "trixie"), ("hall", "edge", "trixie"), ("lab", "edge", "bookworm"))

_NEEDED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ssh-keygen": "openssh-client"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Machines are booted when they are asked for: it takes minutes, and root."""
    reason = "" if os.environ.get("SENSETIG_E2E") else "boots machines, which `make e2e` does"
    if not reason and os.geteuid() != 0:
        reason = "booting machines takes root"
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


class Site(NamedTuple):
    """Booted machines, and what a playbook needs to reach them.

    Args:
        machines: by name.
        inventory: their inventory.
        config: the operator's variables.
        folder: keys, logs.
        vendor: the vendors' archive.
    """

    machines: dict[str, Machine]
    inventory: Path
    config: dict[str, Any]
    folder: Path
    vendor: archive.Vendor

    def play(self, name: str = "site.yml", *options: str, **variables: object) -> Run:
        """Run a playbook, with other variables where some are given."""
        return play(name, self.inventory, {**self.config, **variables}, self.folder, options=options)


@pytest.fixture(scope="session")
def run() -> Iterator[Path]:
    """A folder on the disk that the cache is on; an overlay cannot be stacked on every other."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=roots.cache()))
    try:
        yield folder
    finally:
        log = folder / "playbooks.log"
        if log.exists():
            shutil.copy(log, roots.cache() / "playbooks.log")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def site(run: Path) -> Iterator[Site]:
    """The fleet, booted, before the playbook has seen it."""
    missing = {package for program, package in _NEEDED.items() if shutil.which(program) is None}
    if missing:
        subprocess.run(["apt-get", "install", "--yes", "--quiet", *sorted(missing)], check=True, timeout=600)
    with FileLock(roots.cache() / "network.lock", timeout=1800), machines.network():
        today = datetime.now(UTC).date()
        systems = {suite: roots.root(suite, today) for suite in sorted({suite for _, _, suite in FLEET})}
        served = run / "served"
        archive.operating_system(served / "os", list(systems.values()))
        vendor = archive.Vendor(served / "vendor")
        for name, version, content, engine in (
            ("telegraf", "1.39.3-1", archive.telegraf, "telegraf"),
            ("influxdb2", "2.9.1-1", archive.influxdb, "influxd"),
        ):
            found = locate(engine)
            assert found is not None, f"{engine} is not there: run `make engines` first"
            archive.deb(name, version, content(found.path), vendor.pool)
        vendor.publish()
        with archive.served(served, machines.HERE) as address:
            inventory = run / "inventory.json"
            with machines.fleet([(name, systems[suite]) for name, _, suite in FLEET], run, f"{address}/os") as booted:
                inventory.write_text(json.dumps(_inventory(booted)))
                config = {
                    "common_site": "e2e",
                    "common_archives": {
                        "influxdata": {
                            "url": f"{address}/vendor",
                            "key": f"{address}/vendor/archive.key",
                            "fingerprint": vendor.fingerprint,
                        }
                    },
                    "collectors_wheelhouse": str(wheels.house(PROJECT, "mqtt")),
                    "collectors_settings": {"sensehat": {"backend": "simulated"}},
                    "grafana_enabled": False,
                }
                yield Site(booted, inventory, config, run, vendor)


def _inventory(booted: dict[str, Machine]) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for name, group, _ in FLEET:
        machine = booted[name]
        options = " ".join(machine.ssh_options)
        variables = {"ansible_host": machine.address, "ansible_user": machines.USER, "ansible_ssh_common_args": options}
        groups.setdefault(group, {"hosts": {}})["hosts"][name] = variables
    return groups


@pytest.fixture(scope="session")
def checked(site: Site) -> Run:
    """The playbook in check mode, on machines that it has never seen."""
    return site.play("site.yml", "--check", "--diff")


@pytest.fixture(scope="session")
def installed(site: Site, checked: Run) -> Run:
    """The first run of the playbook."""
    del checked  # it comes first, since it is about fresh machines
    first = site.play()
    assert first.status == 0, first.output[-6000:]
    return first
