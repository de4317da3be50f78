"""The hub's gateway: writes what devices send by MQTT or NATS to InfluxDB, and acknowledges it then.

Telegraf runs it as ``inputs.execd`` (``telegraf/hub/gateway.conf`` and ``nats.conf``). It calibrates and validates the
points as the collector `telemetry` does, with the settings of that, and writes them itself: only so a message is
acknowledged by what became of its points, and not by what became of its way. docs/how-to/mqtt-gateway.md describes it.

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
        NotApplicable: no broker is set.
        Unavailable: a setting or a secret cannot be used, or the device state cannot be kept.
    """
    from collectors.core.api import NotApplicable

    if context.values[settings.URL] is None:
        raise NotApplicable("no broker is set; name one in the setting url or in SENSETIG_GATEWAY_URL")

    from collectors.gateway.factory import make

    return make(context)
