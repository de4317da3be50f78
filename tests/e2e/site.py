"""The fleet of the tests: its machines, the archives that they install from, and its inventory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.engines import locate
from tests.e2e import archive, grafana, machines, roots, wheels
from tests.e2e.machines import Machine
from tests.e2e.playbook import PROJECT, Run, kill_at, play

#: The machines and their roles: a hub and an edge on the latest Debian, and an edge on the previous one.
FLEET = (("loft", "hub", "trixie"), ("hall", "edge", "trixie"), ("lab", "edge", "bookworm"))

#: Where the camera's HTTP control answers, on its own machine.
CAMERA_PORT = 8088


class Site(NamedTuple):
    """Booted machines, and the data that a playbook needs to reach them.

    Args:
        machines: by name.
        inventory: their inventory.
        config: the operator's variables.
        folder: keys and logs.
        vendor: the vendors' archive.
        network: the network that they are on.
        packages: address of the operating systems' packages.
    """

    machines: dict[str, Machine]
    inventory: Path
    config: dict[str, Any]
    folder: Path
    vendor: archive.Vendor
    network: machines.Network
    packages: str

    @contextmanager
    def newcomer(self, name: str, suite: str) -> Iterator[Machine]:
        """One more machine, which the playbook does not know, and which is not booted yet."""
        root = roots.root(suite, datetime.now(UTC).date())
        with machines.newcomer(
            self.network, name, root, self.folder, self.packages, list(self.machines.values())
        ) as made:
            yield made

    @property
    def settings(self) -> Path:
        """The file of the operator's variables."""
        return self.folder / "config.json"

    def write_config(self) -> None:
        """Write the operator's variables, for a playbook that is run by hand."""
        self.settings.write_text(json.dumps(self.config))

    def play(self, name: str = "site.yml", *options: str, **variables: object) -> Run:
        """Run a playbook, with other variables where some are given."""
        return play(name, self.inventory, {**self.config, **variables}, self.folder, options=options)

    def kill_at(self, words: str, name: str = "site.yml", **variables: object) -> str:
        """Run a playbook until it says these words, and then kill it."""
        return kill_at(words, name, self.inventory, {**self.config, **variables}, self.folder)


@contextmanager
def booted(run: Path, members: Sequence[tuple[str, str, str]] = FLEET, packages: Sequence[str] = ()) -> Iterator[Site]:
    """The fleet, booted, before the playbook has seen it.

    Args:
        run: an empty folder for its keys, disks and logs.
        members: name, group and suite of each machine.
        packages: further ones that its operating system has.
    """
    with machines.network() as net:
        today = datetime.now(UTC).date()
        systems = {suite: roots.root(suite, today) for suite in sorted({suite for _, _, suite in members})}
        if packages:
            systems = {
                suite: system._replace(folder=roots.extended(system, packages)) for suite, system in systems.items()
            }
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
        other = archive.Vendor(served / "grafana")
        shown = grafana.publish(os.environ, other.pool)
        other.publish()
        house = wheels.house(PROJECT, "mqtt,nats,outbox")
        with archive.served(served, net.here) as address:
            inventory = run / "inventory.json"
            booting = [(name, systems[suite]) for name, _, suite in members]
            with machines.fleet(net, booting, run, f"{address}/os") as fleet:
                inventory.write_text(json.dumps(_inventory(fleet, members)))
                config = {
                    "common_site": "e2e",
                    "common_archives": {
                        "influxdata": _archive(f"{address}/vendor", vendor),
                        "grafana": _archive(f"{address}/grafana", other),
                    },
                    # The operator's variables come before those of the inventory, unless they ask for them.
                    "collectors_wheelhouse": f"{{{{ e2e_wheels | default('{house}') }}}}",
                    "collectors_settings": {
                        "sensehat": {"backend": "simulated"},
                        "camera": {"backend": "simulated", "clips": False},
                    },
                    "mosquitto_users": ["plug"],
                    "telegraf_extra_collectors": ["random_data", "mqtt"],
                    "camera_control_port": CAMERA_PORT,
                    **_nats(),
                    "grafana_enabled": shown is not None,
                    **({} if shown is None else {"grafana_version": shown.version}),
                }
                yield Site(fleet, inventory, config, run, vendor, net, f"{address}/os")


def _archive(url: str, vendor: archive.Vendor) -> dict[str, str]:
    return {"url": url, "key": f"{url}/archive.key", "fingerprint": vendor.fingerprint}


def _nats() -> dict[str, Any]:
    """NATS from the cache of engines, since the older suite has none that is new enough."""
    found = locate("nats-server")
    assert found is not None, "nats-server is not there: run `sensetig engines nats-server` first"
    return {
        "nats_enabled": True,
        "nats_state": True,
        "nats_program": str(found.path),
        "nats_checksum": sha256(found.path.read_bytes()).hexdigest(),
        "nats_users": ["lab"],
    }


def _own(name: str) -> dict[str, Any]:
    """The settings specific to one machine: only one edge has a camera, because its libraries are large."""
    if name != "hall":
        return {}
    return {
        "mqtt_clients": ["agent", "camera"],
        "camera_enabled": True,
        "e2e_wheels": str(wheels.house(PROJECT, "camera,control,mqtt,outbox")),
    }


def _inventory(fleet: dict[str, Machine], members: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for name, group, _ in members:
        machine = fleet[name]
        options = " ".join(machine.ssh_options)
        variables = {
            "ansible_host": machine.address,
            "ansible_user": machines.USER,
            "ansible_ssh_common_args": options,
            **_own(name),
        }
        groups.setdefault(group, {"hosts": {}})["hosts"][name] = variables
    return groups
