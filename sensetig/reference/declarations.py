"""The reference pages of measurements and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from collectors.core.schema import COLLECTOR, PIPELINE_TAGS, UNITS, Field, Measurement, Tag, check_unit
from collectors.core.settings import DEFAULT_FILE, Setting, variable
from sensetig.reference.markdown import table

_KINDS = {float: "float", int: "integer", bool: "boolean", str: "string"}
_SETTING_KINDS = {float: "number", int: "whole number", bool: "true or false", str: "text"}

_METRICS = """# Metrics reference

<!-- Built from the collectors' declarations by `sensetig reference`: change those, not this file. -->

The measurements of every collector. A collector runs as `python -m collectors NAME`; without a name, the command lists
all collectors. The [settings reference](settings.md) has their settings.

Missing data is never stored as 0: a field that cannot be read, or that a machine does not have, is absent from its
point. A reading outside its range is rejected and counted in [`collector`](#every-collector). Times are in
nanoseconds, UTC.
"""

_SETTINGS = f"""# Settings reference

<!-- Built from the collectors' declarations by `sensetig reference`: change those, not this file. -->

The settings of every collector. A setting comes from the first of these places that has it:

1. its option on the collector's command line,
2. its environment variable,
3. its key in the collector's section of the settings file: `{DEFAULT_FILE}`, or the file that `--settings FILE`
   or the variable `SENSETIG_SETTINGS` names,
4. its default.

An empty variable or option counts as absent. A wrong value stops the collector with a sentence that names the place,
the value and the values that are allowed. `sensetig check-settings` checks a whole file.

```toml
[system]
processes = 10
```

Every collector also has the options `--execd`, `--settings FILE`, `--spool DIR` and `--help`.
"""


class Collector:
    """A collector on the reference pages.

    Args:
        name: its name on the command line.
        summary: its summary line.
        measurements, settings: its declarations.
        guide: the link to its page, or None.
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


def render_metrics(collectors: Iterable[Collector]) -> str:
    """The page of measurements, in Markdown. Raises DeclarationError for an unknown unit."""
    every = list(collectors)
    parts = [_METRICS, *_contents(every), *_common(), *_units()]
    for collector in every:
        parts.extend(_collector(collector))
    return "\n".join(parts)


def render_settings(collectors: Iterable[Collector]) -> str:
    """The page of settings, in Markdown."""
    parts = [_SETTINGS]
    for collector in collectors:
        parts.extend(_settings(collector))
    return "\n".join(parts)


def heading(name: str) -> str:
    """The heading of a collector's section."""
    return f"## {name}"


def _contents(collectors: Sequence[Collector]) -> Iterator[str]:
    rows = [
        [f"[{each.name}](#{each.name})", each.summary, ", ".join(f"`{one.name}`" for one in each.measurements)]
        for each in collectors
    ]
    yield from table(("collector", "summary", "measurements"), rows)


def _common() -> Iterator[str]:
    yield "## Every collector\n"
    yield "The pipeline adds these tags to every point:\n"
    yield from _tags(PIPELINE_TAGS)
    yield "Each collector reports on itself:\n"
    yield from _measurement(COLLECTOR)


def _units() -> Iterator[str]:
    yield "## Units\n"
    yield "A field has one of these units, or none where it is a plain number, a truth value or a text:\n"
    yield from table(("unit", "symbol"), [[f"`{name}`", symbol] for name, symbol in UNITS.items() if name])


def _collector(collector: Collector) -> Iterator[str]:
    yield heading(collector.name) + "\n"
    yield collector.summary + (f" See [its page]({collector.guide})." if collector.guide else "") + "\n"
    for measurement in collector.measurements:
        yield from _measurement(measurement)


def _settings(collector: Collector) -> Iterator[str]:
    yield heading(collector.name) + "\n"
    yield f"{collector.summary} See its [measurements](metrics.md#{collector.name}).\n"
    if not collector.settings:
        yield "It has no settings.\n"
        return
    yield from table(
        (f"key in `[{collector.name}]`", "option", "variable", "kind", "allowed", "default", "meaning"),
        [
            [
                f"`{setting.name}`",
                f"`--{setting.name.replace('_', '-')}`",
                f"`{variable(collector.name, setting)}`",
                _SETTING_KINDS[setting.kind],
                _allowed(setting),
                _default(setting),
                setting.help,
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
    yield from table(
        ("field", "type", "unit", "valid", "meaning"),
        [
            [f"`{field.name}`", _KINDS[field.kind], field.unit, _valid(field), field.help]
            for field in measurement.fields
        ],
    )


def _tags(tags: Sequence[Tag]) -> Iterator[str]:
    rows = [[f"`{tag.name}`", tag.help + (" Not on every point." if tag.optional else "")] for tag in tags]
    yield from table(("tag", "meaning"), rows)


def _valid(field: Field) -> str:
    return _range(field.low, field.high)


def _allowed(setting: Setting[Any]) -> str:
    return ", ".join(f"`{choice}`" for choice in setting.choices) or _range(setting.low, setting.high)


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None:
        return f"at least {low:g}"
    return "" if high is None else f"at most {high:g}"


def _default(setting: Setting[Any]) -> str:
    default = setting.default
    if default is None or default == "":
        return "none"
    if setting.kind is bool:
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if setting.kind is float else f"`{default}`"
