"""The devices in InfluxDB, and InfluxQL strings of their names."""

from __future__ import annotations

from sensetig.influxdb.client import Client


def quoted(text: str) -> str:
    """A text as an InfluxQL string.

    >>> quoted("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def hosts(client: Client) -> list[str]:
    """All devices with points within the retention period, sorted. Raises InfluxDBError."""
    named: set[str] = set()
    for database in ("raw", "hourly"):
        for series in client.query('SHOW TAG VALUES WITH KEY = "host"', database):
            named.update(str(row[1]) for row in series.rows)
    return sorted(named)
