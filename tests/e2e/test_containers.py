"""The containers for real: images by `make images`, compose.yaml with podman-compose, and every point accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.e2e import podman
from tests.e2e.conftest import folder_of_run
from tests.e2e.podman import Host, machine

T = TypeVar("T")

SIMULATED = ("setup", "influxdb", "mosquitto", "outbox", "telegraf-simulated", "camera-simulated", "numbers")
HUB = ("setup", "influxdb", "mosquitto", "outbox", "telegraf", "receiver", "proxy")
EDGE = ("outbox-edge", "telegraf-edge")
TELEGRAF = "telegraf-simulated"

#: Services that go on running; setup ends.
LASTING = tuple(name for name in SIMULATED if name != "setup")

_SECONDS = 600


def eventually(check: Callable[[], T]) -> T:
    """The result of a check, once it raises no AssertionError."""
    for attempt in Retrying(
        stop=stop_after_delay(_SECONDS),
        wait=wait_fixed(1),
        retry=retry_if_exception_type(AssertionError),
        reraise=True,
    ):
        with attempt:
            return check()
    raise AssertionError("unreachable")


@pytest.fixture(scope="module")
def run_folder() -> Iterator[Path]:
    with folder_of_run("containers.log") as folder:
        yield folder


@pytest.fixture(scope="module")
def images() -> None:
    podman.prepare(podman.today())
    # To try one test again: with SENSETIG_E2E_IMAGES=kept the images of the last run are taken.
    seconds = 0.0 if os.environ.get("SENSETIG_E2E_IMAGES") == "kept" else podman.build("latest")
    sizes = json.loads(podman.run("podman", "images", "--format", "json").stdout)
    ours = {name: round(each["Size"] / 1e6) for each in sizes for name in each.get("Names", ()) if "/sensetig-" in name}
    print(f"images in {seconds:.0f} s; megabytes: {ours}")


@pytest.fixture(scope="module")
def simulated(images: None, run_folder: Path) -> Iterator[Host]:
    del images
    files = [podman.FILES / "numbers.yaml"]
    numbers = str(podman.FILES / "numbers.py")
    settings = {"NUMBERS": numbers, "SENSETIG_SPOOLS": "camera vision"}
    with machine("simulated", run_folder, "simulated", SIMULATED, files, **settings) as host:
        host.up()
        began = time.monotonic()
        for measurement in ("environment", "cpu", "camera", "account"):
            eventually(lambda name=measurement: arrived(host, TELEGRAF, name, "simulated"))  # type: ignore[misc]
        print(f"all data arrived {time.monotonic() - began:.0f} s after `up`")
        yield host


def arrived(host: Host, service: str, measurement: str, device: str) -> None:
    rows = host.query(service, f'SHOW SERIES FROM "{measurement}"')
    assert any(f"host={device}," in f"{row[1]}," for row in rows), f"no {measurement} yet"


def number_written(host: Host) -> int:
    return int((host.volume("vision") / "last").read_text())


def stored(host: Host) -> tuple[int, int, int]:
    rows = host.query(TELEGRAF, "SELECT count(n), min(n), max(n) FROM account")
    return (0, 0, 0) if not rows else tuple(rows[0][2:])


def settle(host: Host) -> None:
    """Stop the source, and compare all that it has sent with all that is stored."""
    podman.run("podman", "stop", "--time", "30", host.container("numbers"))
    sent = number_written(host)

    def equal() -> None:
        assert stored(host) == (sent, 1, sent)

    eventually(equal)
    print(f"sent {sent}, stored {sent}")


def more(host: Host) -> None:
    """Wait until numbers that are written from now on have arrived."""
    before = number_written(host)

    def newer() -> None:
        assert stored(host)[2] > before

    eventually(newer)


def test_data_arrives(simulated: Host) -> None:
    (row,) = simulated.query(TELEGRAF, "SELECT last(temperature_raw_celsius) FROM environment WHERE simulated = 'true'")
    assert row[2] is not None
    more(simulated)


def test_the_collectors_report_the_machine_and_not_their_container(simulated: Host) -> None:
    def disks() -> None:
        found = {row[0]["path"] for row in simulated.query(TELEGRAF, "SELECT last(total) FROM disk GROUP BY path")}
        assert "/" in found

    eventually(disks)
    (row,) = simulated.query(TELEGRAF, "SELECT last(total) FROM disk WHERE path = '/'")
    fields = subprocess.run(["df", "--block-size=1", "--output=size", "/"], capture_output=True, text=True, check=True)
    assert row[2] == int(fields.stdout.split()[1])


@pytest.mark.parametrize("service", LASTING)
def test_a_service_has_no_root_no_capability_and_no_writable_root(service: str, simulated: Host) -> None:
    state = simulated.exec(service, "cat", "/proc/1/status")
    values = dict(line.split(":\t", 1) for line in state.splitlines() if ":\t" in line)
    assert "0" not in values["Uid"].split()
    if service != "numbers":
        assert int(values["CapEff"], 16) == int(values["CapBnd"], 16) == 0
        assert values["NoNewPrivs"].strip() == "1"
    assert simulated.exec(service, "sh", "-c", "touch /written /usr/written; echo $?", check=False).strip() == "1"


def test_no_secret_is_in_an_environment_a_description_or_a_log(simulated: Host) -> None:
    folder = simulated.volume("settings") / "tokens"
    secrets = {path.name: path.read_text().strip() for path in folder.iterdir() if path.name != "mqtt-users"}
    assert {"operator.token", "grafana.token", "mqtt-telegraf.password", "device-simulated.token"} <= set(secrets)
    shown = simulated.settings["COMPOSE_PROFILES"]
    for service in SIMULATED:
        name = simulated.container(service)
        shown += podman.run("podman", "inspect", name).stdout
        logs = podman.run("podman", "logs", name)
        shown += logs.stdout + logs.stderr
    for service in LASTING:
        shown += simulated.exec(service, "sh", "-c", "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'")
    assert [name for name, secret in secrets.items() if secret in shown] == []
    for service in ("telegraf-simulated", "camera-simulated", "outbox"):
        assert simulated.exec(service, "sh", "-c", "ls /etc/sensetig/tokens 2>&1; true").count("operator") == 0


@pytest.mark.parametrize("service", [name for name in LASTING if name != "numbers"])
def test_the_health_check_passes(service: str, simulated: Host) -> None:
    def healthy() -> None:
        done = simulated.inside("podman", "healthcheck", "run", simulated.container(service), check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    eventually(healthy)


def test_a_second_setup_changes_nothing(simulated: Host) -> None:
    said = simulated.compose("run", "--rm", "-T", "--no-deps", "setup").stdout
    assert "nothing to change" in said
    assert " made" not in said


def test_commands_of_the_page_run_in_the_containers(simulated: Host) -> None:
    command = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "setup")
    password = simulated.compose(*command, "/etc/sensetig/tokens/grafana-admin.password").stdout.strip()
    assert password == (simulated.volume("settings") / "tokens" / "grafana-admin.password").read_text().strip()

    def online() -> None:
        assert "online" in simulated.compose("exec", "-T", TELEGRAF, "sensetig", "status", check=False).stdout

    eventually(online)
    podman.run("make", "clean-images", "ENGINE=podman", cwd=podman.PROJECT)
    named = podman.run("podman", "images", "--format", "{{.Repository}}").stdout.split()
    assert {f"localhost/sensetig-{name}" for name in ("collectors", "camera", "vision", "proxy")} <= set(named)


def test_killed_and_restarted_services_lose_nothing(simulated: Host) -> None:
    more(simulated)
    for service in ("influxdb", TELEGRAF, "outbox", "mosquitto"):
        podman.run("podman", "kill", "--signal", "KILL", simulated.container(service))
        simulated.inside("podman", "start", simulated.container(service), check=False)
        more(simulated)
    settle(simulated)
    simulated.inside("podman", "start", simulated.container("numbers"))


def test_an_upgrade_loses_nothing(simulated: Host) -> None:
    more(simulated)
    podman.build("next", "--label=version=next")
    simulated.settings["SENSETIG_TAG"] = "next"
    simulated.up()
    image = podman.run("podman", "inspect", "--format", "{{.ImageName}}", simulated.container(TELEGRAF)).stdout
    assert image.strip().endswith("sensetig-collectors:next")
    more(simulated)
    settle(simulated)
    simulated.inside("podman", "start", simulated.container("numbers"))


def test_down_keeps_the_volumes_and_up_continues(simulated: Host) -> None:
    more(simulated)
    before = stored(simulated)[0]
    simulated.compose("down")
    assert podman.run("podman", "ps", "--all", "--quiet", "--filter", "name=^simulated_").stdout == ""
    assert simulated.volume("influxdb").is_dir()
    simulated.up()
    more(simulated)
    assert stored(simulated)[0] > before
    settle(simulated)


def test_the_state_of_the_containers_is_a_measurement(simulated: Host, run_folder: Path) -> None:
    socket = run_folder / "engine.sock"
    engine = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"], env=podman.environment())
    try:
        eventually(lambda: _exists(socket))
        socket.chmod(0o660)  # as systemd makes it
        simulated.settings.update(
            COMPOSE_PROFILES="simulated,status",
            SENSETIG_ENGINE_SOCKET=str(socket),
            SENSETIG_SPOOLS="camera vision container",
        )
        simulated.services = (*SIMULATED, "status")
        simulated.up()

        def running() -> None:
            rows = simulated.query(TELEGRAF, 'SELECT last(running), last(memory_bytes) FROM container GROUP BY "name"')
            found = {row[0]["name"]: row[2] for row in rows}
            assert {name: found.get(name) for name in LASTING} == dict.fromkeys(LASTING, 1)

        eventually(running)
    finally:
        engine.terminate()
        engine.wait()


def _exists(path: Path) -> None:
    assert path.exists()


def test_an_edge_writes_to_its_hub_until_it_is_revoked(images: None, run_folder: Path) -> None:
    del images
    with (
        machine("hub", run_folder, "hub", HUB, SENSETIG_HUB_NAME="10.178.0.1", SENSETIG_MQTT_TLS_PORT="8883") as hub,
        machine("attic", run_folder, "edge", EDGE, SENSETIG_HUB_URL="https://10.178.0.1:8443") as edge,
        podman.cable(hub, edge),
    ):
        hub.up()
        eventually(lambda: arrived(hub, "telegraf", "system", "hub"))
        setup = ("run", "--rm", "-T", "--no-deps", "setup")
        by_hand = ("--profile", "setup", *setup)
        key = edge.compose(*by_hand, "request").stdout
        assert "PUBLIC KEY" in key
        admitted = hub.compose(*setup, "admit", "attic", data=key.encode()).stdout
        edge.compose(*by_hand, "join", data=admitted.encode())
        edge.up()
        eventually(lambda: arrived(hub, "telegraf", "system", "attic"))

        refused = hub.compose(*setup, "admit", "../attic", data=key.encode(), check=False)
        assert refused.returncode != 0
        assert "is no device name" in refused.stderr

        hub.compose(*setup, "revoke", "attic")
        hub.compose("restart", "proxy", "mosquitto")

        def waits() -> None:
            said = edge.exec("outbox-edge", "cat", "/var/lib/sensetig-outbox/state.json")
            assert "403" in json.loads(said).get("reason", ""), said

        eventually(waits)
        edge.compose("down")
        named = ("podman", "volume", "ls", "--quiet", "--filter", "name=attic_")
        podman.run("podman", "volume", "rm", *podman.run(*named).stdout.split())
        assert podman.run(*named).stdout == ""
        assert hub.query("telegraf", "SELECT count(load1) FROM system WHERE host = 'hub'")
