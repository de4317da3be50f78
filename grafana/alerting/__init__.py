"""Alert rules, contact points and policies as code: ``python -m grafana.alerting`` writes what Grafana loads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from grafana.alerting import notify
from grafana.alerting.model import FOLDER_TITLE, Rule, duration, provisioned
from grafana.alerting.rules import RULES

#: The folder of the generated YAML, within the provisioning.
FOLDER = Path(__file__).parent.parent / "provisioning" / "alerting"

#: The first line of every file that is built here.
BUILT = "Built by `python -m grafana.alerting`: change grafana/alerting, not this file."

_HEADS = {
    "rules.yaml": "Alert rules. docs/how-to/runbooks.md has the meaning of each and the first steps.",
    "contact-points.yaml": "Contact points, used only where their variables are set; see docs/how-to/alerting.md.",
    "policies.yaml": "Routing, grouping and repetition of alerts; see docs/how-to/alerting.md.",
}


def fresh() -> dict[str, str]:
    """Each file's name and the text that belongs in it. Raises KeyError for a panel that there is not."""
    contents: dict[str, dict[str, Any]] = {
        "rules.yaml": {"groups": groups(RULES)},
        "contact-points.yaml": {"contactPoints": notify.contact_points()},
        "policies.yaml": {"policies": [notify.policy()], "muteTimes": notify.mute_times()},
    }
    return {name: _text(_HEADS[name], content) for name, content in contents.items()}


def groups(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules in groups that are evaluated together, by how often."""
    by_interval: dict[int, list[Rule]] = {}
    for rule in rules:
        by_interval.setdefault(rule.every_seconds, []).append(rule)
    return [
        {
            "orgId": 1,
            "name": f"Every {duration(seconds)}",
            "folder": FOLDER_TITLE,
            "interval": duration(seconds),
            "rules": [provisioned(rule, panel_of) for rule in members],
        }
        for seconds, members in sorted(by_interval.items())
    ]


@cache
def _panels() -> dict[tuple[str, str], tuple[str, int]]:
    import json

    from grafana import dashboards

    found: dict[tuple[str, str], tuple[str, int]] = {}
    for name, text in dashboards.fresh().items():
        board = json.loads(text)
        for panel in board["panels"]:
            for each in (panel, *panel.get("panels", ())):
                if each["type"] != "row":
                    found.setdefault((name.removesuffix(".json"), each["title"]), (board["uid"], each["id"]))
    return found


def panel_of(board: str, title: str) -> tuple[str, int]:
    """The uid of a dashboard and the id of its panel with that title. Raises KeyError if there is none."""
    try:
        return _panels()[board, title]
    except KeyError:
        raise KeyError(f"an alert rule links to {board}/{title}, and no dashboard has that panel") from None


class _Dumper(yaml.SafeDumper):
    """Writes the same object again each time that it occurs, instead of a reference to the first."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(head: str, content: dict[str, Any]) -> str:
    body = yaml.dump(
        {"apiVersion": 1, **content}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000, indent=2
    )
    return f"# {head}\n# {BUILT}\n{body}"
