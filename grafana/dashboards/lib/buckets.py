"""Which bucket a panel reads: points, or hours where one point covers an hour or more.

The visible variable *Resolution* decides, and two hidden ones that follow it carry the decision into the queries. Each
of those begins a line of a query: one holds an empty comment, the other the mark that makes the whole line a comment.
So a panel has a query for each bucket, and InfluxQL sees one of them.
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
