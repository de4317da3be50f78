"""The motion detector: accuracy, delay and cost, compared with Debian's motion and plain MOG2."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.measure import BenchUnavailable, Result, environment, private_bytes, process_cpu, python

if TYPE_CHECKING:
    from collectors.camera.pixels import Image
    from tests.bench.camera_clips import Clip, Visit

CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "camera" / "pedestrians.avi"
ROUNDS = 7
#: Frames of the recording that a round takes.
FRAMES = 400
#: Frames after which memory must not grow, and the number of frames monitored afterwards.
WARM, WATCHED = 5_000, 100_000
#: How long the processes run side by side, after as long as they need to start.
BESIDE_SECONDS, START_SECONDS = 60.0, 8.0
#: Sizes at which the whole processes are compared.
SIZES = ((640, 480), (1280, 720))
#: Seconds without motion after which an event ends, for every detector.
GAP_SECONDS = 5.0
CONSECUTIVE = 3
#: An event and a visit are the same when they have this share of the time of both in common.
_SAME_SHARE = 0.5


class Found(NamedTuple):
    """An event: its first and last frame with motion, and the frame that emitted it."""

    first: int
    last: int
    emitted: int


class Score(NamedTuple):
    """EventTracker that were visits, events that were none, visits without an event."""

    right: int = 0
    invented: int = 0
    missed: int = 0

    def __add__(self, other: object) -> Score:
        assert isinstance(other, Score)
        return Score(self.right + other.right, self.invented + other.invented, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Share of the events that were visits."""
        return self.right / max(1, self.right + self.invented)

    @property
    def recall(self) -> float:
        """Share of the visits that were events."""
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        return 2 * self.right / max(1, 2 * self.right + self.invented + self.missed)


def run() -> list[Result]:
    """Every figure; without motion installed, all except the comparison."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not CLIP.is_file():
        raise BenchUnavailable(f"there is no recording {CLIP.name} next to the project")
    import cv2

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="sensetig-bench-") as folder:
        place = Path(folder)
        beside = [result for size in SIZES for result in _beside(place, *size)]
        return [*_accuracy(place), *_cost(), *beside, _growth()]


def events_of(frames: Iterable[int], consecutive: int, rate: float) -> list[Found]:
    """What frames with motion make together, by the rules of the collector's own events."""
    from collectors.camera.detector import Box, Detection
    from collectors.camera.events import EventTracker

    moving = set(frames)
    motion = Detection(moving=True, area_percent=1.0, score=1.0, box=Box(0, 0, 1, 1))
    tracked: EventTracker[int] = EventTracker("bench", consecutive, GAP_SECONDS)
    found: list[Found] = []
    emitted = 0

    def take(number: int, seen: Detection) -> None:
        nonlocal emitted
        for event in tracked.update(number / rate, round(number / rate * 1e9), seen, number):
            first = round(event.start_ns / 1e9 * rate)
            if event.kind == "start":
                emitted = number
            else:
                found.append(Found(first, first + round(event.duration_seconds * rate), emitted))

    last = max(moving, default=-1) + round(GAP_SECONDS * rate) + 1
    for number in range(last + 1):
        take(number, motion if number in moving else Detection())
    return found


def compare(found: list[Found], visits: Iterable[Visit]) -> tuple[Score, list[tuple[Visit, Found]]]:
    """Match each visit with an event that has half of the time of both in common with it."""
    left = list(found)
    pairs = []
    visits = list(visits)
    for visit in visits:
        for event in left:
            common = min(visit.last, event.last) - max(visit.first, event.first) + 1
            whole = max(visit.last, event.last) - min(visit.first, event.first) + 1
            if common >= _SAME_SHARE * whole:
                pairs.append((visit, event))
                left.remove(event)
                break
    return Score(len(pairs), len(left), len(visits) - len(pairs)), pairs


def _accuracy(folder: Path) -> list[Result]:
    """Every detector on the set that the detector was tuned on, and on the one that it was not."""
    from tests.bench import camera_clips, untouched_clips

    return [
        *_compare_detectors("tuned", camera_clips.write_all(CLIP, folder), camera_clips.SECONDS, folder, target=0.98),
        *_compare_detectors(
            "untouched", untouched_clips.write_all(folder), untouched_clips.SECONDS, folder, target=0.95
        ),
    ]


