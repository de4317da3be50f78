"""A metric, and InfluxDB line protocol in and out.

Line protocol cannot carry every text: a backslash directly before a special character, a leading
``#`` of a measurement, control characters and half a surrogate pair have no spelling that every parser
reads back alike. :func:`clean_name` and :func:`clean_string` say what is written in their place, so that
one metric is always exactly one line, and reading a line gives back what was written.

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

#: InfluxDB keeps the two lowest and the highest of 64 bits for itself: the years 1677 to 2262.
MIN_TIME_NS, MAX_TIME_NS = _INT64_MIN + 2, _INT64_MAX - 1

#: InfluxDB refuses a series with its field's name above 64 KiB; half of it is for each.
MAX_NAME_BYTES = 32 * 1024 - 1

#: Names that InfluxDB keeps for itself, and refuses as a tag or as a field.
RESERVED_TAGS, RESERVED_FIELDS = frozenset(("time", "_field", "_measurement")), frozenset(("time",))

#: How many names and series are kept in their spelled form; a machine has some hundred.
_KEPT = 4096

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_UNSAFE_BACKSLASH = re.compile(r'\\+(?=[,= "\x00-\x1f\x7f]|$)')
_NAME_SPECIAL = re.compile(r"([,= ])")
_MEASUREMENT_SPECIAL = re.compile(r"([, ])")
_NAME_ESCAPED = re.compile(r"\\([,= ])")
_STRING_NEWLINES = {"\n": "\\n", "\r": "\\r"}


class ParseError(ValueError):
    """A line is not line protocol; the message says what was expected and where."""


class Series:
    """One measurement with one set of tags; keeps its encoded prefix, so that a line costs only its fields.

    Raises ValueError when the measurement or a tag's key is empty, when a tag's key is one of
    :data:`RESERVED_TAGS`, and when all of it is above :data:`MAX_NAME_BYTES`: with one such point InfluxDB refuses
    all that came with it. A tag with an empty value is left out, since line protocol has no spelling for it.
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
        escaped = _MEASUREMENT_SPECIAL.sub(r"\\\1", measurement)
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


@lru_cache(maxsize=_KEPT)
def clean_name(text: str) -> str:
    """The spelling of a tag key, tag value or field key that line protocol can carry.

    A control character becomes a space; a backslash before a special character or at the end, a slash; half a
    surrogate pair, which UTF-8 does not have, U+FFFD.
    """
    whole = _SURROGATE.sub("\ufffd", text)
    return _CONTROL.sub(" ", _UNSAFE_BACKSLASH.sub(lambda run: "/" * len(run[0]), whole))


def clean_measurement(text: str) -> str:
    """As :func:`clean_name`; and a leading ``#``, which would make the line a comment, becomes a slash."""
    cleaned = clean_name(text)
    return "/" + cleaned[1:] if cleaned.startswith("#") else cleaned


def clean_string(text: str) -> str:
    r"""The spelling of a string field that keeps its metric on one line.

    A line break becomes ``\n`` or ``\r``; half a surrogate pair, which UTF-8 does not have, U+FFFD.
    """
    if "\n" in text or "\r" in text:
        for character, spelling in _STRING_NEWLINES.items():
            text = text.replace(character, spelling)
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _escape(name: str) -> str:
    return _NAME_SPECIAL.sub(r"\\\1", name)


def _is_too_long(name: str) -> bool:
    # A character is four bytes at most: only a long text is worth counting.
    return len(name) > MAX_NAME_BYTES // 4 and len(name.encode()) > MAX_NAME_BYTES


