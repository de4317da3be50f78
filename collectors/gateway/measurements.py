"""The self-metrics of the gateway."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement

MQTT_RECEIPT = Measurement(
    "mqtt_receipt",
    "Messages that the gateway acknowledged, since their points are written, every 10 s.",
    (),
    (Field("received", int, "", "Messages since the last report, so that their sum is the number of messages.", 0),),
)
MQTT_GATEWAY = Measurement(
    "mqtt_gateway",
    "Messages that are not acknowledged yet, since their points are not written, every 10 s: those that the gateway "
    "has from the MQTT broker, or all that wait in the stream of NATS.",
    (),
    (
        Field("unconfirmed_messages", int, "", "Messages that are not acknowledged.", 0),
        Field("unconfirmed_seconds", float, "seconds", "Age of the oldest of them.", 0),
    ),
)
