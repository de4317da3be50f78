"""InfluxDB, Grafana and a browser for the pages: one of each for the session."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.line_protocol_parser import decode
from sensetig import bundle, policy
from sensetig.demo.testbed import grafana, ports, processes
from sensetig.engines import locate
from sensetig.fleet.devices import Limits, in_service, judge, read
from sensetig.fleet.health import levels, metrics
from sensetig.grafana import live
from sensetig.grafana.server import Server
from sensetig.influxdb.client import Client
from tests import dashboards, fleet
from tests.browser import kinds
from tests.integration.conftest import InfluxDB, prepared
from tests.integration.conftest import chromium as chromium
from tests.integration.conftest import influxd as influxd

#: Without a graphics card Chromium emulates one, which takes a long dashboard minutes; it draws by itself sooner.
ARGUMENTS = (
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

#: Milliseconds that Grafana may take for a page on a machine however busy.
PATIENCE_MS = 240_000


#: The streams that dashboards show, as ``measurement.field``.
_STREAMED = frozenset(
    channel.rpartition("/")[2] for each in dashboards.committed().values() for channel in dashboards.channels(each)
)


def _streamed(metric: Metric) -> Iterator[str]:
    """The lines that Telegraf's template creates from a metric, without the streams that no dashboard shows."""
    name, tags = metric.series.measurement, metric.series.tags
    labels = {label: tags[label] for label in ("sensor", "simulated") if label in tags}
    for field, value in metric.fields.items():
        if f"{name}.{field}" in _STREAMED:
            series = Series(f"{tags['device']}/{name}.{field}", labels)
            yield encode(Metric(series, {field: value}, metric.time_ns))


#: Where the pictures of this run are.
_PICTURES = pytest.StashKey[Path]()


class Site:
    """An InfluxDB with the six kinds of device in it, and the Grafana that shows them."""

    def __init__(self, influxdb: InfluxDB, url: str, live_token: str, devices: Iterable[kinds.Kind]) -> None:
        self.url = url
        self._live_token = live_token
        self._devices = [device for device in devices if device.known]
        self._influxdb = influxdb
        self._pool = urllib3.PoolManager(retries=False, timeout=120)
        self._client = Client(influxdb.url, influxdb.read_token)
        self._until = float(int(time.time()) // kinds.STEP * kinds.STEP)

    def fill(self) -> None:
        """Write the past of each device."""
        now = self._until
        for kind in self._devices:
            end = now - kind.silent_seconds
            self._write(kinds.lines(kind, end - kinds.PAST, end))
            self._push(kinds.lines(kind, end - kinds.STEP, end))
            if kind.hours:
                self._write(kinds.air(kind, end - kinds.PAST_OF_AIR, end - kinds.PAST))
                self._write(kinds.hours(kind, now), "hourly", self._influxdb.operator_token)
        self._write(fleet.written(kinds.OTHERS, now - kinds.PAST, now - kinds.STEP, kinds.STEP))
        self._write(map(encode, self._verdicts()))

    def beat(self) -> None:
        """Write the points of the living devices since the last call, and the verdict on each device."""
        now = time.time()
        for kind in self._devices:
            if kind.alive:
                lines = list(kinds.lines(kind, self._until, now))
                self._write(lines)
                self._push(lines)
        alive = (device for device in kinds.OTHERS if not device.silent_seconds)
        self._write(fleet.written(alive, now, now, kinds.STEP))
        self._until = now
        self._write(map(encode, self._verdicts()))

    def _verdicts(self) -> list[Metric]:
        now = time.time()
        limits = Limits()
        devices = in_service(read(self._client, now, policy.FORGOTTEN_DAYS * 86400), limits)
        judged = (judge(device, limits) for device in devices)
        return list(metrics(judged, levels(self._client), int(now * 1e9)))

    def _write(self, lines: Iterable[str], bucket: str = "raw", token: str = "") -> None:
        rest = iter(lines)
        while batch := list(islice(rest, 5000)):
            answer = self._pool.request(
                "POST",
                f"{self._influxdb.url}/api/v2/write?{urlencode({'org': self._influxdb.org, 'bucket': bucket})}",
                body="\n".join(batch),
                headers={"Authorization": f"Token {token or self._influxdb.write_token}"},
            )
            assert answer.status == 204, answer.data

    def _push(self, lines: Iterable[str]) -> None:
        """Push the values that dashboards show to Grafana Live, as ``telegraf/hub/live.conf`` does."""
        pushed = [line for metric in map(decode, lines) for line in _streamed(metric)]
        if not pushed:
            return
        answer = self._pool.request(
            "POST",
            f"{self.url}/api/live/push/{live.STREAM}",
            body="\n".join(pushed),
            headers={"Authorization": f"Bearer {self._live_token}"},
        )
        assert answer.status == 200, answer.data

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._pool.clear()


@pytest.fixture(scope="session")
def grafana_home() -> Path:
    """Grafana's folder; without one, the test is skipped."""
    home = locate("grafana")
    if home is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder to look at the dashboards in it")
    return home.path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, which runs once in a process."""
    with sync_playwright() as started:
        yield started


def launch(playwright: Playwright, program: str | Path) -> Browser:
    """Start a browser for Grafana's pages."""
    return playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser(grafana_home: Path, chromium: Path, playwright: Playwright) -> Iterator[BrowserContext]:
    """A browser that caches Grafana's files from page to page."""
    del grafana_home  # without Grafana, no browser is needed
    started = launch(playwright, chromium)
    context = started.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    yield context
    started.close()


@contextmanager
def running(home: Path, influxdb: InfluxDB, folder: Path, devices: Iterable[kinds.Kind]) -> Iterator[Site]:
    """Grafana on that InfluxDB, with the data of these devices."""
    environment = {
        "SENSETIG_INFLUXDB_URL": influxdb.url,
        "SENSETIG_ORGANISATION": influxdb.org,
        "SENSETIG_GRAFANA_TOKEN": influxdb.read_token,
        "GF_SECURITY_SECRET_KEY": secrets.token_hex(16),
    }
    port, password = ports.any_free(), secrets.token_urlsafe(24)
    log = folder / "grafana.log"
    identity, url = grafana.start(home, bundle.root(), folder / "data", port, environment, log, password=password)
    done = threading.Event()
    with ExitStack() as stack:
        stack.callback(processes.stop, [identity])
        account = live.prepare(Server(url, grafana.ADMINISTRATOR, password), folder / "live", lambda _: None)
        site = Site(influxdb, url, account.file.read_text(), devices)
        stack.callback(site.close)

        def beats() -> None:
            # A page takes minutes on a busy machine, and a verdict counts for two.
            while not done.wait(kinds.STEP):
                site.beat()

        site.fill()
        heart = threading.Thread(target=beats, name="beats")
        heart.start()
        stack.callback(heart.join)
        stack.callback(done.set)
        yield site


@pytest.fixture(scope="session")
def site(grafana_home: Path, influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything up, with the data of all kinds of device."""
    with prepared(influxd, tmp_path_factory.mktemp("influxdb")) as influxdb:
        folder = tmp_path_factory.mktemp("grafana")
        with running(grafana_home, influxdb, folder, kinds.KINDS.values()) as up:
            yield up


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The folder for a picture of each page: the one that SENSETIG_SCREENSHOTS names, or pytest's own."""
    named = os.environ.get("SENSETIG_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    pytestconfig.stash[_PICTURES] = folder
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the pictures are."""
    if folder := config.stash.get(_PICTURES, None):
        terminalreporter.write_line(f"pictures of the dashboards: {folder}")
