"""The doctor's output, for the terminal and for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sensetig.doctor.findings import UNCHECKED, Cure, Finding, Result, worst
from sensetig.documentation import linked
from sensetig.fleet.table import SIGNS
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.report.text import MAX_NAME, MAX_TEXT, printable

_SIGNS = {**{level: (sign, colour) for level, (sign, _, colour) in SIGNS.items()}, UNCHECKED: ("–", "dim")}

_WORDS = {ACT: "wrong", LOOK: "to check", GOOD: "fine", UNCHECKED: "not checked"}


def table(results: Sequence[Result]) -> Table:
    """A line for each finding, with the cure below."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for result in results:
        title = result.check.title
        for finding in result.findings:
            sign, colour = _SIGNS[finding.level]
            text = Text(printable(finding.text, MAX_TEXT), style="dim" if finding.level == UNCHECKED else "")
            drawn.add_row(Text(sign, style=colour), Text(title, style=colour if finding.level != GOOD else ""), text)
            if finding.cure is not None:
                drawn.add_row("", "", _cure(finding.cure))
            title = ""
    return drawn


def _cure(cure: Cure) -> Text:
    arrow = Text("→ ", style="cyan")
    return Text.assemble(arrow, (printable(cure.shown, MAX_TEXT), "bold cyan" if cure.commands else "cyan"))


def heading(host: str, results: Sequence[Result]) -> Text:
    """The machine, and the number of findings of each level."""
    counts = Counter(finding.level for result in results for finding in result.findings)
    parts = [Text(f"{printable(host, MAX_NAME)}: ", style="bold")]
    for level, word in _WORDS.items():
        if counts[level]:
            sign, colour = _SIGNS[level]
            parts.append(Text(f"{sign} {counts[level]} {word}  ", style=colour))
    return Text.assemble(*parts)


def page(host: str, results: Sequence[Result], documentation: str = "") -> RenderableType:
    """The whole output.

    Args:
        host: the machine's name.
        results: the checks, in their order.
        documentation: the address of the documentation site; empty if there is none.
    """
    parts: list[RenderableType] = [heading(host, results), table(results)]
    if cures(results):
        parts += ["", Text("sudo sensetig doctor --fix runs the commands after asking.", style="dim")]
    if worst(results) != GOOD:
        parts += ["", Text(linked("From a symptom to its cure: docs/troubleshooting.md", documentation), style="dim")]
    return Group(*parts)


def with_links(results: Sequence[Result], documentation: str) -> list[Result]:
    """The results with the addresses of the pages that they name.

    Args:
        results: the checks.
        documentation: the address of the documentation site; empty if there is none.
    """

    def put(finding: Finding) -> Finding:
        cure = finding.cure
        if cure is not None and cure.by_hand:
            cure = cure._replace(by_hand=linked(cure.by_hand, documentation))
        return finding._replace(text=linked(finding.text, documentation), cure=cure)

    return [each._replace(findings=tuple(map(put, each.findings))) for each in results]


def cures(results: Sequence[Result]) -> list[tuple[Finding, Cure]]:
    """The cures that are commands, each once, the most urgent finding first."""
    found: dict[Cure, Finding] = {}
    for level in (ACT, LOOK):
        for result in results:
            for finding in result.findings:
                if finding.level == level and finding.cure is not None and finding.cure.commands:
                    found.setdefault(finding.cure, finding)
    return [(finding, cure) for cure, finding in found.items()]


def plain(host: str, results: Sequence[Result]) -> dict[str, Any]:
    """The output for ``--json``."""
    return {
        "host": host,
        "level": worst(results),
        "checks": [
            {
                "name": result.check.name,
                "title": result.check.title,
                "level": result.level,
                "findings": [
                    {
                        "level": finding.level,
                        "text": finding.text,
                        "cure": finding.cure.shown if finding.cure else None,
                        "commands": [list(each) for each in finding.cure.commands] if finding.cure else [],
                    }
                    for finding in result.findings
                ],
            }
            for result in results
        ],
    }
