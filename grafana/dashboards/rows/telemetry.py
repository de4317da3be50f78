"""The Pipeline dashboard's rows of the telemetry: rejections by device and reason, and the states of devices."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.telemetry import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing, number
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties

_SOURCE = Source(MEASUREMENTS)

_NONE = "Nothing was rejected in this time range"

_OFF = "No data of the processor telemetry in this time range"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "Rejected telemetry", _telemetry(), order=15, collapsed=True)
    yield Row("pipeline", "Device states", _store(), order=40, collapsed=True)


def _telemetry() -> list[Panel]:
    return [
        number(
            "Values rejected",
            "Values, lines and messages that were rejected, in the whole time range. Each is kept with its reason.",
            _SOURCE.total("telemetry_rejected", "count", "Rejected"),
            steps=thresholds.SELDOM,
            size=(6, 6),
        ),
        lines(
            "Rejections by reason",
            "The number of rejected values, per interval. A reason that persists is a broken sensor, or a limit that "
            "does not fit.",
            _SOURCE.mean("telemetry_rejected", "count", by=("reason",), function="sum"),
            low=0,
            decimals=0,
            bars=True,
            size=(18, 6),
            no_data=_NONE,
        ),
        listing(
            "Rejections by device",
            "Rejections of each device in the time range, most frequent first.",
            _SOURCE.total("telemetry_rejected", "count", "Rejected", by=("device", "measurement", "field", "reason")),
            hidden=("Time",),
            order=("device", "measurement", "field", "reason", "Rejected"),
            renamed={"device": "Device", "measurement": "Measurement", "field": "Field", "reason": "Reason"},
            columns={
                "Rejected": properties(custom__width=110),
            },
            sort="Rejected",
            descending=True,
            size=(24, 6),
            no_data=_NONE,
        ),
    ]


def _store() -> list[Panel]:
    return [
        listing(
            "Device states",
            "The latest state of each device, the number of its messages, and the number of repeated ones.",
            _SOURCE.written(
                'SELECT last("status") AS "Status", last("messages") AS "Messages", last("duplicates") AS "Repeated" '
                'FROM "device_state" WHERE $scope GROUP BY "device"',
                table=True,
            ),
            hidden=("Time",),
            order=("device", "Status", "Messages", "Repeated"),
            renamed={"device": "Device"},
            columns={
                "Device": properties(custom__minWidth=150),
                "Status": properties(custom__width=90),
                "Messages": properties(custom__width=110),
                "Repeated": properties(custom__width=100),
            },
            sort="Device",
            size=(12, 8),
            no_data="No device in this time range",
        ),
        lines(
            "State writes",
            "Devices whose state was written, writes that were retried because another worker was faster, and "
            "failures, per interval. Many conflicts: too many workers share a device.",
            _SOURCE.mean(
                "device_store",
                "written",
                "conflicts",
                "failures",
                function="sum",
                names=("written", "conflicts", "failures"),
            ),
            low=0,
            decimals=0,
            bars=True,
            colours={"written": "green", "conflicts": "orange", "failures": "red"},
            size=(12, 8),
            no_data=_OFF,
        ),
        number(
            "States not written",
            "Devices whose state could not be written, in the whole time range. They are kept in memory and retried; "
            "the store is locked, full or unavailable.",
            _SOURCE.total("device_store", "failures", "Failures"),
            steps=thresholds.SELDOM,
            size=(6, 7),
        ),
        number(
            "Messages not counted",
            "Messages of devices beyond the setting `state_devices`, in the whole time range: raise it, or find the "
            "sender that keeps inventing names.",
            _SOURCE.total("device_store", "lost_messages", "Lost"),
            steps=thresholds.NEVER,
            size=(6, 7),
        ),
        lines(
            "State write time",
            "Duration of an attempt. Above a second its disk or network is slow, and messages wait.",
            _SOURCE.mean("device_store", "duration_seconds", by=("store",), function="max"),
            low=0,
            size=(6, 7),
            no_data=_OFF,
        ),
        lines(
            "Messages waiting",
            "Messages that were counted and not yet written, and those kept as a number only.",
            _SOURCE.mean(
                "device_store", "pending_messages", "unchecked_messages", function="max", names=("waiting", "unchecked")
            ),
            low=0,
            decimals=0,
            size=(6, 7),
            no_data=_OFF,
        ),
    ]
