"""One Pi with everything on it, which is the default: installed after all that went wrong before, in test_bad_input."""

from __future__ import annotations

import pytest

from tests.e2e.playbook import Run
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, ask, eventually, reachable


@pytest.fixture(scope="module")
def installed(alone: Site) -> Run:
    """The first run that is let go to its end."""
    done = alone.play()
    assert done.status == 0, done.output[-6000:]
    print(f"one machine, which runs that were killed had begun, took {done.seconds:.0f} s")
    return done


@pytest.mark.usefixtures("installed")
def test_everything_runs_and_nothing_but_ssh_can_be_reached(alone: Site) -> None:
    solo = alone.machines["solo"]
    for unit in ("influxdb", "telegraf", "mosquitto"):
        assert solo.ssh(f"systemctl is-active {unit}", check=False).stdout.strip() == "active", unit
    assert reachable(solo) == {22}


@pytest.mark.usefixtures("installed")
def test_its_own_points_are_in_its_own_database(alone: Site) -> None:
    solo = alone.machines["solo"]
    path = "/query?db=raw&q=SELECT%20count(uptime)%20FROM%20system"
    for attempt in eventually():
        with attempt:
            status, text = ask(solo, "/etc/sensetig/tokens/grafana.token", "GET", path)
            if status != 200 or "series" not in text:
                raise NotYet(f"InfluxDB answers {status}: {text}")


@pytest.mark.usefixtures("installed")
def test_a_second_run_changes_nothing(alone: Site) -> None:
    # What is said on the command line is text, even where it means yes or no.
    second = alone.play("site.yml", "-e", "mosquitto_enabled=true", "-e", "camera_enabled=false")
    assert second.status == 0, second.output[-6000:]
    print(f"the second run on one machine took {second.seconds:.0f} s")
    assert second.changed() == {"solo": 0}
