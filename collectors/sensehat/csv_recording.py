"""Reads a recording, a CSV file or a CSV file compressed with gzip, row by row.

:mod:`collectors.sensehat.columns` has the names of columns. Temperatures are in degrees Celsius, humidity in percent,
pressure in hPa, angles in degrees, the field in microtesla, acceleration in g, rates in radians per second. Cells are
separated by commas, semicolons or tabs.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple, TextIO, cast

from collectors.core.api import Unavailable
from collectors.sensehat.columns import (
    ANGLES,
    CLOCK,
    TIME,
    VALUES,
    Header,
    implied_header,
    known_names,
    parse_header,
    parse_map,
    unit_conversion,
)
from collectors.sensehat.readings import ABSENT, Attitude, Colour, Reading, Vector, shortest
from collectors.sensehat.recorded_time import TimeParser, parse_time, parse_zone

__all__ = ["CsvRecording", "Form", "Row", "parse_time"]

#: Maximum length of a line; a longer one is not a row of numbers.
_MAX_LINE = 4096
#: Number of characters of an overlong line that are read at once.
_SKIPPED_AT_ONCE = 65_536
#: Maximum number of lines before the header: blank ones, comments, and a spreadsheet's "sep=;".
_MAX_PREAMBLE = 100

#: Decimal places of a converted value.
_DIGITS = 6

_SEPARATORS = (",", ";", "\t", "|")
#: Cells without a value, in the notations of spreadsheets and programs.
_EMPTY = frozenset({"", "none", "null", "na", "n/a", "-"})


class Form(NamedTuple):
    """The format of a recording, if it differs from the default.

    Args:
        columns: our names of columns to theirs; see :func:`collectors.sensehat.columns.parse_map`.
        zone: the time zone of times without an offset.
        time_format: a format of strptime, or None for ISO 8601.
    """

    columns: Mapping[str, str] = {}
    zone: tzinfo = UTC
    time_format: str | None = None

    @classmethod
    def parse(cls, columns: str, time_zone: str, time_format: str | None) -> Form:
        """The format described by the settings ``columns``, ``time_zone`` and ``time_format``. Raises ValueError."""
        return cls(parse_map(columns), parse_zone(time_zone), time_format or None)


class Row(NamedTuple):
    """A row of a recording."""

    line: int
    reading: Reading
    time_ns: int


class CsvRecording:
    """An open recording.

    Args:
        path: the file.
        on_error: receives a sentence for the first row or value of each kind that is left out, and for the number of
            the others at the end.
        form: the file's format.
        on_repeat: receives the same sentence for each of the others, instead of their number at the end.

    Raises:
        Unavailable: the file cannot be read, or its first line does not name the required columns.
    """

    def __init__(
        self,
        path: str,
        on_error: Callable[[str], None],
        form: Form | None = None,
        on_repeat: Callable[[str], None] | None = None,
    ) -> None:
        self._path = path
        self._on_error = on_error
        self._on_repeat = on_repeat
        self._form = form or Form()
        self._times = TimeParser(self._form.zone, self._form.time_format)
        self._line = 0
        self._overlong = False
        self._said: dict[str, str] = {}
        self._unsaid = 0
        self._first: str | None = None
        try:
            self._text = _open(path)
        except FileNotFoundError:
            raise Unavailable(
                f"{path}: there is no such recording; name a CSV or CSV.gz file with the setting recording"
            ) from None
        except OSError as error:
            raise Unavailable(f"{path}: the recording cannot be read: {error}") from None
        try:
            self._separator, self._header = self._read_header()
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            self._text.close()
            raise Unavailable(f"{path}: the recording cannot be read: {error}") from None
        except ValueError as error:
            self._text.close()
            raise Unavailable(f"{path}, line {self._line}: {error}") from None
        except Unavailable:
            self._text.close()
            raise
        if self._header.unknown:
            names = ", ".join(name[:40] for name in self._header.unknown[:20])
            on_error(
                f"{path}, line {self._line}: unknown column {names} is ignored; known are {TIME}, {', '.join(VALUES)}; "
                "see the setting columns"
            )

    def _read_header(self) -> tuple[str, Header]:
        separators: Sequence[str] = _SEPARATORS
        for _ in range(_MAX_PREAMBLE):
            line = self._next_line()
            if line is None:
                break
            if self._overlong:
                raise ValueError(f"expected the names of columns, got a line of more than {_MAX_LINE} characters")
            text = line.rstrip("\r\n")
            if text.lower().startswith("sep=") and len(text) == 5:
                separators = (text[4],)
            elif text.strip() and not text.startswith("#"):
                return self._understand(line, separators)
        raise Unavailable(f"{self._path}: the recording is empty; expected a first line that names the columns")

    def _understand(self, line: str, separators: Sequence[str]) -> tuple[str, Header]:
        """The separator and the columns of the first line; it is kept if it is a row."""
        chosen = self._form.columns
        wanted = set(chosen.values())

        def score(separator: str) -> tuple[int, int]:
            try:
                cells = _cells(line, separator)
            except ValueError:
                return 0, 0
            return known_names(cells) + len(wanted.intersection(cells)), len(cells)

        separator = max(separators, key=score)
        cells = _cells(line, separator)
        header = implied_header(cells, chosen)
        if header is not None:
            self._first = line
            return separator, header
        return separator, parse_header(cells, chosen)

    def rows(self) -> Iterator[Row]:
        """The valid rows in order; a truncated file ends there, which is reported."""
        return (row for row in self.steps() if row is not None)

    def steps(self) -> Iterator[Row | None]:
        """Like :meth:`rows`, with None for each invalid line, so that the caller can pause and resume."""
        while True:
            try:
                if self._overlong:
                    self._skip()
                    yield None
                    continue
                line, self._first = (self._first, None) if self._first is not None else (self._next_line(), None)
            except (OSError, EOFError, zlib.error, UnicodeError) as error:
                self._on_error(
                    f"{self._path}: the recording is truncated after line {self._line}: {error}; copy the file again"
                )
                break
            if line is None:
                break
            row = None
            if line.strip():
                try:
                    row = self._row(_cells(line, self._separator))
                except ValueError as error:
                    self._refuse(str(error).partition(", got ")[0], f"{error}; the row is skipped")
            yield row
        if self._unsaid:
            self._on_error(f"{self._path}: {self._unsaid} further rows or values were left out for the same reasons")
            self._unsaid = 0

    def _refuse(self, kind: str, sentence: str) -> None:
        """Report a row or value that is left out: the first of its kind with its line, the others by number."""
        if kind not in self._said:
            self._said[kind] = f"{self._path}, line {self._line}: {sentence}"
            self._on_error(self._said[kind])
        elif self._on_repeat is not None:
            self._on_repeat(self._said[kind])
        else:
            self._unsaid += 1

    def _row(self, cells: list[str]) -> Row:
        """Parse a row; values that are not numbers are left out. Raises ValueError with the expected form."""
        header = self._header
        while len(cells) > header.width and not cells[-1]:
            cells.pop()
        if len(cells) == header.width + 1:
            _join_milliseconds(cells, header.columns[CLOCK if CLOCK in header.columns else TIME].place)
        if len(cells) != header.width:
            raise ValueError(f"expected {header.width} cells, got {len(cells)}")
        time = cells[header.columns[TIME].place]
        if CLOCK in header.columns:
            time = f"{time} {cells[header.columns[CLOCK].place]}"
        time_ns = self._times.parse(TIME, time)
        values = {name: self._value(name, cells) for name in VALUES if name in header.columns}
        return Row(self._line, _reading(values), time_ns)

    def _value(self, name: str, cells: list[str]) -> float | None:
        column = self._header.columns[name]
        cell = cells[column.place]
        if cell.casefold() in _EMPTY:
            return None
        convert = column.convert
        try:
            value = _number(cell)
        except ValueError:
            try:
                value, convert = _with_unit(name, cell)
            except ValueError:
                self._refuse(name, f"{name}: expected a number, got {cell[:40]!r}; the value is left out")
                return None
        return shortest(value) if convert is None else round(convert(value), _DIGITS)

    def _next_line(self) -> str | None:
        """The next line; None at the end. Of an overlong line, only the beginning, which is not a valid row."""
        line = self._text.readline(_MAX_LINE)
        if not line:
            return None
        self._line += 1
        self._overlong = len(line) == _MAX_LINE and not line.endswith("\n")
        return line

    def _skip(self) -> None:
        """Read on within an overlong line."""
        part = self._text.readline(_SKIPPED_AT_ONCE)
        self._overlong = len(part) == _SKIPPED_AT_ONCE and not part.endswith("\n")

    def close(self) -> None:
        """Close the file."""
        self._text.close()


def _open(path: str) -> TextIO:
    """The file as text; its first bytes determine its compression and its encoding, not its name. Raises OSError."""
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise OSError("it is not a file; a pipe or a device cannot be played")
    with open(path, "rb") as file:
        start = file.read(2)
    # Invalid UTF-8 only invalidates its own cell.
    if start == b"\x1f\x8b":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig", errors="replace"))
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return open(path, encoding=encoding, errors="replace")


def _cells(line: str, separator: str) -> list[str]:
    """The cells of a line. Raises ValueError for unclosed quotes."""
    try:
        reader = csv.reader([line.rstrip("\r\n")], strict=True, delimiter=separator, skipinitialspace=True)
        return [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise ValueError(f"expected cells between separators, got {line[:40]!r} ({error})") from None


def _join_milliseconds(cells: list[str], place: int) -> None:
    """Join a time and its milliseconds in the next cell: Python's logging puts a comma between them."""
    if re.search(r"\d:\d\d$", cells[place]) and re.fullmatch(r"\d{3}", cells[place + 1 : place + 2][0]):
        cells[place : place + 2] = [f"{cells[place]}.{cells[place + 1]}"]