def _compare_detectors(
    set_name: str, clips: list[Clip], seconds: float, folder: Path, *, target: float
) -> list[Result]:
    from tests.bench.camera_clips import RATE
    from tests.bench.motion import motion_frames

    detectors: dict[str, tuple[list[list[int]], int]] = {
        "": ([_ours(clip) for clip in clips], CONSECUTIVE),
        "plain MOG2: ": ([_mog2(clip) for clip in clips], CONSECUTIVE),
    }
    results = []
    try:
        motion = motion_frames(clips, seconds, folder)
        detectors["motion 4.5: "] = (motion.frames, 1)
        results.append(Result(f"camera: {set_name} clips: frames lost by motion, of {motion.of}", motion.lost, ""))
    except BenchUnavailable as missing:
        print(f"camera: {missing}")
    for name, (frames, consecutive) in detectors.items():
        total = Score()
        matched: list[tuple[Visit, Found]] = []
        quiet: list[bool] = []
        for clip, each in zip(clips, frames, strict=True):
            events = events_of(each, consecutive, RATE)
            score, pairs = compare(events, clip.visits)
            total += score
            matched += pairs
            if not clip.visits:
                quiet.append(not events)
            if os.environ.get("SENSETIG_BENCH_CLIPS"):
                print(f"{name}{clip.name}: {score.right} right, {score.invented} invented, {score.missed} missed")
        prefix = f"camera: {set_name} clips: {name}"
        results += [
            Result(f"{prefix}event F1", total.f1, "", None if name else target, "more"),
            Result(f"{prefix}event precision", total.precision, ""),
            Result(f"{prefix}event recall", total.recall, ""),
            Result(f"{prefix}silent of {len(quiet)} clips without visits", sum(quiet), "", None, "more"),
        ]
        if not matched:
            continue
        first = statistics.median(event.emitted - visit.first for visit, event in matched)
        results.append(Result(f"{prefix}first moving pixel to event, median", first, "frames"))
        if not name and set_name == "tuned":
            beyond = [event.emitted - visit.large - (CONSECUTIVE - 1) for visit, event in matched]
            name = "camera: least area to event, beyond the consecutive frames"
            results += [
                Result(f"{name}, median", statistics.median(beyond), "frames", 2),
                Result(f"{name}, most", max(beyond), "frames", 2),
            ]
    return results


def _ours(clip: Clip) -> list[int]:
    """Frames with motion, decoded and evaluated as by the collector with its defaults."""
    from collectors.camera.backends import Frame
    from collectors.camera.backends.decoding import Video, open_video
    from collectors.camera.settings import Config
    from collectors.camera.view import View
    from tests.bench.camera_clips import RATE

    video = open_video(str(clip.path), clip.name, options={}, smooth=False)
    assert isinstance(video, Video)
    view, moving = View(Config()), []
    for number, picture in enumerate(video.pictures()):
        found = video.grey(picture.frame)
        if found is None:
            continue
        frame = Frame(found.image, number / RATE, 0, video_range=found.video_range)
        if view.detect(frame).moving:
            moving.append(number)
    video.close()
    return moving


def _mog2(clip: Clip) -> list[int]:
    """OpenCV's background subtraction as it comes, with the same least area."""
    import cv2

    from tests.bench.camera_clips import LEAST_PERCENT, RATE, read

    subtractor = cv2.createBackgroundSubtractorMOG2()
    found = []
    for number, picture in enumerate(read(clip.path)):
        grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (320, 240))
        foreground = cv2.threshold(subtractor.apply(grey), 200, 255, cv2.THRESH_BINARY)[1]
        if number >= 2 * RATE and cv2.countNonZero(foreground) >= LEAST_PERCENT / 100 * grey.size:
            found.append(number)
    return found


def _cost() -> list[Result]:
    """CPU of decoding alone, and of decoding with each detection, alternately on the same frames."""
    import cv2

    from collectors.camera.detector import Detector
    from collectors.camera.settings import DetectorConfig

    def decode() -> Callable[[Image, int], object]:
        return lambda _picture, _number: None

    def ours() -> Callable[[Image, int], object]:
        detector = Detector(DetectorConfig())
        return lambda picture, number: detector.detect(picture, number / 10)

    def mog2() -> Callable[[Image, int], object]:
        subtractor = cv2.createBackgroundSubtractorMOG2()
        return lambda picture, _: subtractor.apply(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (320, 240)))

    makers = {"decode": decode, "ours": ours, "mog2": mog2}
    rounds: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(ROUNDS):
        for name, maker in makers.items():
            rounds[name].append(_decoding(maker()))
    beyond = {
        name: statistics.median(both - alone for both, alone in zip(rounds[name], rounds["decode"], strict=True))
        for name in ("ours", "mog2")
    }
    whole = statistics.median(rounds["ours"])
    return [
        Result("camera: decoding 480x360", statistics.median(rounds["decode"]), "ms CPU a frame"),
        Result("camera: detection beyond decoding, people in every frame", beyond["ours"], "ms CPU a frame", 0.25),
        Result("camera: detection, quiet room 320x240", _quiet(), "ms CPU a frame", 0.25),
        Result("camera: plain MOG2 beyond decoding", beyond["mog2"], "ms CPU a frame"),
        Result("camera: decoding and detection on one core", 1000 / whole, "frames a second"),
    ]


