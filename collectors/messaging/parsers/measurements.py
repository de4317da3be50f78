"""Measurements that come only from messages. Collectors declare the others."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

_DEVICE = Tag("device", "The device in the topic.")

DEVICE_STATUS = Measurement(
    "device_status",
    "Status of a device, published by itself, or by the broker when its connection breaks.",
    (_DEVICE,),
    (
        Field("status", str, "", "`online` or `offline`."),
        Field("bundle_version", str, "", "Version of the bundle on it, if published."),
        Field("firmware", str, "", "Version of its firmware, if published."),
    ),
    event=True,
)
ENERGY = Measurement(
    "energy",
    "Readings of a plug or meter.",
    (_DEVICE, Tag("channel", "The channel, from 1, of a meter that has several.", optional=True)),
    (
        Field("energy_total_kilowatt_hours", float, "kilowatt_hours", "Energy since the meter was last cleared."),
        Field("energy_today_kilowatt_hours", float, "kilowatt_hours", "Energy since the device's midnight."),
        Field("energy_yesterday_kilowatt_hours", float, "kilowatt_hours", "Energy of the day before."),
        Field("energy_period_watt_hours", float, "watt_hours", "Energy since the message before."),
        Field("power_watts", float, "watts", "Active power; negative where it is fed in."),
        Field("power_apparent_volt_amperes", float, "volt_amperes", "Apparent power."),
        Field("power_reactive_volt_amperes", float, "volt_amperes", "Reactive power."),
        Field("power_factor", float, "", "Active by apparent power.", -1, 1),
        Field("voltage_volts", float, "volts", "Voltage of the mains.", 0, 1000),
        Field("current_amperes", float, "amperes", "Current.", 0, 1000),
        Field("frequency_hertz", float, "hertz", "Frequency of the mains.", 0, 1000),
    ),
)
MEASUREMENTS = (DEVICE_STATUS, ENERGY)
