"""Operations on small grey images: plain arrays in, plain results out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: An image: uint8, height x width (grey) or height x width x 3 (blue, green, red). OpenCV's type hints do not say
#: which functions keep the element type, so it is not checked.
Image = NDArray[Any]

#: An affine movement: two rows of three columns.
Matrix = NDArray[np.float64]

#: Left, top, width and height in pixels.
Rectangle = tuple[int, int, int, int]

#: A 3 x 3 neighbourhood.
KERNEL = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))

#: Brightness in video runs from 16 to 235.
_VIDEO_RANGE = 255.0 / 219.0

#: The median of the absolute values of a normal distribution, in standard deviations.
_MEDIAN_OF_NORMAL = 0.6745
#: Upper limit of the noise estimate, in grey levels; keeps the threshold within reach of real changes.
_MAX_NOISE = 20.0
#: With this many separate components, as in rain or snow, components as thin as a streak are dropped.
_MANY_COMPONENTS = 16
#: Minimum share of a changed region that must lie on new edges for it to be more than a change of light.
_MIN_NEW_EDGES = 0.12
#: About the number of pixels that an affine movement is fitted to, and the edge that is left out.
_AFFINE_PIXELS, _AFFINE_EDGE = 4800, 4
#: An edge rises by at least this multiple of the noise, and by this share of the change, within the kernel.
_EDGE_NOISE, _EDGE_SHARE = 4.5, 0.4


@functools.lru_cache(maxsize=16)
def _steps(
    high: int, wide: int, width: int, *, colour: bool
) -> tuple[int, tuple[tuple[int, int, tuple[int, int]], ...]]:
    """How an image is shrunk: every how many pixels of a colour image are taken, and the steps after that.

    Each step is the height and the width that it takes, and the width and the height that it gives.
    """
    factor = max(1, round(wide / width))
    final = (max(1, wide // factor), max(1, high // factor))
    taken = 1
    if colour and factor > 1:
        taken = factor if factor <= 3 else factor // 2
        high, wide, factor = -(-high // taken), -(-wide // taken), max(1, factor // taken)
    steps = []
    while factor > 1:
        step = 2 if factor % 2 == 0 else factor
        size = (max(1, wide // step), max(1, high // step))
        # Cropped to whole multiples: otherwise the factor is no longer whole.
        steps.append((min(high, size[1] * step), min(wide, size[0] * step), size))
        (wide, high), factor = size, factor // step
    if (wide, high) != final:
        final = (min(wide, final[0]), min(high, final[1]))
        steps.append((final[1], final[0], final))
    return taken, tuple(steps)


def shrink(image: Image, width: int) -> Image:
    """Convert to grey and shrink by the whole factor that comes nearest to *width*.

    A grey image is averaged, in steps of two as far as possible, which is fastest. Of a colour image, the green
    channel is subsampled: it is most of the brightness, the blur that follows replaces the averaging, and it costs a
    fifth of converting and averaging the whole image.
    """
    grey = image
    if image.ndim == 3:
        channel = min(1, image.shape[2] - 1)
        step, _ = _steps(image.shape[0], image.shape[1], width, colour=True)
        grey = (
            np.ascontiguousarray(image[::step, ::step, channel])
            if step > 1
            else np.asarray(cv2.extractChannel(image, channel), np.uint8)
        )
    for high, wide, size in _steps(image.shape[0], image.shape[1], width, colour=image.ndim == 3)[1]:
        if (high, wide) != grey.shape:
            grey = grey[:high, :wide]
        grey = grey if size == (wide, high) else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return grey if grey is not image and grey.flags.c_contiguous else np.ascontiguousarray(grey, np.uint8)


def stretch(image: Image) -> Image:
    """Grey levels from 16 to 235 stretched to those from 0 to 255."""
    stretched: Image = cv2.addWeighted(image, _VIDEO_RANGE, image, 0.0, -16.0 * _VIDEO_RANGE)
    return stretched


def crop_stride(image: Image, width: int, height: int) -> Image:
    """A camera's buffer without the padding of its rows and of its end."""
    return image[:height, :width]


