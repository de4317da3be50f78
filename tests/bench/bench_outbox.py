"""SD wear and CPU of the outbox, Telegraf's memory buffer and its disk buffer, with the hub up and away.

Each candidate has an ext4 file system on a block device, and all run at the same time with the same points: 12 a
second, written each 10 s as the bundle does. The device's own counter includes the journal. It needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from sensetig.demo.testbed import ports
from sensetig.engines import locate
from tests.bench.measure import BenchUnavailable, Result, environment

#: Length of the run, and points in each interval of 10 s.
SECONDS, POINTS = 180, 120

_IMAGE_BYTES = 256 * 1024 * 1024
_SECTOR_BYTES = 512
_TICKS = os.sysconf("SC_CLK_TCK")

_SOURCE = """
import random, time
numbers = random.Random(1)
start = time.monotonic()
for turn in range(10**9):
    for each in range({points}):
        values = ",".join(f"value_{{n}}={{numbers.random() * 10 ** numbers.randrange(8):.3f}}" for n in range(6))
        tags = f"host=hall,site=home,path=/srv/{{each % 7}},device=mmcblk0p{{each % 3}}"
        print(f"measurement_{{each % 12}},{{tags}},cpu=cpu{{each}} {{values}} {{time.time_ns() + each}}", flush=False)
    print(end="", flush=True)
    time.sleep(max(0.0, start + 10 * (turn + 1) - time.monotonic()))
"""

_TELEGRAF = """\
[agent]
  interval = "10s"
  flush_interval = "10s"
  skip_processors_after_aggregators = true
  omit_hostname = true
  buffer_strategy = "{strategy}"
  buffer_directory = "{folder}/buffer"
  buffer_disk_sync = false
[[inputs.execd]]
  command = ["{python}", "{source}"]
  signal = "none"
  data_format = "influx"
[[outputs.influxdb_v2]]
  urls = ["{url}"]
  organization = "sensetig"
  bucket = "raw"
  token = "unused"
  startup_error_behavior = "retry"
"""


class Candidate(NamedTuple):
    """A way to keep points, with the hub up or away."""

    kind: str
    is_up: bool

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.kind}, hub {'up' if self.is_up else 'away'}"


class Device(NamedTuple):
    """A mounted file system."""

    folder: Path
    name: str

    def written(self) -> int:
        """Bytes written to the block device."""
        subprocess.run(["sync", "-f", self.folder], check=True)
        return int(Path(f"/sys/block/{self.name}/stat").read_text().split()[6]) * _SECTOR_BYTES


def run() -> list[Result]:
    """All candidates at the same time."""
    telegraf = locate("telegraf")
    if os.geteuid() or telegraf is None:
        raise BenchUnavailable("it mounts file systems, which needs root, and runs Telegraf: make engines")
    candidates = [Candidate(kind, up) for kind in ("memory buffer", "disk buffer", "outbox") for up in (True, False)]
    results: list[Result] = []
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outbox-")))
        hub = stack.enter_context(_hub())
        away = f"http://127.0.0.1:{ports.any_free()}"
        source = top / "source.py"
        source.write_text(_SOURCE.format(points=POINTS))
        (top / "token").write_text("unused")
        (top / "token").chmod(0o600)
        running = []
        for number, candidate in enumerate(candidates):
            device = stack.enter_context(_mounted(top / f"{number}"))
            url = hub if candidate.is_up else away
            running.append((candidate, device, _started(stack, telegraf.path, candidate, device, source, url)))
        time.sleep(15)  # start-up is not measured
        before = [(device.written(), [_cpu(each) for each in processes]) for _, device, processes in running]
        time.sleep(SECONDS)
        count = SECONDS / 10 * POINTS
        for (candidate, device, processes), (bytes_before, cpu_before) in zip(running, before, strict=True):
            per_point = (device.written() - bytes_before) / count
            cpu = sum(_cpu(each) for each in processes) - sum(cpu_before)
            results.append(Result(f"{candidate.name}: device bytes", per_point, "B a point"))
            results.append(Result(f"{candidate.name}: CPU", cpu / count * 1e6, "ms per 1,000 points"))
    return results


def _started(
    stack: ExitStack, telegraf: Path, candidate: Candidate, device: Device, source: Path, url: str
) -> list[subprocess.Popen[bytes]]:
    processes = []
    if candidate.kind == "outbox":
        socket = source.parent / f"{device.name}.sock"
        command: list[str | Path] = [
            sys.executable, "-m", "sensetig", "outbox", "--folder", device.folder / "outbox", "--url", url,
            "--listen", f"unix:{socket}", "--token-file", source.parent / "token", "--reserve-megabytes", "1",
        ]  # fmt: skip
        processes.append(_process(stack, command))
        url = f"unix://{socket}"
    configuration = source.parent / f"{device.name}.conf"
    strategy = "disk" if candidate.kind == "disk buffer" else "memory"
    configuration.write_text(
        _TELEGRAF.format(strategy=strategy, folder=device.folder, python=sys.executable, source=source, url=url)
    )
    processes.append(_process(stack, [telegraf, "--config", configuration, "--quiet"]))
    return processes


def _process(stack: ExitStack, command: list[str | Path]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment())
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU of a process, without its children: the source is the same everywhere."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def _mounted(path: Path) -> Iterator[Device]:
    image, folder = path.with_suffix(".img"), path
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    # Otherwise the kernel would initialise it in the background.
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    subprocess.run(["mount", "-o", "loop,noatime", image, folder], check=True)
    try:
        found = subprocess.run(["findmnt", "-n", "-o", "SOURCE", folder], check=True, capture_output=True, text=True)
        yield Device(folder, found.stdout.strip().removeprefix("/dev/"))
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def _hub() -> Iterator[str]:
    """A server that answers as an InfluxDB that takes all points."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if self.headers["Transfer-Encoding"] == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            else:
                self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
