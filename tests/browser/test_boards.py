"""Every dashboard for six kinds of device, in both themes, in three widths of an ordinary window.

The run takes a picture of each, and says where at its end; SENSETIG_SCREENSHOTS names another folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import BrowserContext

from tests import dashboards
from tests.browser import kinds
from tests.browser.conftest import Site
from tests.browser.look import SIZES, View

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1800)]

COMMITTED = dashboards.committed()

#: Assertions that no data supports while a device does not write.
_ASSERTIONS = ("not a Pi", "not a Raspberry Pi", "no sensor", "no Sense HAT", "no swap", "no Wi-Fi", "no camera")

#: The kind of device that has data for each panel of a dashboard, where it is not the healthy Pi.
_WHOLE = {"mqtt-device.json": "mqtt-plug"}

#: Dashboards that show the present state of the chosen device; a line at their top reports its silence.
_OF_NOW = ("device.json", "live.json")


@pytest.fixture(scope="module")
def view(browser: BrowserContext, site: Site) -> Iterator[View]:
    """A page, which goes from dashboard to dashboard."""
    opened = View(browser, site.url)
    yield opened
    opened.page.close()


@pytest.mark.parametrize("uid", ["sensetig-influxql", "sensetig-influxql-hourly", "sensetig-flux"])
def test_a_provisioned_datasource_reaches_influxdb(uid: str, site: Site) -> None:
    answer = urllib3.request("GET", f"{site.url}/api/datasources/uid/{uid}/health", retries=False, timeout=60)
    assert answer.status == 200, answer.data
    assert answer.json()["status"] == "OK", answer.data


def of_device(panel: dict[str, Any]) -> bool:
    """Whether a panel shows the chosen device, and no line over time."""
    queries = [target.get("query", "") for target in panel.get("targets") or []]
    return panel["type"] in ("stat", "gauge", "bargauge", "table") and any("$host" in each for each in queries)


@pytest.mark.parametrize("kind", kinds.KINDS)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", COMMITTED)
def test_a_page_is_complete_and_correct(name: str, theme: str, kind: str, view: View, pictures: Path) -> None:
    dashboard, device = COMMITTED[name], kinds.KINDS[kind]
    panels = {panel["id"]: panel for panel in dashboards.panels(dashboard)}
    blank = [panel["id"] for panel in panels.values() if any(not kinds.writes(device, each) for each in streams(panel))]
    # The longest interval: Grafana takes an empty or unknown one for the dashboard's or the shortest.
    path = f"/d/{dashboard['uid']}?theme={theme}&var-host={device.name}&refresh=5m"
    view.open(path, next(iter(SIZES)), blank)
    has_all = kind == _WHOLE.get(name, "healthy")
    if has_all:
        view.whole(next(iter(SIZES)))  # a row is on the page when it is in sight
        view.expand(dashboards.collapsed(dashboard), next(iter(SIZES)))

    faults: list[str] = []
    for size in SIZES:
        height = view.whole(size)
        shown = [panels[each] for each in view.panels()]
        faults += [f"{size}: {each}" for each in view.faults(desk=size != "390")]
        view.take(pictures / f"{name.removesuffix('.json')}-{kind}-{theme}-{size}.jpeg", size, height)
    faults += view.noticed()

    texts = view.texts()
    if has_all:
        faults += [f"{panel['title']} shows no data" for panel in shown if is_empty(panel, texts[panel["id"]])]
        faults += [f"{panel['title']} is not on the page" for panel in panels.values() if panel not in shown]
    if not device.alive:
        faults += view.green([panel["id"] for panel in shown if of_device(panel)], device.name)
        faults += [
            f"{panel['title']}: {word!r} is not known"
            for panel in shown
            for word in _ASSERTIONS
            if any(word in line for line in texts[panel["id"]])
        ]
        faults += [
            f"{panel['title']} shows {texts[panel['id']]} of a device that is silent"
            for panel in shown
            if panel["type"] == "stat" and streams(panel) and has_values(panel, texts[panel["id"]])
        ]
    if kind == "dead" and name in _OF_NOW:
        banner = texts[next(iter(panels))]
        faults += [] if any("silent for" in line for line in banner) else [f"the banner says {banner}"]
    if faults:
        pytest.fail("\n".join(faults))


def streams(panel: dict[str, Any]) -> set[str]:
    """The measurements whose streams of Grafana Live a panel shows."""
    channels = (target["channel"] for target in panel.get("targets") or [] if "channel" in target)
    return {channel.rpartition("/")[2].partition(".")[0] for channel in channels}


def has_values(panel: dict[str, Any], lines: list[str]) -> bool:
    """Whether a panel shows more than its title, and not that there is no value."""
    return len(lines) > 1 and panel["fieldConfig"]["defaults"]["noValue"] not in lines


def is_empty(panel: dict[str, Any], lines: list[str]) -> bool:
    """Whether a panel says that it has nothing."""
    nothing = panel.get("fieldConfig", {}).get("defaults", {}).get("noValue")
    return panel["type"] not in ("text", "alertlist") and bool({"No data", nothing} & set(lines))
