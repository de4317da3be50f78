"""The gateway as a hub runs it: Mosquitto and Telegraf with the configuration that ships, and an InfluxDB behind."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import urllib3
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig import bundle
from sensetig.demo.testbed import processes
from tests.integration.conftest import InfluxDB
from tests.integration.mosquitto import Mosquitto

TELEGRAF = bundle.root() / "telegraf"

#: The user that the gateway is connected as.
GATEWAY = "telegraf"

#: Users of the tests' broker. They are not secret: the broker is on loopback, and ends with the test.
#: The gateway is connected as `telegraf`, and a second client of that user would take its session.
USERS = {
    name: f"password of {name}"
    for name in ("telegraf", "sensetig-telegraf", "operator", "hall", "cellar", "plug", "zigbee2mqtt")
}


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until *condition* answers True; raises RetryError when the time is up."""
    Retrying(retry=retry_if_result(lambda met: not met), stop=stop_after_delay(seconds), wait=wait_fixed(0.1))(
        condition
    )


@contextmanager
def client(broker: Mosquitto, user: str, **options: Any) -> Iterator[Client]:
    """A client that is connected as *user*, until the end. Raises RetryError if the broker rejects it."""
    made = Client(CallbackAPIVersion.VERSION2, client_id=options.pop("client_id", ""), protocol=MQTTv5)
    made.username_pw_set(user, USERS[user])
    if "will" in options:
        topic, payload = options.pop("will")
        made.will_set(topic, payload, qos=1, retain=True)
    made.max_inflight_messages_set(200)
    made.connect("127.0.0.1", broker.port, **options)
    made.loop_start()
    try:
        until(made.is_connected, 240)
        yield made
    finally:
        made.disconnect()
        made.loop_stop()


def publish(sender: Client, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
    """Publish with QoS 1, and wait until the broker has confirmed it."""
    sender.publish(topic, payload, qos=1, retain=retain).wait_for_publish(240)


class Heard:
    """The messages that a client receives on a topic."""

    def __init__(self, listener: Client, topic: str) -> None:
        self.topics: list[str] = []
        self.reasons: list[str] = []
        listener.on_message = self._take
        listener.on_subscribe = self._subscribed
        listener.subscribe(topic, qos=1)
        until(lambda: bool(self.reasons), 240)

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.topics.append(message.topic)

    def _subscribed(self, _client: Client, _data: Any, _id: int, reasons: list[Any], _more: Properties | None) -> None:
        self.reasons += [str(reason) for reason in reasons]


class Gateway:
    """Telegraf as the gateway; every test uses separate measurements and devices in the session's InfluxDB.

    Args:
        write_url: address that Telegraf writes to, if that is not InfluxDB itself.
    """

    def __init__(
        self, telegraf: Path, broker: Mosquitto, influxdb: InfluxDB, folder: Path, flush: str, *, write_url: str = ""
    ) -> None:
        self._influxdb = influxdb
        self._folder = folder
        self._broker = broker
        self._command: list[str | Path] = [
            telegraf,
            *("--config", TELEGRAF / "telegraf.conf"),
            *("--config", TELEGRAF / "telegraf.d" / "telemetry.conf"),
            *("--config", TELEGRAF / "hub" / "gateway.conf"),
        ]
        (folder / "sensetig.toml").write_text("", encoding="utf-8")
        self._environment = {
            "SENSETIG_INFLUXDB_URL": write_url or influxdb.url,
            "SENSETIG_TELEGRAF_TOKEN": influxdb.write_token,
            "SENSETIG_FLUSH_INTERVAL": flush,
            "SENSETIG_MQTT_FLUSH_INTERVAL": flush,
            "SENSETIG_PYTHON": sys.executable,
            "SENSETIG_SETTINGS": str(folder / "sensetig.toml"),
            "SENSETIG_TELEMETRY_STATE": str(folder / "state.sqlite"),
            "SENSETIG_MQTT_SERVER": f"tcp://127.0.0.1:{broker.port}",
            "SENSETIG_MQTT_PASSWORD": USERS["telegraf"],
            "SENSETIG_MQTT_MAKERS": "tasmota, zigbee2mqtt, esphome, homeassistant",
            "PYTHONPATH": str(bundle.root()),
        }
        self._process: processes.Identity | None = None

    @property
    def log(self) -> str:
        """What Telegraf has said."""
        return (self._folder / "telegraf.log").read_text(errors="replace")

    def start(self) -> None:
        """Start Telegraf, and wait until the broker has accepted the gateway's subscriptions."""
        log = self._folder / "telegraf.log"
        subscriptions = self._broker.subscriptions(GATEWAY)
        self._process = processes.start("Telegraf", self._command, log=log, environment=self._environment)
        processes.await_ready(
            self._process, lambda: self._broker.subscriptions(GATEWAY) > subscriptions, log=log, seconds=240
        )

    def stop(self) -> None:
        if self._process is not None:
            processes.stop([self._process])
            self._process = None

    def kill(self) -> None:
        """End Telegraf as a power cut would; its processor ends as its standard input does."""
        assert self._process is not None
        process = self._process.process()
        assert process is not None, "Telegraf has ended by itself"
        children = process.children(recursive=True)
        process.kill()
        psutil.wait_procs([process, *children], timeout=240)
        self._process = None

    def processor(self) -> psutil.Process:
        """The process that reads the messages."""
        assert self._process is not None
        process = self._process.process()
        assert process is not None
        words = ["-m", "collectors", "gateway"]
        return next(child for child in process.children(recursive=True) if child.cmdline()[1:4] == words)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The series that InfluxQL answers with."""
        answer = urllib3.request(
            "GET",
            f"{self._influxdb.url}/query",
            fields={"db": self._influxdb.raw, "q": query, "epoch": "ns"},
            headers={"Authorization": f"Token {self._influxdb.read_token}"},
        ).json()
        assert "error" not in answer, answer
        found: list[dict[str, Any]] = answer["results"][0].get("series", [])
        return found

    def rows(self, measurement: str, where: str) -> list[Mapping[str, Any]]:
        """The points of a measurement, each with its tags and fields; null columns are left out."""
        return [
            {key: value for key, value in zip(series["columns"], row, strict=True) if value is not None}
            for series in self.ask(f'SELECT * FROM "{measurement}" WHERE {where}')  # noqa: S608
            for row in series["values"]
        ]


@contextmanager
def running(
    telegraf: Path, broker: Mosquitto, influxdb: InfluxDB, folder: Path, *, flush: str = "500ms"
) -> Iterator[Gateway]:
    """A gateway that runs, and is stopped at the end."""
    gateway = Gateway(telegraf, broker, influxdb, Path(tempfile.mkdtemp(dir=folder)), flush)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()
