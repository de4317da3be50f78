"""zigbee2mqtt: ``zigbee2mqtt/<device>`` with a JSON object.

Format: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
"""

from __future__ import annotations

from collectors.messaging.parsers.json_values import Object, Value, flatten, number, read_json
from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.results import PayloadError
from collectors.messaging.parsers.states import ENVIRONMENT_FIELDS
from collectors.messaging.parsers.timestamps import read_time


def read_device(message: Message, text: str) -> None:
    """Read the state of a device. Raises PayloadError."""
    document = read_json(text)
    if not isinstance(document, Object):
        raise PayloadError("wrong_type", f"zigbee2mqtt sends JSON objects; this is {str(document)[:80]!r}")
    values = dict(flatten(message, document))
    time_ns = _time(message, values.pop("last_seen", None))
    environment: list[tuple[str, Value]] = []
    for key, field in ENVIRONMENT_FIELDS.items():
        value = values.pop(key, None)
        try:
            environment.append((field, None if value is None else number(value)))
        except PayloadError as error:
            message.reject(error.reason, f"{key}: {error.text}")
    message.add("environment", environment, {"sensor": "zigbee"}, time_ns)
    if values or not (document or document.repeated):
        message.add("zigbee2mqtt", values.items(), None, time_ns)


def _time(message: Message, seen: Value) -> int | None:
    """When the device was last seen; None for the time of arrival. An unreadable time loses no value."""
    if seen is None or seen in ("", "N/A"):
        return None
    try:
        return read_time(seen)
    except PayloadError as error:
        message.reject(error.reason, f"last_seen: {error.text}")
        return None
