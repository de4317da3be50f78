"""The Environment dashboard: values derived from the readings, such as the pressure tendency, comfort, and days."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.common import VizTextDisplayOptions
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from collectors.sensehat import MEASUREMENTS
from grafana.dashboards.lib import best, thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.heatmap import by_day, by_hour
from grafana.dashboards.lib.panels import Panel, number
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties, range_map
from sensetig import policy

_SOURCE = Source(MEASUREMENTS)

_STEADY, _SLOW, _QUICK, _RAPID = policy.PRESSURE_TENDENCY_HPA

#: How pressure has changed over three hours, in words.
_TENDENCY = (
    (None, -_RAPID, "↓ falls very rapidly", thresholds.LOOK),
    (-_RAPID, -_QUICK, "↓ falls quickly", thresholds.LOOK),
    (-_QUICK, -_SLOW, "↘ falls", thresholds.PLAIN),
    (-_SLOW, -_STEADY, "↘ falls slowly", thresholds.PLAIN),
    (-_STEADY, _STEADY, "→ steady", thresholds.PLAIN),
    (_STEADY, _SLOW, "↗ rises slowly", thresholds.PLAIN),
    (_SLOW, _QUICK, "↗ rises", thresholds.PLAIN),
    (_QUICK, _RAPID, "↑ rises quickly", thresholds.PLAIN),
    (_RAPID, None, "↑ rises very rapidly", thresholds.LOOK),
)

#: The degrees of comfort of the humidex, by Environment and Climate Change Canada: little or no discomfort up to 29,
#: some up to 39, great up to 45, dangerous above. Below 20 it says nothing, and the room is cool.
#: https://climate.weather.gc.ca/glossary_e.html (humidex); J. M. Masterton, F. A. Richardson: Humidex (1979).
_COMFORT = (
    (None, 18.0, "cool", "blue"),
    (18.0, 30.0, "comfortable", thresholds.GOOD),
    (30.0, 40.0, "some discomfort", thresholds.LOOK),
    (40.0, 45.0, "great discomfort", thresholds.ACT),
    (45.0, None, "dangerous heat", thresholds.ACT),
)

#: Shown before the first hour is over.
NO_HOURS = "No hours in this time range; the first comes two minutes after a full hour"

#: The columns of the tables of days and months: the aggregate of their hours, unit and decimals.
COLUMNS = {
    "Coldest": ("min", "celsius", 1),
    "Temperature": ("mean", "celsius", 1),
    "Warmest": ("max", "celsius", 1),
    "Driest": ("min", "percent", 0),
    "Humidity": ("mean", "percent", 0),
    "Dampest": ("max", "percent", 0),
    "Dew point": ("mean", "celsius", 1),
}

#: The fields of each column, the best first.
DAILY = {
    **dict.fromkeys(("Coldest", "Temperature", "Warmest"), best.TEMPERATURE),
    **dict.fromkeys(("Driest", "Humidity", "Dampest"), best.HUMIDITY),
}


def rows() -> Iterable[Row]:
    yield Row("environment", "By day", _days(), order=15)


def extremes() -> str:
    """The columns that a table of days or months selects from the bucket of hours."""
    forms = ('min("{}__min")', 'mean("{}")', 'max("{}__max")')
    air = (
        best.columns(form, name, DAILY[name])
        for names in (("Coldest", "Temperature", "Warmest"), ("Driest", "Humidity", "Dampest"))
        for form, name in zip(forms, names, strict=True)
    )
    return ", ".join((*air, 'mean("dew_point_celsius") AS "Dew point"'))


def tendency(source: Source) -> Panel:
    """The mean pressure of the last ten minutes less that of the ten minutes three hours before."""
    scope = 'FROM "environment" WHERE $scope AND "sensor" = \'lps25h\' AND time'
    panel = number(
        "Pressure tendency",
        f"The change of pressure over three hours, in the terms of the marine forecast: slowly up to {_SLOW} hPa, "
        f"quickly from {_QUICK}, very rapidly from {_RAPID:.0f}. Falling quickly: wind and rain are near.",
        source.written(
            'SELECT mean("now") - mean("before") AS "Tendency" FROM '  # noqa: S608 - no input
            f'(SELECT "pressure_hpa" AS "now" {scope} > ${{__to}}ms - 10m), '
            f'(SELECT "pressure_hpa" AS "before" {scope} > ${{__to}}ms - 190m AND time <= ${{__to}}ms - 180m)',
            unit="hpa",
            table=True,
        ),
        decimals=1,
        size=(7, 3),
        no_data="not enough readings",
    )
    return panel.time_from("190m").hide_time_override(True).mappings(range_map(_TENDENCY))


#: The values of the air now: the best that is known of each, and the raw ones.
_NOW = {"Temperature": best.TEMPERATURE, "Humidity": best.HUMIDITY, "Pressure": best.PRESSURE}
_READ = {
    "Dew point": "dew_point_celsius",
    "Raw temperature": "temperature_raw_celsius",
    "Raw humidity": "humidity_raw_percent",
}


def now(source: Source) -> stat.Panel:
    """The air of the last minute, in one panel."""
    humid = {name: ("hts221", field) for name, field in _READ.items()}
    for name, fields in _NOW.items():
        sensor = "lps25h" if name == "Pressure" else "hts221"
        humid |= {each: (sensor, field) for each, field in zip(best.numbered(name, fields), fields, strict=True)}

    def of(sensor: str) -> str:
        columns = ", ".join(f'"{field}" AS "{name}"' for name, (where, field) in humid.items() if where == sensor)
        return f'(SELECT {columns} FROM "environment" WHERE $scope AND "sensor" = \'{sensor}\')'  # noqa: S608 - no input

    shown = ", ".join(f'mean("{name}") AS "{name}"' for name in humid)
    panel = number(
        "Now",
        "Temperature, humidity and pressure: the best that is known, as the device's calibration corrects them, else "
        "with the processor's heat taken out by the compensation factor, else raw. A raw sensor is warmer and drier "
        f"than the room. Dew point: from {policy.DEW_POINT_CELSIUS[1]} °C the air feels close. Pressure is not reduced "
        "to sea level.",
        source.written(
            f"SELECT {shown} FROM {of('hts221')}, {of('lps25h')} WHERE $timeFilter",  # noqa: S608 - no input
            table=True,
            unit="celsius",
        ),
        decimals=1,
        columns=f"/^({'|'.join((*_NOW, *_READ))})$/",
        recent=True,
        size=(24, 5),  # on a phone, two rows
        no_data="no reading within a minute",
    )
    for name in (*_NOW, *_READ):
        unit = "pressurehpa" if name == "Pressure" else "percent" if "umidity" in name else "celsius"
        panel.override_by_name(
            name, properties(unit=unit, noValue="–", **({"decimals": 0} if unit == "percent" else {}))
        )
    shown_in_order = {name: index for index, name in enumerate((*_NOW, *_READ))}
    return best.choose(panel, _NOW).with_transformation(
        DataTransformerConfig(
            id_val="organize", options={"excludeByName": {}, "indexByName": shown_in_order, "renameByName": {}}
        )
    )


def comfort(source: Source, *, no_data: str) -> Panel:
    """The humidex of the room; the raw temperature is that of the board, and would be too high."""
    # The water vapour's pressure from the dew point, in hPa, and a degree for each 1.8 hPa above 10.
    vapour = '6.11 * exp(5417.753 * (0.003660858 - 1 / (273.15 + mean("dew_point_celsius"))))'
    rooms = best.TEMPERATURE[:2]
    selected = best.columns(f'mean("{{}}") + 0.5555 * ({vapour} - 10)', "Humidex", rooms)
    panel = number(
        "Comfort",
        "How warm the air feels, by the humidex, which adds the effect of humidity to the temperature: from 30 some "
        "discomfort, from 40 great, from 45 dangerous. Needs a calibration or a compensation factor.",
        source.written(
            f'SELECT {selected} FROM "environment" WHERE $scope '  # noqa: S608 - no input
            "AND \"sensor\" = 'hts221' ",
            unit="",
            table=True,
        ),
        decimals=0,
        columns="/^Humidex$/",
        recent=True,
        size=(4, 3),
        no_data=no_data,
    )
    # Small enough for the longest word in a narrow panel.
    panel.text(VizTextDisplayOptions().title_size(13).value_size(18))
    return best.choose(panel, {"Humidex": rooms}).mappings(range_map(_COMFORT))


def _days() -> list[Panel]:
    means = best.columns('mean("{}")', "Temperature", best.TEMPERATURE)
    hours = "WHERE $scope AND \"sensor\" = 'hts221' GROUP BY time(1h) fill({})"
    return [
        by_hour(
            "Temperature by day and hour",
            "The mean of each two hours of the last seven days, a column per day, calibrated or compensated where "
            "available. A cold cell among warm ones is an open window; a warm night is heating that does not switch "
            "off.",
            _SOURCE.written(
                f'SELECT {means} FROM "environment" {hours.format("null")}',  # noqa: S608 - no input
                table=True,
            ),
            column="Temperature",
            days=6,
            calc="mean",
            decimals=0,
            colours="continuous-BlPu",
            before=best.chosen({"Temperature": best.TEMPERATURE}),
        ),
        by_day(
            "Minimum, mean and maximum by day",
            "The last week, by calendar day in your time zone, up to the last full hour, calibrated or compensated "
            "where available.",
            _SOURCE.written(
                f'SELECT {extremes()} FROM "hourly".."environment" {hours.format("none")}',  # noqa: S608 - no input
                table=True,
            ),
            columns=COLUMNS,
            days=7,
            before=best.chosen(DAILY),
            size=(24, 10),
            no_data=NO_HOURS,
        ),
    ]
