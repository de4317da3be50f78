"""MQTT: the gateway's message rate on one core, and the agent's cost of publishing lines to a real broker."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from base64 import b64encode
from pathlib import Path

import pytest

from collectors.core.line_protocol import Metric
from collectors.messaging.parsers import read_encoded
from tests.bench.measure import BenchUnavailable, Result, environment, process_cpu, pss_bytes, python, rate
from tests.integration import mosquitto
from tests.integration.mqtt_support import Peer, settings

#: 2026-11-21T10:00:00Z, in nanoseconds.
NOON_NS = 1_795_255_200_000_000_000

MESSAGES, BATCH, LINES = 1000, 100, 60_000

TOPIC = "sensetig/hall/telemetry/environment"


def run() -> list[Result]:
    """Readings a second of CPU through the pure part, and of the agent its CPU, its memory and its pace."""
    single = [
        json.dumps({"time": NOON_NS + number, "tags": {"sensor": "bme280"}, "temperature_raw_celsius": 21.5})
        for number in range(MESSAGES)
    ]
    lines = [
        "\n".join(
            f"environment,sensor=bme280 pressure_hpa=1013.25 {NOON_NS + first + number}" for number in range(BATCH)
        )
        for first in range(0, MESSAGES, BATCH)
    ]
    return [
        Result("gateway: messages of JSON read, a second of CPU", _read(single), "messages", 20_000, "more"),
        Result(f"gateway: lines read in messages of {BATCH}, a second of CPU", _read(lines), "lines", 40_000, "more"),
        *_agent(),
    ]


def _read(payloads: list[str]) -> float:
    encoded = [b64encode(payload.encode()).decode() for payload in payloads]

    def read() -> int:
        found = [each for payload in encoded for each in read_encoded(TOPIC, payload, NOON_NS)]
        if not all(isinstance(each, Metric) for each in found):
            raise BenchUnavailable(f"a message was refused: {found[0]}")
        return len(found)

    return rate(read)


def _agent() -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="mqtt-") as name:
        folder = Path(name)
        text = "".join(f"cpu,host=pi,cpu=cpu0 usage_user=12.5 {NOON_NS + number}\n" for number in range(LINES))
        (folder / "lines").write_text(text, encoding="utf-8")
        try:
            with mosquitto.running(folder) as broker:
                return _published(folder, broker.port)
        except pytest.skip.Exception as absent:
            raise BenchUnavailable(str(absent)) from None


def _published(folder: Path, port: int) -> list[Result]:
    peer = Peer(port)
    variables = environment(SENSETIG_SETTINGS="/dev/null", **settings(port, folder, status_seconds="60"))
    with subprocess.Popen(
        python("-m", "collectors", "mqtt", "--lines", "true"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=variables,
    ) as agent:
        assert agent.stdin is not None
        try:
            peer.status("online")
            at_rest, resting = process_cpu(agent.pid), pss_bytes(agent.pid) / 1e6
            began = time.monotonic()
            agent.stdin.write((folder / "lines").read_bytes())
            agent.stdin.flush()
            arrived = len(peer.lines(LINES))
            took = time.monotonic() - began
            spent, busy = process_cpu(agent.pid) - at_rest, pss_bytes(agent.pid) / 1e6
            agent.stdin.close()
            status = agent.wait(30)
        finally:
            agent.kill()
            peer.close()
    if (arrived, status) != (LINES, 0):
        raise BenchUnavailable(f"{arrived} of {LINES} lines have arrived, and the agent has ended with status {status}")
    return [
        Result("agent: lines published, a second of its CPU", LINES / spent, "lines", 50_000, "more"),
        Result("agent: lines published and heard, a second", LINES / took, "lines"),
        Result("agent: memory (PSS) at rest", resting, "MB"),
        Result(f"agent: memory (PSS) after {LINES} lines", busy, "MB"),
    ]
