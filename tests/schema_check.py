"""Compares metrics with their declarations."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.core.line_protocol import Metric
from collectors.core.schema import PIPELINE_TAGS, Measurement


def violations(metric: Metric, measurements: tuple[Measurement, ...]) -> Iterator[str]:
    """A sentence for each difference between a metric and its declaration."""
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
