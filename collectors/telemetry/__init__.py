"""Calibrates and validates what other collectors measure, and keeps the state of each device.

Telegraf runs it as ``processors.execd``: lines of line protocol come in on standard input and go out on standard
output. Lines of a measurement that the settings do not name go through as they came. What is refused becomes
``telemetry_rejected``. docs/collectors/telemetry.md tells of the limits, the settings and what it costs.
"""

from __future__ import annotations

from collectors.payloads.measurements import MEASUREMENTS as PAYLOAD_MEASUREMENTS
from collectors.runner import Collector, Context
from collectors.telemetry.measurements import REJECTED
from collectors.telemetry.settings import SETTINGS as SETTINGS
from collectors.telemetry.state.measurement import MEASUREMENTS as STATE_MEASUREMENTS

MEASUREMENTS = (REJECTED, *STATE_MEASUREMENTS, *PAYLOAD_MEASUREMENTS)


def create(context: Context) -> Collector:
    """The processor, ready to be fed. Raises Unavailable where a setting is wrong."""
    from collectors.telemetry.processor import open_processor

    return open_processor(context)
