"""The Pipeline dashboard's row of the spools: collectors that are separate services deliver through them."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.spool import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, number
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_NONE = "No data of a spool in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "Spools", _spools(), order=30, collapsed=True)


def _spools() -> list[Panel]:
    return [
        number(
            "Lines lost in spools",
            "Lines that a spool dropped, in the whole time range: Telegraf was stopped for longer than the spool "
            "lasts, or the disk was full.",
            _SOURCE.total("spool", "dropped", "Lost"),
            steps=thresholds.NEVER,
            size=(6, 8),
        ),
        lines(
            "Lines waiting in spools",
            "Lines written and not yet delivered, every 10 s. A peak after a Telegraf restart is normal; a line that "
            "climbs means that Telegraf does not keep up.",
            _SOURCE.mean("spool", "waiting_lines", by=("spool",), function="max"),
            low=0,
            decimals=0,
            size=(9, 8),
            no_data=_NONE,
        ),
        lines(
            "Lines delivered from spools",
            "Lines delivered to Telegraf, per interval. After a restart of Telegraf, the lines of the minute before "
            "are delivered again, and stay one point each.",
            _SOURCE.mean("spool", "delivered", by=("spool",), function="sum"),
            low=0,
            decimals=0,
            bars=True,
            size=(9, 8),
            no_data=_NONE,
        ),
    ]
