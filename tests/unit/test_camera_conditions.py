"""One visit is one event, and none is none, in conditions that cameras meet: light, weather, lenses, formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.camera.backends.decoding import Video, open_video
from collectors.camera.detector import Detector, Image
from collectors.camera.events import EventTracker
from collectors.camera.sampling import Sampler
from collectors.camera.settings import Config

Floats = NDArray[np.float64]

ENTRY, EXIT, SECONDS = 9.0, 15.0, 20.0


class Condition(NamedTuple):
    """What changes in a scene, at which size and rate, with how much noise."""

    change: Callable[[Floats, float], Floats] | None = None
    width: int = 160
    height: int = 120
    rate: int = 10
    noise: float = 1.5


def _grid(image: Floats) -> tuple[Floats, Floats]:
    down, across = np.mgrid[0 : 1 : image.shape[0] * 1j, 0 : 1 : image.shape[1] * 1j]
    return across[..., None], down[..., None]


def _infrared(image: Floats, seconds: float) -> Floats:
    """Dusk, then the camera's own lamp: no colour, bright in the middle."""
    if seconds < 6:
        return image * max(0.25, 1 - 0.12 * seconds)
    across, down = _grid(image)
    grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.asarray((0.9 * grey + 20) * np.exp(-((2 * across - 1) ** 2) - (2 * down - 1) ** 2))


def _television(image: Floats, seconds: float) -> Floats:
    """A dark room in the light of a screen outside of the image."""
    across, down = _grid(image)
    level = np.random.default_rng(int(1.5 * seconds)).uniform(20, 110)
    return np.asarray(0.4 * image + 0.6 * level * np.exp(-(((across - 0.3) / 0.3) ** 2) - ((down - 0.4) / 0.4) ** 2))


def _headlights(image: Floats, seconds: float) -> Floats:
    """The lights of a car sweep over the wall."""
    if not 4 <= seconds < 5.5:
        return image
    across, down = _grid(image)
    at = (seconds - 4) / 1.5 * 1.2 - 0.1
    return np.asarray(image * (1 + 0.8 * np.exp(-(((across - at) / 0.12) ** 2) - ((down - 0.4) / 0.25) ** 2)))


def _steps(share: float, interval: float) -> Callable[[Floats, float], Floats]:
    return lambda image, seconds: image * (1 - share * (int(seconds / interval) % 2))


def _turns(image: Floats, seconds: float) -> Floats:
    height, width = image.shape[:2]
    angle = 0.8 * math.sin(2 * math.pi * seconds / 3) if seconds > 4 else 0.0
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.float64)


CONDITIONS = {
    "plain": Condition(),
    "portrait": Condition(width=180, height=320),
    "5 frames a second": Condition(rate=5),
    "30 frames a second": Condition(rate=30),
    "noise": Condition(noise=12),
    "infrared": Condition(_infrared),
    "television": Condition(_television),
    "headlights": Condition(_headlights),
    "small steps of the light": Condition(_steps(0.08, 0.1)),
    "steps of the light": Condition(_steps(0.2, 1.0)),
    "turning camera": Condition(_turns),
    "dim": Condition(lambda image, _: 0.1 * image, noise=1.0),
}


def film(condition: Condition, *, visited: bool) -> Iterator[Image]:
    """The pictures of a scene that somebody crosses, or nobody."""
    generator = np.random.default_rng(8)
    width, height = condition.width, condition.height
    room = cv2.resize(generator.integers(50, 180, (6, 8, 3), dtype=np.uint8), (width, height)).astype(np.float64)
    for _ in range(20):
        left, top = int(generator.integers(0, width - 10)), int(generator.integers(0, height - 10))
        wide, high = int(generator.integers(5, width // 5)), int(generator.integers(5, height // 5))
        room[top : top + high, left : left + wide] = generator.integers(30, 220, 3)
    room = np.asarray(cv2.GaussianBlur(room, (3, 3), 0), np.float64)
    for number in range(round(SECONDS * condition.rate)):
        seconds = number / condition.rate
        image = room.copy()
        if visited and ENTRY <= seconds < EXIT:
            wide, high = width // 12, height // 3
            left = round((seconds - ENTRY) / (EXIT - ENTRY) * (width + wide)) - wide
            image[height // 2 : height // 2 + high, max(0, left) : max(0, left + wide)] = (30, 30, 190)
        if condition.change is not None:
            image = condition.change(image, seconds)
        image = image + generator.normal(0, condition.noise, (height, width, 1))
        yield np.clip(image, 0, 255).astype(np.uint8)


def events(pictures: Iterator[tuple[Image, bool]], rate: int) -> list[tuple[float, float]]:
    """Start and end of each event, in seconds."""
    config = Config()
    detector, sampler = Detector(config.detector), Sampler(config)
    tracker: EventTracker[int] = EventTracker("hall", config.consecutive_frames, 5.0)
    found = []
    for number, (image, video_range) in enumerate(pictures):
        seconds = number / rate
        detection = sampler.result_for_skipped(seconds)
        if detection is None:
            detection = detector.detect(image, seconds, video_range=video_range)
            sampler.add(detection, seconds, noisy=detector.noisy)
        found += list(tracker.update(seconds, round(seconds * 1e9), detection, number))
    found += list(tracker.finish(interrupted=True))
    return [(each.start_ns / 1e9, each.start_ns / 1e9 + each.duration_seconds) for each in found if each.kind == "end"]


def assert_one_visit(found: list[tuple[float, float]]) -> None:
    ((start, end),) = found
    common = min(end, EXIT) - max(start, ENTRY)
    assert common >= 0.5 * (max(end, EXIT) - min(start, ENTRY))


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_visit_is_one_event_and_an_empty_scene_is_silent(name: str) -> None:
    condition = CONDITIONS[name]
    assert events(((image, False) for image in film(condition, visited=False)), condition.rate) == []
    assert_one_visit(events(((image, False) for image in film(condition, visited=True)), condition.rate))


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("codec", ["mjpeg", "libx264", "libx265", "mpeg4", "libvpx-vp9"])
def test_a_visit_is_one_event_in_every_codec(codec: str, smooth: bool, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    options = {
        "mjpeg": {"q": "5"},
        "libx264": {"crf": "32", "preset": "veryfast", "threads": "1"},
        "libx265": {"crf": "30", "preset": "ultrafast", "x265-params": "log-level=error:pools=1"},
        "mpeg4": {"q": "6"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "35"},
    }[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 10, options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, image in enumerate(film(Condition(noise=3), visited=True)):
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = open_video(str(path), "film", options={}, smooth=smooth)
    assert isinstance(video, Video)
    grey = [video.grey(picture.frame) for picture in video.pictures()]
    assert len(grey) == 10 * SECONDS
    assert_one_visit(events(((each.image, each.video_range) for each in grey if each is not None), 10))
    video.close()
