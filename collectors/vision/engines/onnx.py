"""Detection by a model file in ONNX format, run by OpenCV: image classification or object detection."""

from __future__ import annotations

import os
import re

import cv2
import numpy as np

from collectors.core.api import Unavailable
from collectors.core.settings import Values
from collectors.vision import settings
from collectors.vision.engines import Detection, EngineError, InvalidImage, Wait, require_setting
from collectors.vision.engines.onnx_inputs import Input, inputs, with_sizes
from collectors.vision.engines.outputs import READERS, Fit, OutputError, Reader
from collectors.vision.engines.people import Pixels, decode


class OnnxEngine:
    """A loaded network.

    Args:
        model: its name.
        net: the network.
        labels: names of its classes.
        reader: reads detections from its output.
        size: width and height of its input, in pixels.
        scale, mean: factor for grey levels, after the mean of red, green and blue is subtracted.
        colours_last: whether its input has the colours as its last dimension, as TensorFlow has.
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
        *,
        colours_last: bool = False,
    ) -> None:
        self.model = model
        self._net = net
        self._labels = labels
        self._reader = reader
        self._size = size
        self._scale = scale
        self._mean = mean
        self._colours_last = colours_last

    @property
    def available(self) -> bool | None:
        return None

    def detect(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """The objects that the network detects."""
        del wait  # an image takes about a second at most
        image = decode(jpeg, cv2.IMREAD_COLOR)
        try:
            return self.run(image)
        except (cv2.error, OutputError) as error:
            raise EngineError(f"the model {self.model} fails: {_reason(error)}") from None

    def run(self, image: Pixels) -> list[Detection]:
        """The objects that the network detects in these pixels. Raises cv2.error and OutputError."""
        height, width = image.shape[:2]
        fit = Fit.stretched(self._size) if self._reader.stretched else Fit.letterboxed(width, height, self._size)
        if min(fit.width, fit.height) < 1:
            raise InvalidImage(f"an image of {width}x{height} is too narrow for the model")
        small = cv2.resize(image, (fit.width, fit.height), interpolation=cv2.INTER_AREA)
        canvas = np.full((self._size, self._size, 3), 114, np.uint8)
        canvas[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = small
        blob = cv2.dnn.blobFromImage(canvas, self._scale, mean=self._mean, swapRB=True)
        self._net.setInput(np.ascontiguousarray(blob.transpose(0, 2, 3, 1)) if self._colours_last else blob)
        outputs = self._net.forward(self._net.getUnconnectedOutLayersNames())
        return self._reader.read(np.asarray(outputs[0], np.float32), self._labels, fit)


def open_onnx(values: Values) -> OnnxEngine:
    """Load the configured network, and run it once on an empty image.

    Raises:
        Unavailable: the file is missing, OpenCV cannot run it, or its output has another format than configured.
    """
    path, labels_path = require_setting(values, settings.ONNX_MODEL), require_setting(values, settings.ONNX_LABELS)
    labels = _labels(labels_path)
    mean = _mean(values[settings.ONNX_MEAN])
    cv2.setNumThreads(1)
    if not os.path.isfile(path):
        raise Unavailable(f"there is no model file {path}")
    try:
        with open(path, "rb") as file:
            model = file.read()
    except OSError as error:
        raise Unavailable(f"the model file {path} cannot be read: {error.strerror}") from None
    side = values[settings.ONNX_SIZE]
    found = inputs(model)
    colours_last = _colours_last(path, found, side)
    try:
        net = _loaded(path, model, found, (1, side, side, 3) if colours_last else (1, 3, side, side))
    except cv2.error as error:
        raise Unavailable(
            f"{path} is not an ONNX model that OpenCV {cv2.__version__} can run: {_reason(error)}"
            f"{_open_sizes(path, found, side)}"
        ) from None
    output = values[settings.ONNX_OUTPUT]
    engine = OnnxEngine(
        values[settings.MODEL] or os.path.splitext(os.path.basename(path))[0],
        net,
        labels,
        READERS[output](values[settings.THRESHOLD], values[settings.ONNX_OVERLAP]),
        side,
        values[settings.ONNX_SCALE],
        mean,
        colours_last=colours_last,
    )
    try:
        engine.run(np.zeros((side, side, 3), np.uint8))
    except OutputError as error:
        raise Unavailable(f"{path} cannot be read as {output}: {error}; see the setting onnx_output") from None
    except cv2.error as error:
        raise Unavailable(
            f"{path} does not accept images of {side}x{side}: {_reason(error)}; see the setting onnx_size"
            f"{_open_sizes(path, found, side)}"
        ) from None
    return engine


def _loaded(path: str, model: bytes, found: tuple[Input, ...], sizes: tuple[int, ...]) -> cv2.dnn.Net:
    """The network, with fixed sizes if its only input has open ones: OpenCV cannot run many of those."""
    if len(found) != 1 or not found[0].open or len(found[0].sizes) != len(sizes):
        return cv2.dnn.readNetFromONNX(path)  # it may have weights in files next to it
    return cv2.dnn.readNetFromONNX(np.frombuffer(with_sizes(model, found[0].name, sizes), np.uint8))


def _colours_last(path: str, found: tuple[Input, ...], side: int) -> bool:
    """Whether the input has the colours last. Raises Unavailable for an input unsuitable for pictures of this size."""
    if len(found) != 1 or len(found[0].sizes) != 4:
        return False  # the run on an empty picture decides
    name, sizes = found[0]
    last = sizes[3] == 3 and sizes[1] != 3
    batch, height, width, colours = (sizes[0], *sizes[1:]) if last else (sizes[0], *sizes[2:], sizes[1])
    is_fixed = isinstance(height, int) and isinstance(width, int)
    if isinstance(colours, int) and colours != 3:
        problem, cure = f"it has {colours} channels instead of 3", "export the model for pictures in colour"
    elif isinstance(batch, int) and batch != 1:
        problem, cure = f"it takes {batch} pictures at once", "export the model with a batch of 1"
    elif is_fixed and height != width:
        problem, cure = "it is no square", "export the model with a square input"
    elif is_fixed and height != side:
        problem, cure = f"onnx_size is {side}", f"set onnx_size = {height}"
    else:
        return last
    raise Unavailable(f"the input {name} of {path} is {found[0].shape}: {problem}; {cure}")


def _open_sizes(path: str, found: tuple[Input, ...], side: int) -> str:
    """A remedy for a model with symbolic input sizes that OpenCV cannot run even with fixed ones."""
    first = next((each for each in found if each.open), None)
    if first is None:
        return ""
    return (
        f"; the sizes of its input {first.name} are open ({first.shape}): export it with fixed ones "
        f"(dynamic=False), or fix them with: onnxslim {path} fixed.onnx --input-shapes {first.name}:1,3,{side},{side}"
    )


def _labels(path: str) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            labels = tuple(line.strip() for line in file.read().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the labels in {path} cannot be read: {error}") from None
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not labels:
        raise Unavailable(f"{path} has no labels; it needs one line per class of the model")
    return labels


def _mean(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise Unavailable(f"the setting onnx_mean is {text!r}; it must be three numbers separated by commas") from None
    return red, green, blue


def _reason(error: Exception) -> str:
    """The message of an OpenCV error on one line, without source locations."""
    text = re.sub(r"OpenCV\([^)]*\) \S+ error: |\(-\d+:[^)]*\) ?| ?in function '[^\n]*", "", str(error))
    return " ".join(text.replace(">", " ").split())[:200] or type(error).__name__