def _decoding(look: Callable[[Image, int], object]) -> float:
    """CPU milliseconds a frame of the recording."""
    import cv2

    capture = cv2.VideoCapture(str(CLIP), cv2.CAP_FFMPEG)
    start = time.process_time()
    for number in range(FRAMES):
        found, picture = capture.read()
        assert found
        look(picture, number)
    spent = time.process_time() - start
    capture.release()
    return spent * 1000 / FRAMES


def _quiet() -> float:
    from collectors.camera.backends.simulated import FIRST_VISIT_SECONDS, Scene
    from collectors.camera.detector import Detector
    from collectors.camera.settings import DetectorConfig

    scene = Scene(1)
    pictures = [scene.draw(number / 10) for number in range(int(FIRST_VISIT_SECONDS * 10))]
    rounds = []
    for _ in range(ROUNDS):
        detector = Detector(DetectorConfig())
        start = time.process_time()
        for number in range(800):
            detector.detect(pictures[number % len(pictures)], number / 10)
        rounds.append((time.process_time() - start) * 1000 / 800)
    return statistics.median(rounds)


def _beside(folder: Path, width: int, height: int) -> list[Result]:
    """Whole processes side by side on the same H.264 file at its own pace: the collector, motion, motion idle."""
    from tests.bench.camera_clips import RATE
    from tests.bench.motion import Motion

    file = _film(folder / f"beside-{width}.mp4", width, height)
    command = python("-m", "collectors", "camera", "--source", str(file), "--repeat", "true")
    ours: subprocess.Popen[bytes] | None = None
    theirs: list[Motion] = []
    try:
        try:
            theirs.append(Motion(file, width, height, folder / f"beside-{width}"))
            theirs.append(Motion(file, width, height, folder / f"beside-{width}-not-detecting", detecting=False))
        except BenchUnavailable:
            return []  # said already
        ours = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )
        time.sleep(START_SECONDS)
        before = (process_cpu(ours.pid), *(each.cpu() for each in theirs))
        time.sleep(BESIDE_SECONDS)
        after = (process_cpu(ours.pid), *(each.cpu() for each in theirs))
        memory = [private_bytes(ours.pid) / 1e6, private_bytes(theirs[0].process.pid) / 1e6]
        if ours.poll() is not None:
            raise BenchUnavailable(f"the collector ended with status {ours.returncode}")
    finally:
        for each in theirs:
            each.close()
        if ours is not None:
            ours.terminate()
            ours.wait()
    frames = BESIDE_SECONDS * RATE
    mine, motion, idle = ((late - early) * 1000 / frames for early, late in zip(before, after, strict=True))
    size = f"{width}x{height}"
    return [
        Result(f"camera: {size}: collector, all of it", mine, "ms CPU a frame", motion),
        Result(f"camera: {size}: motion 4.5, all of it", motion, "ms CPU a frame"),
        Result(f"camera: {size}: motion 4.5, of that for detecting", motion - idle, "ms CPU a frame"),
        Result(f"camera: {size}: collector, private memory", memory[0], "MB"),
        Result(f"camera: {size}: motion 4.5, private memory", memory[1], "MB"),
    ]


def _film(path: Path, width: int, height: int) -> Path:
    """Half a minute of the mixed scene, as a network camera encodes it."""
    import av
    import cv2
    import numpy as np

    from collectors.camera.backends.simulated import Scene
    from tests.bench.camera_clips import RATE

    scene = Scene(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE, {"crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 50
        for number in range(30 * RATE):
            picture = cv2.resize(scene.draw(number / RATE), (width, height))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture, np.uint8), "bgr24")))
        container.mux(stream.encode(None))
    return path


def _growth() -> Result:
    """Growth of memory over many frames of the mixed scene, drawn beforehand."""
    from collectors.camera.backends.simulated import Scene
    from collectors.camera.detector import Detector
    from collectors.camera.events import EventTracker
    from collectors.camera.settings import DetectorConfig

    scene = Scene(1)
    pictures = [scene.draw(number / 10) for number in range(600)]
    detector = Detector(DetectorConfig())
    events: EventTracker[Image] = EventTracker("bench", CONSECUTIVE, GAP_SECONDS)
    before = 0
    for number in range(WARM + WATCHED):
        if number == WARM:
            before = private_bytes(os.getpid())
        picture, seconds = pictures[number % len(pictures)], number / 10
        for _ in events.update(seconds, round(seconds * 1e9), detector.detect(picture, seconds), picture):
            pass
    growth = (private_bytes(os.getpid()) - before) / 1e6
    return Result(f"camera: growth over {WATCHED} frames", growth, "MB", 0.5)
