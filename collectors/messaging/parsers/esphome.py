"""ESPHome: ``esphome/<node>/<component>/<name>/state`` with a plain text, or the JSON object of a light.

Format: https://esphome.io/components/mqtt.html
"""

from __future__ import annotations

from collectors.messaging.parsers.json_values import Object, Value, flatten, read_json
from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.results import PayloadError
from collectors.messaging.parsers.states import ENVIRONMENT_FIELDS, add_state, read_number


def read_state(message: Message, text: str, component: str, name: str) -> None:
    """Read the state of one component. Raises PayloadError.

    A sensor whose name ends in temperature, humidity or pressure becomes `environment`, with the rest of its name as
    the tag ``sensor``: `bme280_temperature` has the tag `bme280`.
    """
    if component == "sensor":
        value = read_number(text)
        sensor, _, quantity = name.rpartition("_")
        if quantity in ENVIRONMENT_FIELDS:
            message.add("environment", [(ENVIRONMENT_FIELDS[quantity], value)], {"sensor": sensor or "esphome"})
            return
    tags = {"component": component, "name": name}
    fields = _fields(message, text) if text.startswith("{") else None
    if fields is None:
        add_state(message, "esphome", text, tags)
    else:
        message.add("esphome", fields, tags)


def _fields(message: Message, text: str) -> list[tuple[str, Value]] | None:
    """The values of an object, such as the state of a light; None for a text that only begins like one."""
    try:
        document = read_json(text)
    except PayloadError as error:
        if error.reason == "too_deep":
            raise
        return None
    if not isinstance(document, Object):
        return None
    return [
        ("on", value == "ON") if key == "state" and value in ("ON", "OFF") else (key, value)
        for key, value in flatten(message, document)
    ]
