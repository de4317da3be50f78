"""Private areas are black wherever a picture goes, and pictures are upright."""

from __future__ import annotations

import re
import time
from binascii import a2b_base64
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from collectors.camera.backends import Backend, Frame, open_backend
from collectors.camera.backends.prepared import PreparedCamera
from collectors.camera.collector import CameraCollector
from collectors.camera.masks import parse_polygons
from collectors.camera.media import Media
from collectors.camera.pixels import Image
from collectors.camera.settings import load_config
from collectors.camera.upright import Blackener, turn, turn_planes
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.settings import Values
from tests.unit.camera_media_support import BASE_NS

#: The left half of the picture.
LEFT = "0,0 50,0 50,100 0,100"


def never(_seconds: float) -> bool:
    return False


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, list[Metric], bytes]:
    """A minute of the simulated scene with its left half private: its media, its metrics, and a live picture."""
    root = tmp_path / "media"
    values = Values(
        {
            "backend": "simulated",
            "pace": 0.0,
            "frames": 400,
            "privacy_mask": LEFT,
            "media_dir": str(root),
            "event_gap_seconds": 3.0,
        }
    )
    report = ErrorReporter("camera", lambda _: None)
    backend = open_backend(values, report, lambda: BASE_NS, lambda: 0.0)
    media = Media(backend, values, report, lambda: BASE_NS)
    collector = CameraCollector(
        backend,
        load_config(values),
        report,
        lambda: BASE_NS,
        timer=lambda: 0.0,
        stopwatch=time.perf_counter,
        listeners=[media],
    )
    metrics = [metric for batch in collector.stream(never) for metric in batch]
    live = media.snapshot_jpeg()
    collector.close()
    return root, metrics, live


def assert_private(image: Image) -> None:
    """The left half is black, apart from a few pixels of compression at its edge; the right half is not."""
    edge = image.shape[1] // 2 - 16 * image.shape[1] // 320
    assert image[:, :edge].max() <= 8
    assert image[:, -edge:].mean() > 40


def test_private_area_is_black_in_everything_that_is_stored_or_shown(
    recorded: tuple[Path, list[Metric], bytes],
) -> None:
    root, metrics, live = recorded
    assert_private(decoded(live))
    snapshots, clips = sorted(root.rglob("*.jpg")), sorted(root.rglob("*.mp4"))
    assert snapshots
    assert clips
    for path in snapshots:
        assert_private(decoded(path.read_bytes()))
    for path in clips:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                assert_private(frame.to_ndarray(format="bgr24"))
    events = [each for each in metrics if each.series.measurement == "camera_event"]
    assert len(events) == 2 * len(snapshots)
    for each in events:
        uri = str(each.fields["thumbnail"])
        assert_private(decoded(a2b_base64(uri.partition(",")[2])))


def test_private_area_is_no_motion(recorded: tuple[Path, list[Metric], bytes]) -> None:
    _, metrics, _ = recorded
    for each in metrics:
        if each.series.measurement == "camera_event":
            assert float(each.fields["box_left_percent"]) >= 48


