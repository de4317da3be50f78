"""The measurement of rejected values, lines and messages."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

#: Reasons for a rejection, one word each; collectors.messaging.parsers adds its own for messages.
OUT_OF_RANGE = "out_of_range"
RATE_OF_CHANGE = "rate_of_change"
STUCK = "stuck"
WRONG_TYPE = "wrong_type"
SOURCE_REFUSED = "source_refused"
NOT_A_NUMBER = "not_a_number"
CLOCK_BEHIND = "clock_behind"
CLOCK_AHEAD = "clock_ahead"
UNKNOWN_DEVICE = "unknown_device"
NOT_LINE_PROTOCOL = "not_line_protocol"
TOO_LONG = "too_long"
TOO_MANY_NAMES = "too_many_names"
FAILED = "failed"
REFUSED_BY_INFLUXDB = "refused_by_influxdb"

REJECTED = Measurement(
    "telemetry_rejected",
    "A rejected value or line, at the time of its sample; with an impossible time, at its arrival.",
    (
        Tag("device", "The device that it came from; absent where that cannot be told.", optional=True),
        Tag("measurement", "The measurement that it was in.", optional=True),
        Tag("field", "The field that was refused; absent where it was the whole line or message.", optional=True),
        Tag(
            "reason",
            "`out_of_range`, `rate_of_change`, `stuck`, `wrong_type`, `source_refused`, `not_a_number`, "
            "`clock_behind`, `clock_ahead`, `unknown_device`, `not_line_protocol`, `too_long`, "
            "`failed` (an error of this program), `refused_by_influxdb`, or the error in an MQTT message.",
        ),
        Tag("topic", "The topic of an MQTT message; `other` beyond the maximum number of topics.", optional=True),
        Tag("simulated", "`true` where the readings were computed.", optional=True),
        Tag("replayed", "`true` where the readings came from a recording.", optional=True),
    ),
    (
        Field("value", float, "", "The value that was refused, where it was a number."),
        Field("text", str, "", "The rejected text, or a sentence about it."),
        Field("count", int, "", "How many were refused: values where the tag `field` is there, else lines.", 1),
    ),
    event=True,
)
