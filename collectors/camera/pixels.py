"""What is counted, joined and compared in small grey pictures: plain arrays in, plain results out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: A picture: uint8, height x width (grey) or height x width x 3 (blue, green, red). OpenCV's own type hints
#: do not say what its functions leave unchanged, so the element type is not checked.
Image = NDArray[Any]

#: Left, top, width and height in pixels.
Rectangle = tuple[int, int, int, int]

#: A 3 x 3 neighbourhood.
REACH = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))

#: The median of the absolute values of a normal distribution, in standard deviations.
_MEDIAN_OF_NORMAL = 0.6745
#: Noise above this many grey levels is taken for this, so that the threshold stays one that a picture can cross.
_MOST_NOISE = 20.0
#: So many separate pieces at once are rain or snow, and only what is wider than a streak is looked at.
_PIECES = 16
#: Share of a patch that has to lie at edges of its own for it to be more than light.
_NEW_EDGES = 0.12
#: An edge rises by so many times the noise, and by this share of the change, within its reach.
_EDGE_NOISE, _EDGE_SHARE = 4.5, 0.4
_EDGE_REACH = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def shrink(image: Image, width: int) -> Image:
    """The picture in grey, made smaller by the whole factor that comes nearest to the width.

    A grey picture is averaged, which a whole factor makes quick. Of a coloured one the green is taken, which is
    most of its brightness, and at every so many pixels one: the blur that follows takes the place of averaging,
    and the whole costs a fifth of converting and averaging the picture.
    """
    factor = max(1, round(image.shape[1] / width))
    if image.ndim == 3:
        channel = min(1, image.shape[2] - 1)
        if factor == 1:
            return np.asarray(cv2.extractChannel(image, channel), np.uint8)
        step = factor if factor <= 3 else factor // 2
        grey = np.ascontiguousarray(image[::step, ::step, channel])
    else:
        step = 1 if factor <= 4 else factor // 2
        grey = np.ascontiguousarray(image[::step, ::step])
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    left = max(1, grey.shape[1] // size[0])
    if left > 1:
        # Cut to whole multiples: otherwise the factor is no longer a whole one.
        grey = cv2.resize(grey[: size[1] * left, : size[0] * left], size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey[: size[1], : size[0]], np.uint8)


def crop_stride(image: Image, width: int, height: int) -> Image:
    """A camera's buffer without the padding that its rows and its end carry."""
    return image[:height, :width]


def noise_of(difference: Image, seen: Image | None = None) -> float:
    """The standard deviation, in grey levels, of the noise in a difference from the background.

    Taken from the median, which what moves cannot shift while it covers less than half of the picture;
    within the level that holds the median, values are taken to lie evenly.

    Args:
        difference: absolute differences.
        seen: 0 where they do not count; None where all count.
    """
    # A quarter of the pixels tells as much.
    mask = None if seen is None else np.ascontiguousarray(seen[::2, ::2])
    counts = cv2.calcHist([np.ascontiguousarray(difference[::2, ::2])], [0], mask, [256], [0, 256]).ravel()
    total = np.cumsum(counts)
    if not total[-1]:
        return 0.0
    half = total[-1] / 2.0
    level = int(np.searchsorted(total, half))
    within = (half - (total[level - 1] if level else 0.0)) / counts[level]
    median = within / 2.0 if level == 0 else level - 0.5 + within
    # A flat picture has its median at a quarter of a level at most: that is rounding, and not noise.
    return 0.0 if level == 0 and counts[0] >= 0.9 * total[-1] else min(float(median) / _MEDIAN_OF_NORMAL, _MOST_NOISE)


def above(difference: Image, threshold: float) -> Image:
    """255 where the difference is above the threshold, and 0 elsewhere."""
    result: Any = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY)[1]
    return np.asarray(result, np.uint8)


def within(image: Image, rectangle: Sequence[int]) -> Image:
    """The part of the picture in the rectangle."""
    left, top, width, height = rectangle
    return image[top : top + height, left : left + width]


