"""Invalid input is rejected with a message before anything changes, and an interrupted installation resumes."""

from __future__ import annotations

import json

import pytest

from tests.e2e.playbook import Run
from tests.e2e.site import Site

NOWHERE = "http://127.0.0.1:9/archive.key"


def refused(alone: Site, run: Run, *words: str) -> None:
    """The run failed with these words in one message, and has changed nothing on the machine."""
    message = " ".join(run.output.split())
    assert run.status != 0, run.output[-3000:]
    for each in words:
        assert each in message, run.output[-3000:]
    assert run.changed() == {"solo": 0}
    assert alone.machines["solo"].ssh("test -e /etc/sensetig -o -e /opt/sensetig", check=False).returncode == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"influxdb_port": "http"}, ("influxdb_port", "http")),
        ({"telegraf_collectors": {"system": True}}, ("telegraf_collectors", "list")),
        ({"telegraf_buffer": "tape"}, ("telegraf_buffer", "memory, disk")),
        (
            {"grafana_enabled": True, "grafana_admin_password": "short"},
            ("grafana_admin_password has fewer than 12 characters",),
        ),
        ({"common_free_megabytes": 999_999_999}, ("MB left on /", "999999999 MB", "free up space first")),
        ({"collectors_settings": {"sensehat": {"backend": "hat"}}}, ("solo has no Sense HAT", "simulated")),
        ({"collectors_wheelhouse": "/no/such/folder"}, ("/no/such/folder does not exist",)),
        ({"telegraf_interval": "10"}, ("telegraf_interval", "a number with a unit, such as 10s")),
        (
            {"common_archives": {"influxdata": {"url": NOWHERE, "key": NOWHERE, "fingerprint": "0" * 40}}},
            ("solo cannot download", NOWHERE, "common_packages_folder"),
        ),
    ],
    ids=["type", "type-of-list", "choice", "password", "disk", "hat", "wheels", "interval", "archive"],
)
def test_bad_input_is_refused_before_anything_is_changed(
    alone: Site, variables: dict[str, object], words: tuple[str, ...]
) -> None:
    refused(alone, alone.play("site.yml", **variables), *words)


def test_a_port_in_use_is_reported_with_its_user(alone: Site) -> None:
    solo = alone.machines["solo"]
    solo.ssh("systemd-run --unit=squatter --service-type=exec python3 -m http.server 8086")
    try:
        refused(alone, alone.play(), "the port 8086 of solo is taken by python3", "influxdb_port")
    finally:
        solo.ssh("systemctl stop squatter")


def test_a_processor_unsupported_by_influxdb_is_reported(alone: Site) -> None:
    """Linux says of itself that it is of 32 bits to whom it is asked to; so it is asked by Ansible's Python."""
    solo = alone.machines["solo"]
    solo.ssh("printf '#!/bin/sh\\nexec setarch i686 /usr/bin/python3 \"$@\"\\n' > /usr/local/bin/python-i686")
    solo.ssh("chmod 755 /usr/local/bin/python-i686")
    told = alone.folder / "i686.json"
    interpreter = {"ansible_python_interpreter": "/usr/local/bin/python-i686"}
    told.write_text(json.dumps({"standalone": {"hosts": {"solo": interpreter}}}))
    run = alone.play("site.yml", "-i", str(told))
    refused(alone, run, "solo has a kernel for i386", "put this Pi into the group edge")


def test_an_untested_operating_system_is_reported(alone: Site) -> None:
    solo = alone.machines["solo"]
    solo.ssh("cp --dereference /etc/os-release /root/os-release && rm /etc/os-release")
    solo.ssh(
        "sed 's/VERSION_ID=.*/VERSION_ID=\"11\"/; s/trixie/bullseye/g; s/13/11/g' /root/os-release > /etc/os-release"
    )
    solo.ssh("cp /etc/debian_version /root/ && echo 11.9 > /etc/debian_version")
    try:
        refused(alone, alone.play(), "solo has Debian 11", "12 (bookworm) or later")
    finally:
        solo.ssh("mv /root/os-release /etc/os-release && mv /root/debian_version /etc/debian_version")


def test_a_changed_key_of_a_vendor_is_not_trusted(alone: Site) -> None:
    """Verifying the key needs packages that the playbook installs first, so this run is partial; the next resumes."""
    changed = {name: {**each, "fingerprint": "0" * 40} for name, each in alone.config["common_archives"].items()}
    run = alone.play("site.yml", common_archives=changed)
    assert run.status != 0
    message = " ".join(run.output.split())
    assert f"has the primary fingerprint {alone.vendor.fingerprint}, and not {'0' * 40}" in message
    solo = alone.machines["solo"]
    assert solo.ssh("test -e /etc/apt/keyrings/influxdata.asc", check=False).returncode == 1
    assert "vendor" not in solo.ssh("cat /etc/apt/sources.list.d/* 2>/dev/null", check=False).stdout
    assert solo.ssh("dpkg-query --show telegraf influxdb2", check=False).stdout == ""


@pytest.mark.parametrize("task", ["influxdb : Install the package]", "telegraf : Create the token]"])
def test_the_next_run_resumes_a_killed_one(alone: Site, task: str) -> None:
    """The proof is the run that follows, in test_standalone: it ends well, and one more changes nothing."""
    assert task in alone.kill_at(task).splitlines()[-1]
