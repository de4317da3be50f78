"""The alerts of a period: the provisioned rules, evaluated at points in time spread over it.

A rule is looked at as often as its query looks back, so that no point is between two looks, where that is not too
often. Around each look that finds it over, every time at which Grafana would have evaluated it is looked at, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sensetig.alerts import rules as provisioned
from sensetig.alerts.evaluate import Fired, Outcome, firing, outcomes
from sensetig.alerts.rules import Rule
from sensetig.report.errors import ReportError
from sensetig.report.period import Period
from sensetig.report.reader import Reader

#: What a rule's label ``severity`` says, the gravest first; one without it is a warning.
SEVERITIES = ("critical", "warning", "info")

#: A rule is looked at so many times in a period at most, beside the looks around an alert.
MOST_LOOKS = 336

#: Seconds: what looks back over days is looked at as often as this all the same.
_LONGEST_LOOK = 600.0

#: So many of the times around alerts are looked at at most.
_MOST_CLOSE = 3000

#: Labels that may say which device a series is of, and those that need no word on a page of one device.
_DEVICE = ("host", "device")
_KNOWN = ("host", "site", "model", "simulated", "replayed", "brought_by", "fstype", "mode")


class Alert(NamedTuple):
    """An alert of the device: when it fired, when its condition held for the last time, and what it is about."""

    title: str
    about: str
    severity: str
    begin_ms: int
    end_ms: int
    lasting: bool


class Told(NamedTuple):
    """All alerts of one rule about one thing: how often it fired, when last, and how long in all."""

    title: str
    about: str
    severity: str
    times: int
    last_ms: int
    seconds: float
    lasting: bool


class Alerts(NamedTuple):
    """All alerts; *rules* is how many rules there are, *unread* those that could not be evaluated, and why.

    Args:
        begin_ms: from when on they were evaluated: before that, points are no longer kept.
        every_seconds: the longest time between two looks.
    """

    rules: int
    alerts: tuple[Alert, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    begin_ms: int = 0
    every_seconds: float = 0.0


def together(alerts: Sequence[Alert]) -> list[Told]:
    """The alerts of each rule and thing in one, the gravest first, and of those what lasts, then what came last."""
    groups: dict[tuple[str, str, str], list[Alert]] = {}
    for each in alerts:
        groups.setdefault((each.title, each.about, each.severity), []).append(each)
    told = [
        Told(
            *key,
            len(group),
            max(each.begin_ms for each in group),
            sum(each.end_ms - each.begin_ms for each in group) / 1000,
            any(each.lasting for each in group),
        )
        for key, group in groups.items()
    ]
    grave = {severity: place for place, severity in enumerate(SEVERITIES)}
    return sorted(told, key=lambda each: (grave.get(each.severity, 1), not each.lasting, -each.last_ms, each.title))


def read(folder: Path) -> list[Rule]:
    """The provisioned rules; none where there is no folder. Raises ReportError for a broken file."""
    try:
        return provisioned.read(folder)
    except provisioned.RuleError as error:
        raise ReportError(str(error)) from None


def gather(reader: Reader, rules: Sequence[Rule], device: str, period: Period, kept_ms: int = 0) -> Alerts:
    """When each rule fired for the device.

    Args:
        reader: InfluxDB.
        rules: the rules.
        device: whose alerts; what tells of no device concerns each of them.
        period: when.
        kept_ms: points older than that are no longer there, which is no silence: rules are evaluated from then on.
    """
    begin = max(period.begin_ms, kept_ms)
    alerts: list[Alert] = []
    unread: list[tuple[str, str]] = []
    longest = 0.0
    for rule in rules if begin < period.end_ms else ():
        # That nothing at all answers is no news of one device: its gaps are told in the summary.
        rule = rule._replace(no_data="OK")
        every = max(
            rule.every_seconds, min(rule.window_seconds, _LONGEST_LOOK), (period.end_ms - begin) / 1000 / MOST_LOOKS
        )
        try:
            fired, last = _fired(reader, rule, device, begin, period.end_ms, every)
        except ValueError as error:
            unread.append((rule.title, str(error)))
            continue
        longest = max(longest, every)
        alerts += [_alert(rule, each, last, device) for each in fired]
    alerts.sort(key=lambda each: (each.begin_ms, each.title, each.about))
    return Alerts(len(rules), tuple(alerts), tuple(unread), begin, longest)


def _fired(reader: Reader, rule: Rule, device: str, begin: int, end: int, every: float) -> tuple[list[Fired], int]:
    """The rule's alerts, and the last time at which it was looked at."""
    step = int(rule.every_seconds * 1000)
    # Grafana evaluates at whole multiples of the group's interval.
    grid = list(range(-(-begin // step) * step, end + 1, step))
    if not grid:
        return [], end
    stride = max(1, round(every * 1000 / step))
    looked = dict.fromkeys((*range(0, len(grid), stride), len(grid) - 1))
    known = _ask(reader, rule, [grid[index] for index in looked], device)
    close = [
        near
        for index in looked
        if any(known[grid[index]].values())
        for near in range(max(0, index - stride), min(len(grid), index + stride + 1))
        if grid[near] not in known
    ]
    # Beyond a bound the rest stays as coarse as it was: a rule that is over for a year says so once.
    more = sorted({grid[near] for near in close})[:_MOST_CLOSE]
    known |= _ask(reader, rule, more, device)
    times = sorted(known)
    return firing(rule, times, [known[time] for time in times]), times[-1]


def _ask(reader: Reader, rule: Rule, times: Sequence[int], device: str) -> dict[int, Outcome]:
    found = outcomes(reader.ask_all, rule, times, device)
    return {
        time: {labels: state for labels, state in outcome.items() if of_device(dict(labels), device)}
        for time, outcome in zip(times, found, strict=True)
    }


def of_device(labels: Mapping[str, str], device: str) -> bool:
    """Whether a series is the device's: by a label that says so, or for want of any."""
    named = [labels[name] for name in _DEVICE if name in labels]
    return not named or device in named


def _alert(rule: Rule, fired: Fired, last: int, device: str) -> Alert:
    about = " ".join(value for name, value in fired.labels if name not in _KNOWN and value not in ("", device))
    severity = rule.labels.get("severity", "")
    return Alert(rule.title, about, severity, fired.fired_ms, fired.end_ms, fired.end_ms == last)
