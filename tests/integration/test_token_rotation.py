"""Tokens on a real InfluxDB: changed while a device writes, listed, revoked; a rotation may end at any point."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import urllib3
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion

from sensetig import bundle
from sensetig.__main__ import main
from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from sensetig.errors import SetupError
from sensetig.influxdb.credentials import Credentials
from sensetig.influxdb.names import device_description, device_file, next_description, next_file
from sensetig.influxdb.prepare import setup
from sensetig.influxdb.server import Server
from sensetig.security import revocation, tokens
from sensetig.security.hub import Hub as Place
from tests.integration.mosquitto import shipped

pytestmark = pytest.mark.engines


class Hub:
    """An InfluxDB, set up, and the folder of its tokens."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def setup(self, *devices: str) -> tuple[str, ...]:
        return setup(
            self.url,
            organisation="sensetig",
            user="sensetig",
            tokens=self.folder,
            definitions=bundle.root() / "influxdb",
            say=lambda _: None,
            devices=devices,
        ).changes

    def run(self, *arguments: str) -> str:
        """What `sensetig` says; it must succeed."""
        result = CliRunner().invoke(main, [*arguments, "--url", self.url, "--tokens", str(self.folder)])
        assert result.exit_code == 0, result.output
        return result.output

    def token(self, name: str) -> str:
        return (self.folder / name).read_text()

    def write(self, token: str, line: str) -> int:
        return urllib3.request(
            "POST",
            f"{self.url}/api/v2/write?org=sensetig&bucket=raw",
            body=line,
            headers={"Authorization": f"Token {token}"},
        ).status

    def numbers(self, host: str) -> list[int]:
        answer: Any = urllib3.request(
            "GET",
            f"{self.url}/query",
            fields={"q": f"SELECT number FROM rotation WHERE host = '{host}'", "db": "raw"},  # noqa: S608
            headers={"Authorization": f"Token {self.token('grafana.token')}"},
        ).json()
        return sorted(int(row[1]) for row in answer["results"][0]["series"][0]["values"])

    def server(self) -> Server:
        server = Server(self.url, wait_seconds=60, say=lambda _: None)
        server.sign_in(self.token("operator.token"))
        server.enter("sensetig")
        return server


