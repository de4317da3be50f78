"""The History dashboard: months and years from the hourly summaries, whatever the resolution."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from collectors.camera.measurements import CAMERA_EVENT
from collectors.pi import MEASUREMENTS as PI
from collectors.sensehat import MEASUREMENTS as SENSEHAT
from collectors.system import MEASUREMENTS as SYSTEM
from collectors.telemetry import MEASUREMENTS as TELEMETRY
from grafana.dashboards.boards import weather
from grafana.dashboards.lib import best, thresholds
from grafana.dashboards.lib.bands import band
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.heatmap import BY_MONTH, MONTHS, by_day, by_hour
from grafana.dashboards.lib.panels import Panel, lines, number, words
from grafana.dashboards.lib.query import SPREAD, Source, Target
from grafana.dashboards.lib.style import properties
from sensetig import policy

_SOURCE = Source((CAMERA_EVENT,), PI, SENSEHAT, SYSTEM, TELEMETRY)

_NONE = weather.NO_HOURS

_HOW = """\
All panels read the bucket `hourly`, which has the mean, minimum and maximum of each hour. A line is the mean; the band
around it reaches from the minimum to the maximum. The latest hour appears two minutes after it ends. **Resolution** is
an hour, a day, a week or a month.
"""


def rows() -> Iterable[Row]:
    yield Row("history", "", _glance(), order=0)
    yield Row("history", "Air", _air(), order=10)
    yield Row("history", "Device", _device(), order=20)
    yield Row("history", "By month", _months(), order=30)
    yield Row("history", "Events and power", _events(), order=40)


#: The extremes of the time range: the aggregate of the hours, and the fields, the best first.
_EXTREMES = {
    "Coldest": ('min("{}__min")', best.TEMPERATURE),
    "Mean": ('mean("{}")', best.TEMPERATURE),
    "Warmest": ('max("{}__max")', best.TEMPERATURE),
    "Most humid": ('max("{}__max")', best.HUMIDITY),
}


def _glance() -> list[Panel]:
    columns = ", ".join(best.columns(form, name, fields) for name, (form, fields) in _EXTREMES.items())
    panel = number(
        "Extremes",
        "The lowest, mean and highest temperature and the highest relative humidity of the time range, calibrated or "
        f"compensated where available. Above {policy.HUMIDITY_PERCENT[2]} % for days, mould grows.",
        _SOURCE.written(
            f'SELECT {columns} FROM "hourly".."environment" WHERE $scope AND "sensor" = \'hts221\'',  # noqa: S608 - no input
            table=True,
            unit="celsius",
        ),
        decimals=1,
        columns=f"/^({'|'.join(_EXTREMES)})$/",
        size=(12, 5),
        no_data="no hours in this time range",
    )
    panel.override_by_name("Most humid", properties(unit="percent"))
    chosen = best.choose(panel, {name: fields for name, (_, fields) in _EXTREMES.items()})
    return [chosen, words("", _HOW, size=(12, 5))]


def _air() -> list[Panel]:
    def of(fields: tuple[str, ...], sensor: str = "hts221", unit: str = "celsius") -> Target:
        """The spread of the best that is known, for each field there may be, and the mean of the raw one."""
        columns = ", ".join(
            best.columns(form, name, fields)
            for name, form in zip(SPREAD, ('min("{}__min")', 'mean("{}")', 'max("{}__max")'), strict=True)
        )
        return _SOURCE.written(
            f'SELECT {columns}, mean("{fields[-1]}") AS "raw" FROM "hourly".."environment" '  # noqa: S608 - no input
            f"WHERE $scope AND \"sensor\" = '{sensor}' GROUP BY time($interval) fill(null)",
            table=True,
            unit=unit,
        )

    def chosen(panel: timeseries.Panel, fields: tuple[str, ...]) -> timeseries.Panel:
        for change in best.chosen(dict.fromkeys(SPREAD, fields)):
            panel.with_transformation(change)
        unwanted = "|".join(f"{name} [0-9]" for name in SPREAD)
        return panel.with_transformation(
            DataTransformerConfig(id_val="filterFieldsByName", options={"exclude": {"pattern": f"/^({unwanted})$/"}})
        )

    return [
        chosen(
            band(
                "Temperature",
                "The best that is known, as in the extremes above: calibrated, else compensated, else raw. The raw "
                "line is warmer where the processor below warms the sensor.",
                of(best.TEMPERATURE),
                colour="blue",
                others={"raw": "orange"},
                decimals=1,
                size=(24, 11),
                no_data=_NONE,
                links={"Environment": "/d/sensetig-environment"},
            ),
            best.TEMPERATURE,
        ),
        chosen(
            band(
                "Humidity",
                "Relative humidity: calibrated, else compensated, else raw. Above "
                f"{policy.HUMIDITY_PERCENT[2]} % mould grows.",
                of(best.HUMIDITY, unit="percent"),
                colour="blue",
                others={"raw": "orange"},
                decimals=0,
                size=(12, 10),
                steps=thresholds.DAMP,
                no_data=_NONE,
            ),
            best.HUMIDITY,
        ),
        band(
            "Dew point",
            "The moisture in the air, which the processor's heat does not change: low in winter, close from "
            f"{policy.DEW_POINT_CELSIUS[1]} °C.",
            _SOURCE.spread("environment", "dew_point_celsius", where={"sensor": "hts221"}),
            colour="green",
            decimals=1,
            size=(12, 10),
            steps=thresholds.CLOSE,
            no_data=_NONE,
        ),
        chosen(
            band(
                "Pressure",
                "Air pressure at the board, not reduced to sea level. A deep band means unsettled weather.",
                of(best.PRESSURE, "lps25h", "hpa"),
                colour="purple",
                others={"raw": "orange"},
                size=(12, 10),
                no_data=_NONE,
            ),
            best.PRESSURE,
        ),
        lines(
            "Temperature by sensor",
            "The mean of each sensor: the Sense HAT's two, and others of the device.",
            _SOURCE.written(
                'SELECT mean("temperature_raw_celsius") AS "raw" FROM "hourly".."environment" WHERE $scope '
                'GROUP BY time($interval), "sensor" fill(null)',
                alias="$tag_sensor",
                unit="celsius",
            ),
            decimals=1,
            fill=0,
            size=(12, 10),
            no_data=_NONE,
        ),
    ]


def _device() -> list[Panel]:
    return [
        band(
            "CPU usage",
            "All cores together. A mean that rises from month to month is new work; a band that reaches 100 % is a "
            "peak of seconds.",
            _SOURCE.spread("cpu", "usage_idle", where={"cpu": "cpu-total"}, rest=True),
            colour="blue",
            unit="percent",
            low=0,
            high=100,
            decimals=0,
            no_data=_NONE,
            links={"Device": "/d/sensetig-device"},
        ),
        band(
            "Device temperature",
            "All sensors that the kernel knows; on a Raspberry Pi the processor. From the upper dashed line on it "
            "throttles.",
            _SOURCE.spread("temp", "temp"),
            colour="red",
            decimals=0,
            steps=thresholds.PROCESSOR,
            no_data=_NONE,
        ),
        band(
            "Memory usage",
            "Memory that programs hold. A mean that climbs for weeks and falls with a restart is a leak.",
            _SOURCE.spread("mem", "used_percent"),
            colour="purple",
            low=0,
            high=100,
            decimals=0,
            steps=thresholds.MEMORY,
            no_data=_NONE,
        ),
        lines(
            "Disk usage",
            "The maximum usage of each file system. Free some space before a line meets the upper dashed one.",
            _SOURCE.written(
                'SELECT max("used_percent__max") AS "used" FROM "hourly".."disk" WHERE $scope '
                'GROUP BY time($interval), "path" fill(null)',
                alias="$tag_path",
                unit="percent",
            ),
            low=0,
            high=100,
            decimals=0,
            steps=thresholds.DISK,
            no_data=_NONE,
        ),
    ]


def _months() -> list[Panel]:
    air = 'FROM "hourly".."environment" WHERE $scope AND "sensor" = \'hts221\''
    # Each hour is one point: to group them by the hour would say nothing new, and take ten times as long.
    means = best.columns('"{}"', "Temperature", best.TEMPERATURE)
    return [
        by_hour(
            "Temperature by month and hour",
            "The mean of each two hours of the day, a column per month, over the last year: how the daily cycle "
            "changes with the season.",
            _SOURCE.written(f"SELECT {means} {air}", table=True),
            column="Temperature",
            days=365,
            columns=BY_MONTH,
            calc="mean",
            colours="continuous-BlPu",
            before=best.chosen({"Temperature": best.TEMPERATURE}),
            no_data=_NONE,
        ),
        by_day(
            "Minimum, mean and maximum by month",
            "The last year, by calendar month in your time zone, calibrated or compensated where available.",
            _SOURCE.written(
                # A row a day, not an hour: 365 rows come in a tenth of the time of 8,760.
                f"SELECT {weather.extremes()} {air} GROUP BY time(1d) fill(none)",
                table=True,
            ),
            columns=weather.COLUMNS,
            days=365,
            rows=MONTHS,
            before=best.chosen(weather.DAILY),
            size=(24, 15),
            no_data=_NONE,
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            "Motion events",
            "The number of motion events that began, per interval.",
            _SOURCE.written(
                'SELECT sum("area_percent__count") AS "events" FROM "hourly".."camera_event" WHERE $scope '
                "AND \"kind\" = 'start' GROUP BY time($interval) fill(none)",
                alias="$col",
            ),
            low=0,
            decimals=0,
            bars=True,
            colours={"events": "orange"},
            legend=False,
            no_data="No motion in this time range",
            links={"Camera": "/d/sensetig-camera"},
        ),
        lines(
            "Under-voltage and throttling",
            "The share of each interval with under-voltage or with a throttled processor. Anything above 0 calls for "
            "a better supply or better cooling.",
            _SOURCE.written(
                'SELECT mean("under_voltage") * 100 AS "under-voltage", mean("throttled") * 100 AS "throttled" '
                'FROM "hourly".."pi" WHERE $scope GROUP BY time($interval) fill(null)',
                alias="$col",
                unit="percent",
            ),
            low=0,
            soft_high=1,
            decimals=1,
            fill=20,
            colours={"under-voltage": "orange", "throttled": "red"},
            no_data=weather.NO_HOURS,
        ),
    ]
