"""JSON as a message brings it: what is wrong with it is told apart, and no text can raise anything but Unfit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from collectors.messaging.parsers.outcome import Unfit

#: An integer of more digits than this is beyond 64 bits in any case; Python's own conversion ends at 4300.
_DIGITS_MOST = 20
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_NUMBER_BROKEN_OFF = re.compile(r"(?:-|\.|[eE][-+]?)\Z")

#: What a name in an object stands for; a list cannot be a field, and is refused where it would become one.
Value = float | bool | str | list[object] | None


class Object(dict[str, object]):
    """A JSON object, and the key that came twice in it, if one did."""

    twice: str | None = None


def read_json(text: str) -> object:
    """What the text says: Object, list, str, bool, None, int or float; NaN and Infinity, too, since some send them.

    Raises:
        Unfit: it is no JSON, breaks off, or is nested beyond what can be read.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if _breaks_off(text, error):
            sentence = f"the JSON ends before it is complete, after {len(text)} characters"
            raise Unfit("truncated_json", sentence) from None
        where = f"at character {error.pos + 1} of {len(text)}"
        raise Unfit("not_json", f"this is no JSON: {error.msg} {where}") from None
    except RecursionError:
        raise Unfit("too_deep", "the JSON is nested too deeply to be read") from None


def _object(pairs: list[tuple[str, object]]) -> Object:
    found = Object(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        found.twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return found


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _DIGITS_MOST else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole)


def _breaks_off(text: str, error: json.JSONDecodeError) -> bool:
    rest = text[error.pos :].rstrip()
    return (
        not rest
        or error.msg.startswith("Unterminated string")
        or any(literal.startswith(rest) for literal in _LITERALS)
        or _NUMBER_BROKEN_OFF.match(rest) is not None
        or (error.msg.startswith("Invalid \\uXXXX") and len(rest) < 6)
    )


def flatten(found: Object, depth: int) -> Iterator[tuple[str, Value]]:
    """Each value with its name, where the name of an object within is put before with ``_``; numbers are floats.

    Raises:
        Unfit: it is nested beyond the depth, or a key comes twice.
    """
    if found.twice is not None:
        raise Unfit("duplicate_key", f"the key {found.twice[:80]!r} comes twice in one object")
    for key, value in found.items():
        if isinstance(value, Object):
            if depth <= 0:
                raise Unfit("too_deep", f"the object {key[:80]!r} is nested too deeply")
            for inner, each in flatten(value, depth - 1):
                yield f"{key}_{inner}", each
        elif value is None or isinstance(value, (bool, str, list)):
            yield key, value
        else:
            yield key, number(value)


def number(value: object) -> float:
    """A JSON number as a float. An integer beyond what a float holds is infinite, which no field can be.

    Raises:
        Unfit: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit("wrong_type", f"{str(value)[:80]!r} is no number")
    return float(value)
