"""The same film gives the same points, byte for byte, whatever the clocks show and the machine is doing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from collectors.camera.backends.video_file import VideoFile
from collectors.camera.collector import CameraCollector
from collectors.camera.settings import load_config
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import encode
from collectors.core.settings import Values

RUNS = 50
RATE = 10
START_NS = 1_700_000_000_000_000_000
SETTINGS: dict[str, object] = {"pace": 0.0, "warm_up_seconds": 1.0, "event_gap_seconds": 2.0, "status_seconds": 2.0}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds: noise, a person who walks twice, and light that is switched and flickers."""
    path = tmp_path_factory.mktemp("film") / "hall.mkv"
    generator = np.random.default_rng(5)
    room = cv2.resize(generator.integers(40, 190, (12, 16, 3), dtype=np.uint8), (320, 240)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE, {"crf": "23", "preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(10 * RATE):
            image = room.copy()
            walked = number - 20 if number < 50 else number - 75
            if 0 <= walked < 20:
                image[90:170, 12 * walked : 12 * walked + 26] = (40, 60, 210)
            image *= 0.6 if 35 <= number < 55 else 1.0 + 0.05 * (number % 3)
            image += generator.normal(0, 4, image.shape)
            picture = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), "bgr24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(autouse=True)
def threads_of_opencv() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def points(path: Path, timer_start: float) -> tuple[bytes, ...]:
    """Every point of one run, as Telegraf receives it."""
    errors: list[str] = []
    report = ErrorReporter("camera", errors.append)
    values = Values(dict(SETTINGS))
    backend = VideoFile("hall", str(path), values, report, lambda: START_NS, lambda: timer_start)
    collector = CameraCollector(
        backend, load_config(values), report, lambda: START_NS, timer=lambda: timer_start, stopwatch=lambda: 0.0
    )
    lines = [encode(metric, errors.append) for batch in collector.stream(lambda *_: False) for metric in batch]
    collector.close()
    assert errors == []
    return tuple(line.encode() for line in lines)


def test_fifty_runs_give_the_same_bytes(film: Path) -> None:
    cv2.setNumThreads(1)
    first = points(film, 0.0)
    assert sum(b"kind=start" in line for line in first) == 2
    assert sum(b"kind=end" in line for line in first) == 2
    assert sum(line.startswith(b"camera,") for line in first) >= 3
    started = random.Random(1)
    for _ in range(RUNS - 1):
        # Up to the uptime of a year, where a clock in seconds has few digits left.
        assert points(film, started.uniform(0, 3.2e7)) == first


def test_runs_at_the_same_time_give_the_same_bytes(film: Path) -> None:
    cv2.setNumThreads(1)
    first = points(film, 0.0)
    cv2.setNumThreads(4)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda number: points(film, 1000.0 * number), range(12))) == {first}
