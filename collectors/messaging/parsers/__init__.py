"""MQTT messages read into metrics: a topic and bytes in, metrics and refusals out.

It knows neither broker nor clock. Whatever the bytes and the topic are, :func:`read_message` gives metrics that line
protocol can carry, or says why not, and raises nothing. docs/mqtt-gateway.md has the topics and the rules.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import partial

from collectors.core.line_protocol import Metric
from collectors.messaging.parsers import homes, tasmota
from collectors.messaging.parsers import native as own
from collectors.messaging.parsers.building import Message, is_device
from collectors.messaging.parsers.measurements import MEASUREMENTS as MEASUREMENTS
from collectors.messaging.parsers.outcome import Bounds, Refused, Unfit

__all__ = ["BOUNDS", "MEASUREMENTS", "Bounds", "Refused", "read_encoded", "read_message"]

BOUNDS = Bounds()

#: Characters of a topic that a refusal keeps.
_TOPIC_MOST = 256

_Reader = Callable[[Message, str], None]


def read_message(topic: str, payload: bytes, received_ns: int, bounds: Bounds = BOUNDS) -> list[Metric | Refused]:
    """The metrics of a message, and what of it is refused.

    Args:
        topic: where it was published.
        payload: what was published.
        received_ns: nanoseconds since 1970 when it arrived: the time of what has none of its own.
        bounds: what a message may be at most.

    >>> read_message("sensetig/hall/telemetry/environment", b'{"temperature_raw_celsius": 21}', 5)
    [Metric(Series('environment', {'device': 'hall'}), {'temperature_raw_celsius': 21.0}, 5)]
    >>> read_message("sensetig/hall/telemetry/environment", b'{"temperature_raw', 5)[0].reason
    'truncated_json'
    """
    found = _route(topic)
    if found is None:
        return [Refused(topic[:_TOPIC_MOST], "", "unknown_topic", f"{topic[:200]!r} is of no scheme that is known")]
    device, reader = found
    if not is_device(device):
        return [Refused(topic[:_TOPIC_MOST], "", "bad_device", f"{device[:80]!r} cannot be the name of a device")]
    message = Message(topic[:_TOPIC_MOST], device, received_ns, bounds)
    try:
        reader(message, _text(payload, bounds))
    except Unfit as unfit:
        message.refuse(unfit.reason, unfit.text)
    return message.outcomes


def read_encoded(topic: str, value: str, received_ns: int, bounds: Bounds = BOUNDS) -> list[Metric | Refused]:
    """As :func:`read_message`, of a payload in base64, which is how Telegraf hands on bytes of any kind."""
    try:
        payload = binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        text = f"the payload was not handed on in base64 ({error}); see data_type in telegraf/hub/gateway.conf"
        return [Refused(topic[:_TOPIC_MOST], "", "not_base64", text)]
    return read_message(topic, payload, received_ns, bounds)


def _text(payload: bytes, bounds: Bounds) -> str:
    if len(payload) > bounds.payload_bytes:
        raise Unfit("too_large", f"the payload has {len(payload)} bytes, and {bounds.payload_bytes} are the most")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unfit("not_utf8", f"the payload is not UTF-8: byte {error.start + 1} of {len(payload)}") from None
    # Some libraries for microcontrollers send the zero that ends a text in C along with it.
    text = text.removeprefix("\ufeff").strip("\0 \t\r\n\v\f")
    if not text:
        raise Unfit("empty", "the payload is empty")
    return text


def _route(topic: str) -> tuple[str, _Reader] | None:
    """The device of a topic and what reads its payload; None for a topic of no known scheme."""
    match topic.split("/"):
        case ["sensetig", device, "telemetry"]:
            return device, partial(own.read_telemetry, measurement=None)
        case ["sensetig", device, "telemetry", measurement]:
            return device, partial(own.read_telemetry, measurement=measurement)
        case ["sensetig" | "esphome", device, "status"] | ["tele", device, "LWT"]:
            return device, own.read_status
        case ["zigbee2mqtt", device, "availability"] if device != "bridge":
            return device, own.read_status
        case ["tele", device, "SENSOR"]:
            return device, tasmota.read_sensor
        case ["tele", device, "STATE"]:
            return device, tasmota.read_state
        case ["tele", device, "INFO1"]:
            return device, tasmota.read_information
        case ["zigbee2mqtt", device] if device != "bridge":
            return device, homes.read_zigbee
        case ["esphome", device, component, name, "state"]:
            return device, partial(homes.read_esphome, component=component, name=name)
        case ["homeassistant", domain, device, "state"]:
            return device, partial(homes.read_homeassistant, domain=domain)
    return None