@pytest.fixture(scope="module")
def hub(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One InfluxDB for the module; each test uses a separate device."""
    folder = tmp_path_factory.mktemp("rotation")
    identity, url = local_influxdb.start(influxd, folder / "data", ports.any_free(), folder / "influxd.log")
    try:
        made = Hub(url, folder / "tokens")
        made.setup()
        yield made
    finally:
        processes.stop([identity])


class Device(threading.Thread):
    """Write a numbered point every 20 ms, record the rejected ones, and accept a new token at any time."""

    def __init__(self, hub: Hub, name: str) -> None:
        super().__init__()
        self.hub, self.device = hub, name
        self.token = hub.token(device_file(name))
        self.sent = 0
        self.refused: list[int] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            self.sent += 1
            status = self.hub.write(self.token, f"rotation,host={self.device} number={self.sent}i {time.time_ns()}")
            if status != 204:
                self.refused.append(status)


def test_a_device_that_writes_all_the_time_loses_no_point_while_its_token_changes(hub: Hub) -> None:
    hub.setup("busy")
    old = hub.token("device-busy.token")
    device = Device(hub, "busy")
    device.start()
    try:
        assert "busy has a new token as well as the old one" in hub.run("token", "rotate", "--begin", "busy")
        new = hub.token("device-busy.token.next")
        device.token = new
        since = time.time()
        said = hub.run("token", "rotate", "--finish", "--since", str(since), "--wait", "180", "busy")
    finally:
        device.stop.set()
        device.join()
    assert "busy writes with its new token; the old one is revoked" in said
    assert device.refused == []
    assert hub.numbers("busy") == list(range(1, device.sent + 1))
    assert hub.token("device-busy.token") == new != old
    assert hub.write(old, "rotation,host=stolen number=1i") == 401
    assert hub.setup("busy") == ()


def test_without_a_point_that_proves_it_the_old_token_holds(hub: Hub) -> None:
    hub.setup("silent")
    old = hub.token("device-silent.token")
    hub.run("token", "rotate", "--begin", "silent")
    hub.write(old, "rotation,host=silent number=1i")  # measured before it was handed over
    arguments = ["token", "rotate", "--finish", "--since", str(time.time() + 1), "--wait", "0.2", "silent"]
    result = CliRunner().invoke(main, [*arguments, "--url", hub.url, "--tokens", str(hub.folder)])
    assert result.exit_code == 1
    assert "the old token still holds" in result.output
    assert hub.write(old, "rotation,host=silent number=2i") == 204
    assert hub.setup("silent") == ()
    assert "silent has a new token already" in hub.run("token", "rotate", "--begin", "silent")


@pytest.mark.parametrize("done", range(4))
def test_a_rotation_that_ended_between_its_last_steps_is_taken_up(hub: Hub, done: int) -> None:
    name = f"cut-{done}"
    hub.setup(name)
    with hub.server() as server, Credentials(hub.folder) as credentials:
        tokens.begin(server, credentials, name)
        new = hub.token(next_file(name))
        # The first *done* steps of finish, as if the power failed after them.
        old = device_description(name)
        if done > 0:
            credentials.write(device_file(name), new)
        if done > 1:
            for each in server.tokens(old):
                server.delete_token(each.id)
        if done > 2:
            for each in server.tokens(next_description(name)):
                server.describe_token(each.id, old)
    assert hub.setup(name) == (), "the playbook in between changes nothing, and breaks nothing"
    kept = hub.token(device_file(name))
    assert hub.write(kept, f"rotation,host={name} number=1i") == 204
    said = hub.run("token", "rotate", "--begin", name)
    assert ("already" in said) == (done < 3)
    hub.write(hub.token(next_file(name)), f"rotation,host={name} number=2i")
    hub.run("token", "rotate", "--finish", "--since", "0", "--wait", "180", name)
    assert not (hub.folder / next_file(name)).exists()
    assert hub.write(hub.token(device_file(name)), f"rotation,host={name} number=3i") == 204
    with hub.server() as server:
        assert len(server.tokens(old)) == 1
        assert server.tokens(next_description(name)) == []


def test_tokens_are_listed_with_their_faults_and_never_shown(hub: Hub) -> None:
    hub.setup("listed", "rotates", "refused", *(f"many-{number}" for number in range(30)))
    hub.run("token", "rotate", "--begin", "rotates")
    (hub.folder / "device-refused.token").write_text("not-the-right-one")
    said = hub.run("token", "list")
    states = {line.split()[0]: line.split(maxsplit=2)[2] for line in said.splitlines()}
    assert (states["listed"], states["rotates"], states["refused"]) == ("holds", "rotates", "refused")
    assert all(states[f"many-{number}"] == "holds" for number in range(30))
    for file in hub.folder.iterdir():
        assert file.read_text() not in said


def test_a_revoked_token_is_refused_and_the_others_go_on(hub: Hub) -> None:
    hub.setup("stolen", "honest")
    stolen = hub.token("device-stolen.token")
    hub.run("token", "rotate", "--begin", "stolen")
    waiting = hub.token("device-stolen.token.next")
    assert "the token of stolen is revoked" in hub.run("token", "revoke", "stolen")
    for token in (stolen, waiting):
        assert hub.write(token, "rotation,host=stolen number=1i") == 401
    assert hub.write(hub.token("device-honest.token"), "rotation,host=honest number=1i") == 204
    assert "nothing to change" in hub.run("token", "revoke", "stolen")


class Client:
    """A device at the broker, which does not come back by itself."""

    def __init__(self, port: int, name: str, password: str) -> None:
        self.accepted, self.ended = threading.Event(), threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, reconnect_on_failure=False)
        self._client.username_pw_set(name, password)
        self._client.on_connect = self._answered
        self._client.on_disconnect = lambda *_: self.ended.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _answered(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, data, flags, properties
        if not reason.is_failure:
            self.accepted.set()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.reinitialise()  # closes the sockets that wake its thread, which stopping leaves open


def test_a_lost_pi_is_revoked_wholly_while_it_is_connected_and_others_go_on(hub: Hub, tmp_path: Path) -> None:
    hub.setup("lost", "kept")
    token = hub.token("device-lost.token")
    (hub.folder / "mqtt-lost.password").write_text("secret-1")
    (hub.folder / "mqtt-lost-agent.password").write_text("secret-3")
    place = Place(tmp_path)
    for folder in (place.passwords.parent, place.authority, place.inventory, place.pending, place.accepted):
        folder.mkdir(parents=True)
    place.programs("lost").parent.mkdir(parents=True)
    place.programs("lost").write_text("user lost-agent\ntopic write sensetig/lost/status\n")
    with shipped(place.passwords.parent, {"lost": "secret-1", "kept": "secret-2", "lost-agent": "secret-3"}) as broker:
        program = Client(broker.port, "lost-agent", "secret-3")
        assert program.accepted.wait(120)
        lost, kept = Client(broker.port, "lost", "secret-1"), Client(broker.port, "kept", "secret-2")
        assert lost.accepted.wait(120)
        assert kept.accepted.wait(120)
        with hub.server() as server, Credentials(hub.folder) as credentials:
            done = revocation.revoke(place, server, credentials, "lost", datetime.now(UTC), broker.reload)
            assert done == ["its place among the trusted devices", "its InfluxDB token", "its MQTT password"]
            assert lost.ended.wait(120), "it is still connected"
            assert program.ended.wait(120), "its agent is still connected"
            assert not place.programs("lost").exists()
            assert not (hub.folder / "mqtt-lost-agent.password").exists()
            assert revocation.revoke(place, server, credentials, "lost", datetime.now(UTC), broker.reload) == []
        again = Client(broker.port, "lost", "secret-1")
        assert again.ended.wait(120)
        assert not again.accepted.is_set()
        assert not kept.ended.is_set()
        for client in (lost, kept, again, program):
            client.close()
    assert hub.write(token, "rotation,host=lost number=1i") == 401
    assert hub.write(hub.token("device-kept.token"), "rotation,host=kept number=1i") == 204
    assert revocation.take_back(place, "lost") is True
    assert revocation.take_back(place, "lost") is False


def test_a_failed_rotation_is_reported_in_one_sentence(hub: Hub) -> None:
    with hub.server() as server, Credentials(hub.folder) as credentials:
        with pytest.raises(SetupError, match=r"there is no token of nobody in .* that could be rotated"):
            tokens.begin(server, credentials, "nobody")
        assert tokens.finish(server, credentials, "nobody") is False