def decoded(jpeg: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (33, 21)])
def test_no_pixel_of_a_private_area_remains(size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    before = image.copy()
    black = Blackener(parse_polygons("0,0 100,0 100,40 0,40")).blacken(image)
    assert black[: size[1] * 2 // 5 - 1].max() == 0
    assert black[size[1] * 2 // 5 + 2 :].min() == 200
    assert np.array_equal(image, before), "a camera's picture may be in use elsewhere"


@pytest.mark.parametrize("padding", [0, 12])
def test_planes_lose_brightness_and_colour_in_a_private_area(padding: int) -> None:
    width, height = 36, 22
    planes = np.full((height * 3 // 2, width + padding), 90, np.uint8)
    Blackener(parse_polygons(LEFT)).blacken_planes(planes, width, height)
    shown = cv2.cvtColor(turn_planes(planes, width, height, 0), cv2.COLOR_YUV2BGR_I420)
    assert shown[:, :18].max() == 0
    assert shown[:, 19:, 1].min() > 40


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_planes_are_turned_as_an_image_is(degrees: int) -> None:
    width, height = 36, 22
    image = np.zeros((height, width, 3), np.uint8)
    image[:8, :10] = (30, 60, 220)
    image[12:, 20:] = (220, 90, 20)
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    padded = np.zeros((height * 3 // 2, width + 12), np.uint8)
    flat, half = padded.reshape(-1), (width + 12) // 2
    padded[:height, :width] = planes[:height]
    for number, plane in enumerate(planes[height:].reshape(2, height // 2, width // 2)):
        begin = height * (width + 12) + number * (height // 2) * half
        flat[begin : begin + height // 2 * half].reshape(height // 2, half)[:, : width // 2] = plane
    turned = cv2.cvtColor(turn_planes(padded, width, height, degrees), cv2.COLOR_YUV2BGR_I420)
    expected = turn(np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8), degrees)
    assert turned.shape == expected.shape
    assert np.abs(turned.astype(int) - expected).max() <= 1


class Portrait:
    """A camera on its side: its pictures are wide, with a bright corner at the top left."""

    name, dropped = "door", 3

    def __init__(self) -> None:
        self.tags = {"simulated": "true"}
        self.closed = False

    def frames(self, wait: object) -> Iterator[Frame | None]:
        del wait
        image = np.full((48, 64, 3), 50, np.uint8)
        image[:10, :10] = 250
        yield Frame(image, 1.0, BASE_NS, damaged=True)
        yield None

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("degrees", "corner"), [(90, (5, -5)), (180, (-5, -5)), (270, (-5, 5))])
def test_pictures_are_turned_clockwise(degrees: int, corner: tuple[int, int]) -> None:
    camera = Portrait()
    made: Backend = PreparedCamera(camera, degrees, Blackener(parse_polygons("40,40 60,40 60,60 40,60")))
    frame, none = made.frames(never)
    assert none is None
    assert frame is not None
    assert frame.image.shape == ((48, 64, 3) if degrees == 180 else (64, 48, 3))
    assert frame.image[corner].min() == 250
    middle = frame.image[frame.image.shape[0] // 2, frame.image.shape[1] // 2]
    assert middle.max() == 0, "areas are those of the turned picture"
    assert (frame.seconds, frame.time_ns, frame.damaged) == (1.0, BASE_NS, True)
    assert (made.name, made.dropped, made.tags) == ("door", 3, {"simulated": "true"})
    made.close()
    assert camera.closed


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rotate": 45}, "rotate is 45; it must be 0, 90, 180 or 270"),
        ({"privacy_mask": "0,0 50,0"}, "the mask '0,0 50,0' has fewer than 3 corners"),
    ],
)
def test_wrong_setting_is_refused_before_the_camera_is_opened(values: dict[str, object], sentence: str) -> None:
    given = Values({"source": "/dev/no-camera", **values})
    with pytest.raises(Unavailable, match=re.escape(sentence)):
        open_backend(given, ErrorReporter("camera", lambda _: None), time.time_ns, time.monotonic)


def test_frames_of_a_turned_scene_keep_their_times() -> None:
    values = Values({"backend": "simulated", "pace": 0.0, "rotate": 90})
    backend = open_backend(values, ErrorReporter("camera", lambda _: None), lambda: BASE_NS, lambda: 0.0)
    frames = backend.frames(never)
    some = [next(frames) for _ in range(5)]
    assert all(frame is not None and frame.image.shape[:2] == (320, 240) for frame in some)
    assert all(one is not None and two is not None and two.seconds > one.seconds for one, two in pairwise(some))


def test_colour_that_is_made_on_demand_is_turned_and_black_as_well() -> None:
    whole = np.full((40, 60, 3), (10, 120, 240), np.uint8)

    class Greyscale:
        name, dropped, tags = "grey", 0, {"replayed": "true"}

        def frames(self, _wait: object) -> Iterator[Frame]:
            yield Frame(whole[:, :, 1], 0.0, 0, render=lambda: whole)

        def close(self) -> None:
            """Nothing to close."""

    made: Backend = PreparedCamera(Greyscale(), 90, Blackener(parse_polygons("0,0 50,0 50,100 0,100")))
    frame = next(iter(made.frames(lambda _seconds: False)))
    assert frame is not None
    for picture in (frame.image, frame.colour()):
        assert picture.shape[:2] == (60, 40)
        assert (picture[:, :20] == 0).all()
        assert (picture[:, 21:] != 0).all()
