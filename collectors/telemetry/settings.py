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
    "Measurements that are calibrated, validated and counted in a device's state, separated by commas.",
)
LIMITS: Setting[str | None] = Setting(
    "limits", str, None, "TOML file with limits by measurement, field, sensor and device."
)
DEVICES = Setting(
    "devices", str, "", "Devices that are accepted, separated by commas, with * and ?; empty for every device."
)
EARLIEST = Setting("earliest", str, "2010-01-01", "Samples from before this day come from a clock that was never set.")
AHEAD = Setting(
    "ahead_seconds",
    float,
    600.0,
    "How far a device's clock may be ahead of this machine's, once that is synchronised.",
    low=0,
    high=10**9,
)
MAX_SERIES = Setting(
    "most_series", int, 50_000, "Series that are remembered; the one unseen for the longest goes first.", low=2
)
MAX_TOPICS = Setting(
    "most_topics",
    int,
    500,
    "Maximum number of topics of rejected messages, and of unknown devices, that are counted separately.",
    low=0,
)
MACHINES = Setting(
    "machines",
    str,
    "",
    "Devices that may write the measurements of machines over MQTT, such as cpu and mem, separated by commas, with * "
    "and ?: Pis that publish all that they collect.",
)
RETENTION = Setting(
    "retention_days",
    float,
    0.0,
    "How old a time in a message may be: as long as the bucket keeps points; 0 for ever.",
    low=0,
    high=36_500,
)
NEW_FIELDS = Setting(
    "new_fields", int, 200, "New names of fields that a device may bring in a day over MQTT.", low=1, high=1_000_000
)
NEW_SERIES = Setting(
    "new_series", int, 200, "New series that a device may bring in a day over MQTT.", low=1, high=1_000_000
)
ALL_NEW_FIELDS = Setting(
    "all_new_fields", int, 5_000, "New names of fields that all devices may bring in a day.", low=1, high=1_000_000
)
ALL_NEW_SERIES = Setting(
    "all_new_series", int, 20_000, "New series that all devices may bring in a day.", low=1, high=10_000_000
)
GATEWAY_STATE: Setting[str | None] = Setting(
    "gateway_state",
    str,
    None,
    "SQLite file with known names and with messages that may come again; by default gateway.db next to the state of "
    "devices, and `none` for memory alone.",
)
MAX_LINE_BYTES = Setting(
    "most_line_bytes", int, 4 * 1024 * 1024, "The longest line that is taken; longer ones are refused.", low=1024
)
HOST: Setting[str | None] = Setting(
    "host", str, None, "The tag host of lines created here; by default this machine's name."
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
    MACHINES,
    RETENTION,
    NEW_FIELDS,
    NEW_SERIES,
    ALL_NEW_FIELDS,
    ALL_NEW_SERIES,
    GATEWAY_STATE,
    MAX_LINE_BYTES,
    HOST,
    SITE,
    *CALIBRATION_SETTINGS,
    *STATE_SETTINGS,
)
