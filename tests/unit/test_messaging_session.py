"""The MQTT session: the broker's address and secrets, queued errors, and answers that come early."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from collectors.core.api import Unavailable
from collectors.messaging.broker import Broker, read_broker
from collectors.messaging.session import Delivery, ErrorQueue, Message, Presence, Session, SessionConfig, topic_level


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://localhost", Broker("localhost", 1883, False)),
        ("mqtts://hub", Broker("hub", 8883, True)),
        ("mqtts://hub:1234/", Broker("hub", 1234, True)),
        ("mqtt://m%40e@[::1]:99", Broker("::1", 99, False, "m@e")),
    ],
)
def test_read_broker_reads_a_url(url: str, broker: Broker) -> None:
    assert read_broker(url) == broker


@pytest.mark.parametrize("url", ["mqtt://hub", "mqtt://192.0.2.1:1883", "mqtt://me@[2001:db8::1]", "mqtt://0.0.0.0"])
def test_a_remote_broker_needs_tls(url: str) -> None:
    with pytest.raises(
        Unavailable, match=r"is not on this machine and would be reached without encryption.*use mqtts://$"
    ):
        read_broker(url)


@pytest.mark.parametrize(
    "url", ["mqtt://me:of-the-url@localhost", "mqtts://me:of-the-url@hub", "mqtts://:of-the-url@h"]
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(
        Unavailable, match=r"which the list of processes would show.*the setting x_password_file names$"
    ) as found:
        read_broker(url, password_setting="x_password_file")  # noqa: S106 - the name of a setting
    assert "of-the-url" not in str(found.value)


@pytest.mark.parametrize("url", ["", "hub", "hub:1883", "http://hub", "mqtt://", "mqtt://hub/topic", "mqtt://hub:x"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(Unavailable, match="the broker's URL must be mqtt://HOST"):
        read_broker(url)


def test_a_password_without_a_user_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text("of-the-broker\nand what else there is\n")
    file.chmod(0o600)
    assert read_broker("mqtts://me@hub", str(file)).password == "of-the-broker"  # noqa: S105 - made up
    with pytest.raises(Unavailable, match="there is a password for hub, but no user"):
        read_broker("mqtts://hub", str(file))


def test_topic_level_replaces_the_special_characters_of_topics() -> None:
    assert topic_level("a/b+c#d$e") == "a-b-c-d-e"
    assert topic_level("") == "-"


def test_queued_errors_are_bounded() -> None:
    errors = ErrorQueue()
    said: list[str] = []
    for number in range(100):
        errors.add(str(number))
    errors.drain(said.append)
    errors.drain(said.append)
    assert said == [str(number) for number in range(84, 100)]


# --- the session ------------------------------------------------------------------------------------------

AWAY = Broker("127.0.0.1", 1, tls=False)


def test_an_answer_that_comes_before_publish_returns_is_passed_on() -> None:
    session = Session(AWAY, SessionConfig(), ErrorQueue())
    client = session._client
    publish = client.publish

    def answered_at_once(*arguments: Any, **options: Any) -> MQTTMessageInfo:
        sent = publish(*arguments, **options)
        reason = ReasonCode(PacketTypes.PUBACK, "No matching subscribers")
        answering = threading.Thread(target=session._published, args=(client, None, sent.mid, reason, None))
        answering.start()
        answering.join()
        return sent

    client.publish = answered_at_once  # type: ignore[method-assign]
    deliveries: list[Delivery] = []
    assert session.publish("a", b"1", deliveries.append)
    assert deliveries == [Delivery("", no_subscribers=True)]
    assert session.drain(0) == 0


def test_messages_wait_for_a_connection_up_to_a_bound() -> None:
    session = Session(AWAY, SessionConfig(max_queued=2), ErrorQueue())
    deliveries: list[Delivery] = []
    assert [session.publish("a", b"1", deliveries.append) for _ in range(3)] == [True, True, False]
    assert session.drain(60) == 2, "without a connection there is nothing to wait for"
    assert deliveries == []


def test_a_session_that_was_never_started_stops() -> None:
    session = Session(AWAY, SessionConfig(presence=Presence("a", b"online", b"offline")), ErrorQueue())
    assert session.stop(10)
    assert not session._connected


def test_a_message_of_a_lost_connection_is_not_acknowledged() -> None:
    session = Session(AWAY, SessionConfig(), ErrorQueue())
    acknowledged: list[int] = []

    def ack(mid: int, qos: int) -> MQTTErrorCode:
        assert qos == 1
        acknowledged.append(mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    session._client.ack = ack  # type: ignore[method-assign]
    session._set_connected(True)
    message = Message("a", b"1", False, 7, session._connection)
    session.acknowledge(message)
    session._set_connected(False)
    assert not session.is_current(message)
    session.acknowledge(message)
    assert acknowledged == [7]


def test_a_certificate_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot be used as the broker's certificates: .*No such file"):
        Session(Broker("hub", 8883, True, ca_file=str(tmp_path / "ca.pem")), SessionConfig(), ErrorQueue())
