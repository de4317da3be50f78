"""Parts that the parsers of home automation systems share: plain states, and the fields of ``environment``."""

from __future__ import annotations

import re

from collectors.messaging.parsers.json_values import Value
from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.results import PayloadError

#: Quantities that zigbee2mqtt and ESPHome name alike, and publish in the same units: degrees Celsius, percent, hPa.
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
    """Add a plain state: a number becomes the field `value`, on and off become `on`, and any other text `text`.

    Raises:
        PayloadError: it is a number that cannot be stored, or a text that is too long.
    """
    _check_finite(text)
    field: tuple[str, Value]
    if _NUMBER.fullmatch(text):
        field = ("value", float(text))
    elif text.lower() in ("on", "off"):
        field = ("on", text.lower() == "on")
    else:
        field = ("text", text)
    message.add(measurement, [field], tags)
