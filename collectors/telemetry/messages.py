"""Messages received by a gateway, each in one line, converted to metrics."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.messaging.parsers import Rejection, read_encoded
from collectors.telemetry.redelivery import Delivery, Redelivery

#: Maximum difference between the times of rejections in two messages.
_SPREAD_NS = 499


class Message(NamedTuple):
    """A parsed message.

    Args:
        outcomes: its metrics, and a rejection for each invalid part.
        device, topic: its origin; the device is empty if unknown.
        time_ns: the default time of its metrics, the same for a redelivery.
        offset_ns: shifts the time of a rejection within its microsecond, so that those of two messages differ.
    """

    outcomes: list[Metric | Rejection]
    device: str
    topic: str
    time_ns: int
    offset_ns: int


def read(
    line: Metric,
    received_ns: int,
    is_machine: Callable[[str], bool],
    redelivery: Redelivery,
    is_readable: Callable[[int], bool],
) -> Message | None:
    """Parse a message; None if the metric is not a message.

    Args:
        line: with the tag ``topic`` and the payload in base64 in the field ``value``. With the fields of
            :class:`~collectors.telemetry.redelivery.Delivery`, a redelivered message without a time is recognised.
        received_ns: time of arrival.
        is_machine: whether a device may write the measurements of machines.
        redelivery: gives messages their times.
        is_readable: whether a time is accepted; a metric with another is rejected at the time of its arrival.
    """
    topic, value = line.series.tags.get("topic"), line.fields.get("value")
    if topic is None or not isinstance(value, str):
        return None
    found = read_encoded(topic, value, received_ns, is_machine=is_machine)
    identity = int.from_bytes(blake2b(f"{topic}\0{value}".encode(), digest_size=8).digest(), "big") >> 1
    time_ns = received_ns
    delivery = _delivery(line)
    if delivery is not None:
        redelivery.receive(delivery)
        if any(
            isinstance(each, Rejection) or each.time_ns == received_ns or not is_readable(each.time_ns or 0)
            for each in found
        ):
            time_ns = redelivery.time(delivery, identity, received_ns)
    site = line.series.tags.get("site")
    outcomes: list[Metric | Rejection] = []
    device = ""
    for each in found:
        if isinstance(each, Metric):
            device = each.series.tags["device"]
            tags = {**({"site": site} if site else {}), **each.series.tags, "host": device}
            own = time_ns if each.time_ns in (None, received_ns) else each.time_ns
            outcomes.append(Metric(Series(each.series.measurement, tags), each.fields, own))
        else:
            device = device or each.device
            outcomes.append(each)
    return Message(outcomes, device, topic[:256], time_ns, identity % _SPREAD_NS)


def message_line(
    topic: str, payload: bytes, arrived_ns: int, tags: Mapping[str, str], delivery: Delivery | None
) -> Metric:
    """Encode a received message for :func:`read`."""
    fields: dict[str, FieldValue] = {"value": b2a_base64(payload, newline=False).decode("ascii")}
    if delivery is not None:
        fields.update(delivery._asdict())
    return Metric(Series("mqtt_message", {**tags, "topic": topic}), fields, arrived_ns)


def _delivery(line: Metric) -> Delivery | None:
    packet, repeated = line.fields.get("packet"), line.fields.get("repeated")
    connected_ns, resumed = line.fields.get("connected_ns"), line.fields.get("resumed")
    if not isinstance(packet, int) or not isinstance(connected_ns, int):
        return None
    return Delivery(packet, repeated is True, connected_ns, resumed is True)
