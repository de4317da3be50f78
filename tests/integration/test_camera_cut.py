"""A camera whose cable is cut in the middle of an event, and whose machine loses its power afterwards."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.encoding import jpeg
from collectors.camera.media.store import Store
from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode_lines
from tests.golden import ROOT
from tests.unit.camera_media_support import shown

#: No wait takes this long, however busy the machine is.
BOUND_SECONDS = 240.0

_FRAME_RATE = 10


class _Camera(http.server.BaseHTTPRequestHandler):
    """Shows an empty room, and then a person who walks to and fro, until it is cut off; no connection is closed."""

    scene = Scene(1, SCRIPTS["person"])
    cut = threading.Event()
    gone = threading.Event()

    def do_GET(self) -> None:
        if not self.cut.is_set():
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            number = 0
            while not self.cut.is_set():
                body = jpeg(self.scene.draw(_moment(number)))
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body))
                self.wfile.write(body + b"\r\n")
                self.cut.wait(1 / _FRAME_RATE)
                number += 1
        self.gone.wait(BOUND_SECONDS)

    def log_message(self, format: str, *args: object) -> None:
        """Discard the log; the test itself makes the requests."""


def _moment(number: int) -> float:
    """Which second of the scene a frame shows: four seconds of the room, then those with the person, repeatedly."""
    if number < 4 * _FRAME_RATE:
        return number / _FRAME_RATE
    return 5.0 + abs((number / _FRAME_RATE) % 6.0 - 3.0)


@pytest.fixture
def camera() -> Iterator[int]:
    """The port of a camera that is cut off."""
    _Camera.cut.clear()
    _Camera.gone.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Camera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    _Camera.gone.set()
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def watching(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The camera's process, which is killed without notice at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    environment |= {"PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": os.devnull, "OPENBLAS_NUM_THREADS": "1"}
    command = [
        sys.executable, "-m", "collectors", "camera", "--execd", "--source", f"http://127.0.0.1:{port}/live",
        "--name", "door", "--media-dir", str(folder / "media"), "--event-gap-seconds", "1",
        "--post-capture-seconds", "0.5", "--timeout-seconds", "30",
    ]  # fmt: skip
    with (
        (folder / "out").open("wb") as out,
        (folder / "err").open("ab") as err,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=err) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def events(folder: Path) -> list[Metric]:
    """The points of events that the process has printed."""
    text = (folder / "out").read_text(encoding="utf-8")
    found = decode_lines(text[: text.rfind("\n") + 1])
    return [each for each in found if each.series.measurement == "camera_event"]


def until(folder: Path, process: subprocess.Popen[bytes], kind: str) -> Metric:
    """Wait for the start or the end of an event."""
    end = time.monotonic() + BOUND_SECONDS
    pause = threading.Event()
    while time.monotonic() < end:
        assert process.poll() is None, (folder / "err").read_text(encoding="utf-8")
        found = [each for each in events(folder) if each.series.tags["kind"] == kind]
        if found:
            return found[0]
        pause.wait(0.05)
    pytest.fail(f"no {kind} of an event: {(folder / 'err').read_text(encoding='utf-8')}")


def test_evidence_survives_a_cut_cable_and_a_loss_of_power_after_it(camera: int, tmp_path: Path) -> None:
    media = tmp_path / "media"
    with watching(camera, tmp_path) as process:
        until(tmp_path, process, "start")
        _Camera.cut.set()
        fields = until(tmp_path, process, "end").fields
        assert fields["interrupted"] is True
        # The clip is there a moment after the point that names it.
        snapshot, clip = media / str(fields["snapshot_path"]), media / str(fields["clip_path"])
        end = time.monotonic() + BOUND_SECONDS
        while not clip.is_file():
            assert time.monotonic() < end, (tmp_path / "err").read_text(encoding="utf-8")
            threading.Event().wait(0.05)
    # The process was killed while the camera was away. The next one removes only incomplete files.
    store = Store(str(media), max_bytes=10**12, max_days=36500, clock_ns=time.time_ns)
    store.close()
    assert snapshot.stat().st_size > 1000
    assert len(shown(clip)) >= 10
    assert [path.suffix for path in sorted(media.rglob("*.*")) if path.is_file()] == ["", ".jpg", ".mp4"]
