"""A metric, and InfluxDB line protocol in and out.

Line protocol cannot carry every text: a backslash directly before a special character, a leading
``#`` of a measurement, and control characters have no spelling that every parser reads back alike.
:func:`clean_name` and :func:`clean_string` say what is written in their place, so that one metric is
always exactly one line, and reading a line gives back what was written.

Format: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

FieldValue = float | int | bool | str

#: InfluxDB refuses a string field above this size (bytes of UTF-8).
MAX_STRING_BYTES = 64 * 1024

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_FLOAT_MAX = 1.7976931348623157e308

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE_BACKSLASH = re.compile(r'\\+(?=[,= "\x00-\x1f\x7f]|$)')
_NAME_SPECIAL = re.compile(r"([,= ])")
_MEASUREMENT_SPECIAL = re.compile(r"([, ])")
_NAME_ESCAPED = re.compile(r"\\([,= ])")
_STRING_NEWLINES = {"\n": "\\n", "\r": "\\r"}


class ParseError(ValueError):
    """A line is not line protocol; the message says what was expected and where."""


class Series:
    """One measurement with one set of tags; keeps its encoded prefix, so that a line costs only its fields.

    Raises ValueError when the measurement or a tag's key is empty. A tag with an empty value is left out,
    since line protocol has no spelling for it.
    """

    __slots__ = ("measurement", "prefix", "tags")

    def __init__(self, measurement: str, tags: Mapping[str, str] | None = None) -> None:
        measurement = clean_measurement(measurement)
        if not measurement:
            raise ValueError("a measurement needs a name, and got an empty one")
        cleaned: dict[str, str] = {}
        for key, value in (tags or {}).items():
            if not key:
                raise ValueError(f"measurement {measurement!r} has a tag without a key; its value is {value!r}")
            if value:
                cleaned[clean_name(key)] = clean_name(value)
        self.measurement = measurement
        self.tags: Mapping[str, str] = cleaned
        escaped = _MEASUREMENT_SPECIAL.sub(r"\\\1", measurement)
        pairs = "".join(f",{_escape(key)}={_escape(cleaned[key])}" for key in sorted(cleaned))
        self.prefix = f"{escaped}{pairs} "

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and self.prefix == other.prefix

    def __hash__(self) -> int:
        return hash(self.prefix)

    def __repr__(self) -> str:
        return f"Series({self.measurement!r}, {dict(self.tags)!r})"


class Metric:
    """A sample: the fields of one series at one time.

    Args:
        series: measurement and tags.
        fields: name to value; float, int (64 bit), bool or str.
        time_ns: nanoseconds since 1970-01-01 UTC, or None to let the receiver set it.
    """

    __slots__ = ("fields", "series", "time_ns")

    def __init__(self, series: Series, fields: Mapping[str, FieldValue], time_ns: int | None = None) -> None:
        self.series = series
        self.fields = fields
        self.time_ns = time_ns

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Metric)
            and self.series == other.series
            and dict(self.fields) == dict(other.fields)
            and self.time_ns == other.time_ns
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Metric({self.series!r}, {dict(self.fields)!r}, {self.time_ns!r})"


@lru_cache(maxsize=4096)
def clean_name(text: str) -> str:
    """The spelling of a tag key, tag value or field key that line protocol can carry.

    A control character becomes a space; a backslash before a special character or at the end, a slash.
    """
    return _CONTROL.sub(" ", _UNSAFE_BACKSLASH.sub(lambda run: "/" * len(run[0]), text))


def clean_measurement(text: str) -> str:
    """As :func:`clean_name`; and a leading ``#``, which would make the line a comment, becomes a slash."""
    cleaned = clean_name(text)
    return "/" + cleaned[1:] if cleaned.startswith("#") else cleaned


def clean_string(text: str) -> str:
    r"""The spelling of a string field that keeps its metric on one line: a line break becomes ``\n`` or ``\r``."""
    if "\n" in text or "\r" in text:
        for character, spelling in _STRING_NEWLINES.items():
            text = text.replace(character, spelling)
    return text


def _escape(name: str) -> str:
    return _NAME_SPECIAL.sub(r"\\\1", name)


@lru_cache(maxsize=4096)
def _field_key(key: str) -> str:
    return _escape(clean_name(key))


def _ignore(sentence: str) -> None:
    del sentence


