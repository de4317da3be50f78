"""The spool: lines in and out, disk writes per event compared with SQLite, and the cost of waiting."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable

from collectors.spool.reader import Reader
from collectors.spool.writer import Writer
from tests.bench.measure import BenchUnavailable, Execd, Result, child_cpu, environment, paired, python, rate

STATUS = (
    b"camera,camera=hall frames=100i,dropped=0i,detection=true,frames_per_second=10.0,motion_percent=4.431,"
    b"processing_seconds=0.0008 1795251575017946313\n"
    b"collector,collector=camera samples=1i,errors=0i,up=1i 1795251575018000000\n"
)
EVENT = b'camera_event,camera=hall,kind=end score=1.5,thumbnail="' + b"A" * 12_000 + b'" 1795251575017946313\n'

EVENTS = 200
LINES = 200_000
IDLE_SECONDS = 20.0


def run() -> list[Result]:
    """All figures, in a folder of the disk that holds the temporary files."""
    with tempfile.TemporaryDirectory(prefix="spool-") as folder:
        return [*throughput(folder), *disk(folder), *start(folder), *idle(folder)]


def opened(path: str, sync_seconds: float = 3600.0) -> Writer:
    return Writer(
        path,
        events=("camera_event",),
        max_bytes=1 << 30,
        sync_seconds=sync_seconds,
        complain=_fail,
        timer=time.monotonic,
    )


def throughput(folder: str) -> list[Result]:
    """Lines a second of one core: in, out of the files, and out of the collector as Telegraf reads it."""
    path = os.path.join(folder, "through")
    writer = opened(path)

    def append() -> int:
        for _ in range(500):
            writer.append(STATUS)
        return 1000

    into = rate(append)
    writer.close()
    full = os.path.join(folder, "full")
    writer = opened(full)
    for _ in range(LINES // 2):
        writer.append(STATUS)
    writer.close()
    again = os.path.join(folder, "again")
    shutil.copytree(full, again, ignore=shutil.ignore_patterns("bell"))
    reader = Reader(full)
    begun = time.process_time()
    count = 0
    while lines := reader.read():
        count += len(lines)
    out = count / (time.process_time() - begun)
    reader.close()
    empty = os.path.join(folder, "nothing")
    opened(empty).close()
    started = child_cpu(python("-m", "collectors", "spool", empty))
    through = LINES / (child_cpu(python("-m", "collectors", "spool", again)) - started)
    return [
        Result("spool: status lines in, a second of CPU", into, "lines", 1000, "more"),
        Result("spool: lines out of the files, a second of CPU", out, "lines"),
        Result("spool: lines through the collector, a second of CPU", through, "lines", 10_000, "more"),
    ]


def disk(folder: str) -> list[Result]:
    """Bytes written to disk for a single event of 12 KB, compared with a table in SQLite."""
    writer = opened(os.path.join(folder, "events"))
    spool = _written(lambda: writer.append(EVENT))
    writer.close()
    writer = opened(os.path.join(folder, "single"), sync_seconds=0)
    single = _written(lambda: writer.append(STATUS))
    writer.close()
    writer = opened(os.path.join(folder, "grouped"))
    grouped = _written(lambda: writer.append(STATUS), last=writer.close)
    table = sqlite3.connect(os.path.join(folder, "table.db"), isolation_level=None)
    table.execute("PRAGMA journal_mode=wal")
    table.execute("PRAGMA synchronous=full")
    table.execute("CREATE TABLE line (number INTEGER PRIMARY KEY AUTOINCREMENT, line BLOB)")
    lite = _written(lambda: table.execute("INSERT INTO line (line) VALUES (?)", (EVENT,)))
    lite_status = _written(lambda: table.execute("INSERT INTO line (line) VALUES (?)", (STATUS,)))
    table.close()
    return [
        Result("spool: an event of 12 KB on the disk", spool.bytes / 1024, "KiB written"),
        Result("the same in SQLite (WAL, synchronous=FULL)", lite.bytes / 1024, "KiB written"),
        Result("spool: time until an event is on this disk", spool.seconds * 1000, "ms"),
        Result("spool: a status of 260 bytes, put on the disk by itself", single.bytes / 1024, "KiB written"),
        Result("the same in SQLite", lite_status.bytes / 1024, "KiB written"),
        Result("spool: a status, together with others", grouped.bytes / 1024, "KiB written"),
    ]


def start(folder: str) -> list[Result]:
    """The collector on an empty spool, compared with bare Python."""
    path = os.path.join(folder, "empty")
    opened(path).close()
    child_cpu(python("-m", "collectors", "spool", path))
    by_environment = environment(SENSETIG_SPOOL_DIRECTORY=path)
    pair = paired(
        lambda: child_cpu(python("-m", "collectors", "spool"), env=by_environment),
        lambda: child_cpu(python("-c", "pass")),
        15,
    )
    sqlite = paired(
        lambda: child_cpu(python("-c", "import sqlite3")), lambda: child_cpu(python("-c", "import fcntl, binascii")), 15
    )
    return [
        Result("spool: to start, deliver nothing and end", pair.first * 1000, "ms CPU"),
        Result("bare Python", pair.second * 1000, "ms CPU"),
        Result("import sqlite3 beyond what the spool imports", (sqlite.first - sqlite.second) * 1000, "ms CPU"),
    ]


def idle(folder: str) -> list[Result]:
    """The cost of a collector that waits for lines."""
    path = os.path.join(folder, "idle")
    opened(path).close()
    with Execd("spool", path) as collector:
        collector.ask()
        process = collector.process.pid
        before, begun = _spent(process), time.monotonic()
        time.sleep(IDLE_SECONDS)
        after, ended = _spent(process), time.monotonic()
    seconds = ended - begun
    return [
        Result("spool: CPU of the collector while nothing comes", (after[0] - before[0]) / seconds * 100, "%", 0.1),
        Result("spool: times that it wakes up in a minute", (after[1] - before[1]) / seconds * 60, "", 30),
    ]


class _Cost:
    """Bytes sent to the disk, and seconds on the wall, for one."""

    def __init__(self, written: float, seconds: float) -> None:
        self.bytes = written
        self.seconds = seconds


def _written(work: Callable[[], object], *, last: Callable[[], object] = lambda: None) -> _Cost:
    before, begun = _blocks(), time.perf_counter()
    for _ in range(EVENTS):
        work()
    last()
    return _Cost((_blocks() - before) / EVENTS, (time.perf_counter() - begun) / EVENTS)


def _blocks() -> int:
    with open("/proc/self/io", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("write_bytes:"))


def _spent(pid: int) -> tuple[float, int]:
    """Seconds of CPU, to the nanosecond, and how often the process has gone to sleep."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        seconds = int(file.read().split()[0]) / 1e9
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        slept = next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches:"))
    return seconds, slept


def _fail(sentence: str) -> None:
    raise BenchUnavailable(sentence)
