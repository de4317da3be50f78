"""JSON payloads: faults have distinct reasons, and no text raises anything but PayloadError."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from collectors.messaging.parsers.results import PayloadError

#: Longer integers exceed 64 bits in any case; Python converts no more than 4300 digits.
_MAX_DIGITS = 20
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_TRUNCATED_NUMBER = re.compile(r"(?:-|\.|[eE][-+]?)\Z")

#: A value in an object. A list cannot be a field, and is rejected where it would become one.
Value = float | bool | str | list[object] | None


class Object(dict[str, object]):
    """A JSON object, and a key that is duplicated in it, if there is one."""

    duplicate: str | None = None


def read_json(text: str) -> object:
    """Parse JSON into Object, list, str, bool, None, int or float. Accepts NaN and Infinity, which some devices send.

    Raises:
        PayloadError: the text is not JSON, is truncated, or is nested too deeply.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if _is_truncated(text, error):
            sentence = f"the JSON is truncated after {len(text)} characters"
            raise PayloadError("truncated_json", sentence) from None
        where = f"at character {error.pos + 1} of {len(text)}"
        raise PayloadError("not_json", f"the payload is not JSON: {error.msg} {where}") from None
    except RecursionError:
        raise PayloadError("too_deep", "the JSON is nested too deeply to be read") from None


def _object(pairs: list[tuple[str, object]]) -> Object:
    found = Object(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        found.duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return found


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


def flatten(found: Object, depth: int) -> Iterator[tuple[str, Value]]:
    """Each value with its name; values of nested objects have names joined with ``_``. Numbers become floats.

    Raises:
        PayloadError: the object is nested beyond *depth*, or a key is duplicated.
    """
    if found.duplicate is not None:
        raise PayloadError("duplicate_key", f"the key {found.duplicate[:80]!r} is duplicated in one object")
    for key, value in found.items():
        if isinstance(value, Object):
            if depth <= 0:
                raise PayloadError("too_deep", f"the object {key[:80]!r} is nested too deeply")
            for inner, each in flatten(value, depth - 1):
                yield f"{key}_{inner}", each
        elif value is None or isinstance(value, (bool, str, list)):
            yield key, value
        else:
            yield key, number(value)


def number(value: object) -> float:
    """A JSON number as a float. An integer too large for a float becomes infinite, which no field accepts.

    Raises:
        PayloadError: the value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PayloadError("wrong_type", f"{str(value)[:80]!r} is not a number")
    return float(value)
