"""Declarations of measurements, with their tags and fields.

The metrics reference, the validation of telemetry, the units on the dashboards and the contract tests
all read these declarations.
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.core.line_protocol import FieldValue

#: The units that a field can have, with their symbols. The metrics reference lists them.
UNITS = {
    "": "",
    "amperes": "A",
    "bits_per_second": "bit/s",
    "bytes": "B",
    "bytes_per_second": "B/s",
    "celsius": "°C",
    "dbm": "dBm",
    "degrees": "°",
    "frames_per_second": "fps",
    "g": "g",
    "hertz": "Hz",
    "hpa": "hPa",
    "kilowatt_hours": "kWh",
    "lux": "lx",
    "megabits_per_second": "Mbit/s",
    "microtesla": "µT",
    "milliseconds": "ms",
    "nanoseconds": "ns",
    "operations_per_second": "/s",
    "packets_per_second": "packets/s",
    "pages": "pages",
    "per_second": "/s",
    "percent": "%",
    "radians_per_second": "rad/s",
    "rpm": "rpm",
    "seconds": "s",
    "volt_amperes": "VA",
    "volts": "V",
    "watt_hours": "Wh",
    "watts": "W",
}


class DeclarationError(ValueError):
    """A declaration is invalid; the message names the measurement, the field and the remedy."""


class Tag(NamedTuple):
    """A tag: a string with few different values. Optional tags can be absent from a line."""

    name: str
    help: str
    optional: bool = False


class Field(NamedTuple):
    """A field.

    Args:
        name: snake_case, ending in its unit if it has one.
        kind: float, int, bool or str; InfluxDB rejects a field that changes its kind.
        unit: a key of :data:`UNITS`, such as ``celsius`` or ``bytes``; empty for a plain number.
        help: one sentence.
        low, high: the inclusive range of valid values; None for no bound.
    """

    name: str
    kind: type
    unit: str
    help: str
    low: float | None = None
    high: float | None = None

    def admits(self, value: FieldValue) -> bool:
        """Whether the value has the field's kind and lies within its range."""
        if type(value) is not self.kind:
            return False
        if isinstance(value, str):
            return True
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Measurement(NamedTuple):
    """A measurement: the meaning of one kind of line.

    Args:
        event: whether a line reports a single event that no later line repeats. A spool syncs such lines to disk
            immediately.
    """

    name: str
    help: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]
    event: bool = False

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError if it is not declared."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"measurement {self.name!r} declares no field {name!r}")

    def only(self, *fields: str) -> Measurement:
        """This measurement with only these of its fields.

        Raises KeyError for an undeclared field.
        """
        return self._replace(fields=tuple(self.field(name) for name in fields))


#: Tags that Telegraf adds to every line; no collector declares them.
PIPELINE_TAGS = (
    Tag("host", "Host name of the machine that Telegraf runs on, added by Telegraf."),
    Tag("site", "Site of the machine: Telegraf's global tag, from SENSETIG_SITE."),
)

#: The self-metric that the runner emits for every collector.
COLLECTOR = Measurement(
    "collector",
    "Result of each run of a collector.",
    (Tag("collector", "The collector's name."),),
    (
        Field(
            "duration_seconds",
            float,
            "seconds",
            "Duration of the batch; absent for streaming collectors and processors, which mostly wait.",
            0,
        ),
        Field("samples", int, "", "Lines emitted since the last report.", 0),
        Field("errors", int, "", "Readings rejected or failed since the last report.", 0),
        Field("up", int, "", "1 when the batch was collected, 0 when it failed as a whole.", 0, 1),
        Field("reason", str, "", "Why it failed, or why the collector cannot start; only where up is 0."),
        Field("hangs", int, "", "1 when the collector hung and is restarted; absent otherwise.", 0, 1),
    ),
)


def check_unit(measurement: str, field: Field) -> None:
    """Raise DeclarationError for a field whose unit is unknown."""
    if field.unit not in UNITS:
        known = ", ".join(name for name in UNITS if name)
        raise DeclarationError(
            f"measurement {measurement!r}, field {field.name!r}: unknown unit {field.unit!r}; the units are {known}, "
            "or none; to add one, see UNITS in collectors/core/schema.py"
        )
