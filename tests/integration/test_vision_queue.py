"""Pictures on their way through a real broker, past deaths of all who take part."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from collectors.camera.backends import Frame
from collectors.camera.detector import Box
from collectors.camera.events import Event
from collectors.camera.publish import Publisher
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode_lines
from collectors.core.schema import COLLECTOR
from collectors.messaging.broker import Broker
from collectors.vision import MEASUREMENTS
from collectors.vision.snapshot import MAX_MESSAGE_BYTES
from tests.golden import ROOT
from tests.integration import mosquitto
from tests.integration.mosquitto import Mosquitto
from tests.schema_check import violations
from tests.unit import onnx_models
from tests.unit import vision_support as support
from tests.unit.camera_control_support import PATIENT
from tests.unit.vision_endpoint import says, serving

TOPIC = "sensetig/garden/camera/snapshot"
GOOD = json.dumps({"predictions": [{"label": "person", "confidence": 0.9}]}).encode()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    with mosquitto.running(tmp_path / "broker") as each:
        yield each


class Collector:
    """The vision collector as a process, started and killed at will; what all of them have printed."""

    def __init__(self, folder: Path, broker: Mosquitto, *options: str) -> None:
        self._command = [
            *(sys.executable, "-m", "collectors", "vision", "--execd", "--url", broker.url),
            *("--client-id", "test", "--keep-dir", str(folder / "kept"), "--status-seconds", "0.2", *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.metrics: list[Metric] = []
        self.errors = folder / "errors.txt"

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": os.devnull}
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith(b"\n"):  # a kill may leave half a line
                self.metrics.extend(decode_lines(line.decode()))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None or self._reader is None:
            return
        self._process.send_signal(number)
        self._process.wait(120)
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    @property
    def seen(self) -> list[Metric]:
        return support.detections(list(self.metrics))

    def status(self) -> dict[str, Any]:
        return support.statuses(list(self.metrics))

    def until(self, done: Callable[[], bool], seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"{self.status()}\n{self.errors.read_text()}"
            time.sleep(0.02)


@pytest.fixture
def make(tmp_path: Path, broker: Mosquitto) -> Iterator[Callable[..., Collector]]:
    made: list[Collector] = []

    def one(*options: str) -> Collector:
        made.append(Collector(tmp_path, broker, *options))
        return made[-1]

    yield one
    for each in made:
        each.end(signal.SIGKILL)


def endpoint(url: str, **settings: object) -> list[str]:
    options = {"engine": "http", "http-url": url, "http-attempts": 1, "http-timeout-seconds": 60, **settings}
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def publish(broker: Mosquitto, *messages: bytes) -> None:
    """Hand messages to the broker, each acknowledged by it."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        for message in messages:
            client.publish(TOPIC, message, qos=1).wait_for_publish(120)
    finally:
        client.disconnect()
        client.loop_stop()
        client.reinitialise()  # closes the sockets that wake its thread, which stopping leaves open


def numbered(count: int) -> list[bytes]:
    return [support.message(event_id=f"e{number}", time_ns=10**18 + number * 10**9) for number in range(count)]


def ids(metrics: list[Metric]) -> set[object]:
    return {metric.fields["event_id"] for metric in metrics}


def test_every_picture_is_processed_although_broker_and_collector_die(
    broker: Mosquitto, make: Callable[..., Collector]
) -> None:
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.1)  # how long this endpoint takes
        says(200, GOOD)(handler)

    with serving(slowly) as server:
        collector = make(*endpoint(server.url))
        collector.start()
        collector.until(lambda: "pictures" in collector.status())
        publish(broker, *numbered(5))
        collector.until(lambda: len(collector.seen) >= 2)
        collector.end(signal.SIGKILL)

        publish(broker, *numbered(24)[5:])  # while the collector is down
        broker.stop()
        broker.start()
        collector.start()
        collector.until(lambda: len(ids(collector.seen)) >= 8)
        broker.stop()
        broker.start()
        collector.until(lambda: len(ids(collector.seen)) >= 16)
        collector.end(signal.SIGKILL)
        collector.start()
        collector.until(lambda: len(ids(collector.seen)) == 24)
        collector.end()

    points = {(metric.series.prefix, metric.time_ns, str(metric.fields)) for metric in collector.seen}
    assert len(points) == 24, "what was seen twice is the same point"
    assert len(server.requests) <= 24 + 2 + 4, "only what was under way at a death is seen again"
    assert {metric.series.tags["host"] for metric in collector.seen} == {"garden"}
    declared = (*MEASUREMENTS, COLLECTOR)
    assert [wrong for metric in collector.metrics for wrong in violations(metric, declared)] == []


