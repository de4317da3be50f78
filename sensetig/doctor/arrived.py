"""The points that have arrived in InfluxDB lately, by measurement."""

from __future__ import annotations

import csv
import io
import json
from urllib.parse import urlencode

from sensetig.influxdb.client import Client

#: A series has as many points as its most frequent field; a measurement, the sum over its series. All of it is counted
#: by InfluxDB, so that a hub of a thousand devices answers with a row per measurement.
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
    # A JSON string of printable characters is one of Flux, too.
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
