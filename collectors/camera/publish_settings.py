"""The settings of publishing the pictures of events to the collector vision."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

PUBLISH_URL: Setting[str | None] = Setting(
    "publish_url",
    str,
    None,
    "The broker that pictures of events go to, for the collector vision: mqtt://[USER@]HOST[:PORT], or mqtts://.",
)
PUBLISH_PASSWORD_FILE: Setting[str | None] = Setting(
    "publish_password_file", str, None, "A file whose first line is that broker's password."
)
PUBLISH_CA_FILE: Setting[str | None] = Setting(
    "publish_ca_file", str, None, "Certificates to trust for that broker instead of the system's, in PEM."
)
PUBLISH_AT = Setting(
    "publish_at",
    str,
    "both",
    "Whether the picture at an event's start is published, the best one at its end, or both.",
    choices=("start", "end", "both"),
)
PUBLISH_QUEUE = Setting(
    "publish_queue", int, 16, "How many pictures may wait for the broker; what comes then is dropped.", low=1, high=200
)

SETTINGS: tuple[Setting[Any], ...] = (
    PUBLISH_URL,
    PUBLISH_PASSWORD_FILE,
    PUBLISH_CA_FILE,
    PUBLISH_AT,
    PUBLISH_QUEUE,
)
