"""Calibrates and validates the measurements of other collectors, and keeps the state of each device.

Telegraf runs it as ``processors.execd``: lines of line protocol come in on standard input and go out on standard
output. Lines of a measurement that the settings do not name go through as they came. What is refused becomes
``telemetry_rejected``. docs/collectors/telemetry.md tells of the limits, the settings and what it costs.
"""

from __future__ import annotations

from collectors.core.api import Collector, Context
from collectors.device_state.measurement import MEASUREMENTS as STATE_MEASUREMENTS
from collectors.messaging.parsers.measurements import MEASUREMENTS as PAYLOAD_MEASUREMENTS
from collectors.telemetry.measurements import REJECTED
from collectors.telemetry.settings import SETTINGS as SETTINGS

MEASUREMENTS = (REJECTED, *STATE_MEASUREMENTS, *PAYLOAD_MEASUREMENTS)


def create(context: Context) -> Collector:
    """The processor. It starts degraded where a setting is wrong, unless it runs once: that raises what is wrong."""
    from collectors.telemetry.processor import open_processor

    return open_processor(context)
