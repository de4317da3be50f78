"""The Pipeline dashboard's rows of what Telegraf knows of itself, by its input ``internal``."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.core.schema import Field, Measurement, Tag
from collectors.outbox import DELIVERY, LOSSES
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, number
from grafana.dashboards.lib.query import HOURS, Source, switched
from grafana.dashboards.lib.style import paint, properties

#: The fields of ``inputs.internal`` of Telegraf 1.39 that are shown; no collector of this bundle declares them.
MEASUREMENTS = (
    Measurement(
        "internal_agent",
        "Telegraf as a whole.",
        (),
        (
            Field("metrics_gathered", int, "", "Points collected since Telegraf started.", 0),
            Field("gather_errors", int, "", "Gatherings that failed since Telegraf started.", 0),
        ),
    ),
    Measurement(
        "internal_gather",
        "Each input.",
        (Tag("input", "The input plugin."),),
        (Field("gather_time_ns", int, "nanoseconds", "Time that the newest gathering took.", 0),),
    ),
    Measurement(
        "internal_write",
        "Each output and its buffer.",
        (Tag("output", "The output plugin."),),
        (
            Field("buffer_size", int, "", "Points that wait in the buffer.", 0),
            Field("buffer_limit", int, "", "Points that the buffer holds at most.", 0),
            Field("metrics_written", int, "", "Points written since Telegraf started.", 0),
            Field("metrics_dropped", int, "", "Points lost from a full buffer since Telegraf started.", 0),
            Field("metrics_rejected", int, "", "Points that the service refused since Telegraf started.", 0),
            Field("write_errors", int, "", "Writes that failed since Telegraf started.", 0),
            Field("write_time_ns", int, "nanoseconds", "Time that the newest write took.", 0),
        ),
    ),
)

_SOURCE = Source(MEASUREMENTS)

_OFF = "No data of Telegraf itself in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "Telegraf", _telegraf(), order=20)


def _outputs(form: str) -> dict[str, str]:
    """The colours of Telegraf's outputs: to InfluxDB, or to the outbox before it, and to open panels."""
    return {form.format(output): colour for output, colour in (("influxdb_v2", "orange"), ("http", "green"))}


def _since_start(field: str, inner: str, column: str) -> str:
    """A counter of those outputs of Telegraf that keep points, since it started, under that column's name.

    Points for open panels go over HTTP and are in InfluxDB as well: a drop there loses nothing.
    """
    return (
        f'SELECT sum("{inner}") AS "{column}" FROM (SELECT last("{field}") AS "{inner}" FROM "internal_write" '  # noqa: S608 - all of it is this module's own
        'WHERE $scope AND "output" !~ /^http$/ GROUP BY "output") WHERE $timeFilter'
    )


def _lost() -> str:
    """Points lost in the chosen time, by every cause; 0 where none is lost. Long times are read by the hour."""

    def query(measurement: str, suffix: str, nothing: str) -> str:
        parts = [f'non_negative_difference("{field}{suffix}")' for field in LOSSES] + [nothing]
        inner = ", ".join(
            f'(SELECT {part} AS "lost" FROM {measurement} WHERE $scope GROUP BY "stage")'  # noqa: S608 - all of it is this module's own
            for part in parts
        )
        return f'SELECT sum("lost") AS "Lost" FROM {inner} WHERE $timeFilter'  # noqa: S608 - all of it is this module's own

    return switched(
        query('"delivery"', "", '0 * count("metrics_written")'),
        query(HOURS.format("delivery"), "__max", '0.0 * count("metrics_written")'),
    )


def _telegraf() -> list[Panel]:
    return [
        number(
            "Points lost",
            "Points lost in the chosen time: dropped from a full buffer, rejected, refused by InfluxDB, or damaged on "
            "the disk. Points lost by cause has the causes.",
            Source((DELIVERY,)).written(_lost(), table=True),
            steps=thresholds.NEVER,
            size=(6, 3),
        ),
        number(
            "Points rejected",
            "Points that InfluxDB rejected since Telegraf started, mostly for a field that changed its type. "
            "Telegraf's log has the field.",
            _SOURCE.written(_since_start("metrics_rejected", "rejected", "Rejected"), table=True),
            steps=thresholds.NEVER,
            recent=True,
            size=(6, 3),
        ),
        number(
            "Failed writes",
            "Writes that failed since Telegraf started; their points wait in the buffer and are retried.",
            _SOURCE.written(_since_start("write_errors", "errors", "Failed"), table=True),
            steps=thresholds.SELDOM,
            recent=True,
            size=(6, 3),
        ),
        number(
            "Failed collections",
            "Failures of whole inputs since Telegraf started; Collector status above has the collector.",
            _SOURCE.newest("internal_agent", "gather_errors", names=("Failed",)),
            steps=thresholds.SELDOM,
            recent=True,
            size=(6, 3),
        ),
        lines(
            "Points collected and written",
            "Points per second that come in and go out. Written below collected for long: the buffer fills.",
            _SOURCE.rate("internal_agent", "metrics_gathered", names=("collected",)),
            _SOURCE.rate("internal_write", "metrics_written", by=("output",), alias="written to $tag_output"),
            low=0,
            size=(12, 8),
            no_data=_OFF,
            colours={"collected": "blue", **_outputs("written to {}")},
        ),
        lines(
            "Buffer",
            "Points waiting to be written. A line that climbs: InfluxDB is offline or too slow; at the dashed limit "
            "the oldest points are dropped.",
            _SOURCE.mean("internal_write", "buffer_size", by=("output",), function="max", alias="waiting: $tag_output"),
            _SOURCE.mean("internal_write", "buffer_limit", by=("output",), function="max", alias="limit: $tag_output"),
            low=0,
            size=(12, 8),
            no_data=_OFF,
            colours=_outputs("waiting: {}"),
        ).override_by_regexp(
            "/^limit: /",
            properties(
                color=paint("red"),
                custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                custom__fillOpacity=0,
            ),
        ),
        lines(
            "Collection time",
            "Time that Telegraf takes to collect from each input. It must stay well below the interval; Batch "
            "duration has the collectors' own part.",
            _SOURCE.mean("internal_gather", "gather_time_ns", by=("input",), function="max"),
            low=0,
            size=(12, 8),
            no_data=_OFF,
        ),
        lines(
            "Write time",
            "Time that InfluxDB takes to accept a batch. Above a second: its disk or the network is slow.",
            _SOURCE.mean("internal_write", "write_time_ns", by=("output",), function="max"),
            low=0,
            colours=_outputs("{}"),
            size=(12, 8),
            no_data=_OFF,
        ),
    ]
