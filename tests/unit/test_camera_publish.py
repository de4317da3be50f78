"""Publishing the pictures of events: small enough, without delaying detection, counted when dropped."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from collectors.camera.backends import Frame
from collectors.camera.backends.simulated import SimulatedCamera
from collectors.camera.detector import Box, Detector, Image
from collectors.camera.events import Event
from collectors.camera.publish import Publisher, open_publisher, picture
from collectors.camera.settings import DetectorConfig
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.jpeg import jpeg_size
from collectors.core.settings import Values
from collectors.messaging.broker import Broker
from collectors.vision.snapshot import MAX_PICTURE_BYTES

NOISE = np.random.default_rng(1)


def event(kind: str, image: Image) -> Event[Frame]:
    frame = Frame(image, 1.0, 10**18)
    return Event(kind, "20260101T000000.000000Z-hall", 10**18, 2.5, 3.0, 4.0, Box(1, 2, 3, 4), 5, False, frame)


@pytest.fixture
def away() -> Iterator[Broker]:
    """A broker that is away: a port that is taken and does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Broker("127.0.0.1", taken.getsockname()[1], tls=False)


@pytest.mark.parametrize("shape", [(480, 640, 3), (480, 640), (1944, 2592, 3)])
def test_a_noisy_picture_is_made_small_enough(shape: tuple[int, ...]) -> None:
    made = picture(NOISE.integers(0, 255, shape, np.uint8))
    assert len(made) <= MAX_PICTURE_BYTES
    width, height = jpeg_size(made)
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)


def test_a_plain_picture_keeps_its_size_and_quality() -> None:
    image = cv2.GaussianBlur(NOISE.integers(0, 255, (480, 640, 3), np.uint8), (31, 31), 0)
    made = picture(image)
    assert jpeg_size(made) == (640, 480)
    again = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR)
    assert again is not None
    assert np.abs(again.astype(int) - image).mean() < 2


def test_a_picture_that_fits_at_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="an image of 640x480 does not fit in 100 bytes as a JPEG"):
        picture(np.zeros((480, 640, 3), np.uint8), limit=100)


def test_pictures_wait_up_to_a_bound_while_the_broker_is_away(away: Broker) -> None:
    errors: list[str] = []
    publisher = Publisher(away, "pi", "hall", (), "both", 3, ErrorReporter("camera", errors.append))
    try:
        image = np.zeros((480, 640, 3), np.uint8)
        for _ in range(5):
            assert publisher.on_event(event("start", image)) == {}
            publisher._jobs.join()  # encoded, each before the next, without a broker
    finally:
        publisher.close()
    dropped = [sentence for sentence in errors if "is dropped: too many wait for the broker" in sentence]
    assert len(dropped) == 1, "said once"
    # Among others: paho's thread says when it likes that the broker cannot be reached.
    assert "E! camera: pictures of events that were never sent: 3" in errors


def test_detection_does_not_wait_for_the_encoder(away: Broker) -> None:
    errors: list[str] = []
    goes_on = threading.Event()
    waited: list[bool] = []

    def still() -> Image:
        waited.append(goes_on.wait(60))
        return np.zeros((480, 640, 3), np.uint8)

    publisher = Publisher(away, "pi", "hall", (), "start", 10, ErrorReporter("camera", errors.append), still)
    try:
        for _ in range(10):
            publisher.on_event(event("start", np.zeros((48, 64), np.uint8)))
        assert waited == [], "the encoder still waits for the camera"
        goes_on.set()
        publisher._jobs.join()
        assert all(waited)
    finally:
        goes_on.set()
        publisher.close()
    said = [sentence for sentence in errors if "cannot be reached" not in sentence]
    assert said[0] == "E! camera: the picture of an event is dropped: those before it are still being encoded"
    assert re.fullmatch("E! camera: pictures of events that were never sent: [34]", said[-1])


def test_a_missing_full_size_picture_is_replaced_by_the_small_one(away: Broker) -> None:
    errors: list[str] = []

    def still() -> Image:
        raise Unavailable("the camera on the ribbon cable has given no picture")

    publisher = Publisher(away, "pi", "hall", (), "both", 10, ErrorReporter("camera", errors.append), still)
    try:
        for kind in ("start", "end"):
            publisher.on_event(event(kind, np.zeros((96, 128), np.uint8)))
        publisher._jobs.join()
    finally:
        publisher.close()
    assert [sentence for sentence in errors if "cannot be reached" not in sentence] == [
        "E! camera: the picture of an event is published in small: the camera on the ribbon cable has given no picture",
        "E! camera: pictures of events that were never sent: 2",
    ]


def test_a_broker_that_is_away_is_reported_once(away: Broker) -> None:
    errors: list[str] = []
    frame = Frame(np.zeros((48, 64), np.uint8), 0.0, 0)
    publisher = Publisher(away, "pi", "hall", (), "both", 3, ErrorReporter("camera", errors.append))
    try:
        end = time.monotonic() + 60
        while not errors and time.monotonic() < end:
            time.sleep(0.01)
            publisher.on_frame(frame, Detector(DetectorConfig()).detect(frame.image, frame.seconds))
    finally:
        publisher.close()
    assert errors == [f"E! camera: the broker {away.place} cannot be reached; trying again"]


def test_a_picture_that_does_not_fit_is_reported_and_the_camera_continues(away: Broker) -> None:
    errors: list[str] = []
    publisher = Publisher(away, "pi", "hall", (), "both", 3, ErrorReporter("camera", errors.append))
    try:
        assert publisher.on_event(event("start", np.zeros((4, 4, 3), np.uint8))) == {}
        publisher._jobs.join()
    finally:
        publisher.close()
    assert [sentence for sentence in errors if "cannot be reached" not in sentence] == [
        "E! camera: the picture of an event is not published: an image of 4x4 does not fit in 204800 bytes as a JPEG"
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"publish_url": "mqtt://hub"},
            "the broker hub is not on this machine and would be reached without",
        ),
        ({"publish_url": "mqtt://me:x@localhost"}, "a file that the setting publish_password_file names"),
        ({"publish_url": "mqtt://me@localhost"}, "publish_password_file .* may be read by others"),
    ],
)
def test_an_unusable_broker_is_reported_at_the_start(values: dict[str, object], sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("of-the-broker\n")
    file.chmod(0o644)
    backend = SimulatedCamera("s", seed=1, frame_rate=5.0, pace=0.0, clock_ns=lambda: 10**18, timer=lambda: 100.0)
    settings = Values({"publish_password_file": str(file), **values})
    with pytest.raises(Unavailable, match=sentence):
        open_publisher(settings, "pi", backend, ErrorReporter("camera", print))
