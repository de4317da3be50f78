"""The settings of the device state, which are part of the processor's settings."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

STATE = Setting(
    "state",
    str,
    "/var/lib/sensetig/device-state.db",
    "Where the state of devices is kept: a SQLite file, or nats://[USER@]HOST[:PORT] (tls:// beyond this machine) for "
    "many workers; `none` keeps none.",
)
SECONDS = Setting(
    "state_seconds", float, 60.0, "Time between writes of changes; each wears the SD card.", low=0.05, high=3600
)
INTERVAL = Setting(
    "state_interval_seconds",
    float,
    0.0,
    "Time between the samples of a device; 0 learns it for each.",
    low=0,
    high=7 * 86400,
)
LATE = Setting(
    "state_late_intervals", float, 3.0, "Intervals without telemetry after which a device is late.", low=1, high=10000
)
OFFLINE = Setting(
    "state_offline_intervals",
    float,
    10.0,
    "Intervals without telemetry after which a device is offline; at least as many as for late.",
    low=1,
    high=10000,
)
WINDOW = Setting(
    "state_window",
    int,
    4096,
    "Number of recent messages of a device among which a repeated one is recognised.",
    low=0,
    high=65536,
)
WINDOW_SECONDS = Setting(
    "state_window_seconds",
    float,
    600.0,
    "How long a message is kept in mind, so that its repetition is recognised.",
    low=0,
    high=7 * 86400,
)
PENDING = Setting(
    "state_pending",
    int,
    50_000,
    "Maximum number of messages that wait in memory; at this number, a write starts early.",
    low=100,
    high=5_000_000,
)
DEVICES = Setting("state_devices", int, 50_000, "Devices that are kept in mind at most.", low=1, high=1_000_000)
BUCKET = Setting("state_bucket", str, "device_state", "NATS: the bucket; it is made where it is not there.")
REPLICAS = Setting("state_replicas", int, 1, "NATS: servers that keep a bucket that is made.", low=1, high=5)
PASSWORD_FILE: Setting[str | None] = Setting(
    "state_password_file", str, None, "NATS: file (mode 0600) with the password of the URL's user."
)
CREDENTIALS_FILE: Setting[str | None] = Setting(
    "state_credentials_file", str, None, "NATS: file (mode 0600) with credentials, as nsc writes it."
)
CA_FILE: Setting[str | None] = Setting(
    "state_ca_file", str, None, "NATS: certificates that are trusted instead of the system's and this hub's."
)

STATE_SETTINGS: tuple[Setting[Any], ...] = (
    STATE,
    SECONDS,
    INTERVAL,
    LATE,
    OFFLINE,
    WINDOW,
    WINDOW_SECONDS,
    PENDING,
    DEVICES,
    BUCKET,
    REPLICAS,
    PASSWORD_FILE,
    CREDENTIALS_FILE,
    CA_FILE,
)
