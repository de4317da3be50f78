"""SenseTIG's own format: ``sensetig/<device>/telemetry[/<measurement>]`` and ``sensetig/<device>/status``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.core.line_protocol import MAX_TIME_NS, MIN_TIME_NS, Metric
from collectors.core.line_protocol_parser import ParseError, decode
from collectors.messaging.parsers.json_values import Object, flatten, read_documents, read_json
from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.results import PayloadError
from collectors.messaging.parsers.timestamps import read_time
from collectors.messaging.parsers.vocabulary import vocabulary

#: Tags of a metric; each one multiplies the number of series.
_MAX_TAGS = 32

#: A string, to skip it, or a C notation of a non-finite number as the value of a field.
_NO_VALUE = re.compile(
    r'"(?:[^"\\]++|\\.?)*+"?|(?<==)[-+]?(?P<word>nan|inf(?:inity)?)(?=[, \t]|\Z)', re.ASCII | re.IGNORECASE | re.DOTALL
)

#: Placeholder for such a value until the line is parsed; no payload contains this character.
_NONE = "\0none"

#: Maximum number of characters of a tag value.
_MAX_TAG_VALUE = 256

#: Keys that identify a metric: two values for one of them make it ambiguous.
_IDENTITY = frozenset(("measurement", "time", "tags", "fields", "device", "host", "site", "sensor"))


def read_telemetry(message: Message, text: str, measurement: str | None) -> None:
    """Read telemetry.

    Args:
        text: a JSON object, a list of them, several after one another, or lines of line protocol.
        measurement: the measurement in the topic, or None if the payload names it.

    Raises:
        PayloadError: nothing can be read.
    """
    if measurement is not None:
        message.check_measurement(measurement)
    if text[0] in "{[":
        document = read_documents(text)
        elements = document if isinstance(document, list) else [document]
        _check_count(message, len(elements))
        if not elements:
            raise PayloadError("no_fields", "the list is empty")
        for number, element in enumerate(elements, 1):
            try:
                _read_element(message, element, measurement)
            except PayloadError as error:
                place = f"element {number}: " if isinstance(document, list) else ""
                message.reject(error.reason, place + error.text)
    else:
        _read_lines(message, text, measurement)


def _check_count(message: Message, count: int) -> None:
    if count > message.bounds.metrics:
        raise PayloadError("too_many", f"the batch has {count} metrics; the maximum is {message.bounds.metrics}")


def _read_element(message: Message, element: object, measurement: str | None) -> None:
    if not isinstance(element, Object):
        raise PayloadError("wrong_type", f"a metric must be a JSON object; this is {str(element)[:80]!r}")
    for key in _IDENTITY & element.repeated.keys():
        raise PayloadError("duplicate_key", f"the key {key} has several values in one object")
    body = Object(element)
    body.repeated = element.repeated
    name = body.pop("measurement", None)
    time = body.pop("time", None)
    # Tags are in `tags`; common ones may also be among the fields.
    labels = {key: body.pop(key) for key in ("device", "host", "site") if key in body}
    if isinstance(body.get("sensor"), str):
        labels["sensor"] = body.pop("sensor")
    inner = body.pop("tags", None)
    if inner is not None:
        if not isinstance(inner, Object):
            raise PayloadError("wrong_type", "`tags` is not a JSON object")
        for key in inner.repeated:
            raise PayloadError("duplicate_key", f"the tag {key[:80]!r} has several values")
        labels |= inner
    tags: dict[str, str] = {}
    for key, value in labels.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise PayloadError("wrong_type", f"the tag {key[:80]!r} is {str(value)[:80]!r}; a tag must be a string")
        tags[key] = value
    fields = body.pop("fields", None)
    if isinstance(fields, Object):
        values = [*flatten(message, fields)]
    elif fields is None:
        values = []
    else:
        raise PayloadError("wrong_type", "`fields` is not a JSON object")
    named = _measurement(message, name, measurement)
    labelled = _check_tags(message, named, tags)
    rejected = message.rejected
    values += flatten(message, body)
    if not values and message.rejected > rejected:
        return
    message.add(
        named,
        values,
        labelled,
        None if time is None else read_time(time),
    )


def _measurement(message: Message, named: object, of_topic: str | None) -> str:
    if named is None and of_topic is not None:
        return of_topic
    if named is None:
        raise PayloadError("bad_name", "neither the topic nor the key `measurement` names a measurement")
    if not isinstance(named, str):
        raise PayloadError("wrong_type", f"`measurement` is {str(named)[:80]!r}; it must be a string")
    if of_topic is None:
        message.check_measurement(named)
    elif named != of_topic:
        raise PayloadError("wrong_measurement", f"the measurement {named[:80]!r} arrived on the topic of {of_topic}")
    return named


def _check_tags(message: Message, measurement: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags except ``device`` and ``host``, which come from the topic.

    Raises PayloadError for data of another device, and for a tag that does not exist in the bundle.
    """
    kept = dict(tags)
    for key in ("device", "host"):
        if kept.get(key, message.device) != message.device:
            raise PayloadError(
                "foreign_device",
                f"{message.device!r} sends data of another device: the tag {key} is {kept[key][:80]!r}",
            )
    kept.pop("device", None)
    kept.pop("host", None)
    if len(kept) > _MAX_TAGS:
        raise PayloadError("too_many", f"the metric has {len(kept)} tags; the maximum is {_MAX_TAGS}")
    for key, value in kept.items():
        if not key or key.startswith("_") or len(key) > message.bounds.name or len(value) > _MAX_TAG_VALUE:
            raise PayloadError(
                "bad_name", f"{key[:80]!r} is not a valid tag: its name or value is empty, reserved or too long"
            )
        if key == "topic" or key in vocabulary().kinds(measurement):
            raise PayloadError("reserved_name", f"{key} is no tag of {measurement}; give it another name")
    return kept


