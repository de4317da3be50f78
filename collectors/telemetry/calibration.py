"""The calibration of one device: parses its file into curves, as plain values.

A file is TOML with one ``[[calibration]]`` per entry. Entries are only ever added, so that the file contains its
history, and a late sample gets the calibration that was valid when it was taken::

    [[calibration]]
    measurement = "environment"
    field = "temperature_raw_celsius"
    sensor = "hts221"
    valid_from = 2026-11-21T10:00:00Z
    kind = "gain"
    gain = 1.02
    offset = -4.1

docs/reference/calibrations.md describes every key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from collectors.core.line_protocol import MAX_TIME_NS, MIN_TIME_NS
from collectors.telemetry.curves import is_monotone, polynomial, two_point

if TYPE_CHECKING:
    from datetime import date

#: Maximum number of characters of a file: some thousand entries.
MAX_CHARACTERS = 256 * 1024

#: Maximum power of a polynomial. Above it, a curve follows the noise of its points.
MAX_DEGREE = 6

#: The kinds of entry, each with its required keys. ``end`` stops calibration from its time on.
KINDS: Mapping[str, tuple[str, ...]] = {
    "offset": ("offset",),
    "gain": ("gain",),
    "two_point": ("pairs",),
    "polynomial": ("coefficients",),
    "end": (),
}

_PLACE = ("measurement", "field", "sensor", "valid_from", "kind")
_TEXTS = ("by", "reference", "comment")
_NUMBERS = ("residual_rms", "residual_most")
_EVIDENCE = (*_TEXTS, *_NUMBERS, "calibrated_at", "degrees_of_freedom", "uncertainties", "range", "pairs")
_OF_KIND = ("offset", "gain", "coefficients")

#: Suffixes of field names for their units; a longer suffix comes before its own last part.
_UNITS = (
    "radians_per_second|degrees_per_second|metres_per_second|bytes_per_second|celsius|fahrenheit|kelvin|percent|hpa|pa"
    "|kpa|millibars|seconds|milliseconds|bytes|hertz|volts|millivolts|amperes|milliamperes|watts|watt_hours"
    "|kilowatt_hours|ohms|degrees|radians|microtesla|lux|ppm|ppb|metres|millimetres|grams|kilograms|litres|dbm|rpm|g"
)
_UNIT = re.compile(rf"(.+?)(?:_(?:raw|compensated))?(_(?:{_UNITS}))")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.-]")
#: Maximum length of a file's name in bytes without suffix, with room for an atomic write. File systems allow 255.
_MAX_NAME_BYTES = 200


class CalibrationError(ValueError):
    """A calibration is invalid; the message names file, entry, value and expected value."""


class Entry(NamedTuple):
    """One entry of a file, as written.

    Args:
        place: file and number of the entry, for messages.
        sensor: the value of the tag ``sensor`` to match, None for any and for lines without one.
        valid_from_ns: valid for samples from this time on, in nanoseconds since 1970.
        kind: one of :data:`KINDS`.
        values: every key of the entry, including those above, as parsed from TOML.
    """

    place: str
    measurement: str
    field: str
    sensor: str | None
    valid_from_ns: int
    kind: str
    values: Mapping[str, Any]


class Curve(NamedTuple):
    """Converts uncalibrated values to calibrated ones.

    Args:
        measurement, field: the calibrated field.
        sensor: the value of the tag ``sensor`` to match, None for any and for lines without one.
        valid_from_ns, valid_until_ns: valid for samples from the first time on, and before the second; nanoseconds
            since 1970.
        output: the field for the result, next to the calibrated one.
        apply: returns the calibrated value; infinite or NaN if the arithmetic overflows.
    """

    measurement: str
    field: str
    sensor: str | None
    valid_from_ns: int
    output: str
    apply: Callable[[float], float]
    valid_until_ns: int = MAX_TIME_NS + 1


def output_field(field: str) -> str:
    """The field for the calibrated values of another, which is not modified.

    >>> output_field("temperature_raw_celsius"), output_field("temperature_compensated_celsius")
    ('temperature_calibrated_celsius', 'temperature_calibrated_celsius')
    >>> output_field("pressure_hpa"), output_field("temperature")
    ('pressure_calibrated_hpa', 'temperature_calibrated')
    """
    parts = _UNIT.fullmatch(field)
    if parts is not None:
        return f"{parts[1]}_calibrated{parts[2]}"
    return f"{field.removesuffix('_raw').removesuffix('_compensated') or field}_calibrated"


def file_name(device: str) -> str:
    """The file name of a device: its name with ``.toml``, made safe.

    A character other than an ASCII letter or digit, ``-``, ``_`` or ``.`` becomes ``%`` with the byte's two hexadecimal
    digits, and so does a leading dot. A name that is too long for a file system is truncated and ends in a hash of the
    whole.

    >>> file_name("pi-1"), file_name("../hall"), file_name("Küche")
    ('pi-1.toml', '%2E.%2Fhall.toml', 'K%C3%BCche.toml')
    """
    encoded = device.encode("utf-8", "surrogatepass")
    name = _UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), encoded).decode("ascii")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > _MAX_NAME_BYTES:
        from hashlib import blake2b

        # No short name contains the character before the hash, so a long name never equals one.
        name = f"{name[: _MAX_NAME_BYTES - 40]}%-{blake2b(encoded, digest_size=16).hexdigest()}"
    return f"{name or '%'}.toml"


def read(text: str, where: str, device: str | None = None) -> tuple[Curve, ...]:
    """Parse the curves of one device's file, by start of validity.

    Entries for the same measurement, output and sensor are consecutive: each is valid until the next.

    Args:
        text: the file's content.
        where: its path, for messages.
        device: the expected device if the file names one, or None for any.

    Raises:
        CalibrationError: one sentence for any error in any entry.
    """
    places: dict[tuple[str, str, str | None], list[tuple[Entry, Curve | None]]] = {}
    for entry in entries(text, where, device):
        place = (entry.measurement, output_field(entry.field), entry.sensor)
        places.setdefault(place, []).append((entry, _curve(entry)))
    curves: list[Curve] = []
    for place, found in places.items():
        found.sort(key=lambda pair: pair[0].valid_from_ns)
        until = [entry.valid_from_ns for entry, _ in found[1:]] + [MAX_TIME_NS + 1]
        for (entry, curve), end_ns in zip(found, until, strict=True):
            if entry.valid_from_ns == end_ns:
                raise CalibrationError(
                    f"{entry.place}: another entry gives {place[1]} from the same time on, so that there are two "
                    "sources for one value; give one of them another valid_from"
                )
            if curve is not None:
                curves.append(curve._replace(valid_until_ns=end_ns))
    _refuse_overlaps(curves, where)
    return tuple(sorted(curves, key=lambda curve: curve.valid_from_ns))


def _refuse_overlaps(curves: list[Curve], where: str) -> None:
    """Reject a value that gets an entry for its sensor and one for any sensor at the same time."""
    general = [curve for curve in curves if curve.sensor is None]
    for each in curves:
        for other in general if each.sensor is not None else ():
            if (
                (each.measurement, each.output) == (other.measurement, other.output)
                and each.valid_from_ns < other.valid_until_ns
                and other.valid_from_ns < each.valid_until_ns
            ):
                raise CalibrationError(
                    f"{where}: {each.output} of {each.measurement} has an entry for the sensor {_shown(each.sensor)} "
                    'and one for any sensor at the same time; end one of them with an entry of kind = "end"'
                )


def entries(text: str, where: str, device: str | None = None) -> tuple[Entry, ...]:
    """The entries of a file in order, each validated individually; :func:`read` also validates their combination."""
    import tomllib  # here, because a worker without calibrated devices does not need it

    if len(text) > MAX_CHARACTERS:
        raise CalibrationError(f"{where}: a file of calibrations has {MAX_CHARACTERS} characters at most")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        # A date like 2026-02-30 and an integer of 5000 digits raise a plain ValueError.
        raise CalibrationError(f"{where} is not valid TOML: {error}") from None
    for key in document:
        if key not in ("device", "calibration"):
            raise CalibrationError(f"{where}: unknown key {_shown(key)}; there are device and [[calibration]]")
    owner = document.get("device", device)
    if owner is not None and not isinstance(owner, str):
        raise CalibrationError(f"{where}: device is {_shown(owner)}; it must be a text")
    if device is not None and owner != device:
        raise CalibrationError(
            f"{where} is the calibration of {_shown(owner)}, in the place of that of {_shown(device)}"
        )
    tables = document.get("calibration")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise CalibrationError(f"{where}: expected entries, each under [[calibration]]; to end a calibration, add one")
    return tuple(_entry(table, f"{where}, entry {number}") for number, table in enumerate(tables, 1))


def _entry(table: Mapping[str, Any], place: str) -> Entry:
    for key in table:
        if key not in _PLACE + _EVIDENCE + _OF_KIND:
            known = ", ".join((*_PLACE, *_OF_KIND, *_EVIDENCE))
            raise CalibrationError(f"{place}: unknown key {_shown(key)}; there are {known}")
    for key in ("measurement", "field", "valid_from", "kind"):
        if key not in table:
            raise CalibrationError(f"{place}: {key} is missing")
    for key in ("measurement", "field", "sensor", "kind", *_TEXTS):
        if key in table and (not isinstance(table[key], str) or not (table[key] or key in _TEXTS)):
            raise CalibrationError(f"{place}: {key} is {_shown(table[key])}; it must be a text")
    kind = table["kind"]
    if kind not in KINDS:
        raise CalibrationError(f"{place}: kind is {_shown(kind)}; it must be one of {', '.join(KINDS)}")
    for key in KINDS[kind]:
        if key not in table:
            raise CalibrationError(f"{place}: {key} is missing, which an entry of the kind {kind} needs")
    for key in _OF_KIND:
        if key in table and key not in KINDS[kind] and not (kind == "gain" and key == "offset"):
            raise CalibrationError(f"{place}: {key} is no key of an entry of the kind {kind}")
    for key in (*_NUMBERS, "offset", "gain"):
        if key in table:
            _number(table[key], place, key)
    for key in ("coefficients", "uncertainties", "range"):
        if key in table:
            _numbers(table[key], place, key)
    _pairs(table.get("pairs", []), place)
    if "degrees_of_freedom" in table and type(table["degrees_of_freedom"]) is not int:
        raise CalibrationError(
            f"{place}: degrees_of_freedom is {_shown(table['degrees_of_freedom'])}; it must be an integer"
        )
    if "calibrated_at" in table:
        time_ns(table["calibrated_at"], place, "calibrated_at")
    _range(table, place)
    if "calibrated" in table["field"]:
        raise CalibrationError(
            f"{place}: field is {_shown(table['field'])}, which is calibrated already; name its source"
        )
    return Entry(
        place,
        table["measurement"],
        table["field"],
        table.get("sensor"),
        time_ns(table["valid_from"], place, "valid_from"),
        kind,
        table,
    )


def _shown(value: object) -> str:
    """A value of a file for a sentence, shortened to a line."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: object, place: str, key: str) -> float:
    try:
        number = float(value) if type(value) in (int, float) else float("nan")  # type: ignore[arg-type]
    except OverflowError:
        number = float("inf")
    if number - number != 0.0:
        raise CalibrationError(f"{place}: {key} is {_shown(value)}; it must be a finite number")
    return number


