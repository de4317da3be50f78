"""Which bucket a panel reads: points, or hours where one point covers an hour or more.

The visible variable *Resolution* decides, and two hidden ones that follow it carry the decision into the queries. As
long as the device has hours of the last day alone, points are read in any case: a week of a new device is not empty.
Each of the two begins a line of a query: one holds an empty comment, the other the mark that makes the whole line a
comment. So a panel has a query for each bucket, and InfluxQL sees one of them.
"""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableHide, VariableRefresh

from grafana.dashboards.lib.query import FLUX

#: The beginning of the line that counts, and of the other.
SEEN, HIDDEN = "/**/", "--"

#: From this resolution on the bucket of hours is read.
FROM = "1h"

#: The values of the variables for each bucket, for queries that are filled in without Grafana.
OF_POINTS = {"points": SEEN, "hours": HIDDEN}
OF_HOURS = {"points": HIDDEN, "hours": SEEN}


#: From a first hour that is older than this on, hours are read.
SHORTEST = "24h"


def variables(measurement: str, tag: str) -> list[QueryVariable]:
    """The two hidden variables. Flux alone can give a value that no point holds.

    Args:
        measurement, tag: a measurement with hourly data of the device, and the tag with the device's name.
    """
    return [
        QueryVariable(name)
        .description(f"Follows Resolution: whether the line of a query that reads {what} counts.")
        .datasource(FLUX)
        .query(_query(measurement, tag, below, above))
        .definition(str(_query(measurement, tag, below, above)["query"]))
        .hide(VariableHide.HIDE_VARIABLE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        for name, what, below, above in (
            ("points", "points as they were measured", SEEN, HIDDEN),
            ("hours", "the summaries by the hour", HIDDEN, SEEN),
        )
    ]


def _query(measurement: str, tag: str, below: str, above: str) -> dict[str, Any]:
    return {
        "query": 'import "array"\n'
        'times = from(bucket: "hourly")\n'
        "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
        f'  |> filter(fn: (r) => r._measurement == "{measurement}" and r.{tag} =~ /^$host$/)\n'
        '  |> first() |> keep(columns: ["_time"]) |> sort(columns: ["_time"]) |> limit(n: 1)\n'
        '  |> findColumn(fn: (key) => true, column: "_time")\n'
        f"new = if length(arr: times) == 0 then true else int(v: times[0]) > int(v: now()) - int(v: {SHORTEST})\n"
        f'array.from(rows: [{{_value: if int(v: $interval) < int(v: {FROM}) or new then "{below}" else "{above}"}}])',
        "refId": "variable",
    }