class _FieldKeys(dict[str, str]):
    """Each field's key as it stands in a line: behind a comma, with its equals sign.

    Raises ValueError, with what is wrong, for a name that cannot stand there as it is.
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
        if len(self) >= _KEPT:
            self.clear()
        self[key] = spelled
        return spelled


_FIELD_KEYS = _FieldKeys()


def _ignore(sentence: str) -> None:
    del sentence


def encode(metric: Metric, refuse: Callable[[str], None] = _ignore) -> str:
    """One line, without its line break; empty when no field is left.

    A field is left out, and *refuse* told in a sentence, when InfluxDB cannot hold its value (NaN, infinite, an
    integer beyond 64 bits, a string above :data:`MAX_STRING_BYTES`, another type) or refuses its name (none, one
    of :data:`RESERVED_FIELDS`, one above :data:`MAX_NAME_BYTES`, one that once cleaned is another field's). A
    time beyond :data:`MIN_TIME_NS` and :data:`MAX_TIME_NS` leaves out the metric: without its time it would be
    taken for one of now.
    """
    line = ""
    for key, value in metric.fields.items():
        try:
            # What most fields are: a float that is neither infinite nor NaN, since those give NaN here.
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
    """A field that cannot stand as it is: with a cleaned name if that helps, or else empty, and *refuse* is told."""
    cleaned = clean_name(key)
    if cleaned != key:
        # Twice the same name in a line would be one field of two values, which InfluxDB refuses with all around it.
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
    """A field behind its comma. Subclasses count as what they are made of. ValueError says what stands against it."""
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
        # A character is four bytes at most: only a long text is worth counting.
        if len(text) > MAX_STRING_BYTES // 4 and len(text.encode()) > MAX_STRING_BYTES:
            raise ValueError(f"it is a string of {len(text.encode())} bytes, and {MAX_STRING_BYTES} is the most")
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{_FIELD_KEYS[key]}"{text}"'
    raise ValueError(f"it is a {type(value).__name__}, and a field is a float, an int, a bool or a str")


# --- reading -------------------------------------------------------------------------------------
#
# Names end where Telegraf's parser ends them (plugins/parsers/influx/machine.go.rl): in measurements and field
# keys a backslash takes the next character with it, whatever it is; in tags a backslash before another stands
# for itself, and that other is looked at anew.

_SPACE = r"[ \t\v\f]+"
_TAG_TEXT = r"(?:[^,= \\\t\n\v\f\r]|\\(?!\\)[^\t\n\v\f\r]|\\(?=\\))+"
_KEY_TEXT = r"(?:[^,= \\\t\n\v\f\r]|\\[^\t\n\v\f\r])+"
_HEAD_MEASUREMENT = r"(?:[^, \\\t\n\v\f\r]|\\[^\t\n\v\f\r])+"
_HEAD = re.compile(rf"({_HEAD_MEASUREMENT}(?:,(?:[^ \\\t\n\v\f\r]|\\(?!\\)[^\t\n\v\f\r]|\\(?=\\))*)?){_SPACE}")
_MEASUREMENT = re.compile(rf"({_HEAD_MEASUREMENT})(,|$)")
_PAIR = re.compile(rf"({_TAG_TEXT})=({_TAG_TEXT})(,|$)")
_FIELD = re.compile(rf'({_KEY_TEXT})=("(?:[^"\\\n]|\\.)*"|[^,"\s]+)(,|{_SPACE}|$)')
_INTEGER = re.compile(r"[-+]?[0-9]+i\Z")
_UNSIGNED = re.compile(r"[0-9]+u\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_TIME = re.compile(r"-?[0-9]{1,19}\Z")
_BOOLEANS = {"t": True, "T": True, "true": True, "True": True, "TRUE": True} | {
    "f": False,
    "F": False,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER_START, _NUMBER_END = frozenset("0123456789.-+"), frozenset("0123456789.")


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


@lru_cache(maxsize=_KEPT)
def _series(head: str) -> Series:
    """The series that the head of a line names. Raises ParseError with the column."""
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
        return Series(_unescape(measurement), tags)
    except ValueError as error:
        raise ParseError(f"column 1: {error}") from None


def decode(line: str) -> Metric:
    """Read one line. Raises ParseError with the column where reading stopped."""
    line = line.strip("\r\n ")
    return _decode_plain(line) or _decode_any(line)


def _decode_plain(line: str) -> Metric | None:
    """Read a line of numbers in ASCII without quotes and escapes, which most are; None for any other, and any doubt."""
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
                fields[key] = float(text)
            except ValueError:
                return None
        elif last == "i" and (text[:-1].isdigit() or (text[0] == "-" and text[1:-1].isdigit())):
            fields[key] = int(text[:-1])
        elif text in _BOOLEANS:
            fields[key] = _BOOLEANS[text]
        else:
            return None
    if len(stamp) > 19 or not head.isprintable():
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
    if stamp and not _TIME.match(stamp):
        raise ParseError(f"column {position + 1}: expected a time in nanoseconds: {stamp[:80]!r}")
    return Metric(series, fields, int(stamp) if stamp else None)


def decode_lines(text: str) -> Iterator[Metric]:
    """Read a batch: blank lines and ``#`` comments are passed over. Raises ParseError with the line's number."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            try:
                yield decode(line)
            except ParseError as error:
                raise ParseError(f"line {number}, {error}") from None
