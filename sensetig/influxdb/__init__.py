"""Setting InfluxDB up: organisation, buckets, mappings, tasks and scoped tokens, again and again to the same end."""

from __future__ import annotations

from sensetig.influxdb.errors import SetupError
from sensetig.influxdb.prepare import Outcome, Tokens, setup

__all__ = ["Outcome", "SetupError", "Tokens", "setup"]
