"""The dashboards' panels in a report: their queries, their lines, and their charts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from grafana.dashboards import FOLDER
from sensetig.errors import ReportError
from sensetig.influxdb.client import Client, Series, Value
from sensetig.report import panels
from sensetig.report.charts import draw, spans
from sensetig.report.export import as_csv
from sensetig.report.lines import Drawn, Line, ask, named, regrouped, shares, stretches
from sensetig.report.numbers import TIMES, UNITS
from sensetig.report.period import Period
from sensetig.report.style import COLOURS, state

BEGIN = datetime(2026, 11, 14, tzinfo=UTC)
HOUR = Period(BEGIN, BEGIN + timedelta(hours=1), "raw", 60)
BOARDS = panels.read(FOLDER)
PANELS = [panel for board in BOARDS for panel in board.panels]


def panel(title: str) -> panels.Panel:
    return next(each for each in PANELS if each.title == title)


def line(name: str, *values: float | None, step: int = 60) -> Line:
    times = tuple(HOUR.begin_ms + index * step * 1000 for index in range(len(values)))
    return Line(name, times, values)


# --- queries ----------------------------------------------------------------------------------------


def test_every_chart_of_the_dashboards_is_drawn() -> None:
    shown = {
        (each["title"], panel["title"])
        for each in map(json.loads, (file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")))
        for _, panel in panels._flat(each["panels"])
        if panel["type"] in ("timeseries", "state-timeline")
        and not panel.get("timeFrom")
        and all("$host" in target.get("query", "") for target in panel["targets"])
    }
    assert shown
    assert {(panel.board, panel.title) for panel in PANELS} == shown


@pytest.mark.parametrize("each", PANELS, ids=lambda each: f"{each.board}-{each.title}")
def test_no_variable_is_left_over_in_a_query(each: panels.Panel) -> None:
    for target in each.targets:
        for hourly in (False, True):
            query, _ = panels.of_bucket(target.query, each.kind, hourly=hourly)
            filled = panels.fill(query, "pi", HOUR, 60)
            assert re.search(r"\$[a-z_{]", filled) is None
            assert f"time >= {HOUR.begin_ms}ms" in filled


def test_a_device_s_name_is_no_pattern() -> None:
    filled = panels.fill('SELECT 1 WHERE "host" =~ /^$host$/ AND $timeFilter', "pi.hall/2", HOUR, 60)
    assert r"/^pi\.hall\/2$/" in filled


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(ValueError, match="bucket_name"):
        panels.fill('SELECT 1 FROM "$bucket_name"', "pi", HOUR, 60)


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ('SELECT mean("a") AS "a" FROM "m"', 'SELECT mean("a") AS "a" FROM "m"'),
        ('SELECT max("a") AS "a" FROM "m"', 'SELECT max("a__max") AS "a" FROM "m"'),
        ('SELECT count("a") AS "n" FROM "m"', 'SELECT sum("a__count") AS "n" FROM "m"'),
        ('SELECT sum("a") AS "n" FROM "m"', 'SELECT sum("a__count") * mean("a") AS "n" FROM "m"'),
        (
            'SELECT last("a") AS "a" FROM (SELECT non_negative_derivative(max("a"), 1s) AS "a" FROM "m")',
            'SELECT last("a") AS "a" FROM (SELECT non_negative_derivative(max("a__max"), 1s) AS "a" FROM "m")',
        ),
    ],
)
def test_queries_of_hours_name_the_columns_of_the_hourly_bucket(query: str, hours: str) -> None:
    assert panels.of_hours(query) == hours


def test_a_query_that_is_written_for_both_buckets_is_taken_as_it_is_written() -> None:
    query = '$points SELECT max("a") FROM "m"\n$hours SELECT max("a__max") FROM "hourly".."m"'
    assert panels.of_bucket(query, "timeseries", hourly=False) == ('SELECT max("a") FROM "m"', True)
    assert panels.of_bucket(query, "timeseries", hourly=True) == ('SELECT max("a__max") FROM "hourly".."m"', True)


def test_a_state_in_the_hourly_bucket_is_the_fraction_of_time() -> None:
    asked = panels.of_hours('SELECT last("under_voltage") AS "u" FROM "pi"', "state-timeline")
    assert asked == 'SELECT mean("under_voltage") AS "u" FROM "pi"'


def test_a_broken_dashboard_is_named(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReportError, match=r"host\.json cannot be read"):
        panels.read(tmp_path)


def test_missing_dashboards_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="there is no dashboard in"):
        panels.read(tmp_path)


# --- lines ------------------------------------------------------------------------------------------


def test_a_line_is_called_as_its_alias_says_and_keeps_its_gaps() -> None:
    answer = [Series({"interface": "eth0"}, ["time", "in"], [[1000, 1], [2000, None], [3000, True]])]
    (found,) = named(answer, "$tag_interface received")
    assert found == Line("eth0 received", (1000, 2000, 3000), (1.0, None, 1.0))


def test_a_gap_splits_a_line_and_a_short_one_is_drawn_through() -> None:
    given = line("a", 1, None, 3, None, None, None, 7)
    assert [values for _, values in stretches(given, 120_000)] == [[1, 3], [7]]
    assert [values for _, values in stretches(given, 60_000)] == [[1], [3], [7]]


def test_hours_are_added_up_and_a_step_without_a_value_stays_empty() -> None:
    given = Line("a", (0, 3_600_000, 7_200_000), (2.0, 3.0, None))
    assert regrouped(given, 7200) == Line("a", (0, 7_200_000), (5.0, None))


def test_a_minute_of_low_voltage_is_not_lost_in_half_an_hour() -> None:
    given = line("u", *([0.0] * 29), 1.0)
    (share,) = regrouped(given, 1800, shares).values
    assert share == pytest.approx(1 / 30)
    known = {"true": ("yes", "red"), "false": ("no", "green")}
    assert state(1 / 30, known, []) == ("yes for part of the time", "red")
    assert state(0.0, known, []) == ("no", "green")
    assert state(0.5, {"1": ("up", "green"), "0": ("failing", "red")}, []) == ("failing for part of the time", "red")


class Answers(Client):
    """A database whose every answer is one state, in a step that began before the period, or at its end."""

    def __init__(self, *times: int) -> None:
        self._rows: list[list[Value]] = [[time, 1] for time in times]

    def query_all(self, queries: Sequence[str], database: str = "raw") -> list[list[Series]]:
        del database
        return [[Series({}, ["time", "state"], list(self._rows))] for _ in queries]


def test_the_one_state_of_a_period_of_seconds_is_drawn_though_its_step_began_before() -> None:
    begin = BEGIN + timedelta(seconds=7)
    short = Period(begin, begin + timedelta(seconds=40), "raw", 1)
    moved = panel("Motion over time")
    drawn = ask(Answers(HOUR.begin_ms), moved, "pi", short)
    assert spans(drawn.lines[0], 0, drawn.step, short) == [(short.begin_ms, HOUR.begin_ms + 10_000, 1.0)]
    assert draw(drawn, short, "a").legend
    assert ask(Answers(short.end_ms), moved, "pi", short).empty


def test_a_number_in_a_timeline_is_grouped_by_its_thresholds() -> None:
    moved = panel("Motion over time")
    steps = moved.defaults["thresholds"]["steps"]
    told = [state(value, {}, steps, "percent") for value in (0.1, 0.5, 24.0, 25.0)]
    assert [text for text, _ in told] == ["below 0.5%", "0.5% to 25%", "0.5% to 25%", "25% or more"]
    assert [colour for _, colour in told] == ["grey", "orange", "orange", "purple"]
    assert state(3.0, {}, [], "percent") == ("3%", "grey")
    restless = line("door", *(index % 40 / 30 for index in range(60)))
    (entry,) = draw(Drawn(moved, (restless,), 60), HOUR, "a").legend
    assert entry.most == "below 0.5%, 0.5% to 25%"


def test_a_state_lasts_until_the_next_and_not_through_a_gap() -> None:
    given = line("s", 1, 1, 0, None, None, 0)
    begin = HOUR.begin_ms
    assert spans(given, 60_000, 60, HOUR) == [
        (begin, begin + 120_000, 1.0),
        (begin + 120_000, begin + 180_000, 0.0),
        (begin + 300_000, begin + 360_000, 0.0),
    ]


# --- charts -----------------------------------------------------------------------------------------


def colours_and_units() -> tuple[set[str], set[str]]:
    """The colours and the units of the panels that a report draws."""
    colours, units = set(), set()
    for each in PANELS:
        configs = [each.defaults, *({p["id"]: p.get("value") for p in one["properties"]} for one in each.overrides)]
        for config in configs:
            colours.add((config.get("color") or {}).get("fixedColor", "text"))
            units.add(config.get("unit", "short"))
            colours.update(result["color"] for result in results(config) if "color" in result)
    return colours, units


def results(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The texts of values that are mapped one by one."""
    mappings = [each for each in config.get("mappings") or [] if each["type"] == "value"]
    return [result for each in mappings for result in each["options"].values()]


