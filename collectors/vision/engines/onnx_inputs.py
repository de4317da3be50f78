"""The inputs of a model file in ONNX format whose sizes were left open at its export.

Reads no more of the file than that (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), so that the package
``onnx`` is not needed on a Pi.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: Numbers of the fields on the way from a model to the sizes of its inputs.
_GRAPH, _INITIALIZER, _INPUT = 7, 5, 11
_NAME, _TYPE = 1, 2
_TENSOR_NAME = 8
_TENSOR_TYPE, _SHAPE, _DIMENSION = 1, 2, 1
_SIZE, _SIZE_NAME = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class OpenInput(NamedTuple):
    """An input with at least one size that is a name.

    Args:
        name: of the input.
        sizes: numbers, or names of those that were left open.
    """

    name: str
    sizes: tuple[str, ...]


def open_inputs(model: bytes) -> tuple[OpenInput, ...]:
    """The inputs with open sizes; none for another file."""
    try:
        return tuple(_open_inputs(memoryview(model)))
    except (IndexError, ValueError):
        return ()


def _open_inputs(model: memoryview) -> Iterator[OpenInput]:
    for graph in _messages(model, _GRAPH):
        # Old models list their weights as inputs, too.
        weights = {_text(tensor, _TENSOR_NAME) for tensor in _messages(graph, _INITIALIZER)}
        for given in _messages(graph, _INPUT):
            name = _text(given, _NAME)
            sizes = tuple(
                _size(dimension)
                for kind in _messages(given, _TYPE)
                for tensor in _messages(kind, _TENSOR_TYPE)
                for shape in _messages(tensor, _SHAPE)
                for dimension in _messages(shape, _DIMENSION)
            )
            if name not in weights and not all(each.isdigit() for each in sizes):
                yield OpenInput(name, sizes)


def _size(dimension: memoryview) -> str:
    for number, value in _fields(dimension):
        if number == _SIZE and isinstance(value, int):
            return str(value)
        if number == _SIZE_NAME and isinstance(value, memoryview):
            return bytes(value).decode("utf-8", "replace")
    return "?"


def _text(message: memoryview, number: int) -> str:
    return "".join(bytes(each).decode("utf-8", "replace") for each in _messages(message, number))


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    return (value for found, value in _fields(message) if found == number and isinstance(value, memoryview))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message in the wire format of protocol buffers: number, and value or content."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("this is no protocol buffer")
        if length > len(message) - at:
            raise ValueError("the message is cut off")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
