"""The settings of the gateway."""

from __future__ import annotations

import os
import re
from typing import Any

from collectors.core.api import Unavailable
from collectors.core.files import read_password
from collectors.core.settings import Setting

URL: Setting[str | None] = Setting(
    "url",
    str,
    None,
    "Where messages come from: mqtt://[USER@]HOST[:PORT] (mqtts:// beyond this machine) or nats://[USER@]HOST[:PORT] "
    "(tls:// beyond this machine).",
)
USER: Setting[str | None] = Setting("user", str, None, "User at the broker, where the URL names none.")
PASSWORD_FILE: Setting[str | None] = Setting(
    "password_file", str, None, "File (mode 0600) with the user's password, in the place of SENSETIG_MQTT_PASSWORD."
)
CA_FILE: Setting[str | None] = Setting(
    "ca_file", str, None, "Certificates that are trusted for the broker instead of the system's and this hub's."
)
CLIENT_ID = Setting(
    "client_id",
    str,
    "sensetig-telegraf",
    "MQTT: name of the session, which holds what waits. The shipped broker takes the user's name in its place.",
)
MAKERS = Setting(
    "makers",
    str,
    "",
    "MQTT: makers whose topics are subscribed to besides the bundle's own, separated by commas: tasmota, zigbee2mqtt, "
    "esphome, homeassistant.",
)
STREAM = Setting("stream", str, "sensetig", "NATS: the stream.")
CONSUMER = Setting("consumer", str, "telegraf", "NATS: the durable consumer that all workers share.")
FLUSH_INTERVAL = Setting(
    "flush_interval",
    str,
    "250ms",
    "How long a message waits for others before they are written, such as 250ms or 10s; each write costs the card.",
)
INFLUXDB_URL = Setting(
    "influxdb_url",
    str,
    "http://127.0.0.1:8086",
    "Where points are written: InfluxDB, or the outbox (unix:///run/sensetig-outbox/write.sock).",
)
ORGANISATION = Setting("organisation", str, "sensetig", "Organisation of the bucket.")
BUCKET = Setting("bucket", str, "raw", "Bucket that takes the points.")
TOKEN_FILE: Setting[str | None] = Setting(
    "token_file", str, None, "File (mode 0600) with the token, in the place of SENSETIG_TELEGRAF_TOKEN."
)
TLS_CA: Setting[str | None] = Setting(
    "tls_ca", str, None, "Certificates that are trusted for InfluxDB instead of the system's and this hub's."
)
TLS_CERT: Setting[str | None] = Setting(
    "tls_cert", str, None, "This machine's certificate, where InfluxDB asks for one."
)
TLS_KEY: Setting[str | None] = Setting("tls_key", str, None, "The key of that certificate.")
LIVE = Setting(
    "live",
    bool,
    True,
    "Print each point as it arrives, with the tag `ingest`, for live panels; InfluxDB does not get these.",
)

SETTINGS: tuple[Setting[Any], ...] = (
    URL,
    USER,
    PASSWORD_FILE,
    CA_FILE,
    CLIENT_ID,
    MAKERS,
    STREAM,
    CONSUMER,
    FLUSH_INTERVAL,
    INFLUXDB_URL,
    ORGANISATION,
    BUCKET,
    TOKEN_FILE,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    LIVE,
)

#: Topics of the bundle, and of each manufacturer.
TOPICS = {
    "": ("sensetig/+/telemetry/#", "sensetig/+/status"),
    "tasmota": ("tele/+/SENSOR", "tele/+/+/SENSOR", "tele/+/STATE", "tele/+/LWT", "tele/+/INFO1"),
    "zigbee2mqtt": ("zigbee2mqtt/+", "zigbee2mqtt/+/availability"),
    "esphome": ("esphome/+/+/+/state", "esphome/+/status"),
    "homeassistant": ("homeassistant/+/+/state",),
}

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_MAX_FLUSH_SECONDS = 600.0

#: A reference to a credential of systemd, in the syntax of Telegraf's secret store.
_CREDENTIAL = re.compile(r"@\{systemd:([A-Za-z0-9_.-]{1,100})\}")


def topics(makers: str) -> tuple[str, ...]:
    """The topics to subscribe to. Raises Unavailable for an unknown manufacturer."""
    found = list(TOPICS[""])
    for name in filter(None, (each.strip().lower() for each in makers.split(","))):
        if name not in TOPICS:
            known = ", ".join(filter(None, TOPICS))
            raise Unavailable(f"makers has {name[:40]!r}; known are {known}")
        found += TOPICS[name]
    return tuple(dict.fromkeys(found))


def seconds(text: str) -> float:
    """Parse a duration in Telegraf's format, with one unit. Raises Unavailable."""
    match = _DURATION.fullmatch(text.strip())
    value = float(match[1]) * _SECONDS[match[2]] if match is not None else 0.0
    if not 0.0 < value <= _MAX_FLUSH_SECONDS:
        raise Unavailable(f"flush_interval is {text[:40]!r}; it must be a time such as 500ms or 10s, up to 10m")
    return value


def secret(variable: str, file: str | None, setting: str) -> str:
    """A secret: the first line of its file, or its variable; empty if there is none.

    The variable may refer to a credential of systemd, as Telegraf's own configuration does.

    Raises:
        Unavailable: the file cannot be used.
    """
    if file is not None:
        return read_password(file, setting)
    value = os.environ.get(variable, "")
    reference = _CREDENTIAL.fullmatch(value)
    if reference is None:
        return value
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise Unavailable(f"{variable} names a credential of systemd, and systemd gave this service none")
    return read_password(os.path.join(folder, reference[1]), variable)