def blobs(changed: Image, least: float) -> list[tuple[int, Rectangle]]:
    """What hangs together and is large enough: its area in pixels, and its rectangle.

    Looked for at half the size, where a pixel stands for four of which two must have changed: that drops single
    pixels, which are noise, and takes a third of the time. Where there are many pieces, streaks are dropped too.
    """
    high, wide = changed.shape
    half = cv2.resize(changed, (max(1, wide // 2), max(1, high // 2)), interpolation=cv2.INTER_AREA)
    solid = above(half, 127)
    pieces = _pieces(solid)
    if len(pieces) >= _PIECES:
        pieces = _pieces(cv2.morphologyEx(solid, cv2.MORPH_OPEN, REACH))
    found = []
    for left, top, width, height, size in pieces:
        if 4 * size < least:
            continue
        left, top = 2 * left, 2 * top
        rectangle = (left, top, min(2 * width, wide - left), min(2 * height, high - top))
        area = cv2.countNonZero(within(changed, rectangle))
        if area >= least:
            found.append((area, rectangle))
    return found


def _pieces(solid: Any) -> list[list[int]]:
    """Left, top, width, height and size of what hangs together, or nearly so."""
    joined = cv2.dilate(solid, REACH)
    stats: Any = cv2.connectedComponentsWithStats(joined, connectivity=8, ltype=cv2.CV_16U)[2]
    pieces: list[list[int]] = stats[1:].tolist()
    return pieces


def around(rectangles: Sequence[Rectangle]) -> Rectangle:
    """Left, top, right and bottom of all rectangles together."""
    if len(rectangles) == 1:
        left, top, width, height = rectangles[0]
        return left, top, left + width, top + height
    return (
        min(left for left, _, _, _ in rectangles),
        min(top for _, top, _, _ in rectangles),
        max(left + width for left, _, width, _ in rectangles),
        max(top + height for _, top, _, height in rectangles),
    )


def new_edges(grey: Image, background: Image, changed: Image, noise: float) -> float:
    """Share of what has changed that lies at an edge which the background does not have.

    Light changes the level of a wall and the strength of its pattern, and fades out at its border; somebody in
    front of it has an outline.
    """
    count = cv2.countNonZero(changed)
    if not count:
        return 0.0
    now, before = grey.astype(np.float32), background.astype(np.float32)
    gain = cv2.mean(now, changed)[0] / max(1.0, cv2.mean(before, changed)[0])
    change = now - gain * before
    edges = cv2.subtract(cv2.dilate(change, _EDGE_REACH), cv2.erode(change, _EDGE_REACH))
    least = max(_EDGE_NOISE * noise, _EDGE_SHARE * cv2.mean(np.abs(now - before), changed)[0])
    # An outline may lie just outside of what is above the threshold, where that is faint.
    return cv2.countNonZero(cv2.bitwise_and(above(edges, least).astype(np.uint8), cv2.dilate(changed, REACH))) / count


def only_light(grey: Image, background: Image, changed: Image, noise: float) -> bool:
    """Whether what has changed is only brighter or darker than before."""
    return new_edges(grey, background, changed, noise) < _NEW_EDGES


def shift_between(before: Image, now: Image) -> tuple[float, float]:
    """How far the picture has moved to the right and down, in pixels, as a whole."""
    step = 2 if min(before.shape) >= 200 else 1
    first, second = (np.ascontiguousarray(each[::step, ::step]).astype(np.float32) for each in (before, now))
    height, width = first.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(first, second, window)
    return float(right) * step, float(down) * step


def shifted(image: Image, right: float, down: float) -> Image:
    """The picture moved by so many pixels; its edge is repeated."""
    matrix = np.array([[1.0, 0.0, right], [0.0, 1.0, down]], np.float32)
    moved: Any = cv2.warpAffine(
        image, matrix, (image.shape[1], image.shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def beyond_neighbours(grey: Image, background: Image) -> Image:
    """How far each pixel lies outside of what the background shows within a pixel around it."""
    low, high = cv2.erode(background, REACH), cv2.dilate(background, REACH)
    return np.asarray(cv2.max(cv2.subtract(grey, high), cv2.subtract(low, grey)), np.uint8)
