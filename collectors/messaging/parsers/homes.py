"""zigbee2mqtt, ESPHome, and the states that Home Assistant publishes.

Formats: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html,
https://esphome.io/components/mqtt.html, https://www.home-assistant.io/integrations/mqtt_statestream/
"""

from __future__ import annotations

import re

from collectors.messaging.parsers.building import Message
from collectors.messaging.parsers.documents import Object, Value, flatten, number, read_json
from collectors.messaging.parsers.outcome import Unfit
from collectors.messaging.parsers.times import read_time

#: What all three name alike, and give in the same units: degrees Celsius, percent, hPa.
_ENVIRONMENT = {
    "temperature": "temperature_raw_celsius",
    "humidity": "humidity_raw_percent",
    "pressure": "pressure_hpa",
}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_NO_NUMBER = frozenset(("nan", "inf", "-inf"))
_NO_DATA = frozenset(("unknown", "unavailable", "none"))


def read_zigbee(message: Message, text: str) -> None:
    """Take what zigbee2mqtt says of a device: a JSON object. Raises Unfit."""
    document = read_json(text)
    if not isinstance(document, Object):
        raise Unfit("wrong_type", f"what zigbee2mqtt sends is a JSON object, and this is {str(document)[:80]!r}")
    seen = document.get("last_seen")
    values = dict(flatten(document, message.bounds.depth))
    values.pop("last_seen", None)
    time_ns = None if seen is None else read_time(seen)
    environment: list[tuple[str, Value]] = []
    for key, field in _ENVIRONMENT.items():
        value = values.pop(key, None)
        try:
            environment.append((field, None if value is None else number(value)))
        except Unfit as unfit:
            message.refuse(unfit.reason, f"{key}: {unfit.text}")
    message.add("environment", environment, {"sensor": "zigbee"}, time_ns)
    if values or not document:
        message.add("zigbee2mqtt", values.items(), None, time_ns)


def read_esphome(message: Message, text: str, component: str, name: str) -> None:
    """Take the state of one part of an ESPHome node. Raises Unfit.

    A sensor whose name ends in temperature, humidity or pressure is `environment`, with what stands before as the tag
    ``sensor``: `bme280_temperature` of the sensor `bme280`.
    """
    if component == "sensor":
        value = _number(text)
        sensor, _, quantity = name.rpartition("_")
        if quantity in _ENVIRONMENT:
            message.add("environment", [(_ENVIRONMENT[quantity], value)], {"sensor": sensor or "esphome"})
            return
    _add_state(message, "esphome", text, {"component": component, "name": name})


def read_homeassistant(message: Message, text: str, domain: str) -> None:
    """Take the state of an entity; what is unknown or unavailable is no data. Raises Unfit."""
    if text.lower() not in _NO_DATA:
        _add_state(message, "homeassistant", text.strip('"'), {"component": domain})


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.lower() in _NO_NUMBER:
        raise Unfit("not_finite", f"the sensor gives {text}, which is no number that can be kept")
    raise Unfit("wrong_type", f"the state of a sensor is a number, and this is {text[:80]!r}")


def _add_state(message: Message, measurement: str, text: str, tags: dict[str, str]) -> None:
    """A plain state: a number is the field `value`, on and off `on`, anything else `text`."""
    field: tuple[str, Value]
    if _NUMBER.fullmatch(text):
        field = ("value", float(text))
    elif text.lower() in ("on", "off"):
        field = ("on", text.lower() == "on")
    else:
        field = ("text", text)
    message.add(measurement, [field], tags)
