"""The measurements of device states and of their store."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

ONLINE, LATE, OFFLINE = "online", "late", "offline"

DEVICE_STATE = Measurement(
    "device_state",
    "The state of a device, at each change.",
    (Tag("device", "The device."),),
    (
        Field("messages", int, "", "Messages counted, each once, since the store began.", 0),
        Field("duplicates", int, "", "Messages that came again and were recognised, since the store began.", 0),
        Field("first_telemetry_seconds", float, "seconds", "Time of its oldest sample, since 1970."),
        Field("last_telemetry_seconds", float, "seconds", "Time of its newest sample, since 1970."),
        Field("age_seconds", float, "seconds", "Time since telemetry last arrived.", 0),
        Field("interval_seconds", float, "seconds", "Time between its samples: the setting's, or learned.", 0),
        Field("revision", int, "", "The revision in the store; it grows with each write.", 0),
        Field("status", str, "", "`online`, `late` or `offline`."),
        Field("online", int, "", "0 where the status is offline, and 1 otherwise: what an alert can count with.", 0, 1),
        Field("firmware", str, "", "The firmware that the device reports; for this machine, its kernel."),
        Field("bundle_version", str, "", "The version of SenseTIG that the device reports."),
    ),
)

DEVICE_STORE = Measurement(
    "device_store",
    "How the states were written, after each attempt.",
    (Tag("store", "`sqlite` or `nats`."),),
    (
        Field("written", int, "", "Devices whose state was written.", 0),
        Field("conflicts", int, "", "Writes that another worker was quicker with, and that were tried again.", 0),
        Field("failures", int, "", "Devices whose state could not be written; it is kept for the next attempt.", 0),
        Field("pending_messages", int, "", "Messages that wait in memory to be written.", 0),
        Field(
            "unchecked_messages",
            int,
            "",
            "Messages kept only as a count because the store was unavailable; a redelivered one counts twice.",
            0,
        ),
        Field("lost_messages", int, "", "Messages of devices beyond the setting `state_devices`, not counted.", 0),
        Field("duration_seconds", float, "seconds", "Time that the attempt took.", 0),
    ),
)

MEASUREMENTS = (DEVICE_STATE, DEVICE_STORE)
