"""The camera process with control and media: requested photos and clips are on disk."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pytest

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode_lines
from sensetig.demo.testbed import ports
from tests.golden import ROOT
from tests.unit.camera_control_support import PATIENT

#: A visit, the gap after it and the end of the clip fit in, on a machine with other things to do.
BOUND_SECONDS = 120.0


class Camera(NamedTuple):
    """A camera that runs."""

    port: int
    out: Path

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND_SECONDS)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, path: str, method: str = "GET") -> Any:
        """An answer as JSON."""
        return json.loads(self.ask(path, method)[1])

    def metrics(self) -> list[Metric]:
        """Its output up to the last whole line."""
        text = self.out.read_text(encoding="utf-8")
        return list(decode_lines(text[: text.rfind("\n") + 1]))


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    folder = tmp_path_factory.mktemp("camera")
    port = ports.any_free()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    environment |= {"PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": os.devnull, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PATIENT, "camera", "--backend", "simulated", "--name", "Front Door"]
    command += ["--control-port", str(port), "--media-dir", str(folder / "media"), "--event-gap-seconds", "1"]
    command += ["--post-capture-seconds", "0.5", "--status-seconds", "1"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        try:
            await_that(lambda: ports.is_listening(port) or process.poll() is not None)
            yield Camera(port, folder / "out")
        finally:
            process.terminate()
            assert process.wait(BOUND_SECONDS) == 0
    assert (folder / "err").read_text(encoding="utf-8") == ""


def await_that(condition: Callable[[], object]) -> None:
    """Wait until something is so, for as long as it may take at most."""
    end = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        threading.Event().wait(0.05)


def test_a_photo_can_be_fetched(camera: Camera) -> None:
    await_that(lambda: camera.ask("/healthz")[0] == 200)
    status, body = camera.ask("/take_photo", "POST")
    assert status == 201
    status, picture = camera.ask(json.loads(body)["url"])
    assert (status, picture[:2], picture[-2:]) == (200, b"\xff\xd8", b"\xff\xd9")


def test_a_finished_clip_can_be_fetched_whole_and_in_parts(camera: Camera) -> None:
    await_that(lambda: camera.ask("/healthz")[0] == 200)
    status, body = camera.ask("/take_video?seconds=10", "POST")
    assert status == 202
    url = json.loads(body)["url"]
    # Within these ten seconds.
    assert camera.ask(url)[0] == 404
    assert camera.json("/healthz")["recording"] is True
    await_that(lambda: camera.ask(url)[0] == 200)
    whole = camera.ask(url)[1]
    assert whole[4:8] == b"ftyp"
    assert camera.ask(url, Range="bytes=4-7") == (206, b"ftyp")


def test_other_programs_can_play_the_stream(camera: Camera) -> None:
    await_that(lambda: camera.ask("/healthz")[0] == 200)
    player = cv2.VideoCapture(f"http://127.0.0.1:{camera.port}/stream.mjpg", cv2.CAP_FFMPEG)
    pictures = [player.read() for _ in range(5)]
    assert camera.json("/healthz")["streams"] == 1
    player.release()
    assert all(taken and picture.shape == (240, 320, 3) for taken, picture in pictures)
    await_that(lambda: camera.json("/healthz")["streams"] == 0)


def test_more_seconds_than_the_settings_allow_are_refused(camera: Camera) -> None:
    assert camera.ask("/take_video?seconds=121", "POST")[0] == 422


def test_an_event_links_to_its_pictures(camera: Camera) -> None:
    def ended() -> list[dict[str, Any]]:
        return [found for found in camera.json("/events")["events"] if not found["open"] and found["clip"]]

    await_that(ended)
    found = ended()[-1]
    assert camera.ask(found["snapshot"])[1][:2] == b"\xff\xd8"
    await_that(lambda: camera.ask(found["clip"])[0] == 200)
    point = next(
        metric
        for metric in camera.metrics()
        if metric.series.measurement == "camera_event"
        and metric.series.tags["kind"] == "end"
        and metric.fields["event_id"] == found["event_id"]
    )
    assert found["snapshot"] == f"/media/{point.fields['snapshot_path']}"
    assert found["clip"] == f"/media/{point.fields['clip_path']}"
    assert (found["duration_seconds"], found["score"]) == (point.fields["duration_seconds"], point.fields["score"])
    assert found["camera"] == "Front Door"
