"""The devices that have written, and their names in InfluxQL."""

from __future__ import annotations

from sensetig.influxdb.client import Client


def quoted(text: str) -> str:
    """A text as InfluxQL spells it.

    >>> quoted("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def hosts(client: Client) -> list[str]:
    """Every device with points that are still kept, sorted. Raises InfluxDBError."""
    named: set[str] = set()
    for database in ("raw", "hourly"):
        for series in client.query('SHOW TAG VALUES WITH KEY = "host"', database):
            named.update(str(row[1]) for row in series.rows)
    return sorted(named)
