"""Setting Grafana up for what no file can provision: the account that live points come from."""

from __future__ import annotations

from sensetig.grafana.live import Outcome, prepare

__all__ = ["Outcome", "prepare"]
