"""The inputs of a model file in ONNX format, and their sizes, which an export may leave open.

Parses and modifies only these parts of the file (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), so that the
package ``onnx`` is not needed on a Pi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

#: Field numbers on the path from a model to the sizes of its inputs.
_GRAPH, _INITIALIZER, _INPUT = 7, 5, 11
_NAME, _TYPE = 1, 2
_TENSOR_NAME = 8
_TENSOR_TYPE, _SHAPE, _DIMENSION = 1, 2, 1
_SIZE, _SIZE_NAME = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Input(NamedTuple):
    """An input of a model.

    Args:
        name: of the input.
        sizes: numbers, or names of those that were left open.
    """

    name: str
    sizes: tuple[int | str, ...]

    @property
    def open(self) -> bool:
        """Whether a size was left open."""
        return not all(isinstance(each, int) for each in self.sizes)

    @property
    def shape(self) -> str:
        """The sizes as a text."""
        return " x ".join(map(str, self.sizes))


def inputs(model: bytes) -> tuple[Input, ...]:
    """The inputs of a model, without its weights; none for another file."""
    try:
        return tuple(_inputs(memoryview(model)))
    except (IndexError, ValueError):
        return ()


def with_sizes(model: bytes, name: str, sizes: Sequence[int]) -> bytes:
    """The model with these sizes of one input.

    Args:
        model: a model that has this input.
        name: of the input.
        sizes: one for each of its dimensions.
    """
    shape = b"".join(_part(_DIMENSION, b"\x08" + _number(size)) for size in sizes)

    def changed(given: memoryview) -> bytes:
        if _text(given, _NAME) != name:
            return bytes(given)
        return _replaced(given, (_TYPE, _TENSOR_TYPE, _SHAPE), lambda _: shape)

    return _replaced(memoryview(model), (_GRAPH, _INPUT), changed)


def _inputs(model: memoryview) -> Iterator[Input]:
    for graph in _messages(model, _GRAPH):
        # Old models list their weights as inputs as well.
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
            if name not in weights:
                yield Input(name, sizes)


def _size(dimension: memoryview) -> int | str:
    for number, value, _ in _fields(dimension):
        if number == _SIZE and isinstance(value, int) and 0 < value < 1 << 31:
            return value
        if number == _SIZE_NAME and isinstance(value, memoryview):
            # Names are shown to users.
            return bytes(value[:40]).decode("ascii", "replace") or "?"
    return "?"


def _text(message: memoryview, number: int) -> str:
    return "".join(bytes(each).decode("utf-8", "replace") for each in _messages(message, number))


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    return (value for found, value, _ in _fields(message) if found == number and isinstance(value, memoryview))


def _replaced(message: memoryview, way: tuple[int, ...], change: Callable[[memoryview], bytes]) -> bytes:
    """The message with changed content at a path of field numbers; the rest is unchanged."""
    parts: list[bytes | memoryview] = []
    for number, value, whole in _fields(message):
        if number == way[0] and isinstance(value, memoryview):
            content = change(value) if len(way) == 1 else _replaced(value, way[1:], change)
            parts.append(_part(number, content))
        else:
            parts.append(whole)
    return b"".join(parts)


def _part(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """A number as a varint."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
    """The fields of a message in the wire format of protocol buffers: number, value or content, and all its bytes."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value, message[begin:at]
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("this is no protocol buffer")
        if length > len(message) - at:
            raise ValueError("the message is cut off")
        yield number, message[at : at + length], message[begin : at + length]
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
