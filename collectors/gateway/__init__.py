"""The hub's gateway: writes messages from MQTT or NATS to InfluxDB, and then acknowledges them.

Telegraf runs it as ``inputs.execd`` (``telegraf/hub/gateway.conf`` and ``nats.conf``). It calibrates and validates
points like the collector `telemetry`, with the same settings, and writes them itself, so that a message is acknowledged
only once its points are stored. docs/how-to/mqtt-gateway.md describes it.

:mod:`service` is the collector, :mod:`mqtt` and :mod:`nats` are the sources, :mod:`writer` is InfluxDB's write API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collectors.gateway import settings
from collectors.gateway.measurements import MQTT_GATEWAY, MQTT_RECEIPT

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context

MEASUREMENTS = (MQTT_GATEWAY, MQTT_RECEIPT)

SETTINGS = settings.SETTINGS


def create(context: Context, /) -> Collector:
    """The gateway, not connected yet.

    Raises:
        NotApplicable: no broker is configured.
        Unavailable: a setting or a secret cannot be used, or the device state cannot be kept.
    """
    from collectors.core.api import NotApplicable

    if context.values[settings.URL] is None:
        raise NotApplicable("no broker is set; name one in the setting url or in SENSETIG_GATEWAY_URL")

    from collectors.gateway.factory import make

    return make(context)
