"""Backups of a hub: InfluxDB with all its data and tokens, settings and secrets, Grafana, the state of devices."""

from __future__ import annotations

from sensetig.backup.errors import BackupError
from sensetig.backup.retention import Keep
from sensetig.backup.run import Made, Places, Restored, make, restore

__all__ = ["BackupError", "Keep", "Made", "Places", "Restored", "make", "restore"]
