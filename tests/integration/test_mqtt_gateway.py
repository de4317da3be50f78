"""The gateway with real broker, Telegraf and InfluxDB: each message becomes points once, devices are isolated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from sensetig.demo.testbed import ports
from tests.integration import gateway as gateways
from tests.integration import mosquitto
from tests.integration.conftest import InfluxDB
from tests.integration.gateway import USERS, Gateway, Heard, client, publish, until
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.engines

#: 2026-11-21T10:00:00Z, in seconds.
NOON = 1_795_255_200


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto.shipped(tmp_path_factory.mktemp("broker"), USERS) as each:
        yield each


@pytest.fixture(scope="module")
def hub(
    telegraf: Path, broker: Mosquitto, influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with gateways.running(telegraf, broker, influxdb, tmp_path_factory.mktemp("hub")) as each:
        yield each


def _awaited(hub: Gateway, measurement: str, where: str, count: int) -> list[dict[str, Any]]:
    until(lambda: len(hub.rows(measurement, where)) >= count)
    return [dict(row) for row in hub.rows(measurement, where)]


def test_json_a_batch_and_lines_arrive_as_points_each_once(broker: Mosquitto, hub: Gateway) -> None:
    with client(broker, "hall") as hall:
        publish(hall, "sensetig/hall/telemetry/arrives", json.dumps({"n": 1, "time": NOON, "tags": {"sensor": "a"}}))
        batch = [{"n": number, "time": NOON + number} for number in range(2, 5)]
        publish(hall, "sensetig/hall/telemetry/arrives", json.dumps(batch))
        publish(hall, "sensetig/hall/telemetry", f"arrives n=5 {NOON + 5}000000000\narrives n=6 {NOON + 6}000000000")
        rows = _awaited(hub, "arrives", "device = 'hall'", 6)
    assert sorted(row["n"] for row in rows) == [1, 2, 3, 4, 5, 6]
    assert {row["time"] for row in rows} == {(NOON + each) * 10**9 for each in (0, 2, 3, 4, 5, 6)}
    assert all(row["host"] and row["site"] for row in rows)


def test_messages_of_tasmota_and_zigbee2mqtt_arrive_as_their_measurements(broker: Mosquitto, hub: Gateway) -> None:
    with client(broker, "plug") as plug, client(broker, "zigbee2mqtt") as bridge:
        meter = {"Time": "2026-11-21T10:59:46", "Epoch": NOON, "ENERGY": {"Total": 3.185, "Power": 42}}
        publish(plug, "tele/plug/SENSOR", json.dumps(meter))
        seen = {"temperature": 21.5, "battery": 97, "last_seen": NOON * 1000}
        publish(bridge, "zigbee2mqtt/window", json.dumps(seen))
        [energy] = _awaited(hub, "energy", "device = 'plug'", 1)
        [climate] = _awaited(hub, "environment", "device = 'window'", 1)
    assert (energy["power_watts"], energy["time"]) == (42, NOON * 10**9)
    assert (climate["temperature_raw_celsius"], climate["sensor"]) == (21.5, "zigbee")


def test_a_broken_message_is_counted_with_its_topic_and_the_next_is_read(broker: Mosquitto, hub: Gateway) -> None:
    topic = "sensetig/cellar/telemetry/survives"
    broken = {
        "truncated_json": b'{"n": 1',
        "not_utf8": b"\xff\xfe\x00\x01",
        "wrong_type": b'{"n": [1]}',
        "too_large": b"x" * 1_000_000,
        "foreign_device": b'{"n": 1, "tags": {"device": "hall"}}',
    }
    with client(broker, "cellar") as cellar:
        for payload in broken.values():
            publish(cellar, topic, payload)
        publish(cellar, topic, json.dumps([{"n": 1, "time": NOON}, "rubbish"]))
        publish(cellar, "sensetig/cellar/telemetry/a/b", "{}")
        publish(cellar, topic, json.dumps({"n": 2, "time": NOON + 1}))
        rows = _awaited(hub, "survives", "device = 'cellar'", 2)
        refused = _awaited(hub, "telemetry_rejected", f"topic =~ /^sensetig.cellar/ AND time > {NOON}s", 7)
    assert [row["n"] for row in rows] == [1, 2]
    counts = {(str(row["topic"]), str(row["reason"])): row["count"] for row in refused if row["reason"] != "wrong_type"}
    assert counts == {
        **{(topic, reason): 1 for reason in broken if reason != "wrong_type"},
        ("sensetig/cellar/telemetry/a/b", "unknown_topic"): 1,
    }
    assert len([row for row in refused if row["reason"] == "wrong_type"]) == 2


def test_a_device_that_is_killed_is_offline_by_its_last_will(broker: Mosquitto, hub: Gateway) -> None:
    script = (
        "import sys\nfrom tests.integration.gateway import client, publish\n"
        "class Broker:\n    port = int(sys.argv[1])\n"
        "with client(Broker(), 'hall', will=('sensetig/hall/status', 'offline'), keepalive=60) as hall:\n"
        '    publish(hall, \'sensetig/hall/status\', \'{"status": "online", "firmware": "7"}\', retain=True)\n'
        "    print('published', flush=True)\n    sys.stdin.read()\n"
    )
    device = subprocess.Popen(
        [sys.executable, "-c", script, str(broker.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert device.stdout is not None
        assert device.stdout.readline() == b"published\n"
        [online] = _awaited(hub, "device_status", "device = 'hall'", 1)
        assert (online["status"], online["firmware"]) == ("online", "7")
    finally:
        os.kill(device.pid, signal.SIGKILL)
        device.communicate(timeout=240)
    rows = _awaited(hub, "device_status", "device = 'hall'", 2)
    assert rows[-1]["status"] == "offline"


def test_a_device_can_neither_write_as_another_nor_read_others(broker: Mosquitto, hub: Gateway) -> None:
    with (
        client(broker, "hall") as hall,
        client(broker, "cellar") as cellar,
        client(broker, "sensetig-telegraf") as reader,
    ):
        allowed = Heard(reader, "sensetig/+/telemetry/#")
        spying = Heard(hall, "sensetig/cellar/telemetry/#")
        everything = Heard(hall, "#")
        publish(hall, "sensetig/cellar/telemetry/forged", "{}")
        publish(hall, "sensetig/cellar/status", "offline")
        publish(hall, "tele/cellar/SENSOR", "{}")
        publish(hall, "sensetig/cellar/command/ping", "{}")
        publish(cellar, "sensetig/cellar/telemetry/true", json.dumps({"n": 1}))
        publish(hall, "sensetig/hall/telemetry", "true n=1")
        until(lambda: len(allowed.topics) >= 2, 240)
        assert sorted(allowed.topics) == ["sensetig/cellar/telemetry/true", "sensetig/hall/telemetry"]
        assert spying.topics == everything.topics == []
    assert hub.rows("forged", "time > 0") == []


#: Topics below which a device publishes, with the place of its name.
OWN = (
    "sensetig/{}/telemetry",
    "sensetig/{}/telemetry/room",
    "sensetig/{}/status",
    "sensetig/{}/result/1",
    "tele/{}/SENSOR",
    "tele/{}/LWT",
    "tele/{}/0x1234/SENSOR",
    "stat/{}/RESULT",
    "esphome/{}/sensor/temperature/state",
    "esphome/{}/status",
)

#: Topics of bridges, operators and the broker.
OTHERS = (
    "sensetig/{}/command/ping",
    "cmnd/{}/POWER",
    "zigbee2mqtt/{}",
    "zigbee2mqtt/{}/availability",
    "homeassistant/sensor/{}/state",
    "homeassistant/{}/hall/state",
    "{}",
    "/{}",
    "sensetig/{}",
    "tele//{}/SENSOR",
    "$SYS/{}",
)


def _allowed(broker: Mosquitto, user: str, topics: list[str]) -> set[str]:
    """The topics that the broker lets a user publish on."""
    answers: dict[int, bool] = {}
    with client(broker, user) as sender:
        sender.on_publish = lambda _client, _data, number, reason, _properties: answers.update(
            {number: not reason.is_failure}
        )
        sent = {sender.publish(topic, "{}", qos=1).mid: topic for topic in topics}
        until(lambda: answers.keys() >= sent.keys(), 30)
    return {topic for number, topic in sent.items() if answers[number]}


def test_a_device_publishes_under_its_own_name_alone_in_every_family_of_topics(tmp_path: Path) -> None:
    with mosquitto.shipped(tmp_path, USERS) as broker:
        topics = [topic.format(name) for topic in (*OWN, *OTHERS) for name in ("hall", "cellar", "hall/cellar", "Hall")]
        allowed = _allowed(broker, "hall", topics)
        assert {topic for topic in allowed if topic.split("/")[1] != "hall"} == set()
        assert {topic.format("hall") for topic in OWN} <= allowed
        assert not {topic.format("hall") for topic in OTHERS} & allowed


def test_commands_reach_their_device_alone_and_its_answers_the_operator(broker: Mosquitto) -> None:
    with (
        client(broker, "hall") as hall,
        client(broker, "cellar") as cellar,
        client(broker, "operator") as operator,
    ):
        own = Heard(hall, "sensetig/hall/command/+")
        others = Heard(cellar, "sensetig/hall/command/+")
        answers = Heard(operator, "sensetig/+/result/+")
        publish(cellar, "sensetig/hall/command/ping", "{}")
        publish(operator, "sensetig/hall/command/ping", "{}")
        until(lambda: bool(own.topics), 240)
        publish(hall, "sensetig/hall/result/a1", "{}")
        publish(cellar, "sensetig/hall/result/a2", "{}")
        publish(hall, "sensetig/hall/result/a3", "{}")
        until(lambda: len(answers.topics) >= 2, 240)
        assert own.topics == ["sensetig/hall/command/ping"]
        assert others.topics == []
        assert answers.topics == ["sensetig/hall/result/a1", "sensetig/hall/result/a3"]


def test_a_last_will_of_another_device_is_not_published(tmp_path: Path) -> None:
    with mosquitto.shipped(tmp_path, USERS) as own, client(own, "telegraf") as reader:
        heard = Heard(reader, "sensetig/+/status")
        with client(own, "hall", will=("sensetig/cellar/status", "offline")) as hall:
            connection: Any = hall.socket()
            connection.shutdown(socket.SHUT_RDWR)  # as a lost network: the broker publishes the will
        with client(own, "cellar") as cellar:
            publish(cellar, "sensetig/cellar/status", "online")
        until(lambda: bool(heard.topics), 240)
        assert heard.topics == ["sensetig/cellar/status"]


@pytest.mark.parametrize("user", ["+", "#"])
def test_a_user_named_like_a_wildcard_cannot_write_for_others(tmp_path: Path, user: str) -> None:
    with mosquitto.shipped(tmp_path, {**USERS, user: "secret"}) as own, client(own, "telegraf") as reader:
        heard = Heard(reader, "sensetig/+/telemetry/#")
        wild = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        wild.username_pw_set(user, "secret")
        wild.connect("127.0.0.1", own.port)
        wild.loop_start()
        try:
            wild.publish("sensetig/cellar/telemetry/forged", "{}", qos=1)
            with client(own, "cellar") as cellar:
                publish(cellar, "sensetig/cellar/telemetry/true", "{}")
            until(lambda: bool(heard.topics), 240)
        finally:
            wild.disconnect()
            wild.loop_stop()
        assert heard.topics == ["sensetig/cellar/telemetry/true"]


@pytest.mark.parametrize("password", [None, "wrong"])
def test_who_gives_no_name_or_a_wrong_password_is_refused(broker: Mosquitto, password: str | None) -> None:
    told: list[str] = []
    stranger = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    stranger.on_connect = lambda _client, _data, _flags, reason, _properties: told.append(str(reason))
    if password is not None:
        stranger.username_pw_set("hall", password)
    stranger.connect("127.0.0.1", broker.port)
    stranger.loop_start()
    try:
        until(lambda: bool(told), 240)
    finally:
        stranger.disconnect()
        stranger.loop_stop()
    assert told[0] == "Not authorized"


def test_no_other_user_takes_over_the_session_of_telegraf(broker: Mosquitto, hub: Gateway) -> None:
    """Its queue would be deleted with it: the client id of every client is its user's name."""
    subscriptions = broker.subscriptions(gateways.GATEWAY)
    with client(broker, "plug", client_id="telegraf") as plug, client(broker, "hall", client_id="sensetig-telegraf"):
        publish(plug, "sensetig/plug/telemetry/taken_over", '{"n": 1}')
        _awaited(hub, "taken_over", "device = 'plug'", 1)
    assert broker.subscriptions(gateways.GATEWAY) == subscriptions


