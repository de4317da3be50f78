"""The assignment of a recording's columns to values, for the many names that programs use.

Names are compared without capitals, spaces and punctuation: ``Date/Time`` is ``datetime``. A unit in brackets, such as
``Temperature (°F)``, selects the conversion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

TIME = "time_stamp"
#: The second half of a time that is split over two columns.
CLOCK = "clock"

#: Columns whose values are emitted, by the names of the Astro Pi's flight data.
VALUES = (
    *("temp_h", "temp_p", "humidity", "pressure", "temp_cpu"),
    *("pitch", "roll", "yaw"),
    *(f"{name}_{axis}" for name in ("accel", "gyro", "mag") for axis in "xyz"),
    *("red", "green", "blue", "clear", "gain"),
)
ANGLES = ("pitch", "roll", "yaw")

#: Other names, without capitals, spaces and punctuation. The temperature of ``SenseHat.temperature`` is the HTS221's.
_ALIASES: dict[str, tuple[str, ...]] = {
    TIME: (
        *("timestamp", "datetime", "date", "dateandtime", "datetimeutc", "timestamputc", "timeutc", "utc", "when"),
        *("localtime", "localdatetime", "datetimelocal", "epoch", "epochtime", "unixtime", "unixtimestamp", "ts"),
        *("timestampms", "createdat", "recordedat", "loggedat", "measuredat", "readingtime"),
    ),
    "temp_h": (
        *("temph", "temp", "temperature", "temphumidity", "humiditytemp", "temperaturehumidity", "htemp"),
        *("humiditytemperature", "tempfromhumidity", "temperaturefromhumidity", "temphum", "temphumi", "humitemp"),
    ),
    "temp_p": (
        *("tempp", "temppressure", "pressuretemp", "temperaturepressure", "pressuretemperature", "ptemp"),
        *("tempfrompressure", "temperaturefrompressure", "temppres", "temppress", "presstemp", "prestemp"),
    ),
    "humidity": ("humidity", "hum", "humi", "relativehumidity", "humidityrh", "rh"),
    "pressure": (
        *("pressure", "pres", "press", "barometricpressure", "airpressure", "atmosphericpressure"),
        *("barometer", "baro"),
    ),
    "temp_cpu": ("tempcpu", "cputemp", "cputemperature", "temperaturecpu"),
    "pitch": ("pitch", "orientationpitch"),
    "roll": ("roll", "orientationroll"),
    "yaw": ("yaw", "orientationyaw"),
    "red": ("red", "r", "colourred", "colorred"),
    "green": ("green", "g", "colourgreen", "colorgreen"),
    "blue": ("blue", "b", "colourblue", "colorblue"),
    "clear": ("clear", "c", "colourclear", "colorclear"),
    "gain": ("gain", "colourgain", "colorgain"),
}
for _name, _words in (
    ("accel", ("accel", "acc", "acceleration", "accelerometer", "a")),
    ("gyro", ("gyro", "gyr", "gyroscope", "g")),
    ("mag", ("mag", "magnetometer", "magnetic", "compass", "magneticfield", "m")),
):
    for _axis in "xyz":
        _ALIASES[f"{_name}_{_axis}"] = (
            *(f"{word}{_axis}" for word in _words),
            *(f"{_axis}{word}" for word in _words if len(word) > 2),
        )

_BY_NAME = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}

#: The emulator's angles, in radians (sense_emu/dump.py), in the library's order.
_EMULATOR_ANGLES = {"orientx": "roll", "orienty": "pitch", "orientz": "yaw"}
#: The columns of the emulator's sense_csv, which without --header has no header line.
EMULATOR = (
    *("timestamp", "pressure", "pressure_temp", "humidity", "humidity_temp"),
    *(f"{name}_{axis}" for name in ("accel", "gyro", "compass", "orient") for axis in "xyz"),
)

#: Columns of other programs that are ignored silently.
_IGNORED = frozenset(
    {
        *(
            "rowid",
            "reset",
            "counter",
            "count",
            "row",
            "index",
            "id",
            "",
            "latitude",
            "longitude",
            "lat",
            "lon",
            "long",
        ),
        *("compass", "heading", "north", "motion", "pir", "elapsed", "altitude", "elevation", "message"),
    }
)


_VECTORS = (("accel", "acceleration"), ("gyro", "rate"), ("mag", "field"))


def _fahrenheit(value: float) -> float:
    return (value - 32) / 1.8


def _times(factor: float) -> Callable[[float], float]:
    return lambda value: value * factor


_KELVIN: Callable[[float], float] = lambda value: value - 273.15  # noqa: E731

#: Conversions to the usual unit, by the quantity and the unit. A letter alone depends on the quantity: G is gauss.
_CONVERSIONS: dict[str, dict[str, Callable[[float], float]]] = {
    "temperature": {
        **dict.fromkeys(("f", "degf", "degreesf", "fahrenheit"), _fahrenheit),
        **dict.fromkeys(("k", "kelvin"), _KELVIN),
    },
    "pressure": {
        "pa": _times(0.01),
        "kpa": _times(10.0),
        "bar": _times(1000.0),
        "atm": _times(1013.25),
        "psi": _times(68.947573),
        "inhg": _times(33.863886),
        **dict.fromkeys(("mmhg", "torr"), _times(1.3332239)),
    },
    "humidity": {},
    "angle": dict.fromkeys(("rad", "radians"), math.degrees),
    "acceleration": {**dict.fromkeys(("ms2", "mss"), _times(1 / 9.80665)), "mg": _times(0.001)},
    "rate": {
        **dict.fromkeys(("degs", "degsec", "dps", "degreespersecond"), math.radians),
        "mdps": lambda value: math.radians(value / 1000),
    },
    "field": {
        **dict.fromkeys(("g", "gauss"), _times(100.0)),
        **dict.fromkeys(("mg", "mgauss"), _times(0.1)),
        "nt": _times(0.001),
        "mt": _times(1000.0),
    },
}
#: The usual unit by its spellings.
_USUAL_UNITS: dict[str, tuple[str, ...]] = {
    "temperature": ("c", "degc", "celsius", "degreescelsius", "degreesc"),
    "pressure": ("hpa", "mb", "mbar", "mbars", "millibar", "millibars"),
    "humidity": ("percent", "pct", "rh"),
    "angle": ("deg", "degrees"),
    "acceleration": ("g", "gs"),
    "rate": ("rads", "radsec", "rad", "radianspersecond"),
    "field": ("ut", "\N{GREEK SMALL LETTER MU}t", "microtesla", "microteslas"),
}
_QUANTITIES = {
    **dict.fromkeys(("temp_h", "temp_p", "temp_cpu"), "temperature"),
    "pressure": "pressure",
    "humidity": "humidity",
    **dict.fromkeys(ANGLES, "angle"),
    **{f"{name}_{axis}": quantity for name, quantity in _VECTORS for axis in "xyz"},
}
#: Words in brackets or at the end of a name that state the origin of a value.
_NO_UNITS = ("raw", "sensor", "sensehat", "hat", "hts221", "lps25h", "lsm9ds1", "humidity", "pressure", "h", "p")

#: The kind of temperature, in brackets after a temperature.
_TEMPERATURE_OF = {"pressure": "temp_p", "lps25h": "temp_p", "p": "temp_p", "cpu": "temp_cpu", "soc": "temp_cpu"}

#: Endings of a name that a unit can have without brackets.
_ENDINGS = sorted(
    {
        *(unit for units in (_CONVERSIONS, _USUAL_UNITS) for quantity in units.values() for unit in quantity),
        *(word for word in _NO_UNITS if word.startswith(("raw", "sensor"))),
        *("rawcelsius", "rawpercent"),
    },
    key=len,
    reverse=True,
)

_UNIT = re.compile(r"[(\[]([^)\]]*)[)\]]")


class Column(NamedTuple):
    """The position of a value, and its conversion to the usual unit."""

    place: int
    convert: Callable[[float], float] | None = None


class Header(NamedTuple):
    """The known columns, and the number of columns.

    Args:
        columns: by their names in :data:`VALUES`, and :data:`TIME`.
        width: cells of a row.
        unknown: names of further columns.
    """

    columns: Mapping[str, Column]
    width: int
    unknown: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A name without capitals, spaces, punctuation and a unit in brackets."""
    text = _UNIT.sub("", name).replace("\N{MASCULINE ORDINAL INDICATOR}", "")
    return "".join(filter(str.isalnum, text.casefold()))