def estimate_noise(difference: Image, visible: Image | None = None) -> float:
    """The standard deviation of the noise in a difference from the background, in grey levels.

    Computed from the median, which moving objects do not shift while they cover less than half of the image. Values
    within the grey level that holds the median are assumed to be evenly distributed.

    Args:
        difference: absolute differences.
        visible: 0 where pixels are ignored; None to use all.
    """
    # A quarter of the pixels is enough.
    mask = None if visible is None else np.ascontiguousarray(visible[::2, ::2])
    counts = cv2.calcHist([np.ascontiguousarray(difference[::2, ::2])], [0], mask, [256], [0, 256]).ravel()
    total = np.cumsum(counts)
    if not total[-1]:
        return 0.0
    half = total[-1] / 2.0
    level = int(np.searchsorted(total, half))
    share = (half - (total[level - 1] if level else 0.0)) / counts[level]
    median = share / 2.0 if level == 0 else level - 0.5 + share
    # The median of a flat image is a quarter of a level at most: rounding, not noise.
    return 0.0 if level == 0 and counts[0] >= 0.9 * total[-1] else min(float(median) / _MEDIAN_OF_NORMAL, _MAX_NOISE)


def threshold_mask(difference: Image, threshold: float) -> Image:
    """255 where the difference is above the threshold, 0 elsewhere."""
    result: Image = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY)[1]
    return result


def crop(image: Image, rectangle: Sequence[int]) -> Image:
    """The part of the image inside the rectangle."""
    left, top, width, height = rectangle
    return image[top : top + height, left : left + width]


