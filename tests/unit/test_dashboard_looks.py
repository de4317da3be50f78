"""How the dashboards look: colours that every eye separates, values of now that are now, and room on every screen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from collectors.core.schema import COLLECTOR
from grafana.dashboards.lib import boards
from grafana.dashboards.lib.boards import Board, Row
from grafana.dashboards.lib.panels import lines, words
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import PALETTE
from sensetig import policy
from tests import dashboards

COMMITTED = dashboards.committed()

#: How an eye sees the linear colours red, green and blue: one that sees all of them, and those that lack one. The
#: matrices are those of Machado, Oliveira and Fernandes (2009) at full severity.
EYES = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}

#: The background of a panel on a dark and on a light page.
PAGES = ("#181b1f", "#ffffff")

#: A difference in CIE Lab that is seen at a glance; one is just noticeable.
SEEN = 25

#: Panels whose numbers are not of now, and why they never are taken for it.
NOT_OF_NOW = {
    # a time, which says itself how old it is
    *("Last reading", "Last status", "Last event", "Last report", "Last point"),
    # sums and extremes of the time range, in its own words
    *("Events", "Readings rejected", "Values rejected", "States not written", "Messages not counted", "Points lost"),
    *("Extremes", "Lines lost in spools"),
    # of three hours and of an hour
    *("Pressure tendency", "Lines per minute"),
}

#: Tables that have a coloured state, and the seconds after which a row is left out.
STATES = {"File systems": 120, "Services": 600, "Cards": 600}


def linear(colour: str) -> tuple[float, ...]:
    """The linear red, green and blue of a colour such as ``#1463ff``."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """A linear colour in CIE Lab."""

    def root(value: float) -> float:
        return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116

    x = root((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505)
    y = root(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    z = root((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour: str, eye: str) -> tuple[float, float, float]:
    """A colour as an eye sees it, in CIE Lab."""
    light = linear(colour)
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, light, strict=True)))) for row in EYES[eye])
    return lab(red, green, blue)


def contrast(one: str, other: str) -> float:
    """The contrast of WCAG 2 between two colours."""
    dark, bright = sorted(
        sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(each), strict=True)) for each in (one, other)
    )
    return (bright + 0.05) / (dark + 0.05)


HUES = {name: colour for name, colour in PALETTE.items() if colour.startswith("#")}


@pytest.mark.parametrize("eye", EYES)
def test_no_two_colours_of_series_look_alike(eye: str) -> None:
    for one, other in itertools.combinations(HUES, 2):
        assert math.dist(seen(HUES[one], eye), seen(HUES[other], eye)) > SEEN, (one, other)


@pytest.mark.parametrize("page", PAGES)
def test_each_series_colour_has_contrast_on_dark_and_light_pages(page: str) -> None:
    assert {name for name, colour in HUES.items() if contrast(colour, page) < 2} == set()