def test_a_report_has_each_colour_of_the_dashboards_series() -> None:
    assert colours_and_units()[0] - set(COLOURS) == set()


def test_a_report_writes_each_unit_of_the_dashboards_as_people_do() -> None:
    units = {unit for unit in colours_and_units()[1] if not unit.startswith("suffix:")}
    assert units - set(UNITS) - set(TIMES) == set()


CHARTED = {
    "CPU by mode": [line("user", 1, 2, None, 4), line("system", 3, 4, None, 1)],
    "Load": [line("1 min", 1, None, 3, 4, 5), line("cores", 4, 4, 4, 4, 4)],
    "Network traffic": [line("eth0 received", 1e6, 2e6), line("eth0 sent", 3e5, 2e5)],
    "Fan": [line("speed", 3000, 3100), line("drive", 40, 42)],
    "Throttling and under-voltage": [line("Under-voltage", 0, 1, None, None, None, 0), line("Throttled", 0, 0, 0)],
}


@pytest.mark.parametrize("title", CHARTED)
def test_a_chart_takes_its_colours_from_the_page_and_no_gap_becomes_a_number(title: str) -> None:
    chart = draw(Drawn(panel(title), tuple(CHARTED[title]), 60), HOUR, "c1")
    assert chart.svg.startswith("<svg ")
    assert "var(--" in chart.svg
    assert re.search(r"#fe[0-9a-f]{2}fe", chart.svg) is None
    assert "nan" not in chart.svg.lower()
    assert "http" not in chart.svg.replace("http://www.w3.org/2000/svg", "")
    assert [entry.name for entry in chart.legend] == [each.name for each in CHARTED[title]]
    assert chart.alt.startswith(f"{title}: ")


