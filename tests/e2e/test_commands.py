"""Every command on the installed hub by its defaults, with no option that says where anything is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from tests.e2e import wheels
from tests.e2e.machines import Machine
from tests.e2e.playbook import PROJECT, Run
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, eventually

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="module")
def hub(installed: Run, site: Site) -> Machine:
    """The hub, once it has points of every machine."""
    del installed
    machine = site.machines["loft"]
    for attempt in eventually():
        with attempt:
            done = machine.ssh("sensetig status --json", check=False)
            if done.returncode not in (0, 3):
                raise NotYet(done.stderr)
            if missing := set(site.machines) - {each["name"] for each in json.loads(done.stdout)["devices"]}:
                raise NotYet(f"there is nothing of {sorted(missing)}")
    return machine


def test_help_needs_nothing_that_is_not_installed(site: Site) -> None:
    for machine in site.machines.values():
        said = machine.ssh("sensetig --help && sensetig camera tune --help && sensetig calibrate --help")
        assert said.stdout.count("Usage: sensetig") == 3
        assert said.stderr == ""


def test_status_shows_every_machine(hub: Machine, site: Site) -> None:
    done = hub.ssh("sensetig status", check=False)
    assert done.returncode in (0, 3), done.stderr
    assert all(name in done.stdout for name in site.machines)


def test_status_without_sudo_says_sudo_and_on_an_edge_names_the_hub(hub: Machine, site: Site) -> None:
    told = hub.ssh(f"su pi -c {shlex.quote('sensetig status')}", check=False)
    assert told.returncode == 1
    assert "/etc/sensetig/tokens/grafana.token cannot be read: Permission denied; run this with sudo" in told.stderr
    edge = site.machines["hall"].ssh("sensetig status", check=False)
    assert edge.returncode == 1
    assert "run this on the hub, loft" in edge.stderr


def test_retire_takes_a_machine_out_of_service_and_back(hub: Machine) -> None:
    assert "is retired" in hub.ssh("sensetig retire lab").stdout
    assert "is in service again" in hub.ssh("sensetig retire --back lab").stdout


def test_token_lists_a_valid_token_of_every_machine(hub: Machine, site: Site) -> None:
    states = {line.split()[0]: line.split()[2] for line in hub.ssh("sensetig token list").stdout.splitlines()}
    assert {name: states.get(name) for name in site.machines} == dict.fromkeys(site.machines, "holds")


def test_setup_has_nothing_to_change(hub: Machine) -> None:
    assert hub.ssh("sensetig setup").stdout.startswith("nothing to change\n")


def test_live_has_nothing_to_change_and_wall_makes_its_playlist_once(hub: Machine, site: Site) -> None:
    if not site.config["grafana_enabled"]:
        pytest.skip("there is no Grafana to install")
    assert hub.ssh("sensetig live").stdout.startswith("nothing to change\n")
    assert "it plays at https://loft/playlists/play/sensetig-wall" in hub.ssh("sensetig wall").stdout
    assert hub.ssh("sensetig wall").stdout.startswith("nothing to change\n")


@pytest.fixture(scope="module")
def equipped(hub: Machine, site: Site) -> Iterator[Machine]:
    """The hub with the libraries of reports and calibrations."""

    def play(**variables: object) -> None:
        done = site.play("site.yml", "--tags", "collectors", "--limit", "loft", **variables)
        assert done.status == 0, done.output[-6000:]

    extras = "mqtt,nats,report,calibration"
    play(collectors_extras=extras, e2e_wheels=str(wheels.house(PROJECT, extras)))
    yield hub
    play()


def test_report_is_written(equipped: Machine) -> None:
    said = equipped.ssh("cd /root && rm -f loft_*.html && sensetig report --device loft", timeout=300).stdout
    assert said.startswith("loft_")
    assert "<!DOCTYPE html>" in equipped.ssh("head -c 200 /root/loft_*.html").stdout


def test_calibrate_takes_readings_of_influxdb(equipped: Machine) -> None:
    typed = "printf '20\\n\\n' | sensetig calibrate loft --readings influxdb --dry-run"
    done = equipped.ssh(typed, timeout=300)
    assert "this would be added to /etc/sensetig/calibrations/loft.toml" in done.stdout
