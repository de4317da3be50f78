"""Cameras and streams that disappear and reconnect: a real server on loopback, and scripted cameras."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from collectors.camera.backends import Backend, Frame, open_backend
from collectors.camera.backends.reconnect import ReconnectingCamera
from collectors.camera.collector import CameraCollector
from collectors.camera.settings import Config
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.native import NativeThread
from collectors.core.settings import Values
from tests.unit.camera_rtsp import rtsp_camera

NOW_NS = 1_795_248_000 * 10**9


def never(seconds: float) -> bool:
    threading.Event().wait(min(seconds, 0.02))
    return False


def hasty() -> float:
    """A clock that runs ten times as fast: a timeout that passes soon, and leaves a busy machine the time to open."""
    return 10 * time.monotonic()


class Visits(http.server.BaseHTTPRequestHandler):
    """A network camera that sends ten pictures per connection, and then closes it or stops sending."""

    visits = 0
    silent: threading.Event | None = None

    def do_GET(self) -> None:
        type(self).visits += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        body = cv2.imencode(".jpg", np.full((120, 160, 3), 20 * self.visits, np.uint8))[1].tobytes()
        for _ in range(10):
            self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.wfile.write(body + b"\r\n")
            self.wfile.flush()
        if self.silent is not None:
            self.silent.wait(60)

    def log_message(self, format: str, *args: object) -> None:
        """Discard the log; the test itself makes the requests."""


@contextmanager
def network_camera(*, silent: bool) -> Iterator[str]:
    over = threading.Event()
    handler = type("Handler", (Visits,), {"visits": 0, "silent": over if silent else None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stream.mjpg"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("silent", [False, True], ids=["hangs up", "falls silent"])
def test_lost_stream_is_reopened(silent: bool) -> None:
    errors: list[str] = []
    with network_camera(silent=silent) as url:
        values = Values({"source": url, "frame_rate": 120.0, "timeout_seconds": 30.0, "reconnect_seconds": 0.1})
        backend = open_backend(values, ErrorReporter("camera", errors.append), lambda: NOW_NS, hasty)
        levels: set[int] = set()
        gaps = 0
        limit = time.monotonic() + 120
        for frame in backend.frames(never):
            gaps += frame is None
            if frame is not None:
                levels.add(round(frame.image.mean() / 20))
            if len(levels) >= 3 or time.monotonic() > limit:
                break
        backend.close()
    assert levels >= {1, 2, 3}
    assert gaps, "while there is no picture, that is told, too"
    assert any("reconnecting" in error for error in errors)


def test_stalled_rtsp_camera_times_out_and_is_reopened() -> None:
    errors: list[str] = []
    with rtsp_camera(60) as url:
        values = Values({"source": url, "frame_rate": 120.0, "timeout_seconds": 30.0, "reconnect_seconds": 0.1})
        backend = open_backend(values, ErrorReporter("camera", errors.append), lambda: NOW_NS, hasty)
        seen, lost, again = 0, False, 0
        limit = time.monotonic() + 120
        for frame in backend.frames(never):
            lost = lost or bool(errors)
            seen += frame is not None
            again += frame is not None and lost
            if again or time.monotonic() > limit:
                break
        backend.close()
    assert seen > again
    assert again
    assert any("reconnecting" in error for error in errors)
    assert not any("secret" in error for error in errors)


class Scripted:
    """A camera with some pictures, which is then lost."""

    name = "door"
    tags: Mapping[str, str] = {}

    def __init__(self, pictures: int, begin: float = 0.0, dropped: int = 0) -> None:
        self.dropped = dropped
        self.closed = False
        self._pictures = pictures
        self._begin = begin

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        for number in range(self._pictures):
            if wait(0):
                return
            seconds = self._begin + number / 10
            yield Frame(np.full((48, 64), 90, np.uint8), seconds, NOW_NS + round(seconds * 1e9))
        raise Unavailable("/dev/video0 delivers no more frames")

    def close(self) -> None:
        self.closed = True


def test_each_failed_attempt_is_reported_and_dropped_frames_add_up() -> None:
    errors: list[str] = []
    report = ErrorReporter("camera", errors.append)
    cameras: list[Scripted] = []
    tries = 0

    def reopen() -> Backend:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Unavailable("there is no device /dev/video0")
        cameras.append(Scripted(3, dropped=4))
        return cameras[-1]

    first = Scripted(2, dropped=3)
    backend = ReconnectingCamera(first, reopen, report, 0.02)
    found: list[Frame] = []
    for frame in backend.frames(never):
        if frame is not None:
            found.append(frame)
        if len(found) == 5:
            break
    assert first.closed
    assert tries == 4
    assert backend.dropped == 7
    assert report.errors == 4, "the loss, and three tries"
    assert errors == [
        "E! camera: /dev/video0 delivers no more frames; reconnecting",
        "E! camera: there is no device /dev/video0",
    ]
    backend.close()
    assert cameras[0].closed


def test_reconnecting_ends_on_shutdown() -> None:
    lost = threading.Event()

    def reopen() -> Backend:
        lost.set()
        raise Unavailable("there is no device /dev/video0")

    backend = ReconnectingCamera(Scripted(1), reopen, ErrorReporter("camera", lambda _: None), 3600.0)
    frames = list(backend.frames(lambda seconds: lost.wait(min(seconds, 0.05)) if seconds else False))
    assert frames[0] is not None
    backend.close()


@pytest.mark.parametrize("alive", [True, False])
def test_process_ends_at_once_while_a_stream_is_being_opened(alive: bool) -> None:
    program = f"""
