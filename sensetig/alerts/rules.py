"""Read Grafana's alert rules from their provisioning files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.errors import OperatorError

#: The provisioned InfluxQL datasources -> their buckets.
BUCKETS = {"sensetig-influxql": "raw", "sensetig-influxql-hourly": "hourly"}

_EXPRESSIONS = ("__expr__", "-100")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


#: Comparison -> whether a number is over its bounds.
COMPARISONS: dict[str, Callable[[float, Sequence[float]], bool]] = {
    "gt": lambda value, bounds: value > bounds[0],
    "lt": lambda value, bounds: value < bounds[0],
    "outside_range": lambda value, bounds: value < bounds[0] or value > bounds[1],
    "within_range_included": lambda value, bounds: bounds[0] <= value <= bounds[1],
}


class RuleError(OperatorError):
    """A file of rules cannot be read; the message is one sentence."""


class Query(NamedTuple):
    """InfluxQL over the time from *begin_seconds* to *end_seconds* before the evaluation."""

    query: str
    bucket: str
    begin_seconds: float
    end_seconds: float
    interval_ms: int


class Compare(NamedTuple):
    """A comparison, one of :data:`COMPARISONS`, and its bounds."""

    kind: str
    bounds: tuple[float, ...]

    def holds(self, number: float) -> bool:
        """Whether it holds for a number."""
        return COMPARISONS[self.kind](number, self.bounds)


class Rule(NamedTuple):
    """An alert rule: the last number of each series of its query, against a threshold.

    Args:
        unread: why it cannot be evaluated here; or empty.
    """

    uid: str
    title: str
    query: Query
    threshold: Compare
    every_seconds: float
    for_seconds: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    unread: str = ""

    @property
    def window_seconds(self) -> float:
        """The shortest range in the query or in a part of it, in seconds."""
        parts = [seconds(part) for part in re.findall(r"now\(\) - (\w+)", self.query.query)]
        return min([self.query.begin_seconds, *parts])


def read(folder: Path) -> list[Rule]:
    """The rules of a folder's files, in the order of their names; none if there are none. Raises RuleError."""
    import yaml

    rules: list[Rule] = []
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")]):
        try:
            rules.extend(parse(yaml.safe_load(file.read_text(encoding="utf-8")) or {}))
        except (OSError, yaml.YAMLError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise RuleError(f"the alert rules in {file} cannot be read: {said}") from None
    return rules


def parse(document: Mapping[str, Any]) -> Iterator[Rule]:
    """The rules of one file's content."""
    for group in document.get("groups") or []:
        every = seconds(group.get("interval", "1m"))
        for rule in group.get("rules") or []:
            yield _rule(rule, every)


def seconds(text: object) -> float:
    """A duration as Grafana spells it: ``90s``, ``1h30m``, ``7d``, or a number of seconds."""
    spelled = str(text).strip()
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", spelled)
    if "".join(number + unit for number, unit in parts) == spelled and parts:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return float(spelled)


def _rule(rule: Mapping[str, Any], every: float) -> Rule:
    query, threshold, unread = _NO_QUERY, _NEVER, ""
    try:
        query, threshold = _steps(rule)
    except ValueError as error:
        unread = str(error)
    return Rule(
        str(rule.get("uid", "")),
        str(rule.get("title", "without a title")),
        query,
        threshold,
        every,
        seconds(rule.get("for") or 0),
        {key: _single(value) for key, value in (rule.get("labels") or {}).items()},
        {key: _single(value) for key, value in (rule.get("annotations") or {}).items()},
        unread,
    )


_NO_QUERY, _NEVER = Query("", "raw", 60.0, 0.0, 1000), Compare("gt", (float("inf"),))


def _single(text: object) -> str:
    """A dollar sign is doubled in provisioning files, where a single one begins an environment variable."""
    return str(text).replace("$$", "$")


def _steps(rule: Mapping[str, Any]) -> tuple[Query, Compare]:
    """The query and the threshold. Raises ValueError, with the reason, for a rule of another form."""
    if rule.get("keep_firing_for"):
        raise ValueError("it keeps firing after its condition has ended")
    steps = list(rule.get("data") or [])
    expressions = [each for each in steps if each.get("datasourceUid") in _EXPRESSIONS]
    kinds = [str((each.get("model") or {}).get("type")) for each in expressions]
    if len(steps) != 3 or kinds != ["reduce", "threshold"] or steps[0] in expressions:
        raise ValueError(f"its steps are not a query, a reduce and a threshold, but {kinds} over queries")
    query, reduce, threshold = steps
    chain = [str(each["model"].get("expression", "")).strip("${}") for each in (reduce, threshold)]
    if chain != [query["refId"], reduce["refId"]] or rule.get("condition") != threshold["refId"]:
        raise ValueError("its steps do not follow each other")
    function, mode = reduce["model"].get("reducer"), (reduce["model"].get("settings") or {}).get("mode")
    if (function, mode) != ("last", "dropNN"):
        raise ValueError(f"it reduces by {function!r} in the mode {mode!r}")
    (condition,) = threshold["model"]["conditions"]
    if condition.get("unloadEvaluator"):
        raise ValueError("its threshold has a second one for its end")
    evaluator = condition["evaluator"]
    if evaluator["type"] not in COMPARISONS:
        raise ValueError(f"it compares by {evaluator['type']!r}")
    return _query(query), Compare(str(evaluator["type"]), tuple(float(each) for each in evaluator["params"]))


def _query(step: Mapping[str, Any]) -> Query:
    model = step["model"]
    bucket = BUCKETS.get(str(step.get("datasourceUid")))
    if bucket is None:
        raise ValueError(f"it asks the datasource {step.get('datasourceUid')!r}")
    spread = step.get("relativeTimeRange") or {}
    begin, end = float(spread.get("from", 600)), float(spread.get("to", 0))
    # As many points as fit into the range at the requested minimum interval.
    points = int(model.get("maxDataPoints") or 43_200)
    interval = max(int(model.get("intervalMs") or 1000), int((begin - end) * 1000 / points))
    return Query(_single(model["query"]), bucket, begin, end, interval)
