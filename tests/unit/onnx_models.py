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


def of_any_size(path: Path) -> Path:
    """Adds a plane of the size of its input, as detectors do; its sizes are left open."""
    nodes = [
        helper.make_node("Shape", ["images"], ["sizes"]),
        helper.make_node("ConstantOfShape", ["sizes"], ["plane"]),
        helper.make_node("Add", ["plane", "images"], ["output"]),
    ]
    sizes: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, sizes)],
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
