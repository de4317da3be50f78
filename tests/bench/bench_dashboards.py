"""How long all queries of each dashboard take, over an hour to a year, of one device among one and among fifty.

See tests/bench/fleet_data.py for the contents of the databases. Each panel's queries are sent one after the other, as
Grafana's datasource does; a panel's time is the sum of its queries' times. The annotations that are on count as panels.
A query that finds nothing is quick and says nothing, so these are counted too. InfluxDB's CPU time hardly changes when
the machine is busy; the ratio of a year to a day is taken from it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from grafana.dashboards.lib import buckets
from tests import dashboards
from tests.bench import fleet_data
from tests.bench.fleet_data import DAY, END, HOUR, Database
from tests.bench.measure import BenchUnavailable, Result, process_cpu

RANGES = {"1 h": HOUR, "24 h": DAY, "30 d": 30 * DAY, "1 y": 365 * DAY}

ROUNDS = 5

#: Limits for a dashboard: its slowest panel in milliseconds, and the ratio of a year's time to a day's.
SLOWEST_MS, YEAR_TO_DAY = 300, 2

#: Grafana's automatic intervals in seconds; each is taken from the geometric middle below it on.
_STEPS = (10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800, 2592000)
_BOUNDS = (12.5, 17.5, 25, 45, 90, 210, 450, 750, 1050, 1500, 2700, 5400, 9000, 16200, 32400, 86400, 604800, 1814400)

#: Flux equivalents of a fleet's panels, by the subject of the query.
_TWINS = {
    "temperature of 50 devices over 24 h": (
        'SELECT mean("temperature_raw_celsius") FROM "environment" WHERE "sensor" = \'hts221\' AND {time} '
        'GROUP BY time(5m), "host" fill(null)',
        'from(bucket: "raw") |> range({range}) |> filter(fn: (r) => r._measurement == "environment" '
        'and r._field == "temperature_raw_celsius" and r.sensor == "hts221") |> aggregateWindow(every: 5m, fn: mean) '
        '|> keep(columns: ["_time", "_value", "host"])',
        DAY,
    ),
    "newest values of 50 devices": (
        'SELECT last("temperature_raw_celsius") FROM "environment" WHERE "sensor" = \'hts221\' AND {time} '
        'GROUP BY "host"',
        'from(bucket: "raw") |> range({range}) |> filter(fn: (r) => r._measurement == "environment" '
        'and r._field == "temperature_raw_celsius" and r.sensor == "hts221") |> last() '
        '|> keep(columns: ["_time", "_value", "host"])',
        DAY,
    ),
}


class Timed(NamedTuple):
    """A dashboard over a range, in milliseconds.

    Args:
        slowest: the median of the slowest panel, whose title is *panel*.
        total: the median of all panels together.
        empty: the titles of panels without data.
        cpu: InfluxDB's CPU time of all panels, the mean of the rounds.
        dearest: the same of the panel that takes the most of it, whose title is *dear*.
    """

    slowest: float
    panel: str
    total: float
    empty: list[str]
    cpu: float
    dearest: float
    dear: str


class Answer(NamedTuple):
    """How long an answer took, in milliseconds, and whether there was anything in it."""

    took: float
    full: bool


class Asker:
    """Sends queries and measures the response time in milliseconds."""

    def __init__(self, database: Database) -> None:
        self.pid = database.pid
        self._database = database
        self._pool = urllib3.PoolManager(retries=False, timeout=120)

    def influxql(self, query: str) -> Answer:
        """As Grafana's InfluxQL datasource asks."""
        body = urlencode({"db": "raw", "q": query, "epoch": "ms"})
        return self._timed("/query", body, "application/x-www-form-urlencoded", b'"error"', b'"series"')

    def flux(self, query: str) -> Answer:
        """As Grafana's Flux datasource asks."""
        body = json.dumps({"query": query, "dialect": {"annotations": ["group", "datatype", "default"]}})
        path = f"/api/v2/query?org={self._database.organisation}"
        return self._timed(path, body, "application/json", b",error,", b"_result")

    def _timed(self, path: str, body: str, kind: str, wrong: bytes, full: bytes) -> Answer:
        began = time.perf_counter()
        answer = self._pool.request(
            "POST",
            f"{self._database.url}{path}",
            body=body,
            headers={"Authorization": f"Token {self._database.token}", "Content-Type": kind},
        )
        took = (time.perf_counter() - began) * 1000
        if answer.status != 200 or wrong in answer.data[:1000]:
            raise BenchUnavailable(f"InfluxDB refused {body[:300]}: {answer.data[:300]!r}")
        return Answer(took, full in answer.data)


def run() -> list[Result]:
    """Every dashboard on both databases; then the same on points only, and Flux compared with InfluxQL."""
    results: list[Result] = []
    for devices in (1, 50):
        with fleet_data.running(devices) as database:
            ask = Asker(database)
            results += _boards(ask, devices)
            if devices == 1:
                results += _points_alone(ask)
            else:
                results += _twins(ask)
            results.append(
                Result(f"{devices} devices: {database.lines:,} lines on disk", database.bytes_on_disk / 1e6, "MB")
            )
    return results


