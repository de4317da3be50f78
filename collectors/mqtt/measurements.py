"""The self-metric of the agent."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

MQTT = Measurement(
    "mqtt",
    "State of the MQTT agent, every `status_seconds`.",
    (Tag("device", "The device's name in the topics."),),
    (
        Field("connected", bool, "", "Whether the agent is connected to the broker now."),
        Field("connections", int, "", "Connections to the broker since the last status, including the first.", 0),
        Field("lines_published", int, "", "Lines that the broker acknowledged since the last status.", 0),
        Field("messages_published", int, "", "Messages with these lines since the last status.", 0),
        Field(
            "lines_refused",
            int,
            "",
            "Lines that were invalid, too long or truncated, or that the broker refused, since the last status.",
            0,
        ),
        Field(
            "messages_unheard",
            int,
            "",
            "Times that the broker dropped a message without subscribers since the last status; the agent sends it "
            "again.",
            0,
        ),
        Field("lines_waiting", int, "", "Queued and unacknowledged lines now.", 0),
        Field("waiting_bytes", int, "bytes", "Size of the queued lines now.", 0),
        Field("messages_received", int, "", "Messages of subscribed topics since the last status.", 0),
        Field("messages_refused", int, "", "Messages with a rejected part since the last status.", 0),
        Field("commands_ok", int, "", "Commands carried out since the last status.", 0),
        Field("commands_refused", int, "", "Commands refused since the last status.", 0),
        Field("commands_failed", int, "", "Commands that failed since the last status.", 0),
    ),
)