def parse_map(text: str) -> dict[str, str]:
    """The setting ``columns``: ours to theirs. Raises ValueError with the expectation.

    A unit in brackets is that of the column, see :func:`parse_header`.

    >>> parse_map("temp_h=Temperatur, time_stamp=1")
    {'temp_h': 'Temperatur', 'time_stamp': '1'}
    """
    chosen: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        ours, _, theirs = (word.strip() for word in part.partition("="))
        if ours not in (TIME, *VALUES) or not theirs:
            raise ValueError(
                f"columns: expected pairs such as temp_h=Temperature, separated by commas, got {part[:40]!r}; "
                f"names are {', '.join((TIME, *VALUES))}"
            )
        chosen[ours] = theirs
    return chosen


def parse_header(names: Sequence[str], chosen: Mapping[str, str]) -> Header:
    """The known columns of a first line.

    Args:
        names: the cells of the line.
        chosen: ours to theirs, a name or a number from 1, perhaps with a unit in brackets.

    Raises:
        ValueError: a column is missing or duplicated.
    """
    columns: dict[str, Column] = {}
    taken: set[int] = set()
    for ours, theirs in chosen.items():
        place = _place(names, theirs)
        if place is None:
            raise ValueError(f"the column {theirs[:40]!r} of the setting columns is missing")
        columns[ours] = Column(place, _conversion(ours, theirs) or _conversion(ours, names[place]))
        taken.add(place)
    unknown: list[str] = []
    for place, name in enumerate(names):
        if place in taken:
            continue
        ours, convert = _known(name)
        if ours and ours in columns and ours not in chosen:
            ignored = _second(ours, place, names, columns)
            unknown += [] if ignored is None else [names[ignored]]
        elif ours and ours not in columns:
            columns[ours] = Column(place, convert)
        elif plain(name) not in _IGNORED:
            unknown.append(name)
    if not columns and any(cell[:1].isdigit() for cell in names):
        raise ValueError(
            "the first line has values and no names; number the columns with the setting columns, such as temp_h=2"
        )
    if TIME not in columns:
        raise ValueError(f"the column {TIME} is missing, and so is any other name of a time; see the setting columns")
    if not any(name in columns for name in VALUES):
        raise ValueError(
            f"no column is known; expected {TIME} and some of {', '.join(VALUES)}; see the setting columns"
        )
    return Header(columns, len(names), tuple(unknown))


