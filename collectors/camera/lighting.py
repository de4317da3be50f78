"""Changes of light: how a background looks under the light of another image.

A light that is switched, an exposure that adapts or a cloud changes the brightness of a place by a factor that varies
smoothly across the image. The factor is fitted to the means of a coarse grid of cells, where an object is an outlier.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.camera.pixels import Image

#: Cells across and down.
_GRID = (32, 24)
#: Grey levels added before a ratio is computed: keeps it finite in the dark.
_DARK = 2.0
#: A cell this bright may be saturated, which hides the factor.
_SATURATED = 250.0
#: A change of light moves the mean of a cell by this many grey levels, in at least this share of the cells.
_CELL_LEVELS, _CELL_SHARE = 1.5, 0.5
#: Number of refinements of the fit, and deviation beyond which a cell is an outlier, in robust standard deviations.
_ROUNDS, _OUTLIER = 4, 2.5
#: Minimum deviation of a cell, as a logarithm of the factor, which is not an outlier.
_MIN_DEVIATION = 0.03
#: Range of the factor.
_MIN_GAIN, _MAX_GAIN = 0.04, 25.0
#: Detail below this contrast, in grey levels, is none.
_MIN_DETAIL = 1.0
_DETAIL_KERNEL = (9, 9)


def cells(image: Image) -> NDArray[np.float32]:
    """The means of the cells of a grid over the image."""
    size = (min(_GRID[0], image.shape[1]), min(_GRID[1], image.shape[0]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def is_relit(before: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
    """Whether most cells have become brighter, or most have become darker."""
    change = now - before
    most = _CELL_SHARE * change.size
    return bool(np.count_nonzero(change > _CELL_LEVELS) > most or np.count_nonzero(change < -_CELL_LEVELS) > most)


def typical_gain(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """The median of the factors between the means of two images' cells."""
    return float(np.median((now + _DARK) / (before + _DARK)))


def fit_gain(before: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.float32]:
    """The factor between the means of two images' cells: a quadratic function of the place, without outliers.

    Iteratively reweighted least squares on the logarithm of the ratio, with Tukey's biweight.
    """
    ratio = np.log((now + _DARK) / (before + _DARK)).ravel()
    usable = ((now < _SATURATED) & (before < _SATURATED)).ravel()
    if np.count_nonzero(usable) < ratio.size // 4:
        usable = np.ones(ratio.size, bool)
    terms = _terms(*before.shape)
    fitted = np.full(ratio.size, float(np.median(ratio[usable])))
    for number in range(_ROUNDS):
        rest = np.abs(ratio - fitted)
        scale = max(_MIN_DEVIATION, 1.48 * float(np.median(rest[usable])))
        weight = np.where(usable, np.maximum(0.0, 1.0 - (rest / (_OUTLIER * scale)) ** 2) ** 2, 0.0)
        # Level first, then slope, then curvature: fewer terms are safer while outliers are not known.
        part = terms[:, : (1, 3, 6)[min(number, 2)]]
        weighted = part * weight[:, None]
        normal = weighted.T @ part + 1e-3 * np.eye(part.shape[1])
        fitted = part @ np.linalg.solve(normal, weighted.T @ ratio)
    gain: NDArray[np.float32] = np.exp(fitted).clip(_MIN_GAIN, _MAX_GAIN).reshape(before.shape).astype(np.float32)
    return gain


def spread(gain: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """The factor of each pixel of an image of this height and width, given that of each cell."""
    return np.asarray(cv2.resize(gain, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def likeness(before: Image, now: Image, changed: Image) -> float | None:
    """Correlation of the detail of two images where they differ, from -1 to 1; None if there is too little detail.

    A change of light keeps the detail, and an object in front of it does not.
    """
    step = 2 if min(before.shape) >= 64 else 1
    where = np.ascontiguousarray(changed[::step, ::step])
    count = max(1, cv2.countNonZero(where))
    first, second = (_detail(each, step, where) for each in (before, now))
    sizes = [float(cv2.norm(each, cv2.NORM_L2, where)) / math.sqrt(count) for each in (first, second)]
    if sizes[0] < _MIN_DETAIL:
        return None
    product: float = cv2.mean(first * second, where)[0]
    return product / (sizes[0] * max(sizes[1], 0.1))


def _detail(image: Image, step: int, where: Image) -> NDArray[np.float32]:
    """What differs from the surroundings; strong edges are limited, so that none of them decides alone."""
    size = (where.shape[1], where.shape[0])
    wide = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA) if step > 1 else image, np.float32)
    detail = np.asarray(wide - cv2.blur(wide, _DETAIL_KERNEL), np.float32)
    limit = 2.0 * cv2.mean(np.abs(detail), where)[0] + 0.1
    return detail.clip(-limit, limit)


_TERMS: dict[tuple[int, int], NDArray[np.float64]] = {}


def _terms(height: int, width: int) -> NDArray[np.float64]:
    """Constant, slopes and curvatures at each cell."""
    if (height, width) not in _TERMS:
        down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
        _TERMS[height, width] = np.stack(
            (np.ones(across.size), across, down, across * across, across * down, down * down), axis=1
        )
    return _TERMS[height, width]
