"""Objects as InfluxDB holds them."""

from __future__ import annotations

from typing import NamedTuple

from sensetig.influxdb.definitions import Bucket

#: A permission of a token: (``read`` or ``write``, the id of a bucket).
Permission = tuple[str, str]


class StoredBucket(NamedTuple):
    """A bucket as InfluxDB holds it."""

    id: str
    definition: Bucket


class StoredMapping(NamedTuple):
    """A mapping as InfluxDB holds it; *bucket_id* is its target."""

    id: str
    bucket_id: str
    default: bool


class StoredTask(NamedTuple):
    """A task as InfluxDB holds it."""

    id: str
    flux: str
    active: bool


class StoredToken(NamedTuple):
    """A token as InfluxDB lists it, without the secret; *permissions* is None if they are not about buckets.

    Args:
        made: the day on which it was made.
    """

    id: str
    active: bool
    permissions: frozenset[Permission] | None
    description: str = ""
    made: str = ""
