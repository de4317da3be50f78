"""JSON payloads: errors have distinct reasons, and no text raises anything but PayloadError."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from collectors.messaging.parsers.results import PayloadError

#: Longer integers exceed 64 bits in any case; Python converts no more than 4300 digits.
_MAX_DIGITS = 20
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
#: A string, to skip it, or a notation of C, Arduino, Python or JavaScript that JSON lacks: a word in place of a number,
#: ``+1``, ``.5``, ``1.``, ``007``, ``True``, and a comma after the last value. Linear: no text is scanned twice.
_FOREIGN = re.compile(
    r'"(?:[^"\\]++|\\.?)*+"?'
    r"|(?<![\w.+-])[-+]?(?P<word>nan(?:\([^()\"]{0,32}+\))?|inf(?:inity)?|ovf|1\.#(?:INF|IND|[QS]?NAN))(?![\w.(])"
    r"|(?<![\w.+-])(?P<number>[-+]?(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?\d++)?+)(?=\s*+[,}\]])"
    r"|(?<![\w.+-])(?P<python>True|False|None)(?![\w.])"
    r"|(?P<comma>,)(?=\s*+[}\]])",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_PYTHON = {"True": "true", "False": "false", "None": "null"}
_SPACE = re.compile(r"[ \t\r\n]*+")
_TRUNCATED_NUMBER = re.compile(r"(?:-|\.|[eE][-+]?)\Z")

if TYPE_CHECKING:
    from collectors.messaging.parsers.message import Message

#: A value in an object. A list cannot be a field, and is rejected if it would become one.
Value = float | bool | str | list[object] | None


class Object(dict[str, object]):
    """A JSON object without duplicated keys that have different values; these are in :attr:`repeated`."""

    repeated: Mapping[str, list[object]] = MappingProxyType({})


def read_json(text: str) -> object:
    """Parse JSON into Object, list, str, bool, None, int or float.

    Accepts NaN and Infinity, the words that C, Arduino and MicroPython print for such numbers, and some notations of
    other languages.

    Raises:
        PayloadError: the text is not JSON, is truncated, or is nested too deeply.
    """
    return _read(text, _DECODER.decode)


def read_documents(text: str) -> object:
    """Parse JSON like :func:`read_json`; several consecutive documents, such as one per line, become a list."""
    return _read(text, _documents)


def _read(text: str, decode: Callable[[str], object]) -> object:
    try:
        try:
            return decode(text)
        except json.JSONDecodeError:
            spelled = _FOREIGN.sub(_as_json, text)
            if spelled == text:
                raise
            return decode(spelled)
    except json.JSONDecodeError as error:
        if _is_truncated(error.doc, error):
            sentence = f"the JSON is truncated after {len(text)} characters"
            raise PayloadError("truncated_json", sentence) from None
        where = f"at character {error.pos + 1} of {len(error.doc)}"
        raise PayloadError("not_json", f"the payload is not JSON: {error.msg} {where}") from None
    except RecursionError:
        raise PayloadError("too_deep", "the JSON is nested too deeply to be read") from None


def _documents(text: str) -> object:
    found: list[object] = []
    at = 0
    while True:
        document, end = _DECODER.raw_decode(text, at)
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing, too
        if not found and at == len(text):
            return document
        if not isinstance(document, Object):
            raise json.JSONDecodeError("Extra data", text, end)
        found.append(document)
        if at == len(text):
            return found
        if text[at] != "{":
            raise json.JSONDecodeError("Extra data", text, at)


def _as_json(found: re.Match[str]) -> str:
    """Convert a foreign notation to JSON, or to Python's JSON for a non-finite number; a string is unchanged."""
    text = found[0]
    if text.startswith('"'):
        return text
    if found["comma"]:
        return ""
    if found["python"]:
        return _PYTHON.get(text, text)
    if found["number"]:
        return _number(text)
    word = found["word"].lower()
    if word.startswith("nan") or ("#" in word and not word.endswith("inf")):
        return "NaN"
    return "-Infinity" if text.startswith("-") else "Infinity"


def _number(text: str) -> str:
    """A number with at least one digit on both sides of its point, and without leading zeros and plus sign."""
    sign = "-" if text.startswith("-") else ""
    mantissa, exponent, power = text.lstrip("+-").lower().partition("e")
    whole, point, fraction = mantissa.partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{point}{fraction or '0' if point else ''}{exponent}{power}"


def _object(pairs: list[tuple[str, object]]) -> Object:
    found = Object(pairs)
    if len(found) != len(pairs):
        values: dict[str, list[object]] = {}
        for key, value in pairs:
            values.setdefault(key, []).append(value)
        repeated = {key: each for key, each in values.items() if any(not _is_same(each[0], one) for one in each[1:])}
        for key in repeated:
            del found[key]
        found.repeated = repeated
    return found


def _is_same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other and not isinstance(one, (dict, list))


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole)


def _is_truncated(text: str, error: json.JSONDecodeError) -> bool:
    rest = text[error.pos :].rstrip()
    return (
        not rest
        or error.msg.startswith("Unterminated string")
        or any(literal.startswith(rest) for literal in _LITERALS)
        or _TRUNCATED_NUMBER.match(rest) is not None
        or (error.msg.startswith("Invalid \\uXXXX") and len(rest) < 6)
    )


def flatten(message: Message, found: Object, depth: int | None = None, prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Each value with its name; names of nested objects are joined with ``_``. Numbers become floats.

    A value that is nested too deeply, or has too long a name or a duplicated key, is rejected individually.
    """
    depth = message.bounds.depth if depth is None else depth
    for key in found.repeated:
        message.reject("duplicate_key", f"the key {prefix}{key[:80]} has several values in one object")
    for key, value in found.items():
        kind = type(value)
        if kind is float or kind is str or kind is bool or value is None or kind is list:
            yield prefix + key, value  # type: ignore[misc]  # the decoder makes no other types
        elif isinstance(value, Object):
            if depth <= 0:
                message.reject("too_deep", f"the object {prefix}{key[:80]} is nested too deeply")
            elif len(prefix) + len(key) >= message.bounds.name:
                message.reject("bad_name", f"the name {(prefix + key)[:80]!r}… is too long")
            else:
                yield from flatten(message, value, depth - 1, f"{prefix}{key}_")
        else:
            yield prefix + key, number(value)


def number(value: object) -> float:
    """A JSON number as a float. An integer too large for a float becomes infinite, which no field accepts.

    Raises:
        PayloadError: the value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PayloadError("wrong_type", f"{str(value)[:80]!r} is not a number")
    return float(value)
