"""The MQTT agent of a device: publishes its status and its lines, and executes commands.

A streaming collector. Run by Telegraf's ``inputs.execd`` (``signal = "none"``), it publishes the status, executes
commands and prints the points that they collect. With ``lines`` it also publishes the line protocol on its standard
input and ends with it, for Telegraf's ``outputs.execd`` or a pipe. Without a broker it stays idle.

:mod:`agent` is the asyncio application; :mod:`publisher` and :mod:`batches` send lines as messages; :mod:`handlers`
executes the commands, with :mod:`collect` and :mod:`reload`; :mod:`outbox` passes metrics to the thread that prints
them. docs/reference/collectors/mqtt.md and docs/how-to/commands.md describe the settings and commands.
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
        NotApplicable: no broker is configured.
        Unavailable: a setting is invalid, or the ids of commands cannot be saved.
    """
    from collectors.core.api import NotApplicable, Unavailable

    if context.values[settings.URL] is None:
        if context.values[settings.LINES]:
            raise Unavailable("lines is on, and there is no broker to publish to; name one in the setting url")
        raise NotApplicable("no broker is set; name one in the setting url or in SENSETIG_MQTT_URL")

    from collectors.mqtt.service import make

    return make(context)
