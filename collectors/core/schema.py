"""What a collector emits, declared once: measurements with their tags and fields.

The metrics reference, the validation of telemetry, the units on the dashboards and the contract tests
all read these declarations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue, Metric


class Tag(NamedTuple):
    """A tag: always a string, low in cardinality. Optional tags may be absent from a line."""

    name: str
    help: str
    optional: bool = False


class Field(NamedTuple):
    """A field.

    Args:
        name: snake_case, ending in its unit where it has one.
        kind: float, int, bool or str; InfluxDB refuses a field that changes its kind.
        unit: the unit's name, such as ``celsius`` or ``bytes``; empty where there is none.
        help: one sentence.
        low, high: the inclusive range of valid values, or None where there is no bound.
    """

    name: str
    kind: type
    unit: str
    help: str
    low: float | None = None
    high: float | None = None

    def admits(self, value: FieldValue) -> bool:
        """Whether the value is of the field's kind and within its range."""
        if type(value) is not self.kind:
            return False
        if isinstance(value, str):
            return True
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Measurement(NamedTuple):
    """A measurement: what one kind of line means.

    Args:
        event: whether a line tells of what happened once, and will not be told again by the next line. A spool
            puts such lines on the disk at once.
    """

    name: str
    help: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]
    event: bool = False

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError when the measurement has none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"measurement {self.name!r} declares no field {name!r}")

    def only(self, *fields: str) -> Measurement:
        """This measurement with these of its fields, for a collector that fills no more.

        Raises KeyError when the measurement has no field of that name.
        """
        return self._replace(fields=tuple(self.field(name) for name in fields))


#: Tags that the pipeline adds to every line; no collector declares them.
PIPELINE_TAGS = (
    Tag("host", "Host name of the machine that Telegraf runs on, added by Telegraf."),
    Tag("site", "Where the machine stands: Telegraf's global tag, from SENSETIG_SITE."),
)

#: How each run of a collector went; the runner emits it for every collector.
COLLECTOR = Measurement(
    "collector",
    "How each run of a collector went.",
    (Tag("collector", "The collector's name."),),
    (
        Field(
            "duration_seconds",
            float,
            "seconds",
            "Time that the batch took; absent where events are followed, since that time is mostly waiting for them.",
            0,
        ),
        Field("samples", int, "", "Lines emitted since the last report.", 0),
        Field("errors", int, "", "Readings refused or failed since the last report.", 0),
        Field("up", int, "", "1 when the batch was collected, 0 when it failed as a whole.", 0, 1),
    ),
)


def violations(metric: Metric, measurements: tuple[Measurement, ...]) -> Iterator[str]:
    """Sentences that say where the metric differs from what is declared; none when it agrees."""
    name = metric.series.measurement
    declared = next((each for each in measurements if each.name == name), None)
    if declared is None:
        yield f"measurement {name!r} is not declared"
        return
    tags = {tag.name: tag for tag in declared.tags}
    pipeline = {tag.name for tag in PIPELINE_TAGS}
    for tag in metric.series.tags:
        if tag not in tags and tag not in pipeline:
            yield f"{name}: tag {tag!r} is not declared"
    for tag_name, declared_tag in tags.items():
        if tag_name not in metric.series.tags and not declared_tag.optional:
            yield f"{name}: tag {tag_name!r} is missing"
    fields = {field.name: field for field in declared.fields}
    for key, value in metric.fields.items():
        field = fields.get(key)
        if field is None:
            yield f"{name}: field {key!r} is not declared"
        elif type(value) is not field.kind:
            yield f"{name}: field {key!r} is {type(value).__name__}, declared as {field.kind.__name__}"
        elif not field.admits(value):
            yield f"{name}: field {key!r} is {value}, outside {field.low} to {field.high} {field.unit}".rstrip()
