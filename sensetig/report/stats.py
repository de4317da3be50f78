"""The figures for a report's text: plain values, queried from InfluxDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from collectors.core.jpeg import is_thumbnail
from sensetig.influxdb.client import Client, Series, Value
from sensetig.policy import (
    CPU_PERCENT,
    DISKS_ONLY,
    GAP_SECONDS,
    MEMORY_PERCENT,
    PROCESSOR_CELSIUS,
    SIGNS_OF_LIFE,
    Threshold,
)
from sensetig.report.devices import quoted
from sensetig.report.period import Period

#: Maximum number of outages listed; further ones are only counted.
MAX_OUTAGES = 200


class Quantity(NamedTuple):
    """A quantity whose range and mean the report states.

    Args:
        title: the beginning of the sentence.
        unit: Grafana's id.
        where: a condition that picks the series.
        inverted: report 100 minus the field.
        peak: report only the maximum, because a mean over several sensors would be meaningless.
        threshold: how to judge the maximum; None if it is not judged.
        by_mean: judge the mean, because short peaks are normal.
    """

    title: str
    measurement: str
    field: str
    unit: str
    where: str = ""
    inverted: bool = False
    peak: bool = False
    threshold: Threshold | None = None
    by_mean: bool = False


QUANTITIES = (
    Quantity("Room temperature", "environment", "temperature_compensated_celsius", "celsius", "\"sensor\" = 'hts221'"),
    Quantity("Temperature at the sensor", "environment", "temperature_raw_celsius", "celsius", "\"sensor\" = 'hts221'"),
    Quantity("Humidity at the sensor", "environment", "humidity_raw_percent", "percent", "\"sensor\" = 'hts221'"),
    Quantity("Air pressure", "environment", "pressure_hpa", "pressurehpa", "\"sensor\" = 'lps25h'"),
    Quantity(
        "CPU use",
        "cpu",
        "usage_idle",
        "percent",
        "\"cpu\" = 'cpu-total'",
        inverted=True,
        threshold=CPU_PERCENT,
        by_mean=True,
    ),
    Quantity("Memory use", "mem", "used_percent", "percent", threshold=MEMORY_PERCENT),
    Quantity("The hottest sensor of the device", "temp", "temp", "celsius", peak=True, threshold=PROCESSOR_CELSIUS),
)


class Spread(NamedTuple):
    """A quantity over the period; *before* is its mean over the previous one, or None if that has too little data."""

    quantity: Quantity
    least: float
    least_ms: int
    mean: float
    most: float
    most_ms: int
    before: float | None


class Disk(NamedTuple):
    """A file system: used bytes at the start and end of the period, and the used percentage at the end."""

    path: str
    first_bytes: float
    last_bytes: float
    full_percent: float
    between_seconds: float


class Flag(NamedTuple):
    """A firmware flag: the number of readings, in how many it was set, when last, and whether it was set since boot."""

    readings: int
    held: int
    last_ms: int | None
    since_boot: bool


class Picture(NamedTuple):
    """A camera event with its picture, a data URI of a JPEG."""

    time_ms: int
    camera: str
    score: float
    area_percent: float | None
    duration_seconds: float | None
    thumbnail: str


class Stats(NamedTuple):
    """The facts in a report's text. None is "not reported by this device", which differs from 0.

    Args:
        is_new: whether the device has no data before *first_ms*.
    """

    alive_by: str | None
    first_ms: int | None
    last_ms: int | None
    outages: tuple[tuple[int, int], ...]
    restarts: int | None
    spreads: tuple[Spread, ...]
    disks: tuple[Disk, ...]
    flags: dict[str, Flag]
    errors: dict[str, int]
    rejected: int | None
    events: int | None
    origins: tuple[str, ...]
    is_new: bool = False


def gather(client: Client, device: str, period: Period) -> Stats:
    """Query all of them. Raises ReportError."""
    ask = _Asking(client, device, period)
    alive = _alive(ask)
    first = last = None
    outages: tuple[tuple[int, int], ...] = ()
    is_new = False
    if alive:
        first, last, outages, is_new = _outages(ask, *alive)
    return Stats(
        alive[0] if alive else None,
        first,
        last,
        outages,
        _restarts(ask) if alive and alive[0] == "system" else None,
        tuple(_spreads(ask)),
        tuple(_disks(ask)),
        _flags(ask),
        _errors(ask),
        _rejected(ask),
        _events(ask),
        _origins(ask),
        is_new,
    )


class _Asking:
    """Queries for one device and one period in its bucket."""

    def __init__(self, client: Client, device: str, period: Period) -> None:
        self._client = client
        self.device = device
        self.period = period
        self.hourly = period.hourly

    def scope(self, period: Period | None = None) -> str:
        return f'"host" = {quoted(self.device)} AND {(period or self.period).condition()}'

    def all(self, *queries: str, database: str = "") -> list[list[Series]]:
        return self._client.query_all(queries, database or self.period.bucket)

    def one(self, query: str, database: str = "") -> list[Series]:
        (answer,) = self.all(query, database=database)
        return answer

    def value(self, query: str, database: str = "") -> float | None:
        return _number(_first(self.one(query, database)))

    def least(self, field: str) -> str:
        return f"{field}__min" if self.hourly else field

    def most(self, field: str) -> str:
        return f"{field}__max" if self.hourly else field

    def count(self, field: str) -> str:
        return f'sum("{field}__count")' if self.hourly else f'count("{field}")'


def _first(answer: Sequence[Series], column: int = 1) -> Value:
    return answer[0].rows[0][column] if answer and answer[0].rows else None


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None


def _time(answer: Sequence[Series]) -> int:
    return int(str(answer[0].rows[0][0]))


def _alive(ask: _Asking) -> tuple[str, str] | None:
    answers = ask.all(
        *(f'SELECT first("{field}") FROM "{name}" WHERE {ask.scope()}' for name, field in SIGNS_OF_LIFE)  # noqa: S608
    )
    return next((each for each, answer in zip(SIGNS_OF_LIFE, answers, strict=True) if answer), None)


def _outages(ask: _Asking, measurement: str, field: str) -> tuple[int, int, tuple[tuple[int, int], ...], bool]:
    """The first and the last point of the period, the silences, and whether the device is new.

    A device without data before the period was not silent until its first point: it did not exist.
    """
    first, last = ask.all(
        *(f'SELECT {pick}("{field}") FROM "{measurement}" WHERE {ask.scope()}' for pick in ("first", "last"))  # noqa: S608
    )
    least = 3600 if ask.hourly else GAP_SECONDS
    inner = f'SELECT elapsed("{field}", 1ms) AS "gap" FROM "{measurement}" WHERE {ask.scope()}'  # noqa: S608
    found = ask.one(f'SELECT "gap" FROM ({inner}) WHERE "gap" > {least * 1000} LIMIT {MAX_OUTAGES}')  # noqa: S608
    # An hourly point covers the whole hour: a silence begins at its end.
    lasting = 3_600_000 if ask.hourly else 0
    gaps = [
        (int(str(row[0])) - int(str(row[1])) + lasting, int(str(row[0]))) for row in (found[0].rows if found else [])
    ]
    begin, end = _time(first), _time(last)
    late = begin - ask.period.begin_ms > least * 1000
    is_new = late and not _known_before(ask, measurement, field)
    if late and not is_new:
        gaps.insert(0, (ask.period.begin_ms, begin))
    if ask.period.end_ms - end - lasting > least * 1000:
        gaps.append((end + lasting, ask.period.end_ms))
    return begin, end, tuple(gaps), is_new


def _known_before(ask: _Asking, measurement: str, field: str) -> bool:
    """Whether the device has written before the period, in a bucket that retains that time."""
    scope = f'"host" = {quoted(ask.device)} AND time < {ask.period.begin_ms}ms'
    query = f'SELECT last("{field}") FROM "{measurement}" WHERE {scope}'  # noqa: S608
    return any(ask.one(query, database) for database in ("raw", "hourly"))


def _restarts(ask: _Asking) -> int | None:
    """The number of resets of the uptime; the hourly bucket shows only resets that lower its minimum."""
    field = ask.least("uptime")
    inner = f'SELECT difference("{field}") AS "d" FROM "system" WHERE {ask.scope()}'  # noqa: S608
    found = ask.value(f'SELECT count("d") FROM ({inner}) WHERE "d" < 0')  # noqa: S608
    return int(found or 0)


def _spreads(ask: _Asking) -> list[Spread]:
    found = []
    for quantity in QUANTITIES:
        table, field = f'"{quantity.measurement}"', quantity.field
        where = f" AND {quantity.where}" if quantity.where else ""
        least, most, mean, before, count, counted = ask.all(
            f'SELECT min("{ask.least(field)}") FROM {table} WHERE {ask.scope()}{where}',  # noqa: S608
            f'SELECT max("{ask.most(field)}") FROM {table} WHERE {ask.scope()}{where}',  # noqa: S608
            _mean(ask, quantity, ask.period),
            _mean(ask, quantity, ask.period.before()),
            *(
                f"SELECT {ask.count(field)} FROM {table} WHERE {ask.scope(each)}{where}"  # noqa: S608
                for each in (ask.period, ask.period.before())
            ),
        )
        low, high, middle, past = (_number(_first(each)) for each in (least, most, mean, before))
        if low is None or high is None or middle is None:
            continue
        # The mean of a few minutes is not comparable with that of a week.
        if (_number(_first(counted)) or 0) < (_number(_first(count)) or 0) / 2:
            past = None
        if quantity.inverted:
            found.append(
                Spread(
                    quantity, 100 - high, _time(most), 100 - middle, 100 - low, _time(least),
                    None if past is None else 100 - past,
                )
            )  # fmt: skip
        else:
            found.append(Spread(quantity, low, _time(least), middle, high, _time(most), past))
    # The room temperature is preferred; the sensor's is shown only if there is no better value.
    if any(each.quantity is QUANTITIES[0] for each in found):
        found = [each for each in found if each.quantity is not QUANTITIES[1]]
    return found


def _mean(ask: _Asking, quantity: Quantity, period: Period) -> str:
    """Each point has equal weight, also for hourly data: docs/explanation/influxdb.md."""
    field = quantity.field
    where = f"{ask.scope(period)}" + (f" AND {quantity.where}" if quantity.where else "")
    if not ask.hourly:
        return f'SELECT mean("{field}") FROM "{quantity.measurement}" WHERE {where}'  # noqa: S608
    inner = (
        f'SELECT "{field}" * "{field}__count" AS "s", "{field}__count" AS "n" '  # noqa: S608
        f'FROM "{quantity.measurement}" WHERE {where}'
    )
    return f'SELECT sum("s") / sum("n") FROM ({inner})'  # noqa: S608


def _disks(ask: _Asking) -> list[Disk]:
    tail = f'FROM "disk" WHERE {ask.scope()} AND {DISKS_ONLY} GROUP BY "path"'
    first, last, full = ask.all(
        f'SELECT first("used") {tail}', f'SELECT last("used") {tail}', f'SELECT last("used_percent") {tail}'
    )
    by_path: dict[str, list[list[Value]]] = {}
    for answer in (first, last, full):
        for series in answer:
            by_path.setdefault(series.tags["path"], []).append(series.rows[0])
    disks = []
    for path, rows in sorted(by_path.items()):
        if len(rows) == 3:
            numbers = [_number(row[1]) for row in rows]
            if None not in numbers:
                begin, end, percent = (float(value or 0) for value in numbers)
                between = (int(str(rows[1][0])) - int(str(rows[0][0]))) / 1000
                disks.append(Disk(path, begin, end, percent, between))
    # The same file system mounted twice counts once: containers show it under several paths.
    seen: set[tuple[float, float, float]] = set()
    return [each for each in disks if (key := each[1:4]) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]


_FLAGS = ("under_voltage", "throttled", "frequency_capped", "soft_temperature_limit")


def _flags(ask: _Asking) -> dict[str, Flag]:
    found = {}
    for name in _FLAGS:
        true = f'"{name}__max" > 0' if ask.hourly else f'"{name}" = true'
        boot = f'"{name}_since_boot__max"' if ask.hourly else f'"{name}_since_boot"'
        readings, held, last, since = ask.all(
            f'SELECT {ask.count(name)} FROM "pi" WHERE {ask.scope()}',  # noqa: S608
            f'SELECT {ask.count(name)} FROM "pi" WHERE {ask.scope()} AND {true}'  # noqa: S608
            if not ask.hourly
            else f'SELECT sum("v") FROM (SELECT "{name}" * "{name}__count" AS "v" FROM "pi" WHERE {ask.scope()})',  # noqa: S608
            f'SELECT last("{ask.most(name)}") FROM "pi" WHERE {ask.scope()} AND {true}',  # noqa: S608
            f'SELECT last({boot}) FROM "pi" WHERE {ask.scope()}',  # noqa: S608
        )
        total = _number(_first(readings))
        if total:
            found[name] = Flag(
                int(total), round(_number(_first(held)) or 0), _time(last) if last else None, bool(_first(since))
            )
    return found


def _errors(ask: _Asking) -> dict[str, int]:
    """Failed readings of each collector, if any."""
    field = "errors"
    if ask.hourly:
        inner = f'SELECT "{field}" * "{field}__count" AS "v" FROM "collector" WHERE {ask.scope()} GROUP BY "collector"'  # noqa: S608
        answer = ask.one(f'SELECT sum("v") FROM ({inner}) GROUP BY "collector"')  # noqa: S608
    else:
        answer = ask.one(f'SELECT sum("{field}") FROM "collector" WHERE {ask.scope()} GROUP BY "collector"')  # noqa: S608
    found = {series.tags["collector"]: round(_number(series.rows[0][1]) or 0) for series in answer}
    return dict(sorted(found.items()))


def _rejected(ask: _Asking) -> int | None:
    """The number of values that the validation has rejected; None if it is unknown whether there was any validation."""
    scope = f'("device" = {quoted(ask.device)} OR "host" = {quoted(ask.device)}) AND {ask.period.condition()}'
    if ask.hourly:
        inner = f'SELECT "count" * "count__count" AS "v" FROM "telemetry_rejected" WHERE {scope}'  # noqa: S608
        found = ask.value(f'SELECT sum("v") FROM ({inner})')  # noqa: S608
    else:
        found = ask.value(f'SELECT sum("count") FROM "telemetry_rejected" WHERE {scope}')  # noqa: S608
    return None if found is None else int(found)


def _events(ask: _Asking) -> int | None:
    seen = ask.value(f'SELECT {ask.count("frames")} FROM "camera" WHERE {ask.scope()}')  # noqa: S608
    events = ask.value(
        f'SELECT {ask.count("area_percent")} FROM "camera_event" WHERE {ask.scope()} AND "kind" = \'start\''  # noqa: S608
    )
    if events is None:
        return 0 if seen else None
    return int(events)


def _origins(ask: _Asking) -> tuple[str, ...]:
    """``simulated`` and ``replayed``, if any data of the period is."""
    found = []
    for tag in ("simulated", "replayed"):
        answers = ask.all(
            *(
                f'SELECT last("{field}") FROM "{name}" WHERE {ask.scope()} AND "{tag}" = \'true\''  # noqa: S608
                for name, field in (("environment", "temperature_raw_celsius"), ("camera", "frames"))
            )
        )
        found += [tag] if any(answers) else []
    return tuple(found)


def pictures(client: Client, device: str, period: Period, most: int = 6) -> list[Picture]:
    """The pictures of the most prominent events, best first. Only the bucket ``raw`` keeps texts."""
    columns = '"thumbnail", "camera", "area_percent", "duration_seconds"'
    scope = f'"host" = {quoted(device)} AND {period.condition()}'
    answer = client.query(
        f'SELECT top("score", {most}), {columns} FROM "camera_event" '  # noqa: S608
        f"WHERE {scope} AND \"kind\" = 'end'"
    )
    found = []
    for time, score, thumbnail, camera, area, lasted in answer[0].rows if answer else []:
        # It is inserted into a page unescaped, so it must be a picture.
        if is_thumbnail(thumbnail) and _number(score) is not None:
            found.append(
                Picture(
                    int(str(time)), str(camera or ""), float(str(score)), _number(area), _number(lasted), str(thumbnail)
                )
            )  # fmt: skip
    return sorted(found, key=lambda each: -each.score)