def _numbers(value: object, place: str, key: str) -> list[float]:
    if not isinstance(value, list):
        raise CalibrationError(f"{place}: {key} is {_shown(value)}; it must be numbers in brackets")
    return [_number(each, place, key) for each in value]


def _pairs(value: object, place: str) -> list[tuple[float, float]]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise CalibrationError(f"{place}: pairs is {_shown(value)}; it must be pairs such as [[20.1, 19.0], [30, 29]]")
    return [(_number(raw, place, "pairs"), _number(reference, place, "pairs")) for raw, reference in value]


def _range(table: Mapping[str, Any], place: str) -> tuple[float, float] | None:
    if "range" not in table:
        return None
    ends = _numbers(table["range"], place, "range")
    if len(ends) != 2 or not ends[0] <= ends[1]:
        raise CalibrationError(
            f"{place}: range is {_shown(ends)}; it must be the lowest and the highest uncalibrated value"
        )
    return ends[0], ends[1]


def time_ns(value: object, place: str, key: str) -> int:
    """Nanoseconds since 1970 of a TOML date or time, or of a text in RFC 3339; UTC without a zone.

    Raises CalibrationError.
    """
    from datetime import UTC, date, datetime

    moment: date | None = None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    elif isinstance(value, date):
        moment = value
    if moment is None:
        raise CalibrationError(
            f"{place}: {key} is {_shown(value)}; it must be a date or a time, such as 2026-11-21 or "
            "2026-11-21T10:00:00Z"
        )
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001, RUF100 - its zone is set below
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    if not MIN_TIME_NS <= nanoseconds <= MAX_TIME_NS:
        raise CalibrationError(f"{place}: {key} is outside the years 1677 to 2262")
    return nanoseconds


