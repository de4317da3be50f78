"""Settings of what controls the camera from outside: HTTP and MQTT, both off unless asked for."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting, Values

CONTROL_PORT = Setting("control_port", int, 0, "Port of the HTTP control; 0 is off.", low=0, high=65535)
CONTROL_HOST = Setting(
    "control_host",
    str,
    "127.0.0.1",
    "Address that the HTTP control listens on; one beyond loopback needs a token and a certificate.",
)
CONTROL_TOKEN_FILE: Setting[str | None] = Setting(
    "control_token_file", str, None, "File with the token that HTTP requests carry; nobody else may read it (0600)."
)
CONTROL_CERTIFICATE: Setting[str | None] = Setting(
    "control_certificate", str, None, "File with the certificate chain (PEM) that the HTTP control shows."
)
CONTROL_KEY: Setting[str | None] = Setting("control_key", str, None, "File with the certificate's private key (PEM).")
STREAMS_MOST = Setting("streams_most", int, 2, "How many may watch the live stream at once.", low=1, high=16)
STREAM_FRAME_RATE = Setting(
    "stream_frame_rate", float, 10.0, "Pictures a second of the live stream at most.", low=0.1, high=60
)

COMMAND_URL: Setting[str | None] = Setting(
    "command_url",
    str,
    None,
    "MQTT broker that commands come from (mqtt://user@127.0.0.1, mqtts://user@host); unset, none are taken.",
)
COMMAND_PASSWORD_FILE: Setting[str | None] = Setting(
    "command_password_file", str, None, "File with the password at the MQTT broker; nobody else may read it (0600)."
)
COMMAND_CA_FILE: Setting[str | None] = Setting(
    "command_ca_file", str, None, "Certificates (PEM) that the broker's is checked against; by default the system's."
)
COMMAND_DEVICE: Setting[str | None] = Setting(
    "command_device", str, None, "The device's name in the topics; by default the machine's."
)
COMMAND_ALLOW = Setting(
    "command_allow",
    str,
    "camera_ping,camera_photo,camera_video,camera_detection",
    "Commands that are carried out, with commas between.",
)
COMMAND_IDS_FILE = Setting(
    "command_ids_file",
    str,
    "/var/lib/sensetig/camera/command-ids.json",
    "File that keeps the ids of commands until they expire; its folder is made.",
)

SETTINGS: tuple[Setting[Any], ...] = (
    CONTROL_PORT,
    CONTROL_HOST,
    CONTROL_TOKEN_FILE,
    CONTROL_CERTIFICATE,
    CONTROL_KEY,
    STREAMS_MOST,
    STREAM_FRAME_RATE,
    COMMAND_URL,
    COMMAND_PASSWORD_FILE,
    COMMAND_CA_FILE,
    COMMAND_DEVICE,
    COMMAND_ALLOW,
    COMMAND_IDS_FILE,
)


def asked_for(values: Values) -> bool:
    """Whether the settings ask for any control."""
    return bool(values[CONTROL_PORT]) or values[COMMAND_URL] is not None
