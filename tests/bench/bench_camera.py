"""What detecting motion costs beyond decoding, and whether memory stays flat."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import BenchUnavailable, Result, private_bytes

if TYPE_CHECKING:
    from collectors.camera.detector import Image

CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "camera" / "pedestrians.avi"
ROUNDS = 5
#: Frames of the clip; decoded, they are half a megabyte each.
DECODED = 400
#: Frames of the simulated scene in which memory may grow, and after which it may not.
WARM, WATCHED = 2_000, 10_000


def run() -> list[Result]:
    """CPU a frame on real pictures and on a quiet room, and the growth of memory on the simulated scene."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not CLIP.is_file():
        raise BenchUnavailable(f"there is no recording {CLIP.name} beside the project")
    import cv2

    from collectors.camera.backends.simulated import FIRST_VISIT_SECONDS, Scene
    from collectors.camera.detector import Detector
    from collectors.camera.settings import Sensitivity

    cv2.setNumThreads(1)
    scene = Scene(1)
    quiet = [scene.draw(number / 10) for number in range(int(FIRST_VISIT_SECONDS * 10))]
    busy, decoding = _decode()

    def detection(pictures: list[Image], turns: int) -> float:
        """CPU milliseconds a frame, the median of some rounds."""
        rounds = []
        for _ in range(ROUNDS):
            detector = Detector(Sensitivity())
            start = time.process_time()
            for number, picture in enumerate(itertools.chain.from_iterable([pictures] * turns)):
                detector.look(picture, number / 10)
            rounds.append((time.process_time() - start) * 1000 / (len(pictures) * turns))
        return statistics.median(rounds)

    detector = Detector(Sensitivity())
    before = 0
    for number in range(WARM + WATCHED):
        if number == WARM:
            before = private_bytes(os.getpid())
        detector.look(scene.draw(number / 10), number / 10)
    growth = (private_bytes(os.getpid()) - before) / 1e6
    return [
        Result("camera: decoding 480x360", decoding, "ms CPU a frame"),
        Result("camera: detection, people in every frame", detection(busy, 1), "ms CPU a frame", 0.25),
        Result("camera: detection, quiet room 320x240", detection(quiet, 20), "ms CPU a frame", 0.25),
        Result(f"camera: growth over {WATCHED} frames", growth, "MB", 0.5),
    ]


def _decode() -> tuple[list[Image], float]:
    """The first pictures of the clip, and the CPU milliseconds that each took."""
    import cv2

    capture = cv2.VideoCapture(str(CLIP), cv2.CAP_FFMPEG)
    pictures: list[Image] = []
    start = time.process_time()
    while len(pictures) < DECODED:
        found, picture = capture.read()
        if not found:
            break
        pictures.append(picture)
    spent = time.process_time() - start
    capture.release()
    return pictures, spent * 1000 / len(pictures)
