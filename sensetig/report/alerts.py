"""The alerts of a period, from the provisioned rules' own queries.

A rule is evaluated as Grafana does it, at points in time spread over the period: its query over the range before
that time, reduced to one number a series, against its threshold. What began and ended between two of these times is
not seen, which the report says.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.report.errors import ReportError
from sensetig.report.period import Period
from sensetig.report.reader import Reader, Series

#: A rule is looked at so many times in a period, or once a minute where that is less often.
MOST_LOOKS = 96

_REDUCERS: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda values: values[-1],
    "mean": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "sum": sum,
    "count": len,
}
_COMPARE: dict[str, Callable[[float, Sequence[float]], bool]] = {
    "gt": lambda value, bounds: operator.gt(value, bounds[0]),
    "gte": lambda value, bounds: operator.ge(value, bounds[0]),
    "lt": lambda value, bounds: operator.lt(value, bounds[0]),
    "lte": lambda value, bounds: operator.le(value, bounds[0]),
    "eq": lambda value, bounds: operator.eq(value, bounds[0]),
    "ne": lambda value, bounds: operator.ne(value, bounds[0]),
    "within_range": lambda value, bounds: bounds[0] < value < bounds[1],
    "outside_range": lambda value, bounds: value < bounds[0] or value > bounds[1],
}


class Rule(NamedTuple):
    """An alert rule: its InfluxQL over the last *range_seconds*, reduced, and compared. *unread* says why it is not."""

    title: str
    query: str = ""
    range_seconds: int = 600
    reducer: str = "last"
    comparison: str = "gt"
    bounds: tuple[float, ...] = ()
    unread: str = ""


class Alert(NamedTuple):
    """A rule that was over its threshold, from the first to the last look at which it was."""

    title: str
    begin_ms: int
    end_ms: int


class Alerts(NamedTuple):
    """All alerts; *rules* is how many rules there are, *unread* those that could not be evaluated, and why."""

    rules: int
    alerts: tuple[Alert, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    every_seconds: float = 0.0


def read(folder: Path) -> list[Rule]:
    """The provisioned rules; none where there is no folder. Raises ReportError for a broken file."""
    import yaml

    rules: list[Rule] = []
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")]):
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            for group in document.get("groups") or []:
                rules.extend(parse(rule) for rule in group.get("rules") or [])
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ReportError(f"the alert rules in {file} cannot be read: {' '.join(str(error).split())}") from None
    return rules


def parse(rule: Mapping[str, Any]) -> Rule:
    """A rule of Grafana's provisioning; one that asks for more than a report can evaluate says so."""
    title = str(rule.get("title", "without a title"))
    asked: dict[str, Any] = {}
    reducer, evaluator = "last", None
    for step in rule.get("data") or []:
        model = step.get("model") or {}
        if step.get("datasourceUid") not in ("__expr__", "-100"):
            asked[step["refId"]] = step
        elif model.get("type") == "reduce":
            reducer = model.get("reducer", "last")
        elif model.get("type") == "threshold":
            evaluator = (model.get("conditions") or [{}])[0].get("evaluator")
        else:
            return Rule(title, unread=f"it has a step of the kind {model.get('type')!r}")
    if len(asked) != 1:
        return Rule(title, unread=f"it has {len(asked)} queries")
    ((_, step),) = asked.items()
    query = (step.get("model") or {}).get("query", "")
    if "$timeFilter" not in query.replace("$$", "$"):
        return Rule(title, unread="its query is no InfluxQL of a time range")
    if evaluator is None or evaluator.get("type") not in _COMPARE or reducer not in _REDUCERS:
        return Rule(title, unread="it has no threshold that is known here")
    spread = (step.get("relativeTimeRange") or {}).get("from", 600)
    # A dollar is written twice in provisioning files, where a single one would be a variable of the environment.
    bounds = tuple(float(each) for each in evaluator.get("params") or [])
    return Rule(title, query.replace("$$", "$"), int(spread), reducer, evaluator["type"], bounds)


def gather(reader: Reader, rules: Sequence[Rule], device: str, period: Period) -> Alerts:
    """When each rule was over its threshold for the device. Queries of rules read the bucket ``raw``."""
    looks = int(max(1, min(MOST_LOOKS, period.seconds // 60)))
    every = period.seconds / looks
    times = [int(period.begin_ms + every * 1000 * (index + 1)) for index in range(looks)]
    alerts: list[Alert] = []
    unread = [(rule.title, rule.unread) for rule in rules if rule.unread]
    for rule in rules:
        if rule.unread:
            continue
        try:
            answers = reader.ask_all([_at(rule, time) for time in times])
        except ValueError as error:
            unread.append((rule.title, str(error)))
            continue
        over = [fires(rule, answer, device) for answer in answers]
        alerts.extend(Alert(rule.title, *ends) for ends in stretches(times, over))
    return Alerts(len(rules), tuple(sorted(alerts, key=lambda each: each.begin_ms)), tuple(unread), every)


def _at(rule: Rule, time_ms: int) -> str:
    begin = time_ms - rule.range_seconds * 1000
    query = rule.query.replace("$timeFilter", f"time >= {begin}ms AND time <= {time_ms}ms")
    query = re.sub(r"\$(?:__)?interval\b", "60s", query)
    if left := re.search(r"\$\w+|\$\{", query):
        raise ValueError(f"nothing fills in {left[0]}")
    return query


def fires(rule: Rule, answer: Sequence[Series], device: str) -> bool:
    """Whether any of the device's series is over the threshold; no data is never over it."""
    for series in answer:
        if series.tags.get("device", series.tags.get("host", device)) != device:
            continue
        for column in range(1, len(series.columns)):
            cells = (row[column] for row in series.rows)
            values = [float(cell) for cell in cells if isinstance(cell, bool | int | float)]
            if values and _COMPARE[rule.comparison](_REDUCERS[rule.reducer](values), rule.bounds):
                return True
    return False


def stretches(times: Sequence[int], over: Sequence[bool]) -> list[tuple[int, int]]:
    """The first and the last time of each run of truths."""
    found: list[tuple[int, int]] = []
    before = False
    for time, now in zip(times, over, strict=True):
        if now:
            found.append((found.pop()[0] if before else time, time))
        before = now
    return found
