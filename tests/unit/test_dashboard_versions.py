"""The dashboards use only what Grafana 11, 12 and 13 all have.

The lists name panels, options, transformations and properties by their ids in Grafana's own schema of dashboards. A
version leaves out a name that it does not know, so a name that only one version has says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests import dashboards

COMMITTED = dashboards.committed()

#: The highest version of the schema that Grafana 12.1 writes. A newer Grafana converts an older one when it loads it;
#: an older Grafana takes a newer one as it is.
SCHEMA = 42

VARIABLES = {"query", "interval", "custom"}

#: Panels with their options; those of Grafana 11.0 unless noted.
OPTIONS = {
    "row": set(),
    "text": {"content", "mode"},
    "stat": {
        *("reduceOptions", "orientation", "textMode", "wideLayout", "colorMode", "graphMode", "justifyMode", "text"),
        *("showPercentChange", "percentChangeColorMode"),  # the second since 11.1, and off
    },
    "timeseries": {"legend", "tooltip"},
    "state-timeline": {"legend", "tooltip", "rowHeight", "alignValue", "showValue", "mergeValues"},
    "table": {"frameIndex", "showHeader", "sortBy", "cellHeight", "footer", "showTypeIcons"},
    "alertlist": {
        *("viewMode", "groupMode", "groupBy", "maxItems", "sortOrder", "dashboardAlerts", "alertName", "stateFilter"),
        *("alertInstanceLabelFilter", "datasource", "showInstances", "showInactiveAlerts"),
    },
}

TRANSFORMATIONS = {
    *("calculateField", "configFromData", "extractFields", "filterByValue", "filterFieldsByName", "formatTime"),
    *("groupBy", "groupingToMatrix", "joinByField", "organize", "reduce", "renameByRegex", "sortBy"),
}

CELLS = {"auto", "color-background", "color-text", "gauge", "image"}

PROPERTIES = {
    *("color", "decimals", "displayName", "links", "mappings", "max", "min", "noValue", "thresholds", "unit"),
    *("custom.align", "custom.axisPlacement", "custom.cellOptions", "custom.fillBelowTo", "custom.fillOpacity"),
    *("custom.lineStyle", "custom.lineWidth", "custom.minWidth", "custom.transform", "custom.width"),
    "custom.hidden",  # of a table's column until 12.1; later versions read custom.hideFrom
    "custom.hideFrom",
}

MAPPINGS = {"value", "range", "regex", "special"}

MATCHERS = {"byName", "byRegexp", "byType", "byRefId"}


def faults(panel: dict[str, Any]) -> Iterator[str]:
    """What not every version has."""
    kind = panel["type"]
    if kind not in OPTIONS:
        yield f"panels of type {kind}"
        return
    yield from (f"the option {name}" for name in panel.get("options", {}).keys() - OPTIONS[kind])
    for each in panel.get("transformations") or []:
        if each["id"] not in TRANSFORMATIONS:
            yield f"the transformation {each['id']}"
        # Only from 11.6 on are variables filled in there.
        if re.search(r"\$\{?[a-z_]", str(each["options"])) and not is_without_effect(each):
            yield f"a variable in the transformation {each['id']}"
    config = panel.get("fieldConfig", {})
    mappings = list(config.get("defaults", {}).get("mappings") or [])
    for override in config.get("overrides", []):
        if override["matcher"]["id"] not in MATCHERS:
            yield f"the matcher {override['matcher']['id']}"
        named = {each["id"]: each["value"] for each in override["properties"]}
        yield from (f"the property {name}" for name in named.keys() - PROPERTIES)
        if "custom.cellOptions" in named and named["custom.cellOptions"]["type"] not in CELLS:
            yield f"a cell of type {named['custom.cellOptions']['type']}"
        if named.get("custom.hidden") and not named.get("custom.hideFrom", {}).get("viz"):
            yield "a column that later versions do not hide"
        mappings += named.get("mappings") or []
    yield from (f"a mapping of type {each['type']}" for each in mappings if each["type"] not in MAPPINGS)


def is_without_effect(transformation: dict[str, Any]) -> bool:
    """Whether a variable that is not filled in leaves everything as it is: no number is less than a text."""
    options = transformation["options"]
    return (
        transformation["id"] == "filterByValue"
        and options["type"] == "exclude"
        and all(each["config"]["id"] == "lower" for each in options["filters"])
    )


@pytest.mark.parametrize("name", COMMITTED)
def test_each_panel_uses_only_what_every_version_has(name: str) -> None:
    rows = [panel for panel in COMMITTED[name]["panels"] if panel["type"] == "row"]
    dashboards.hold([*rows, *dashboards.panels(COMMITTED[name])], faults, lambda panel: str(panel["title"]))


@pytest.mark.parametrize("name", COMMITTED)
def test_the_dashboard_itself_uses_only_what_every_version_has(name: str) -> None:
    dashboard = COMMITTED[name]
    assert dashboard["schemaVersion"] <= SCHEMA
    assert {variable["type"] for variable in dashboard["templating"]["list"]} <= VARIABLES
    assert {link["type"] for link in dashboard["links"]} <= {"link", "dashboards"}
    for panel in dashboard["panels"]:
        if panel["type"] == "row" and not panel["collapsed"]:
            assert panel["panels"] == [], "the panels of an open row come after it"
