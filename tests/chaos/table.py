"""The table of docs/explanation/durability.md, made from the outcomes of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.run import Outcome

BEGIN, END = "<!-- made by make chaos: begin -->", "<!-- made by make chaos: end -->"

#: Family of draws -> how the table calls it.
FAMILIES = {
    "kill": "`kill -9` of one process",
    "pause": "`SIGSTOP` of one process",
    "pair": "two processes killed or stopped",
    "hub": "hub refuses, hangs, cuts, repeats or answers errors",
    "disk_full": "disk full",
    "power_cut": "power cut",
    "damage": "damaged file in the outbox",
    "clock": "clock steps",
    "boot": "start with a wrong clock",
    "mixed": "two faults of different kinds",
    "long": "one fault of minutes to half an hour",
    "week": "outage of a week",
}

#: Topology -> its name in the table.
TOPOLOGIES = {"lone": "lone Pi", "edge": "edge", "hub": "hub"}

COLUMNS = (
    "fault",
    "draws",
    "sent",
    "stored",
    "refused and counted",
    "damaged and counted",
    "lost, counted or within the bound",
    "lost beyond it",
    "duplicates",
    "invented",
    "stuck",
    "alerts wrong",
    "well after (median, max)",
)


def record(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON."""
    beyond = sum(map(outcome.beyond, outcome.accounts))
    lost = sum(len(each.lost) for each in outcome.accounts)
    findings = outcome.findings()
    return {
        "seed": outcome.draw.seed,
        "topology": outcome.draw.topology,
        "family": outcome.draw.family,
        "faults": [str(each) for each in outcome.draw.faults],
        "sources": {each.source: [each.sent, each.stored, each.refused, len(each.lost)] for each in outcome.accounts},
        "sent": sum(each.sent for each in outcome.accounts),
        "stored": sum(each.stored for each in outcome.accounts),
        "refused": sum(each.refused for each in outcome.accounts),
        "damaged": outcome.damaged + outcome.dropped,
        "within": lost - beyond,
        "beyond": beyond,
        "duplicates": sum(each.duplicates for each in outcome.accounts),
        "invented": sum(each.invented for each in outcome.accounts),
        "stuck": int(outcome.stuck),
        "alerts": sum("alert" in each for each in findings),
        "well": round(outcome.well_seconds, 1),
        "findings": findings,
    }


def append(file: Path, outcome: Outcome) -> None:
    """Add an outcome to a file of results."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(record(outcome)) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    """The outcomes in a file of results; of a seed that ran again, the last."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        found[result["seed"]] = result
    return list(found.values())


def markdown(results: Iterable[Mapping[str, Any]]) -> str:
    """The table."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["topology"], result["family"]), []).append(result)
    rows = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
    ]
    ordered = [(t, f) for t in TOPOLOGIES for f in FAMILIES if (t, f) in groups]
    for topology, family in ordered:
        rows.append(_row(f"{TOPOLOGIES[topology]}: {FAMILIES[family]}", groups[topology, family]))
    everything = [each for group in groups.values() for each in group]
    if everything:
        rows.append(_row("all", everything))
    return "\n".join(rows)


def _row(title: str, results: Sequence[Mapping[str, Any]]) -> str:
    sums = [
        sum(each[key] for each in results)
        for key in (
            "sent",
            "stored",
            "refused",
            "damaged",
            "within",
            "beyond",
            "duplicates",
            "invented",
            "stuck",
            "alerts",
        )
    ]
    well = [each["well"] for each in results]
    cells = [title, len(results), *sums, f"{median(well):.0f} s, {max(well):.0f} s"]
    return f"| {' | '.join(map(str, cells))} |"


def write(page: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Put the table between the markers of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", encoding="utf-8")
