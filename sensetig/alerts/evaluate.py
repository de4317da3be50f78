"""Rules at points in time: each label set's state, and when it fired.

Grafana does the same with a rule: its queries over the range before each evaluation, its expressions over their
results, and an alert that fires once its condition has held for the rule's pending period.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sensetig.alerts.rules import Query, Rule

#: Maximum number of queries per request.
_AT_ONCE = 100

#: Seconds; a query with a longer range is not split into consecutive windows.
_MAX_WINDOW_SECONDS = 7200


class Answered(Protocol):
    """One series of an answer; the first column is the time in milliseconds since 1970."""

    @property
    def tags(self) -> dict[str, str]: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def rows(self) -> Sequence[Sequence[object]]: ...


#: Runs queries on a bucket: the series of each.
Ask = Callable[[Sequence[str], str], Sequence[Sequence[Answered]]]

#: The labels of a series, sorted.
Labels = tuple[tuple[str, str], ...]

#: Each label set's outcome: whether its condition holds, or None for "no data".
Outcome = dict[Labels, bool | None]


class Fired(NamedTuple):
    """An alert: first evaluation with its condition true, time of firing, last evaluation with its condition true."""

    labels: Labels
    begin_ms: int
    fired_ms: int
    end_ms: int


def outcomes(ask: Ask, rule: Rule, times_ms: Sequence[int], device: str | None = None) -> list[Outcome]:
    """Evaluate the rule at each of these times, earliest first.

    Args:
        ask: queries InfluxDB; its exceptions are passed on.
        rule: one that can be evaluated here.
        times_ms: the times of evaluation.
        device: evaluate only this device's series; the result may omit the others, which is faster.

    Raises:
        ValueError: the rule uses a feature that is not supported here.
    """
    if rule.unread:
        raise ValueError(rule.unread)
    found: list[Outcome] = []
    for start in range(0, len(times_ms), _AT_ONCE):
        times = times_ms[start : start + _AT_ONCE]
        answers = ask([filled(rule.query, time, device) for time in times], rule.query.bucket)
        found += [_outcome(rule, answer) for answer in answers]
    return found


def at_windows(
    ask: Ask, rule: Rule, begin_ms: int, end_ms: int, device: str | None = None
) -> dict[int, Outcome] | None:
    """Evaluate the rule at the end of each of the consecutive windows in a period, in one query.

    This covers every point of the period, and replaces one query per window.

    Returns:
        Each window's end, in milliseconds, and the outcome; None if the rule's query cannot be grouped by window.

    Raises:
        ValueError: the rule uses a feature that is not supported here.
    """
    if rule.unread:
        raise ValueError(rule.unread)
    grouped = _by_windows(rule.query)
    if grouped is None:
        return None
    query, seconds = grouped
    size = seconds * 1000
    first = -(-begin_ms // size) * size - size
    whole = query._replace(begin_seconds=(end_ms - first) / 1000)
    (answer,) = ask([filled(whole, end_ms, device)], query.bucket)
    windows: dict[int, list[Answered]] = {end: [] for end in range(first + size, end_ms + 1, size)}
    for series in answer:
        for row in series.rows:
            end = int(str(row[0])) + size - 1
            if end in windows:
                windows[end].append(_Window(series.tags, series.columns, [row]))
    return {end: _outcome(rule, rows) for end, rows in windows.items()}


class _Window(NamedTuple):
    """The result of a series for one window."""

    tags: dict[str, str]
    columns: list[str]
    rows: Sequence[Sequence[object]]


def _by_windows(step: Query) -> tuple[Query, int] | None:
    """The query grouped by windows of its range, and the range in seconds; None if it cannot be grouped.

    A query over two ranges, or from point to point, cannot. An exception is a longer range that only adds a 0 to show
    that the device exists.
    """
    looks = set(re.findall(r"\btime > now\(\) - (\d+)s AND ", step.query))
    parts = re.findall(r'SELECT ((?:(?!SELECT).)*?) AS "value" FROM "\w+" WHERE (.*?) GROUP BY', step.query)
    if (
        len(looks) > 1
        or (looks and any(not what.startswith("0 * ") and "now()" not in where for what, where in parts))
        or len(parts) != step.query.count('FROM "')
        or re.search(r"(difference|derivative|\bfirst)\(", step.query)
        or step.end_seconds
    ):
        return None
    seconds = int(looks.pop()) if looks else int(step.begin_seconds)
    if seconds > _MAX_WINDOW_SECONDS:
        return None
    query = re.sub(r"\btime > now\(\) - \d+s AND ", "", step.query)
    # A point at the very time of an evaluation is included; hence the millisecond.
    query = re.sub(r'GROUP BY ((?:"\w+"(?:, )?)+)', rf"GROUP BY time({seconds}s, 1ms), \1 fill(none)", query)
    return step._replace(query=query), seconds


def filled(step: Query, time_ms: int, device: str | None = None) -> str:
    """A query with Grafana's variables filled in for an evaluation at this time. Raises ValueError for unknown ones."""
    begin, end = int(time_ms - step.begin_seconds * 1000), int(time_ms - step.end_seconds * 1000)
    query = _of_device(step.query, device) if device is not None else step.query
    query = query.replace("$timeFilter", f"time >= {begin}ms AND time <= {end}ms")
    query = re.sub(r"\$(?:__)?interval\b", f"{step.interval_ms}ms", query)
    query = re.sub(r"\bnow\(\)", f"{time_ms}ms", query)
    if left := re.search(r"\$\w+|\$\{", query):
        raise ValueError(f"nothing fills in {left[0]} in its query")
    return query


