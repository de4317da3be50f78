"""Recently lost points of each machine, read cheaply: full hours from the bucket hourly, the rest from raw.

Losses are rising totals, so a loss is a difference between two points. Read only from the raw bucket, a day of ten
machines would be a quarter of a million points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from collectors.outbox import LOSSES
from sensetig import policy
from sensetig.influxdb.client import Client, Series

_HOUR_MS = 3_600_000

#: The raw bucket is read from the start of the previous hour, because the summary of an hour may be late.
_RAW_HOURS = 1


class Loss(NamedTuple):
    """Lost points of a machine.

    Args:
        points: their number.
        last_ms: when the last of them was counted, in milliseconds since 1970; for an hourly value, its start.
    """

    points: int
    last_ms: int


def read(client: Client, now_seconds: float, since_seconds: float) -> dict[str, Loss]:
    """The losses of each machine within the period, and within :data:`policy.LOSS_SECONDS`. Raises InfluxDBError."""
    now_ms = int(now_seconds * 1000)
    begin_ms = now_ms - int(min(since_seconds, policy.LOSS_SECONDS) * 1000)
    raw_ms = max(begin_ms, (now_ms // _HOUR_MS - _RAW_HOURS) * _HOUR_MS)
    answers = client.query_all([_query(field, raw_ms, now_ms + 1, _HOUR_MS) for field in LOSSES])
    if begin_ms < raw_ms:
        hours = [_query(f"{field}__max", begin_ms, raw_ms, 2 * _HOUR_MS) for field in LOSSES]
        answers += client.query_all(hours, "hourly")
    return summed(series for answer in answers for series in answer)


def _query(field: str, begin_ms: int, end_ms: int, before_ms: int) -> str:
    """The differences within a period; the first is relative to a point before it."""
    return (
        f'SELECT "lost" FROM (SELECT non_negative_difference("{field}") AS "lost" FROM "delivery" '  # noqa: S608 - no input
        f'WHERE time >= {begin_ms - before_ms}ms AND time < {end_ms}ms GROUP BY "host", "site", "stage") '
        f'WHERE "lost" > 0 AND time >= {begin_ms}ms AND time < {end_ms}ms GROUP BY "host"'
    )


def summed(answers: Iterable[Series]) -> dict[str, Loss]:
    """The losses of each machine in rows of time and number."""
    found: dict[str, Loss] = {}
    for series in answers:
        host = series.tags.get("host", "")
        for time_ms, number in ((row[0], row[1]) for row in series.rows):
            if host and isinstance(time_ms, int | float) and isinstance(number, int | float):
                before = found.get(host, Loss(0, 0))
                found[host] = Loss(before.points + int(number), max(before.last_ms, int(time_ms)))
    return found
