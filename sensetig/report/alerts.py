"""The alerts of a period: the provisioned rules, evaluated at times spread over it.

A rule is evaluated at intervals of its query's range, so that every point is covered; a rule that needs one query per
evaluation, less often. If two evaluations differ, the rule is evaluated at every time in between at which Grafana would
have evaluated it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sensetig.alerts import rules as provisioned
from sensetig.alerts.evaluate import Fired, Labels, Outcome, at_windows, firing, outcomes
from sensetig.alerts.rules import Rule
from sensetig.errors import ReportError
from sensetig.influxdb.client import Client
from sensetig.report.period import Period

#: Values of a rule's label ``severity``, the most severe first; the default is a warning.
SEVERITIES = ("critical", "warning", "info")

#: Evaluations per period of a rule that needs one query for each, without the extra ones.
MAX_EVALUATIONS = 336

#: Maximum time between two evaluations, even for a rule with a range of days.
_MAX_STEP_SECONDS = 600.0

#: Additional evaluations around the changes of a rule's state.
_MAX_EXTRA_EVALUATIONS = 3000

#: Labels that may identify the device of a series, and labels that a page on one device need not show.
_DEVICE = ("host", "device")
_KNOWN = ("host", "site", "model", "simulated", "replayed", "ingest_path", "brought_by", "fstype", "mode")


class Alert(NamedTuple):
    """An alert of the device: when it fired, when its condition last held, and its subject."""

    title: str
    about: str
    severity: str
    begin_ms: int
    end_ms: int
    lasting: bool
    uid: str = ""


class AlertSummary(NamedTuple):
    """All alerts of one rule about one thing: their number, the latest one, and their total duration."""

    title: str
    about: str
    severity: str
    times: int
    last_ms: int
    seconds: float
    lasting: bool
    uid: str = ""


class Alerts(NamedTuple):
    """All alerts; *rules* is the number of rules, *unread* has those that could not be evaluated, with the reason.

    Args:
        begin_ms: start of the evaluations: earlier points are no longer retained.
        every_seconds: maximum time between two evaluations.
    """

    rules: int
    alerts: tuple[Alert, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    begin_ms: int = 0
    every_seconds: float = 0.0


def together(alerts: Sequence[Alert]) -> list[AlertSummary]:
    """Merge the alerts of each rule and thing; the most severe first, then ongoing ones, then the most recent."""
    groups: dict[tuple[str, str, str], list[Alert]] = {}
    for each in alerts:
        groups.setdefault((each.title, each.about, each.severity), []).append(each)
    told = [
        AlertSummary(
            *key,
            len(group),
            max(each.begin_ms for each in group),
            sum(each.end_ms - each.begin_ms for each in group) / 1000,
            any(each.lasting for each in group),
            group[0].uid,
        )
        for key, group in groups.items()
    ]
    grave = {severity: place for place, severity in enumerate(SEVERITIES)}
    return sorted(told, key=lambda each: (grave.get(each.severity, 1), not each.lasting, -each.last_ms, each.title))


def read(folder: Path) -> list[Rule]:
    """The provisioned rules; none if there is no folder. Raises ReportError for an invalid file."""
    try:
        return provisioned.read(folder)
    except provisioned.RuleError as error:
        raise ReportError(str(error)) from None


def gather(client: Client, rules: Sequence[Rule], device: str, period: Period, kept_ms: int = 0) -> Alerts:
    """Find the times when each rule fired for the device.

    Args:
        client: InfluxDB.
        rules: the rules.
        device: include its alerts, and those that are not specific to a device.
        period: the period to search.
        kept_ms: start of retained data, in milliseconds; earlier data is not missing but expired, and is not evaluated.
    """
    begin = max(period.begin_ms, kept_ms)
    alerts: list[Alert] = []
    unread: list[tuple[str, str]] = []
    longest = 0.0
    for rule in rules if begin < period.end_ms else ():
        every = max(
            rule.every_seconds,
            min(rule.window_seconds, _MAX_STEP_SECONDS),
            (period.end_ms - begin) / 1000 / MAX_EVALUATIONS,
        )
        try:
            fired, last, every = _fired(client, rule, device, begin, period.end_ms, every)
        except ValueError as error:
            unread.append((rule.title, str(error)))
            continue
        longest = max(longest, every)
        alerts += [_alert(rule, each, last, device) for each in fired]
    alerts.sort(key=lambda each: (each.begin_ms, each.title, each.about))
    return Alerts(len(rules), tuple(alerts), tuple(unread), begin, longest)


def _fired(
    client: Client, rule: Rule, device: str, begin: int, end: int, every: float
) -> tuple[list[Fired], int, float]:
    """The rule's alerts, the time of its last evaluation, and the seconds between two evaluations."""
    step = int(rule.every_seconds * 1000)
    # Grafana evaluates at whole multiples of the group's interval.
    grid = list(range(-(-begin // step) * step, end + 1, step))
    if not grid:
        return [], end, every
    windows = at_windows(client.query_all, rule, begin, end, device)
    if windows is None:
        stride = max(1, round(every * 1000 / step))
        known = _ask(client, rule, [grid[index] for index in range(0, len(grid), stride)], device)
    else:
        known = {time: _own(outcome, device) for time, outcome in windows.items() if time >= begin}
        every = max(rule.every_seconds, rule.window_seconds)
    # The final state is evaluated at the end of the period.
    known |= _ask(client, rule, [grid[-1]], device)
    evaluated = sorted(known)
    # Between two evaluations that differ, and after that for the rule's pending period.
    close = {
        time
        for before, after in pairwise([grid[0] - step, *evaluated])
        if _over(known.get(before, {})) != _over(known[after])
        for time in range(before + step, after + int(rule.for_seconds * 1000) + step, step)
        if grid[0] <= time <= grid[-1] and time not in known
    }
    # Beyond this limit, the remaining times keep the coarse resolution.
    known |= _ask(client, rule, sorted(close)[:_MAX_EXTRA_EVALUATIONS], device)
    times = sorted(known)
    return firing(rule, times, [known[time] for time in times]), times[-1], every


def _over(outcome: Outcome) -> set[Labels]:
    return {labels for labels, state in outcome.items() if state}


def _ask(client: Client, rule: Rule, times: Sequence[int], device: str) -> dict[int, Outcome]:
    found = outcomes(client.query_all, rule, times, device)
    return {time: _own(outcome, device) for time, outcome in zip(times, found, strict=True)}


def _own(outcome: Outcome, device: str) -> Outcome:
    return {labels: state for labels, state in outcome.items() if of_device(dict(labels), device)}


def of_device(labels: Mapping[str, str], device: str) -> bool:
    """Whether a series belongs to the device: by a label, or because it has no label for a device."""
    named = [labels[name] for name in _DEVICE if name in labels]
    return not named or device in named


def _alert(rule: Rule, fired: Fired, last: int, device: str) -> Alert:
    about = " ".join(value for name, value in fired.labels if name not in _KNOWN and value not in ("", device))
    severity = rule.labels.get("severity", "")
    return Alert(rule.title, about, severity, fired.fired_ms, fired.end_ms, fired.end_ms == last, rule.uid)
