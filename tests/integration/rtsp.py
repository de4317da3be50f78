"""A real RTSP server, built from tests/rtspd, and publishers to it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest
from filelock import FileLock

from collectors.camera.pixels import Image
from sensetig.demo.testbed import ports
from sensetig.engines import cache

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

SOURCE = Path(__file__).resolve().parents[1] / "rtspd"


def program() -> Path:
    """The server, built once for its source; skips the test without Go or without its modules."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    folder = cache.top(os.environ) / "tests"
    path = folder / f"rtspd-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".rtspd.lock"):
        if path.is_file():
            return path
        go = shutil.which("go")
        if go is None:
            pytest.skip("no Go: the RTSP server of these tests is built with it")
        built = path.with_suffix(".part")
        command = [go, "build", "-buildvcs=false", "-o", str(built), "."]
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the RTSP server of these tests cannot be built: {done.stderr.strip()[-300:]}")
        built.rename(path)
    return path


def _rtp_port() -> int:
    """An even port, and with it the next one."""
    while True:
        port = ports.any_free()
        if port % 2 == 0 and ports.reserve(port + 1) and _takes_datagrams(port) and _takes_datagrams(port + 1):
            return port


def _takes_datagrams(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ports.LOOPBACK, port))
        except OSError:
            return False
    return True


class RtspServer:
    """A server, which can be stopped and started again on the same ports."""

    def __init__(self) -> None:
        self._program = program()
        self._ports = str(ports.any_free()), str(_rtp_port())
        self.start()

    def url(self, path: str, login: str = "") -> str:
        """The URL of a path."""
        return f"rtsp://{login}127.0.0.1:{self._ports[0]}/{path}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [str(self._program), *self._ports], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def lose(self, every: int) -> None:
        """Lose one packet of this many; 0 loses none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"lose {every}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ok\n"

    def kill(self) -> None:
        """Kill it, as when the camera loses its power."""
        with self._process:
            self._process.kill()


@contextmanager
def rtsp_server() -> Iterator[RtspServer]:
    """A server until the end of the test."""
    server = RtspServer()
    try:
        yield server
    finally:
        server.kill()


def picture(number: int, size: tuple[int, int]) -> Image:
    """Planes of a still room with noise; every number has other noise."""
    width, height = size
    room = np.random.default_rng(1).integers(60, 190, (height // 16, width // 16), np.uint8)
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    noise = np.random.default_rng(number).integers(0, 6, (height, width), np.uint8)
    planes[:height] = np.kron(room, np.ones((16, 16), np.uint8)) + noise
    return planes


class _Publisher:
    """Publishes a picture or some sound ten times a second, until it is stopped or the server ends."""

    def __init__(self, url: str, codec: str, size: tuple[int, int], keys: int) -> None:
        self._over, self._ready = threading.Event(), threading.Event()
        self._refused: Exception | None = None
        target = self._send_sound if codec == "pcm_mulaw" else self._send_pictures
        self._arguments = url, codec, size, keys
        self._thread = threading.Thread(target=self._send, args=(target,), daemon=True)
        self._thread.start()
        assert self._ready.wait(180)
        if self._refused is not None:
            raise self._refused

    def stop(self) -> None:
        """End the stream."""
        self._over.set()
        self._thread.join(180)

    def _send(self, send: Callable[[OutputContainer], None]) -> None:
        options = {"rtsp_transport": "tcp", "pkt_size": "1200"}
        try:
            with av.open(self._arguments[0], "w", format="rtsp", options=options) as container:
                send(container)
        except (av.FFmpegError, OSError) as error:
            if not self._ready.is_set():  # later, the server was killed
                self._refused = error
                self._ready.set()

    def _send_sound(self, container: OutputContainer) -> None:
        stream = container.add_stream("pcm_mulaw", rate=8000)
        number = 0
        while not self._over.wait(0.1):
            chunk = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            chunk.sample_rate, chunk.pts = 8000, 800 * number
            container.mux(stream.encode(chunk))
            number += 1
            self._ready.set()

    def _send_pictures(self, container: OutputContainer) -> None:
        _, codec, size, keys = self._arguments
        options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}
        if codec == "libx265":
            options["x265-params"] = "log-level=none"
        stream = cast("VideoStream", container.add_stream(codec, rate=10, options=options))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = keys
        stream.codec_context.time_base = Fraction(1, 1000)
        start = time.monotonic()
        number, at = 0, -1
        while not self._over.wait(max(0.0, start + number / 10 - time.monotonic())):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="yuv420p")
            # After a pause, several are due in one millisecond; FFmpeg refuses two of one time.
            at = max(at + 1, round(1000 * (time.monotonic() - start)))
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
            number += 1
            if number > 2:
                self._ready.set()


@contextmanager
def published(
    server: RtspServer, path: str, codec: str = "libx264", size: tuple[int, int] = (320, 240), keys: int = 10
) -> Iterator[None]:
    """A stream on the server; *keys* pictures from one key frame to the next."""
    publisher = _Publisher(server.url(path), codec, size, keys)
    try:
        yield
    finally:
        publisher.stop()
