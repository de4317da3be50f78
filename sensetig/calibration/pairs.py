"""Pairs of a sensor's reading and a reference: from a table, or from samples matched with references by time."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from collectors.telemetry.calibration import CalibrationError, time_ns
from sensetig.calibration import CalibrateError


class Pair(NamedTuple):
    """The sensor's value and the true value at that time. *cpu* is the CPU's temperature, if known."""

    raw: float
    reference: float
    cpu: float | None = None


class Reference(NamedTuple):
    """The value of the reference instrument and its time, in nanoseconds since 1970."""

    time_ns: int
    value: float


class Sample(NamedTuple):
    """The value of the sensor and its time, in nanoseconds since 1970."""

    time_ns: int
    raw: float
    cpu: float | None = None


#: Larger than any sensor's reading in any unit; beyond it, squares lose their precision.
_MAX_ABSOLUTE = 1e12


def check(pairs: Sequence[Pair]) -> None:
    """Raise CalibrateError for a pair with an impossible value."""
    for place, pair in enumerate(pairs, 1):
        for value in (pair.raw, pair.reference, pair.cpu or 0.0):
            if not abs(value) <= _MAX_ABSOLUTE:
                raise CalibrateError(
                    f"pair {place} has the value {value:g}; it must be a finite number, as one reads it"
                )


def read_pairs(text: str, where: str) -> list[Pair]:
    """Parse a CSV of pairs whose header names the columns ``raw``, ``reference`` and optionally ``cpu``.

    Raises CalibrateError, with the line.
    """
    rows = _rows(text, where, ("raw", "reference"), ("cpu",))
    pairs = []
    for line, row in rows:
        cpu = row.get("cpu")
        pairs.append(
            Pair(
                _number(row["raw"], where, line, "raw"),
                _number(row["reference"], where, line, "reference"),
                None if cpu is None else _number(cpu, where, line, "cpu"),
            )
        )
    return pairs


def read_references(text: str, where: str) -> list[Reference]:
    """Parse a CSV of reference readings with the columns ``time`` and ``reference``.

    Times are in RFC 3339, UTC if there is no zone. Raises CalibrateError, with the line.
    """
    found = []
    for line, row in _rows(text, where, ("time", "reference"), ()):
        try:
            moment = time_ns(row["time"], f"{where}, line {line}", "time")
        except CalibrationError as error:
            raise CalibrateError(str(error)) from None
        found.append(Reference(moment, _number(row["reference"], where, line, "reference")))
    return found


def _rows(
    text: str, where: str, needed: Sequence[str], optional: Sequence[str]
) -> Iterable[tuple[int, dict[str, str]]]:
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        missing = [name for name in needed if name not in names]
        if missing or len(set(names)) < len(names):
            further = f" and, where known, {', '.join(optional)}" if optional else ""
            raise CalibrateError(
                f"{where}, line 1: expected the columns {', '.join(needed)} once each{further}, and got "
                f"{', '.join(names) or 'none'}"
            )
        rows = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise CalibrateError(
                    f"{where}, line {reader.line_num}: expected {len(names)} cells, and got {len(cells)}"
                )
            row = zip(names, (cell.strip() for cell in cells), strict=True)
            rows.append((reader.line_num, {name: cell for name, cell in row if name in (*needed, *optional)}))
    except csv.Error as error:
        raise CalibrateError(f"{where}, line {reader.line_num}: expected cells between commas ({error})") from None
    if not rows:
        raise CalibrateError(f"{where} has no row below its first line; add the readings")
    return rows


def _number(cell: str, where: str, line: int, name: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CalibrateError(f"{where}, line {line}: {name} is {cell[:40]!r}; it must be a finite number")
    return number


def matched(samples: Sequence[Sample], references: Sequence[Reference], window_seconds: float) -> list[Pair]:
    """Pair each reference with the mean of the samples within *window_seconds* of it; without any, it makes no pair."""
    ordered = sorted(samples)
    times = [sample.time_ns for sample in ordered]
    half = int(window_seconds * 1e9)
    pairs = []
    for reference in references:
        near = ordered[bisect_left(times, reference.time_ns - half) : bisect_right(times, reference.time_ns + half)]
        if near:
            mean = mean_of(near)
            pairs.append(Pair(mean.raw, reference.value, mean.cpu))
    return pairs


def mean_of(samples: Sequence[Sample]) -> Sample:
    """The mean of samples, at the time of the last; with the CPU's temperature if every sample has it."""
    cpus = [sample.cpu for sample in samples if sample.cpu is not None]
    return Sample(
        samples[-1].time_ns,
        math.fsum(sample.raw for sample in samples) / len(samples),
        math.fsum(cpus) / len(cpus) if len(cpus) == len(samples) else None,
    )
