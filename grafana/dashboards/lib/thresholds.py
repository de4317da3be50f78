"""Thresholds that mean something, in one place: where a value starts to need a look, and where it needs a hand.

Each is a list of (from this value on, colour), the first from minus infinity; its colour is also that of "no data".
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

Steps = tuple[tuple[float | None, str], ...]

#: Colours with a meaning, the same on every panel.
GOOD, LOOK, ACT, PLAIN = "green", "orange", "red", "text"

#: After so many seconds without a word a device is late, and then offline; one that was silent for so many days is
#: no longer told of.
LATE_SECONDS, OFFLINE_SECONDS, FORGOTTEN_DAYS = 60, 600, 7

#: From here on a processor is hot, in degrees Celsius, and a disk is filling up, in percent.
HOT, FILLING = 65, 85

NONE: Steps = ((None, PLAIN),)

#: A value that is neither good nor bad.
NEUTRAL: Steps = ((None, "blue"),)

#: CPU and memory: a Pi answers slowly from about nine tenths.
BUSY: Steps = ((None, PLAIN), (0, GOOD), (75, LOOK), (90, ACT))

#: Disks: writes fail when they are full, and SD cards wear faster when they are nearly so.
DISK: Steps = ((None, PLAIN), (0, GOOD), (FILLING, LOOK), (90, ACT))

#: Swap: some use is normal, much of it on an SD card is slow and wears it.
SWAP: Steps = ((None, PLAIN), (0, GOOD), (25, LOOK), (60, ACT))

#: Load per core: above 1 processes wait for a core.
LOAD: Steps = ((None, PLAIN), (0, GOOD), (0.8, LOOK), (1.5, ACT))

#: The Pi's processor: the soft limit of a Pi 3B+ is 60 °C, all throttle from 80 °C and stop climbing at 85 °C.
PROCESSOR: Steps = ((None, PLAIN), (0, GOOD), (HOT, LOOK), (80, ACT))

#: Anything counted that should not happen at all.
NEVER: Steps = ((None, PLAIN), (0, GOOD), (1, ACT))

#: Devices that need action, or a look: none is as it should be, and stays in the background.
ACTED: Steps = ((None, "transparent"), (1, ACT))
LOOKED: Steps = ((None, "transparent"), (1, LOOK))

#: Anything counted that may happen now and then.
SELDOM: Steps = ((None, PLAIN), (0, GOOD), (1, LOOK), (10, ACT))

#: Wi-Fi signal in dBm: from -67 up video works, below -75 links break.
SIGNAL: Steps = ((None, PLAIN), (-200, ACT), (-75, LOOK), (-67, GOOD))

#: An SD card's used life, in percent of what its maker promises.
WEAR: Steps = ((None, PLAIN), (0, GOOD), (70, LOOK), (90, ACT))

#: Room temperature for people at rest.
ROOM: Steps = ((None, PLAIN), (-90, "blue"), (18, GOOD), (26, LOOK), (32, ACT))

#: Relative humidity for people, wood and paper.
HUMIDITY: Steps = ((None, PLAIN), (0, LOOK), (30, GOOD), (60, LOOK), (70, ACT))

#: Dew point: from 16 °C the air feels close, from 21 °C oppressive.
DEW_POINT: Steps = ((None, PLAIN), (-90, "blue"), (5, GOOD), (16, LOOK), (21, ACT))


def config(steps: Steps) -> ThresholdsConfig:
    """The SDK's form of the steps."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )
