"""The cost of controlling the camera over HTTP: memory, and CPU with a viewer."""

from __future__ import annotations

import http.client
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from sensetig.demo.testbed import ports
from tests.bench.measure import BenchUnavailable, Result, environment, private_bytes, process_cpu, python

_WIDTH, _HEIGHT, _RATE = 640, 480, 10
#: How long CPU is measured for; /proc counts it in hundredths of a second.
_SECONDS = 10.0


def run() -> list[Result]:
    """Memory with and without control, and CPU with and without a viewer, of the camera on a film."""
    for name in ("cv2", "uvicorn"):
        if find_spec(name) is None:
            raise BenchUnavailable(f"{name} is not installed: pip install 'sensetig[camera,control]'")
    with tempfile.TemporaryDirectory() as folder:
        film = os.path.join(folder, "film.avi")
        _draw(film)
        with _camera(film, folder, None) as plain:
            alone = private_bytes(plain.pid)
        port = ports.any_free()
        with _camera(film, folder, port) as controlled:
            idle = private_bytes(controlled.pid)
            quiet = _cpu(controlled.pid)
            watched, pictures, size = _watched(controlled.pid, port)
            begun = process_cpu(controlled.pid)
            busy = private_bytes(controlled.pid)
            for _ in range(1000):
                _get(port, "/healthz")
            requests = process_cpu(controlled.pid) - begun
            after = private_bytes(controlled.pid)
    megabyte = 1024 * 1024
    return [
        Result("camera without control: memory", alone / megabyte, "MB"),
        Result("HTTP control: memory it adds", (idle - alone) / megabyte, "MB"),
        Result("HTTP control: memory more after 1,000 requests", (after - busy) / megabyte, "MB", 1.0),
        Result("HTTP control: CPU of 1,000 requests, camera's own included", requests, "s"),
        Result(f"camera {_WIDTH}x{_HEIGHT} at {_RATE} fps, nobody watches: CPU of a core", quiet * 100, "%"),
        Result(f"one viewer of {_WIDTH}x{_HEIGHT} at {_RATE} fps: CPU it adds", (watched - quiet) * 100, "%"),
        Result("  pictures a second that it got", pictures, "fps"),
        Result("  size of one", size / 1024, "KiB"),
    ]


def _draw(film: str) -> None:
    """A film with grain and with something that moves, as large to encode as a room is."""
    import cv2
    import numpy as np

    random = np.random.default_rng(1)
    rough = random.integers(0, 255, (30, 40, 3), np.uint8)
    room = cv2.resize(rough, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    writer = cv2.VideoWriter(film, cv2.VideoWriter.fourcc(*"MJPG"), _RATE, (_WIDTH, _HEIGHT))
    for number in range(_RATE * 10):
        picture = np.clip(room + random.normal(0, 3, room.shape), 0, 255).astype(np.uint8)
        cv2.rectangle(picture, (number * 5, 200), (number * 5 + 60, 400), (40, 40, 160), -1)
        writer.write(picture)
    writer.release()


@contextmanager
def _camera(film: str, folder: str, port: int | None) -> Iterator[subprocess.Popen[bytes]]:
    command = python("-m", "collectors", "camera", "--source", film, "--repeat", "true")
    command += [] if port is None else ["--control-port", str(port)]
    with open(os.path.join(folder, "out"), "wb") as out:
        process = subprocess.Popen(
            command, stdout=out, env=environment(SENSETIG_SETTINGS=os.devnull, OPENBLAS_NUM_THREADS="1")
        )
    try:
        time.sleep(6)  # it has started, and has learned its background
        if process.poll() is not None:
            raise BenchUnavailable("the camera did not start")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _cpu(pid: int) -> float:
    """The share of a core that a process takes."""
    begun, used = time.monotonic(), process_cpu(pid)
    time.sleep(_SECONDS)
    return (process_cpu(pid) - used) / (time.monotonic() - begun)


def _watched(pid: int, port: int) -> tuple[float, float, float]:
    """The CPU share of the camera with a viewer, pictures per second, and bytes per picture."""
    stop = threading.Event()
    seen = [0, 0]

    def watch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/stream.mjpg")
        response = connection.getresponse()
        while not stop.is_set() and (line := response.readline()):
            if line.startswith(b"Content-Length: "):
                seen[0] += 1
                seen[1] += int(line.split()[1])
        connection.close()

    viewer = threading.Thread(target=watch)
    viewer.start()
    time.sleep(1)
    before = tuple(seen)
    share = _cpu(pid)
    pictures, size = seen[0] - before[0], seen[1] - before[1]
    stop.set()
    viewer.join()
    return share, pictures / _SECONDS, size / max(1, pictures)


def _get(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    if connection.getresponse().status != 200:
        raise BenchUnavailable(f"{path} is not answered")
    connection.close()
