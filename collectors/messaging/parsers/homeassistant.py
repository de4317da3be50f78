"""Home Assistant: ``homeassistant/<domain>/<entity>/state`` with a plain text, or the JSON object of a sensor.

Format: https://www.home-assistant.io/integrations/mqtt_statestream/
"""

from __future__ import annotations

from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.states import add_state

#: States that mean missing data.
_NO_DATA = frozenset(("unknown", "unavailable", "none"))


def read_state(message: Message, text: str, domain: str) -> None:
    """Read the state of an entity. Raises PayloadError."""
    if text.lower() not in _NO_DATA:
        add_state(message, "homeassistant", text.strip('"'), {"component": domain})
