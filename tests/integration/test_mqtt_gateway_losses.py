"""No message of a device is lost when any process on its way to the database is killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paho.mqtt.client import Client

from tests.integration import gateway as gateways
from tests.integration import mosquitto
from tests.integration.conftest import InfluxDB
from tests.integration.gateway import USERS, Gateway, client, publish, until

pytestmark = pytest.mark.engines

#: 2026-11-21T10:00:00Z, in milliseconds.
NOON = 1_795_255_200_000


def _publish(sender: Client, measurement: str, numbers: range) -> None:
    """A message for each number, with its number as its time, all of them confirmed by the broker at the end."""
    topic = f"sensetig/hall/telemetry/{measurement}"
    sent = [sender.publish(topic, json.dumps({"n": number, "time": NOON + number}), qos=1) for number in numbers]
    for each in sent:
        each.wait_for_publish(240)


def _numbers(hub: Gateway, measurement: str) -> list[int]:
    return [int(row["n"]) for row in hub.rows(measurement, "device = 'hall'")]


def _all_arrive_once(hub: Gateway, measurement: str, count: int) -> None:
    until(lambda: len(_numbers(hub, measurement)) >= count, 240)
    assert _numbers(hub, measurement) == list(range(count))


def test_waiting_messages_outlast_a_restart_of_the_broker(telegraf: Path, influxdb: InfluxDB, tmp_path: Path) -> None:
    with (
        mosquitto.shipped(tmp_path, USERS) as broker,
        gateways.running(telegraf, broker, influxdb, tmp_path) as hub,
    ):
        hub.stop()
        with client(broker, "hall") as hall:
            _publish(hall, "waits", range(500))
        broker.stop()
        broker.start()
        hub.start()
        _all_arrive_once(hub, "waits", 500)


def test_telegraf_may_be_killed_at_any_time(telegraf: Path, influxdb: InfluxDB, tmp_path: Path) -> None:
    with (
        mosquitto.shipped(tmp_path, USERS) as broker,
        gateways.running(telegraf, broker, influxdb, tmp_path, flush="3s") as hub,
        client(broker, "hall") as hall,
    ):
        for begin in range(0, 3000, 1000):
            # In the middle of a thousand, with the last of them on their way.
            _publish(hall, "survives_kill", range(begin, begin + 1000))
            hub.kill()
            hub.start()
        _all_arrive_once(hub, "survives_kill", 3000)


def test_a_killed_broker_loses_nothing_while_telegraf_is_connected(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    with (
        mosquitto.shipped(tmp_path, USERS) as broker,
        gateways.running(telegraf, broker, influxdb, tmp_path) as hub,
    ):
        # The broker writes to its disk that there is this Telegraf: by its timer, or when it is stopped.
        broker.stop()
        broker.start()
        with client(broker, "hall") as hall:
            _publish(hall, "broker_killed", range(500))
            until(lambda: len(_numbers(hub, "broker_killed")) >= 500, 240)
            broker.kill()
        broker.start()
        with client(broker, "hall") as hall:
            _publish(hall, "broker_killed", range(500, 1000))
        _all_arrive_once(hub, "broker_killed", 1000)


def test_a_killed_broker_keeps_its_saved_messages_while_telegraf_is_away(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    with (
        mosquitto.shipped(tmp_path, USERS, {"autosave_interval": "1"}) as broker,
        gateways.running(telegraf, broker, influxdb, tmp_path) as hub,
    ):
        hub.stop()
        saved = tmp_path / "mosquitto.db"
        with client(broker, "hall") as hall:
            _publish(hall, "both_away", range(200))
            until(lambda: saved.exists() and saved.read_bytes().count(b"both_away") >= 200, 240)
        broker.kill()
        broker.start()
        hub.start()
        _all_arrive_once(hub, "both_away", 200)


def test_the_broker_gets_no_acknowledgement_before_the_database_has_the_point(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """With the database away, a killed Telegraf has everything again: the broker has kept it."""
    away = influxdb._replace(url="http://127.0.0.1:1")
    with mosquitto.shipped(tmp_path, USERS) as broker:
        with (
            gateways.running(telegraf, broker, away, tmp_path, flush="200ms") as hub,
            client(broker, "hall") as hall,
        ):
            _publish(hall, "database_away", range(300))
            until(lambda: "messages wait at the broker" in hub.log, 240)
            hub.kill()
        with gateways.running(telegraf, broker, influxdb, tmp_path) as hub:
            _all_arrive_once(hub, "database_away", 300)


def test_equal_messages_without_a_time_that_a_killed_broker_sends_again_are_no_second_readings(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """The restored state of the broker does not record the first delivery, so the DUP flag is not set."""
    with (
        mosquitto.shipped(tmp_path, USERS, {"autosave_interval": "3600"}) as broker,
        gateways.running(telegraf, broker, influxdb, tmp_path) as hub,
    ):
        hub.stop()
        topic = "sensetig/hall/telemetry/equal"
        with client(broker, "hall") as hall:
            for each in [hall.publish(topic, '{"n": 1}', qos=1) for _ in range(100)]:
                each.wait_for_publish(60)
        broker.stop()  # which saves its state
        broker.start()
        hub.start()
        until(lambda: len(_numbers(hub, "equal")) >= 100, 90)
        broker.kill()
        broker.start()
        with client(broker, "hall") as hall:
            publish(hall, topic, '{"n": 2}')
        until(lambda: 2 in _numbers(hub, "equal"), 90)
        assert sorted(_numbers(hub, "equal")) == [1] * 100 + [2]


def test_equal_messages_without_a_time_are_one_reading_each_while_the_database_is_away(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """Each restart of the gateway and of the broker delivers all of them again."""
    topic = "sensetig/hall/telemetry/equal_away"
    away = influxdb._replace(url="http://127.0.0.1:1")
    with mosquitto.shipped(tmp_path, USERS) as broker:
        hub = gateways.Gateway(telegraf, broker, away, tmp_path, "300ms", write_url=f"unix://{tmp_path}/none.sock")
        hub.start()
        with client(broker, "hall") as hall:
            for each in [hall.publish(topic, '{"n": 1}', qos=1) for _ in range(50)]:
                each.wait_for_publish(60)
        until(lambda: "messages wait at the broker" in hub.log, 60)
        hub.kill()
        hub.start()
        broker.stop()
        broker.start()
        hub.stop()
        with gateways.running(telegraf, broker, influxdb, tmp_path) as back:
            with client(broker, "hall") as hall:
                publish(hall, topic, '{"n": 2}')
            until(lambda: 2 in _numbers(back, "equal_away"), 90)
            assert sorted(_numbers(back, "equal_away")) == [1] * 50 + [2]
