"""Calibrates and validates what other collectors measure, and keeps the state of each device.

Telegraf runs it as ``processors.execd``: lines of line protocol come in on standard input and go out on standard
output. Lines of a measurement that the settings do not name go through as they came. What is refused becomes
``telemetry_rejected``. docs/collectors/telemetry.md tells of the limits, the settings and what it costs.
"""

from __future__ import annotations

from collectors.runner import Collector, Context
from collectors.telemetry.measurements import REJECTED
from collectors.telemetry.settings import SETTINGS as SETTINGS

MEASUREMENTS = (REJECTED,)


def create(context: Context) -> Collector:
    """The processor, ready to be fed. Raises Unavailable where its limits cannot be read."""
    from collectors.telemetry.processor import open_processor

    return open_processor(context)
