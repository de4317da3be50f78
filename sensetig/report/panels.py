"""The dashboards' panels as a report draws them.

They are read from the committed JSON in ``grafana/dashboards``: Grafana shows the same files, every installation has
them, and no build step is needed. Charts over time and state timelines are drawn; tables and panels that show only the
latest value are described in words instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.errors import ReportError
from sensetig.report.period import Period

#: The provisioned datasources that a report can read -> their buckets; the first follows the period.
_FOLLOWS, _ALWAYS_HOURLY = "sensetig-influxql", "sensetig-influxql-hourly"

_AGGREGATE = re.compile(r'\b(mean|max|min|sum|count)\("([^"]+)"\)')


class Target(NamedTuple):
    """One query with Grafana's variables, and the alias of its series."""

    query: str
    alias: str
    hourly: bool


class Panel(NamedTuple):
    """A panel: its position, its queries, and Grafana's field configuration."""

    board: str
    row: str
    title: str
    description: str
    kind: str
    targets: tuple[Target, ...]
    defaults: Mapping[str, Any]
    overrides: tuple[Mapping[str, Any], ...]

    @property
    def no_data(self) -> str:
        return str(self.defaults.get("noValue", "no data"))


class Board(NamedTuple):
    """A dashboard: its key, title and description, the panels that a report draws, and the titles of the others."""

    key: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    left_out: tuple[str, ...] = ()


def read(folder: Path) -> list[Board]:
    """The boards that show one device, in reading order. Raises ReportError for an invalid file."""
    boards = []
    for file in sorted(folder.glob("*.json")):
        try:
            board = parse(file.stem, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReportError(f"the dashboard {file} cannot be read: {type(error).__name__}: {error}") from None
        if board.panels:
            boards.append(board)
    if not boards:
        raise ReportError(f"there is no dashboard in {folder}: install sensetig from its checkout or from its wheel")
    wanted = ("device", "environment", "camera", "pipeline", "history")
    order = {key: index for index, key in enumerate(wanted)}
    return sorted(boards, key=lambda board: (order.get(board.key, len(order)), board.key))


def parse(key: str, dashboard: Mapping[str, Any]) -> Board:
    """A dashboard's panels, including those of collapsed rows."""
    panels, left_out = [], []
    for row, each in _flat(dashboard["panels"]):
        panel = _panel(dashboard["title"], row, each)
        if panel is not None:
            panels.append(panel)
        elif each["type"] != "text" and each.get("title"):
            left_out.append(each["title"])
    return Board(
        key, dashboard["title"], dashboard.get("description", ""), tuple(panels), tuple(dict.fromkeys(left_out))
    )


def _flat(panels: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    row = ""
    for panel in panels:
        if panel["type"] == "row":
            row = panel["title"]
            yield from ((row, inner) for inner in panel.get("panels") or [])
        else:
            yield row, panel


def _panel(board: str, row: str, panel: Mapping[str, Any]) -> Panel | None:
    """The panel, or None if a report does not draw it."""
    if panel["type"] not in ("timeseries", "state-timeline") or panel.get("timeFrom"):
        return None
    targets = []
    for target in panel.get("targets") or []:
        source = (target.get("datasource") or panel.get("datasource") or {}).get("uid")
        query = target.get("query", "")
        # Live streams, queries in Flux and panels for all devices cannot be limited to one device and period.
        if source not in (_FOLLOWS, _ALWAYS_HOURLY) or "$host" not in query or "$timeFilter" not in query:
            return None
        targets.append(Target(query, target.get("alias", ""), source == _ALWAYS_HOURLY))
    if not targets:
        return None
    config = panel["fieldConfig"]
    return Panel(
        board,
        row,
        panel["title"],
        panel.get("description", ""),
        panel["type"],
        tuple(targets),
        config["defaults"],
        tuple(config.get("overrides") or ()),
    )


def fill(query: str, device: str, period: Period, step: int) -> str:
    """Substitute the variables in a query as Grafana's datasource does.

    Raises ValueError if a variable is unknown.
    """
    values = {
        "timeFilter": period.condition(),
        "interval": f"{step}s",
        "__interval": f"{step}s",
        "host": re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", device),
        "site": ".*",
    }
    for name, value in values.items():
        query = re.sub(rf"\${name}\b|\$\{{{name}(?::\w+)?\}}", value.replace("\\", r"\\"), query)
    # A dollar sign before a slash ends a regular expression; any other begins a variable.
    if left := re.search(r"\$\w+|\$\{", query):
        raise ValueError(f"nothing fills in {left[0]}")
    return query


def of_bucket(query: str, kind: str, *, hourly: bool) -> tuple[str, bool]:
    """The query for the bucket, and whether the dashboard contains a variant for that bucket.

    A line that begins with ``$points`` or ``$hours`` applies to that bucket only; Grafana comments the other one out. A
    query without such lines is converted for the hourly bucket here.
    """
    lines = {
        name: line[len(name) + 1 :].strip()
        for line in query.splitlines()
        for name in ("points", "hours")
        if re.match(rf"\${name}\b", line)
    }
    if set(lines) == {"points", "hours"}:
        return lines["hours" if hourly else "points"], True
    return (of_hours(query, kind) if hourly else query), False


def of_hours(query: str, kind: str = "timeseries") -> str:
    """Convert a query to the hourly bucket, which stores the minimum, maximum and count of a field next to its mean.

    Only the innermost SELECT names fields. A sum is the mean times the count, which is valid for steps of one hour: see
    :func:`sums`. A state is shown as its mean, the fraction of the hour when it was true; the last state would mislead.
    """
    start = max(query.rfind("(SELECT"), 0)
    before, inner = query[:start], query[start:]
    selected, _, rest = inner.partition(" FROM ")

    def spelled(match: re.Match[str]) -> str:
        function, field = match.groups()
        return {
            "mean": f'mean("{field}")',
            "max": f'max("{field}__max")',
            "min": f'min("{field}__min")',
            "count": f'sum("{field}__count")',
            "sum": f'sum("{field}__count") * mean("{field}")',
        }[function]

    selected = _AGGREGATE.sub(spelled, selected)
    if kind == "state-timeline":
        selected = re.sub(r'\blast\("', 'mean("', selected)
    return f"{before}{selected} FROM {rest}"


def sums(query: str) -> bool:
    """Whether a query sums a field, which the hourly bucket can only answer hour by hour."""
    return re.search(r'\bsum\("', query) is not None