def _second(ours: str, place: int, names: Sequence[str], columns: dict[str, Column]) -> int | None:
    """Choose between two columns of one value, or join a date and a time of day; return the one that is ignored.

    Raises:
        ValueError: both have the same name.
    """
    first = columns[ours].place
    word, before = plain(names[place]), plain(names[first])
    if names[place] == names[first]:
        raise ValueError(f"the column {names[place][:40]} is duplicated")
    if {word, before} == {"date", "time"}:
        date, clock = (place, first) if word == "date" else (first, place)
        columns[TIME], columns[CLOCK] = Column(date), Column(clock)
        return None
    whole = ours == TIME and before in ("date", "time") and CLOCK not in columns
    if names[place] == ours or (whole and word not in ("date", "time")):
        columns[ours] = Column(place, _known(names[place])[1])
        return first
    return place


def implied_header(cells: Sequence[str], chosen: Mapping[str, str]) -> Header | None:
    """The columns of a file whose first line is already a row; None if it names columns.

    That is so if the setting ``columns`` contains only numbers, or if it looks like a row of the emulator's sense_csv.
    """
    if chosen and all(map(_number, chosen.values())) and not any(map(_is_name, cells)):
        return parse_header([""] * len(cells), chosen)
    if len(cells) == len(EMULATOR) and _is_time(cells[0]) and not any(map(_is_name, cells)):
        return parse_header(EMULATOR, {})
    return None


