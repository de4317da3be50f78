"""The points that have recently arrived in InfluxDB, by measurement."""

from __future__ import annotations

import csv
import io
import json
from urllib.parse import urlencode

from sensetig.influxdb.client import Client

#: The points of a series are those of its most frequent field; those of a measurement are the sum over its series.
#: InfluxDB does the counting, so that a hub of a thousand devices returns one row per measurement.
_COUNTS = """
from(bucket: {bucket})
    |> range(start: -{seconds}s)
    |> count()
    |> drop(columns: ["_field", "_start", "_stop"])
    |> max()
    |> group(columns: ["_measurement"])
    |> sum()
    |> keep(columns: ["_measurement", "_value"])
"""


def points(client: Client, bucket: str, seconds: int) -> dict[str, int]:
    """The points of each measurement whose time is within the last *seconds*. Raises InfluxDBError."""
    # A JSON string of printable characters is also a valid Flux string.
    query = _COUNTS.format(bucket=json.dumps(bucket), seconds=seconds)
    answer = client.request(
        "POST",
        f"/api/v2/query?{urlencode({'org': client.organisation})}",
        f"query the bucket {bucket!r}",
        body=json.dumps({"query": query, "type": "flux"}),
        headers={"Content-Type": "application/json", "Accept": "application/csv"},
    )
    rows = csv.DictReader(io.StringIO(answer.data.decode("utf-8", "replace")))
    return {row["_measurement"]: int(row["_value"]) for row in rows if (row.get("_value") or "").isdecimal()}
