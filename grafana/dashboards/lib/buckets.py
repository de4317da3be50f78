"""Which bucket a panel reads: points, or hours where one point stands for an hour or more.

The visible variable *Resolution* decides, and two hidden ones that follow it carry the decision into the queries. Each
of those begins a line of a query: one holds a comment that says nothing, the other the mark that makes the whole line a
comment. So a panel's query can be written out for both buckets, and InfluxQL sees the one that is meant.
"""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableHide, VariableRefresh

from grafana.dashboards.lib.query import FLUX

#: What stands before the line that counts, and before the other.
SEEN, HIDDEN = "/**/", "--"

#: From this resolution on the bucket of hours is read.
FROM = "1h"

#: What the variables hold for either bucket, for whoever fills in the queries without Grafana.
OF_POINTS = {"points": SEEN, "hours": HIDDEN}
OF_HOURS = {"points": HIDDEN, "hours": SEEN}


def variables() -> list[QueryVariable]:
    """The two hidden variables. Flux alone can give a value that no point holds."""
    return [
        QueryVariable(name)
        .description(f"Follows Resolution: whether the line of a query that reads {what} counts.")
        .datasource(FLUX)
        .query(_query(below, above))
        .definition(str(_query(below, above)["query"]))
        .hide(VariableHide.HIDE_VARIABLE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        for name, what, below, above in (
            ("points", "points as they were measured", SEEN, HIDDEN),
            ("hours", "the summaries by the hour", HIDDEN, SEEN),
        )
    ]


def _query(below: str, above: str) -> dict[str, Any]:
    return {
        "query": 'import "array"\n'
        f'array.from(rows: [{{_value: if int(v: $interval) < int(v: {FROM}) then "{below}" else "{above}"}}])',
        "refId": "variable",
    }
