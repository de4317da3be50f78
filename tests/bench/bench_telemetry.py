"""The processor: lines a second through its pure part and through Telegraf's pipe, its memory and its latency."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from collectors.core.api import Context
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.settings import Values
from collectors.device_state.settings import SECONDS, STATE
from collectors.telemetry import settings
from collectors.telemetry.calibrations import CALIBRATIONS
from collectors.telemetry.processor import Processor, open_processor
from sensetig.engines import locate
from tests.bench.measure import BenchUnavailable, Result, environment, pss_bytes, python, tree_cpu
from tests.integration.nats import Nats

NOW = 1_781_600_000_000_000_000
CALIBRATION = (
    '[[calibration]]\nmeasurement = "environment"\nfield = "temperature_raw_celsius"\nsensor = "hts221"\n'
    'valid_from = 2020-01-01\nkind = "gain"\ngain = 1.02\noffset = -4.1\n'
)
LINES = 400_000
CHUNK = 64 * 1024
ROUNDS = 3

#: A minimal pass-through: parses each line into a metric, and encodes it again.
_BARE = """
import sys
from collectors.core.line_protocol_parser import decode
from collectors.core.line_protocol import encode
out = sys.stdout
for line in sys.stdin:
    out.write(encode(decode(line)) + "\\n")
"""


def run() -> list[Result]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="telemetry-") as folder:
        return [*pure(folder), *piped(folder), *memory(folder), *latency(folder), *flushing(folder)]


def lines_of(devices: int, rounds: int, start: int = 0) -> Iterator[str]:
    """Lines of a Sense HAT's two sensors as Telegraf hands them on: a reading each round, every 10 s."""
    for number in range(start, start + rounds):
        for device in range(devices):
            tags = {"device": f"pi-{device}", "host": f"pi-{device}", "site": "home"}
            time_ns = NOW + number * 10_000_000_000 + device * 1000
            cpu = 47.2 + number % 9 / 10
            raw = round(29 + number % 7 / 100 + device % 9, 2)
            humidity = round(45 + number % 11 / 10, 1)
            yield encode(
                Metric(
                    Series("environment", {**tags, "sensor": "hts221"}),
                    {
                        "temperature_raw_celsius": raw,
                        "humidity_raw_percent": humidity,
                        "temperature_cpu_celsius": cpu,
                        "dew_point_celsius": 15.863,
                    },
                    time_ns,
                )
            )
            yield encode(
                Metric(
                    Series("environment", {**tags, "sensor": "lps25h"}),
                    {
                        "temperature_raw_celsius": raw - 2,
                        "pressure_hpa": round(1013 + number % 5 / 10, 2),
                        "temperature_cpu_celsius": cpu,
                    },
                    time_ns,
                )
            )


def calibrate(folder: str, devices: int) -> str:
    """A folder with a calibration for each device."""
    path = os.path.join(folder, "calibrations")
    os.makedirs(path, exist_ok=True)
    for device in range(devices):
        Path(path, f"pi-{device}.toml").write_text(CALIBRATION)
    return path


