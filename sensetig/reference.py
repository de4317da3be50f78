"""The metrics reference: what the collectors declare, written as a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from collectors.core.schema import COLLECTOR, PIPELINE_TAGS, UNITS, Field, Measurement, Tag, check_unit
from collectors.core.settings import DEFAULT_FILE, Setting, variable

_KINDS = {float: "float", int: "integer", bool: "boolean", str: "string"}

_HEAD = f"""# Metrics reference

<!-- Built from the collectors' declarations by `sensetig reference`: change those, not this file. -->

What every collector emits, and how each is set. A collector runs as `python -m collectors NAME`; without a name,
all are listed.

No data is different from zero: a field that could not be read, or that a machine does not have, is absent from its
point. A reading outside its range is refused and counted in [`collector`](#every-collector). Times are in
nanoseconds, UTC.

Each setting has three places, the later the stronger: its key in the collector's section of the settings file
(`{DEFAULT_FILE}`, or the file that `SENSETIG_SETTINGS` or `--settings` names), its environment variable,
its option.
"""


class Collector:
    """What the reference says of one collector.

    Args:
        name: its name on the command line.
        summary: its line of help.
        measurements, settings: what it declares.
        guide: the link to a page of its own, or None.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        measurements: Sequence[Measurement],
        settings: Sequence[Setting[Any]],
        guide: str | None = None,
    ) -> None:
        self.name = name
        self.summary = summary
        self.measurements = measurements
        self.settings = settings
        self.guide = guide


def render(collectors: Iterable[Collector]) -> str:
    """The whole document, in Markdown. Raises DeclarationError for an unknown unit."""
    every = list(collectors)
    parts = [_HEAD, *_contents(every), *_common(), *_units()]
    for collector in every:
        parts.extend(_collector(collector))
    return "\n".join(parts)


def heading(name: str) -> str:
    """The line that begins a collector's section."""
    return f"## {name}"


def _contents(collectors: Sequence[Collector]) -> Iterator[str]:
    rows = [
        [f"[{each.name}](#{each.name})", each.summary, ", ".join(f"`{one.name}`" for one in each.measurements)]
        for each in collectors
    ]
    yield from _table(("collector", "what it is", "measurements"), rows)


def _common() -> Iterator[str]:
    yield "## Every collector\n"
    yield "The pipeline adds these tags to every point:\n"
    yield from _tags(PIPELINE_TAGS)
    yield "Each collector reports on itself:\n"
    yield from _measurement(COLLECTOR)


def _units() -> Iterator[str]:
    yield "## Units\n"
    yield "A field has one of these units, or none where it is a plain number, a truth value or a text:\n"
    yield from _table(("unit", "symbol"), [[f"`{name}`", symbol] for name, symbol in UNITS.items() if name])


def _collector(collector: Collector) -> Iterator[str]:
    yield heading(collector.name) + "\n"
    yield collector.summary + (f" [More of it]({collector.guide})." if collector.guide else "") + "\n"
    for measurement in collector.measurements:
        yield from _measurement(measurement)
    yield f"### Settings of {collector.name}\n"
    if not collector.settings:
        yield "It has none.\n"
        return
    yield from _table(
        (f"key in `[{collector.name}]`", "option", "variable", "default", "meaning"),
        [
            [
                f"`{setting.name}`",
                f"`--{setting.name.replace('_', '-')}`",
                f"`{variable(collector.name, setting)}`",
                _default(setting),
                setting.help + _expected(setting),
            ]
            for setting in collector.settings
        ],
    )


def _measurement(measurement: Measurement) -> Iterator[str]:
    yield f"### Measurement `{measurement.name}`\n"
    yield measurement.help + "\n"
    if measurement.tags:
        yield from _tags(measurement.tags)
    for field in measurement.fields:
        check_unit(measurement.name, field)
    yield from _table(
        ("field", "type", "unit", "valid", "meaning"),
        [
            [f"`{field.name}`", _KINDS[field.kind], field.unit, _valid(field), field.help]
            for field in measurement.fields
        ],
    )


def _tags(tags: Sequence[Tag]) -> Iterator[str]:
    rows = [[f"`{tag.name}`", tag.help + (" Not on every point." if tag.optional else "")] for tag in tags]
    yield from _table(("tag", "meaning"), rows)


def _valid(field: Field) -> str:
    if field.low is not None and field.high is not None:
        return f"{field.low:g} to {field.high:g}"
    if field.low is not None:
        return f"at least {field.low:g}"
    return "" if field.high is None else f"at most {field.high:g}"


def _expected(setting: Setting[Any]) -> str:
    """What a value must be; a text of any kind goes without saying."""
    return "" if setting.kind is str and not setting.choices else f" {setting.expected.capitalize()}."


def _default(setting: Setting[Any]) -> str:
    default = setting.default
    if default is None or default == "":
        return "none"
    if setting.kind is bool:
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if setting.kind is float else f"`{default}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
