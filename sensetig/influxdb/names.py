"""The names of the bundle's tokens: their files, and their descriptions in InfluxDB. Importing it is cheap."""

from __future__ import annotations

import re

OPERATOR, TELEGRAF, GRAFANA, PASSWORD = "operator.token", "telegraf.token", "grafana.token", "admin.password"

#: The scoped tokens' descriptions in InfluxDB, used to find the tokens again.
DESCRIPTIONS = {TELEGRAF: "SenseTIG: Telegraf writes", GRAFANA: "SenseTIG: Grafana reads"}


#: A device's name becomes part of a file name.
DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def device_file(device: str) -> str:
    """The file of a device's token."""
    return f"device-{device}.token"


def device_description(device: str) -> str:
    """The description of a device's token in InfluxDB."""
    return f"SenseTIG: device {device} writes"


def next_file(device: str) -> str:
    """The file of the token that will replace the device's present one."""
    return f"{device_file(device)}.next"


def next_description(device: str) -> str:
    """The description of that token in InfluxDB until then."""
    return f"{device_description(device)}, next"
