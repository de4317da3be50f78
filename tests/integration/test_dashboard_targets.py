"""Every query of every dashboard gives data from the InfluxDB that the demo has filled.

No target is excused for hardware that is not here: see tests/integration/dashboard_data.py.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import dashboards
from tests.integration.dashboard_data import Filled

pytestmark = pytest.mark.engines

COMMITTED = dashboards.committed()
TARGETS = [target for dashboard in COMMITTED.values() for target in dashboards.targets(dashboard)]
MARKS = [mark for dashboard in COMMITTED.values() for mark in dashboards.marks(dashboard)]


def values_of(dashboard: dict[str, Any], filled: Filled) -> dict[str, str]:
    """The dashboard's variables as a fresh visitor has them."""
    return dashboards.variables(dashboard, (filled.end_ms - filled.begin_ms) // 1000, filled.values)


@pytest.mark.parametrize("name", COMMITTED)
def test_every_variable_offers_a_value(name: str, filled: Filled) -> None:
    chosen = values_of(COMMITTED[name], filled)
    assert chosen["site"] == ".*"
    assert chosen["host"]
    assert chosen["interval"] == "10s"
    for variable in COMMITTED[name]["templating"]["list"]:
        if variable["type"] == "query":
            assert filled.values(dashboards.filled(variable["query"]["query"], chosen))


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_target_returns_data(target: dashboards.Target, filled: Filled) -> None:
    dashboard = next(each for each in COMMITTED.values() if each["uid"] == target.dashboard)
    query = dashboards.filled(
        target.query, values_of(dashboard, filled), begin_ms=filled.begin_ms, end_ms=filled.end_ms
    )
    cells = [cell for series in filled.ask(query) for row in series["values"] for cell in row[1:]]
    assert any(cell is not None for cell in cells), f"nothing comes back from: {query}"


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_column_of_a_target_holds_a_value(target: dashboards.Target, filled: Filled) -> None:
    dashboard = next(each for each in COMMITTED.values() if each["uid"] == target.dashboard)
    query = dashboards.filled(
        target.query, values_of(dashboard, filled), begin_ms=filled.begin_ms, end_ms=filled.end_ms
    )
    held: dict[str, bool] = {}
    for series in filled.ask(query):
        for index, column in enumerate(series["columns"]):
            held[column] = held.get(column, False) or any(row[index] is not None for row in series["values"])
    assert all(held.values()), f"no value in {[column for column, full in held.items() if not full]} of: {query}"


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_an_annotation_spans_what_it_marks_and_says_what_it_was(mark: dashboards.Target, filled: Filled) -> None:
    dashboard = next(each for each in COMMITTED.values() if each["uid"] == mark.dashboard)
    query = dashboards.filled_flux(
        mark.query, values_of(dashboard, filled), begin_ms=filled.begin_ms, end_ms=filled.end_ms
    )
    spans = filled.ask_flux(query)
    ended = 'SELECT "event_id" FROM "camera_event" WHERE "kind" = \'end\''
    (series,) = filled.ask(f"{ended} AND time >= {filled.begin_ms}ms AND time <= {filled.end_ms}ms")
    assert len(spans) == len(series["values"])
    for span in spans:
        assert span["time"] < span["timeEnd"]
        lasted = (span["timeEnd"] - span["time"]).total_seconds()
        told = re.fullmatch(r"Motion for (\d+(?:\.\d)?) s", span["text"])
        assert told, span["text"]
        assert float(told[1]) == pytest.approx(lasted, abs=0.06)
        assert span["tags"]


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_what_another_device_has_seen_is_not_marked(mark: dashboards.Target, filled: Filled) -> None:
    values = {"site": ".*", "host": "no-such-device", "interval": "10s"}
    query = dashboards.filled_flux(mark.query, values, begin_ms=filled.begin_ms, end_ms=filled.end_ms)
    assert filled.ask_flux(query) == []


def test_what_a_device_of_another_name_has_written_is_not_shown(filled: Filled) -> None:
    target = next(target for target in TARGETS if target.dashboard == "sensetig-host")
    query = dashboards.filled(
        target.query,
        {"site": ".*", "host": "no-such-device", "interval": "10s"},
        begin_ms=filled.begin_ms,
        end_ms=filled.end_ms,
    )
    assert filled.ask(query) == []
