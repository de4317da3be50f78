"""What goes wrong while InfluxDB is set up."""

from __future__ import annotations


class SetupError(Exception):
    """InfluxDB could not be set up; the message says in one sentence why, and what to do. It never holds a secret."""
