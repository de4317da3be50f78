"""A user on a phone follows an event's link to its clip: Grafana with a login, the hub's proxy, a camera's control."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import urllib3
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from sensetig import bundle
from sensetig.demo.testbed import grafana, ports, processes
from sensetig.security import certificates
from tests import dashboards
from tests.browser import kinds
from tests.browser.conftest import PATIENCE_MS, launch
from tests.integration.conftest import InfluxDB, prepared
from tests.integration.test_front_door import Authority, configure, nginx
from tests.unit.camera_control_support import ScriptedMedia
from tests.unit.camera_control_support import site as camera_site
from tests.unit.camera_media_support import MOVING, Bench

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1800)]

#: Paths in points of a device that someone else controls.
HOSTILE = [
    "../../logout",
    "..",
    "//example.org/x.mp4",
    "javascript:alert(1)",
    "2026/11/21/x.mp4?a=b#c",
    '"><img src=x onerror=alert(1)>.mp4',
]


class Hub(NamedTuple):
    """The hub as a browser reaches it."""

    url: str
    password: str
    clip: str


@pytest.fixture(scope="module")
def hub(grafana_home: Path, influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("hub")
    certificates.revoke(authority.folder, [Path(authority.issue("gone")[0])], datetime.now(UTC))
    clip = _clip(folder / "media")
    port, grafana_port, password = ports.any_free(), ports.any_free(), secrets.token_hex(16)
    url = f"https://localhost:{port}"
    with (
        prepared(influxd, folder / "influxdb") as influxdb,
        camera_site(ScriptedMedia(str(folder / "media"))) as camera,
    ):
        _write(influxdb, clip)
        settings = {
            "SENSETIG_INFLUXDB_URL": influxdb.url,
            "SENSETIG_ORGANISATION": influxdb.org,
            "SENSETIG_GRAFANA_TOKEN": influxdb.read_token,
            "GF_SECURITY_SECRET_KEY": secrets.token_hex(16),
            # As the role grafana sets them.
            "GF_SERVER_ROOT_URL": url,
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_AUTH_DISABLE_LOGIN_FORM": "false",
            "GF_SECURITY_COOKIE_SECURE": "true",
            "GF_SECURITY_CONTENT_SECURITY_POLICY": "true",
        }
        log = folder / "grafana.log"
        identity, _ = grafana.start(
            grafana_home, bundle.root(), folder / "grafana", grafana_port, settings, log, password=password
        )
        configure(
            folder, proxy_port=port, proxy_certificate=certificate, proxy_key=key,
            proxy_authority=authority.folder / "authority.crt", proxy_revoked=authority.folder / "revoked.crl",
            proxy_receiver="http://127.0.0.1:9", proxy_grafana_port=grafana_port,
            proxy_camera_ports=[camera.port], proxy_enrolment_port=0,
        )  # fmt: skip
        try:
            with subprocess.Popen([nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process:
                try:
                    yield Hub(url, password, clip)
                finally:
                    process.terminate()
        finally:
            processes.stop([identity])


def _clip(root: Path) -> str:
    """Record the clip of an event; its path."""
    bench = Bench(root)
    bench.show(0, 5)
    frame = bench.show(5, 7, MOVING)
    bench.event("start", 5, 0.2, frame)
    bench.show(7, 12)
    path = str(bench.event("end", 5, 1.9, frame)["clip_path"])
    bench.media.close()
    return path


def _write(influxdb: InfluxDB, clip: str) -> None:
    """Write the status of a camera, the event with the clip, and events with other paths."""
    now = time.time_ns()
    tags = {"host": "hub", "site": "home", "camera": "hall"}
    found = [Metric(Series("camera", tags), {"frames": 100}, now)]
    for number, path in enumerate([clip, *HOSTILE]):
        event: dict[str, FieldValue] = {
            "event_id": f"event-{number}", "thumbnail": kinds.PICTURE, "area_percent": 2.0, "score": 3.0
        }  # fmt: skip
        end = {**event, "clip_path": path, "duration_seconds": 2.0}
        at = now - number * 10**9
        found.append(Metric(Series("camera_event", {**tags, "kind": "start"}), event, at - 1))
        found.append(Metric(Series("camera_event", {**tags, "kind": "end"}), end, at))
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket=raw",
        headers={"Authorization": f"Token {influxdb.write_token}"},
        body="\n".join(map(encode, found)).encode(),
    )
    assert answer.status == 204, answer.data


@pytest.fixture(scope="module")
def phones(hub: Hub, chromium: Path, playwright: Playwright) -> Iterator[Browser]:
    del hub
    started = launch(playwright, chromium)
    yield started
    started.close()


@pytest.fixture
def phone(phones: Browser) -> Iterator[BrowserContext]:
    """A phone that has never seen the hub."""
    context = phones.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, ignore_https_errors=True
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def sign_in(context: BrowserContext, hub: Hub) -> None:
    answer = context.request.post(
        f"{hub.url}/login", data={"user": grafana.ADMINISTRATOR, "password": hub.password}, timeout=PATIENCE_MS
    )
    assert answer.ok, answer.text()


def events_panel() -> int:
    """The id of the table of events."""
    panels = dashboards.panels(dashboards.committed()["camera.json"])
    return next(int(panel["id"]) for panel in panels if panel["title"] == "Latest events")


def plays(page: Page) -> list[int]:
    """Wait for the video of a page to play; its size on the screen."""
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 3")
    size: list[int] = page.evaluate(
        "() => { const at = document.querySelector('video').getBoundingClientRect(); return [at.width, at.height]; }"
    )
    return size


def test_an_event_in_grafana_leads_to_its_clip(phone: BrowserContext, hub: Hub) -> None:
    sign_in(phone, hub)
    page = phone.new_page()
    page.goto(f"{hub.url}/d/sensetig-camera?var-host=hub&from=now-1h&to=now&viewPanel=panel-{events_panel()}")
    play = page.get_by_role("link", name="▶ Play")
    play.wait_for()
    # One event alone has a path of the camera's form, and the first screen shows where to tap.
    assert play.count() == 1
    play.scroll_into_view_if_needed()
    box = play.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    # No path of a device leads to another page than those below /camera/.
    links: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('[role=gridcell] a, [role=cell] a')].map(each => each.href)"
    )
    assert len(links) == 1 + len(HOSTILE)
    assert all(each.startswith(f"{hub.url}/camera/") for each in links), links
    assert not any(mark in each for each in links for mark in "?#<"), links
    with page.expect_popup() as opened:
        play.tap()
    assert opened.value.url == f"{hub.url}/camera/hub/{hub.clip.replace('/', '%2F')}"
    width, height = plays(opened.value)
    assert 0 < width <= 390
    assert height > 0


def test_a_browser_that_has_not_signed_in_is_asked_to(phone: BrowserContext, hub: Hub) -> None:
    page = phone.new_page()
    page.goto(f"{hub.url}/camera/hub/{hub.clip}")
    page.get_by_role("link", name="Sign in to Grafana").wait_for()
    sign_in(phone, hub)
    page.goto(f"{hub.url}/camera/hub/{hub.clip}")
    plays(page)


def test_grafana_leads_from_the_renewal_of_a_token_to_the_clip(phone: BrowserContext, hub: Hub) -> None:
    sign_in(phone, hub)
    page = phone.new_page()
    page.goto(f"{hub.url}/user/auth-tokens/rotate?redirectTo=/camera/hub/{hub.clip}")
    plays(page)
