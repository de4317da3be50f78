"""What snapshots and clips cost: CPU a frame for the time before the motion, memory, and encoding."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.bench.measure import BenchUnavailable, Result, private_bytes, process_cpu

if TYPE_CHECKING:
    from collectors.camera.encoding import PackedFrame
    from collectors.camera.media.mp4 import Mp4Writer

T = TypeVar("T")

CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "camera" / "pedestrians.avi"
SIZE, RATE, PRE_SECONDS = (640, 480), 10, 3
#: Seconds that are shown, quiet, and then as many that are recorded.
SECONDS = 20

#: Shows the pictures of the clip, held in memory, at the pace of a camera, and says when it has begun each part.
_CHILD = """
import sys, time
import cv2
from collectors.camera.backends import Frame
from collectors.camera.detector import Detection
from collectors.camera.media import Media
from collectors.core.errors import Report
from collectors.core.settings import Values

cv2.setNumThreads(1)
source, root, (width, height, rate, seconds, before) = *sys.argv[1:3], map(int, sys.argv[3:])


class Source:
    name, tags, dropped = "bench", {}, 0


capture = cv2.VideoCapture(source)
pictures = [cv2.resize(capture.read()[1], (width, height)) for _ in range(40)]
values = {"frame_rate": float(rate), "pre_capture_seconds": float(before), "clip_seconds_most": 3600.0}
if root:
    values["media_dir"] = root
media = Media(Source(), Values(values), Report("bench", lambda line: print(line, file=sys.stderr)), time.time_ns)


def show(seconds):
    begun = time.monotonic()
    for number in range(round(seconds * rate)):
        at = begun + number / rate
        image = pictures[number % len(pictures)].copy()  # as a camera gives it: a picture of its own
        media.on_frame(Frame(image, at, time.time_ns()), Detection())
        time.sleep(max(0.0, at - time.monotonic()))


def part(name):
    print(name, flush=True)
    sys.stdin.readline()


part("start")
show(seconds)
part("quiet")
if root:
    media.video(3600.0)
show(seconds)
part("recorded")
media.close()
"""


def run() -> list[Result]:
    """The figures, for pictures of 640x480 at 10 a second and 3 s before the motion."""
    if not CLIP.is_file():
        raise BenchUnavailable(f"there is no recording {CLIP.name}")
    seconds = float(SECONDS)
    without = _parts("", seconds)
    with tempfile.TemporaryDirectory() as root:
        recorded = _parts(root, seconds)
        kilobytes = sum(each.stat().st_size for each in Path(root).rglob("*.mp4")) / 1e3
    frames = seconds * RATE
    beside = "640x480 at 10 a second, 3 s of pre-capture"
    return [
        Result(f"CPU a frame, kept in memory ({beside})", 1e3 * (recorded[0][0] - without[0][0]) / frames, "ms"),
        Result("memory for media, quiet", (recorded[0][1] - without[0][1]) / 1e6, "MB"),
        Result("CPU a frame while a clip is recorded", 1e3 * (recorded[1][0] - without[1][0]) / frames, "ms"),
        Result("memory for media, while a clip is recorded", (recorded[1][1] - without[1][1]) / 1e6, "MB"),
        Result("size of the clip", kilobytes / (seconds + PRE_SECONDS), "kB a second"),
        *_pieces(),
    ]


def _parts(root: str, seconds: float) -> list[tuple[float, float]]:
    """Of the quiet part and of the recorded one: seconds of CPU, and the private memory at its end."""
    arguments = [str(CLIP), root, *map(str, (*SIZE, RATE, int(seconds), PRE_SECONDS))]
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    found = []
    try:
        cpu = 0.0
        for expected in ("start", "quiet", "recorded"):
            if process.stdout.readline().strip() != expected:
                raise BenchUnavailable("the process that shows pictures to the media has failed")
            now = process_cpu(process.pid)
            if expected != "start":
                found.append((now - cpu, float(private_bytes(process.pid))))
            cpu = now
            process.stdin.write("\n")
            process.stdin.flush()
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()
    return found


def _pieces() -> list[Result]:
    """The single steps, on one thread: CPU a frame of 640x480 and of 1280x720."""
    import cv2

    from collectors.camera.encoding import pack, unpack
    from collectors.camera.media.mp4 import Mp4Writer

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(CLIP))
    raw = [capture.read()[1] for _ in range(100)]
    results = []
    for width, height in (SIZE, (1280, 720)):
        pictures = [cv2.resize(picture, (width, height)) for picture in raw]
        planes = [pack(picture, small=False) for picture in pictures]
        small = [pack(picture, small=True) for picture in pictures]
        name = f"{width}x{height}"
        with tempfile.TemporaryDirectory() as root:
            film = Mp4Writer(f"{root}/clip.mp4", "libx264", width, height, RATE)

            times = itertools.count()
            results += [
                Result(f"pack as planes, {name}", _cpu_ms(partial(pack, small=False), pictures), "ms"),
                Result(f"planes, {name}", planes[0].size / 1e3, "kB"),
                Result(f"pack as JPEG, {name}", _cpu_ms(partial(pack, small=True), pictures), "ms"),
                Result(f"JPEG, {name}", sum(each.size for each in small) / len(small) / 1e3, "kB"),
                Result(f"unpack a JPEG, {name}", _cpu_ms(unpack, small), "ms"),
                Result(f"encode by libx264, {name}", _cpu_ms(partial(_add, film, times), planes), "ms"),
            ]
            film.close()
    return results


def _add(film: Mp4Writer, times: Iterator[int], packed: PackedFrame) -> None:
    film.add(packed, next(times) / RATE)


def _cpu_ms(step: Callable[[T], object], items: Sequence[T]) -> float:
    """Milliseconds of CPU for one of them, on average."""
    begun = time.process_time()
    for each in items:
        step(each)
    return 1e3 * (time.process_time() - begun) / len(items)
