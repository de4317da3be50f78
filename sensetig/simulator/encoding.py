"""Messages as bytes: line protocol or JSON as the gateway accepts them, and broken messages."""

from __future__ import annotations

import json
from collections.abc import Iterable

from collectors.core.line_protocol import Metric, encode
from collectors.messaging.session import topic_level
from sensetig.simulator.device import Message

#: Encodings of a valid message.
PAYLOADS = ("lines", "json")


def telemetry_topic(device: str) -> str:
    """The MQTT topic of a device's telemetry; the NATS subject is the same with dots."""
    return f"sensetig/{topic_level(device)}/telemetry"


def status_topic(device: str) -> str:
    """The topic of a device's online status."""
    return f"sensetig/{topic_level(device)}/status"


def subject(topic: str) -> str:
    """The NATS subject for an MQTT topic."""
    return topic.replace("/", ".")


def lines(metrics: Iterable[Metric]) -> str:
    """Line protocol, one line per point, without a trailing line break."""
    return "\n".join(map(encode, metrics))


def payload(message: Message, spelling: str, too_large_bytes: int) -> bytes:
    """The bytes of a message.

    Args:
        spelling: one of :data:`PAYLOADS`, for valid messages; broken ones are always JSON.
        too_large_bytes: size of a message that is too large.
    """
    if message.kind == "wrong_type":
        metric = message.metrics[0]
        return json.dumps(
            {"measurement": metric.series.measurement, "time": metric.time_ns, "fields": ["warm", "damp"]}
        ).encode()
    if message.kind == "truncated_json":
        text = _json(message.metrics).encode()
        return text[: len(text) // 2]
    if message.kind == "too_large":
        return _json(message.metrics).encode().ljust(too_large_bytes)
    return (lines(message.metrics) if spelling == "lines" else _json(message.metrics)).encode()


def _json(metrics: Iterable[Metric]) -> str:
    return json.dumps(
        [
            {
                "measurement": metric.series.measurement,
                "time": metric.time_ns,
                "tags": {key: value for key, value in metric.series.tags.items() if key != "device"},
                "fields": dict(metric.fields),
            }
            for metric in metrics
        ],
        separators=(",", ":"),
    )
