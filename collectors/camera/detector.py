"""What changed in a picture: plain arrays in, a plain result out.

A pixel has changed when it differs from the learned background by more than a threshold, which follows the
noise of the picture. Changed pixels are motion when enough of them hang together, and when they also differ
from the picture of a moment ago: that tells a person from a parked car, a moved chair, or the place that
something has just left, all of which differ from the background and do not move.

Differences are taken with ``cv2.absdiff``: subtracting uint8 arrays wraps around at 0.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.camera.settings import Sensitivity

#: A picture: uint8, height x width (grey) or height x width x 3 (blue, green, red). OpenCV's own type hints
#: do not say what its functions leave unchanged, so the element type is not checked.
Image = NDArray[Any]

#: How far back the picture is that motion is told by, and how densely pictures are kept until then.
_AGO_SECONDS, _KEEP_SECONDS = 0.4, 0.1
#: Share of the least area that has to differ from the picture of a moment ago.
_MOVING_SHARE = 0.2
#: How often the background and the noise are learned; more often costs time and changes nothing.
_LEARN_SECONDS, _NOISE_SECONDS = 0.1, 1.0
#: What moves is learned so many times slower than what does not.
_MOVING_SLOWNESS = 10.0
#: The median of the absolute values of a normal distribution, in standard deviations.
_MEDIAN_OF_NORMAL = 0.6745
#: Noise above this many grey levels is taken for this, so that the threshold stays one that a picture can cross.
_MOST_NOISE = 20.0

_REACH = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


class Box(NamedTuple):
    """A rectangle, in per cent of the picture's width and height."""

    left: float
    top: float
    width: float
    height: float


class Detection(NamedTuple):
    """What one picture shows.

    Args:
        moving: whether there is motion.
        changed_percent: share of the picture that differs from the background, motion or not.
        area_percent: share of the picture that moves; 0 without motion.
        score: mean difference of what moves, in multiples of the threshold; 0 without motion.
        box: around all that moves; None without motion.
        anew: why the background was begun anew with this picture: ``first``, ``size``, ``light``; or empty.
    """

    moving: bool = False
    changed_percent: float = 0.0
    area_percent: float = 0.0
    score: float = 0.0
    box: Box | None = None
    anew: str = ""


