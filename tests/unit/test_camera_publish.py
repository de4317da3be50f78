"""The picture of an event on its way to the broker: small enough, never waited for, counted when dropped."""

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
from collectors.core.settings import Values
from collectors.messaging.session import Broker, ErrorQueue, read_broker, read_secret, topic_level
from collectors.vision import snapshot
from collectors.vision.snapshot import MAX_PICTURE_BYTES

NOISE = np.random.default_rng(1)


def event(kind: str, image: Image) -> Event[Frame]:
    frame = Frame(image, 1.0, 10**18)
    return Event(kind, "20260101T000000.000000Z-hall", 10**18, 2.5, 3.0, 4.0, Box(1, 2, 3, 4), 5, False, frame)


@pytest.fixture
def nobody() -> Iterator[Broker]:
    """A broker that is not there: a port that is taken, and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Broker("127.0.0.1", taken.getsockname()[1], tls=False)


@pytest.mark.parametrize("shape", [(480, 640, 3), (480, 640), (1944, 2592, 3)])
def test_a_picture_full_of_noise_is_made_small_enough(shape: tuple[int, ...]) -> None:
    made = picture(NOISE.integers(0, 255, shape, np.uint8))
    assert len(made) <= MAX_PICTURE_BYTES
    width, height = snapshot.jpeg_size(made)
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)


def test_a_plain_picture_keeps_its_size_and_its_quality() -> None:
    image = cv2.GaussianBlur(NOISE.integers(0, 255, (480, 640, 3), np.uint8), (31, 31), 0)
    made = picture(image)
    assert snapshot.jpeg_size(made) == (640, 480)
    again = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR)
    assert again is not None
    assert np.abs(again.astype(int) - image).mean() < 2


def test_a_picture_that_fits_at_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="an image of 640x480 does not fit in 100 bytes as a JPEG"):
        picture(np.zeros((480, 640, 3), np.uint8), limit=100)


def test_while_the_broker_is_away_pictures_wait_up_to_a_bound_and_nothing_else_waits(nobody: Broker) -> None:
    errors: list[str] = []
    publisher = Publisher(nobody, "pi", "hall", (), "both", 3, ErrorReporter("camera", errors.append))
    try:
        image = np.zeros((480, 640, 3), np.uint8)
        began = time.monotonic()
        for _ in range(5):
            assert publisher.on_event(event("start", image)) == {}
            publisher._jobs.join()  # encoded, each before the next
        assert time.monotonic() - began < 5
    finally:
        publisher.close()
    dropped = [sentence for sentence in errors if "is dropped: too many wait for the broker" in sentence]
    assert len(dropped) == 1, "said once"
    assert errors[-1] == "E! camera: pictures of events that were never sent: 3"


def test_pictures_come_faster_than_they_are_encoded_and_the_detection_does_not_wait(nobody: Broker) -> None:
    errors: list[str] = []
    goes_on = threading.Event()

    def still() -> Image:
        goes_on.wait(30)
        return np.zeros((480, 640, 3), np.uint8)

    publisher = Publisher(nobody, "pi", "hall", (), "start", 10, ErrorReporter("camera", errors.append), still)
    try:
        began = time.monotonic()
        for _ in range(10):
            publisher.on_event(event("start", np.zeros((48, 64), np.uint8)))
        assert time.monotonic() - began < 5
    finally:
        goes_on.set()
        publisher.close()
    assert errors[0] == "E! camera: the picture of an event is dropped: those before it are still being encoded"
    assert re.fullmatch("E! camera: pictures of events that were never sent: [34]", errors[-1])


def test_a_full_size_picture_that_cannot_be_had_is_replaced_by_the_small_one(nobody: Broker) -> None:
    errors: list[str] = []

    def still() -> Image:
        raise Unavailable("the camera on the ribbon cable has given no picture")

    publisher = Publisher(nobody, "pi", "hall", (), "both", 10, ErrorReporter("camera", errors.append), still)
    try:
        for kind in ("start", "end"):
            publisher.on_event(event(kind, np.zeros((96, 128), np.uint8)))
    finally:
        publisher.close()
    assert [sentence for sentence in errors if "cannot be reached" not in sentence] == [
        "E! camera: the picture of an event is published in small: the camera on the ribbon cable has given no picture",
        "E! camera: pictures of events that were never sent: 2",
    ]


def test_a_broker_that_is_away_is_told_in_a_sentence(nobody: Broker) -> None:
    errors: list[str] = []
    frame = Frame(np.zeros((48, 64), np.uint8), 0.0, 0)
    publisher = Publisher(nobody, "pi", "hall", (), "both", 3, ErrorReporter("camera", errors.append))
    try:
        end = time.monotonic() + 10
        while not errors and time.monotonic() < end:
            time.sleep(0.01)
            publisher.on_frame(frame, Detector(DetectorConfig()).detect(frame.image, frame.seconds))
    finally:
        publisher.close()
    assert errors == [f"E! camera: the broker {nobody.place} cannot be reached; trying again"]


def test_a_picture_that_does_not_fit_is_counted_and_the_camera_goes_on(nobody: Broker) -> None:
    errors: list[str] = []
    publisher = Publisher(nobody, "pi", "hall", (), "both", 3, ErrorReporter("camera", errors.append))
    try:
        assert publisher.on_event(event("start", np.zeros((4, 4, 3), np.uint8))) == {}
    finally:
        publisher.close()
    assert [sentence for sentence in errors if "cannot be reached" not in sentence] == [
        "E! camera: the picture of an event is not published: an image of 4x4 does not fit in 204800 bytes as a JPEG"
    ]


# --- brokers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://localhost", Broker("localhost", 1883, False)),
        ("mqtts://hub", Broker("hub", 8883, True)),
        ("mqtts://hub:1234/", Broker("hub", 1234, True)),
        ("mqtt://m%40e@[::1]:99", Broker("::1", 99, False, "m@e")),
    ],
)
def test_a_broker_is_read_from_a_url(url: str, broker: Broker) -> None:
    assert read_broker(url) == broker


@pytest.mark.parametrize("url", ["mqtt://hub", "mqtt://192.0.2.1:1883", "mqtt://me@[2001:db8::1]", "mqtt://0.0.0.0"])
def test_a_broker_beyond_this_machine_is_not_spoken_to_unencrypted(url: str) -> None:
    with pytest.raises(Unavailable, match=r"is not on this machine and would be spoken to unencrypted.*use mqtts://$"):
        read_broker(url)


@pytest.mark.parametrize(
    "url", ["mqtt://me:of-the-url@localhost", "mqtts://me:of-the-url@hub", "mqtts://:of-the-url@h"]
)
def test_a_password_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(
        Unavailable, match=r"which the list of processes would show.*the setting x_password_file names$"
    ) as found:
        read_broker(url, password_setting="x_password_file")  # noqa: S106 - the name of a setting
    assert "of-the-url" not in str(found.value)


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (b"of-the-broker", 0o640, "may be read by others (mode 0640); chmod 600 "),
        (b"of-the-broker", 0o604, "may be read by others (mode 0604); chmod 600 "),
        (b" \n", 0o600, "is empty"),
        (b"\xff\xfe", 0o600, "cannot be read: it is not UTF-8"),
        (b"x" * (64 * 1024 + 1), 0o600, "has more than 65536 bytes"),
    ],
)
def test_a_file_that_keeps_no_secret_is_refused(tmp_path: Path, content: bytes, mode: int, sentence: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(Unavailable) as found:
        read_secret(str(file), "x_file")
    assert str(found.value).startswith(f"x_file {file} {sentence}")
    assert "of-the-broker" not in str(found.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"publish_url": "mqtt://hub"}, "the broker hub is not on this machine and would be spoken to unencrypted"),
        ({"publish_url": "mqtt://me:x@localhost"}, "a file that the setting publish_password_file names"),
        ({"publish_url": "mqtt://me@localhost"}, "publish_password_file .* may be read by others"),
    ],
)
def test_what_cannot_be_published_to_is_said_at_the_start(
    values: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("of-the-broker\n")
    file.chmod(0o644)
    backend = SimulatedCamera("s", seed=1, frame_rate=5.0, pace=0.0, clock_ns=lambda: 10**18, timer=lambda: 100.0)
    settings = Values({"publish_password_file": str(file), **values})
    with pytest.raises(Unavailable, match=sentence):
        open_publisher(settings, "pi", backend, ErrorReporter("camera", print))


@pytest.mark.parametrize("url", ["", "hub", "hub:1883", "http://hub", "mqtt://", "mqtt://hub/topic", "mqtt://hub:x"])
def test_what_is_no_broker_is_refused(url: str) -> None:
    with pytest.raises(Unavailable, match="the broker's URL must be mqtt://HOST"):
        read_broker(url)


def test_a_password_without_a_user_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text("of-the-broker\nand what else there is\n")
    file.chmod(0o600)
    assert read_broker("mqtts://me@hub", str(file)).password == "of-the-broker"  # noqa: S105 - made up
    with pytest.raises(Unavailable, match="there is a password for hub, but no user"):
        read_broker("mqtts://hub", str(file))


def test_a_name_with_signs_that_topics_use_makes_one_level() -> None:
    assert topic_level("a/b+c#d$e") == "a-b-c-d-e"
    assert topic_level("") == "-"


def test_what_a_thread_tells_is_bounded() -> None:
    told = ErrorQueue()
    said: list[str] = []
    for number in range(100):
        told.add(str(number))
    told.tell(said.append)
    told.tell(said.append)
    assert said == [str(number) for number in range(84, 100)]
