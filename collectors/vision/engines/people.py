"""Detection of people by the detector that OpenCV includes: histograms of oriented gradients and a linear SVM.

Needs no model file and no network. OpenCV 4 includes the detector; OpenCV 5 only with the contributed modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.core.api import Unavailable
from collectors.vision.engines import Box, Detection, InvalidImage, Wait

#: OpenCV's type of an image.
Pixels = NDArray[np.integer[Any] | np.floating[Any]]

#: Steps of the window's position and size. Finer steps find few more people, and take several times as long.
_STRIDE, _PADDING, _STEP = (8, 8), (8, 8), 1.05

#: The window that the detector was trained on, in pixels; a smaller image is enlarged to it.
_WINDOW_WIDTH, _WINDOW_HEIGHT = 64, 128

#: Maximum area of the scaled image, in squares of its width, and maximum side: limits tall images.
_MAX_SQUARES, _MAX_SIDE = 2, 4096


class PeopleEngine:
    """The loaded detector.

    Args:
        model: its name.
        width: width in pixels that images are scaled to.
    """

    def __init__(self, model: str, width: int) -> None:
        if not hasattr(cv2, "HOGDescriptor"):
            raise Unavailable(
                f"OpenCV {cv2.__version__} does not include the people detector; install opencv-python-headless below "
                "version 5, or opencv-contrib-python-headless"
            )
        cv2.setNumThreads(1)
        self.model = model
        self._width = width
        self._detector = cv2.HOGDescriptor()
        self._detector.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())  # type: ignore[attr-defined, unused-ignore]

    @property
    def available(self) -> bool | None:
        return None

    def detect(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """The people in the image."""
        del wait  # an image takes a fraction of a second
        grey = decode(jpeg, cv2.IMREAD_GRAYSCALE)
        height, width = grey.shape[:2]
        size = detection_size(width, height, self._width)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR)
        boxes, weights = self._detector.detectMultiScale(grey, winStride=_STRIDE, padding=_PADDING, scale=_STEP)
        return [
            Detection("person", confidence(float(weight)), _box(box, size))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]


def detection_size(width: int, height: int, wide: int) -> tuple[int, int]:
    """The size that an image is scaled to: *wide* pixels wide, and limited in area whatever its shape.

    >>> detection_size(480, 360, 720)
    (720, 540)
    """
    factor = min(wide / width, sqrt(_MAX_SQUARES * wide * wide / (width * height)))
    return (
        min(_MAX_SIDE, max(_WINDOW_WIDTH, round(width * factor))),
        min(_MAX_SIDE, max(_WINDOW_HEIGHT, round(height * factor))),
    )


def confidence(weight: float) -> float:
    """Map the SVM's distance from the separating plane to 0 to 1, by the logistic function; the plane itself is 0.5.

    >>> confidence(0.0)
    0.5
    """
    return 1 / (1 + exp(-weight)) if weight > -700 else 0.0


def _box(box: Sequence[float], size: tuple[int, int]) -> Box:
    """Convert left, top, width and height from pixels of an image of this size."""
    left, top, wide, high = (float(each) for each in box)
    return Box.within(
        left * 100 / size[0], top * 100 / size[1], (left + wide) * 100 / size[0], (top + high) * 100 / size[1]
    )


def decode(jpeg: bytes, flags: int) -> Pixels:
    """The pixels of an image. Raises InvalidImage if it cannot be decoded."""
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise InvalidImage("an image cannot be decoded")
    return image
