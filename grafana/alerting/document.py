"""The reference page of the alert rules, docs/reference/alerts.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from grafana.alerting.model import Rule, runbook_page

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reference" / "alerts.md"

_PAGE = """# Alert rules

<!-- Built by `python -m grafana.alerting` from grafana/alerting/rules.py: change that, not this file. -->

Grafana evaluates these rules for each device. *critical* needs action now and *warning* today; *info* needs none.
[Alerting](../how-to/alerting.md) describes how an alert reaches you, and each rule's title leads to its runbook.
"""


def page(rules: Iterable[Rule]) -> str:
    """The whole page: a table of all rules, and a section for each."""
    known = list(rules)
    lines = [_PAGE, "| rule | when | severity | evaluated |", "| --- | --- | --- | --- |"]
    lines += [
        f"| [{rule.title}]({runbook_page(rule.key).replace('docs', '..', 1)}) | {rule.threshold} | {rule.severity} | "
        f"every {rule.every_seconds // 60} min |"
        for rule in known
    ]
    for rule in known:
        lines += _section(rule)
    return "\n".join(lines) + "\n"


def _section(rule: Rule) -> Iterator[str]:
    meaning = re.sub(r"\{(\w+)\}", lambda label: f"`{label[1].upper()}`", rule.meaning)
    yield f"\n## {rule.key}\n"
    yield f"**{rule.title}.** {meaning}\n"
    yield f"UID `{rule.uid}`, on the panel *{rule.panel}* of the dashboard `{rule.board}`. Its query looks back"
    yield f"{_duration(rule.range_seconds)}:\n"
    yield f"```sql\n{rule.query}\n```"


def _duration(seconds: int) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}{'' if seconds == length else 's'}"
    return f"{seconds} seconds"
