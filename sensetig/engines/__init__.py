"""Telegraf, InfluxDB and Grafana: found on this machine, or obtained from the first suitable source.

>>> from sensetig.engines import locate
>>> telegraf = locate("telegraf")  # an Engine, or None if it is neither installed nor cached
"""

from __future__ import annotations

from sensetig.engines.engine import Engine, EngineUnavailable
from sensetig.engines.sources import locate, obtain

__all__ = ["Engine", "EngineUnavailable", "locate", "obtain"]
