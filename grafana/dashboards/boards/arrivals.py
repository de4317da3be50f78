"""The Pipeline dashboard: how old the newest point of each measurement is."""

from __future__ import annotations

from collections.abc import Iterable

from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, listing
from grafana.dashboards.lib.query import SCOPE, FluxTarget
from grafana.dashboards.lib.style import properties
from sensetig.policy import FORGOTTEN_DAYS


def rows() -> Iterable[Row]:
    yield Row("pipeline", "Latest data", [_ages()], order=34, collapsed=True)


def _ages() -> Panel:
    """InfluxQL needs the names of the measurements; Flux reads the last point of each series.

    It does so for each day of the range, so a long range would take much longer for the same answer.
    """
    conditions = " and ".join(f"r.{each.replace(chr(34), '')}" for each in SCOPE)
    panel = listing(
        "Latest point per measurement",
        f"Time of the device's latest point of each measurement within {FORGOTTEN_DAYS} days, oldest first. One that "
        "is much older than the rest has stopped, or records events that are rare.",
        FluxTarget(
            "from(bucket: v.defaultBucket)\n"
            "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
            f"  |> filter(fn: (r) => {conditions})\n"
            "  |> last()\n"
            '  |> keep(columns: ["_time", "_measurement"])\n'
            '  |> group(columns: ["_measurement"])\n'
            '  |> max(column: "_time")\n'
            "  |> group()\n"
            "  |> map(fn: (r) => ({Measurement: r._measurement, Newest: r._time, At: r._time}))\n"
            '  |> sort(columns: ["Newest"])\n'
        ),
        columns={
            "Measurement": properties(custom__width=220),
            "Newest": properties(unit="dateTimeFromNow", custom__width=150),
            "At": properties(unit="dateTimeAsLocal"),
        },
        order=("Measurement", "Newest", "At"),
        size=(24, 9),
        links={"Device": "/d/sensetig-device"},
    )
    return panel.time_from(f"{FORGOTTEN_DAYS}d").hide_time_override(True)
