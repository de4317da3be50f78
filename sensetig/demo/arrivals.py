"""Arrivals in InfluxDB: the points, fields and newest values of each measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from influxdb_client.client.flux_table import FluxRecord

from collectors.core.schema import COLLECTOR
from sensetig.declarations import Declared
from sensetig.influxdb.client import Client

_BASE = "from(bucket: bucket) |> range(start: start)\n"

#: A Flux table cannot mix value types, so values are dropped before tables are merged.
_COUNTS = _BASE + "|> count()"
_NEWEST = _BASE + "|> last()"

#: The tag that the demo's Telegraf adds to all its data; no other writer sets it.
INGEST_PATH = "ingest_path"

_TIME_AND_VALUE = {"_start", "_stop", "_time", "_value", "_field", "_measurement", "result", "table"}

#: Collectors that Telegraf runs as processors: their lines do not get Telegraf's global tags.
PROCESSORS = frozenset({"telemetry"})

Value = float | int | bool | str


class Reading(NamedTuple):
    """The newest value of one field of one series."""

    measurement: str
    tags: Mapping[str, str]
    field: str
    value: Value
    time: datetime


class Arrived(NamedTuple):
    """One measurement: points since the start, its fields, and the time of its newest point."""

    points: int
    fields: tuple[str, ...]
    newest: datetime
    through_telegraf: bool


class Arrivals(NamedTuple):
    """Everything that has arrived since the start."""

    measurements: Mapping[str, Arrived]
    readings: tuple[Reading, ...]


def query(client: Client, bucket: str, start: datetime) -> Arrivals:
    """What arrived in a bucket since *start*. Raises InfluxDBError."""
    parameters: dict[str, object] = {"bucket": bucket, "start": start}
    ask = client.api.query_api().query
    purpose = f"query the bucket {bucket!r}"
    counts, newest = (
        [record for table in client.call(purpose, ask, flux, params=parameters) for record in table.records]
        for flux in (_COUNTS, _NEWEST)
    )
    return gather(counts, newest)


def gather(counts: Iterable[FluxRecord], newest: Iterable[FluxRecord]) -> Arrivals:
    """Combine the counts of each field of each series, and their newest values, by measurement.

    A series has as many points as its most frequent field; a measurement has the sum over its series.
    """
    readings = tuple(
        Reading(
            record.values["_measurement"],
            _tags(record),
            record.values["_field"],
            # The response omits empty texts.
            "" if record.values["_value"] is None else record.values["_value"],
            record.values["_time"],
        )
        for record in newest
    )
    points: dict[str, dict[tuple[tuple[str, str], ...], int]] = {}
    for record in counts:
        series = points.setdefault(record.values["_measurement"], {})
        key = tuple(sorted(_tags(record).items()))
        series[key] = max(series.get(key, 0), record.values["_value"])
    measurements = {}
    for name in sorted(points):
        own = [reading for reading in readings if reading.measurement == name]
        if own:
            measurements[name] = Arrived(
                sum(points[name].values()),
                tuple(sorted({reading.field for reading in own})),
                max(reading.time for reading in own),
                all(_by_telegraf(reading) for reading in own),
            )
    return Arrivals(measurements, readings)


def _tags(record: FluxRecord) -> dict[str, str]:
    return {key: value for key, value in record.values.items() if key not in _TIME_AND_VALUE and value is not None}


def reporting(arrivals: Arrivals) -> set[str]:
    """The collectors whose self-metric came through Telegraf."""
    return {reading.tags["collector"] for reading in _own_metrics(arrivals)}


def _by_telegraf(reading: Reading) -> bool:
    """Whether Telegraf delivered the reading: it has its tag, or is a self-metric of a processor (no other route)."""
    return INGEST_PATH in reading.tags or (
        reading.measurement == COLLECTOR.name and reading.tags.get("collector") in PROCESSORS
    )


def _own_metrics(arrivals: Arrivals) -> list[Reading]:
    return [
        reading
        for reading in arrivals.readings
        if reading.measurement == COLLECTOR.name and "collector" in reading.tags and _by_telegraf(reading)
    ]


def came_through(name: str, arrived: Arrived, declared: Mapping[str, Declared]) -> bool:
    """Whether a measurement came through Telegraf; a processor's measurement always did."""
    return arrived.through_telegraf or (name in declared and not set(declared[name].collectors).isdisjoint(PROCESSORS))


def missing(arrivals: Arrivals, expected: Iterable[str], declared: Mapping[str, Declared]) -> list[str]:
    """The collectors in *expected* whose data has not arrived through Telegraf.

    A collector has arrived once its self-metric and at least one of its measurements came through Telegraf. A collector
    that prints nothing because it writes to InfluxDB directly has arrived once that data is there.
    """
    there = reporting(arrivals)
    printing_nothing = {
        reading.tags["collector"]
        for reading in _own_metrics(arrivals)
        if reading.field == "samples" and reading.value == 0
    }
    with_data = {
        collector
        for name, arrived in arrivals.measurements.items()
        if name in declared
        for collector in declared[name].collectors
        if came_through(name, arrived, declared) or collector in printing_nothing
    }
    return [name for name in expected if name not in there or name not in with_data]
