"""Device state: the cost of counting per message, and of a flush in CPU, writes to the card and memory."""

from __future__ import annotations

import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path

from collectors.device_state.model import Rules
from collectors.device_state.nats_kv import NatsStore, Server
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Store
from collectors.device_state.tracker import Limits, Tracker
from sensetig.engines import locate
from tests.bench.measure import Result
from tests.integration.nats import Nats

SIZES = (1, 1000, 10_000)
FLUSHES = 10
COUNTED = 200_000
S = 10**9
NOW = 1_800_000_000 * S
VALUES = {"temperature_raw_celsius": 21.5, "humidity_raw_percent": 40.25, "pressure_hpa": 1013.2}


def run() -> list[Result]:
    """All figures, in a folder of the disk that holds the temporary files."""
    results = counting()
    with tempfile.TemporaryDirectory(prefix="device-state-") as name:
        folder = Path(name)
        for size in SIZES:
            results += flushes("SQLite", SqliteStore(str(folder / f"{size}.db"), _fail), size)
        engine = locate("nats-server")
        if engine is not None:
            server = Nats(engine.path, folder)
            server.start()
            try:
                for size in SIZES:
                    store = NatsStore(Server("127.0.0.1", server.port, False), f"bench_{size}", 1, _fail)
                    results += flushes("NATS", store, size)
            finally:
                server.stop()
        results += idle(folder)
    return results


def counting() -> list[Result]:
    tracker = _tracker(SqliteStore("/nowhere/state.db", _fail))
    handle = tracker.device("pi")
    spans = []
    for round_number in range(5):
        first = round_number * COUNTED
        start = time.perf_counter()
        for identity in range(first, first + COUNTED):
            handle.count(identity, identity, VALUES)
        spans.append(time.perf_counter() - start)
    return [Result("counting a message, with the loop around it", min(spans) / COUNTED * 1e9, "ns", 1000)]


def flushes(title: str, store: Store, size: int) -> list[Result]:
    """Flushes after six messages from every device, as in a minute at one per 10 s."""
    tracker = _tracker(store)
    handles = [tracker.device(f"pi-{number}") for number in range(size)]
    seconds = []
    before = 0
    for number in range(FLUSHES + 1):
        at = NOW + number * 60 * S
        if number == 1:
            before = _written()
        for index, handle in enumerate(handles):
            for message in range(6):
                handle.count((number * size + index) * 6 + message, at + message * 10 * S, VALUES)
        start = time.perf_counter()
        tracker.flush(at)
        seconds.append(time.perf_counter() - start)
    store.close()
    found = [Result(f"{title}: a flush of {size} devices", statistics.median(seconds[1:]) * 1000, "ms")]
    if title == "SQLite":
        found.append(Result(f"{title}: written for it", (_written() - before) / FLUSHES / 1024, "KiB"))
    return found


def idle(folder: Path) -> list[Result]:
    """What 10,000 devices cost that send nothing: a look at their deadlines, and memory."""
    tracemalloc.start()
    tracker = _tracker(SqliteStore(str(folder / f"{SIZES[-1]}.db"), _fail))
    tracker.flush(NOW + FLUSHES * 60 * S)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    start = time.perf_counter()
    tracker.flush(NOW + FLUSHES * 60 * S)
    scan = time.perf_counter() - start
    start = time.perf_counter()
    tracker.flush(NOW + FLUSHES * 60 * S + 3600 * S)
    offline = time.perf_counter() - start
    tracker.close()
    return [
        Result("10,000 idle devices: the look for late ones", scan * 1000, "ms", 10),
        Result("10,000 idle devices: all become offline at once", offline * 1000, "ms"),
        Result("10,000 idle devices: memory", held / 1e6, "MB", 10),
    ]


def _tracker(store: Store) -> Tracker:
    return Tracker(store, Rules(), Limits(pending=5_000_000), {}, _fail, lambda: NOW, time.monotonic)


def _written() -> int:
    """Bytes that this process has sent towards the disk."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/self/io has no write_bytes")


def _fail(sentence: str) -> None:
    raise RuntimeError(sentence)
