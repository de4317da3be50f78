"""ESPHome: ``esphome/<node>/<component>/<name>/state`` with a plain text, or the JSON object of a light.

Format: https://esphome.io/components/mqtt.html
"""

from __future__ import annotations

from collectors.messaging.parsers.message import Message
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
    add_state(message, "esphome", text, tags)