import atexit, threading
from collectors.core.native import NativeThread, leave
inside, over = threading.Event(), threading.Event()
atexit.register(print, "the interpreter shuts down")
thread = NativeThread(lambda: (inside.set(), over.wait()), "camera reconnect")
thread.start()
inside.wait()
if not {alive}:
    over.set()
    thread.join()
print("all work is finished")
leave(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    shutdown = [] if alive else ["the interpreter shuts down"]
    assert done.stdout.splitlines() == ["all work is finished", *shutdown]
    assert (done.returncode, done.stderr) == (3 if alive else 0, "")


def test_streams_are_opened_and_read_in_native_threads() -> None:
    threads: list[threading.Thread] = []

    def reopen() -> Backend:
        threads.append(threading.current_thread())
        return Scripted(1)

    backend = ReconnectingCamera(Scripted(1), reopen, ErrorReporter("camera", lambda _: None), 60.0)
    for frame in backend.frames(never):
        if frame is None and threads:
            break
    assert isinstance(threads[0], NativeThread)
    backend.close()


def test_unexpected_error_is_not_retried() -> None:
    def reopen() -> Backend:
        raise ValueError("the mask is none")

    backend = ReconnectingCamera(Scripted(1), reopen, ErrorReporter("camera", lambda _: None), 60.0)
    with pytest.raises(ValueError, match="the mask is none"):
        list(backend.frames(never))


def test_shutdown_before_a_loss_ends_the_frames() -> None:
    backend = ReconnectingCamera(Scripted(5), lambda: Scripted(5), ErrorReporter("camera", lambda _: None), 60.0)
    assert list(backend.frames(lambda _seconds: True)) == []


@pytest.mark.parametrize(("away", "events"), [(60.0, 0), (1.0, 1)])
def test_changes_while_the_camera_was_away_are_not_motion(away: float, events: int) -> None:
    class Room(Scripted):
        """A room where something starts to move after a while."""

        def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:  # noqa: ARG002
            for number in range(100):
                image = np.full((240, 320), 90, np.uint8)
                seconds = number / 10
                if number >= 50:
                    image[50:200, 100 + 2 * number % 20 : 180 + 2 * number % 20] = 220
                    seconds += away
                yield Frame(image, seconds, NOW_NS + round(seconds * 1e9))

    report = ErrorReporter("camera", lambda _: None)
    watch = CameraCollector(
        Room(0), Config(frames=62), report, lambda: NOW_NS, timer=lambda: 0.0, stopwatch=lambda: 0.0
    )
    metrics = [metric for batch in watch.stream(never) for metric in batch]
    starts = [each for each in metrics if each.series.tags.get("kind") == "start"]
    assert len(starts) == events


def test_status_continues_without_frames_while_the_camera_is_away() -> None:
    now = 0.0
    errors: list[str] = []
    report = ErrorReporter("camera", errors.append)

    def reopen() -> Backend:
        raise Unavailable("there is no device /dev/video0")

    backend = ReconnectingCamera(Scripted(20), reopen, report, 0.01)
    watch = CameraCollector(
        backend, Config(status_seconds=5.0), report, lambda: NOW_NS, timer=lambda: now, stopwatch=lambda: 0.0
    )
    statuses: list[Metric] = []

    def wait(seconds: float) -> bool:
        nonlocal now
        if seconds:
            threading.Event().wait(0.005)
            now = max(now, 2.0) + 0.2
        return len(statuses) >= 3

    for batch in watch.stream(wait):
        statuses.extend(metric for metric in batch if metric.series.measurement == "camera")
    watch.close()
    assert [each.fields["frames"] for each in statuses][:3] == [20, 0, 0]
    assert report.errors >= 2