def shrink(image: Image, width: int) -> Image:
    """The picture in grey, made smaller by the whole factor that comes nearest to the width.

    A whole factor is what OpenCV averages quickly: 0.01 ms for a half, against 0.4 ms for two thirds.
    """
    factor = max(1, round(image.shape[1] / width))
    if factor > 4:
        # Averaging a large picture in full costs more than all the rest; every other pixel tells enough.
        image = np.ascontiguousarray(image[:: factor // 2, :: factor // 2])
        factor = max(1, round(image.shape[1] / width))
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if factor > 1:
        size = (max(1, grey.shape[1] // factor), max(1, grey.shape[0] // factor))
        # Cut to whole multiples: otherwise the factor is no longer a whole one.
        grey = cv2.resize(grey[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def crop_stride(image: Image, width: int, height: int) -> Image:
    """A camera's buffer without the padding that its rows and its end carry."""
    return image[:height, :width]


class Detector:
    """Finds motion in one picture after another."""

    def __init__(self, sensitivity: Sensitivity) -> None:
        self._with = sensitivity
        self._background: NDArray[np.float32] | None = None
        self._level: Image = np.zeros((0, 0), np.uint8)
        self._size: tuple[int, ...] = ()
        self._began = self._learned = self._listened = 0.0
        self._pictures = 0
        self._recent: deque[tuple[float, Image]] = deque()
        self._noise = 0.0

    @property
    def threshold(self) -> float:
        """Grey levels that a pixel has to differ by to count as changed."""
        return max(self._with.least_difference, self._with.noise_factor * self._noise)

    def look(self, image: Image, seconds: float) -> Detection:
        """What the picture shows, seen at a monotonic time in seconds."""
        grey = cv2.blur(shrink(image, self._with.width), (3, 3))
        if self._background is None or self._size != image.shape[:2]:
            reason = "first" if self._background is None else "size"
            self._size = image.shape[:2]
            self._begin(grey, seconds)
            return Detection(anew=reason)
        difference = cv2.absdiff(grey, self._level)
        if seconds - self._began < self._with.warm_up_seconds:
            self._warm_up(grey, difference, seconds)
            return Detection()
        if seconds - self._listened >= _NOISE_SECONDS:
            self._listened = seconds
            self._noise += 0.25 * (noise_of(difference) - self._noise)
        changed = _above(difference, self.threshold)
        count = cv2.countNonZero(changed)
        percent = 100.0 * count / changed.size
        if percent >= self._with.light_switch_percent:
            self._begin(grey, seconds)
            return Detection(changed_percent=percent, anew="light")
        earlier = self._earlier(grey, seconds)
        found = Detection(changed_percent=percent)
        if percent >= self._with.min_area_percent:
            found = self._judge(found, grey, earlier, difference, changed)
        self._learn(grey, seconds, changed if found.moving else None)
        return found

    def _judge(self, quiet: Detection, grey: Image, earlier: Image, difference: Image, changed: Image) -> Detection:
        least = self._with.min_area_percent / 100.0 * changed.size
        blobs = _blobs(changed, least)
        if not blobs:
            return quiet
        moved = cv2.bitwise_and(_above(cv2.absdiff(grey, earlier), self.threshold), changed)
        moving = [
            (area, blob) for area, blob in blobs if cv2.countNonZero(_within(moved, blob)) >= _MOVING_SHARE * least
        ]
        if not moving:
            return quiet
        left, top, right, bottom = _around([blob for _, blob in moving])
        inside = (left, top, right - left, bottom - top)
        height, width = changed.shape
        return Detection(
            moving=True,
            changed_percent=quiet.changed_percent,
            # Boxes may overlap, and a pixel then counts twice.
            area_percent=min(100.0 * sum(area for area, _ in moving) / changed.size, quiet.changed_percent),
            score=cv2.mean(_within(difference, inside), _within(changed, inside))[0] / self.threshold,
            box=Box(
                100.0 * left / width,
                100.0 * top / height,
                100.0 * (right - left) / width,
                100.0 * (bottom - top) / height,
            ),
        )

    def _begin(self, grey: Image, seconds: float) -> None:
        self._background = grey.astype(np.float32)
        self._level = grey.copy()
        self._began = self._learned = self._listened = seconds
        self._pictures = 1
        self._recent.clear()
        self._recent.append((seconds, grey))

    def _warm_up(self, grey: Image, difference: Image, seconds: float) -> None:
        """Learn the mean of the pictures so far, and the noise about it."""
        self._pictures += 1
        noise = noise_of(difference)
        self._noise = noise if self._pictures == 2 else self._noise + 0.25 * (noise - self._noise)
        self._earlier(grey, seconds)
        self._take(grey, max(1.0 / self._pictures, 0.05))
        self._learned = self._listened = seconds

    def _learn(self, grey: Image, seconds: float, moving: Image | None) -> None:
        elapsed = seconds - self._learned
        if elapsed < _LEARN_SECONDS - 1e-6:
            return
        self._learned = seconds
        share = 1.0 - math.exp(-elapsed / self._with.background_seconds)
        if moving is None:
            self._take(grey, share)
        else:
            # What moves must not become background while it moves; but slowly, so that it does not last for ever.
            assert self._background is not None
            cv2.accumulateWeighted(grey, self._background, share, cv2.bitwise_not(cv2.dilate(moving, _REACH)))
            self._take(grey, share / _MOVING_SLOWNESS)

    def _take(self, grey: Image, share: float) -> None:
        assert self._background is not None
        cv2.accumulateWeighted(grey, self._background, share)
        cv2.convertScaleAbs(self._background, self._level)

    def _earlier(self, grey: Image, seconds: float) -> Image:
        """The picture of a moment ago; at a low frame rate, the one before."""
        recent = self._recent
        while len(recent) > 1 and seconds - recent[1][0] >= _AGO_SECONDS:
            recent.popleft()
        earlier = recent[0][1]
        if seconds - recent[-1][0] >= _KEEP_SECONDS - 1e-6:
            recent.append((seconds, grey))
        return earlier


def noise_of(difference: Image) -> float:
    """The standard deviation, in grey levels, of the noise in a difference from the background.

    Taken from the median, which what moves cannot shift while it covers less than half of the picture;
    within the level that holds the median, values are taken to lie evenly.
    """
    # A quarter of the pixels tells as much.
    counts = cv2.calcHist([np.ascontiguousarray(difference[::2, ::2])], [0], None, [256], [0, 256]).ravel()
    total = np.cumsum(counts)
    half = total[-1] / 2.0
    level = int(np.searchsorted(total, half))
    within = (half - (total[level - 1] if level else 0.0)) / counts[level]
    median = within / 2.0 if level == 0 else level - 0.5 + within
    # A flat picture has its median at a quarter of a level at most: that is rounding, and not noise.
    return 0.0 if level == 0 and counts[0] >= 0.9 * total[-1] else min(float(median) / _MEDIAN_OF_NORMAL, _MOST_NOISE)


_Rectangle = tuple[int, int, int, int]


def _above(difference: Image, threshold: float) -> Image:
    result: Any = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY)[1]
    return np.asarray(result, np.uint8)


def _within(image: Image, rectangle: Sequence[int]) -> Image:
    left, top, width, height = rectangle
    return image[top : top + height, left : left + width]


def _blobs(changed: Image, least: float) -> list[tuple[int, _Rectangle]]:
    """What hangs together and is large enough: its area in pixels, and its rectangle.

    Looked for at half the size, where a pixel stands for four of which two must have changed: that drops single
    pixels, which are noise, and takes a third of the time.
    """
    high, wide = changed.shape
    half = cv2.resize(changed, (max(1, wide // 2), max(1, high // 2)), interpolation=cv2.INTER_AREA)
    joined = cv2.dilate(_above(half, 127), _REACH)
    outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for outline in outlines:
        left, top, width, height = (2 * int(each) for each in cv2.boundingRect(outline))
        if width * height < least:
            continue
        rectangle = (left, top, min(width, wide - left), min(height, high - top))
        area = cv2.countNonZero(_within(changed, rectangle))
        if area >= least:
            found.append((area, rectangle))
    return found


def _around(rectangles: Sequence[_Rectangle]) -> _Rectangle:
    """Left, top, right and bottom of all rectangles together."""
    return (
        min(left for left, _, _, _ in rectangles),
        min(top for _, top, _, _ in rectangles),
        max(left + width for left, _, width, _ in rectangles),
        max(top + height for _, top, _, height in rectangles),
    )