def _read_lines(message: Message, text: str, measurement: str | None) -> None:
    lines = [
        (number, content)
        for number, line in enumerate(text.split("\n"), 1)
        if (content := line.strip()) and not content.startswith("#")
    ]
    _check_count(message, len(lines))
    if not lines:
        raise PayloadError("no_fields", "the payload has only comments")
    for number, line in lines:
        try:
            _read_line(message, _decoded(message, number, line), measurement)
        except ParseError as error:
            message.reject("not_line_protocol", f"line {number}, {error}"[:400])
        except PayloadError as error:
            message.reject(error.reason, f"line {number}: {error.text}")


def _decoded(message: Message, number: int, line: str) -> Metric:
    """Parse a line; non-finite values are rejected individually. Raises ParseError."""
    try:
        return decode(line)
    except ParseError:
        spelled = _NO_VALUE.sub(lambda found: f'"{_NONE}"' if found["word"] else found[0], line)
        if spelled == line:
            raise
        metric = decode(spelled)
    for name, value in metric.fields.items():
        if value == _NONE:
            message.reject("not_finite", f"line {number}: {name[:80]!r} is not a finite number, which cannot be stored")
    return Metric(
        metric.series, {name: value for name, value in metric.fields.items() if value != _NONE}, metric.time_ns
    )


def _read_line(message: Message, metric: Metric, measurement: str | None) -> None:
    if not metric.fields:
        return
    named = _measurement(message, metric.series.measurement, measurement)
    message.add(
        named,
        metric.fields.items(),
        _check_tags(message, named, metric.series.tags),
        None if metric.time_ns is None else _in_range(metric.time_ns),
    )


def _in_range(time_ns: int) -> int:
    """A time in line protocol, in nanoseconds. Raises PayloadError if InfluxDB cannot store it."""
    if not MIN_TIME_NS <= time_ns <= MAX_TIME_NS:
        raise PayloadError("unreadable_time", f"the time {time_ns} is outside the years 1677 to 2262")
    return time_ns


def read_status(message: Message, text: str) -> None:
    """Read a device's status: ``online`` or ``offline``, as text or in a JSON object. Raises PayloadError."""
    if not text.startswith("{"):
        add_status(message, text)
        return
    document = read_json(text)
    if not isinstance(document, Object):
        raise PayloadError("bad_status", f"the status is {str(document)[:80]!r}; it must be online or offline")
    for key in document.repeated:
        message.reject("duplicate_key", f"the key {key[:80]!r} has several values in the status")
    if {"status", "state"} & document.repeated.keys():
        return
    # zigbee2mqtt uses `state` for `status`.
    status = document.get("status", document.get("state"))
    if not isinstance(status, str):
        raise PayloadError("bad_status", 'a status in JSON has the key `status`, "online" or "offline"')
    details: dict[str, str] = {}
    for key in ("bundle_version", "firmware"):
        value = document.get(key)
        if isinstance(value, str):
            details[key] = value
        elif value is not None:
            message.reject("wrong_type", f"{key} is {str(value)[:80]!r}; it must be a string")
    time = document.get("time")
    add_status(message, status, details, None if time is None else read_time(time))


def add_status(
    message: Message, status: str, details: Mapping[str, str] | None = None, time_ns: int | None = None
) -> None:
    """Add a device's status, in any case. Raises PayloadError unless it is online or offline."""
    known = status.strip().lower()
    if known not in ("online", "offline"):
        raise PayloadError("bad_status", f"the status is {status[:80]!r}; it must be online or offline")
    message.add("device_status", {"status": known, **(details or {})}.items(), None, time_ns)
