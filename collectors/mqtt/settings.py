"""Settings of the agent."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

URL: Setting[str | None] = Setting(
    "url", str, None, "MQTT broker (mqtt://user@127.0.0.1, mqtts://user@host); if unset, the agent stays idle."
)
PASSWORD_FILE: Setting[str | None] = Setting(
    "password_file", str, None, "File with the password for the broker; only its owner may read it (0600)."
)
CA_FILE: Setting[str | None] = Setting(
    "ca_file", str, None, "Certificates (PEM) to trust for the broker; by default the system's and this hub's."
)
CERTIFICATE: Setting[str | None] = Setting("certificate", str, None, "Client certificate (PEM), with `key`.")
KEY: Setting[str | None] = Setting(
    "key", str, None, "Private key (PEM) of the certificate; only its owner may read it (0600)."
)
DEVICE: Setting[str | None] = Setting(
    "device", str, None, "Name of the device in the topics; by default the host name."
)
CLIENT_ID: Setting[str | None] = Setting(
    "client_id", str, None, "Name of the session at the broker; by default sensetig-<device>."
)
SESSION_SECONDS = Setting(
    "session_seconds",
    int,
    3600,
    "How long the broker keeps commands for an agent that is away.",
    low=0,
    high=86_400,
)
KEEPALIVE_SECONDS = Setting(
    "keepalive_seconds",
    int,
    30,
    "After this time without a packet, broker and agent treat the connection as lost.",
    low=5,
    high=3600,
)
FIRMWARE: Setting[str | None] = Setting(
    "firmware", str, None, "Firmware version in the status; by default the kernel's release."
)

LINES = Setting(
    "lines",
    bool,
    False,
    "Publish the line protocol on standard input, and end with it; for a pipe, or Telegraf's outputs.execd.",
)
BATCH_LINES = Setting("batch_lines", int, 500, "Maximum number of lines in a message.", low=1, high=5000)
BATCH_KILOBYTES = Setting("batch_kilobytes", int, 64, "Maximum size of a message.", low=1, high=256)
BATCH_SECONDS = Setting(
    "batch_seconds", float, 0.2, "How long a line waits for others in its message.", low=0.01, high=60
)
QUEUE_KILOBYTES = Setting(
    "queue_kilobytes",
    int,
    4096,
    "Size of the unacknowledged lines at which reading from standard input pauses.",
    low=256,
    high=1_048_576,
)

SUBSCRIBE: Setting[str | None] = Setting(
    "subscribe", str, None, "Topics whose messages are printed as metrics, separated by commas; wildcards are allowed."
)

COMMAND_ALLOW = Setting(
    "command_allow",
    str,
    "ping,collect_now,reload_settings,led_text,led_colour,led_picture,led_temperature,led_off",
    "Allowed commands, separated by commas; empty in the settings file for none.",
)
COMMAND_IDS_FILE = Setting(
    "command_ids_file",
    str,
    "/var/lib/sensetig/mqtt/command-ids.json",
    "File with the ids of commands until they expire; its folder is created.",
)
COLLECT_ALLOW = Setting(
    "collect_allow", str, "pi,sensehat,system", "Collectors that collect_now may run, separated by commas."
)
COLLECT_SECONDS = Setting(
    "collect_seconds", float, 20.0, "How long a collector may take for collect_now.", low=1, high=300
)

LED_BACKEND = Setting(
    "led_backend",
    str,
    "auto",
    "LED matrix for the commands led_....",
    choices=("auto", "hat", "emulator", "simulated"),
)
LED_ROTATION = Setting("led_rotation", int, 0, "Rotation of the board in degrees: 0, 90, 180, 270.", low=0, high=270)
LED_LOW_LIGHT = Setting("led_low_light", bool, False, "Use the low-light gamma table of the matrix.")
LED_STATUS = Setting(
    "led_status", bool, False, "Show the state of the pipeline in a corner: dimmed green, amber or red."
)
LED_NIGHT = Setting(
    "led_night", str, "", "Hours in local time without the status, such as 22:00-07:00; empty for none."
)

SYS_ROOT = Setting("sys_root", str, "/sys", "Mount point of sysfs, to find the board.")
STATUS_SECONDS = Setting("status_seconds", float, 10.0, "Interval of the measurement `mqtt`.", low=0.1, high=3600)

SETTINGS: tuple[Setting[Any], ...] = (
    URL,
    PASSWORD_FILE,
    CA_FILE,
    CERTIFICATE,
    KEY,
    DEVICE,
    CLIENT_ID,
    SESSION_SECONDS,
    KEEPALIVE_SECONDS,
    FIRMWARE,
    LINES,
    BATCH_LINES,
    BATCH_KILOBYTES,
    BATCH_SECONDS,
    QUEUE_KILOBYTES,
    SUBSCRIBE,
    COMMAND_ALLOW,
    COMMAND_IDS_FILE,
    COLLECT_ALLOW,
    COLLECT_SECONDS,
    LED_BACKEND,
    LED_ROTATION,
    LED_LOW_LIGHT,
    LED_STATUS,
    LED_NIGHT,
    SYS_ROOT,
    STATUS_SECONDS,
)
