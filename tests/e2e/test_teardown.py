"""The remains after the playbook has removed everything; these tests run last."""

from __future__ import annotations

import pytest

from tests.e2e.site import Site


@pytest.mark.usefixtures("installed")
def test_teardown_keeps_the_data_by_default(site: Site) -> None:
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