def blobs(changed: Image, min_area: float) -> list[tuple[int, Rectangle]]:
    """The connected regions that are large enough: area in pixels, and rectangle.

    Searched at half the size; a pixel there represents four, and two of these must have changed: that drops single
    pixels, which are noise, and takes a third of the time. With many components, thin streaks are dropped too.
    """
    high, wide = changed.shape
    half = cv2.resize(changed, (max(1, wide // 2), max(1, high // 2)), interpolation=cv2.INTER_AREA)
    solid = threshold_mask(half, 127)
    components = _components(solid)
    if len(components) >= _MANY_COMPONENTS:
        components = _components(cv2.morphologyEx(solid, cv2.MORPH_OPEN, KERNEL))
    found = []
    for left, top, width, height, size in components:
        if 4 * size < min_area:
            continue
        left, top = 2 * left, 2 * top
        rectangle = (left, top, min(2 * width, wide - left), min(2 * height, high - top))
        area = cv2.countNonZero(crop(changed, rectangle))
        if area >= min_area:
            found.append((area, rectangle))
    return found


def _components(solid: Any) -> list[list[int]]:
    """Left, top, width, height and size of each component; a gap of two pixels does not separate components."""
    joined = cv2.dilate(solid, KERNEL)
    stats: Any = cv2.connectedComponentsWithStats(joined, connectivity=8, ltype=cv2.CV_16U)[2]
    components: list[list[int]] = stats[1:].tolist()
    return components


def bounding_box(rectangles: Sequence[Rectangle]) -> Rectangle:
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
    """The share of the changed pixels that lie on an edge which the background does not have.

    Light changes the level of a wall and the contrast of its pattern, and fades out towards its border; a person in
    front of the wall has an outline.
    """
    count = cv2.countNonZero(changed)
    if not count:
        return 0.0
    now, before = grey.astype(np.float32), background.astype(np.float32)
    gain = cv2.mean(now, changed)[0] / max(1.0, cv2.mean(before, changed)[0])
    change = now - gain * before
    edges = cv2.subtract(cv2.dilate(change, KERNEL), cv2.erode(change, KERNEL))
    min_rise = max(_EDGE_NOISE * noise, _EDGE_SHARE * cv2.mean(np.abs(now - before), changed)[0])
    # Where a faint outline stays below the threshold, it lies just outside of the changed pixels.
    outline = threshold_mask(edges, min_rise).astype(np.uint8)
    return cv2.countNonZero(cv2.bitwise_and(outline, cv2.dilate(changed, KERNEL))) / count


def is_light_change(grey: Image, background: Image, changed: Image, noise: float) -> bool:
    """Whether the changed pixels are only brighter or darker than before."""
    return new_edges(grey, background, changed, noise) < _MIN_NEW_EDGES


def estimate_shift(before: Image, now: Image) -> tuple[float, float]:
    """How far the image as a whole has moved to the right and down, in pixels."""
    step = 2 if min(before.shape) >= 200 else 1
    first, second = (np.ascontiguousarray(each[::step, ::step]).astype(np.float32) for each in (before, now))
    height, width = first.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(first, second, window)
    return float(right) * step, float(down) * step


def translation(right: float, down: float) -> Matrix:
    """The matrix of a shift by this many pixels."""
    return np.array([[1.0, 0.0, right], [0.0, 1.0, down]])


def shift_image(image: Image, right: float, down: float) -> Image:
    """The image moved by this many pixels; its edge is repeated."""
    return warp_image(image, translation(right, down))


def warp_image(image: Image, matrix: Matrix) -> Image:
    """The image after an affine movement; its edge is repeated."""
    moved: Any = cv2.warpAffine(
        image, matrix, (image.shape[1], image.shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def refine_affine(before: Image, now: Image, matrix: Matrix, rounds: int = 2) -> Matrix:
    """Refine the movement that takes one image to another, such as a small zoom or rotation.

    The method of Lucas and Kanade for the image as a whole: the remaining displacement, a linear function of the
    place, is fitted to the brightness gradient. Pixels that differ more than most get little weight.
    """
    factor = max(1, round((before.size / _AFFINE_PIXELS) ** 0.5))
    size = (before.shape[1] // factor, before.shape[0] // factor)
    before, now = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA) if factor > 1 else each for each in (before, now)
    )
    # Between the centers of pixels of both sizes.
    scale = np.array(
        [[1.0 / factor, 0.0, 0.5 / factor - 0.5], [0.0, 1.0 / factor, 0.5 / factor - 0.5], [0.0, 0.0, 1.0]]
    )
    full = scale @ np.vstack((matrix, (0.0, 0.0, 1.0))) @ np.linalg.inv(scale)
    width, height = size
    inside = (slice(_AFFINE_EDGE, height - _AFFINE_EDGE), slice(_AFFINE_EDGE, width - _AFFINE_EDGE))
    down, across = np.mgrid[inside]
    # Distances in widths, so that all terms are of one size.
    where = np.stack((across.ravel() / width, down.ravel() / width, np.ones(across.size)), axis=1).astype(np.float32)
    target = now[inside].astype(np.float32).ravel()
    for _ in range(rounds):
        moved = warp_image(before, full[:2])
        rest = moved[inside].astype(np.float32).ravel() - target
        slopes = [cv2.Sobel(moved, cv2.CV_32F, *order, scale=0.125)[inside].ravel() for order in ((1, 0), (0, 1))]
        limit = max(2.0, 3.0 * float(np.median(np.abs(rest))))
        terms = np.concatenate([where * each[:, None] for each in slopes], axis=1)
        weighted = terms / (1.0 + (rest / limit) ** 2)[:, None]
        normal = (weighted.T @ terms).astype(np.float64)
        normal += np.eye(6) * (1e-4 * float(np.trace(normal)) / 6 + 1e-6)
        change = np.linalg.solve(normal, (weighted.T @ rest).astype(np.float64)).reshape(2, 3)
        change[:, :2] /= width
        full = (np.eye(3) + np.vstack((change, (0.0, 0.0, 0.0)))) @ full
    refined: Matrix = (np.linalg.inv(scale) @ full @ scale)[:2]
    return refined


def reach(matrix: Matrix, shape: tuple[int, ...]) -> float:
    """How far a movement takes the corner that it takes farthest, in pixels."""
    height, width = shape[:2]
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], np.float64)
    moved = corners @ matrix.T - corners[:, :2]
    return float(np.hypot(moved[:, 0], moved[:, 1]).max())


def difference_beyond_neighbours(grey: Image, background: Image) -> Image:
    """How far each pixel lies outside the range of the background within one pixel around it."""
    low, high = cv2.erode(background, KERNEL), cv2.dilate(background, KERNEL)
    return np.asarray(cv2.max(cv2.subtract(grey, high), cv2.subtract(low, grey)), np.uint8)
