"""Fifty devices, five of them hostile, through restarts of every process: each message is stored once or counted once.

The short run is a part of the suite. ``SENSETIG_GATEWAY_MESSAGES=10000`` makes it as long as one wants.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.integration import gateway as gateways
from tests.integration import mosquitto
from tests.integration.conftest import InfluxDB
from tests.integration.gateway import USERS, until
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.engines

MESSAGES = int(os.environ.get("SENSETIG_GATEWAY_MESSAGES", "2000"))
GOOD = [f"good-{number}" for number in range(45)]
MEASUREMENT = "hostile_run"

Payload = tuple[str, bytes]


def _good(device: str, number: int) -> Payload:
    """Every second message has a time; two in a row have the same content but for their number."""
    content: dict[str, object] = {"n": number, "temperature": 21.5}
    if number % 2:
        content["time"] = time.time_ns()
    return f"sensetig/{device}/telemetry/{MEASUREMENT}", json.dumps(content).encode()


def _types(device: str, number: int) -> Payload:
    value = (1, "LOCK", True, 2.5)[number % 4]
    return f"sensetig/{device}/telemetry/{MEASUREMENT}", json.dumps({"n": number, "temperature": value}).encode()


def _clock(device: str, number: int) -> Payload:
    content = {"n": number, "time": (12, 4_100_000_000)[number % 2]}
    return f"sensetig/{device}/telemetry/{MEASUREMENT}", json.dumps(content).encode()


def _forger(device: str, number: int) -> Payload:
    return f"sensetig/{device}/telemetry/mem", f"mem used_percent={number}".encode()


def _names(device: str, number: int) -> Payload:
    content = {"n": number, **{f"f{number}_{each}": 1 for each in range(20)}}
    return f"sensetig/{device}/telemetry/{MEASUREMENT}", json.dumps(content).encode()


def _broken(device: str, number: int) -> Payload:
    topic = f"sensetig/{device}/telemetry/{MEASUREMENT}"
    payloads = (b"m a=" + b"9" * 200_000 + b"x", b"\xff\xfe%d" % number, b'{"n": %d' % number, b"[" * 90_000)
    return topic, payloads[number % 4] if number % 40 < 4 else payloads[1 + number % 2]


#: Of these devices every message is stored; of the others every message is refused.
STORED: dict[str, Callable[[str, int], Payload]] = {**dict.fromkeys(GOOD, _good), "types": _types, "names": _names}
REFUSED: dict[str, Callable[[str, int], Payload]] = {"clock": _clock, "forger": _forger, "broken": _broken}
DEVICES = {**STORED, **REFUSED}


class Senders:
    """A connection for each device, which remembers how many messages the broker has acknowledged."""

    def __init__(self, broker: Mosquitto, passwords: dict[str, str]) -> None:
        self.sent: Counter[str] = Counter()
        self.clients: dict[str, Client] = {}
        for device in DEVICES:
            client = Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=MQTTv5)
            client.username_pw_set(device, passwords[device])
            client.reconnect_delay_set(1, 1)
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            self.clients[device] = client
        until(lambda: all(client.is_connected() for client in self.clients.values()), 30)

    def publish(self, count: int) -> None:
        """That many messages of each device, in turns, all acknowledged by the broker at the end."""
        until(lambda: all(client.is_connected() for client in self.clients.values()), 60)
        waiting = []
        for _ in range(count):
            for device, make in DEVICES.items():
                topic, payload = make(device, self.sent[device])
                waiting.append(self.clients[device].publish(topic, payload, qos=1))
                self.sent[device] += 1
        for each in waiting:
            each.wait_for_publish(60)

    def close(self) -> None:
        for client in self.clients.values():
            client.disconnect()
            client.loop_stop()


class Outbox:
    """The durable queue between Telegraf and InfluxDB."""

    def __init__(self, influxdb: InfluxDB, folder: Path) -> None:
        self.socket = folder / "write.sock"
        (folder / "token").write_text(influxdb.write_token)
        (folder / "token").chmod(0o600)
        self._command = [
            sys.executable, "-m", "sensetig", "outbox", "--folder", str(folder / "outbox"), "--url", influxdb.url,
            "--listen", f"unix:{self.socket}", "--token-file", str(folder / "token"),
        ]  # fmt: skip
        self._log = folder / "outbox.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log)
        until(self.socket.exists, 30)

    def end(self, *, kill: bool) -> None:
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(30)
            self._process = None


@contextmanager
def _outbox(influxdb: InfluxDB, folder: Path) -> Iterator[Outbox]:
    made = Outbox(influxdb, folder)
    made.start()
    try:
        yield made
    finally:
        made.end(kill=True)


def test_each_message_is_stored_or_counted_exactly_once_through_restarts_of_every_process(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    passwords = {**USERS, **{device: f"password of {device}" for device in DEVICES}}
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto.shipped(tmp_path, passwords, {"autosave_interval": "1"}))
        outbox = stack.enter_context(_outbox(influxdb, tmp_path))
        away = influxdb._replace(url=f"unix://{outbox.socket}")
        hub = gateways.Gateway(telegraf, broker, influxdb, tmp_path, "1s", write_url=away.url)
        hub.start()
        stack.callback(hub.stop)
        senders = Senders(broker, passwords)
        stack.callback(senders.close)

        def restart_broker(*, kill: bool) -> None:
            broker.kill() if kill else broker.stop()
            broker.start()

        def restart_outbox(*, kill: bool) -> None:
            outbox.end(kill=kill)
            outbox.start()

        def restart_telegraf(*, kill: bool) -> None:
            hub.kill() if kill else hub.stop()
            hub.start()

        disturbances: list[Callable[[], object]] = [
            lambda: restart_telegraf(kill=False),
            lambda: restart_telegraf(kill=True),
            lambda: hub.processor().kill(),
            lambda: restart_outbox(kill=True),
            lambda: restart_telegraf(kill=False),
            lambda: restart_broker(kill=False),
            lambda: restart_outbox(kill=False),
            lambda: restart_telegraf(kill=True),
        ]
        each = max(1, MESSAGES // len(DEVICES) // len(disturbances))
        for disturb in disturbances:
            senders.publish(each)
            disturb()
        senders.publish(each)

        def numbers(device: str) -> list[int]:
            return sorted(int(row["n"]) for row in hub.rows(MEASUREMENT, f"device = '{device}'") if "n" in row)

        def refused(device: str) -> int:
            where = f"device = '{device}' AND reason != 'too_many_names'"
            return sum(int(row["count"]) for row in hub.rows("telemetry_rejected", where))

        def missing() -> dict[str, tuple[int, int]]:
            found = {device: len(numbers(device)) for device in STORED}
            found.update((device, refused(device)) for device in REFUSED)
            return {
                device: (count, senders.sent[device])
                for device, count in found.items()
                if count != senders.sent[device]
            }

        try:
            until(lambda: not missing(), 60)
        finally:
            print("missing or twice (found, sent):", missing())
            print(
                "points of good-0 (number, time):",
                [(int(row["n"]), row["time"]) for row in hub.rows(MEASUREMENT, "device = 'good-0'")],
            )
        for device in STORED:
            assert numbers(device) == list(range(senders.sent[device])), device
        # One device's new names are cut at its bound, and that is counted.
        [series] = hub.ask(f'SHOW FIELD KEYS FROM "{MEASUREMENT}"')
        fields = [field for field, _ in series["values"]]
        assert len([field for field in fields if field.startswith("f")]) <= 200
        assert len(fields) == len(set(fields)), "a field has two types"
        named = hub.rows("telemetry_rejected", "reason = 'too_many_names'")
        assert {row["device"] for row in named} & set(DEVICES) == {"names"}
        # The forger has written nothing under a name of the hub's.
        assert hub.rows("mem", "device = 'forger'") == []
        # A good device is not held up: its point is there within a flush of a second, and the time of a query.
        started = time.monotonic()
        senders.publish(1)
        until(lambda: len(numbers("good-0")) == senders.sent["good-0"], 30)
        waited = time.monotonic() - started
        assert waited < 10, waited
