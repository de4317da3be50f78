"""Helpers for the tests of the dashboards: their targets, and their queries as Grafana sends them.

The values of variables are put in as Grafana's InfluxQL datasource does it:
https://grafana.com/docs/grafana/latest/datasources/influxdb/template-variables/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import pytest

from grafana.dashboards import FOLDER
from grafana.dashboards.lib import buckets

#: The datasource of annotations, and of what InfluxQL cannot say.
FLUX = "sensetig-flux"

Kind = TypeVar("Kind")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Target(NamedTuple):
    """One query of a panel; *back* is how many seconds it looks back at least, whatever the dashboard's range."""

    dashboard: str
    panel: str
    ref: str
    query: str
    back: int = 0

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}/{self.ref}"


def committed() -> dict[str, dict[str, Any]]:
    """The committed dashboards by their file names."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those of collapsed rows too, without the rows themselves."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def collapsed(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """The titles of the rows that are closed at first."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row" and panel["collapsed"]:
            yield panel["title"]


def channels(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """The channels of Grafana Live that panels show."""
    for panel in panels(dashboard):
        for target in panel.get("targets") or []:
            if "channel" in target:
                yield target["channel"]


def targets(dashboard: Mapping[str, Any]) -> Iterator[Target]:
    """All targets of all panels that read InfluxDB in InfluxQL."""
    for panel in panels(dashboard):
        for target in panel.get("targets") or []:
            if "channel" in target or target["datasource"]["uid"] == FLUX:
                continue
            own = panel.get("timeFrom")
            back = seconds(own) if own else 90 * _SECONDS["d"] if dashboard["time"]["from"] == "now-90d" else 0
            yield Target(dashboard["uid"], panel["title"], target["refId"], target["query"], back)


def flux_targets(dashboard: Mapping[str, Any]) -> Iterator[Target]:
    """The targets that ask in Flux."""
    for panel in panels(dashboard):
        for target in panel.get("targets") or []:
            if target["datasource"]["uid"] == FLUX:
                yield Target(dashboard["uid"], panel["title"], target["refId"], target["query"])


def marks(dashboard: Mapping[str, Any]) -> Iterator[Target]:
    """The Flux queries of all annotations."""
    for each in dashboard["annotations"].get("list") or []:
        if "query" not in each["target"]:
            continue  # Grafana's own alerts
        yield Target(dashboard["uid"], each["name"], each["target"]["refId"], each["target"]["query"])


def hold(items: Iterable[Kind], faults: Callable[[Kind], Iterable[str]], name: Callable[[Kind], str] = str) -> None:
    """Fail with all faults of all items, a line each, so that one test names every item at fault.

    Args:
        faults: gives a sentence for each fault of an item.
    """
    __tracebackhide__ = True
    if lines := [f"{name(item)}: {fault}" for item in items for fault in faults(item)]:
        pytest.fail("\n".join(lines))


def seconds(text: str) -> int:
    """Seconds of a duration such as ``15m``. Raises ValueError for another form."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is no duration")
    return int(match[1]) * _SECONDS[match[2]]


def variables(
    dashboard: Mapping[str, Any], range_seconds: int, ask: Callable[[str], list[str]], *, host: str = ""
) -> dict[str, str]:
    """Each variable's value for a new visitor: the current value in the JSON, or else the first option.

    Args:
        range_seconds: length of the time range, which the automatic interval follows.
        ask: runs a variable's query and returns the options.
        host: the device that the visitor has chosen; it must be among the options.
    """
    chosen: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "interval":
            rough = max(range_seconds / variable["auto_count"], seconds(variable["auto_min"]))
            offered = [seconds(text) for text in variable["query"].split(",")]
            chosen[name] = f"{min(offered, key=lambda each: abs(each - rough))}s"
            continue
        if name in buckets.OF_POINTS:
            chosen[name] = bucket_marks(chosen["interval"])[name]
            continue
        if variable["type"] == "custom":
            chosen[name] = variable["current"]["value"]
            continue
        offered_values = ask(filled(variable["query"]["query"], chosen))
        if variable.get("current", {}).get("value") == "$__all":
            chosen[name] = variable["allValue"]
        elif name == "host" and host:
            chosen[name] = escaped(host) if host in offered_values else ""
        else:
            chosen[name] = escaped(offered_values[0]) if offered_values else ""
    return chosen


def bucket_marks(interval: str) -> Mapping[str, str]:
    """The values of the hidden variables at that resolution."""
    return buckets.OF_POINTS if seconds(interval) < seconds(buckets.FROM) else buckets.OF_HOURS


def escaped(text: str) -> str:
    """The text, escaped for a regular expression."""
    return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", text)


def filled(query: str, values: Mapping[str, str], *, begin_ms: int = 0, end_ms: int = 0) -> str:
    """The query with the variables' values in it. Raises ValueError when one is left over."""
    query = query.replace("$timeFilter", f"time >= {begin_ms}ms and time <= {end_ms}ms")
    panel = {"__interval": f"{max(10, (end_ms - begin_ms) // 60_000)}s", "__to": str(end_ms)}
    for name, value in {**panel, **bucket_marks(values.get("interval", "10s")), **values}.items():
        query = re.sub(rf"\${name}\b|\$\{{{name}(:raw)?\}}", value.replace("\\", r"\\"), query)
    # A dollar before a slash ends a regular expression; any other still begins a variable.
    if left := re.search(r"\$\w+|\$\{", query):
        raise ValueError(f"nothing fills in {left[0]} in: {query}")
    return query


def filled_flux(query: str, values: Mapping[str, str], *, begin_ms: int, end_ms: int) -> str:
    """The Flux query with the variables' values in it, and with what Grafana puts in for ``v``."""
    for name, value in {
        "v.defaultBucket": '"raw"',
        "v.timeRangeStart": f"time(v: {begin_ms}000000)",
        "v.timeRangeStop": f"time(v: {end_ms}000000)",
        "v.windowPeriod": f"{max(10, (end_ms - begin_ms) // 1_000_000)}s",
    }.items():
        query = query.replace(name, value)
    return filled(query, values)


def flux_names(query: str) -> tuple[set[str], set[str]]:
    """The measurements that a Flux query reads, and the fields and tags that it names."""
    measurements = set(re.findall(r'r\._measurement == "([^"]+)"', query))
    named = set(re.findall(r"\br\.([a-z]\w*)", query)) | set(re.findall(r'r\._field == "([^"]+)"', query))
    # Columns that the query itself creates: added ones, and the elapsed time.
    made = set(re.findall(r"\{ ?r with (\w+):", query)) | ({"elapsed"} if "|> elapsed(" in query else set())
    return measurements, named - made


def names(query: str) -> tuple[set[str], set[str]]:
    """The measurements that a query reads, and the fields and tags that it names."""
    if query.startswith("$points "):
        both = [names(line.partition(" ")[2]) for line in query.splitlines()]
        return set().union(*(each[0] for each in both)), set().union(*(each[1] for each in both))
    bare = re.sub(r"/\^.*?\$/", "", query)
    # A field's columns in the hourly bucket are named after the field.
    bare = re.sub(r'__(min|max|count)"', '"', bare.replace('"hourly"..', ""))
    # What an innermost SELECT names is read from a measurement; outside of it a name may be one that was given before.
    innermost = re.compile(r'SELECT ((?:(?!SELECT).)*?) FROM "([^"]+)"')
    given = set(re.findall(r'AS "([^"]+)"', bare))
    bare = re.sub(r' AS "[^"]+"', "", bare)
    read = {name for columns, _ in innermost.findall(bare) for name in re.findall(r'"([^"]+)"', columns)}
    measurements = {measurement for _, measurement in innermost.findall(bare)}
    outside = set(re.findall(r'"([^"]+)"', innermost.sub("", bare)))
    return measurements, read | (outside - given)