def pure(folder: str) -> list[Result]:
    """Calibration of one of seven fields, validation and counting, without any pipe; the best of three."""
    results = []
    for devices in (10, 10_000):
        processor = _processor(calibrate(folder, devices), os.path.join(folder, f"pure-{devices}.db"))
        for chunk in _chunks(lines_of(devices, 1)):
            processor.process(chunk)
        rounds = max(2, 50_000 // devices)
        values = [_once(processor, list(_chunks(lines_of(devices, rounds, 1 + rounds * turn)))) for turn in range(3)]
        processor.close()
        name = f"telemetry: lines through the pure part, {devices} devices"
        results.append(Result(name, max(values), "lines/s", 120_000, "more"))
    return results


def _once(processor: Processor, chunks: Sequence[bytes]) -> float:
    count = 0
    begun = time.process_time()
    for chunk in chunks:
        count += processor.process(chunk)[1]
    return count / (time.process_time() - begun)


def _processor(calibrations: str, state: str) -> Processor:
    values = Values(
        {CALIBRATIONS.name: calibrations, STATE.name: state, SECONDS.name: 3600.0, settings.AHEAD.name: 1e9}
    )
    return open_processor(Context(values, ErrorReporter("telemetry", _fail), False, "bench", time.time_ns))


def _chunks(lines: Iterator[str]) -> Iterator[bytes]:
    data = "".join(f"{line}\n" for line in lines).encode()
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def piped(folder: str) -> list[Result]:
    """Lines per second (wall time) through Telegraf and this processor, a minimal one, and `cat`."""
    engine = locate("telegraf")
    if engine is None:
        raise BenchUnavailable("there is no Telegraf: run `make engines` first")
    source = Path(folder, "lines.influx")
    source.write_text("".join(f"{line}\n" for line in lines_of(100, LINES // 200)))
    one = Path(folder, "one.influx")
    one.write_text(f"{next(lines_of(1, 1))}\n")
    calibrations = calibrate(folder, 100)
    ways = {
        "cat": ["cat"],
        "a bare Python that parses and writes": python("-c", _BARE),
        "telemetry": python("-m", "collectors", "telemetry", "--execd", "--calibrations", calibrations),
    }
    for name, command in ways.items():
        _check(engine.path, folder, name, command)
    found: dict[str, list[float]] = {name: [] for name in ways}
    # By turns, since the machine may have other work; what starting costs is taken off.
    for _ in range(ROUNDS):
        for name, command in ways.items():
            seconds = _carry(engine.path, folder, source, command) - _carry(engine.path, folder, one, command)
            found[name].append(LINES / seconds)
    results = [
        Result(
            f"Telegraf's pipe: {name}, median of {ROUNDS}",
            statistics.median(values),
            "lines/s",
            60_000 if name == "telemetry" else None,
            "more",
        )
        for name, values in found.items()
    ]
    own = found.pop("telemetry")
    for name, values in found.items():
        ratio = statistics.median(mine / other for mine, other in zip(own, values, strict=True))
        results.append(Result(f"Telegraf's pipe: telemetry to {name}, median of {ROUNDS}", ratio, "x"))
    return results


def _check(telegraf: Path, folder: str, name: str, command: list[str]) -> None:
    """That a way carries lines at all: of one that ends at once, Telegraf drops them, and quickly.

    When a process ends, Telegraf drops unread data in its pipe; telemetry waits for that, and the others do not.
    """
    source, out = Path(folder, "some.influx"), Path(folder, "out.influx")
    lines = list(lines_of(10, 250))
    source.write_text("".join(f"{line}\n" for line in lines))
    out.unlink(missing_ok=True)
    _carry(telegraf, folder, source, command, f"[[outputs.file]]\nfiles = ['{out}']\ndata_format = 'influx'\n")
    came = sum(line.startswith("environment,") for line in out.read_text().splitlines()) if out.exists() else 0
    missed = sum(len(line) + 1 for line in lines[came:])
    if missed > (0 if name == "telemetry" else CHUNK):
        raise BenchUnavailable(f"of {len(lines)} lines through {name}, {came} came out of Telegraf's pipe")


def _carry(
    telegraf: Path, folder: str, source: Path, command: list[str], output: str = "[[outputs.discard]]\n"
) -> float:
    """Seconds on the wall until Telegraf has carried a file's lines through a processor, and ended."""
    config = Path(folder, "telegraf.conf")
    config.write_text(
        "[agent]\nomit_hostname = true\nmetric_buffer_limit = 1000000\nskip_processors_after_aggregators = true\n"
        f"[[inputs.file]]\nfiles = ['{source}']\ndata_format = 'influx'\n"
        # A list of strings in JSON is one in TOML, with its line breaks.
        f"{output}[[processors.execd]]\ncommand = {json.dumps(command)}\n"
    )
    begun = time.perf_counter()
    done = subprocess.run(
        [telegraf, "--once", "--config", config],
        capture_output=True,
        env=environment(SENSETIG_TELEMETRY_STATE=os.path.join(folder, "pipe.db"), SENSETIG_SETTINGS=os.devnull),
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise BenchUnavailable(f"Telegraf ended with status {done.returncode}: {done.stderr[-300:].decode()}")
    return time.perf_counter() - begun


def memory(folder: str) -> list[Result]:
    """Memory of the process after a reading of each of *devices* devices, and after nine more."""
    results = []
    for devices in (1, 10_000):
        calibrations = calibrate(folder, devices)
        with _started(folder, calibrations, f"memory-{devices}") as process:
            for start in (0, 1, 2):
                _through(process, list(lines_of(devices, 1, start)))
            results.append(
                Result(
                    f"telemetry: memory with {devices} devices of two sensors",
                    pss_bytes(process.pid) / 1e6,
                    "MB",
                    30 if devices == 1 else 150,
                )
            )
    shutil.rmtree(os.path.join(folder, "calibrations"))
    return results


def latency(folder: str) -> list[Result]:
    """From a line's last byte in the pipe to its last byte out, and what waiting costs."""
    with _started(folder, calibrate(folder, 1), "latency") as process:
        times = []
        for line in lines_of(1, 300):
            begun = time.perf_counter()
            _through(process, [line])
            times.append(time.perf_counter() - begun)
        before, begun = tree_cpu(process.pid), time.perf_counter()
        time.sleep(15)
        idle = (tree_cpu(process.pid) - before) / (time.perf_counter() - begun)
    times.sort()
    return [
        Result("telemetry: from a line in to the line out, median", times[len(times) // 2] * 1000, "ms", 5),
        Result("telemetry: the same, the slowest of a hundred", times[-len(times) // 100] * 1000, "ms", 50),
        Result("telemetry: CPU while nothing comes", idle * 100, "%", 1),
    ]


def flushing(folder: str) -> list[Result]:
    """The slowest line while 10,000 devices are written to the store, with each line in a separate chunk."""
    results = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        engine = locate("nats-server")
        server = Nats(engine.path, Path(place)) if engine is not None else None
        if server is not None:
            server.start()
        try:
            stores = {"SQLite": os.path.join(place, "flush.db")}
            if server is not None:
                stores["NATS"] = f"nats://127.0.0.1:{server.port}"
            for name, store in stores.items():
                results.append(
                    Result(
                        f"telemetry: the slowest line while 10,000 devices are written, {name}",
                        _slowest(folder, store) * 1000,
                        "ms",
                        250,
                    )
                )
        finally:
            if server is not None:
                server.stop()
    return results


def _slowest(folder: str, store: str) -> float:
    lines = list(lines_of(10_000, 1))
    # This number of messages in memory triggers a write, whatever the clock.
    more = {"SENSETIG_TELEMETRY_STATE_PENDING": str(len(lines)), "SENSETIG_TELEMETRY_STATE_SECONDS": "3600"}
    slowest = 0.0
    with _started(folder, calibrate(folder, 1), "flush", store, **more) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        _through(process, lines)
        one = next(lines_of(1, 1, 2))
        written = False
        deadline = time.perf_counter() + 60
        while not written and time.perf_counter() < deadline:
            begun = time.perf_counter()
            process.stdin.write(f"{one}\n".encode())
            process.stdin.flush()
            while not (line := process.stdout.readline()).startswith(b"environment,"):
                written = written or line.startswith(b"device_store,")
            slowest = max(slowest, time.perf_counter() - begun)
        if not written:
            raise BenchUnavailable("the device states were not written within a minute")
    return slowest


def _started(
    folder: str, calibrations: str, name: str, store: str | None = None, **more: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        python("-m", "collectors", "telemetry", "--execd", "--calibrations", calibrations),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(
            SENSETIG_TELEMETRY_STATE=store or os.path.join(folder, f"{name}.db"), SENSETIG_SETTINGS=os.devnull, **more
        ),
    )


def _through(process: subprocess.Popen[bytes], lines: Sequence[str]) -> None:
    """Send the lines in small groups, and read the results."""
    assert process.stdin is not None
    assert process.stdout is not None
    for start in range(0, len(lines), 100):
        some = lines[start : start + 100]
        process.stdin.write("".join(f"{line}\n" for line in some).encode())
        process.stdin.flush()
        left = len(some)
        while left:
            line = process.stdout.readline()
            if not line:
                raise BenchUnavailable("the processor ended before it answered")
            left -= line.startswith(b"environment,")


def _fail(sentence: str) -> None:
    raise BenchUnavailable(sentence)
