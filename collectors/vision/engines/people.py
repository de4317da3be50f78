"""People, found by the detector that OpenCV brings along: gradients in a window, weighed by a trained plane.

It works without a model file and without a network. OpenCV 4 has it; of OpenCV 5 only the builds with the contributed
modules have.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.core.api import Unavailable
from collectors.vision.engines import BadPicture, Box, Detection, Wait

#: What OpenCV takes and gives for a picture.
Pixels = NDArray[np.integer[Any] | np.floating[Any]]

#: Steps of the window and of its size. Finer steps find few more people in several times the time.
_STRIDE, _PADDING, _STEP = (8, 8), (8, 8), 1.05

#: The window that the plane was trained on, in pixels; a smaller picture is enlarged to it.
_WINDOW_WIDTH, _WINDOW_HEIGHT = 64, 128

#: A picture much higher than wide would become huge when it is made wide: so many squares of its width are enough.
_MOST_SQUARES, _MOST_SIDE = 2, 4096


class People:
    """The detector, loaded.

    Args:
        model: what it is called.
        width: pixels that a picture is made wide.
    """

    def __init__(self, model: str, width: int) -> None:
        if not hasattr(cv2, "HOGDescriptor"):
            raise Unavailable(
                f"OpenCV {cv2.__version__} comes without its detector of people; install opencv-python-headless below "
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

    def look(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """The people in the picture."""
        del wait  # a picture takes a fraction of a second
        grey = decode(jpeg, cv2.IMREAD_GRAYSCALE)
        height, width = grey.shape[:2]
        size = looked_at(width, height, self._width)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR)
        boxes, weights = self._detector.detectMultiScale(grey, winStride=_STRIDE, padding=_PADDING, scale=_STEP)
        return [
            Detection("person", confidence(float(weight)), _box(box, size))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]


def looked_at(width: int, height: int, wide: int) -> tuple[int, int]:
    """The size at which people are looked for in a picture: so wide, and of a bearable size whatever its shape.

    >>> looked_at(480, 360, 720)
    (720, 540)
    """
    factor = min(wide / width, sqrt(_MOST_SQUARES * wide * wide / (width * height)))
    return (
        min(_MOST_SIDE, max(_WINDOW_WIDTH, round(width * factor))),
        min(_MOST_SIDE, max(_WINDOW_HEIGHT, round(height * factor))),
    )


def confidence(weight: float) -> float:
    """A distance from the plane as 0 to 1: the logistic function, so that 0.5 is the plane itself.

    >>> confidence(0.0)
    0.5
    """
    return 1 / (1 + exp(-weight)) if weight > -700 else 0.0


def _box(box: Sequence[float], size: tuple[int, int]) -> Box:
    """Left, top, width and height in pixels of a picture of this size."""
    left, top, wide, high = (float(each) for each in box)
    return Box.within(
        left * 100 / size[0], top * 100 / size[1], (left + wide) * 100 / size[0], (top + high) * 100 / size[1]
    )


def decode(jpeg: bytes, flags: int) -> Pixels:
    """The picture's pixels. Raises BadPicture, with a sentence, where it cannot be decoded."""
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise BadPicture("a picture cannot be decoded")
    return image
