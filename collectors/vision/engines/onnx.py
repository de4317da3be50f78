"""A model file in ONNX, run by OpenCV: classification or detection of objects, whatever the model was trained on."""

from __future__ import annotations

import os
import re

import cv2
import numpy as np

from collectors.core.api import Unavailable
from collectors.core.settings import Values
from collectors.vision import settings
from collectors.vision.engines import BadPicture, Detection, Failed, Wait, required
from collectors.vision.engines.outputs import READERS, Fit, Misread, Reader
from collectors.vision.engines.people import Pixels, decode


class Onnx:
    """A network, loaded and tried.

    Args:
        model: what it is called.
        net: the network.
        labels: the names of its classes.
        reader: makes detections of its output.
        size: width and height of its input.
        scale, mean: what a grey level is multiplied by, after the mean of red, green and blue is taken off.
    """

    def __init__(
        self,
        model: str,
        net: cv2.dnn.Net,
        labels: tuple[str, ...],
        reader: Reader,
        size: int,
        scale: float,
        mean: tuple[float, float, float],
    ) -> None:
        self.model = model
        self._net = net
        self._labels = labels
        self._reader = reader
        self._size = size
        self._scale = scale
        self._mean = mean

    @property
    def available(self) -> bool | None:
        return None

    def look(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """What the network finds in the picture."""
        del wait  # a picture takes about a second at most
        image = decode(jpeg, cv2.IMREAD_COLOR)
        try:
            return self.run(image)
        except (cv2.error, Misread) as error:
            raise Failed(f"the model {self.model} fails: {_reason(error)}") from None

    def run(self, image: Pixels) -> list[Detection]:
        """What the network finds in these pixels. Raises cv2.error, and Misread for an output of another form."""
        height, width = image.shape[:2]
        fit = Fit.stretched(self._size) if self._reader.stretched else Fit.letterboxed(width, height, self._size)
        if min(fit.width, fit.height) < 1:
            raise BadPicture(f"a picture of {width}x{height} is too long and narrow for the model")
        small = cv2.resize(image, (fit.width, fit.height), interpolation=cv2.INTER_AREA)
        canvas = np.full((self._size, self._size, 3), 114, np.uint8)
        canvas[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = small
        blob = cv2.dnn.blobFromImage(canvas, self._scale, mean=self._mean, swapRB=True)
        self._net.setInput(blob)
        outputs = self._net.forward(self._net.getUnconnectedOutLayersNames())
        return self._reader.read(np.asarray(outputs[0], np.float32), self._labels, fit)


def open_onnx(values: Values) -> Onnx:
    """The network that the settings name, which has looked at an empty picture once.

    Raises:
        Unavailable: the file is not there, is no model that OpenCV can run, or gives another output than expected.
    """
    path, labels_path = required(values, settings.ONNX_MODEL), required(values, settings.ONNX_LABELS)
    labels = _labels(labels_path)
    mean = _mean(values[settings.ONNX_MEAN])
    cv2.setNumThreads(1)
    if not os.path.isfile(path):
        raise Unavailable(f"there is no model file {path}")
    try:
        net = cv2.dnn.readNetFromONNX(path)
    except cv2.error as error:
        raise Unavailable(f"{path} is no ONNX model that OpenCV {cv2.__version__} can run: {_reason(error)}") from None
    output = values[settings.ONNX_OUTPUT]
    engine = Onnx(
        values[settings.MODEL] or os.path.splitext(os.path.basename(path))[0],
        net,
        labels,
        READERS[output](values[settings.THRESHOLD], values[settings.ONNX_OVERLAP]),
        values[settings.ONNX_SIZE],
        values[settings.ONNX_SCALE],
        mean,
    )
    side = values[settings.ONNX_SIZE]
    try:
        engine.run(np.zeros((side, side, 3), np.uint8))
    except Misread as error:
        raise Unavailable(f"{path} cannot be read as {output}: {error}; see the setting onnx_output") from None
    except cv2.error as error:
        raise Unavailable(
            f"{path} takes no picture of {side}x{side}: {_reason(error)}; see the setting onnx_size"
        ) from None
    return engine


def _labels(path: str) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            labels = tuple(line.strip() for line in file.read().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the labels in {path} cannot be read: {error}") from None
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not labels:
        raise Unavailable(f"{path} has no labels; it needs a line for each class of the model")
    return labels


def _mean(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise Unavailable(f"the setting onnx_mean is {text!r}; it must be three numbers with commas between") from None
    return red, green, blue


def _reason(error: Exception) -> str:
    """What an error of OpenCV says, on one line, without the places in its source that it names between."""
    text = re.sub(r"OpenCV\([^)]*\) \S+ error: |\(-\d+:[^)]*\) ?| ?in function '[^\n]*", "", str(error))
    return " ".join(text.replace(">", " ").split())[:200] or type(error).__name__
