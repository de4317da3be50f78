"""Every query of every dashboard gives data from the InfluxDB that the demo has filled.

No target is excused for hardware that is not here: see tests/integration/dashboard_data.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from collectors.core.line_protocol import encode
from grafana.dashboards.boards.fleet import CHOICES
from grafana.dashboards.lib import buckets
from sensetig import policy
from sensetig.fleet.devices import Limits, in_service, judge, read
from sensetig.fleet.health import metrics
from sensetig.influxdb.client import Client
from tests import dashboards, fleet
from tests.integration.dashboard_data import Filled
from tests.unit.test_dashboard_looks import NOT_OF_NOW

pytestmark = pytest.mark.engines

COMMITTED = dashboards.committed()
FLEET = COMMITTED["fleet.json"]
TARGETS = [target for dashboard in COMMITTED.values() for target in dashboards.targets(dashboard)]
MARKS = [mark for dashboard in COMMITTED.values() for mark in dashboards.marks(dashboard)]


def values_of(dashboard: dict[str, Any], filled: Filled) -> dict[str, str]:
    """The dashboard's variables as a visitor has them who has chosen the demo's own device."""
    return dashboards.variables(dashboard, (filled.end_ms - filled.begin_ms) // 1000, filled.values, host=filled.host)


@pytest.mark.parametrize("name", COMMITTED)
def test_every_variable_offers_a_value(name: str, filled: Filled) -> None:
    chosen = values_of(COMMITTED[name], filled)
    assert chosen["site"] == ".*"
    assert chosen["host"]
    assert chosen["interval"] == ("3600s" if name == "history.json" else "10s")
    for variable in COMMITTED[name]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        asked = dashboards.filled(variable["query"]["query"], chosen)
        if variable["datasource"]["uid"] == "sensetig-flux":
            asked = asked.replace("v.timeRangeStart", "-1y").replace("v.timeRangeStop", "now()")
            assert [row["_value"] for row in filled.ask_flux(asked)] == [chosen[variable["name"]]]
        else:
            assert filled.values(asked)


def asked(target: dashboards.Target, filled: Filled) -> str:
    """The query as a visitor's Grafana asks it, as far back as its panel looks."""
    dashboard = next(each for each in COMMITTED.values() if each["uid"] == target.dashboard)
    begin_ms = min(filled.begin_ms, filled.end_ms - target.back * 1000)
    return dashboards.filled(target.query, values_of(dashboard, filled), begin_ms=begin_ms, end_ms=filled.end_ms)


def hours_faults(target: dashboards.Target, filled: Filled) -> Iterator[str]:
    """Whether InfluxDB understands the query of a target that reads hours, and answers if it has them."""
    if not target.query.startswith("$points"):
        return
    dashboard = next(each for each in COMMITTED.values() if each["uid"] == target.dashboard)
    values = {**values_of(dashboard, filled), "interval": "86400s", **buckets.OF_HOURS}
    query = dashboards.filled(target.query, values, begin_ms=filled.end_ms - 90 * 86400_000, end_ms=filled.end_ms)
    try:
        series = filled.ask(query)
    except AssertionError as error:
        yield str(error)
        return
    if target.panel in ("Humidity", "Pressure") and not series:
        yield f"nothing comes back from: {query}"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_target_that_reads_hours_is_understood_by_influxdb(name: str, filled: Filled) -> None:
    dashboards.hold(dashboards.targets(COMMITTED[name]), lambda target: hours_faults(target, filled))


def answer_faults(target: dashboards.Target, filled: Filled) -> Iterator[str]:
    """Whether a target's query has no answer, or a column of it no value. No target is rightly empty."""
    query = asked(target, filled)
    held: dict[str, bool] = {}
    try:
        answer = filled.ask(query)
    except AssertionError as error:
        yield str(error)
        return
    for series in answer:
        for index, column in enumerate(series["columns"]):
            held[column] = held.get(column, False) or any(row[index] is not None for row in series["values"])
    if not held.keys() - {"time"}:
        yield f"nothing comes back from: {query}"
    if empty := [column for column, full in held.items() if not full]:
        yield f"no value in {', '.join(empty)} of: {query}"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_target_answers_with_a_value_in_every_column(name: str, filled: Filled) -> None:
    dashboards.hold(dashboards.targets(COMMITTED[name]), lambda target: answer_faults(target, filled))