def colours(panel: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fixed colour of each series of a chart, with the series' name or pattern."""
    for override in panel["fieldConfig"]["overrides"]:
        for each in override["properties"]:
            if each["id"] == "color" and "fixedColor" in each["value"]:
                yield override["matcher"]["options"], each["value"]["fixedColor"]


CHARTS = [
    pytest.param(panel, id=f"{name.removesuffix('.json')}/{panel['title']}")
    for name, dashboard in COMMITTED.items()
    for panel in dashboards.panels(dashboard)
    if panel["type"] == "timeseries" and any(colours(panel))
]


@pytest.mark.parametrize("panel", CHARTS)
def test_the_series_of_a_chart_have_colours_of_the_palette_and_no_two_the_same(panel: dict[str, Any]) -> None:
    found = dict(colours(panel))
    assert set(found.values()) <= set(PALETTE.values())
    # The edges of a band have the colour of its middle.
    single = {name: colour for name, colour in found.items() if name not in ("min", "max")}
    assert len(set(single.values())) == len(single)


def age(panel: Mapping[str, Any]) -> float:
    """How old a value of a panel can be, in seconds."""
    return dashboards.seconds(panel["timeFrom"]) if panel.get("timeFrom") else math.inf


def asks_for_now(panel: Mapping[str, Any]) -> bool:
    """Whether each query leaves out values older than a verdict may be."""
    return all("now() - 120s" in target.get("query", "") for target in panel["targets"])


@pytest.mark.parametrize("name", COMMITTED)
def test_a_number_of_now_is_at_most_two_minutes_old(name: str) -> None:
    for panel in dashboards.panels(COMMITTED[name]):
        if panel["type"] != "stat" or panel["title"] in NOT_OF_NOW:
            continue
        streamed = any("channel" in target for target in panel["targets"])
        assert streamed or age(panel) <= 2 * policy.LATE_SECONDS or asks_for_now(panel), panel["title"]


def test_each_number_that_is_not_of_now_is_on_a_dashboard() -> None:
    assert {panel["title"] for each in COMMITTED.values() for panel in dashboards.panels(each)} >= NOT_OF_NOW


def test_a_table_of_states_leaves_out_old_ones() -> None:
    found = {
        panel["title"]: age(panel)
        for dashboard in COMMITTED.values()
        for panel in dashboards.panels(dashboard)
        if panel["title"] in STATES
    }
    assert found == STATES


def test_what_matters_of_a_device_fits_four_screens_of_a_phone() -> None:
    # A unit of the grid is 38 pixels high; above it are the variables and links.
    open_panels = [panel for panel in COMMITTED["device.json"]["panels"] if panel["type"] != "row"]
    rows = [panel for panel in COMMITTED["device.json"]["panels"] if panel["type"] == "row"]
    height = 320 + 38 * (sum(panel["gridPos"]["h"] for panel in open_panels) + len(rows))
    assert height <= 4 * 844


def test_the_fleets_columns_fit_next_to_the_menu_in_1280_pixels() -> None:
    (panel,) = [each for each in dashboards.panels(COMMITTED["fleet.json"]) if each["title"] == "Devices"]
    properties = [
        {each["id"]: each["value"] for each in override["properties"]} for override in panel["fieldConfig"]["overrides"]
    ]
    shown = [each for each in properties if not each.get("custom.hidden")]
    assert sum(each.get("custom.width") or each["custom.minWidth"] for each in shown) <= 1280 - 300 - 40


def test_rows_of_one_title_become_one() -> None:
    board = Board("device", "Device", "A device.", "cpu", "apps")
    rows = [
        Row("device", "One", [words("a", "", size=(12, 3))], 1, collapsed=True),
        Row("device", "Two", [words("b", "", size=(12, 3))], 2),
        Row("device", "One", [words("c", "", size=(12, 3))], 3),
    ]
    built = boards.build(board, rows)
    assert [panel.title for panel in built.panels or []] == ["One", "Two", "b"]
    (first, *_) = built.panels or []
    assert [panel.title for panel in first.panels] == ["a", "c"]  # type: ignore[union-attr]


def test_a_series_without_a_value_has_a_dash_in_the_legend_and_not_the_words_for_no_data() -> None:
    panel = lines("Title", "A description.", Source((COLLECTOR,)).mean("collector", "up"), no_data="Nothing").build()
    assert panel.field_config is not None
    assert panel.field_config.defaults.no_value == "Nothing"
    (override,) = panel.field_config.overrides
    assert [(each.id_val, each.value) for each in override.properties] == [("noValue", "–")]


@pytest.mark.parametrize("measurement", ["influxdb", "collector"])
def test_a_number_updated_once_a_minute_is_not_gone_between_two_points(measurement: str) -> None:
    shown = [
        panel
        for panel in dashboards.panels(COMMITTED["pipeline.json"])
        if panel["type"] == "stat" and any(f'FROM "{measurement}"' in each["query"] for each in panel["targets"])
    ]
    assert shown
    # Telegraf writes a point up to ten seconds after it collected it.
    assert {panel["title"] for panel in shown if age(panel) < 60 + 2 * 10} == set()
