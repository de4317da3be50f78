"""The best that is known of the air: calibrated where it is, else with the board's heat taken out, else as measured.

A query gives a column for each that there may be, and Grafana takes the first that has a value, row by row: InfluxQL
has no word for that.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from grafana.dashboards.lib.panels import first_with_value

TEMPERATURE = ("temperature_calibrated_celsius", "temperature_compensated_celsius", "temperature_raw_celsius")
HUMIDITY = ("humidity_calibrated_percent", "humidity_compensated_percent", "humidity_raw_percent")
PRESSURE = ("pressure_calibrated_hpa", "pressure_hpa")


def columns(form: str, name: str, fields: tuple[str, ...]) -> str:
    """The columns of a query: the form with each of the fields in it, under the column's name and a number.

    >>> columns('mean("{}")', "Pressure", PRESSURE)
    'mean("pressure_calibrated_hpa") AS "Pressure 1", mean("pressure_hpa") AS "Pressure 2"'
    """
    named = zip(fields, numbered(name, fields), strict=True)
    return ", ".join(f'{form.format(field)} AS "{each}"' for field, each in named)


def numbered(name: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the columns, the best first."""
    return tuple(f"{name} {place}" for place in range(1, len(fields) + 1))


def choose(panel: stat.Panel, wanted: Mapping[str, tuple[str, ...]]) -> stat.Panel:
    """The panel, which shows of each name the first of its numbered columns that has a value."""
    for change in chosen(wanted):
        panel.with_transformation(change)
    return panel


def chosen(wanted: Mapping[str, tuple[str, ...]]) -> list[DataTransformerConfig]:
    """What makes a column of each name, of the first of its numbered ones that has a value."""
    return [first_with_value(name, numbered(name, fields)) for name, fields in wanted.items()]
