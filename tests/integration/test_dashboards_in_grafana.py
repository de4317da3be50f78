"""Every dashboard in a real Grafana, in a real browser: both themes, on a desk and on a phone.

The folder that SENSETIG_SCREENSHOTS names takes a picture of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests import dashboards
from tests.integration.conftest import Demo
from tests.integration.dashboard_data import Filled

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

COMMITTED = dashboards.committed()

#: Wide enough for the whole grid, or as wide as a phone, where one panel stands below the other.
WIDTHS = {"desktop": 1400, "phone": 390}

#: Pixels of a unit of the grid's height, and of what stands above the panels.
_UNIT, _ABOVE = 38, {"desktop": 120, "phone": 420}

#: Without a graphics card Chromium emulates one, which takes a long dashboard minutes; it draws by itself sooner.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-gpu-rasterization",
    "--disable-accelerated-2d-canvas",
    "--disable-software-rasterizer",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Every panel is there, none still loads, and each has drawn something into its body.
_DRAWN = """ids => ids.every(id => {
    const panel = document.querySelector(`[data-viz-panel-key="panel-${id}"]`);
    return panel && !panel.querySelector('[aria-label="Panel loading bar"]')
        && panel.querySelector('[data-testid="data-testid panel content"]')?.childElementCount;
})"""


def height(dashboard: dict[str, Any], size: str) -> int:
    """So many pixels that every panel is in sight, and so drawn, with all rows open."""
    if size == "phone":
        rows: int = sum(panel["type"] == "row" for panel in dashboard["panels"])
        stacked: int = sum(panel["gridPos"]["h"] for panel in dashboards.panels(dashboard))
        return _ABOVE[size] + _UNIT * (rows + stacked)
    opened: int = sum(
        max(inner["gridPos"]["y"] + inner["gridPos"]["h"] for inner in panel["panels"]) - panel["gridPos"]["y"] - 1
        for panel in dashboard["panels"]
        if panel["type"] == "row" and panel["collapsed"]
    )
    last: int = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    return _ABOVE[size] + _UNIT * (last + opened)


class Visit(NamedTuple):
    """What a browser met on one dashboard."""

    page: Page
    console: list[str]
    outside: list[str]


@pytest.fixture(scope="module")
def grafana_url(demo: Demo) -> str:
    """Where the demo's Grafana answers; without one, the test is skipped."""
    url = demo.summary["grafana_url"]
    if url is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder to look at the dashboards in it")
    return str(url)


@pytest.fixture(scope="module")
def context(chromium: Path) -> Iterator[BrowserContext]:
    """A browser that keeps what it has fetched of Grafana from page to page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS, timeout=240_000)
        context = browser.new_context()
        context.set_default_timeout(240_000)  # Grafana's own page takes its time on a busy machine
        yield context
        browser.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the pictures."""
    named = os.environ.get("SENSETIG_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("dashboards")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(context: BrowserContext, grafana_url: str, filled: Filled, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A dashboard, opened in a page of its own and drawn in full; the parameters are those of the test."""
    filled.beat()
    values = request.node.callspec.params
    dashboard = COMMITTED[values["name"]]
    page = context.new_page()
    page.set_viewport_size({"width": WIDTHS[values["size"]], "height": height(dashboard, values["size"])})
    console: list[str] = []
    outside: list[str] = []
    page.on("console", lambda message: console.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((grafana_url, "data:", "blob:")) else outside.append(request.url)
        ),
    )
    page.goto(f"{grafana_url}/d/{dashboard['uid']}?theme={values['theme']}&var-host={filled.host}&kiosk&refresh=")
    for row in dashboards.collapsed(dashboard):
        page.locator(f'[data-testid="data-testid dashboard-row-title-{row}"][aria-label="Expand row"]').click()
    # Asked now and then: by default it is asked with each frame, which makes the browser draw one after the other.
    wanted = [panel["id"] for panel in dashboards.panels(dashboard)]
    page.wait_for_function(_DRAWN, arg=wanted, polling=1000, timeout=500_000)
    page.wait_for_load_state("networkidle")
    yield Visit(page, console, outside)
    page.close()


def text_of(page: Page, panel: dict[str, Any]) -> list[str]:
    """The lines of text that a panel shows."""
    return page.locator(f'[data-viz-panel-key="panel-{panel["id"]}"]').inner_text().splitlines()


@pytest.mark.parametrize("uid", ["sensetig-influxql", "sensetig-influxql-hourly", "sensetig-flux"])
def test_a_provisioned_datasource_reaches_influxdb(uid: str, grafana_url: str) -> None:
    answer = urllib3.request("GET", f"{grafana_url}/api/datasources/uid/{uid}/health", retries=False, timeout=30)
    assert answer.status == 200, answer.data
    assert answer.json()["status"] == "OK", answer.data


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", COMMITTED)
def test_a_dashboard_shows_its_data_without_an_error(
    name: str, theme: str, size: str, visit: Visit, pictures: Path
) -> None:
    dashboard = COMMITTED[name]
    visit.page.screenshot(path=pictures / f"{name.removesuffix('.json')}-{theme}-{size}.png", full_page=True)

    empty = [
        panel["title"]
        for panel in dashboards.panels(dashboard)
        if panel["type"] != "text"
        and {"No data", panel["fieldConfig"]["defaults"]["noValue"]} & set(text_of(visit.page, panel))
    ]

    assert empty == []
    assert visit.page.locator('[data-testid="data-testid Panel status error"]').count() == 0
    assert visit.page.locator('[data-testid="data-testid Alert error"]').count() == 0
    assert visit.console == []
    assert visit.outside == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
