"""Parse InfluxDB line protocol into metrics.

Names end as in Telegraf's parser (plugins/parsers/influx/machine.go.rl): in measurements and field keys a backslash
escapes any next character; in tags a backslash before another one is literal, and the second one can start an escape.
Numbers, times and blanks are accepted and rejected as by Telegraf, too. In a string, a backslash before any character
other than itself or a quote is literal, as in InfluxDB and in the specification; Telegraf rejects such a line.

Format: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from collectors.core.line_protocol import FieldValue, Metric, Series

#: Maximum number of heads of lines cached with their series, and the maximum length of each.
_MAX_CACHED, _MAX_CACHED_HEAD = 4096, 1024

_INT64_MIN, _INT64_MAX, _UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1

_MEASUREMENT_ESCAPED = re.compile(r"\\([, ])")
_NAME_ESCAPED = re.compile(r"\\([,= ])")

# Alternatives begin with different characters and repetitions are possessive: the time is linear in the length.
_SPACE = r"[ \t\v\f]++"
_TAG_TEXT = r"(?:[^,= \\\t\n\v\f\r]++|\\(?!\\)[^\t\n\v\f\r]|\\(?=\\))++"
_KEY_TEXT = r"(?:[^,= \\\t\n\v\f\r]++|\\[^\t\n\v\f\r])++"
_HEAD_MEASUREMENT = r"(?!#)(?:[^, \\\t\n\v\f\r]++|\\[^\t\n\v\f\r])++"
_HEAD = re.compile(rf"({_HEAD_MEASUREMENT}(?:,(?:[^ \\\t\n\v\f\r]++|\\(?!\\)[^\t\n\v\f\r]|\\(?=\\))*+)?+){_SPACE}")
_MEASUREMENT = re.compile(rf"({_HEAD_MEASUREMENT})(,|$)")
_PAIR = re.compile(rf"({_TAG_TEXT})=({_TAG_TEXT})(,|$)")
_FIELD = re.compile(rf'({_KEY_TEXT})=("(?:[^"\\\n]++|\\.)*+"|[^,"\s]++)(,|{_SPACE}|$)')
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})i\Z")
_UNSIGNED = re.compile(r"(?:0|[1-9][0-9]{0,19})u\Z")
_FLOAT = re.compile(r"-?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?\Z")
_TIME = re.compile(r"-?[0-9]{1,19}\Z")
_BOOLEANS = {"t": True, "T": True, "true": True, "True": True, "TRUE": True} | {
    "f": False,
    "F": False,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER_START, _NUMBER_END = frozenset("0123456789.-"), frozenset("0123456789.")


class ParseError(ValueError):
    """A line is not line protocol; the message gives the column and the expected form."""


def _unescape(name: str) -> str:
    return _NAME_ESCAPED.sub(r"\1", name) if "\\" in name else name


def _value(text: str) -> FieldValue:
    if text[0] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if "\\" in text else text[1:-1]
    if _FLOAT.match(text):
        number = float(text)
        if number - number == 0.0:  # a literal such as 1e400 becomes infinite
            return number
    elif _INTEGER.match(text) or _UNSIGNED.match(text):
        whole = int(text[:-1])
        if _INT64_MIN <= whole <= (_INT64_MAX if text[-1] == "i" else _UINT64_MAX):
            return whole
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise ParseError(
            f"{text[:80]!r} is no field value: expected a number of 64 bits, 12i, true, false or a quoted string"
        ) from None


def _series(head: str) -> Series:
    return _cached_series(head) if len(head) <= _MAX_CACHED_HEAD else _read_series(head)


def _read_series(head: str) -> Series:
    """The series at the head of a line. Raises ParseError with the column."""
    match = _MEASUREMENT.match(head)
    if match is None:
        raise ParseError(f"column 1: expected a measurement followed by tags or fields: {head[:80]!r}")
    measurement, end, position = match[1], match[2], match.end()
    tags: dict[str, str] = {}
    while end == ",":
        match = _PAIR.match(head, position)
        if match is None:
            raise ParseError(f"column {position + 1}: expected tag=value: {head[position : position + 80]!r}")
        tags[_unescape(match[1])] = _unescape(match[2])
        end, position = match[3], match.end()
    try:
        return Series(_MEASUREMENT_ESCAPED.sub(r"\1", measurement), tags)
    except ValueError as error:
        raise ParseError(f"column 1: {error}") from None


_cached_series = lru_cache(maxsize=_MAX_CACHED)(_read_series)


def decode(line: str) -> Metric:
    """Parse one line. Raises ParseError with the column of the error."""
    line = line.strip("\r\n \t\v\f")
    return _decode_plain(line) or _decode_any(line)


def _decode_plain(line: str) -> Metric | None:
    """Parse a line of ASCII numbers without quotes and escapes, the common case; None for all others."""
    if '"' in line or "\\" in line or not line.isascii():
        return None
    head, _, rest = line.partition(" ")
    pairs, _, stamp = rest.partition(" ")
    if stamp and not stamp.isdigit():
        return None
    fields: dict[str, FieldValue] = {}
    for pair in pairs.split(","):
        key, _, text = pair.partition("=")
        if not key or not text or not key.isprintable():
            return None
        last = text[-1]
        if last in _NUMBER_END:
            if text[0] not in _NUMBER_START or "_" in text:
                return None
            try:
                number = float(text)
            except ValueError:
                return None
            if number - number != 0.0:
                return None
            fields[key] = number
        elif last == "i" and text[0] in "123456789" and text[:-1].isdigit() and len(text) < 20:
            fields[key] = int(text[:-1])
        elif text in _BOOLEANS:
            fields[key] = _BOOLEANS[text]
        else:
            return None
    if (
        len(stamp) > 19
        or (len(stamp) > 18 and int(stamp) > _INT64_MAX)
        or head.startswith("#")
        or not head.isprintable()
    ):
        return None
    try:
        return Metric(_series(head), fields, int(stamp) if stamp else None)
    except ParseError:
        return None


def _decode_any(line: str) -> Metric:
    match = _HEAD.match(line)
    if match is None:
        raise ParseError(f"column 1: expected a measurement followed by tags or fields: {line[:80]!r}")
    series, position = _series(match[1]), match.end()
    fields: dict[str, FieldValue] = {}
    end = ","
    while end == ",":
        match = _FIELD.match(line, position)
        if match is None:
            raise ParseError(f"column {position + 1}: expected field=value: {line[position : position + 80]!r}")
        fields[_unescape(match[1])] = _value(match[2])
        end, position = match[3], match.end()
    stamp = line[position:]
    if stamp and not (_TIME.match(stamp) and _INT64_MIN <= int(stamp) <= _INT64_MAX):
        raise ParseError(f"column {position + 1}: expected a time in nanoseconds: {stamp[:80]!r}")
    return Metric(series, fields, int(stamp) if stamp else None)


def decode_lines(text: str) -> Iterator[Metric]:
    """Parse a batch; blank lines and ``#`` comments are skipped. Raises ParseError with the line's number."""
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip()
        if content and not content.startswith("#"):
            try:
                yield decode(line)
            except ParseError as error:
                raise ParseError(f"line {number}, {error}") from None
