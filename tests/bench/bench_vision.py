"""What looking for people costs and finds: CPU a picture, memory, precision and recall on a recording."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import BenchUnavailable, Result, environment, private_bytes, pss_bytes, python

if TYPE_CHECKING:
    from collectors.camera.detector import Image
    from collectors.vision.engines.people import PeopleEngine

CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "camera" / "pedestrians.avi"
#: Distance between the frames taken from the clip; each shows people.
STEP = 8
GROWTH_PICTURES = 60


def run() -> list[Result]:
    """Figures of the engine `people` on pictures of 480x360 with people, and on the same place without."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not CLIP.is_file():
        raise BenchUnavailable(f"there is no recording {CLIP.name} next to the project")
    import cv2

    if not hasattr(cv2, "HOGDescriptor"):
        raise BenchUnavailable(f"OpenCV {cv2.__version__} comes without its detector of people")
    from collectors.vision.engines.people import PeopleEngine
    from collectors.vision.settings import PEOPLE_WIDTH

    with_people, without = _pictures()
    looking = PeopleEngine("people", PEOPLE_WIDTH.default)
    right, spent = _found(looking, with_people)
    wrong, _ = _found(looking, without)
    before = private_bytes(os.getpid())
    _found(looking, with_people[:GROWTH_PICTURES])
    growth = (private_bytes(os.getpid()) - before) / 1e6
    return [
        Result("vision: people in 480x360", spent * 1000, "ms CPU a picture"),
        Result(f"vision: recall of {len(with_people)} pictures with people", right / len(with_people) * 100, "%"),
        Result(
            f"vision: precision, with {len(without)} pictures of the empty place",
            right / max(1, right + wrong) * 100,
            "%",
        ),
        Result(f"vision: growth over {GROWTH_PICTURES} pictures", growth, "MB", 1.0),
        Result("vision: memory (PSS), engine people loaded", _memory("people") / 1e6, "MB"),
        Result("vision: memory (PSS), idle without a broker", _memory(None) / 1e6, "MB"),
    ]


def _pictures() -> tuple[list[bytes], list[bytes]]:
    """Frames of the clip; and the background without people, darker and lighter, mirrored, shifted, with noise."""
    import cv2
    import numpy as np

    capture = cv2.VideoCapture(str(CLIP), cv2.CAP_FFMPEG)
    frames: list[Image] = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        frames.append(frame)
    capture.release()
    background = np.median(np.stack(frames[::20]), axis=0)
    noise = np.random.default_rng(1)
    empty = []
    for number in range(len(frames[::STEP])):
        picture = background * noise.uniform(0.5, 1.4) + noise.normal(0, noise.uniform(0, 8), background.shape)
        picture = np.roll(picture[:, :: -1 if number % 2 else 1], int(noise.integers(-40, 40)), axis=0)
        empty.append(np.clip(picture, 0, 255).astype(np.uint8))
    return [_jpeg(frame) for frame in frames[::STEP]], [_jpeg(picture) for picture in empty]


def _jpeg(picture: Image) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", picture)[1].tobytes())


def _found(looking: PeopleEngine, pictures: list[bytes]) -> tuple[int, float]:
    """In how many pictures there is a person, and the seconds of CPU that one picture takes."""
    from collectors.vision.engines import select_detections
    from collectors.vision.settings import THRESHOLD

    start = time.process_time()
    found = sum(
        bool(select_detections(looking.detect(picture, lambda _: False), THRESHOLD.default, frozenset()))
        for picture in pictures
    )
    return found, (time.process_time() - start) / len(pictures)


def _memory(engine: str | None) -> int:
    """Proportional set size of the collector once it has told its status, or, idle, once it reads its input."""
    options = [] if engine is None else ["--url", "mqtt://127.0.0.1:9", "--engine", engine]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            python("-m", "collectors", "vision", "--execd", *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(SENSETIG_VISION_KEEP_DIR=folder, SENSETIG_SETTINGS=os.devnull),
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            if engine is None:
                _until_asleep(process.pid)
            else:
                process.stdout.readline()
            memory = pss_bytes(process.pid)
            process.stdin.close()
            process.stdout.read()
    return memory


def _until_asleep(pid: int) -> None:
    """Wait until a process waits for something, for the second time in a row."""
    end, calm = time.monotonic() + 10, 0
    while calm < 2 and time.monotonic() < end:
        time.sleep(0.2)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        calm = calm + 1 if state == "S" else 0
