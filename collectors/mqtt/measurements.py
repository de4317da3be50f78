"""What the agent tells of itself."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

MQTT = Measurement(
    "mqtt",
    "How the agent at the MQTT broker fares, every `status_seconds`.",
    (Tag("device", "The device's name in the topics."),),
    (
        Field("connected", bool, "", "Whether the broker is there, now."),
        Field("connections", int, "", "Connections to the broker, since the last status; one is the first.", 0),
        Field("lines_published", int, "", "Lines that the broker has acknowledged, since the last status.", 0),
        Field("messages_published", int, "", "Messages with them, since the last status.", 0),
        Field(
            "lines_refused",
            int,
            "",
            "Lines that were no line protocol, too long or cut off, or that the broker refused, since the last status.",
            0,
        ),
        Field(
            "messages_unheard",
            int,
            "",
            "Times that the broker threw a message away, since nobody was subscribed, since the last status; it is "
            "sent again until somebody is.",
            0,
        ),
        Field("lines_waiting", int, "", "Lines that are held and not acknowledged, now.", 0),
        Field("waiting_bytes", int, "bytes", "Their size, now.", 0),
        Field("messages_received", int, "", "Messages of subscribed topics, since the last status.", 0),
        Field(
            "messages_refused", int, "", "Of these, messages with a part that is no metric, since the last status.", 0
        ),
        Field("commands_ok", int, "", "Commands carried out, since the last status.", 0),
        Field("commands_refused", int, "", "Commands refused, since the last status.", 0),
        Field("commands_failed", int, "", "Commands that failed, since the last status.", 0),
    ),
)
