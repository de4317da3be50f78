"""The Collectors dashboard's row of the telemetry: what was refused, of which device and why."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.telemetry import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing, number
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_NONE = "nothing was refused"


def rows() -> Iterable[Row]:
    yield Row("collectors", "Telemetry", _telemetry(), order=20)


def _telemetry() -> list[Panel]:
    return [
        number(
            "Values refused",
            "Values, lines and messages that were refused, in the whole time range. Each is kept with its reason.",
            _SOURCE.written('SELECT sum("count") AS "Refused" FROM "telemetry_rejected" WHERE $scope', table=True),
            steps=thresholds.SELDOM,
            graph=False,
            size=(4, 8),
            no_data=_NONE,
        ),
        lines(
            "Refused by reason",
            "How many values were refused, per interval. A reason that goes on for long is a sensor that is broken, or "
            "a limit that does not fit.",
            _SOURCE.mean("telemetry_rejected", "count", by=("reason",), function="sum"),
            low=0,
            decimals=0,
            bars=True,
            size=(10, 8),
            no_data=_NONE,
        ),
        listing(
            "Refused by device",
            "What was refused of each device in the time range, the most first.",
            _SOURCE.written(
                'SELECT sum("count") AS "Refused" FROM "telemetry_rejected" WHERE $scope '
                'GROUP BY "device", "measurement", "field", "reason"',
                table=True,
            ),
            hidden=("Time",),
            order=("device", "measurement", "field", "reason", "Refused"),
            renamed={"device": "Device", "measurement": "Measurement", "field": "Field", "reason": "Reason"},
            sort="Refused",
            descending=True,
            size=(10, 8),
            no_data=_NONE,
        ),
    ]
