"""Settings of the agent."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

URL: Setting[str | None] = Setting(
    "url", str, None, "MQTT broker (mqtt://user@127.0.0.1, mqtts://user@host); unset, there is nothing to do."
)
PASSWORD_FILE: Setting[str | None] = Setting(
    "password_file", str, None, "File with the password at the broker; nobody else may read it (0600)."
)
CA_FILE: Setting[str | None] = Setting(
    "ca_file", str, None, "Certificates (PEM) that the broker's is checked against; by default the system's."
)
CERTIFICATE: Setting[str | None] = Setting(
    "certificate", str, None, "Certificate (PEM) that the agent shows to the broker, with `key`."
)
KEY: Setting[str | None] = Setting(
    "key", str, None, "The certificate's private key (PEM); nobody else may read it (0600)."
)
DEVICE: Setting[str | None] = Setting("device", str, None, "The device's name in the topics; by default the machine's.")
CLIENT_ID: Setting[str | None] = Setting(
    "client_id", str, None, "By which the broker knows the session; by default sensetig-<device>."
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
    "A broker that is silent for longer is away, and so is an agent.",
    low=5,
    high=3600,
)
FIRMWARE: Setting[str | None] = Setting(
    "firmware", str, None, "What the status says of the firmware; by default the kernel's release."
)

LINES = Setting(
    "lines",
    bool,
    False,
    "Publish the line protocol on standard input, and end with it; for a pipe, or Telegraf's outputs.execd.",
)
BATCH_LINES = Setting("batch_lines", int, 500, "Lines of a message at most.", low=1, high=5000)
BATCH_KILOBYTES = Setting("batch_kilobytes", int, 64, "Size of a message at most.", low=1, high=256)
BATCH_SECONDS = Setting(
    "batch_seconds", float, 0.2, "How long a line waits for others to share its message.", low=0.01, high=60
)
QUEUE_KILOBYTES = Setting(
    "queue_kilobytes",
    int,
    4096,
    "Lines held that the broker has not acknowledged; no more are read from standard input meanwhile.",
    low=256,
    high=1_048_576,
)

SUBSCRIBE: Setting[str | None] = Setting(
    "subscribe", str, None, "Topics whose messages are printed as metrics, with commas between; wildcards are allowed."
)

COMMAND_ALLOW = Setting(
    "command_allow",
    str,
    "ping,collect_now,reload_settings,led_text,led_colour,led_picture,led_temperature,led_off",
    "Commands that are carried out, with commas between; empty in the settings file for none.",
)
COMMAND_IDS_FILE = Setting(
    "command_ids_file",
    str,
    "/var/lib/sensetig/mqtt/command-ids.json",
    "File that keeps the ids of commands until they expire; its folder is made.",
)
COLLECT_ALLOW = Setting(
    "collect_allow", str, "pi,sensehat,system", "Collectors that collect_now may run, with commas between."
)
COLLECT_SECONDS = Setting(
    "collect_seconds", float, 20.0, "How long a collector may take for collect_now.", low=1, high=300
)

LED_BACKEND = Setting(
    "led_backend",
    str,
    "auto",
    "The LED matrix that the commands led_... are for.",
    choices=("auto", "hat", "emulator", "simulated"),
)
LED_ROTATION = Setting("led_rotation", int, 0, "Degrees that the board is turned by: 0, 90, 180, 270.", low=0, high=270)
LED_LOW_LIGHT = Setting("led_low_light", bool, False, "Use the matrix's own table for dark rooms.")
LED_STATUS = Setting("led_status", bool, False, "Show in a corner how the pipeline fares: green, amber or red, dimmed.")
LED_NIGHT = Setting(
    "led_night", str, "", "Hours in local time without the status, such as 22:00-07:00; empty for none."
)

SYS_ROOT = Setting("sys_root", str, "/sys", "Where sysfs is: the board.")
STATUS_SECONDS = Setting(
    "status_seconds", float, 10.0, "How often the measurement `mqtt` is emitted.", low=0.1, high=3600
)

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
