"""One Pi with everything on it, which is the default: installed after all that went wrong before, in test_bad_input."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.machines import Machine
from tests.e2e.playbook import Run
from tests.e2e.site import Site
from tests.e2e.test_fleet import NotYet, ask, eventually, reachable


@pytest.fixture(scope="module")
def installed(alone: Site) -> Run:
    """The first run that is not interrupted."""
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
    # Values from the command line are text, even those that look like booleans.
    second = alone.play("site.yml", "-e", "mosquitto_enabled=true", "-e", "camera_enabled=false")
    assert second.status == 0, second.output[-6000:]
    print(f"the second run on one machine took {second.seconds:.0f} s")
    assert second.changed() == {"solo": 0}


def _doctor(solo: Machine, *options: str) -> tuple[int, dict[str, Any]]:
    done = solo.ssh(f"/opt/sensetig/venv/bin/sensetig doctor --json {' '.join(options)}", check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _wrong(document: dict[str, Any]) -> dict[str, list[str]]:
    """The findings to act on, by check."""
    return {
        each["name"]: [finding["text"] for finding in each["findings"]]
        for each in document["checks"]
        if each["level"] == "act"
    }


@pytest.mark.usefixtures("installed")
def test_the_page_of_the_installation_counts_its_points(alone: Site) -> None:
    done = alone.machines["solo"].ssh("/opt/sensetig/venv/bin/sensetig info --json --wait 60s")
    page = json.loads(done.stdout)
    assert page["points_last_minute"]["system"] > 0
    assert page["problem"] is None
    assert len(page["next"]) == 3


@pytest.mark.usefixtures("installed")
def test_the_doctor_finds_nothing_wrong(alone: Site) -> None:
    solo = alone.machines["solo"]
    for attempt in eventually():
        with attempt:
            began = time.monotonic()
            status, document = _doctor(solo)
            seconds = time.monotonic() - began
            if status:
                raise NotYet(str(_wrong(document)))
    print(f"the doctor took {seconds:.1f} s: {[(each['name'], each['level']) for each in document['checks']]}")
    fine = {each["name"] for each in document["checks"] if each["level"] == "good"}
    assert {
        "site",
        "settings",
        "services",
        "telegraf",
        "influxdb",
        "operator-token",
        "read-token",
        "write-tokens",
    } <= fine
    assert {"write-path", "buckets", "fresh", "writes", "losses", "tasks"} <= fine


@pytest.mark.usefixtures("installed")
def test_the_doctor_finds_a_stopped_service_and_starts_it(alone: Site) -> None:
    solo = alone.machines["solo"]
    solo.ssh("systemctl stop telegraf")
    status, document = _doctor(solo)
    assert (status, _wrong(document)["services"]) == (3, ["telegraf.service is stopped"])
    solo.ssh("/opt/sensetig/venv/bin/sensetig doctor --fix --yes", check=False)
    assert solo.ssh("systemctl is-active telegraf", check=False).stdout.strip() == "active"


@pytest.mark.usefixtures("installed")
def test_no_secret_of_the_machine_is_in_its_support_bundle(alone: Site) -> None:
    solo = alone.machines["solo"]
    solo.ssh("/opt/sensetig/venv/bin/sensetig support-bundle --output /root/support.tar.gz")
    text = solo.ssh("tar --extract --gzip --to-stdout --file /root/support.tar.gz").stdout
    assert "telegraf.service" in text
    secrets = solo.ssh(
        "for file in /etc/sensetig/tokens/*.token /etc/sensetig/tokens/*.password; do cat $file; echo; done"
    ).stdout.split()
    assert len(secrets) >= 4
    assert [secret[:4] for secret in secrets if secret in text] == []