def _boards(ask: Asker, devices: int) -> Iterator[Result]:
    for name, board in dashboards.committed().items():
        if not any(True for _ in dashboards.targets(board)):
            continue
        key = f"{name.removesuffix('.json')}, {devices} {'device' if devices == 1 else 'devices'}"
        totals = {}
        empty: set[str] = set()
        for words, seconds in RANGES.items():
            timed = _timed(ask, board, seconds)
            totals[words] = timed.cpu
            yield Result(
                f"{key}, {words}: slowest panel, {timed.panel.rpartition(' (')[0]}", timed.slowest, "ms", SLOWEST_MS
            )
            yield Result(f"{key}, {words}: all panels", timed.total, "ms")
            yield Result(f"{key}, {words}: InfluxDB's CPU time for all panels", timed.cpu, "ms")
            yield Result(f"{key}, {words}: the most for a panel, {timed.dear.rpartition(' (')[0]}", timed.dearest, "ms")
            if words != "1 h":  # what happens seldom need not have happened in an hour
                empty.update(timed.empty)
        yield Result(
            f"{key}: panels that found nothing{''.join(f', {each}' for each in sorted(empty))}", len(empty), ""
        )
        yield Result(f"{key}: CPU time of a year to that of a day", totals["1 y"] / totals["24 h"], "x", YEAR_TO_DAY)


def _points_alone(ask: Asker) -> Iterator[Result]:
    """The same panels, had there been no bucket of hours."""
    for name in ("device.json", "environment.json", "pipeline.json"):
        board = dashboards.committed()[name]
        for words in ("30 d", "1 y"):
            timed = _timed(ask, board, RANGES[words], marks=buckets.OF_POINTS)
            key = f"{name.removesuffix('.json')}, 1 device, {words}, points alone"
            yield Result(f"{key}: slowest panel, {timed.panel.rpartition(' (')[0]}", timed.slowest, "ms")
            yield Result(f"{key}: all panels", timed.total, "ms")


def _twins(ask: Asker) -> Iterator[Result]:
    for words, (influxql, flux, seconds) in _TWINS.items():
        asked = influxql.format(time=f"time >= {END - seconds}s AND time < {END}s")
        twin = flux.format(range=f"start: {END - seconds}, stop: {END}")
        yield Result(f"{words}: InfluxQL", _median(lambda asked=asked: ask.influxql(asked).took), "ms")  # type: ignore[misc]
        yield Result(f"{words}: Flux", _median(lambda twin=twin: ask.flux(twin).took), "ms")  # type: ignore[misc]


def _median(once: Callable[[], float]) -> float:
    once()
    return statistics.median(once() for _ in range(ROUNDS))


def _timed(ask: Asker, board: Mapping[str, Any], seconds: int, marks: Mapping[str, str] | None = None) -> Timed:
    plan = dict(_queries(board, seconds, marks))
    rounds: list[dict[str, float]] = []
    cpu: dict[str, float] = dict.fromkeys(plan, 0.0)
    empty: list[str] = []
    for number in range(ROUNDS + 1):
        times = {}
        for panel, queries in plan.items():
            before = process_cpu(ask.pid)
            answers = [ask.flux(query) if flux else ask.influxql(query) for flux, query in queries]
            times[panel] = sum(each.took for each in answers)
            if number:  # the first round reads the files
                cpu[panel] += (process_cpu(ask.pid) - before) * 1000 / ROUNDS
            if not number and not any(each.full for each in answers) and not panel.startswith("annotation "):
                empty.append(panel.rpartition(" (")[0])
        rounds.append(times)
    medians = {panel: statistics.median(each[panel] for each in rounds[1:]) for panel in plan}
    slowest, dear = (max(of, key=lambda panel: of[panel]) for of in (medians, cpu))
    total = statistics.median(sum(each.values()) for each in rounds[1:])
    return Timed(medians[slowest], slowest, total, empty, sum(cpu.values()), cpu[dear], dear)


def _queries(
    board: Mapping[str, Any], seconds: int, marks: Mapping[str, str] | None
) -> Iterator[tuple[str, list[tuple[bool, str]]]]:
    """Each panel's title and id, and its queries with Grafana's variables filled in; whether each is Flux."""
    chosen = {
        each["name"]: each["current"]["value"] for each in board["templating"]["list"] if each["type"] == "custom"
    }
    values = {
        "site": ".*",
        "host": fleet_data.device(0),
        "interval": f"{_interval(seconds, board)}s",
        **chosen,
        **(marks or {}),
    }
    for panel in dashboards.panels(board):
        own = panel.get("timeFrom")
        span = dashboards.seconds(own) if own else seconds
        begin_ms, end_ms = (END - span) * 1000, END * 1000
        filled = {
            **values,
            "__interval": f"{max(10, span // int(panel.get('maxDataPoints') or 1000))}s",
            "__to": str(end_ms),
        }
        queries = []
        for target in panel.get("targets") or []:
            if "channel" in target:
                continue
            # The data ends at a fixed time, so queries relative to now are evaluated at that time.
            query = target["query"].replace("now()", f"{END}s")
            flux = target["datasource"]["uid"] == dashboards.FLUX
            fill = dashboards.filled_flux if flux else dashboards.filled
            queries.append((flux, fill(query, filled, begin_ms=begin_ms, end_ms=end_ms)))
        if queries:
            yield f"{panel['title']} ({panel['id']})", queries
    for mark in board["annotations"].get("list") or []:
        if mark["enable"] and "query" in mark["target"]:
            query = dashboards.filled_flux(
                mark["target"]["query"], values, begin_ms=(END - seconds) * 1000, end_ms=END * 1000
            )
            yield f"annotation {mark['name']} ()", [(True, query)]


def _interval(seconds: int, board: Mapping[str, Any]) -> int:
    """What *Resolution* is at ``auto``, in seconds."""
    (variable,) = (each for each in board["templating"]["list"] if each["type"] == "interval")
    rough = max(seconds / variable["auto_count"], dashboards.seconds(variable["auto_min"]))
    return next((step for step, bound in zip(_STEPS, _BOUNDS, strict=False) if rough < bound), _STEPS[-1])