def test_pictures_are_kept_while_the_endpoint_is_down_and_processed_later(
    broker: Mosquitto, make: Callable[..., Collector], tmp_path: Path
) -> None:
    with serving(says(500)) as server:
        patience = {"breaker-failures": 2, "breaker-seconds": 0.5, "keep-retry-seconds": 0.1}
        collector = make(*endpoint(server.url, **patience))
        collector.start()
        collector.until(lambda: "pictures" in collector.status())
        publish(broker, *numbered(4))
        collector.until(lambda: collector.status().get("kept") == 4)
        collector.until(lambda: collector.status().get("breaker_open") is True)
        assert len(list((tmp_path / "kept").iterdir())) == 4
        collector.end(signal.SIGKILL)

        server.answers[:] = [says(200, GOOD)]
        collector.start()
        collector.until(lambda: len(ids(collector.seen)) == 4)
        collector.until(lambda: collector.status().get("kept") == 0)
        collector.end()
    assert list((tmp_path / "kept").iterdir()) == []
    assert collector.status()["breaker_open"] is False
    assert collector.status()["failed"] >= 4
    assert "answers with status 500" in collector.errors.read_text()


def test_an_invalid_picture_is_counted_and_delays_nothing(
    broker: Mosquitto, make: Callable[..., Collector], tmp_path: Path
) -> None:
    picture = support.jpeg()
    with serving(says(200, GOOD)) as server:
        collector = make(*endpoint(server.url))
        collector.start()
        collector.until(lambda: "pictures" in collector.status())
        publish(
            broker,
            b"",
            b"\x00\xff nonsense",
            b"[1, 2]",
            support.message(time_ns="now"),
            support.message(picture=b"no picture at all"),
            support.message(picture=picture[: len(picture) // 2]),
            b" " * (MAX_MESSAGE_BYTES + 1),
            b" " * 5_000_000,  # beyond the maximum packet size of the session, so the broker drops it
            support.message(event_id="last", camera="hall", unknown={"field": True}),
        )
        collector.until(lambda: ids(collector.seen) == {"last"})
        collector.until(lambda: collector.status()["refused"] == 7)
        collector.end()
    assert collector.status()["pictures"] == 1
    assert len(server.requests) == 1
    assert list(tmp_path.glob("kept/*")) == []


def test_an_endpoint_that_takes_a_minute_costs_a_picture_the_time_limit_and_no_more(
    broker: Mosquitto, make: Callable[..., Collector]
) -> None:
    def silent(_: BaseHTTPRequestHandler) -> None:
        server.released.wait(600)

    with serving(silent, says(200, GOOD)) as server:
        # Long enough for the answer that comes at once, on a machine however busy.
        collector = make(*endpoint(server.url, **{"http-timeout-seconds": 8, "keep-retry-seconds": 0.2}))
        collector.start()
        collector.until(lambda: "pictures" in collector.status())
        publish(broker, *numbered(2))
        collector.until(lambda: ids(collector.seen) == {"e0", "e1"})
        collector.end()
    assert collector.status()["failed"] == 1
    assert "has not answered within 8 s" in collector.errors.read_text()


def test_a_collector_that_waits_for_an_endpoint_stops_at_once_and_gets_the_picture_again(
    broker: Mosquitto, make: Callable[..., Collector], tmp_path: Path
) -> None:
    def silent(_: BaseHTTPRequestHandler) -> None:
        server.released.wait(600)

    with serving(silent, says(200, GOOD)) as server:
        collector = make(*endpoint(server.url, **{"http-timeout-seconds": 300}))
        collector.start()
        collector.until(lambda: "pictures" in collector.status())
        publish(broker, *numbered(1))
        collector.until(lambda: len(server.requests) == 1)
        collector.end()
        assert not server.released.is_set(), "the endpoint is silent still"
        assert collector.seen == []
        assert list(tmp_path.glob("kept/*")) == [], "it waits at the broker"

        collector.start()
        collector.until(lambda: ids(collector.seen) == {"e0"})
        collector.end()


def test_a_missing_broker_is_reported_once_and_awaited(broker: Mosquitto, make: Callable[..., Collector]) -> None:
    broker.stop()
    with serving(says(200, GOOD)) as server:
        collector = make(*endpoint(server.url))
        collector.start()
        collector.until(lambda: "cannot be reached; trying again" in collector.errors.read_text())
        broker.start()
        # The session is there once a picture comes through.
        end = time.monotonic() + 180
        while not collector.seen:
            assert time.monotonic() < end
            publish(broker, support.message(event_id="late"))
            time.sleep(0.2)
        collector.end()


def test_unsent_pictures_wait_for_the_broker_and_are_processed(
    broker: Mosquitto, make: Callable[..., Collector]
) -> None:
    errors: list[str] = []
    with serving(says(200, GOOD)) as server:
        collector = make(*endpoint(server.url))
        collector.start()
        collector.until(lambda: "pictures" in collector.status())
        broker.stop()
        publisher = Publisher(
            Broker("127.0.0.1", broker.port, tls=False),
            "garden",
            "hall",
            (),
            "end",
            8,
            ErrorReporter("camera", errors.append),
        )
        try:
            for number in range(3):
                frame = Frame(np.full((48, 64, 3), number, np.uint8), 0.0, 0)
                for kind in ("start", "end"):
                    publisher.on_event(
                        Event(kind, f"e{number}", 10**18, 2.5, 3.0, 4.0, Box(1, 2, 3, 4), 5, False, frame)
                    )
            broker.start()
            collector.until(lambda: ids(collector.seen) == {"e0", "e1", "e2"})
        finally:
            publisher.close()
        collector.end()
    assert {metric.time_ns for metric in collector.seen} == {10**18 + 2_500_000_000}
    assert [sentence for sentence in errors if "cannot be reached; trying again" not in sentence] == []


def test_a_broker_that_refuses_the_connection_is_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    with mosquitto.running(tmp_path / "closed", open_to_all=False) as closed, serving(says(200, GOOD)) as server:
        collector = Collector(tmp_path, closed, *endpoint(server.url))
        collector.start()
        try:
            sentence = f"the broker 127.0.0.1:{closed.port} refuses the connection: Not authorized"
            collector.until(lambda: sentence in collector.errors.read_text())
        finally:
            collector.end()


def test_published_pictures_become_detections_of_their_events(
    broker: Mosquitto, make: Callable[..., Collector], tmp_path: Path
) -> None:
    model = onnx_models.fixed(tmp_path / "always.onnx", np.array([[[8], [8], [4], [8], [0.8]]], np.float32))
    (tmp_path / "labels.txt").write_text("person\n")
    options = {"engine": "onnx", "onnx-model": model, "onnx-labels": tmp_path / "labels.txt", "onnx-size": 16}
    collector = make(*(word for name, value in options.items() for word in (f"--{name}", str(value))))
    collector.start()
    collector.until(lambda: "pictures" in collector.status())
    camera = subprocess.run(
        [
            *(sys.executable, "-c", PATIENT, "camera", "--backend", "simulated", "--pace", "0"),
            *("--frames", "340", "--name", "hall", "--publish-url", broker.url),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": os.devnull},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert camera.returncode == 0, camera.stderr
    events = [metric for metric in decode_lines(camera.stdout) if metric.series.measurement == "camera_event"]
    assert len(events) >= 2
    collector.until(lambda: len(collector.seen) == len(events))
    collector.end()
    for event, detection in zip(events, sorted(collector.seen, key=lambda each: each.time_ns or 0), strict=True):
        assert detection.fields["event_id"] == event.fields["event_id"]
        assert detection.time_ns == event.time_ns
        assert detection.series.tags["simulated"] == "true"
        assert detection.series.tags["model"] == "always"
        assert "host" not in detection.series.tags, "it is this machine's camera"
