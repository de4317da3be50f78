"""The points that have arrived in InfluxDB lately, by measurement."""

from __future__ import annotations

from sensetig.influxdb.client import Client

#: A series has as many points as its most frequent field; a measurement, the sum over its series. All of it is counted
#: by InfluxDB, so that a hub of a thousand devices answers with a row per measurement.
_COUNTS = """
from(bucket: bucket)
    |> range(start: duration(v: since))
    |> count()
    |> drop(columns: ["_field", "_start", "_stop"])
    |> max()
    |> group(columns: ["_measurement"])
    |> sum()
"""


def points(client: Client, bucket: str, seconds: int) -> dict[str, int]:
    """The points of each measurement whose time is within the last *seconds*. Raises InfluxDBError."""
    ask = client.api.query_api().query
    tables = client.call(
        f"query the bucket {bucket!r}", ask, _COUNTS, params={"bucket": bucket, "since": f"-{seconds}s"}
    )
    return {record.values["_measurement"]: int(record.values["_value"]) for table in tables for record in table.records}