def _of_device(query: str, device: str) -> str:
    """Restrict the query to one device wherever it reads points, if its results are grouped by device."""
    tags = [tag for tag in ("host", "device") if re.search(rf'GROUP BY[^()]*"{tag}"', query)]
    if not tags:
        return query
    spelled = device.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    narrow = " OR ".join(f"\"{tag}\" = '{spelled}'" for tag in tags)
    parts = query.split("$timeFilter")
    narrowed = parts[0]
    for index, part in enumerate(parts[1:], 1):
        reads_points = _source("$timeFilter".join(parts[:index])) != "("
        narrowed += ("$timeFilter AND (" + narrow + ")" if reads_points else "$timeFilter") + part
    return narrowed


def _source(before: str) -> str:
    """The first character of a condition's source: a bracket for a subquery."""
    depth = 0
    for match in reversed(list(re.finditer(r"[()]|\bFROM\s+(\S)", before, re.IGNORECASE))):
        if match[0] == ")":
            depth += 1
        elif match[0] == "(" or match[1] == "(":
            depth -= 1
        if match[1] and depth == 0:
            return match[1]
    return ""


def _outcome(rule: Rule, answer: Sequence[Answered]) -> Outcome:
    outcome: Outcome = {}
    for series in answer:
        labels = tuple(sorted(series.tags.items()))
        for column in range(1, len(series.columns)):
            if labels in outcome:
                raise ValueError(f"two of its series have the same labels {dict(labels)}")
            numbers = [number for row in series.rows if (number := _number(row[column])) is not None]
            outcome[labels] = rule.threshold.holds(numbers[-1]) if numbers else None
    return outcome


def _number(cell: object) -> float | None:
    """The number in a cell; None if there is none, or one that is not finite."""
    return float(cell) if isinstance(cell, bool | int | float) and math.isfinite(cell) else None


def firing(rule: Rule, times_ms: Sequence[int], found: Sequence[Outcome]) -> list[Fired]:
    """The alerts in a series of outcomes: conditions that held for the rule's pending period, by label set.

    An alert ends when its label set disappears or has no number.
    """
    alerts: list[Fired] = []
    for labels in dict.fromkeys(labels for outcome in found for labels in outcome):
        alerts += _firing(rule, times_ms, [bool(outcome.get(labels)) for outcome in found], labels)
    return sorted(alerts, key=lambda each: (each.fired_ms, each.labels))


def _firing(rule: Rule, times_ms: Sequence[int], held: Sequence[bool], labels: Labels) -> list[Fired]:
    alerts: list[Fired] = []
    begin = fired = last = None
    for time, over in zip(times_ms, held, strict=True):
        if over:
            begin, last = time if begin is None else begin, time
            if fired is None and time - begin >= rule.for_seconds * 1000:
                fired = time
            continue
        if begin is not None and fired is not None and last is not None:
            alerts.append(Fired(labels, begin, fired, last))
        begin = fired = last = None
    if begin is not None and fired is not None and last is not None:
        alerts.append(Fired(labels, begin, fired, last))
    return alerts
