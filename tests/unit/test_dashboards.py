"""The committed dashboards: up to date, complete, and consistent with the declared measurements."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from collectors.core.registry import catalogue
from collectors.core.schema import COLLECTOR, PIPELINE_TAGS, UNITS, DeclarationError, Field, Measurement, check_unit
from grafana.dashboards import FOLDER, fresh
from grafana.dashboards.__main__ import main
from grafana.dashboards.lib import boards, units
from grafana.dashboards.lib.panels import CLOCK, lines
from grafana.dashboards.lib.query import Source
from grafana.dashboards.rows import influxdb, kernel, services, telegraf
from sensetig.declarations import declared
from sensetig.fleet import health
from tests import dashboards

COMMITTED = dashboards.committed()
PANELS = [(name, panel) for name, dashboard in COMMITTED.items() for panel in dashboards.panels(dashboard)]
FILLED = [(name, panel) for name, panel in PANELS if panel["type"] not in ("text", "alertlist")]
FLUX_TARGETS = [target for dashboard in COMMITTED.values() for target in dashboards.flux_targets(dashboard)]
CHANNELS = [(name, each) for name, dashboard in COMMITTED.items() for each in dashboards.channels(dashboard)]

#: The fleet shows all devices as they are now, whichever is chosen.
OF_NOW = "sensetig-fleet"

#: The dashboards with a direct link, by importance; the others are in a menu.
MAIN = tuple(f"sensetig-{key}" for key in ("fleet", "device", "environment", "camera", "live"))

#: Hidden variables: those of dashboards for all devices, and of dashboards for none.
HIDDEN = {OF_NOW: {"host", "interval"}, "sensetig-runbooks": {"site", "host", "interval"}}

#: Targets that count 0 for a known device without rejections.
OF_SEVERAL = {"sensetig-fleet/Rejected/A", "sensetig-device/Rejected/A"}

#: Fields that `sensetig retire` adds to those that a measurement declares.
RETIRED = {"retired"}

PROVISIONING = FOLDER.parent / "provisioning"


def known() -> dict[str, Measurement]:
    """Every measurement that a dashboard may read: the collectors', and those of Telegraf's own inputs."""
    native = (
        *telegraf.MEASUREMENTS,
        *services.MEASUREMENTS,
        *kernel.MEASUREMENTS,
        *influxdb.MEASUREMENTS,
        *health.MEASUREMENTS,
    )
    return {
        **{name: each.measurement for name, each in declared().items()},
        **{each.name: each for each in native},
    }


def test_the_committed_json_matches_the_rows() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == fresh()


def test_two_builds_are_equal() -> None:
    assert fresh() == fresh()


def test_the_check_names_a_stale_file_and_an_orphaned_one(tmp_path: Path) -> None:
    for name, text in fresh().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "device.json").write_text("{}\n", encoding="utf-8")
    (tmp_path / "old.json").write_text("{}\n", encoding="utf-8")

    checked = CliRunner().invoke(main, ["--check", "--folder", str(tmp_path)])

    assert checked.exit_code == 1
    assert re.findall(r"E! (\S+) is not what its rows build", checked.output) == ["device.json", "old.json"]
    assert (tmp_path / "device.json").read_text(encoding="utf-8") == "{}\n"


def test_a_build_writes_stale_files_and_removes_orphaned_ones(tmp_path: Path) -> None:
    (tmp_path / "device.json").write_text("{}\n", encoding="utf-8")
    (tmp_path / "old.json").write_text("{}\n", encoding="utf-8")

    assert CliRunner().invoke(main, ["--folder", str(tmp_path)]).exit_code == 0

    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == fresh()
    assert CliRunner().invoke(main, ["--check", "--folder", str(tmp_path)]).exit_code == 0


def test_every_collector_has_a_row() -> None:
    shown = {path.stem for path in (FOLDER / "rows").glob("*.py")}
    assert set(catalogue()) <= shown


def test_every_declared_measurement_is_on_a_dashboard() -> None:
    read: set[str] = set()
    for dashboard in COMMITTED.values():
        for target in dashboards.targets(dashboard):
            read |= dashboards.names(target.query)[0]
    assert set(known()) <= read


@pytest.mark.parametrize("name", COMMITTED)
def test_a_dashboard_has_a_description_and_links_to_the_others(name: str) -> None:
    dashboard = COMMITTED[name]
    assert dashboard["uid"] == f"sensetig-{name.removesuffix('.json')}"
    assert "sensetig" in dashboard["tags"]
    assert dashboard["description"].endswith(".")
    assert dashboard["refresh"] == "10s"
    assert dashboard["timezone"] == "browser"
    assert dashboard["graphTooltip"] == 1
    variables = {variable["name"]: variable.get("hide", 0) for variable in dashboard["templating"]["list"]}
    assert list(variables)[:3] == ["site", "host", "interval"]
    # Hidden variables are still part of the address, and so are passed from one dashboard to the next.
    hidden = {"points", "hours"} | HIDDEN.get(dashboard["uid"], set())
    assert {name for name, hide in variables.items() if hide == 2} == hidden
    assert all(link["includeVars"] and link["keepTime"] for link in dashboard["links"])
    others = [f"/d/{uid}" for uid in MAIN if uid != dashboard["uid"]]
    assert [link["url"] for link in dashboard["links"] if link["type"] == "link"] == others
    menu = dashboard["links"][-1]
    assert (menu["type"], menu["tags"], menu["asDropdown"]) == ("dashboards", ["sensetig-more"], True)
    assert ("sensetig-more" in dashboard["tags"]) == (dashboard["uid"] not in MAIN)


@pytest.mark.parametrize("name", COMMITTED)
def test_panels_have_unique_ids_and_do_not_overlap(name: str) -> None:
    dashboard = COMMITTED[name]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= boards.COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def panel_faults(panel: dict[str, Any]) -> Iterator[str]:
    """The faults of a panel."""
    defaults = panel["fieldConfig"]["defaults"]
    if not panel["title"]:
        yield "no title"
    if len(panel["description"].split()) < 5 or not panel["description"].endswith("."):
        yield f"the description is no sentence: {panel['description']!r}"
    if not defaults["noValue"]:
        yield "no words for no data"
    streamed = {"channel" in target for target in panel["targets"]}
    if len(streamed) != 1:
        yield "some targets are streamed, and others are queries"
    sources = {"grafana"} if True in streamed else {"sensetig-influxql", dashboards.FLUX}
    if panel["datasource"]["uid"] not in sources:
        yield f"the datasource is {panel['datasource']['uid']}"
    if {target["datasource"]["uid"] for target in panel["targets"]} != {panel["datasource"]["uid"]}:
        yield "a target has another datasource than the panel"
    if panel["type"] != "table" and defaults["unit"] not in {*units.GRAFANA.values(), CLOCK}:
        yield f"the unit {defaults['unit']!r} is no unit of the declarations"
    if defaults.get("unit") == "percent" and panel["type"] == "stat" and defaults["min"] != 0:
        yield "a share does not begin at 0"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_panel_has_a_title_a_description_a_unit_and_words_for_no_data(name: str) -> None:
    shown = [panel for board, panel in FILLED if board == name]
    dashboards.hold(shown, panel_faults, lambda panel: panel["title"])


def scope_faults(target: dashboards.Target) -> Iterator[str]:
    """Conditions on device, site and time that a target lacks."""
    if target.dashboard == OF_NOW:
        innermost = re.findall(r'FROM "\w+" WHERE (.*?\d[sd])(?= GROUP BY|\)|$)', target.query)
        if not innermost:
            yield f"no inner query in: {target.query}"
        for where in innermost:
            if '"site" =~ /^$site$/' not in where or not re.search(r"time > now\(\) - \d+[sd]", where):
                yield f"no site or no time in: {where}"
        return
    measured_here = any(f'FROM "{name}"' in target.query for name in ("cpu", "mem"))
    by_tag = target.dashboard in ("sensetig-live", "sensetig-mqtt-device") or '"device_health"' in target.query
    by_tag = by_tag and not measured_here
    device = '"device" =~ /^$host$/' if by_tag else '"host" =~ /^$host$/'
    for condition in (device, '"site" =~ /^$site$/', "$timeFilter"):
        if condition not in target.query:
            yield f"{condition} is missing"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_target_is_held_to_its_device_its_site_and_the_time_range(name: str) -> None:
    dashboards.hold(dashboards.targets(COMMITTED[name]), scope_faults)


def name_faults(target: dashboards.Target) -> Iterator[str]:
    """Measurements, fields and tags of a target that are not declared."""
    measurements, columns = dashboards.names(target.query)
    if len(measurements) != 1 and str(target) not in OF_SEVERAL:
        yield f"reads {', '.join(sorted(measurements))}"
    for measurement in measurements - known().keys():
        yield f"the measurement {measurement} is not declared"
    schemas = [known()[measurement] for measurement in measurements & known().keys()]
    fields = {field.name for schema in schemas for field in schema.fields}
    tags = {tag.name for schema in schemas for tag in (*schema.tags, *PIPELINE_TAGS)}
    if strays := columns - RETIRED - fields - tags:
        yield f"{', '.join(sorted(strays))} is not declared"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_target_names_only_declared_fields_and_tags(name: str) -> None:
    dashboards.hold(dashboards.targets(COMMITTED[name]), name_faults)


def flux_scope_faults(target: dashboards.Target) -> Iterator[str]:
    """Conditions that a target in Flux lacks."""
    device = "device" if "device_state" in target.query else "host"
    for condition in (f"r.{device} =~ /^$host$/", "r.site =~ /^$site$/", "v.timeRangeStart", "v.timeRangeStop"):
        if condition not in target.query:
            yield f"{condition} is missing"


def test_each_target_in_flux_is_held_to_its_device_its_site_and_the_time_range() -> None:
    dashboards.hold(FLUX_TARGETS, flux_scope_faults)


def test_few_panels_ask_in_flux() -> None:
    assert {str(target) for target in FLUX_TARGETS} == {
        "sensetig-environment/Light/A",
        "sensetig-environment/Light/B",
        "sensetig-pipeline/Latest point per measurement/A",
    }


def two_faces_faults(target: dashboards.Target) -> Iterator[str]:
    """Differences between the two queries of a target that reads points or hours."""
    if not target.query.startswith("$"):
        return
    points, hours = target.query.splitlines()
    if not points.startswith("$points SELECT ") or '"hourly"' in points:
        yield f"the first query does not read points: {points}"
    if not hours.startswith("$hours SELECT ") or 'FROM "hourly"..' not in hours:
        yield f"the second query does not read hours: {hours}"
    if re.findall(r'AS "([^"]+)"', points)[0] not in re.findall(r'AS "([^"]+)"', hours):
        yield "the second query has not the first one's column"
    groups = [re.findall(r"GROUP BY .*$", query) for query in (points, hours)]
    if groups[0] != groups[1] and "FROM (SELECT" not in hours:
        yield f"they are grouped by {groups[0]} and {groups[1]}"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_target_with_two_faces_asks_both_buckets_for_the_same_columns(name: str) -> None:
    dashboards.hold(dashboards.targets(COMMITTED[name]), two_faces_faults)


def resolution_faults(target: dashboards.Target) -> Iterator[str]:
    """Whether a target that follows the resolution reads points at every one."""
    if "time($interval)" in target.query and not target.query.startswith("$points "):
        yield "follows the resolution and never reads hours"


@pytest.mark.parametrize("name", [name for name in COMMITTED if name != "history.json"])
def test_each_target_that_follows_the_resolution_reads_hours_from_an_hour_on(name: str) -> None:
    dashboards.hold(dashboards.targets(COMMITTED[name]), resolution_faults)


def sensor_faults(target: dashboards.Target) -> Iterator[str]:
    """Whether two sensors of a device would mix in one line."""
    for query in target.query.splitlines():
        if '"environment"' in query and '"sensor"' not in query:
            yield f"neither filters nor groups by the sensor: {query}"


@pytest.mark.parametrize("name", COMMITTED)
def test_no_two_sensors_mix_in_one_line(name: str) -> None:
    measured = (target for target in dashboards.targets(COMMITTED[name]) if target.panel != "Source")
    dashboards.hold(measured, sensor_faults)


def channel_faults(channel: str) -> Iterator[str]:
    """Whether a channel is a declared number of the chosen device."""
    match = re.fullmatch(r"stream/sensetig/\$host/(\w+)\.(\w+)", channel)
    if match is None:
        yield "is no channel of the chosen device"
    elif known()[match[1]].field(match[2]).kind not in (int, float):
        yield "is no number"


def test_each_channel_is_a_declared_number_of_the_chosen_device() -> None:
    assert {name for name, _ in CHANNELS} == {"live.json"}
    dashboards.hold((channel for _, channel in CHANNELS), channel_faults)


def test_telegraf_sends_every_measurement_that_is_streamed() -> None:
    snippet = (FOLDER.parents[1] / "telegraf" / "hub" / "live.conf").read_text(encoding="utf-8")
    sent = tomllib.loads(snippet)["outputs"]["http"][0]["namepass"]
    assert {channel.rpartition("/")[2].partition(".")[0] for _, channel in CHANNELS} <= set(sent)
    assert set(sent) <= known().keys() | {"joystick", "telemetry_rejected"}


def test_annotations_are_enabled_or_optional_as_declared() -> None:
    offered = {
        name: {each["name"]: each["enable"] for each in dashboard["annotations"].get("list") or []}
        for name, dashboard in COMMITTED.items()
    }
    changes = {"Restarts": True, "Deployments": True}
    assert offered["camera.json"] == {"Motion": False, **changes}
    assert offered["device.json"] == {"Motion": False, **changes}
    assert offered["environment.json"] == {"Motion": False, **changes}


@pytest.mark.parametrize("name", COMMITTED)
def test_each_annotation_is_held_to_its_device_its_site_and_the_time_range(name: str) -> None:
    dashboards.hold(dashboards.marks(COMMITTED[name]), flux_scope_faults)


def mark_faults(mark: dashboards.Target) -> Iterator[str]:
    """Fields and tags of an annotation that are not declared, and those that it has to name."""
    (measurement,), columns = dashboards.flux_names(mark.query)
    schema = known()[measurement]
    declared_names = {field.name for field in schema.fields} | {tag.name for tag in (*schema.tags, *PIPELINE_TAGS)}
    if strays := columns - declared_names:
        yield f"{', '.join(sorted(strays))} is not declared"
    if missing := {"device" if measurement == "device_state" else "host", "site"} - columns:
        yield f"{', '.join(sorted(missing))} is missing"


@pytest.mark.parametrize("name", COMMITTED)
def test_each_annotation_names_only_declared_fields_and_tags(name: str) -> None:
    dashboards.hold(dashboards.marks(COMMITTED[name]), mark_faults)


def test_an_annotation_for_some_panels_names_panels_that_are_there() -> None:
    chosen = {
        name: each["filter"]["ids"]
        for name, dashboard in COMMITTED.items()
        for each in dashboard["annotations"].get("list") or []
        if "filter" in each
    }
    titles = {
        name: [panel["title"] for panel in dashboards.panels(COMMITTED[name]) if panel["id"] in ids]
        for name, ids in chosen.items()
    }
    assert titles == {"camera.json": ["Motion", "Detections by label"]}


def test_an_annotation_of_an_undeclared_field_does_not_build() -> None:
    with pytest.raises(KeyError, match="declares no field began"):
        Source((COLLECTOR,)).spans("collector", "began", "{}", number="up", by="collector", kind="end")


def test_the_names_in_a_query_are_found_in_an_inner_query_too() -> None:
    query = (
        'SELECT count("n") AS "Count" FROM (SELECT last("up") AS "n" FROM "collector" '
        'WHERE "host" =~ /^$host$/ GROUP BY "collector") WHERE $timeFilter'
    )
    assert dashboards.names(query) == ({"collector"}, {"up", "host", "collector"})


def test_an_undeclared_field_does_not_build() -> None:
    with pytest.raises(KeyError, match="declares no field uptime"):
        Source((COLLECTOR,)).mean("collector", "uptime")


def test_an_undeclared_tag_does_not_build() -> None:
    with pytest.raises(KeyError, match="declares no tag colour"):
        Source((COLLECTOR,)).mean("collector", "up", by=("colour",))


def test_an_undeclared_measurement_does_not_build() -> None:
    with pytest.raises(KeyError, match="no collector declares the measurement 'cpu'"):
        Source((COLLECTOR,)).mean("cpu", "usage_idle")


def test_every_unit_has_one_in_grafana() -> None:
    assert sorted(units.GRAFANA) == sorted(UNITS)


def test_every_declared_unit_is_known() -> None:
    for measurement in known().values():
        for field in measurement.fields:
            check_unit(measurement.name, field)


def test_an_unknown_unit_is_one_sentence_with_the_field_and_the_units() -> None:
    supply = Measurement("supply", "A supply.", (), (Field("input", float, "V", "Voltage."),))
    with pytest.raises(DeclarationError, match=r"^measurement 'supply', field 'input': unknown unit 'V'; the"):
        Source((supply,)).mean("supply", "input")


def test_a_panel_keeps_its_id_when_another_comes_before_it() -> None:
    def panel(title: str) -> object:
        return lines(title, "What it shows.", Source((COLLECTOR,)).mean("collector", "up"))

    def ids(*titles: str) -> dict[str, int]:
        row = boards.Row("device", "Row", [panel(title) for title in titles], order=0)  # type: ignore[misc]
        built = boards.build(boards.BOARDS[1], [row])
        assert built.panels is not None
        return {each.title or "": each.id_val or 0 for each in built.panels}

    assert ids("First", "Second")["Second"] == ids("Second")["Second"]


def test_every_datasource_that_is_read_is_provisioned() -> None:
    provisioned = set(
        re.findall(r"^    uid: (\S+)$", (PROVISIONING / "datasources" / "sensetig.yaml").read_text(), re.M)
    )
    read = {panel["datasource"]["uid"] for _, panel in FILLED} - {"grafana"}
    read |= {
        variable["datasource"]["uid"]
        for dashboard in COMMITTED.values()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    read |= {each["datasource"]["uid"] for board in COMMITTED.values() for each in board["annotations"].get("list", [])}
    assert read - {"grafana"} <= provisioned
    assert {"sensetig-influxql", "sensetig-flux"} <= provisioned


def test_the_provisioning_contains_no_token_and_no_address() -> None:
    lines_read = (PROVISIONING / "datasources" / "sensetig.yaml").read_text().splitlines()
    told = [line.strip() for line in lines_read if re.match(r"\s+(url|token|httpHeaderValue1):", line)]
    assert set(told) == {
        "url: ${SENSETIG_INFLUXDB_URL}",
        "token: ${SENSETIG_GRAFANA_TOKEN}",
        "httpHeaderValue1: Token ${SENSETIG_GRAFANA_TOKEN}",
    }


#: Grafana puts a value into an address as it is, unless a format encodes it; these two encode themselves.
_ENCODED = re.compile(
    r"\$\{[^}]+:(?:percentencode|queryparam)\}|\$\{__url_time_range\}|\$\{__all_variables\}"
    # One of two names of dashboards, which the table itself has.
    r"|\$\{__data\.fields\.Page\.text\}"
)


def addresses(node: object) -> Iterator[str]:
    """Every address of a link in a dashboard."""
    if isinstance(node, dict):
        if isinstance(node.get("url"), str):
            yield node["url"]
        for each in node.values():
            yield from addresses(each)
    elif isinstance(node, list):
        for each in node:
            yield from addresses(each)


@pytest.mark.parametrize("name", COMMITTED)
def test_every_value_in_an_address_is_encoded(name: str) -> None:
    for address in addresses(COMMITTED[name]):
        assert "$" not in _ENCODED.sub("", address), address
        assert "[[" not in address
