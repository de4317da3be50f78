"""Calibrates and validates the measurements of other collectors, and keeps the state of each device.

Telegraf runs it as ``processors.execd``: lines of line protocol come in on standard input and go out on standard
output. Lines of a measurement that the settings do not name go through as they came. What is refused becomes
``telemetry_rejected``. docs/collectors/telemetry.md tells of the limits, the settings and what it costs.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.core.api import Collector, Context
from collectors.core.errors import ErrorReporter
from collectors.device_state.measurement import MEASUREMENTS as STATE_MEASUREMENTS
from collectors.messaging.parsers.measurements import MEASUREMENTS as PAYLOAD_MEASUREMENTS
from collectors.telemetry.measurements import REJECTED
from collectors.telemetry.settings import SETTINGS as SETTINGS

MEASUREMENTS = (REJECTED, *STATE_MEASUREMENTS, *PAYLOAD_MEASUREMENTS)


def create(context: Context) -> Collector:
    """The processor, ready to be fed. Raises Unavailable where a setting is wrong."""
    from collectors.telemetry.processor import open_processor

    return open_processor(context)


def stand_in(
    make: Callable[[], Collector | str], report: ErrorReporter, sentence: str, timer: Callable[[], float]
) -> Collector:
    """What lets lines through while a setting is wrong, so that none is lost meanwhile.

    Args:
        make: the processor, or why there is none, in a sentence; asked again now and then.
        report: counts each attempt that failed.
        sentence: why there is none yet.
        timer: monotonic seconds.
    """
    import os

    from collectors.core.settings import variable
    from collectors.telemetry.passthrough import StandIn
    from collectors.telemetry.settings import HOST, SITE

    # Of the settings only these are looked for: what is wrong may be in the file.
    host, site = os.environ.get(variable("telemetry", HOST)), os.environ.get(variable("telemetry", SITE))
    return StandIn(
        make, report, sentence, timer, {"host": host or os.uname().nodename, **({"site": site} if site else {})}
    )
