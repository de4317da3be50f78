"""What reading a message can give, and the bounds that it is read within."""

from __future__ import annotations

from typing import NamedTuple


class Refused(NamedTuple):
    """A message, or a part of one, that is no metric.

    Args:
        topic: the message's.
        device: whose message it is, as far as the topic tells; else empty.
        reason: one snake_case word; :data:`REASONS` has them all.
        text: what is wrong, in one sentence.
    """

    topic: str
    device: str
    reason: str
    text: str


class Bounds(NamedTuple):
    """What a message may be at most.

    Args:
        payload_bytes: bytes of a payload.
        metrics: metrics of a batch.
        fields: fields of a metric.
        depth: objects within objects.
    """

    payload_bytes: int = 256 * 1024
    metrics: int = 5000
    fields: int = 256
    depth: int = 6


#: Every reason with what it means.
REASONS = {
    "bad_device": "the device's name in the topic is none",
    "bad_name": "a measurement, tag or field has a name that cannot be one",
    "bad_status": "a status is neither online nor offline",
    "duplicate_key": "one JSON object has a key twice, or two keys become one field",
    "empty": "the payload is empty",
    "foreign_device": "a device speaks for another",
    "no_fields": "there is nothing in it that could be a field",
    "no_time": "two elements of a batch would fall on the time of arrival, and one would replace the other",
    "not_base64": "Telegraf did not hand the payload on as this project configures it",
    "not_finite": "a number is NaN, infinite or beyond what 64 bits hold",
    "not_json": "the payload begins as JSON and is none",
    "not_line_protocol": "a line is no line protocol",
    "not_utf8": "the payload is not UTF-8",
    "reserved_measurement": "a measurement that only the hub itself writes",
    "too_deep": "objects are nested too deeply",
    "too_large": "the payload or a text in it is too large",
    "too_many": "a batch has too many metrics, or a metric too many fields",
    "truncated_json": "JSON ends before it is complete",
    "unknown_topic": "the topic is of no known scheme",
    "unknown_unit": "a unit that there is no conversion for",
    "unreadable_time": "a time is neither in RFC 3339 nor a number since 1970",
    "wrong_measurement": "a line's measurement is not that of its topic",
    "wrong_type": "a value is of a type that cannot stand in its place",
}


class Unfit(ValueError):
    """What a part of a message cannot be: a reason of :data:`REASONS`, and a sentence."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