@pytest.mark.parametrize(("ref", "warm"), [("A", True), ("C", True), ("G", False)])
def test_two_sensors_of_a_device_are_two_lines(ref: str, warm: bool, filled: Filled) -> None:
    target = next(
        each
        for each in TARGETS
        if str(each) == f"sensetig-environment/Temperature/{ref}" and "time($interval)" in each.query
    )
    values = [row[1] for series in filled.ask(asked(target, filled)) for row in series["values"] if row[1] is not None]
    assert values
    assert all((value > 14) == warm for value in values)


def marked(mark: dashboards.Target, filled: Filled, host: str) -> list[dict[str, Any]]:
    """What an annotation gives of a device."""
    values = {"site": ".*", "host": dashboards.escaped(host), "interval": "10s"}
    return filled.ask_flux(dashboards.filled_flux(mark.query, values, begin_ms=filled.begin_ms, end_ms=filled.end_ms))


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark.panel == "Motion"], ids=str)
def test_a_motion_annotation_covers_the_event_and_states_its_duration(mark: dashboards.Target, filled: Filled) -> None:
    spans = marked(mark, filled, filled.host)
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


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark.panel == "Restarts"], ids=str)
def test_a_restart_is_marked_from_the_start_to_the_first_point_after_it(
    mark: dashboards.Target, filled: Filled
) -> None:
    (span,) = marked(mark, filled, "pi-hall")
    started = filled.fleet_end - device("pi-hall").started_seconds
    assert span["time"].timestamp() == pytest.approx(started, abs=1)
    assert 0 <= (span["timeEnd"] - span["time"]).total_seconds() <= 10
    assert span["text"] == "Restarted"
    assert span["tags"] == "pi-hall"
    assert marked(mark, filled, "pi-kitchen") == []


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark.panel == "Deployments"], ids=str)
def test_a_deployment_is_marked_where_the_version_changes(mark: dashboards.Target, filled: Filled) -> None:
    (point,) = marked(mark, filled, "pi-kitchen")
    assert point["text"] == "SenseTIG 0.2.0"
    assert point["tags"] == "pi-kitchen"
    deployed = filled.fleet_end - device("pi-kitchen").deployed_seconds
    # A mark is at the end of its window, which is four points of ten seconds wide.
    assert point["time"].timestamp() == (deployed // 40 + 1) * 40
    assert marked(mark, filled, "pi-hall") == []


@pytest.mark.parametrize("name", COMMITTED)
def test_no_annotation_marks_another_device_s_events(name: str, filled: Filled) -> None:
    dashboards.hold(dashboards.marks(COMMITTED[name]), lambda mark: map(str, marked(mark, filled, "no-such-device")))


def test_points_of_other_devices_are_not_shown(filled: Filled) -> None:
    target = next(target for target in TARGETS if target.dashboard == "sensetig-device")
    query = dashboards.filled(
        target.query,
        {"site": ".*", "host": "no-such-device", "interval": "10s"},
        begin_ms=filled.begin_ms,
        end_ms=filled.end_ms,
    )
    assert filled.ask(query) == []


def device(name: str) -> fleet.Device:
    """The fleet's device of that name."""
    (found,) = [each for each in fleet.DEVICES if each.name == name]
    return found


def verdicts(filled: Filled) -> None:
    """Let the hub judge every device now, as ``sensetig health`` does."""
    filled.beat()
    now_ns = time.time_ns()
    with Client(filled.url, filled.token, organisation=filled.organisation) as client:
        devices = in_service(read(client, now_ns / 1e9, policy.FORGOTTEN_DAYS * 86400), Limits())
    points = metrics((judge(device, Limits()) for device in devices), {}, now_ns)
    filled.write(encode(point) for point in points)


def listed(filled: Filled, show: str = ".*", site: str = "(home|farm)") -> dict[str, dict[str, Any]]:
    """The rows of the fleet's table by the device, each with its columns."""
    (target,) = [each for each in dashboards.targets(FLEET) if each.panel == "Devices"]
    answer = filled.ask(dashboards.filled(target.query, {"site": site, "show": show}))
    return {
        series["tags"]["device"]: dict(zip(series["columns"], series["values"][0], strict=True)) for series in answer
    }


def test_the_fleet_lists_each_device_in_service_with_its_verdict_and_why(filled: Filled) -> None:
    verdicts(filled)
    rows = listed(filled)
    assert set(rows) == {each.name for each in fleet.DEVICES if not each.retired}
    assert {name for name, row in rows.items() if row["Page"]} == {"plug-freezer", "plug-pump"}
    assert rows["pi-kitchen"]["Verdict"] == 0
    assert rows["pi-gate"]["Verdict"] == 2
    assert "under-voltage" in rows["pi-gate"]["Why"]
    assert rows["pi-barn"]["Why"].startswith("silent for")
    assert "late, silent for" in rows["pi-workshop"]["Why"]
    # A device that is silent has no values of now.
    for column in ("CPU", "Hottest", "Disk"):
        assert rows["pi-barn"][column] is None
        assert rows["pi-kitchen"][column] is not None


def test_the_most_urgent_device_is_that_with_the_most_reasons_to_act(filled: Filled) -> None:
    verdicts(filled)
    rows = listed(filled)
    assert max(rows, key=lambda name: rows[name]["Urgency"]) == "pi-gate"
    assert rows["pi-gate"]["Urgency"] > rows["pi-cellar"]["Urgency"] > rows["pi-kitchen"]["Urgency"]


@pytest.mark.parametrize("name", [name for name in CHOICES if name != "all"])
def test_a_number_of_the_fleet_counts_the_devices_that_its_link_lists(name: str, filled: Filled) -> None:
    verdicts(filled)
    (target,) = [
        each
        for each in dashboards.targets(FLEET)
        if each.panel == "Devices that need action" and f'AS "{name}" FROM' in each.query
    ]
    (series,) = filled.ask(dashboards.filled(target.query, {"site": "(home|farm)"}))
    assert series["values"][0][1] == len(listed(filled, CHOICES[name]))


def test_the_numbers_of_the_fleet_are_those_of_its_devices(filled: Filled) -> None:
    verdicts(filled)
    expected = {
        "Offline": {"pi-barn", "plug-pump"},
        "Late": {"pi-workshop"},
        "Under-voltage": {"pi-gate", "pi-hall"},
        "Throttled": {"pi-gate"},
        "Hot": {"pi-attic", "pi-gate"},
        "Disk filling": {"pi-cellar", "pi-hall"},
        "Failing": {"pi-greenhouse"},
        "Points lost": set(),
    }
    assert {name: set(listed(filled, pattern)) for name, pattern in CHOICES.items() if name != "all"} == expected


def test_a_number_of_the_fleet_is_0_where_nothing_is_wrong_and_none_where_no_device_is(filled: Filled) -> None:
    verdicts(filled)
    for target in dashboards.targets(FLEET):
        if target.panel != "Devices that need action":
            continue
        quiet = target.query.replace('"site" =~ /^$site$/', "\"device\" = 'pi-kitchen'")
        (series,) = filled.ask(quiet)
        assert series["values"][0][1] == 0, target
        assert filled.ask(dashboards.filled(target.query, {"site": "nowhere"})) == [], target


#: Panels of a dead device that still have values: times, states with a time, sums of the time range, its identity.
OF_THE_DEAD = {*NOT_OF_NOW, "About this device", "Collector status", "Device states", "State", "Status messages"}


def of_now(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels with values of now: numbers and tables."""
    for panel in dashboards.panels(dashboard):
        if panel["type"] in ("stat", "table") and panel["title"] not in OF_THE_DEAD and panel.get("timeFrom"):
            yield panel


@pytest.mark.parametrize("name", [name for name in COMMITTED if name not in ("fleet.json", "runbooks.json")])
def test_no_board_shows_a_value_of_now_of_a_device_that_is_dead(name: str, filled: Filled) -> None:
    """The device wrote for the last time eleven minutes ago, since each query is asked of eleven minutes later."""
    filled.beat()
    later = 1000 * (int(time.time()) + 660)
    values = {**values_of(COMMITTED[name], filled), "interval": "10s"}
    found = []
    for panel in of_now(COMMITTED[name]):
        seconds = dashboards.seconds(panel["timeFrom"])
        if seconds > policy.OFFLINE_SECONDS:
            continue
        for target in panel["targets"]:
            if "query" not in target or target["datasource"]["uid"] == dashboards.FLUX:
                continue
            query = dashboards.filled(target["query"], values, begin_ms=later - 1000 * seconds, end_ms=later).replace(
                "now()", f"{later}ms"
            )
            rows = [row for series in filled.ask(query) for row in series["values"]]
            if any(value not in (None, 0) for row in rows for value in row[1:]):
                found.append(panel["title"])
    assert found == []
