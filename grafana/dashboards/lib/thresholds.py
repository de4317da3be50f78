"""The colours of the thresholds in ``sensetig.policy``.

Each is a list of (from this value on, colour), the first from minus infinity; its colour is also that of "no data".
"""

from __future__ import annotations

import math

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

from sensetig import policy

Steps = tuple[tuple[float | None, str], ...]

#: Colours with a meaning, the same on every panel.
GOOD, LOOK, ACT, PLAIN = "green", "orange", "red", "text"

#: Below every value that a signal has, in dBm: Grafana takes the colour before the first step for "no data" too.
_NO_SIGNAL = -200

#: Below every temperature outdoors, for the same reason.
_NO_CELSIUS = -90

NONE: Steps = ((None, PLAIN),)

#: A value that is neither good nor bad.
NEUTRAL: Steps = ((None, "blue"),)


def rising(threshold: policy.Threshold, low: float | None = 0) -> Steps:
    """The steps of a threshold where high values are the bad ones.

    Args:
        low: the least value that there is; None where every value is one.

    >>> rising(policy.Threshold(80, 90))
    ((None, 'text'), (0, 'green'), (80, 'orange'), (90, 'red'))
    """
    good: Steps = ((None, GOOD),) if low is None else ((None, PLAIN), (low, GOOD))
    bad = ((threshold.look, LOOK), (threshold.act, ACT))
    return (*good, *((value, colour) for value, colour in bad if value < math.inf))


def falling(threshold: policy.Threshold, low: float) -> Steps:
    """The steps of a threshold where low values are the bad ones.

    >>> falling(policy.Threshold(-67, -75, falling=True), -200)
    ((None, 'text'), (-200, 'red'), (-75, 'orange'), (-67, 'green'))
    """
    return ((None, PLAIN), (low, ACT), (threshold.act, LOOK), (threshold.look, GOOD))


def quiet(threshold: policy.Threshold) -> Steps:
    """The steps of a count of what should not happen: none of it stays in the background, and proves nothing of now.

    >>> quiet(policy.Threshold(1, 10))
    ((None, 'text'), (1, 'orange'), (10, 'red'))
    """
    return tuple(step for step in rising(threshold) if step[1] != GOOD)


def counted(level: str) -> Steps:
    """The steps of a number of devices: none is as it should be, and stays in the background."""
    return ((None, "transparent"), (1, {policy.ACT: ACT, policy.LOOK: LOOK}[level]))


BUSY = rising(policy.CPU_PERCENT)
MEMORY = rising(policy.MEMORY_PERCENT)
DISK = rising(policy.DISK_PERCENT)
SWAP = rising(policy.SWAP_PERCENT)
LOAD = rising(policy.LOAD_PER_CORE)
PROCESSOR = rising(policy.PROCESSOR_CELSIUS)
NEVER = quiet(policy.NEVER)
SELDOM = quiet(policy.SELDOM)
SIGNAL = falling(policy.WIFI_DBM, _NO_SIGNAL)
WEAR = rising(policy.CARD_LIFE_PERCENT)
INFLUXDB_MEMORY = rising(policy.INFLUXDB_BYTES, None)
INFLUXDB_SERIES = rising(policy.INFLUXDB_SERIES, None)

#: A number of refused values among all devices: a few are normal.
REFUSED: Steps = ((None, "transparent"), (policy.SELDOM.act, LOOK))

#: The time since the start: a short one is worth a look.
STARTED: Steps = ((None, PLAIN), (0, LOOK), (policy.RECENT_START_SECONDS, PLAIN))

_COMFORTABLE, _WARM, _HOT = policy.ROOM_CELSIUS
_MOIST, _DAMP, _MOULD = policy.HUMIDITY_PERCENT
_CLOSE, _OPPRESSIVE = policy.DEW_POINT_CELSIUS[1:]

ROOM: Steps = ((None, PLAIN), (_NO_CELSIUS, "blue"), (_COMFORTABLE, GOOD), (_WARM, LOOK), (_HOT, ACT))
HUMIDITY: Steps = ((None, PLAIN), (0, LOOK), (_MOIST, GOOD), (_DAMP, LOOK), (_MOULD, ACT))

_, _, _QUICK, _RAPID = policy.PRESSURE_TENDENCY_HPA

#: The change of pressure over three hours: falling pressure is what brings wind and rain.
FALLING_PRESSURE: Steps = ((None, LOOK), (-_RAPID, LOOK), (-_QUICK, "transparent"))

#: Humidity and dew point as dashed lines in charts, which mark only the values above.
DAMP: Steps = ((None, "transparent"), (_DAMP, LOOK), (_MOULD, ACT))
CLOSE: Steps = ((None, "transparent"), (_CLOSE, LOOK), (_OPPRESSIVE, ACT))


def config(steps: Steps) -> ThresholdsConfig:
    """The SDK's form of the steps."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )
