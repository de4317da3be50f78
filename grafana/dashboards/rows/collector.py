"""The Pipeline dashboard: the self-metrics that the runner adds to every collector."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import stat

from collectors.core.schema import COLLECTOR
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import CLOCK, Panel, lines, listing, number, states
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import nothing, properties, stepped, value_map
from sensetig import policy

_SOURCE = Source((COLLECTOR,))

#: In words, what ``up`` says.
_UP = {"0": ("failing", thresholds.ACT), "1": ("up", thresholds.GOOD)}


def rows() -> Iterable[Row]:
    yield Row("pipeline", "", _glance(), order=0)
    yield Row("pipeline", "Over time", _over_time(), order=10)


def _glance() -> list[Panel]:
    return [
        number(
            "Last report",
            "When any collector last reported. More than a minute ago means that Telegraf is stopped or disconnected.",
            _SOURCE.newest("collector", "up"),
            time=True,
            size=(6, 4),
            no_data="none within a week",
        ),
        _now(),
        number(
            "Readings rejected",
            "Readings that failed or were out of range, in the whole time range. A few are normal after a start.",
            _SOURCE.total("collector", "errors", "Errors"),
            steps=thresholds.SELDOM,
            size=(6, 4),
        ),
        number(
            "Lines per minute",
            "Lines that all collectors emit in a typical minute of the last hour, without their self-metrics.",
            _SOURCE.written(
                'SELECT sum("samples") AS "Lines" FROM "collector" WHERE $scope GROUP BY time(1m) fill(none)',
            ),
            calc="median",
            size=(6, 4),
        )
        .time_from("1h")
        .hide_time_override(True),
        listing(
            "Collector status",
            "The latest report of each collector in the time range. One without a report within two minutes is silent; "
            "duration is empty for collectors that follow events.",
            _SOURCE.newest("collector", "up", by=("collector",), names=("Up",)),
            _SOURCE.written(
                f'SELECT last("up") AS "State" FROM "collector" WHERE $scope AND time > now() - {policy.GAP_SECONDS}s '  # noqa: S608 - no input
                'GROUP BY "collector"',
                table=True,
            ),
            _SOURCE.newest("collector", "duration_seconds", by=("collector",), names=("Duration",)),
            _SOURCE.total("collector", "samples", "Lines", by=("collector",)),
            _SOURCE.total("collector", "errors", "Errors", by=("collector",)),
            columns={
                "Collector": properties(custom__width=140),
                "Reported": properties(unit=CLOCK),
                "State": properties(
                    mappings=[*value_map(_UP), nothing("silent")],
                    custom__cellOptions={"type": "color-text"},
                    custom__align="left",
                ),
                "Duration": properties(unit="s", decimals=1, noValue="–"),
                "Errors": properties(
                    thresholds={
                        "mode": "absolute",
                        "steps": [
                            {"value": value, "color": colour} for value, colour in ((None, "text"), (1, "orange"))
                        ],
                    },
                    custom__cellOptions={"type": "color-text"},
                ),
            },
            order=("collector", "State", "Age", "Duration", "Lines", "Errors"),
            renamed={"collector": "Collector", "Age": "Reported"},
            joined_by="collector",
            hidden=("Up",),
            size=(24, 12),
            links={"Device": "/d/sensetig-device"},
        ),
    ]


def _now() -> stat.Panel:
    """The collectors of the last two minutes: one that collects each minute may be a few seconds late."""
    newest = '(SELECT last("up") AS "up" FROM "collector" WHERE $scope GROUP BY "collector")'
    panel = number(
        "Collectors now",
        "Collectors that reported within the last two minutes, and those of them whose latest batch failed as a whole; "
        "Telegraf's log has the reason.",
        _SOURCE.written(
            'SELECT count("up") AS "Reporting", count("up") - sum("up") AS "Failing" '  # noqa: S608 - no input
            f"FROM {newest} WHERE $timeFilter",
            table=True,
        ),
        columns="/^(Reporting|Failing)$/",
        recent=True,
        size=(6, 4),
        no_data="none within two minutes",
    )
    panel.time_from(f"{policy.GAP_SECONDS}s")
    return panel.override_by_name("Failing", properties(thresholds=stepped(thresholds.NEVER)))


def _over_time() -> list[Panel]:
    return [
        states(
            "Up",
            "When each collector worked. Red: whole batches failed; a gap: no report.",
            _SOURCE.mean("collector", "up", by=("collector",), function="min"),
            texts=_UP,
            size=(24, 7),
        ),
        lines(
            "Batch duration",
            "Time that a batch takes. It must stay well below the interval at which Telegraf collects.",
            _SOURCE.mean("collector", "duration_seconds", by=("collector",), function="max"),
            low=0,
            decimals=1,
            fill=0,
            size=(8, 9),
        ),
        lines(
            "Lines per report",
            "Lines emitted per report. A collector that falls to 0 has lost its source.",
            _SOURCE.mean("collector", "samples", by=("collector",)),
            low=0,
            decimals=0,
            fill=0,
            size=(8, 9),
        ),
        lines(
            "Errors",
            "Readings that failed or were rejected, per interval. Telegraf's log has the messages.",
            _SOURCE.mean("collector", "errors", by=("collector",), function="sum"),
            low=0,
            soft_high=1,
            decimals=0,
            bars=True,
            size=(8, 9),
        ),
    ]