def _is_name(cell: str) -> bool:
    return _known(cell)[0] != ""


def _known(name: str) -> tuple[str, Callable[[float], float] | None]:
    """Our name of a column, or "", and the conversion that its unit asks for.

    >>> _known("Pressure_hPa"), _known("wind")
    (('pressure', None), ('', None))
    """
    word = plain(name)
    if word in _EMULATOR_ANGLES:
        return _EMULATOR_ANGLES[word], math.degrees
    if word == "time":
        return TIME, None
    if word in _BY_NAME:
        return _understood(_BY_NAME[word], name)
    for ending in _ENDINGS:
        stem = word.removesuffix(ending) if word.endswith(ending) else ""
        ours = _BY_NAME.get(stem, "") if len(stem) > 2 else ""
        if not ours or ours == TIME:
            continue
        quantity = _QUANTITIES.get(ours, "")
        if ending in _CONVERSIONS.get(quantity, {}):
            return ours, _CONVERSIONS[quantity][ending]
        if ending in (*_USUAL_UNITS.get(quantity, ()), *_NO_UNITS, "rawcelsius", "rawpercent"):
            return _understood(ours, name)
    return "", None


def _understood(ours: str, name: str) -> tuple[str, Callable[[float], float] | None]:
    """Our name and the conversion of the unit in brackets; no name for a unit that is unknown.

    Without a conversion, a value in another unit would be wrong.
    """
    unit, quantity = _unit(name), _QUANTITIES.get(ours)
    if ours == "temp_h" and unit in _TEMPERATURE_OF:
        return _TEMPERATURE_OF[unit], None
    if quantity is None or unit in ("", *_USUAL_UNITS[quantity], *_NO_UNITS):
        return ours, None
    convert = _CONVERSIONS[quantity].get(unit)
    return ("", None) if convert is None else (ours, convert)


def unit_conversion(ours: str, unit: str) -> Callable[[float], float] | None:
    """The conversion of a unit in a cell; None for the usual one. Raises ValueError for an unknown unit."""
    quantity = _QUANTITIES.get(ours, "")
    word = _unit(f"({unit})")
    if word in _USUAL_UNITS.get(quantity, ()):
        return None
    convert = _CONVERSIONS.get(quantity, {}).get(word)
    if convert is None:
        raise ValueError
    return convert


def _is_time(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True


def known_names(names: Sequence[str]) -> int:
    """How many names are known, to choose among separators."""
    return sum(map(_is_name, names))


def _place(names: Sequence[str], theirs: str) -> int | None:
    for place, name in enumerate(names):
        if name == theirs:
            return place
    for place, name in enumerate(names):
        if plain(name) and plain(name) == plain(theirs):
            return place
    number = _number(theirs)
    return number - 1 if 1 <= number <= len(names) else None


def _number(theirs: str) -> int:
    """The number of a column from 1; 0 for a name."""
    text = _UNIT.sub("", theirs).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 0


def _conversion(ours: str, name: str) -> Callable[[float], float] | None:
    return _CONVERSIONS.get(_QUANTITIES.get(ours, ""), {}).get(_unit(name))


def _unit(name: str) -> str:
    """The unit in brackets, without punctuation; empty if there is none."""
    found = _UNIT.search(name)
    text = found[1].replace("%", " percent ").replace("\N{DEGREE SIGN}", "deg") if found else ""
    text = text.replace("\N{MASCULINE ORDINAL INDICATOR}", "deg").replace("\N{SUPERSCRIPT TWO}", "2").casefold()
    unit = "".join(filter(str.isalnum, text))
    return unit.removeprefix("percent") if unit == "percentrh" else unit
