"""Readers of network outputs, one per format: plain arrays in, detections out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.vision.engines import Box, Detection

Floats = NDArray[np.float32]


class OutputError(ValueError):
    """The output does not have the configured format; the message describes it."""


class Fit(NamedTuple):
    """Placement of an image in the network's square input of ``size`` pixels."""

    size: int
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def stretched(cls, size: int) -> Fit:
        """Stretched over the whole square."""
        return cls(size, 0, 0, size, size)

    @classmethod
    def letterboxed(cls, width: int, height: int, size: int) -> Fit:
        """Scaled to fit with its aspect ratio, and centred."""
        factor = size / max(width, height)
        wide, high = min(size, round(width * factor)), min(size, round(height * factor))
        return cls(size, (size - wide) // 2, (size - high) // 2, wide, high)

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Convert a box from pixels of the input to percent of the image."""
        return Box.within(
            (left - self.left) * 100 / self.width,
            (top - self.top) * 100 / self.height,
            (right - self.left) * 100 / self.width,
            (bottom - self.top) * 100 / self.height,
        )


class Reader(Protocol):
    """Reads one output format."""

    stretched: bool

    def read(self, output: Floats, labels: tuple[str, ...], fit: Fit) -> list[Detection]:
        """The detections in the output. Raises OutputError if it has another format."""
        ...


class Classification:
    """A value per class: probabilities, or scores that softmax turns into probabilities."""

    stretched = True

    def __init__(self, threshold: float, overlap: float) -> None:
        del threshold, overlap

    def read(self, output: Floats, labels: tuple[str, ...], fit: Fit) -> list[Detection]:
        del fit
        values = output.ravel()
        if values.size != len(labels):
            raise OutputError(
                f"its output has {values.size} values {_shape(output)}, and there are {len(labels)} labels"
            )
        _finite(values)
        if values.min() < 0 or abs(float(values.sum()) - 1) > 0.01:
            raised = np.exp(values - values.max())
            values = raised / raised.sum()
        return [Detection(label, float(value)) for label, value in zip(labels, values, strict=True)]


class Ssd:
    """Rows of picture, class, confidence, left, top, right, bottom, the last four as parts of the input."""

    stretched = True

    def __init__(self, threshold: float, overlap: float) -> None:
        del overlap  # such a model removes overlapping boxes itself
        self._threshold = threshold

    def read(self, output: Floats, labels: tuple[str, ...], fit: Fit) -> list[Detection]:
        if output.shape[-1] != 7:
            raise OutputError(f"its output is {_shape(output)}, and rows of 7 are expected")
        rows = output.reshape(-1, 7)
        _finite(rows)
        return [
            Detection(
                _label(labels, int(row[1])), _part(row[2]), fit.box(*(float(each) * fit.size for each in row[3:]))
            )
            for row in rows[rows[:, 2] >= max(self._threshold, 1e-6)]
        ]


class YoloV10:
    """Rows of left, top, right, bottom, confidence, class, in pixels of the input; without overlapping boxes."""

    stretched = False

    def __init__(self, threshold: float, overlap: float) -> None:
        del overlap
        self._threshold = threshold

    def read(self, output: Floats, labels: tuple[str, ...], fit: Fit) -> list[Detection]:
        if output.shape[-1] != 6:
            raise OutputError(f"its output is {_shape(output)}, and rows of 6 are expected")
        rows = output.reshape(-1, 6)
        _finite(rows)
        return [
            Detection(_label(labels, int(row[5])), _part(row[4]), fit.box(*map(float, row[:4])))
            for row in rows[rows[:, 4] >= max(self._threshold, 1e-6)]
        ]


class Yolo:
    """Centre, size and a score per class, at thousands of places; version 5 adds a score for any object (objectness).

    Args:
        objectness: whether there is such a score, and rows are places; otherwise, columns are places.
    """

    stretched = False

    def __init__(self, threshold: float, overlap: float, *, objectness: bool) -> None:
        self._threshold = threshold
        self._overlap = overlap
        self._objectness = objectness

    def read(self, output: Floats, labels: tuple[str, ...], fit: Fit) -> list[Detection]:
        first = 5 if self._objectness else 4
        wide = first + len(labels)
        form = f"1x(places)x{wide}" if self._objectness else f"1x{wide}x(places)"
        if output.ndim != 3 or output.shape[0] != 1 or output.shape[2 if self._objectness else 1] != wide:
            raise OutputError(f"its output is {_shape(output)}, and {form} is expected of {len(labels)} labels")
        rows = output[0] if self._objectness else output[0].T
        _finite(rows)
        scores = rows[:, first:] * rows[:, 4:5] if self._objectness else rows[:, first:]
        classes = scores.argmax(axis=1)
        best = scores.max(axis=1)
        kept = np.flatnonzero(best >= max(self._threshold, 1e-6))
        if not kept.size:
            return []
        rows, classes, best = rows[kept], classes[kept], best[kept]
        corners = np.hstack((rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]))
        # Move boxes of different labels apart, so that only boxes of the same label overlap.
        apart = corners.copy()
        apart[:, :2] += classes[:, None] * (4.0 * fit.size)
        chosen = cv2.dnn.NMSBoxes(apart.tolist(), best.tolist(), 0.0, self._overlap)
        return [
            Detection(
                _label(labels, int(classes[index])),
                _part(best[index]),
                fit.box(*_edges(*map(float, corners[index]))),
            )
            for index in np.ravel(np.asarray(chosen, int))
        ]


def _yolov5(threshold: float, overlap: float) -> Reader:
    return Yolo(threshold, overlap, objectness=True)


def _yolov8(threshold: float, overlap: float) -> Reader:
    return Yolo(threshold, overlap, objectness=False)


#: The readers, by the value of the setting onnx_output.
READERS: dict[str, Callable[[float, float], Reader]] = {
    "classification": Classification,
    "ssd": Ssd,
    "yolov5": _yolov5,
    "yolov8": _yolov8,
    "yolov10": YoloV10,
}


def _edges(left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    return left, top, left + width, top + height


def _label(labels: tuple[str, ...], number: int) -> str:
    """The label of a class; its number if it has none, as the background of some models."""
    return (labels[number] if 0 <= number < len(labels) else "") or f"class {number}"


def _part(value: Any) -> float:
    return min(1.0, max(0.0, float(value)))


def _finite(values: Floats) -> None:
    if not np.isfinite(values).all():
        raise OutputError("its output has values that are not finite")


def _shape(output: Floats) -> str:
    return "x".join(map(str, output.shape))
