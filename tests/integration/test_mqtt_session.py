"""The MQTT session at a real broker: presence, resumed sessions, renewed subscriptions, refusals."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.messaging.broker import Broker
from collectors.messaging.session import Delivery, ErrorQueue, Message, Presence, Session, SessionConfig
from tests.integration import mosquitto
from tests.integration.mqtt_support import BOUND_SECONDS, Peer

CONFIG = SessionConfig("device", ("sensetig/device/command/+",), session_seconds=3600)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[mosquitto.Mosquitto]:
    (tmp_path / "broker").mkdir()
    with mosquitto.running(tmp_path / "broker") as made:
        yield made


@pytest.fixture
def peer(broker: mosquitto.Mosquitto) -> Iterator[Peer]:
    made = Peer(broker.port, ("sensetig/#", "status"))
    yield made
    made.close()


class Running:
    """A started session with its received messages."""

    def __init__(self, port: int, config: SessionConfig = CONFIG) -> None:
        self.errors = ErrorQueue()
        self.messages: queue.Queue[Message] = queue.Queue()
        self.connections: queue.Queue[tuple[bool, str]] = queue.Queue()
        self.session = Session(Broker("127.0.0.1", port, tls=False), config, self.errors)
        self.session.start(self.messages.put, lambda *state: self.connections.put(state))

    def ready(self) -> None:
        """Wait until the session is subscribed."""
        assert self.session.subscribed.wait(BOUND_SECONDS)

    def message(self) -> Message:
        """The next message."""
        return self.messages.get(timeout=BOUND_SECONDS)

    def reconnected(self) -> None:
        """Wait until the connection was lost, and is there again."""
        while self.connections.get(timeout=BOUND_SECONDS) != (False, ""):
            pass
        while self.connections.get(timeout=BOUND_SECONDS) != (True, ""):
            pass
        self.ready()

    def sentences(self) -> list[str]:
        """The errors since the last call."""
        found: list[str] = []
        self.errors.drain(found.append)
        return found


def test_the_status_is_published_at_each_connection_and_offline_at_the_stop(
    broker: mosquitto.Mosquitto, peer: Peer
) -> None:
    running = Running(broker.port, CONFIG._replace(presence=Presence("status", b"online", b"offline")))
    assert peer.await_message(lambda got: got.topic == "status").payload == b"online"
    broker.stop()  # which publishes the last will
    broker.start()
    running.reconnected()
    peer.await_message(lambda got: got.payload == b"online")
    assert running.session.stop(BOUND_SECONDS)
    peer.await_message(lambda got: got.payload == b"offline")
    assert not running.session._connected
    lost = [sentence for sentence in running.sentences() if "cannot be reached" not in sentence]
    assert len(lost) == 1
    assert lost[0].startswith(f"lost the connection to the broker 127.0.0.1:{broker.port}: ")


def test_the_last_will_alone_leaves_the_status_to_the_caller(broker: mosquitto.Mosquitto, peer: Peer) -> None:
    running = Running(broker.port, CONFIG._replace(presence=Presence("status", None, b"offline")))
    running.ready()
    assert running.session.stop(BOUND_SECONDS)
    peer.publish("sensetig/last", b"")
    assert peer.messages.get(timeout=BOUND_SECONDS).topic == "sensetig/last", "neither a status nor the last will"


def test_a_message_comes_again_until_it_is_acknowledged(broker: mosquitto.Mosquitto, peer: Peer) -> None:
    running = Running(broker.port)
    running.ready()
    peer.publish("sensetig/device/command/a", b"1")
    first = running.message()
    broker.stop()
    broker.start()
    running.reconnected()
    second = running.message()
    assert (first.payload, second.payload) == (b"1", b"1")
    assert not running.session.is_current(first)
    running.session.acknowledge(first)  # does nothing
    assert running.session.stop(BOUND_SECONDS)

    running = Running(broker.port)
    third = running.message()
    assert third.payload == b"1", "the session outlives the process"
    running.session.acknowledge(third)
    running.ready()
    assert running.session.stop(BOUND_SECONDS)

    running = Running(broker.port)
    running.ready()
    peer.there()
    peer.publish("sensetig/device/command/a", b"2")
    assert running.message().payload == b"2"
    running.session.stop(BOUND_SECONDS)


def test_subscriptions_are_renewed_in_a_session_that_has_lost_them(broker: mosquitto.Mosquitto, peer: Peer) -> None:
    running = Running(broker.port)
    running.ready()
    # Two clients of one name would end each other's connection repeatedly.
    assert running.session.stop(BOUND_SECONDS)
    other = Client(CallbackAPIVersion.VERSION2, CONFIG.client_id, protocol=MQTTv5)
    gone: queue.Queue[None] = queue.Queue()
    other.on_connect = lambda client, *_: client.unsubscribe(CONFIG.topics[0])
    other.on_unsubscribe = lambda *_: gone.put(None)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    other.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)
    other.loop_start()
    gone.get(timeout=BOUND_SECONDS)
    other.disconnect()
    other.loop_stop()
    other.reinitialise()  # closes the sockets that wake its thread, which stopping leaves open
    running = Running(broker.port)
    running.ready()
    peer.publish("sensetig/device/command/a", b"1")
    assert running.message().payload == b"1"
    running.session.stop(BOUND_SECONDS)


def test_a_retained_message_comes_once_per_subscription(broker: mosquitto.Mosquitto, peer: Peer) -> None:
    peer.publish("sensetig/device/command/kept", b"1", retain=True)
    running = Running(broker.port)
    kept = running.message()
    assert (kept.payload, kept.retained) == (b"1", True)
    running.session.acknowledge(kept)
    running.ready()
    broker.stop()
    broker.start()
    running.reconnected()
    peer.there()
    peer.publish("sensetig/device/command/a", b"2")
    assert running.message().payload == b"2"
    running.session.stop(BOUND_SECONDS)


@pytest.mark.usefixtures("peer")
def test_the_answer_says_whether_there_are_subscribers(broker: mosquitto.Mosquitto) -> None:
    running = Running(broker.port)
    running.ready()
    deliveries: queue.Queue[Delivery] = queue.Queue()
    assert running.session.publish("sensetig/heard", b"1", deliveries.put)
    assert deliveries.get(timeout=BOUND_SECONDS) == Delivery("")
    assert running.session.publish("elsewhere", b"1", deliveries.put)
    assert deliveries.get(timeout=BOUND_SECONDS) == Delivery("", no_subscribers=True)
    assert running.session.drain(BOUND_SECONDS) == 0
    running.session.stop(BOUND_SECONDS)
    assert running.sentences() == []


def test_a_refused_connection_is_reported_by_its_reason_alone(tmp_path: Path) -> None:
    with mosquitto.running(tmp_path, open_to_all=False) as broker:
        running = Running(broker.port)
        sentence = f"the broker 127.0.0.1:{broker.port} refuses the connection: Not authorized"
        for _ in range(2):
            assert running.connections.get(timeout=BOUND_SECONDS) == (False, sentence)
        assert running.session.stop(BOUND_SECONDS)
        assert set(running.sentences()) == {sentence}
        assert not running.session._connected


def test_a_stop_waits_no_longer_than_it_may(broker: mosquitto.Mosquitto) -> None:
    running = Running(broker.port, CONFIG._replace(presence=Presence("status", b"online", b"offline")))
    running.ready()
    assert broker._process is not None
    process = broker._process.process()
    assert process is not None
    process.suspend()
    try:
        begun = time.monotonic()
        running.session.stop(0.5)
        assert time.monotonic() - begun < 60
    finally:
        process.resume()
