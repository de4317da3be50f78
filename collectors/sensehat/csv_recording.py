"""Reads a recording, a CSV file or a CSV file compressed with gzip, row by row.

Columns are those of the Astro Pi's flight data: ``temp_cpu, temp_h, temp_p, humidity, pressure, pitch, roll,
yaw, mag_x, mag_y, mag_z, accel_x, accel_y, accel_z, gyro_x, gyro_y, gyro_z, time_stamp``. Temperatures in degrees
Celsius, humidity in percent, pressure in hPa, angles in degrees, the field in microtesla, acceleration in g,
rates in radians per second, times as ISO 8601 (UTC by default). ``ROW_ID`` and ``reset`` are ignored.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple, TextIO, cast

from collectors.core.api import Unavailable
from collectors.sensehat.readings import Attitude, Reading, Vector

REQUIRED = ("temp_h", "temp_p", "humidity", "pressure", "time_stamp")
OPTIONAL = ("temp_cpu",)
#: Columns that are only valid together.
GROUPS = (
    ("pitch", "roll", "yaw"),
    ("accel_x", "accel_y", "accel_z"),
    ("gyro_x", "gyro_y", "gyro_z"),
    ("mag_x", "mag_y", "mag_z"),
)
IGNORED = ("ROW_ID", "reset")

#: Maximum length of a line; a longer one is not a row of numbers.
_MAX_LINE = 4096

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """A row of a recording."""

    line: int
    reading: Reading
    time_ns: int


class Header(NamedTuple):
    """Index of each known column, and the number of columns."""

    places: dict[str, int]
    width: int


class CsvRecording:
    """An open recording.

    Args:
        path: the file.
        on_error: takes a message with file, line and expectation for each row that is skipped.

    Raises:
        Unavailable: the file cannot be read, or its first line does not name the required columns.
    """

    def __init__(self, path: str, on_error: Callable[[str], None]) -> None:
        self._path = path
        self._on_error = on_error
        self._line = 0
        try:
            self._text = _open(path)
        except FileNotFoundError:
            raise Unavailable(
                f"{path}: there is no such recording; name a CSV or CSV.gz file with the setting recording"
            ) from None
        except OSError as error:
            raise Unavailable(f"{path}: the recording cannot be read: {error}") from None
        try:
            first = self._next_line()
            if first is None:
                raise Unavailable(f"{path}: the recording is empty; expected a first line that names the columns")
            self._header, unknown = parse_header(path, _cells(first))
        except (OSError, EOFError, zlib.error) as error:
            self._text.close()
            raise Unavailable(f"{path}: the recording cannot be read: {error}") from None
        except ValueError as error:
            self._text.close()
            raise Unavailable(f"{path}, line 1: {error}") from None
        except Unavailable:
            self._text.close()
            raise
        if unknown:
            on_error(
                f"{path}, line 1: unknown column {', '.join(unknown)} is ignored; known are "
                f"{', '.join((*REQUIRED, *OPTIONAL, *(name for group in GROUPS for name in group)))}"
            )

    def rows(self) -> Iterator[Row]:
        """The valid rows in order; a truncated file ends there, which is reported."""
        while True:
            try:
                line = self._next_line()
            except (OSError, EOFError, zlib.error) as error:
                self._on_error(
                    f"{self._path}: the recording is truncated after line {self._line}: {error}; copy the file again"
                )
                return
            if line is None:
                return
            if not line.strip():
                continue
            try:
                yield Row(self._line, *parse_row(self._header, _cells(line)))
            except ValueError as error:
                self._on_error(f"{self._path}, line {self._line}: {error}; the row is skipped")

    def _next_line(self) -> str | None:
        """The next line; None at the end. Of an overlong line, only the beginning, which is not a valid row."""
        line = self._text.readline(_MAX_LINE)
        if not line:
            return None
        self._line += 1
        part = line
        while part and not part.endswith("\n"):
            part = self._text.readline(_MAX_LINE)
        return line

    def close(self) -> None:
        """Close the file."""
        self._text.close()


def _open(path: str) -> TextIO:
    """The file as text; its first bytes determine whether it is compressed, not its name."""
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    # Invalid UTF-8 only invalidates its own row.
    if compressed:
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n"))
    return open(path, encoding="utf-8-sig", errors="replace", newline="\n")


def _cells(line: str) -> list[str]:
    """The cells of a line. Raises ValueError for unclosed quotes."""
    try:
        return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], strict=True), [])]
    except csv.Error as error:
        raise ValueError(f"expected cells between commas, got {line[:40]!r} ({error})") from None


def parse_header(path: str, names: list[str]) -> tuple[Header, list[str]]:
    """The indexes of the known columns, and the names of unknown ones.

    Raises:
        Unavailable: a column is missing or duplicated.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in places:
            raise Unavailable(f"{path}, line 1: the column {name} is duplicated")
        places[name] = place
    missing = [name for name in REQUIRED if name not in places]
    for group in GROUPS:
        if any(name in places for name in group):
            missing += [name for name in group if name not in places]
    if missing:
        raise Unavailable(
            f"{path}, line 1: the column {', '.join(missing)} is missing; expected {', '.join(REQUIRED)}, and of each "
            "of the orientation's columns all three or none"
        )
    known = {*REQUIRED, *OPTIONAL, *IGNORED, *(name for group in GROUPS for name in group)}
    unknown = [name for name in names if name not in known]
    return Header({name: place for name, place in places.items() if name in known}, len(names)), unknown


def parse_row(header: Header, cells: list[str]) -> tuple[Reading, int]:
    """The reading of a row, and its time in nanoseconds since 1970. Raises ValueError with the expectation."""
    if len(cells) != header.width:
        raise ValueError(f"expected {header.width} cells, got {len(cells)}")

    def number(name: str) -> float:
        cell = cells[header.places[name]]
        try:
            return float(cell)
        except ValueError:
            raise ValueError(f"{name}: expected a number, got {cell[:40]!r}") from None

    def three(group: tuple[str, str, str]) -> tuple[float, float, float] | None:
        if group[0] not in header.places:
            return None
        return number(group[0]), number(group[1]), number(group[2])

    attitude, acceleration, gyro, magnetic = map(three, GROUPS)
    reading = Reading(
        humidity=number("humidity"),
        temperature_humidity=number("temp_h"),
        pressure=number("pressure"),
        temperature_pressure=number("temp_p"),
        temperature_cpu=number("temp_cpu") if "temp_cpu" in header.places else None,
        attitude=Attitude(*attitude) if attitude else None,
        acceleration=Vector(*acceleration) if acceleration else None,
        gyro=Vector(*gyro) if gyro else None,
        magnetic=Vector(*magnetic) if magnetic else None,
    )
    return reading, parse_time("time_stamp", cells[header.places["time_stamp"]])


def parse_time(name: str, text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time, UTC by default. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: expected a time such as 2015-08-20 23:58:30, got {text[:40]!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
