"""The whole way of a live point on real engines: collector, Telegraf, Grafana, a panel in a browser; its delays."""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from collectors.core.line_protocol_parser import decode
from sensetig import bundle
from sensetig.demo.testbed import grafana, influxdb, ports, processes
from sensetig.grafana import live
from sensetig.grafana.server import Server
from sensetig.influxdb.prepare import Outcome, setup

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: The device that is watched.
DEVICE = "live-test"

#: How soon Telegraf tries a Grafana again that was away, in these tests.
RETRY_SECONDS = 2

#: Rows of the recording; each has a distinct pressure, so that a panel's text identifies the row.
_ROWS = 900

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")

#: Records at each frame that the browser draws the panel's text, if it has changed.
_WATCH = """id => {
    window.shown = [];
    let before = '';
    const look = () => {
        const panel = document.querySelector(`[data-viz-panel-key="panel-${id}"]`);
        const text = panel ? panel.innerText : '';
        if (text !== before) window.shown.push([Date.now(), text]);
        before = text;
        requestAnimationFrame(look);
    };
    look();
}"""


class Way(NamedTuple):
    """The running engines: Telegraf, InfluxDB and Grafana, with their folders and addresses."""

    folder: Path
    home: Path
    influxdb_url: str
    influxdb: Outcome
    grafana: processes.Identity
    grafana_url: str
    telegraf: processes.Identity
    server: Server
    running: list[processes.Identity]

    @property
    def log(self) -> str:
        """What Telegraf has said."""
        return (self.folder / "telegraf.log").read_text(encoding="utf-8")

    def measured(self) -> dict[str, float]:
        """The readings that Telegraf has got: the pressure as the panel writes it -> when it was read, in seconds."""
        times: dict[str, float] = {}
        for line in (self.folder / "lines").read_text(encoding="utf-8").splitlines():
            metric = decode(line)
            value = metric.fields.get("pressure_hpa")
            assert metric.time_ns is not None
            if metric.series.measurement == "environment" and isinstance(value, float):
                times[f"{value:.2f}"] = metric.time_ns / 1e9
        return times


def _recording(path: Path) -> None:
    rows = [
        f"47,{29 + number % 5 / 20},27,{45 + number % 7 / 10},{900 + number / 4:.2f},2026-01-01 {_clock(number)}"
        for number in range(_ROWS)
    ]
    path.write_text("\n".join(["temp_cpu,temp_h,temp_p,humidity,pressure,time_stamp", *rows, ""]), encoding="utf-8")


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _configuration(folder: Path, interval: str) -> Path:
    """A Telegraf with the bundle's own agent, output and live snippet, and one collector; and a file of its lines."""
    path = folder / "one.conf"
    path.write_text(
        f'[[inputs.execd]]\n  command = ["{sys.executable}", "-m", "collectors", "sensehat", "--execd", '
        f'"--backend", "recording", "--recording", "{folder / "pressures.csv"}", "--pace", "0"]\n'
        f'  signal = "STDIN"\n  interval = "{interval}"\n  data_format = "influx"\n'
        f'[[outputs.file]]\n  files = ["{folder / "lines"}"]\n  data_format = "influx"\n  flush_interval = "500ms"\n',
        encoding="utf-8",
    )
    return path


def start_grafana(
    home: Path, folder: Path, port: int, variables: Mapping[str, str], password: str
) -> tuple[processes.Identity, str]:
    """Grafana with its things in that folder, on that port; again after it was killed, too."""
    return grafana.start(
        home, bundle.root(), folder / "grafana", port, variables, folder / "grafana.log", password=password
    )


class Started(NamedTuple):
    """The parameters of a Grafana, so that it can be restarted unchanged."""

    port: int
    variables: Mapping[str, str]
    password: str


@contextmanager
def way(
    folder: Path, telegraf_program: Path, influxd: Path, home: Path, *, interval: str = "1s", flush: str = "10s"
) -> Iterator[tuple[Way, Started]]:
    """Everything up, a reading each interval; all of it is stopped at the end."""
    started: list[processes.Identity] = []
    try:
        identity, url = influxdb.start(
            influxd, folder / "influxdb", ports.any_free(), folder / "influxdb.log", started.append
        )
        outcome = setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=folder / "tokens",
            definitions=bundle.root() / "influxdb",
            say=lambda _: None,
        )
        variables = {
            "SENSETIG_INFLUXDB_URL": url,
            "SENSETIG_ORGANISATION": outcome.organisation,
            "SENSETIG_GRAFANA_TOKEN": outcome.tokens.grafana,
            "GF_SECURITY_SECRET_KEY": secrets.token_hex(16),
        }
        again = Started(ports.any_free(), variables, secrets.token_urlsafe(24))
        grafana_identity, grafana_url = start_grafana(home, folder, again.port, variables, again.password)
        started.append(grafana_identity)
        server = Server(grafana_url, grafana.ADMINISTRATOR, again.password)
        live.prepare(server, folder / "live", lambda _: None)
        _recording(folder / "pressures.csv")
        identity = telegraf_of(folder, telegraf_program, url, outcome, grafana_url, interval, flush)
        started.insert(0, identity)
        yield Way(folder, home, url, outcome, grafana_identity, grafana_url, identity, server, started), again
    finally:
        processes.stop(started)


