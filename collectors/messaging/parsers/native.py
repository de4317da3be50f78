"""The scheme of SenseTIG itself: ``sensetig/<device>/telemetry[/<measurement>]`` and ``sensetig/<device>/status``."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.core.line_protocol import MAX_TIME_NS, MIN_TIME_NS
from collectors.core.line_protocol_parser import ParseError, decode
from collectors.messaging.parsers.building import Message
from collectors.messaging.parsers.documents import Object, flatten, read_json
from collectors.messaging.parsers.outcome import Unfit
from collectors.messaging.parsers.times import read_time

#: Tags of a metric; each of them multiplies the series.
_TAGS_MOST = 32


def read_telemetry(message: Message, text: str, measurement: str | None) -> None:
    """Take what a message of telemetry says.

    Args:
        text: a JSON object, a list of them, or lines of line protocol.
        measurement: what the topic names, or None where the payload has to.

    Raises:
        Unfit: nothing of it can be read.
    """
    if measurement is not None:
        message.check_measurement(measurement)
    if text[0] in "{[":
        document = read_json(text)
        elements = document if isinstance(document, list) else [document]
        _bound(message, len(elements))
        if not elements:
            raise Unfit("no_fields", "the list is empty")
        for number, element in enumerate(elements, 1):
            try:
                _read_element(message, element, measurement)
            except Unfit as unfit:
                place = f"element {number}: " if isinstance(document, list) else ""
                message.refuse(unfit.reason, place + unfit.text)
    else:
        _read_lines(message, text, measurement)


def _bound(message: Message, count: int) -> None:
    if count > message.bounds.metrics:
        raise Unfit("too_many", f"the batch has {count} metrics, and {message.bounds.metrics} are the most")


def _read_element(message: Message, element: object, measurement: str | None) -> None:
    if not isinstance(element, Object):
        raise Unfit("wrong_type", f"a metric is a JSON object, and this is {str(element)[:80]!r}")
    if element.twice is not None:
        raise Unfit("duplicate_key", f"the key {element.twice[:80]!r} comes twice in one object")
    body = Object(element)
    name = body.pop("measurement", None)
    time = body.pop("time", None)
    # The labels of a series stand in `tags`; the three of them that everybody sends may stand beside the fields.
    labels = {key: body.pop(key) for key in ("device", "host", "site") if key in body}
    inner = body.pop("tags", None)
    if inner is not None:
        if not isinstance(inner, Object):
            raise Unfit("wrong_type", "`tags` is no JSON object")
        if inner.twice is not None:
            raise Unfit("duplicate_key", f"the tag {inner.twice[:80]!r} comes twice")
        labels |= inner
    tags: dict[str, str] = {}
    for key, value in labels.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise Unfit("wrong_type", f"the tag {key[:80]!r} is {str(value)[:80]!r}, and a tag is a text")
        tags[key] = value
    fields = body.pop("fields", None)
    if isinstance(fields, Object):
        values = [*flatten(fields, message.bounds.depth)]
    elif fields is None:
        values = []
    else:
        raise Unfit("wrong_type", "`fields` is no JSON object")
    values += flatten(body, message.bounds.depth)
    message.add(
        _measurement(message, name, measurement),
        values,
        _own_tags(message, tags),
        None if time is None else read_time(time),
    )


def _measurement(message: Message, named: object, of_topic: str | None) -> str:
    if named is None and of_topic is not None:
        return of_topic
    if named is None:
        raise Unfit("bad_name", "neither the topic nor the key `measurement` names a measurement")
    if not isinstance(named, str):
        raise Unfit("wrong_type", f"`measurement` is {str(named)[:80]!r}, and it must be a text")
    if of_topic is None:
        message.check_measurement(named)
    elif named != of_topic:
        raise Unfit("wrong_measurement", f"the measurement {named[:80]!r} came on the topic of {of_topic}")
    return named


def _own_tags(message: Message, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags without ``device``, which the topic gives. Raises Unfit where a device speaks for another."""
    kept = dict(tags)
    for key in ("device", "host"):
        if kept.get(key, message.device) != message.device:
            raise Unfit(
                "foreign_device",
                f"{message.device!r} speaks for another: the tag {key} is {kept[key][:80]!r}",
            )
    kept.pop("device", None)
    if len(kept) > _TAGS_MOST:
        raise Unfit("too_many", f"it has {len(kept)} tags, and {_TAGS_MOST} are the most")
    for key, value in kept.items():
        if not key or key.startswith("_") or len(key) > 256 or len(value) > 1024:
            raise Unfit("bad_name", f"{key[:80]!r} cannot be a tag: its name or its value is none, or is too long")
    return kept


def _read_lines(message: Message, text: str, measurement: str | None) -> None:
    lines = [
        (number, content)
        for number, line in enumerate(text.split("\n"), 1)
        if (content := line.strip()) and not content.startswith("#")
    ]
    _bound(message, len(lines))
    if not lines:
        raise Unfit("no_fields", "there is no line in it but comments")
    for number, line in lines:
        try:
            _read_line(message, line, measurement)
        except ParseError as error:
            message.refuse("not_line_protocol", f"line {number}, {error}"[:400])
        except Unfit as unfit:
            message.refuse(unfit.reason, f"line {number}: {unfit.text}")


def _read_line(message: Message, line: str, measurement: str | None) -> None:
    metric = decode(line)
    message.add(
        _measurement(message, metric.series.measurement, measurement),
        metric.fields.items(),
        _own_tags(message, metric.series.tags),
        None if metric.time_ns is None else _in_range(metric.time_ns),
    )


def _in_range(time_ns: int) -> int:
    """A time of line protocol, which is always nanoseconds. Raises Unfit beyond what InfluxDB can hold."""
    if not MIN_TIME_NS <= time_ns <= MAX_TIME_NS:
        raise Unfit("unreadable_time", f"the time {time_ns} is beyond the years 1677 to 2262")
    return time_ns


def read_status(message: Message, text: str) -> None:
    """Take a device's status: ``online`` or ``offline``, in a text or in a JSON object. Raises Unfit."""
    if not text.startswith("{"):
        add_status(message, text)
        return
    document = read_json(text)
    if not isinstance(document, Object) or document.twice is not None:
        raise Unfit("duplicate_key", "a key comes twice in the status")
    # zigbee2mqtt says `state` where this scheme says `status`.
    told = document.get("status", document.get("state"))
    if not isinstance(told, str):
        raise Unfit("bad_status", 'a status in JSON has the key `status`, "online" or "offline"')
    details: dict[str, str] = {}
    for key in ("bundle_version", "firmware"):
        value = document.get(key)
        if isinstance(value, str):
            details[key] = value
        elif value is not None:
            message.refuse("wrong_type", f"{key} is {str(value)[:80]!r}, and it must be a text")
    time = document.get("time")
    add_status(message, told, details, None if time is None else read_time(time))


def add_status(
    message: Message, told: str, details: Mapping[str, str] | None = None, time_ns: int | None = None
) -> None:
    """Take a status in whatever case it is written. Raises Unfit for another than online and offline."""
    status = told.strip().lower()
    if status not in ("online", "offline"):
        raise Unfit("bad_status", f"the status is {told[:80]!r}, and it must be online or offline")
    message.add("device_status", {"status": status, **(details or {})}.items(), None, time_ns)