def _curve(entry: Entry) -> Curve | None:
    if entry.kind == "end":
        return None
    output = output_field(entry.field)
    return Curve(entry.measurement, entry.field, entry.sensor, entry.valid_from_ns, output, function(entry))


def function(entry: Entry) -> Callable[[float], float]:
    """The conversion of an entry. Raises CalibrationError if it is constant, or maps several values to one."""
    values, place = entry.values, entry.place
    if entry.kind == "offset":
        return polynomial((float(values["offset"]), 1.0))
    if entry.kind == "gain":
        if values["gain"] == 0:
            raise CalibrationError(
                f"{place}: gain is 0, which would make every value the same; leave it out or mend it"
            )
        return polynomial((float(values.get("offset", 0.0)), float(values["gain"])))
    if entry.kind == "two_point":
        try:
            return two_point(_pairs(values["pairs"], place))
        except ValueError as error:
            raise CalibrationError(f"{place}: {error}") from None
    coefficients = _numbers(values["coefficients"], place, "coefficients")
    if not 2 <= len(coefficients) <= MAX_DEGREE + 1:
        raise CalibrationError(
            f"{place}: coefficients are {len(coefficients)}; a polynomial has 2 to {MAX_DEGREE + 1}, that of power 0 "
            "first"
        )
    if not any(coefficients[1:]):
        raise CalibrationError(f"{place}: all coefficients but the first are 0, which would make every value the same")
    ends = _range(values, place)
    if ends is not None and not is_monotone(coefficients, *ends):
        raise CalibrationError(
            f"{place}: the polynomial turns back within the range {ends[0]:g} to {ends[1]:g}, so that two values "
            "become one; take a lower degree"
        )
    return polynomial(tuple(coefficients))
