"""Metrics, and their encoding in InfluxDB line protocol.

The parser is in :mod:`collectors.core.line_protocol_parser`: a collector only writes, and a one-shot run need not
compile the parser's patterns.

Line protocol cannot represent every text: a backslash directly before a special character, a leading ``#`` of a
measurement, control characters and unpaired surrogates have no form that all parsers read alike. :func:`clean_name` and
:func:`clean_string` replace them, so that a metric is always exactly one line, and parsing the line returns the same
metric.

Format: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

FieldValue = float | int | bool | str

#: InfluxDB rejects a string field above this size (bytes of UTF-8).
MAX_STRING_BYTES = 64 * 1024

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

#: InfluxDB reserves the two lowest values and the highest of 64 bits: the years 1677 to 2262 remain.
MIN_TIME_NS, MAX_TIME_NS = _INT64_MIN + 2, _INT64_MAX - 1

#: InfluxDB rejects a series key with field name above 64 KiB; this limits each to half of it.
MAX_NAME_BYTES = 32 * 1024 - 1

#: Names that InfluxDB reserves, and rejects as a tag or as a field.
RESERVED_TAGS, RESERVED_FIELDS = frozenset(("time", "_field", "_measurement")), frozenset(("time",))

#: Maximum number of cached names and series; a machine has some hundred.
_MAX_CACHED = 4096

#: Patterns are compiled on first use, which is rare: together they take longer than a whole batch.
_SURROGATE = r"[\ud800-\udfff]"
_UNSAFE_BACKSLASH = r'\\+(?=[,= "\x00-\x1f\x7f]|$)'
_UNSAFE_IN_MEASUREMENT = r"\\+(?=[, \x00-\x1f\x7f]|$)"

_CONTROL_TO_SPACE = dict.fromkeys((*range(0x20), 0x7F), " ")
_STRING_NEWLINES = {"\n": "\\n", "\r": "\\r"}


class Series:
    """One measurement with one set of tags; caches its encoded prefix, so that a line costs only its fields.

    Raises ValueError if the measurement or a tag key is empty, if a tag key is one of :data:`RESERVED_TAGS`, or if the
    whole is above :data:`MAX_NAME_BYTES`: one such point makes InfluxDB reject the whole batch. A tag with an empty
    value is left out, because line protocol cannot represent it.
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
            if key in RESERVED_TAGS:
                raise ValueError(
                    f"measurement {measurement!r} has a tag {key!r}, a name that InfluxDB keeps for itself"
                )
            if value:
                cleaned[clean_name(key)] = clean_name(value)
        self.measurement = measurement
        self.tags: Mapping[str, str] = cleaned
        escaped = measurement.replace(",", "\\,").replace(" ", "\\ ")
        pairs = "".join(f",{_escape(key)}={_escape(cleaned[key])}" for key in sorted(cleaned))
        self.prefix = f"{escaped}{pairs} "
        if _is_too_long(self.prefix):
            raise ValueError(f"measurement {measurement[:80]!r} with its tags is above {MAX_NAME_BYTES} bytes")

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
        time_ns: nanoseconds since 1970-01-01 UTC, or None: the receiver sets it.
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


@lru_cache(maxsize=_MAX_CACHED)
def clean_name(text: str) -> str:
    """Replace what line protocol cannot represent in a tag key, tag value or field key.

    A control character becomes a space; a backslash before a special character or at the end becomes a slash; an
    unpaired surrogate, which UTF-8 does not have, becomes U+FFFD.
    """
    return _clean(text, _UNSAFE_BACKSLASH)


def clean_measurement(text: str) -> str:
    """Like :func:`clean_name`, for a measurement: only comma and space are special.

    A leading ``#``, which would make the line a comment, becomes a slash.
    """
    cleaned = _clean(text, _UNSAFE_IN_MEASUREMENT)
    return "/" + cleaned[1:] if cleaned.startswith("#") else cleaned


def _clean(text: str, unsafe: str) -> str:
    if not text.isascii():
        text = re.sub(_SURROGATE, "\ufffd", text)
    if "\\" in text:
        text = re.sub(unsafe, lambda run: "/" * len(run[0]), text)
    return text if text.isprintable() else text.translate(_CONTROL_TO_SPACE)


def clean_string(text: str) -> str:
    r"""Escape line breaks in a string field, so that its metric stays on one line.

    A line break becomes ``\n`` or ``\r``; an unpaired surrogate, which UTF-8 does not have, becomes U+FFFD.
    """
    if "\n" in text or "\r" in text:
        for character, spelling in _STRING_NEWLINES.items():
            text = text.replace(character, spelling)
    return text if text.isascii() else re.sub(_SURROGATE, "\ufffd", text)


