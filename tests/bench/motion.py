"""Debian's motion on files, for comparison with our own detector: with its defaults, at the pace of the file.

It listens on no port, and writes only to a folder of the bench. Its detections are read from the pictures that it
saves: each is one frame of the file, found by comparison.

Motion takes the newest frame when it is ready for one, and skips others, which counts against it. With each group of
files, one more motion plays a film of numbers and saves every frame; where a number is missing, a frame was skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from tests.bench.camera_clips import RATE, Clip, read
from tests.bench.measure import BenchUnavailable, process_cpu

#: Its defaults stay, but for what makes a comparison possible: nothing listens, no film is made, no text drawn,
#: and its rate is that of the file.
_SETTINGS = """\
daemon off
setup_mode off
log_level 4
webcontrol_port 0
stream_port 0
movie_output off
text_left
text_right
framerate {rate}
target_dir {folder}
netcam_url file://{file}
width {width}
height {height}
picture_output {pictures}
picture_quality 90
picture_filename %Y%m%d%H%M%S-%q
emulate_motion {every}
"""


#: Number of files at once. With more, a small machine falls behind.
_AT_ONCE = 8
#: Digits of the binary numbers in a film, and the width and height of each.
_DIGITS, _DIGIT = 12, 32
_NUMBERS_SIZE = (_DIGITS * _DIGIT, 96)


class Motion:
    """One motion on one file, from start to close."""

    def __init__(
        self,
        file: Path,
        width: int,
        height: int,
        folder: Path,
        *,
        pictures: bool = False,
        detecting: bool = True,
        every: bool = False,
    ) -> None:
        program = shutil.which("motion")
        if program is None:
            raise BenchUnavailable("motion is not installed; apt-get install motion")
        folder.mkdir()
        settings = folder / "motion.conf"
        settings.write_text(
            _SETTINGS.format(
                rate=RATE,
                folder=folder,
                file=file,
                width=width,
                height=height,
                pictures="on" if pictures else "off",
                every="on" if every else "off",
            )
        )
        self.folder = folder
        arguments = [program, "-n", "-c", str(settings), "-l", str(folder / "log")]
        self.process = subprocess.Popen(
            arguments if detecting else [*arguments, "-m"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return process_cpu(self.process.pid)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class MotionFrames(NamedTuple):
    """Frames with motion.

    Args:
        frames: for each clip, the frames that it takes for motion.
        lost: number of frames lost during the measurement, of how many.
    """

    frames: list[list[int]]
    lost: int
    of: int


def motion_frames(clips: list[Clip], seconds: float, folder: Path) -> MotionFrames:
    """Run motion on clips of this length, a few at once, at their own pace."""
    found = []
    lost = of = 0
    numbers = _write_numbers(folder / "numbers.avi", round(seconds * RATE))
    for begin in range(0, len(clips), _AT_ONCE):
        some = clips[begin : begin + _AT_ONCE]
        running: list[Motion] = []
        try:
            for clip in some:
                place = folder / f"motion-{clip.path.stem}"
                running.append(Motion(clip.path, clip.width, clip.height, place, pictures=True))
            place = folder / f"motion-numbers-{begin}"
            running.append(Motion(numbers, *_NUMBERS_SIZE, place, pictures=True, every=True))
            # Repetitions of the clip yield the same frames.
            time.sleep(seconds + 3.0)
        finally:
            for each in running:
                each.close()
        found += [_frames(clip, each.folder) for clip, each in zip(some, running[:-1], strict=True)]
        seen = _read_numbers(running[-1].folder)
        if not seen:
            raise BenchUnavailable("motion has saved no frame of the film of numbers")
        lost += max(seen) - min(seen) + 1 - len(seen)
        of += max(seen) - min(seen) + 1
    return MotionFrames(found, lost, of)


def _write_numbers(path: Path, frames: int) -> Path:
    """Write a film whose frames show their numbers in black and white."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, _NUMBERS_SIZE)
    for number in range(frames):
        row = np.repeat([255 * (number >> digit & 1) for digit in range(_DIGITS)], _DIGIT).astype(np.uint8)
        writer.write(np.broadcast_to(row[None, :, None], (_NUMBERS_SIZE[1], _NUMBERS_SIZE[0], 3)).copy())
    writer.release()
    return path


def _read_numbers(folder: Path) -> set[int]:
    found = set()
    for path in folder.glob("*.jpg"):
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is not None:
            row = picture[picture.shape[0] // 2, _DIGIT // 2 :: _DIGIT]
            found.add(sum(1 << digit for digit in range(_DIGITS) if row[digit] > 127))
    return found


def _frames(clip: Clip, folder: Path) -> list[int]:
    known = np.stack([_small(picture) for picture in read(clip.path)])
    found = set()
    for path in sorted(folder.glob("*.jpg")):
        picture = cv2.imread(str(path))
        if picture is not None and picture.shape[:2] == (clip.height, clip.width):
            found.add(int(np.abs(known - _small(picture)).mean(axis=1).argmin()))
    return sorted(found)


def _small(picture: np.ndarray) -> np.ndarray:
    """Every fifth pixel: sufficient, because the noise distinguishes each frame from the next."""
    return picture[::5, ::5, 1].astype(np.int16).ravel()
