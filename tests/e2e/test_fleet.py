"""One hub and two edges: what the playbook makes of three fresh machines."""

from __future__ import annotations

from tests.e2e.site import Site


def test_the_machines_boot(site: Site) -> None:
    for name, machine in site.machines.items():
        assert machine.ssh("hostname").stdout.strip() == name
        assert machine.ssh("systemctl is-system-running", check=False).stdout.strip() == "running"