def test_two_charts_of_one_page_share_no_id() -> None:
    drawn = Drawn(panel("Load"), tuple(CHARTED["Load"]), 60)
    ids = [set(re.findall(r' id="([^"]+)"', draw(drawn, HOUR, prefix).svg)) for prefix in ("c1", "c2")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_legend_has_minimum_mean_and_maximum() -> None:
    chart = draw(Drawn(panel("Load"), (line("1 min", 1, None, 3),), 60), HOUR, "c1")
    (entry,) = chart.legend
    assert (entry.least, entry.mean, entry.most) == ("1.00", "2.00", "3.00")


def test_a_line_that_hardly_moves_far_above_nought_has_room_above() -> None:
    chart = draw(Drawn(panel("Frames per second"), (line("door", 9.9, 9.94, 9.9),), 60), HOUR, "c1")
    height = float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', chart.svg)[0])
    (path,) = re.findall(r'<path d="([^"]+)"[^>]*stroke: var\(--blue\)', chart.svg)
    top = min(float(each) for each in re.findall(r"[ML] [\d.]+ ([\d.]+)", path))
    assert top > 0.07 * height, "of which the axis takes from 0.04 to 0.87"


def test_lines_beyond_a_dozen_are_left_out_and_counted() -> None:
    many = tuple(line(f"cpu{index}", index, index) for index in range(20))
    chart = draw(Drawn(panel("Cores"), many, 60), HOUR, "c1")
    assert chart.left_out == 8
    assert [entry.name for entry in chart.legend] == [f"cpu{index}" for index in range(8, 20)]


def test_one_value_between_gaps_is_seen_as_a_point() -> None:
    with_point = draw(
        Drawn(panel("Processes"), (line("processes", None, None, None, 4, None, None, None),), 60), HOUR, "c"
    )
    assert "<use " in with_point.svg


# --- CSV --------------------------------------------------------------------------------------------


def test_the_csv_has_a_row_for_each_value_and_none_for_a_gap() -> None:
    board: Any = panels.Board("host", "Host", "", ())
    text = as_csv("pi", [(board, [Drawn(panel("Load"), (line("1 min", 0.25, None, 3),), 60)])])
    assert text.splitlines() == [
        "device,time,dashboard,panel,series,unit,value",
        "pi,2026-11-14T00:00:00Z,Host,Load,1 min,short,0.25",
        "pi,2026-11-14T00:02:00Z,Host,Load,1 min,short,3",
    ]
