"""The device's own side of an MQTT broker: its status, its lines, and the commands that it carries out.

A streaming collector. Run by Telegraf's ``inputs.execd`` (``signal = "none"``) it keeps the status and takes commands,
and prints what they bring. With ``lines`` it also publishes the line protocol on its standard input, and ends with it:
for Telegraf's ``outputs.execd``, or a pipe. Without a broker there is nothing to do, and it stays idle.

The parts: :mod:`batches` puts lines together into messages; :mod:`link` is the connection; :mod:`agent` the asyncio
application; :mod:`handlers` what each command does, with :mod:`collect` and :mod:`reload`; :mod:`outbox` leads from the
application's thread to the one that prints. docs/collectors/mqtt.md and docs/commands.md tell of both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collectors.mqtt import settings
from collectors.mqtt.measurements import MQTT

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context

MEASUREMENTS = (MQTT,)

SETTINGS = settings.SETTINGS


def create(context: Context, /) -> Collector:
    """The agent, not connected yet.

    Raises:
        NotApplicable: no broker is named.
        Unavailable: a setting will not do, or the ids of commands cannot be kept.
    """
    from collectors.core.api import NotApplicable, Unavailable

    if context.values[settings.URL] is None:
        if context.values[settings.LINES]:
            raise Unavailable("lines is on, and there is no broker to publish to; name one with the setting url")
        raise NotApplicable("no broker is set; name one in the setting url or in SENSETIG_MQTT_URL")

    from collectors.mqtt.service import make

    return make(context)