def _escape(name: str) -> str:
    return name.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def _is_too_long(name: str) -> bool:
    # A character has at most four bytes, so only a long text needs to be counted.
    return len(name) > MAX_NAME_BYTES // 4 and len(name.encode()) > MAX_NAME_BYTES


class _FieldKeys(dict[str, str]):
    """Encoded field keys: a comma, the key, and an equals sign.

    Raises ValueError, with the cause, for a name that line protocol cannot represent unchanged.
    """

    def __missing__(self, key: str) -> str:
        if not key:
            raise ValueError("it has no name")
        if key in RESERVED_FIELDS:
            raise ValueError("InfluxDB keeps that name for itself")
        if key != clean_name(key):
            raise ValueError("line protocol cannot carry its name")
        spelled = f",{_escape(key)}="
        if _is_too_long(spelled):
            raise ValueError(f"its name is above {MAX_NAME_BYTES} bytes")
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[key] = spelled
        return spelled


_FIELD_KEYS = _FieldKeys()


def _ignore(sentence: str) -> None:
    del sentence


def encode(metric: Metric, refuse: Callable[[str], None] = _ignore) -> str:
    """Encode a metric as one line, without its line break; empty if no field remains.

    A field is dropped, and *refuse* receives a sentence, if InfluxDB cannot store its value (NaN, infinite, an integer
    beyond 64 bits, a string above :data:`MAX_STRING_BYTES`, another type) or rejects its name (empty, one of
    :data:`RESERVED_FIELDS`, one above :data:`MAX_NAME_BYTES`, one that equals another field's after cleaning). A time
    beyond :data:`MIN_TIME_NS` and :data:`MAX_TIME_NS` drops the metric: without its time it would get the current one.
    """
    line = ""
    for key, value in metric.fields.items():
        try:
            # The common case: a finite float, because infinity and NaN give NaN here.
            if type(value) is float and value - value == 0.0:
                line = f"{line}{_FIELD_KEYS[key]}{value!r}"
            else:
                line += _spell(key, value)
        except ValueError as error:
            line += _spell_cleaned(metric, key, error, refuse)
    if not line:
        return ""
    time_ns = metric.time_ns
    if time_ns is None:
        return metric.series.prefix + line[1:]
    if not MIN_TIME_NS <= time_ns <= MAX_TIME_NS:
        refuse(f"{metric.series.measurement!r} left out: its time is beyond the years 1677 to 2262")
        return ""
    return f"{metric.series.prefix}{line[1:]} {time_ns}"


def _spell_cleaned(metric: Metric, key: str, error: ValueError, refuse: Callable[[str], None]) -> str:
    """Encode a field with its name cleaned if that is sufficient; otherwise empty, and *refuse* receives a sentence."""
    cleaned = clean_name(key)
    if cleaned != key:
        # A name that occurs twice in a line makes InfluxDB reject the whole batch.
        if any(clean_name(other) == cleaned for other in metric.fields if other != key):
            error = ValueError(f"its name would be written as {cleaned[:80]!r}, as another field's is")
        else:
            try:
                return _spell(cleaned, metric.fields[key])
            except ValueError as again:
                error = again
    refuse(f"field {key[:80]!r} of {metric.series.measurement!r} left out: {error}")
    return ""


def _spell(key: str, value: object) -> str:
    """Encode a field after its comma; subclasses of the types are supported. Raises ValueError with the cause."""
    if isinstance(value, bool):
        return f"{_FIELD_KEYS[key]}{'true' if value else 'false'}"
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise ValueError("it is an integer beyond 64 bits")
        return f"{_FIELD_KEYS[key]}{int(value)}i"
    if isinstance(value, float):
        number = float(value)
        if number - number != 0.0:
            raise ValueError(f"line protocol cannot carry {number}")
        return f"{_FIELD_KEYS[key]}{number!r}"
    if isinstance(value, str):
        text = clean_string(str.__str__(value))
        # A character has at most four bytes, so only a long text needs to be counted.
        if len(text) > MAX_STRING_BYTES // 4 and len(text.encode()) > MAX_STRING_BYTES:
            raise ValueError(f"it is a string of {len(text.encode())} bytes, and {MAX_STRING_BYTES} is the most")
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{_FIELD_KEYS[key]}"{text}"'
    raise ValueError(f"it is a {type(value).__name__}, and a field is a float, an int, a bool or a str")
