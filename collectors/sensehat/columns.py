"""Which column of a recording holds which value, by the many names that programs give them.

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
    TIME: ("timestamp", "datetime", "date", "dateandtime", "datetimeutc", "timestamputc", "utc", "when"),
    "temp_h": (
        *("temph", "temp", "temperature", "temphumidity", "humiditytemp", "temperaturehumidity", "htemp"),
        *("humiditytemperature", "tempfromhumidity", "temperaturefromhumidity", "temphum"),
    ),
    "temp_p": (
        *("tempp", "temppressure", "pressuretemp", "temperaturepressure", "pressuretemperature", "ptemp"),
        *("tempfrompressure", "temperaturefrompressure", "temppres"),
    ),
    "humidity": ("humidity", "hum", "relativehumidity", "rh"),
    "pressure": ("pressure", "pres", "press", "barometricpressure", "airpressure"),
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
        _ALIASES[f"{_name}_{_axis}"] = tuple(f"{word}{_axis}" for word in _words)

_BY_NAME = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}

#: The emulator's angles, in radians (sense_emu/dump.py), in the order in which the library names them.
_EMULATOR_ANGLES = {"orientx": "roll", "orienty": "pitch", "orientz": "yaw"}
#: What the emulator's sense_csv writes, which without --header has no first line.
EMULATOR = (
    *("timestamp", "pressure", "pressure_temp", "humidity", "humidity_temp"),
    *(f"{name}_{axis}" for name in ("accel", "gyro", "compass", "orient") for axis in "xyz"),
)

#: Columns that other programs add, and that are ignored without a word.
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


def _fahrenheit(value: float) -> float:
    return (value - 32) / 1.8


#: Conversions of a unit in brackets; a unit that is missing here is the usual one, or unknown.
_UNITS: dict[str, Callable[[float], float]] = {
    "f": _fahrenheit,
    "fahrenheit": _fahrenheit,
    "k": lambda value: value - 273.15,
    "kelvin": lambda value: value - 273.15,
    "pa": lambda value: value / 100,
    "kpa": lambda value: value * 10,
    "rad": math.degrees,
    "radians": math.degrees,
    "ms2": lambda value: value / 9.80665,
    "degs": math.radians,
    "dps": math.radians,
    "gauss": lambda value: value * 100,
    "nt": lambda value: value / 1000,
}
#: For which columns a conversion is meant: "g" alone is gravity and "rad" of a rate is the usual unit.
_UNIT_OF = {
    **dict.fromkeys(("temp_h", "temp_p", "temp_cpu"), ("f", "fahrenheit", "k", "kelvin")),
    "pressure": ("pa", "kpa"),
    **dict.fromkeys(ANGLES, ("rad", "radians")),
    **{f"accel_{axis}": ("ms2",) for axis in "xyz"},
    **{f"gyro_{axis}": ("degs", "dps") for axis in "xyz"},
    **{f"mag_{axis}": ("gauss", "nt") for axis in "xyz"},
}

#: Endings of a name that say nothing but the usual unit.
_USUAL = (
    *(
        "celsius",
        "degreescelsius",
        "degreesc",
        "degc",
        "c",
        "hpa",
        "mbar",
        "millibars",
        "percent",
        "pct",
        "degrees",
        "deg",
    ),
    *("g", "microtesla", "ut", "radianspersecond", "rads", "raw", "sensor", "rawcelsius", "rawpercent"),
)
_ENDINGS = sorted({*_USUAL, *_UNITS}, key=len, reverse=True)

_UNIT = re.compile(r"[(\[]([^)\]]*)[)\]]")


class Column(NamedTuple):
    """Where a value is, and how it becomes the usual unit."""

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
    return "".join(filter(str.isalnum, _UNIT.sub("", name).casefold()))


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
    """The columns of a file whose first line is a row already; None if it names columns.

    That is so if the setting ``columns`` gives numbers only, or if it looks like a row of the emulator's sense_csv.
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
        return _BY_NAME[word], _conversion(_BY_NAME[word], name)
    for ending in _ENDINGS:
        stem = word.removesuffix(ending) if word.endswith(ending) else ""
        ours = _BY_NAME.get(stem, "") if len(stem) > 2 else ""
        if not ours or ours == TIME:
            continue
        if ending in _UNIT_OF.get(ours, ()):
            return ours, _UNITS[ending]
        if ending in _USUAL:
            return ours, _conversion(ours, name)
    return "", None


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
    found = _UNIT.search(name)
    unit = "".join(filter(str.isalnum, found[1].casefold())) if found else ""
    return _UNITS[unit] if unit in _UNIT_OF.get(ours, ()) else None
