"""The Pipeline dashboard's row of InfluxDB's own state, which a hub reads from its page of metrics."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.core.schema import Field, Measurement, Tag
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, number
from grafana.dashboards.lib.query import Source, switched
from sensetig.policy import LATE_SECONDS

#: The fields of InfluxDB 2.9's ``/metrics`` that ``telegraf/hub/influxdb.conf`` keeps. All are floats, as Prometheus'
#: format has them.
MEASUREMENTS = (
    Measurement(
        "influxdb",
        "InfluxDB's own state.",
        (
            Tag("bucket", "The bucket's id, where a figure is a bucket's.", optional=True),
            Tag("id", "The shard's number, where a figure is a shard's; or the server's id.", optional=True),
        ),
        (
            Field("go_memstats_sys_bytes", float, "bytes", "Memory that it has got from the system.", 0),
            Field("go_memstats_heap_inuse_bytes", float, "bytes", "Memory that holds something.", 0),
            Field("influxdb_uptime_seconds", float, "seconds", "Time since its start.", 0),
            Field("storage_bucket_series_num", float, "", "Series of a bucket.", 0),
            Field("storage_bucket_measurement_num", float, "", "Measurements of a bucket.", 0),
            Field("storage_tsm_files_disk_bytes", float, "bytes", "Size of a shard's compacted files.", 0),
            Field("storage_wal_size", float, "bytes", "Size of a shard's write-ahead log.", 0),
            Field("storage_cache_inuse_bytes", float, "bytes", "Memory of a shard's points not yet in its files.", 0),
            Field("storage_writer_dropped_points_sum", float, "", "Points dropped since its start.", 0),
            Field("storage_writer_err_points_sum", float, "", "Points that could not be written since its start.", 0),
            Field("task_scheduler_total_execution_calls", float, "", "Runs of tasks since its start.", 0),
            Field("task_scheduler_total_execute_failure", float, "", "Failed runs of tasks since its start.", 0),
        ),
    ),
)

_SOURCE = Source(MEASUREMENTS)

_OFF = "No figures of InfluxDB in this time range"

#: The figures come once a minute, and are written up to ten seconds later: within a minute there may be none.
_WITHIN = f"{2 * LATE_SECONDS}s"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "InfluxDB", [*_newest(), *_charts()], order=36, collapsed=True)


def _of_shards(field: str, name: str) -> str:
    """The total over the shards of each bucket: the sum of all their figures, by the number of collections.

    A bucket's own figures come once each time that InfluxDB is asked. With a hundred shards, this is ten times as fast
    as to add up the newest figure of each.
    """
    return switched(
        *(
            f'SELECT sum("{field}") / count("storage_bucket_series_num") AS "{name}" FROM {bucket}"influxdb" '  # noqa: S608 - no input
            'WHERE $scope AND "bucket" =~ /./ GROUP BY time($interval), "bucket" fill(null)'
            for bucket in ("", '"hourly"..')
        )
    )


def _newest() -> list[Panel]:
    tiles = [
        number(
            "Memory",
            "Memory that InfluxDB holds. Growth from day to day: too many series, or unbounded queries; the guide to "
            "InfluxDB has the limits to set. A hub's telegraf/hub/influxdb.conf reads these figures.",
            _SOURCE.mean("influxdb", "go_memstats_sys_bytes", names=("Memory",)),
            steps=thresholds.INFLUXDB_MEMORY,
            size=(8, 3),
        ),
        number(
            "Series",
            "Series of the largest bucket. Memory and query times grow with them: a tag with unbounded values, such "
            "as an id, makes too many.",
            _SOURCE.mean("influxdb", "storage_bucket_series_num", function="max", names=("Series",)),
            steps=thresholds.INFLUXDB_SERIES,
            decimals=0,
            size=(8, 3),
        ),
        number(
            "Points not written",
            "Points that InfluxDB failed to write or dropped since its start. Its log has the reason.",
            _SOURCE.mean(
                "influxdb",
                "storage_writer_err_points_sum",
                "storage_writer_dropped_points_sum",
                function="max",
                names=("failed", "dropped"),
            ),
            steps=thresholds.NEVER,
            size=(8, 3),
        ),
        number(
            "Failed tasks",
            "Downsampling runs that failed since InfluxDB's start. Hours may be missing in History until one "
            "succeeds; each run repeats the last 26 hours or an earlier block.",
            _SOURCE.mean("influxdb", "task_scheduler_total_execute_failure", function="max", names=("Failed",)),
            steps=thresholds.NEVER,
            size=(8, 3),
        ),
        number(
            "InfluxDB uptime",
            "Time since InfluxDB was started. An unexpectedly short one: it crashed, or memory ran out.",
            _SOURCE.mean("influxdb", "influxdb_uptime_seconds", function="max", names=("Running",)),
            size=(8, 3),
        ),
        number(
            "On disk",
            "Size of all buckets' files and write-ahead logs. On a hub with a card, it must leave room for the system.",
            _SOURCE.written(
                'SELECT (sum("storage_tsm_files_disk_bytes") + sum("storage_wal_size")) '
                '/ count("go_memstats_sys_bytes") AS "On disk" FROM "influxdb" WHERE $scope '
                "GROUP BY time($interval) fill(none)",
                unit="bytes",
            ),
            size=(8, 3),
        ),
    ]
    return [tile.time_from(_WITHIN) for tile in tiles]


def _charts() -> list[Panel]:
    return [
        lines(
            "Bucket size",
            "Compacted files, by bucket id (`influx bucket list` has the names). A bucket grows to its retention and "
            "stays; steps down are expired shards.",
            _SOURCE.written(_of_shards("storage_tsm_files_disk_bytes", "Files"), alias="$tag_bucket", unit="bytes"),
            low=0,
            size=(8, 8),
            no_data=_OFF,
        ),
        lines(
            "InfluxDB memory",
            "Memory obtained from the system, and the part of it that is in use.",
            _SOURCE.mean(
                "influxdb",
                "go_memstats_sys_bytes",
                "go_memstats_heap_inuse_bytes",
                names=("from the system", "in use"),
            ),
            low=0,
            size=(8, 8),
            no_data=_OFF,
        ),
        lines(
            "Series per bucket",
            "The number of series of each bucket, by id. A line that climbs for weeks: a tag has a new value for "
            "each point.",
            _SOURCE.mean("influxdb", "storage_bucket_series_num", by=("bucket",), function="max"),
            low=0,
            decimals=0,
            size=(8, 8),
            no_data=_OFF,
        ),
    ]
