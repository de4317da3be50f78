"""InfluxDB's objects, as stored in the server."""

from __future__ import annotations

from typing import NamedTuple

from sensetig.influxdb.definitions import Bucket

#: A permission of a token: (``read`` or ``write``, the id of a bucket).
Permission = tuple[str, str]


class StoredBucket(NamedTuple):
    """A stored bucket."""

    id: str
    definition: Bucket


class StoredMapping(NamedTuple):
    """A stored mapping; *bucket_id* is its target."""

    id: str
    bucket_id: str
    default: bool


class StoredTask(NamedTuple):
    """A stored task."""

    id: str
    flux: str
    active: bool


class StoredToken(NamedTuple):
    """A listed token, without the secret; *permissions* is None if they are not about buckets.

    Args:
        made: the day of its creation.
    """

    id: str
    active: bool
    permissions: frozenset[Permission] | None
    description: str = ""
    made: str = ""
