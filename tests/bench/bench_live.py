"""The delay of a reading in an open panel, live and through InfluxDB; the cost of a missing Grafana for Telegraf."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import tempfile
import time
from pathlib import Path

from sensetig.engines import locate
from tests import dashboards
from tests.bench.measure import BenchUnavailable, Result, process_cpu, pss_bytes
from tests.integration import live

#: Readings that are watched, and how often one is taken.
READINGS = 120
INTERVAL = "500ms"

#: Seconds over which the cost is measured.
COST_SECONDS = 20


def run() -> list[Result]:
    """Delays of real readings in a real browser, and the cost of Live with Grafana there and away."""
    telegraf, influxd, grafana = (locate(name) for name in ("telegraf", "influxd", "grafana"))
    chromium = shutil.which("chromium")
    if not (telegraf and influxd and grafana and chromium):
        raise BenchUnavailable("it needs Telegraf, InfluxDB, Grafana (GRAFANA_HOME) and chromium")
    board = dashboards.committed()["live.json"]
    panel = next(each for each in dashboards.panels(board) if (each["type"], each["title"]) == ("stat", "Pressure"))
    with (
        tempfile.TemporaryDirectory() as folder,
        live.way(Path(folder), telegraf.path, influxd.path, grafana.path, interval=INTERVAL) as (way, _),
    ):
        with live.opened(Path(chromium), way.grafana_url, panel["id"]) as page:
            seen = live.await_shown(page, READINGS, 150)
            shown = live.delays(seen, live.await_measured(way, seen))
        stored = live.readable_after(way, 30)
        there, lines_there = _cost(way)
        os.kill(way.grafana.pid, signal.SIGKILL)
        away, lines_away = _cost(way)
        memory = pss_bytes(way.telegraf.pid) / 1e6
    return [
        Result(f"live: reading to panel, median of {len(shown)}", statistics.median(shown) * 1000, "ms", 1000),
        Result("live: reading to panel, 95 of 100", statistics.quantiles(shown, n=20)[-1] * 1000, "ms", 1000),
        Result("live: reading to panel, longest", max(shown) * 1000, "ms", 1000),
        Result("live: reading to InfluxDB, flushed each 10 s, median", statistics.median(stored) * 1000, "ms"),
        Result("live: reading to InfluxDB, flushed each 10 s, longest", max(stored) * 1000, "ms"),
        Result("live: Telegraf with Grafana there, 4 points a second", there, "% of a core"),
        Result("live: Telegraf with Grafana away, 4 points a second", away, "% of a core"),
        Result("live: Telegraf's memory (PSS) with Grafana away", memory, "MB"),
        Result("live: lines of log a minute, Grafana there", lines_there, "lines", 0),
        Result(
            f"live: lines of log a minute, Grafana away, tried each {live.RETRY_SECONDS} s",
            lines_away,
            "lines",
            60 / live.RETRY_SECONDS + 3,
        ),
    ]


def _cost(way: live.Way) -> tuple[float, float]:
    """Telegraf's own CPU in percent of a core, and lines of its log a minute."""
    lines, cpu, began = way.log.count("\n"), process_cpu(way.telegraf.pid), time.monotonic()
    time.sleep(COST_SECONDS)
    took = time.monotonic() - began
    return (process_cpu(way.telegraf.pid) - cpu) / took * 100, (way.log.count("\n") - lines) / took * 60
