"""Helpers for the parsers of home automation systems: plain states, and the fields of ``environment``."""

from __future__ import annotations

import re

from collectors.messaging.parsers.json_values import Object, Value, flatten, read_json
from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.results import PayloadError

#: Quantities with the same names and units in zigbee2mqtt and ESPHome: degrees Celsius, percent, hPa.
ENVIRONMENT_FIELDS = {
    "temperature": "temperature_raw_celsius",
    "humidity": "humidity_raw_percent",
    "pressure": "pressure_hpa",
}

_NUMBER = re.compile(r"[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?+", re.ASCII)
_NOT_FINITE = frozenset(f"{sign}{word}" for sign in ("", "-", "+") for word in ("nan", "inf", "infinity"))


def read_number(text: str) -> float:
    """The number in a plain text. Raises PayloadError."""
    if _NUMBER.fullmatch(text):
        return float(text)
    _check_finite(text)
    raise PayloadError("wrong_type", f"the state of a sensor must be a number; this is {text[:80]!r}")


def _check_finite(text: str) -> None:
    if len(text) < 12 and text.lower() in _NOT_FINITE:
        raise PayloadError("not_finite", f"the sensor reports {text}, which cannot be stored")


def add_state(message: Message, measurement: str, text: str, tags: dict[str, str]) -> None:
    """Add a state: a number becomes the field `value`, on and off become `on`, and other text becomes `text`.

    The values of a JSON object, such as the state of a light, become fields.

    Raises:
        PayloadError: a number cannot be stored, or a text is too long.
    """
    fields = _fields(message, text) if text.startswith("{") else None
    if fields is not None:
        message.add(measurement, fields, tags)
        return
    _check_finite(text)
    field: tuple[str, Value]
    if _NUMBER.fullmatch(text):
        field = ("value", float(text))
    elif text.lower() in ("on", "off"):
        field = ("on", text.lower() == "on")
    else:
        field = ("text", text)
    message.add(measurement, [field], tags)


def _fields(message: Message, text: str) -> list[tuple[str, Value]] | None:
    """The values of an object; None for a text that only begins like one."""
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