def _number(cell: str) -> float:
    """The number in a cell. Raises ValueError for anything else, also for the underscores of Python's own numbers."""
    if "_" in cell:
        raise ValueError
    cell = cell.replace("\N{MINUS SIGN}", "-")
    return float(_point(cell) if "," in cell else cell)


def _with_unit(name: str, cell: str) -> tuple[float, Callable[[float], float] | None]:
    """The number in a cell such as ``20.5 °C``, and how it becomes the usual unit. Raises ValueError."""
    found = re.fullmatch(r"(.*\d)\s*(\D{1,8})", cell)
    if found is None:
        raise ValueError
    return _number(found[1]), unit_conversion(name, found[2])


def _point(cell: str) -> str:
    """Convert a decimal comma to a point; of comma and point, the first one groups thousands.

    >>> _point("1.013,25"), _point("1,013.25"), _point("21,5")
    ('1013.25', '1013.25', '21.5')
    """
    if "." not in cell:
        return cell.replace(",", ".")
    return cell.replace(".", "").replace(",", ".") if cell.rfind(",") > cell.rfind(".") else cell.replace(",", "")


def _reading(values: Mapping[str, float | None]) -> Reading:
    attitude = _three(values, ANGLES)
    acceleration, gyro, magnetic = (
        _three(values, (f"{name}_x", f"{name}_y", f"{name}_z")) for name in ("accel", "gyro", "mag")
    )
    return Reading(
        humidity=values.get("humidity"),
        temperature_humidity=values.get("temp_h"),
        pressure=values.get("pressure"),
        temperature_pressure=values.get("temp_p"),
        temperature_cpu=values.get("temp_cpu"),
        attitude=Attitude(*map(_turned, attitude)) if attitude else None,
        acceleration=Vector(*acceleration) if acceleration else None,
        gyro=Vector(*gyro) if gyro else None,
        magnetic=Vector(*magnetic) if magnetic else None,
        colour=_colour(values),
    )


def _three(values: Mapping[str, float | None], names: tuple[str, str, str]) -> tuple[float, float, float] | None:
    """Three values, some of them perhaps absent; None if all are."""
    found = [values.get(name) for name in names]
    if all(value is None for value in found):
        return None
    x, y, z = (ABSENT if value is None else value for value in found)
    return x, y, z


def _turned(degrees: float) -> float:
    """Convert an angle on either side of zero to 0 to 360; others are left to be rejected."""
    return degrees + 360 if -360 <= degrees < 0 else degrees


def _colour(values: Mapping[str, float | None]) -> Colour | None:
    red, green, blue, clear, gain = (_count(values.get(name)) for name in ("red", "green", "blue", "clear", "gain"))
    if red is None and green is None and blue is None and clear is None:
        return None
    return Colour(red, green, blue, clear, gain)


def _count(value: float | None) -> int | None:
    """A count; a number outside every range if the value is not a count."""
    if value is None:
        return None
    return round(value) if abs(value) < 1e9 else -1
