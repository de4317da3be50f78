"""Decodes one value in Go's gob encoding, with the type definitions before it.

Format: https://pkg.go.dev/encoding/gob and, for interface values, ``decodeInterface`` in ``encoding/gob/decode.go``.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

_BOOL, _INT, _UINT, _FLOAT, _BYTES, _STRING, _INTERFACE = 1, 2, 3, 4, 5, 6, 8

#: Maximum depth of nested values; a point of Telegraf has 5.
_MAX_DEPTH = 16


class BadGob(ValueError):
    """The bytes are not a valid gob."""


class _Struct(NamedTuple):
    fields: tuple[tuple[str, int], ...]


class _Slice(NamedTuple):
    element: int


class _Map(NamedTuple):
    key: int
    element: int


class _Opaque(NamedTuple):
    """A type with a custom encoding; its value stays bytes."""


_Type = _Struct | _Slice | _Map | _Opaque

# The definition of a type is itself a gob, of predefined types.
_COMMON, _ARRAY_TYPE, _SLICE_TYPE, _STRUCT_TYPE, _FIELD, _FIELDS, _MAP_TYPE, _OPAQUE_TYPE, _WIRE_TYPE = range(-9, 0)
_KNOWN: dict[int, _Type] = {
    _COMMON: _Struct((("name", _STRING), ("id", _INT))),
    _ARRAY_TYPE: _Struct((("common", _COMMON), ("element", _INT), ("length", _INT))),
    _SLICE_TYPE: _Struct((("common", _COMMON), ("element", _INT))),
    _STRUCT_TYPE: _Struct((("common", _COMMON), ("fields", _FIELDS))),
    _FIELD: _Struct((("name", _STRING), ("id", _INT))),
    _FIELDS: _Slice(_FIELD),
    _MAP_TYPE: _Struct((("common", _COMMON), ("key", _INT), ("element", _INT))),
    _OPAQUE_TYPE: _Struct((("common", _COMMON),)),
    _WIRE_TYPE: _Struct(
        (
            ("array", _ARRAY_TYPE),
            ("slice", _SLICE_TYPE),
            ("struct", _STRUCT_TYPE),
            ("map", _MAP_TYPE),
            ("gob", _OPAQUE_TYPE),
            ("binary", _OPAQUE_TYPE),
            ("text", _OPAQUE_TYPE),
        )
    ),
}


def decode(data: bytes) -> Any:
    """The value: a struct is a dict of its non-zero fields, an interface is its value.

    Raises:
        BadGob: the bytes are damaged, or contain more than one value.
    """
    try:
        reader = _Reader(data)
        value = reader.value()
    except (IndexError, KeyError, UnicodeDecodeError, TypeError) as error:
        raise BadGob(f"{type(error).__name__}: {error}") from None
    if not reader.at_end:
        raise BadGob("bytes follow the value")
    return value


class _Reader:
    """A position in a stream of messages. A message is its length followed by that many bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = self._end = 0
        self._types = dict(_KNOWN)

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def value(self) -> Any:
        kind = self._type(in_interface=False)
        if not isinstance(self._types.get(kind), _Struct):
            self._zero()
        return self._read(kind, 0)

    def _type(self, *, in_interface: bool) -> int:
        """The type of the next value, after the definitions before it."""
        while True:
            if self._at == self._end:
                self._end = len(self._data)
                length = self._uint()
                self._end = self._at + length
                if not length or self._end > len(self._data):
                    raise BadGob("a message is longer than the data")
            kind = self._int()
            if kind >= 0:
                return kind
            self._define(-kind)
            if self._at < self._end:
                if not in_interface:
                    raise BadGob("bytes follow a type")
                self._uint()  # the length of the rest

    def _define(self, kind: int) -> None:
        wire = self._read(_WIRE_TYPE, 0)
        if kind in self._types or len(wire) != 1:
            raise BadGob("a type is not defined once")
        ((form, found),) = wire.items()
        if form == "struct":
            fields = found.get("fields", [])
            self._types[kind] = _Struct(tuple((field["name"], field["id"]) for field in fields))
        elif form in ("slice", "array"):
            self._types[kind] = _Slice(found["element"])
        elif form == "map":
            self._types[kind] = _Map(found["key"], found["element"])
        else:
            self._types[kind] = _Opaque()

    def _read(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise BadGob("values are nested too deep")
        if kind == _BOOL:
            return self._uint() != 0
        if kind == _INT:
            return self._int()
        if kind == _UINT:
            return self._uint()
        if kind == _FLOAT:
            return struct.unpack("<d", self._uint().to_bytes(8, "big"))[0]
        if kind == _BYTES:
            return self._bytes()
        if kind == _STRING:
            return self._bytes().decode()
        if kind == _INTERFACE:
            return self._interface(depth)
        found = self._types[kind]
        if isinstance(found, _Struct):
            return self._struct(found, depth)
        if isinstance(found, _Slice):
            return [self._read(found.element, depth + 1) for _ in range(self._count())]
        if isinstance(found, _Map):
            pairs = range(self._count())
            return {self._read(found.key, depth + 1): self._read(found.element, depth + 1) for _ in pairs}
        return self._bytes()

    def _struct(self, found: _Struct, depth: int) -> dict[str, Any]:
        values = {}
        place = -1
        while step := self._uint():
            place += step
            name, kind = found.fields[place]
            values[name] = self._read(kind, depth + 1)
        return values

    def _interface(self, depth: int) -> Any:
        if not self._bytes():  # the name of the concrete type
            return None
        kind = self._type(in_interface=True)
        length = self._uint()
        begin = self._at
        if not isinstance(self._types.get(kind), _Struct):
            self._zero()
        value = self._read(kind, depth + 1)
        if self._at - begin != length:
            raise BadGob("an interface has another length")
        return value

    def _zero(self) -> None:
        if self._uint() != 0:
            raise BadGob("a value does not begin with 0")

    def _count(self) -> int:
        count = self._uint()
        if count > self._end - self._at:
            raise BadGob("there are fewer elements than stated")
        return count

    def _bytes(self) -> bytes:
        length = self._uint()
        begin, self._at = self._at, self._at + length
        if self._at > self._end:
            raise BadGob("a text is longer than its message")
        return self._data[begin : self._at]

    def _int(self) -> int:
        number = self._uint()
        return ~(number >> 1) if number & 1 else number >> 1

    def _uint(self) -> int:
        first = self._data[self._at]
        self._at += 1
        if first >= 0x80:
            width = 256 - first
            if width > 8:
                raise BadGob("a number is too long")
            begin, self._at = self._at, self._at + width
            first = int.from_bytes(self._data[begin : self._at], "big")
        if self._at > self._end:
            raise BadGob("a number is longer than its message")
        return first
