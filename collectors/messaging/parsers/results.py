"""Results of parsing a message, and the limits of a message."""

from __future__ import annotations

from typing import NamedTuple


class Rejection(NamedTuple):
    """A message, or a part of one, that could not be converted to a metric.

    Args:
        topic: the topic of the message.
        device: the device in the topic; empty if unknown.
        reason: a key of :data:`REASONS`.
        text: the fault in one sentence.
        parts: the number of parts that it covers.
    """

    topic: str
    device: str
    reason: str
    text: str
    parts: int = 1


class Bounds(NamedTuple):
    """Limits of a message.

    Args:
        payload_bytes: maximum size of a payload.
        metrics: maximum number of metrics in a batch.
        fields: maximum number of fields of a metric.
        depth: maximum nesting of objects.
        rejections: maximum number of listed rejections per message; further ones are summed by reason.
        name: maximum number of characters of a field name.
    """

    payload_bytes: int = 256 * 1024
    metrics: int = 5000
    fields: int = 256
    depth: int = 6
    rejections: int = 32
    name: int = 128


#: Every reason with its meaning.
REASONS = {
    "bad_device": "the device name in the topic is not valid",
    "bad_image": "a thumbnail is not the data URI of a small JPEG",
    "bad_name": "the name of a measurement, tag or field is not valid",
    "bad_status": "a status is neither online nor offline",
    "duplicate_key": "a JSON object has a key twice with different values, or two keys become one field",
    "empty": "the payload is empty",
    "foreign_device": "a device sends data of another device",
    "list_value": "a maker sends a list where a field would be; nothing is wrong with the device",
    "no_fields": "the message has no field",
    "no_time": "two elements of a batch have no time, so that one would replace the other",
    "not_base64": "Telegraf did not encode the payload as this project configures it",
    "not_finite": "a number is NaN, infinite or of more than 64 bits",
    "not_json": "the payload begins like JSON and is not JSON",
    "not_line_protocol": "a line is not line protocol",
    "not_utf8": "the payload is not UTF-8",
    "reserved_measurement": "the measurement is reserved for machines or for the hub",
    "reserved_name": "a tag has the name of a field of the bundle, or one that only the hub gives",
    "too_many_names": "a device brings more new fields or series than it may in a day",
    "too_deep": "objects are nested too deeply",
    "too_large": "the payload or a string in it is too large",
    "too_many": "a batch has too many metrics, or a metric too many fields",
    "truncated_json": "the JSON is truncated",
    "unknown_topic": "the topic belongs to no known scheme",
    "unknown_unit": "there is no conversion for a unit",
    "unreadable_time": "a time is neither a date nor a number since 1970",
    "wrong_measurement": "the measurement of a line differs from that of its topic",
    "wrong_type": "a value has the wrong type",
}


class PayloadError(ValueError):
    """A message, or a part of one, is rejected.

    Args:
        reason: a key of :data:`REASONS`.
        text: the fault in one sentence.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
