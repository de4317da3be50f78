"""The table of the rules in docs/how-to/alerting.md, which is generated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from grafana.alerting.model import Rule
from grafana.alerting.rules import RULES

#: The document, and the marks around the table.
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "how-to" / "alerting.md"
BEGIN, END = "<!-- rules: built by `python -m grafana.alerting` -->", "<!-- end of rules -->"


def table(rules: Iterable[Rule]) -> str:
    """A line for each rule."""
    rows = (
        f"| [{rule.title}](runbooks.md#{rule.key}) | {rule.threshold} | {rule.severity} | "
        f"every {rule.every_seconds // 60} min |"
        for rule in rules
    )
    return "\n".join(("| rule | when | severity | looked at |", "| --- | --- | --- | --- |", *rows))


def filled(text: str) -> str:
    """The document with a fresh table. Raises ValueError where the marks are not in it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} lacks the marks {BEGIN!r} and {END!r} around the table of rules")
    return f"{before}{BEGIN}\n{table(RULES)}\n{END}{after}"
