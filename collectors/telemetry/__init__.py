"""Calibrates and validates the measurements of other collectors, and keeps the state of each device.

Telegraf runs it as ``processors.execd``: line protocol comes in on standard input and goes out on standard output.
Lines of measurements that the settings do not name pass unchanged. A rejected value becomes ``telemetry_rejected``.
docs/reference/collectors/telemetry.md describes the limits, the settings and the cost.
"""

from __future__ import annotations

import os
import sys

from collectors.core.api import Collector, Context
from collectors.device_state.measurement import MEASUREMENTS as STATE_MEASUREMENTS
from collectors.messaging.parsers.measurements import MEASUREMENTS as PAYLOAD_MEASUREMENTS
from collectors.telemetry.measurements import REJECTED
from collectors.telemetry.settings import SETTINGS as SETTINGS

MEASUREMENTS = (REJECTED, *STATE_MEASUREMENTS, *PAYLOAD_MEASUREMENTS)


def create(context: Context) -> Collector:
    """The processor. With an invalid setting it starts degraded, or raises in a one-shot run."""
    from collectors.telemetry.processor import open_processor

    # The only process of the bundle that each Telegraf starts once.
    if os.environ.get("SENSETIG_BUFFER"):
        print(
            "W! telemetry: SENSETIG_BUFFER is deprecated and does nothing: points wait in the outbox; remove it",
            file=sys.stderr,
            flush=True,
        )
    return open_processor(context)
