"""Grafana's alert rules as its provisioning files have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.errors import OperatorError

#: The provisioned InfluxQL datasources, and the bucket behind each.
BUCKETS = {"sensetig-influxql": "raw", "sensetig-influxql-hourly": "hourly"}

_EXPRESSIONS = ("__expr__", "-100")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class RuleError(OperatorError):
    """A file of rules that cannot be read; the text is one sentence."""


class Query(NamedTuple):
    """InfluxQL over the time from *begin_seconds* to *end_seconds* before the evaluation."""

    ref: str
    query: str
    bucket: str
    begin_seconds: float
    end_seconds: float
    interval_ms: int


class Reduce(NamedTuple):
    """Each series of *of* as one number; *mode* says what becomes of values that are none."""

    ref: str
    of: str
    function: str
    mode: str
    replacement: float


class Math(NamedTuple):
    """Arithmetic over other steps, written ``$A``."""

    ref: str
    expression: str


class Compare(NamedTuple):
    """A comparison, such as ``gt``, and its bounds."""

    kind: str
    bounds: tuple[float, ...]


class Threshold(NamedTuple):
    """Whether *of* is over; with *until*, what is over stays so until that holds."""

    ref: str
    of: str
    over: Compare
    until: Compare | None


Step = Query | Reduce | Math | Threshold


class Rule(NamedTuple):
    """An alert rule. *unread* says why it cannot be evaluated here, if so."""

    uid: str
    title: str
    condition: str
    steps: tuple[Step, ...]
    every_seconds: float
    for_seconds: float
    keep_seconds: float
    no_data: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    unread: str = ""

    @property
    def window_seconds(self) -> float:
        """The shortest time that it looks back, in a query or by a part of one."""
        queries = [step for step in self.steps if isinstance(step, Query)]
        parts = [seconds(part) for each in queries for part in re.findall(r"now\(\) - (\w+)", each.query)]
        return min([*(each.begin_seconds for each in queries), *parts], default=60.0)


def read(folder: Path) -> list[Rule]:
    """The rules of a folder's files, in the order of their names; none where there are none. Raises RuleError."""
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
    steps: list[Step] = []
    unread = ""
    for each in rule.get("data") or []:
        try:
            steps.append(_step(each))
        except ValueError as error:
            unread = str(error)
    return Rule(
        str(rule.get("uid", "")),
        str(rule.get("title", "without a title")),
        str(rule.get("condition", "")),
        tuple(steps),
        every,
        seconds(rule.get("for") or 0),
        seconds(rule.get("keep_firing_for") or 0),
        str(rule.get("noDataState", "NoData")),
        {key: _single(value) for key, value in (rule.get("labels") or {}).items()},
        {key: _single(value) for key, value in (rule.get("annotations") or {}).items()},
        unread,
    )


def _single(text: object) -> str:
    """A dollar is written twice in provisioning files, where a single one is a variable of the environment."""
    return str(text).replace("$$", "$")


def _step(step: Mapping[str, Any]) -> Step:
    """One step. Raises ValueError, with the reason, for one that is not known here."""
    model, ref = step.get("model") or {}, str(step["refId"])
    if step.get("datasourceUid") not in _EXPRESSIONS:
        return _query(step, model, ref)
    kind = model.get("type")
    if kind == "math":
        return Math(ref, _single(model["expression"]))
    of = re.sub(r"[${}]", "", str(model.get("expression", "")))
    if kind == "reduce":
        settings = model.get("settings") or {}
        mode, replacement = str(settings.get("mode") or ""), float(settings.get("replaceWithValue") or 0)
        return Reduce(ref, of, str(model.get("reducer")), mode, replacement)
    if kind == "threshold":
        (condition,) = model["conditions"]
        until = condition.get("unloadEvaluator")
        return Threshold(ref, of, _compare(condition["evaluator"]), _compare(until) if until else None)
    raise ValueError(f"it has a step of the kind {kind!r}")


def _compare(evaluator: Mapping[str, Any]) -> Compare:
    return Compare(str(evaluator["type"]), tuple(float(each) for each in evaluator["params"]))


def _query(step: Mapping[str, Any], model: Mapping[str, Any], ref: str) -> Query:
    bucket = BUCKETS.get(str(step.get("datasourceUid")))
    if bucket is None:
        raise ValueError(f"it asks the datasource {step.get('datasourceUid')!r}")
    spread = step.get("relativeTimeRange") or {}
    begin, end = float(spread.get("from", 600)), float(spread.get("to", 0))
    # So many points as the range has room for, and none closer than asked for.
    points = int(model.get("maxDataPoints") or 43_200)
    interval = max(int(model.get("intervalMs") or 1000), int((begin - end) * 1000 / points))
    return Query(ref, _single(model["query"]), bucket, begin, end, interval)