def telegraf_of(
    folder: Path, program: Path, url: str, outcome: Outcome, grafana_url: str, interval: str, flush: str
) -> processes.Identity:
    """Telegraf with the bundle's own agent, telemetry processor, and outputs to InfluxDB and to Grafana Live."""
    root = bundle.root()
    added = [
        root / "telegraf" / "telegraf.d" / "telemetry.conf",
        root / "telegraf" / "hub" / "live.conf",
        _configuration(folder, interval),
    ]
    words: list[str | Path] = [program, "--strict-env-handling", "--config", root / "telegraf" / "telegraf.conf"]
    for file in added:
        words += ["--config", file]
    environment = {
        "SENSETIG_HOST": DEVICE,
        "SENSETIG_SENSEHAT_DEVICE": DEVICE,
        "SENSETIG_PYTHON": sys.executable,
        "SENSETIG_TELEMETRY_STATE": str(folder / "device-state.db"),
        "SENSETIG_TELEMETRY_CALIBRATIONS": str(folder / "calibrations"),
        "SENSETIG_INFLUXDB_URL": url,
        "SENSETIG_TELEGRAF_TOKEN": outcome.tokens.telegraf,
        "SENSETIG_FLUSH_INTERVAL": flush,
        "SENSETIG_GRAFANA_URL": grafana_url,
        "SENSETIG_LIVE_TOKENS": str(folder / "live"),
        "SENSETIG_LIVE_RETRY": f"{RETRY_SECONDS}s",
    }
    return processes.start("Telegraf", words, log=folder / "telegraf.log", environment=environment, folder=root)


@contextmanager
def opened(chromium: Path, grafana_url: str, panel_id: int) -> Iterator[Page]:
    """The Live dashboard in a browser, with that panel watched."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS, timeout=240_000)
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            # The load time of Grafana on a busy machine is not under test.
            page.goto(f"{grafana_url}/d/sensetig-live?var-host={DEVICE}&kiosk&theme=dark", timeout=240_000)
            page.evaluate(_WATCH, panel_id)
            yield page
        finally:
            browser.close()


def shown(page: Page) -> dict[str, float]:
    """The pressures that the panel has shown since it was opened, and when each came to be seen, in seconds."""
    seen: dict[str, float] = {}
    for at_ms, text in page.evaluate("window.shown"):
        for value in re.findall(r"\b\d{3,4}\.\d\d\b", text):
            seen.setdefault(value, at_ms / 1000)
    return seen


def await_shown(page: Page, count: int, seconds: float) -> dict[str, float]:
    """Wait until the panel has shown *count* readings. Raises playwright's TimeoutError."""
    page.wait_for_function("count => window.shown.length >= count", arg=count, timeout=seconds * 1000)
    return shown(page)


def await_measured(way: Way, seen: Mapping[str, float]) -> dict[str, float]:
    """The readings, when the file has all that were seen; it is written each half second. Raises RetryError."""
    return Retrying(
        retry=retry_if_result(lambda read: not seen.keys() <= read.keys()),
        stop=stop_after_delay(120),
        wait=wait_fixed(0.2),
    )(way.measured)


def delays(seen: Mapping[str, float], read: Mapping[str, float]) -> list[float]:
    """Seconds from each reading to when a panel showed it, without the first, which was read before it was open."""
    first, *others = sorted(seen, key=lambda value: seen[value])
    del first
    return [seen[value] - read[value] for value in others if value in read]


def readable_after(way: Way, seconds: float) -> list[float]:
    """Seconds from each reading until InfluxDB had it, polled every tenth of a second for *seconds*."""
    from influxdb_client.client.influxdb_client import InfluxDBClient

    query = (
        'from(bucket: "raw") |> range(start: -5m) '
        '|> filter(fn: (r) => r._measurement == "environment" and r._field == "pressure_hpa")'
    )
    seen: dict[datetime, float | None] = {}
    began, first = time.time(), True
    with InfluxDBClient(way.influxdb_url, way.influxdb.tokens.grafana, org=way.influxdb.organisation) as client:
        while time.time() - began < seconds:
            times = {record.get_time() for table in client.query_api().query(query) for record in table.records}
            now = time.time()
            for each in times - seen.keys():
                seen[each] = None if first else now - each.timestamp()
            first = False
            time.sleep(0.1)
    return [delay for delay in seen.values() if delay is not None]