def test_a_second_client_of_a_user_takes_the_place_of_the_first(broker: Mosquitto) -> None:
    with client(broker, "cellar", client_id="one") as first:
        gone: list[str] = []
        first.on_disconnect = lambda _client, _data, _flags, reason, _properties: gone.append(str(reason))
        with client(broker, "cellar", client_id="two"):
            until(lambda: bool(gone), 240)
    assert gone


def test_the_age_of_the_oldest_unconfirmed_message_is_a_metric(broker: Mosquitto, hub: Gateway) -> None:
    started = time.time_ns()  # gateways of other tests have written to this database, too
    with client(broker, "hall") as hall:
        publish(hall, "sensetig/hall/telemetry/confirmed", '{"n": 1}')
        _awaited(hub, "confirmed", "device = 'hall'", 1)
        rows = _awaited(hub, "mqtt_gateway", f"time > {started}", 2)
    assert all(0 <= row["unconfirmed_seconds"] < 240 for row in rows)
    assert all(row["unconfirmed_messages"] >= 0 for row in rows)


def test_devices_of_the_network_come_in_over_tls_alone(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine: install it to make a certificate for the broker")
    certificates = tmp_path / "certs"
    certificates.mkdir()
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            str(certificates / "server.key"),
            "-out",
            str(certificates / "server.crt"),
        ],
        check=True,
        capture_output=True,
        timeout=240,
    )
    port = ports.any_free()
    with mosquitto.shipped(tmp_path, USERS, tls_port=port) as own, client(own, "plug", client_id="hall") as plug:
        told: list[str] = []
        gone: list[str] = []
        plug.on_disconnect = lambda _client, _data, _flags, reason, _properties: gone.append(str(reason))
        # Each with the client id of the other, whose session it does not get.
        device = Client(CallbackAPIVersion.VERSION2, client_id="plug", protocol=MQTTv5)
        device.on_connect = lambda _client, _data, _flags, reason, _properties: told.append(str(reason))
        device.username_pw_set("hall", USERS["hall"])
        device.tls_set(ca_certs=str(certificates / "server.crt"))
        device.connect("localhost", port)
        device.loop_start()
        try:
            until(lambda: bool(told), 240)
            publish(plug, "sensetig/plug/status", "online")
        finally:
            device.disconnect()
            device.loop_stop()
        assert told[0] == "Success"
        assert gone == [], "its session was taken over"
        with pytest.raises(ssl.SSLError), socket.create_connection(("localhost", port), timeout=120) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
