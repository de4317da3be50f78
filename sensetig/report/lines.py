"""The results of a panel's queries, as named lines of numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sensetig.influxdb.client import Client, Series
from sensetig.report import panels
from sensetig.report.panels import Panel
from sensetig.report.period import Period

HOUR_SECONDS = 3600

#: Maximum number of steps in a query for states: a week at the 10 s between two readings of a Pi.
_MAX_STATES = 61_000


class Line(NamedTuple):
    """One line of a chart. A value is None if there was no data: a gap, never a zero."""

    name: str
    times: tuple[int, ...]
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if value is not None]


class Drawn(NamedTuple):
    """A panel with its lines; *refused* is the reason why it could not be queried."""

    panel: Panel
    lines: tuple[Line, ...]
    step: int
    refused: str = ""

    @property
    def empty(self) -> bool:
        return not self.lines


def ask(client: Client, panel: Panel, device: str, period: Period) -> Drawn:
    """Query a panel's lines. A line without any value is left out."""
    queries, steps = [], []
    hourly = period.hourly or any(target.hourly for target in panel.targets)
    for target in panel.targets:
        by_hour = period.hourly and not target.hourly
        query, written = panels.of_bucket(target.query, panel.kind, hourly=by_hour)
        step = _step(panel, query, period, by_hour=by_hour and not written, hourly=hourly)
        # The rate of a step that is only partly inside the period would be too low.
        begin = (period.begin_ms // (step * 1000)) * step
        whole = period._replace(begin=datetime.fromtimestamp(begin, period.begin.tzinfo)) if rate(query) else period
        try:
            filled = panels.fill(query, device, whole, step)
        except ValueError as error:
            return Drawn(panel, (), period.step, f"its query has a variable that a report does not know: {error}")
        queries.append(filled)
        steps.append(step)
    lines: list[Line] = []
    answers = client.query_all(queries, "hourly" if hourly else "raw")
    for target, step, answer in zip(panel.targets, steps, answers, strict=True):
        for line in named(answer, target.alias):
            # A step that begins at the end of the period belongs to the next one.
            line = before(line, period.end_ms - (step * 1000 if rate(target.query) else 1))
            lines.append(regrouped(line, period.step, _gather(panel)) if step < period.step else line)
    return Drawn(panel, tuple(line for line in lines if line.known), max(period.step, *steps))


def named(answer: Sequence[Series], alias: str) -> list[Line]:
    """A line for each column of each series, named by the alias."""
    lines = []
    for series in answer:
        times = tuple(int(str(row[0])) for row in series.rows)
        for index, column in enumerate(series.columns[1:], 1):
            values = tuple(_float(row[index]) for row in series.rows)
            lines.append(Line(_title(alias, series, column), times, values))
    return lines


def _title(alias: str, series: Series, column: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name == "col":
            return column
        return series.tags.get(name.removeprefix("tag_"), "")

    if not alias:
        return " ".join([*series.tags.values(), column])
    return re.sub(r"\$(?:\{)?(tag_\w+|col)\}?", value, alias).strip() or column


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None


def _step(panel: Panel, query: str, period: Period, *, by_hour: bool, hourly: bool) -> int:
    """Seconds covered by each value of the result; less than a step of the chart if values are aggregated here."""
    if by_hour and panels.sums(query):
        return HOUR_SECONDS
    if panel.kind == "state-timeline" and not hourly:
        # The last state in half an hour would hide a state that lasted a minute.
        return max(10, min(period.step, int(period.seconds / _MAX_STATES / 10) * 10))
    return max(period.step, HOUR_SECONDS if hourly else 0)


def _gather(panel: Panel) -> Callable[[list[float]], float]:
    """The aggregate for values of a panel: the sum of counts, the fraction of states, the maximum of measurements."""
    if panel.kind != "state-timeline":
        return sum
    told = [panel.defaults, *({each["id"]: each["value"]} for every in panel.overrides for each in every["properties"])]
    return shares if any(each.get("mappings") for each in told) else max


def rate(query: str) -> bool:
    """Whether a query computes the rate of change of a counter."""
    return re.search(r"(derivative|difference)\(", query) is not None


def before(line: Line, last_ms: int) -> Line:
    """The line's points up to this time."""
    kept = [index for index, time in enumerate(line.times) if time <= last_ms]
    return Line(line.name, tuple(line.times[index] for index in kept), tuple(line.values[index] for index in kept))


def regrouped(line: Line, step: int, gather: Callable[[list[float]], float] = sum) -> Line:
    """Aggregate the line's values into steps of *step* seconds; a step without values is None."""
    groups: dict[int, list[float]] = {}
    for time, value in zip(line.times, line.values, strict=True):
        known = groups.setdefault(time - time % (step * 1000), [])
        if value is not None:
            known.append(value)
    return Line(line.name, tuple(groups), tuple(gather(known) if known else None for known in groups.values()))


def shares(values: list[float]) -> float:
    """Of booleans, 1 and 0, the fraction that is true; of other states the last."""
    return sum(values) / len(values) if set(values) <= {0.0, 1.0} else values[-1]


def stretches(line: Line, join_ms: float) -> list[tuple[list[int], list[float]]]:
    """The line's unbroken parts: values farther apart than *join_ms* are not connected."""
    found: list[tuple[list[int], list[float]]] = []
    for time, value in zip(line.times, line.values, strict=True):
        if value is None:
            continue
        if not found or time - found[-1][0][-1] > join_ms:
            found.append(([], []))
        found[-1][0].append(time)
        found[-1][1].append(value)
    return found
