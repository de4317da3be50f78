"""Tiny networks in ONNX, made by the tests: what they put out is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def save(path: Path, nodes: Sequence[Any], constants: dict[str, NDArray[Any]], side: int, shape: Sequence[int]) -> Path:
    """A network from ``input``, a picture of this side, to ``output`` of this shape."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(shape))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def brightness(path: Path, side: int = 16) -> Path:
    """Tells whether a picture is red, green or blue: the mean of each of the three is the score of its class."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["output"]),
    ]
    return save(path, nodes, {}, side, [1, 3])


#: Networks that make something of the size of their input, which OpenCV runs only with fixed sizes.
READS_ITS_SIZE = ("as it is", "resized to its size", "shaped by its batch")


def open_mean(path: Path, sizes: Sequence[int | str], way: str) -> Path:
    """The mean of each colour of ``images``, an input of these sizes; a name is an open size, and ``?`` has no name."""
    node = helper.make_node
    constants = {"zero": np.array([0]), "three": np.array([3]), "rest": np.array([-1])}
    ways = {
        "as it is": [node("Identity", ["images"], ["picture"])],
        "colours last": [node("Transpose", ["images"], ["picture"], perm=[0, 3, 1, 2])],
        "resized to its size": [
            node("MaxPool", ["images"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Shape", ["images"], ["sizes"]),
            node("Resize", ["small", "", "", "sizes"], ["picture"], mode="nearest"),
        ],
        "shaped by its batch": [
            node("Shape", ["images"], ["sizes"]),
            node("Gather", ["sizes", "zero"], ["batch"], axis=0),
            node("Concat", ["batch", "three", "rest", "one"], ["shape"], axis=0),
            node("Reshape", ["images", "shape"], ["picture"]),
        ],
    }
    constants["one"] = np.array([1])
    nodes = [*ways[way], node("GlobalAveragePool", ["picture"], ["mean"]), node("Flatten", ["mean"], ["output"])]
    given = [None if each == "?" else each for each in sizes]
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [given[0], 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def of_any_size(path: Path) -> Path:
    """Makes a row for each place of its input, as YOLO's exports do; its sizes are left open.

    OpenCV does not run this with fixed sizes either, since they are the result of a multiplication.
    """
    constants = {"two": np.array(2), "three": np.array(3), "one": np.array([1]), "axis": np.array([0])}
    nodes = [
        helper.make_node("Shape", ["images"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "two"], ["height"], axis=0),
        helper.make_node("Gather", ["sizes", "three"], ["width"], axis=0),
        helper.make_node("Mul", ["height", "width"], ["places"]),
        helper.make_node("Unsqueeze", ["places", "axis"], ["rows"]),
        helper.make_node("Concat", ["rows", "one"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["output"]),
    ]
    sizes: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["places", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def fixed(path: Path, output: NDArray[np.float32], side: int = 16) -> Path:
    """Puts out the same, whatever it sees."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["row"], transB=1),
        helper.make_node("Reshape", ["row", "shape"], ["output"]),
    ]
    values = output.astype(np.float32).reshape(1, -1)
    constants: dict[str, NDArray[Any]] = {
        "weights": np.zeros((values.size, 3), np.float32),
        "bias": values.ravel(),
        "shape": np.array(output.shape, np.int64),
    }
    return save(path, nodes, constants, side, output.shape)