def encode(metric: Metric, refuse: Callable[[str], None] = _ignore) -> str:
    """One line, without its line break; empty when no field is left.

    A value that InfluxDB cannot hold (NaN, infinite, an integer beyond 64 bits, a string above
    :data:`MAX_STRING_BYTES`, an unnamed field) is left out, and *refuse* is told in a sentence.
    """
    parts = []
    for key, value in metric.fields.items():
        kind = type(value)
        if kind is float:
            if -_FLOAT_MAX <= value <= _FLOAT_MAX:  # type: ignore[operator]  # the line above says it is a float
                parts.append(f"{_field_key(key)}={value!r}")
                continue
        elif kind is int:
            if _INT64_MIN <= value <= _INT64_MAX:  # type: ignore[operator]
                parts.append(f"{_field_key(key)}={value}i")
                continue
        elif kind is bool:
            parts.append(f"{_field_key(key)}={'true' if value else 'false'}")
            continue
        elif kind is str:
            text = clean_string(value)  # type: ignore[arg-type]
            if len(text.encode("utf-8", "replace")) <= MAX_STRING_BYTES:
                text = text.replace("\\", "\\\\").replace('"', '\\"')
                parts.append(f'{_field_key(key)}="{text}"')
                continue
            value = f"a string of {len(text)} characters"
        refuse(f"field {key!r} of {metric.series.measurement!r} left out: line protocol cannot carry {value}")
    if not parts:
        return ""
    fields = ",".join(parts)
    if metric.time_ns is None:
        return metric.series.prefix + fields
    return f"{metric.series.prefix}{fields} {metric.time_ns}"


# --- reading -------------------------------------------------------------------------------------

_NAME = r"(?:[^,= \\]|\\.)+"
_PAIR = re.compile(rf"({_NAME})=({_NAME})(,| |$)")
_MEASUREMENT = re.compile(r"((?:[^, \\]|\\.)+)(,| )")
_FIELD = re.compile(rf'({_NAME})=("(?:[^"\\]|\\.)*"|[^," ]+)(,| |$)', re.DOTALL)
_INTEGER = re.compile(r"[-+]?\d+i\Z")
_UNSIGNED = re.compile(r"\d+u\Z")
_FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z")
_BOOLEANS = {"t": True, "T": True, "true": True, "True": True, "TRUE": True} | {
    "f": False,
    "F": False,
    "false": False,
    "False": False,
    "FALSE": False,
}


def _unescape(name: str) -> str:
    return _NAME_ESCAPED.sub(r"\1", name) if "\\" in name else name


def _value(text: str) -> FieldValue:
    if text[0] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if "\\" in text else text[1:-1]
    if _FLOAT.match(text):
        return float(text)
    if _INTEGER.match(text) or _UNSIGNED.match(text):
        return int(text[:-1])
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise ParseError(
            f"{text!r} is no field value: expected a number, 12i, true, false or a quoted string"
        ) from None


def decode(line: str) -> Metric:
    """Read one line. Raises ParseError with the column where reading stopped."""
    line = line.strip("\r\n ")
    match = _MEASUREMENT.match(line)
    if match is None:
        raise ParseError(f"column 1: expected a measurement followed by tags or fields: {line[:80]!r}")
    measurement, end, position = match[1], match[2], match.end()
    tags: dict[str, str] = {}
    while end == ",":
        match = _PAIR.match(line, position)
        if match is None or match[3] == "":
            raise ParseError(f"column {position + 1}: expected tag=value: {line[position : position + 80]!r}")
        tags[_unescape(match[1])] = _unescape(match[2])
        end, position = match[3], match.end()
    fields: dict[str, FieldValue] = {}
    end = ","
    while end == ",":
        match = _FIELD.match(line, position)
        if match is None:
            raise ParseError(f"column {position + 1}: expected field=value: {line[position : position + 80]!r}")
        fields[_unescape(match[1])] = _value(match[2])
        end, position = match[3], match.end()
    stamp = line[position:].strip() if end == " " else ""
    try:
        time_ns = int(stamp) if stamp else None
    except ValueError:
        raise ParseError(f"column {position + 1}: expected a time in nanoseconds: {stamp[:80]!r}") from None
    return Metric(Series(_unescape(measurement), tags), fields, time_ns)


def decode_lines(text: str) -> Iterator[Metric]:
    """Read a batch: blank lines and ``#`` comments are passed over. Raises ParseError with the line's number."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            try:
                yield decode(line)
            except ParseError as error:
                raise ParseError(f"line {number}, {error}") from None
