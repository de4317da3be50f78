"""The agent as a process, and who listens and gives commands at the broker: for the tests of both."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.bench.measure import environment

#: The awaited events come much sooner; a test that waits this long has failed.
BOUND_SECONDS = 120.0


#: The agent with a stop time for busy machines; its arguments follow as usual.
_PATIENT = (
    "import sys; from collectors.mqtt import agent, service; from collectors.__main__ import main; "
    f"agent.DRAIN_SECONDS = agent.STOP_SECONDS = {BOUND_SECONDS / 4}; service._END_SECONDS = {BOUND_SECONDS}; "
    "sys.exit(main(['mqtt', *sys.argv[1:]]))"
)


class Got(NamedTuple):
    """A message that has come."""

    topic: str
    payload: bytes
    retained: bool

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


class Peer:
    """A client at the broker that hears everything below ``sensetig/``, and publishes."""

    def __init__(self, port: int, topics: tuple[str, ...] = ("sensetig/#",), name: str = "peer", **access: str) -> None:
        self._there: queue.Queue[None] = queue.Queue()
        self._ids = 0
        self.acknowledged: queue.Queue[ReasonCode] = queue.Queue()
        self.messages: queue.Queue[Got] = queue.Queue()
        self.client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv5)
        if "user" in access:
            self.client.username_pw_set(access["user"], access["password"])
        if "ca" in access:
            self.client.tls_set(access["ca"], access["certificate"], access["key"])
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        self.client.on_subscribe = lambda *_: self._there.put(None)
        self.client.on_publish = lambda _client, _data, _number, reason, _properties: self.acknowledged.put(reason)
        self.client.on_message = self._on_message
        # Or a broker that starts again takes messages for a session that it throws away when this client is back.
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self.client.loop_start()
        self.there()

    def there(self) -> None:
        """Wait until it is subscribed, again after a restart of the broker."""
        self._there.get(timeout=BOUND_SECONDS)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.messages.put(Got(message.topic, bytes(message.payload), message.retain))

    def await_message(self, wanted: Callable[[Got], bool]) -> Got:
        """The next message that is wanted; others before it are passed over."""
        end = time.monotonic() + BOUND_SECONDS
        while True:
            found = self.messages.get(timeout=max(0.01, end - time.monotonic()))
            if wanted(found):
                return found

    def status(self, wanted: str, device: str = "pi") -> dict[str, Any]:
        """Wait for this status of the device."""
        topic = f"sensetig/{device}/status"
        return self.await_message(lambda got: got.topic == topic and got.content["status"] == wanted).content

    def lines(self, count: int, device: str = "pi") -> list[str]:
        """The next *count* lines of telemetry in order of arrival, without the agent's self-metrics."""
        found: list[str] = []
        while len(found) < count:
            got = self.await_message(lambda got: got.topic.startswith(f"sensetig/{device}/telemetry/"))
            if not got.topic.endswith("/mqtt"):
                found += got.payload.decode().splitlines()
        return found

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> ReasonCode:
        """Publish a message, and return the broker's reason code."""
        self.client.publish(topic, payload, qos=1, retain=retain)
        return self.acknowledged.get(timeout=BOUND_SECONDS)

    def send(self, name: str, *, device: str = "pi", retain: bool = False, **content: Any) -> str:
        """Send a command, and return its id."""
        self._ids += 1
        body = {"id": f"c{self._ids}", "expires": time.time() + 600, **content}
        self.publish(f"sensetig/{device}/command/{name}", json.dumps(body).encode(), retain=retain)
        return str(body["id"])

    def ask(self, name: str, *, device: str = "pi", **content: Any) -> dict[str, Any]:
        """The answer to a command, without its id and name."""
        command = self.send(name, device=device, **content)
        topic = f"sensetig/{device}/result/{command}"
        got = self.await_message(lambda got: got.topic == topic)
        found = got.content
        assert (found.pop("id"), found.pop("name"), got.retained) == (command, name, False)
        return found

    def close(self) -> None:
        """Go away."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client.reinitialise()  # closes the sockets that wake its thread, which stopping leaves open


class AgentProcess:
    """The agent as a process, with its output collected line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.printed: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._threads = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.put(line.decode().rstrip("\n"))

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.decode().rstrip("\n"))

    def await_line(self, measurement: str) -> str:
        """The next line of a measurement."""
        end = time.monotonic() + BOUND_SECONDS
        while True:
            line = self.printed.get(timeout=max(0.01, end - time.monotonic()))
            if line.startswith((measurement + ",", measurement + " ")):
                return line

    def await_said(self, text: str) -> None:
        """Wait until it says this on standard error."""
        end = time.monotonic() + BOUND_SECONDS
        while not self.has_said(text):
            assert time.monotonic() < end, self.said
            time.sleep(0.02)

    def has_said(self, text: str) -> bool:
        """Whether it has said this on standard error."""
        return any(text in line for line in self.said)

    def write(self, data: bytes) -> None:
        """Put this on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self) -> None:
        """End its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        status = self.process.wait(BOUND_SECONDS)
        for thread in self._threads:
            thread.join(BOUND_SECONDS)
        return status


def settings(port: int, folder: Path, **more: str) -> dict[str, str]:
    """The environment of an agent called pi."""
    values = {
        "url": f"mqtt://127.0.0.1:{port}",
        "device": "pi",
        "command_ids_file": str(folder / "ids.json"),
        "led_backend": "simulated",
        "status_seconds": "0.5",
        "collect_seconds": "120",
        **more,
    }
    return {f"SENSETIG_MQTT_{name.upper()}": value for name, value in values.items()}


@contextmanager
def agent(variables: Mapping[str, str], *arguments: str) -> Iterator[AgentProcess]:
    """An agent that runs, and is killed at the end where it still does."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PATIENT, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**{"SENSETIG_SETTINGS": "/dev/null", **variables}),
    )
    running = AgentProcess(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        running.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue  # the last write went to a process that had ended
