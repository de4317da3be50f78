"""Every query of every dashboard gives data from the InfluxDB that the demo has filled.

No target is excused for hardware that is not here: see tests/integration/dashboard_data.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from grafana.dashboards.lib import buckets
from sensetig.cli.retire import retired_lines
from tests import dashboards, fleet
from tests.integration.dashboard_data import Filled

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
    """Whether InfluxDB understands the query of a target that reads hours, and answers where it has them."""
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
def test_motion_spans_what_it_marks_and_says_how_long_it_was(mark: dashboards.Target, filled: Filled) -> None:
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
def test_a_deployment_is_marked_where_a_device_tells_of_another_version(
    mark: dashboards.Target, filled: Filled
) -> None:
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


def test_what_a_device_of_another_name_has_written_is_not_shown(filled: Filled) -> None:
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


def of_fleet(panel: str, ref: str, filled: Filled) -> list[dict[str, Any]]:
    """What a query of the fleet gives for all sites but the demo's, just after its devices have written."""
    filled.beat()
    (target,) = [each for each in dashboards.targets(FLEET) if (each.panel, each.ref) == (panel, ref)]
    return filled.ask(dashboards.filled(target.query, {"site": "(home|farm)"}))


def test_the_fleet_tells_who_is_online_late_and_offline(filled: Filled) -> None:
    heard = column("Devices", "Heard", filled)
    expected = {each.name: 4 if each.retired else 3 for each in fleet.DEVICES if not each.gateway}
    assert heard == {**expected, "pi-workshop": heard["pi-workshop"], "pi-barn": 1}
    assert heard["pi-workshop"] < 3
    told = column("Devices", "State", filled)
    assert told["plug-freezer"] == 3
    assert told["plug-pump"] == 1
    assert told["pi-barn"] == 2
    assert told["plug-lamp"] == 4


def column(panel: str, name: str, filled: Filled) -> dict[str, int]:
    """Each device's value in a column of the fleet."""
    (target,) = [
        each for each in dashboards.targets(FLEET) if each.panel == panel and f'AS "{name}" FROM' in each.query
    ]
    return {
        next(iter(series["tags"].values())): series["values"][0][1] for series in of_fleet(panel, target.ref, filled)
    }


def test_the_fleet_tells_a_retired_device_as_retired_and_does_not_count_it(filled: Filled) -> None:
    heard, told = (column("Devices", name, filled) for name in ("Heard", "State"))
    assert {name for name, status in heard.items() if status == 4} == {"pi-shed"}
    assert {name for name, status in told.items() if status == 4} == {"plug-lamp"}
    # The state that it left behind is as it was when it ended, and comes after what was heard of it.
    assert told["pi-shed"] == 3
    # Grafana takes the first column that has a value, in the order of the queries.
    queries = [each.query for each in dashboards.targets(FLEET) if each.panel == "Devices"]
    columns = [match[1] for query in queries if (match := re.search(r'AS "(Heard|State)"', query))]
    assert columns == ["Heard", "State"]
    for panel in ("Offline", "Late"):
        assert column(panel, "Heard", filled)["pi-shed"] == 4
        assert column(panel, "State", filled)["plug-lamp"] == 4


def test_a_device_that_moved_is_in_service_and_one_that_is_taken_back_or_writes_is_so_too(filled: Filled) -> None:
    now = int(time.time())

    def wrote(name: str, site: str, ago: int) -> None:
        filled.write([f"system,host={name},site={site} uptime=1i {now - ago}"], precision="s")

    def retire(name: str, site: str, *, retired: bool, ago: int) -> None:
        filled.write(retired_lines(name, [("host", site)], retired=retired, seconds=now - ago), precision="s")

    wrote("old-moved", "oldfarm", 3600)
    wrote("old-moved", "oldhome", 1200)
    retire("old-moved", "oldfarm", retired=True, ago=3000)
    wrote("old-back", "oldhome", 3600)
    retire("old-back", "oldhome", retired=True, ago=3000)
    retire("old-back", "oldhome", retired=False, ago=2000)
    wrote("old-writes", "oldhome", 1)
    retire("old-writes", "oldhome", retired=True, ago=3000)
    wrote("old-gone", "oldhome", 6 * 86400)
    retire("old-gone", "oldhome", retired=True, ago=20 * 86400)
    # What wrote for the last time before all that is told of is not there at all.
    retire("old-forgotten", "oldhome", retired=True, ago=20 * 86400)

    def asked_of_old(name: str) -> dict[str, int]:
        (query,) = [
            each.query
            for each in dashboards.targets(FLEET)
            if each.panel == "Devices" and f'AS "{name}" FROM' in each.query
        ]
        answer = filled.ask(dashboards.filled(query, {"site": "old.*"}))
        return {series["tags"]["host"]: series["values"][0][1] for series in answer}

    assert asked_of_old("Heard") == {"old-moved": 1, "old-back": 1, "old-writes": 3, "old-gone": 4}


def test_the_fleet_shows_the_air_of_a_sense_hat_and_else_that_of_another_sensor(filled: Filled) -> None:
    hat, other = [
        {series["tags"]["device"]: series["values"][0][1:] for series in of_fleet("Devices", each.ref, filled)}
        for each in dashboards.targets(FLEET)
        if each.panel == "Devices" and '"environment"' in each.query
    ]
    assert hat == {
        "pi-attic": [None, 28.3, 33.9],
        "pi-greenhouse": [None, None, 31.2],
        "pi-kitchen": [21.6, 22.0, 27.4],
    }
    assert other == {"pi-cellar": [11.3]}


@pytest.mark.parametrize(
    ("panel", "count"), [("Under-voltage", 1), ("Throttled", 1), ("Hot", 2), ("Full disks", 1), ("Failing", 1)]
)
def test_the_fleet_counts_what_needs_action(panel: str, count: int, filled: Filled) -> None:
    (series,) = of_fleet(panel, "A", filled)
    assert series["values"][0][1] == count


def test_where_nothing_is_wrong_the_fleet_counts_0_and_where_no_device_is_it_has_no_data(filled: Filled) -> None:
    filled.beat()
    for panel in ("Under-voltage", "Throttled", "Hot", "Full disks", "Failing", "Rejected"):
        (target,) = [each for each in dashboards.targets(FLEET) if each.panel == panel]
        quiet = target.query.replace('"site" =~ /^$site$/', "\"host\" = 'pi-kitchen'")
        (series,) = filled.ask(quiet)
        assert series["values"][0][1] == 0, panel
        assert filled.ask(dashboards.filled(target.query, {"site": "nowhere"})) == [], panel
