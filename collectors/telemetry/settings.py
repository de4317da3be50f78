"""The settings of the processor."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting
from collectors.device_state.settings import STATE_SETTINGS
from collectors.telemetry.calibrations import CALIBRATION_SETTINGS

NAMES = Setting(
    "measurements",
    str,
    "environment",
    "Measurements that are calibrated and validated and tell of a device's state, separated by commas.",
)
LIMITS: Setting[str | None] = Setting(
    "limits", str, None, "TOML file with limits by measurement, field, sensor and device."
)
DEVICES = Setting(
    "devices", str, "", "Devices that are accepted, separated by commas, with * and ?; empty for every device."
)
EARLIEST = Setting("earliest", str, "2010-01-01", "Samples from before this day come from a clock that was never set.")
AHEAD = Setting(
    "ahead_seconds", float, 600.0, "How far a device's clock may be ahead of this machine's.", low=0, high=10**9
)
MAX_SERIES = Setting(
    "most_series", int, 50_000, "Series that are remembered; the one unseen for the longest goes first.", low=2
)
MAX_TOPICS = Setting(
    "most_topics", int, 100, "Topics of refused messages that are told apart, and unknown devices, too.", low=0
)
MAX_LINE_BYTES = Setting(
    "most_line_bytes", int, 4 * 1024 * 1024, "The longest line that is taken; longer ones are refused.", low=1024
)
HOST: Setting[str | None] = Setting(
    "host", str, None, "The tag host of lines that are made here; this machine's name where nothing is said."
)
SITE: Setting[str | None] = Setting("site", str, None, "The tag site of lines that are made here.")

SETTINGS: tuple[Setting[Any], ...] = (
    NAMES,
    LIMITS,
    DEVICES,
    EARLIEST,
    AHEAD,
    MAX_SERIES,
    MAX_TOPICS,
    MAX_LINE_BYTES,
    HOST,
    SITE,
    *CALIBRATION_SETTINGS,
    *STATE_SETTINGS,
)
