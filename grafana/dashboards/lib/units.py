"""Grafana's ids of the declared units."""

from __future__ import annotations

from collectors.core.schema import Measurement, check_unit

#: The declared unit (a key of ``collectors.core.schema.UNITS``) to Grafana's unit id.
GRAFANA = {
    "": "short",
    "amperes": "amp",
    "bits_per_second": "bps",
    "bytes": "bytes",
    "bytes_per_second": "binBps",
    "celsius": "celsius",
    "dbm": "dBm",
    "degrees": "degree",
    "frames_per_second": "suffix:fps",
    "g": "suffix:g",
    "hertz": "hertz",
    "hpa": "pressurehpa",
    "kilowatt_hours": "kwatth",
    "lux": "lux",
    "microtesla": "suffix:µT",
    "milliseconds": "ms",
    "nanoseconds": "ns",
    "percent": "percent",
    "megabits_per_second": "Mbits",
    "operations_per_second": "iops",
    "packets_per_second": "suffix:packets/s",
    "pages": "suffix:pages",
    "per_second": "suffix:/s",
    "radians_per_second": "suffix:rad/s",
    "rpm": "rotrpm",
    "seconds": "s",
    "volt_amperes": "voltamp",
    "volts": "volt",
    "watt_hours": "watth",
    "watts": "watt",
}

#: The unit of the rate per second of a counter in this unit.
_RATES = {"bytes": "bytes_per_second", "": "per_second"}


def grafana(unit: str) -> str:
    """Grafana's id of a declared unit. Raises KeyError, with the place to add it, when it is unknown."""
    if unit not in GRAFANA:
        raise KeyError(f"no Grafana unit for {unit!r}: add it to GRAFANA in {__name__}")
    return GRAFANA[unit]


def of(measurement: Measurement, field: str) -> str:
    """Grafana's id of a field's unit. Raises DeclarationError where the unit is unknown."""
    declared = measurement.field(field)
    check_unit(measurement.name, declared)
    return grafana(declared.unit)


def rate(unit: str) -> str:
    """The declared unit of a counter's rate per second. Raises KeyError when there is none."""
    if unit not in _RATES:
        raise KeyError(f"no rate of {unit!r}: add it to _RATES in {__name__}")
    return _RATES[unit]
