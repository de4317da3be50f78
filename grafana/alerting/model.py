"""Alert rules, and their form in Grafana's provisioning."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from grafana.dashboards.lib.query import DATASOURCE

#: Severities, most severe first: act now, act today, for information.
CRITICAL, WARNING, INFO = "critical", "warning", "info"

_CHECKOUT = Path(__file__).parents[2]

#: The dashboard with a panel for each runbook.
RUNBOOKS = "runbooks"

#: The pages with a section for each rule, in the order of the rules.
RUNBOOK_PAGES = ("docs/how-to/runbooks.md", "docs/how-to/runbooks-data.md")

#: The folder in Grafana that shows the rules.
FOLDER_TITLE = "SenseTIG"

#: Grafana's limit for the length of a rule's uid.
MAX_UID_LENGTH = 40

#: Evaluation intervals of groups, in seconds. A long query range costs more, and its result changes slowly.
FAST, SLOW = 60, 300


class Rule(NamedTuple):
    """An alert rule.

    Args:
        key: stable; the uid is made of it, and the section of the runbook is named after it.
        title: the problem, in a few words.
        query: InfluxQL that answers with one number for each device.
        range_seconds: how far the query looks back.
        evaluator: Grafana's comparison: gt, lt, outside_range.
        bounds: of the comparison.
        severity: critical, warning or info.
        summary: one line; ``{device}`` and ``{value}`` are filled in, and ``{TAG}`` with the value of a label.
        meaning: one sentence more: the meaning, and the first step.
        board: the key of the dashboard to look at.
        panel: the title of its panel.
        pending_seconds: how long the condition must hold.
        every_seconds: evaluation interval: FAST or SLOW.
        device: the label with the name of the device.
        value: how the number is written, as printf has it.
        no_data: the state where nothing answers at all.
        error: the state where InfluxDB does not answer.
        threshold: the threshold in words, for the table in the documentation.
    """

    key: str
    title: str
    query: str
    range_seconds: int
    evaluator: str
    bounds: tuple[float, ...]
    severity: str
    summary: str
    meaning: str
    board: str
    panel: str
    threshold: str
    pending_seconds: int = 0
    every_seconds: int = FAST
    device: str = "host"
    value: str = "%.0f"
    no_data: str = "OK"
    error: str = "KeepLast"

    @property
    def uid(self) -> str:
        """What Grafana knows the rule by."""
        return f"sensetig-{self.key}"


#: Gives the uid of a dashboard and the id of its panel. Raises KeyError.
PanelOf = Callable[[str, str], tuple[str, int]]


def provisioned(rule: Rule, panel_of: PanelOf) -> dict[str, Any]:
    """The rule as Grafana's provisioning has it: the query A, its last number B, and the comparison C."""
    board, panel = panel_of(rule.board, rule.panel)
    # Grafana's pages show this unchanged, so it begins at Grafana's root; messages fill in Grafana's address.
    runbook = "d/{}?viewPanel={}".format(*panel_of(RUNBOOKS, rule.title))
    # A rule that belongs to a panel marks that panel for every device, whichever of them the alert is about. So it
    # belongs to none, and links to the panel with the device chosen.
    dashboard = f"d/{board}?var-host={_in_address(rule.device)}&viewPanel={panel}"
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": rule.range_seconds, "to": 0},
                "datasourceUid": DATASOURCE.uid,
                "model": {
                    "refId": "A",
                    "datasource": {"type": DATASOURCE.type_val, "uid": DATASOURCE.uid},
                    "query": rule.query,
                    "rawQuery": True,
                    "resultFormat": "time_series",
                    "intervalMs": 10000,
                    "maxDataPoints": 1000,
                },
            },
            _expression("B", {"type": "reduce", "expression": "A", "reducer": "last", "settings": {"mode": "dropNN"}}),
            _expression(
                "C",
                {
                    "type": "threshold",
                    "expression": "B",
                    "conditions": [{"evaluator": {"type": rule.evaluator, "params": list(rule.bounds)}}],
                },
            ),
        ],
        "noDataState": rule.no_data,
        "execErrState": rule.error,
        "for": duration(rule.pending_seconds),
        "labels": {"severity": rule.severity, **({} if rule.device == "device" else {"device": _label(rule.device)})},
        "annotations": {
            "summary": _filled(rule.summary, rule),
            "description": f"{_filled(rule.meaning, rule)}\nDashboard: {{{{ externalURL }}}}{dashboard}\n"
            f"Runbook: {{{{ externalURL }}}}{runbook}\n"
            f"Documentation: {runbook_page(rule.key)}",
            "dashboard_url": f"/{dashboard}",
            "runbook_url": f"/{runbook}",
        },
    }


def runbook_page(key: str) -> str:
    """The file with a rule's section, and the section; on a hub, the playbook replaces it by its address.

    Raises:
        KeyError: no page has a section of that name.
    """
    for page in RUNBOOK_PAGES:
        if f"\n## {key}\n" in (_CHECKOUT / page).read_text(encoding="utf-8"):
            return f"{page}#{key}"
    raise KeyError(f"no page of runbooks has the section {key}")


def duration(seconds: int) -> str:
    """Seconds as Grafana writes a duration: ``5m``."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _expression(ref: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": "__expr__",
        "model": {"refId": ref, "datasource": {"type": "__expr__", "uid": "__expr__"}, **model},
    }


def _label(name: str) -> str:
    # Not .Labels.name, which is an error if there is no such label: when no device responds at all.
    return f'{{{{ index .Labels "{name}" }}}}'


def _in_address(name: str) -> str:
    return f'{{{{ urlquery (index .Labels "{name}") }}}}'


def _filled(text: str, rule: Rule) -> str:
    """The text as Grafana's template. It has no dollar: whether one is a variable differs from version to version."""

    def put(match: re.Match[str]) -> str:
        name = match[1]
        if name == "value":
            return f'{{{{ with index .Values "B" }}}}{{{{ printf "{rule.value}" .Value }}}}{{{{ end }}}}'
        return _label(rule.device if name == "device" else name)

    return re.sub(r"\{(\w+)\}", put, text)
