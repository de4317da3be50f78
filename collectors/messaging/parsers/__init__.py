"""Parsers of MQTT messages: :func:`read_message` turns a topic and a payload into metrics and rejections.

One module per kind of device: :mod:`native` (this project's own format), :mod:`tasmota`, :mod:`zigbee2mqtt`,
:mod:`esphome` and :mod:`homeassistant`. To support another kind, add a module and its topics to ``_route`` below. The
modules share :mod:`message` (collects metrics and rejections), :mod:`json_values`, :mod:`states`, :mod:`timestamps`,
:mod:`results` (the reasons of rejections) and :mod:`measurements` (measurements that only messages have).

Parsers have no access to the broker or the clock, and never raise for any topic or payload.
docs/reference/mqtt-payloads.md has the topics and the rules.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import partial

from collectors.core.line_protocol import Metric
from collectors.messaging.parsers import esphome, homeassistant, native, tasmota, zigbee2mqtt
from collectors.messaging.parsers.measurements import MEASUREMENTS as MEASUREMENTS
from collectors.messaging.parsers.message import Message, is_device
from collectors.messaging.parsers.results import Bounds, PayloadError, Rejection

__all__ = ["BOUNDS", "MEASUREMENTS", "Bounds", "Rejection", "read_encoded", "read_message"]

BOUNDS = Bounds()

#: Maximum number of characters of a topic in a rejection.
_MAX_TOPIC = 256

_Reader = Callable[[Message, str], None]

IsMachine = Callable[[str], bool]


def _no_machine(_device: str) -> bool:
    return False


def read_message(
    topic: str, payload: bytes, received_ns: int, bounds: Bounds = BOUNDS, *, is_machine: IsMachine = _no_machine
) -> list[Metric | Rejection]:
    """Parse a message.

    Args:
        topic: the topic of the message.
        payload: its payload.
        received_ns: time of arrival in nanoseconds since 1970: the default time of metrics.
        bounds: limits of a message.
        is_machine: whether a device may write the measurements of machines.

    Returns:
        The metrics, and a rejection for each invalid part.

    >>> read_message("sensetig/hall/telemetry/environment", b'{"temperature_raw_celsius": 21}', 5)
    [Metric(Series('environment', {'device': 'hall'}), {'temperature_raw_celsius': 21.0}, 5)]
    >>> read_message("sensetig/hall/telemetry/environment", b'{"temperature_raw', 5)[0].reason
    'truncated_json'
    """
    found = _route(topic)
    if found is None:
        return [Rejection(topic[:_MAX_TOPIC], "", "unknown_topic", f"{topic[:200]!r} belongs to no known scheme")]
    device, reader = found
    if not is_device(device):
        return [Rejection(topic[:_MAX_TOPIC], "", "bad_device", f"{device[:80]!r} is not a valid device name")]
    message = Message(topic[:_MAX_TOPIC], device, received_ns, bounds, machine=is_machine(device))
    try:
        reader(message, _text(payload, bounds))
    except PayloadError as error:
        message.reject(error.reason, error.text)
    return message.outcomes


def read_encoded(
    topic: str, value: str, received_ns: int, bounds: Bounds = BOUNDS, *, is_machine: IsMachine = _no_machine
) -> list[Metric | Rejection]:
    """Parse a message whose payload is in base64, as Telegraf passes on binary payloads."""
    if len(value) > bounds.payload_bytes * 4 // 3 + 4:
        size = len(value) * 3 // 4
        text = f"the payload has some {size} bytes; the maximum is {bounds.payload_bytes}"
        found = _route(topic)
        known = found[0] if found is not None and is_device(found[0]) else ""
        return [Rejection(topic[:_MAX_TOPIC], known, "too_large", text)]
    try:
        payload = binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        text = f"the payload is not base64 ({error}); see data_type in telegraf/hub/gateway.conf"
        return [Rejection(topic[:_MAX_TOPIC], "", "not_base64", text)]
    return read_message(topic, payload, received_ns, bounds, is_machine=is_machine)


def _text(payload: bytes, bounds: Bounds) -> str:
    if len(payload) > bounds.payload_bytes:
        raise PayloadError("too_large", f"the payload has {len(payload)} bytes; the maximum is {bounds.payload_bytes}")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError("not_utf8", f"the payload is not UTF-8: byte {error.start + 1} of {len(payload)}") from None
    # Some libraries for microcontrollers also send the terminating zero byte of a C string.
    text = text.removeprefix("\ufeff").strip("\0 \t\r\n\v\f")
    if not text:
        raise PayloadError("empty", "the payload is empty")
    return text


def _route(topic: str) -> tuple[str, _Reader] | None:
    """The device of a topic and the parser of its payload; None if no scheme has such a topic."""
    match topic.split("/"):
        case ["sensetig", device, "telemetry"]:
            return device, partial(native.read_telemetry, measurement=None)
        case ["sensetig", device, "telemetry", measurement]:
            return device, partial(native.read_telemetry, measurement=measurement)
        case ["sensetig" | "esphome", device, "status"] | ["tele", device, "LWT"]:
            return device, native.read_status
        case ["zigbee2mqtt", device, "availability"] if device != "bridge":
            return device, native.read_status
        case ["tele", device, "SENSOR"] | ["tele", device, _, "SENSOR"]:
            return device, tasmota.read_sensor
        case ["tele", device, "STATE"]:
            return device, tasmota.read_state
        case ["tele", device, "INFO1"]:
            return device, tasmota.read_information
        case ["zigbee2mqtt", device] if device != "bridge":
            return device, zigbee2mqtt.read_device
        case ["esphome", device, component, name, "state"]:
            return device, partial(esphome.read_state, component=component, name=name)
        case ["homeassistant", domain, device, "state"]:
            return device, partial(homeassistant.read_state, domain=domain)
    return None
