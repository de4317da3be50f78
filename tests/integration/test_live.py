"""Live: a reading reaches an open panel within a second, and an outage of Grafana affects no other data path."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig.engines import locate
from sensetig.grafana import live
from tests import dashboards
from tests.integration import live as ways

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1800)]

#: Readings that are watched, one a second.
READINGS = 15

#: How often Telegraf writes to InfluxDB: longer than a reading takes to a panel on a machine however busy.
FLUSH_SECONDS = 30


@pytest.fixture(scope="module")
def home() -> Path:
    """Grafana's folder; without one, the test is skipped."""
    grafana = locate("grafana")
    if grafana is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder")
    return grafana.path


@pytest.fixture(scope="module")
def up(
    telegraf: Path, influxd: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ways.Way, ways.Started]]:
    """The whole way, a reading a second."""
    with ways.way(tmp_path_factory.mktemp("live"), telegraf, influxd, home, flush=f"{FLUSH_SECONDS}s") as started:
        yield started


@pytest.fixture(scope="module")
def page(up: tuple[ways.Way, ways.Started], chromium: Path) -> Iterator[Page]:
    """The Live dashboard in a browser, with its newest pressure watched."""
    dashboard = dashboards.committed()["live.json"]
    (panel,) = [each for each in dashboards.panels(dashboard) if each["type"] == "stat" and each["title"] == "Pressure"]
    with ways.opened(chromium, up[0].grafana_url, panel["id"]) as page:
        yield page


def test_a_reading_is_shown_in_an_open_panel_long_before_it_is_stored(
    up: tuple[ways.Way, ways.Started], page: Page
) -> None:
    seen = ways.await_shown(page, READINGS, 300)
    delays = ways.delays(seen, ways.await_measured(up[0], seen))

    assert len(delays) >= READINGS - 3, "readings were left out"
    assert min(delays) > 0
    # `make bench BENCH=live` measures it. Readings that wait for a write are half of its interval late on average.
    assert statistics.median(delays) < FLUSH_SECONDS / 4


def test_influxdb_is_still_written_in_batches(up: tuple[ways.Way, ways.Started], page: Page) -> None:
    ways.await_shown(page, READINGS, 300)
    waited = ways.readable_after(up[0], 2.5 * FLUSH_SECONDS)
    assert max(waited) > FLUSH_SECONDS / 2, "points go out together"


def test_without_grafana_the_rest_goes_on_and_the_panel_streams_again_when_it_is_back(
    up: tuple[ways.Way, ways.Started], page: Page
) -> None:
    way, again = up
    ways.await_shown(page, 3, 300)
    before, began = way.log.count("\n"), time.monotonic()
    os.kill(way.grafana.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(way.grafana.pid)], timeout=60)
    read = len(way.measured())
    _await(lambda: len(way.measured()) >= read + 12, 300)
    away, attempts = way.log.splitlines()[before:], (time.monotonic() - began) / ways.RETRY_SECONDS
    shown = len(ways.shown(page))

    identity, _ = ways.start_grafana(way.home, way.folder, again.port, again.variables, again.password)
    way.running.append(identity)

    page.wait_for_function("count => window.shown.length > count + 3", arg=shown, timeout=300_000)
    assert len([line for line in away if "outputs.http" in line]) <= 3 + attempts
    assert [line for line in away if " E! " in line and "outputs.http" not in line] == []
    _await(lambda: way.measured().keys() <= _stored(way) | _newest(way), 300)


def _newest(way: ways.Way) -> set[str]:
    """The readings of the last two flush intervals, which InfluxDB need not have yet."""
    return set(list(way.measured())[-2 * FLUSH_SECONDS - 5 :])


def _stored(way: ways.Way) -> set[str]:
    """The pressures that InfluxDB has."""
    query = (
        'from(bucket: "raw") |> range(start: -1h) '
        '|> filter(fn: (r) => r._measurement == "environment" and r._field == "pressure_hpa")'
    )
    with InfluxDBClient(way.influxdb_url, way.influxdb.tokens.grafana, org=way.influxdb.organisation) as client:
        return {f"{record.get_value():.2f}" for table in client.query_api().query(query) for record in table.records}


def _await(ready: object, seconds: float) -> None:
    Retrying(retry=retry_if_result(lambda result: not result), stop=stop_after_delay(seconds), wait=wait_fixed(0.3))(
        ready  # type: ignore[arg-type]
    )


def test_the_account_may_push_and_see_nothing(up: tuple[ways.Way, ways.Started]) -> None:
    way, _ = up
    token = (way.folder / "live" / live.FILE).read_text()
    headers = {"Authorization": f"Bearer {token}"}

    def status(method: str, path: str, body: bytes | None = None) -> int:
        return urllib3.request(method, way.grafana_url + path, body=body, headers=headers, retries=False).status

    assert status("POST", "/api/live/push/sensetig", b"other/probe.value value=1") == 200
    for path in ("/api/org/users", "/api/datasources", "/api/serviceaccounts/search", "/api/admin/settings"):
        assert status("GET", path) in (401, 403), path
    assert status("GET", "/api/dashboards/uid/sensetig-live") in (401, 403)
    assert status("POST", "/api/dashboards/db", b'{"dashboard": {"title": "mine"}}') in (400, 401, 403)
