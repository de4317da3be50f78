"""Devices that publish numbered samples by MQTT and NATS, and record acknowledged samples in the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from sensetig.demo.testbed.ports import LOOPBACK
from tests.chaos.account import check_of
from tests.integration.gateway import USERS

#: Bytes that the stream may take.
_STREAM_BYTES = 256 * 1024 * 1024


class _Notes:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def begun(self, number: int) -> None:
        os.write(self._file, b"b %d\n" % number)

    def done(self, number: int) -> None:
        os.write(self._file, b"d %d\n" % number)


def _payload(number: int, *, timed: bool) -> bytes:
    sample: dict[str, int] = {"number": number, "check": check_of(number)}
    if timed:
        sample["time"] = time.time_ns()
    return json.dumps(sample).encode()


class MqttSource:
    """A device at Mosquitto, QoS 1; its library resends unacknowledged messages after a reconnect."""

    def __init__(
        self, port: int, ledger: Path, rate: float, *, user: str, measurement: str, timed: bool = False
    ) -> None:
        self._notes = _Notes(ledger)
        self._rate = rate
        self._timed = timed
        self._topic = f"sensetig/{user}/telemetry/{measurement}"
        self._numbers: dict[int, int] = {}
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=MQTTv5)
        self._client.username_pw_set(user, USERS[user])
        self._client.reconnect_delay_set(1, 4)
        self._client.on_publish = self._acknowledged
        self._client.connect_async(LOOPBACK, port, keepalive=10)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        """Stop publishing; unacknowledged messages are still sent."""
        self._end.set()
        self._thread.join()

    def close(self) -> None:
        self.stop()
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(1 / self._rate):
            # One at a time: without a connection the device keeps its newest sample and waits.
            with self._lock:
                if len(self._numbers) >= 20:
                    continue
            self._notes.begun(number)
            # Not under the lock: the library calls back while it holds a lock that it needs here.
            info: MQTTMessageInfo = self._client.publish(self._topic, _payload(number, timed=self._timed), qos=1)
            with self._lock:
                early = info.mid in self._early
                if early:
                    self._early.discard(info.mid)
                else:
                    self._numbers[info.mid] = number
            if early:
                self._notes.done(number)
            number += 1

    def _acknowledged(self, _client: Client, _data: Any, mid: int, reason: Any, _more: Any) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is None and not reason.is_failure:
                self._early.add(mid)
        if number is not None and not reason.is_failure:
            self._notes.done(number)


class NatsSource:
    """A device at NATS JetStream; each message has an id, so that the stream keeps it once."""

    def __init__(self, url: str, ledger: Path, rate: float) -> None:
        self._url = url
        self._notes = _Notes(ledger)
        self._rate = rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @staticmethod
    def prepare(url: str) -> None:
        """Make the stream and the workers' consumer, as `sensetig simulate --make-stream` does."""

        async def make() -> None:
            import nats

            from sensetig.simulator.transports.nats import make_stream

            client = await nats.connect(url)
            await make_stream(client.jetstream(), _STREAM_BYTES)
            await client.close()

        asyncio.run(make())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Publish nothing more."""
        self._end.set()
        self._thread.join()

    close = stop

    async def _run(self) -> None:
        import nats

        async def ignore(_: object) -> None:
            """Ignore the error: the test breaks connections on purpose."""

        client = await nats.connect(self._url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=ignore)
        stream = client.jetstream(timeout=2)
        number = 0
        while not self._end.is_set():
            payload = _payload(number, timed=True)
            self._notes.begun(number)
            while True:
                try:
                    await stream.publish(
                        "sensetig.hall.telemetry.chaos_nats", payload, headers={"Nats-Msg-Id": f"chaos-{number}"}
                    )
                except (TimeoutError, nats.errors.Error, OSError):
                    if self._end.is_set():
                        break
                    await asyncio.sleep(0.5)
                else:
                    self._notes.done(number)
                    break
            number += 1
            await asyncio.sleep(1 / self._rate)
        with suppress(OSError):  # the connection may be about to break
            await client.close()
