"""Tables by the calendar of the reader's time zone: heat maps of an hour of the day, and days with their extremes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, FieldColorModeId

from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.panels import NO_DATA, with_basics
from grafana.dashboards.lib.query import Target
from grafana.dashboards.lib.style import heading_width, nothing, properties, value_map

#: The period of a row of a table: its time format, the width of that, and its heading.
DAYS, MONTHS = ("YYYY-MM-DD ddd", 125, "Day"), ("YYYY-MM", 80, "Month")

#: The weekdays by their numbers in Moment's format ``E``.
_WEEK = {"1": "Mon", "2": "Tue", "3": "Wed", "4": "Thu", "5": "Fri", "6": "Sat", "7": "Sun"}

#: Hours in a row of a heat map: 24 rows would be higher than a window.
_HOURS = 2

#: The width of the column with the hours, and the least that Grafana gives to a column.
_HOUR, _LEAST = 60, 50


class Period(NamedTuple):
    """The columns of a heat map.

    Args:
        form: the format of the time of a column: equal texts are one column.
        width: of a column at least, in pixels; Grafana makes none narrower than 50.
        names: the headings of those texts, in order, where they are not the texts themselves.
    """

    form: str
    width: int = _LEAST
    names: Mapping[str, str] = {}


#: Columns are as narrow as Grafana allows: all fit into a window of 1280 pixels with the menu open.
BY_DAY, BY_WEEKDAY, BY_MONTH = Period("dd D", 57), Period("E", names=_WEEK), Period("MMM YY", 62)


def by_hour(
    title: str,
    description: str,
    target: Target,
    *,
    column: str,
    days: int,
    columns: Period = BY_DAY,
    calc: str = "sum",
    unit: str = "none",
    decimals: int = 0,
    colours: str = "continuous-blues",
    before: Sequence[DataTransformerConfig] = (),
    size: tuple[int, int] = (24, 14),
    no_data: str = NO_DATA,
) -> table.Panel:
    """A heat map: a column for each day, weekday or month, the newest first; a row for each two hours of the day.

    Days and hours are those of the reader's time zone. Grafana's own heat map has no hours of the day for an axis, so
    this is a table with coloured cells.

    Args:
        target: a table of hourly values; counts are 0 in hours without any.
        column: the name of the column with the values.
        days: how many days are shown, whatever the dashboard's time range; 0 for that range.
        columns: the period of a column.
        calc: how the values of a cell are combined: ``sum`` or ``mean``.
        colours: the name of Grafana's colour scheme, from little to much.
        before: transformations that come first.
    """
    panel = with_basics(table.Panel(), title, description, (target,), size, no_data, None)
    if days:
        panel.time_from(f"{days}d").hide_time_override(True)
    panel.cell_height(common.TableCellHeight.SM).show_header(True).min_width(columns.width)
    panel.unit(unit).decimals(decimals).color_scheme(FieldColor().mode(FieldColorModeId(colours)))
    if calc == "sum":
        panel.min(0).mappings(value_map({"0": ("·", "transparent")}))
    else:
        # Grafana would give a cell without a value the colour of the least.
        panel.mappings([nothing(" ", "transparent")])
    heading = "Hours"
    order = (heading, *columns.names)
    changes: tuple[tuple[str, dict[str, object]], ...] = (
        ("sortBy", {"fields": {}, "sort": [{"field": "Time", "desc": True}]}),
        *_split({"Period": f'"]{columns.form}["', "Hour": "]H["}),
        ("calculateField", _binary("Hour", "/", str(_HOURS), "Part")),
        ("calculateField", {"mode": "unary", "alias": heading, "unary": {"operator": "floor", "fieldName": "Part"}}),
        # A sum has no name from the datasource, which every column of the matrix would else be called by; and an hour
        # that the clocks run through twice is one cell.
        _grouped(("Period", heading), {column: (calc,)}),
        (
            "groupingToMatrix",
            {
                "columnField": "Period",
                "rowField": heading,
                "valueField": f"{column} ({calc})",
                "emptyValue": "null",
            },
        ),
        (
            "organize",
            {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(order)} if columns.names else {},
                "renameByName": {f"{heading}\\Period": heading, **columns.names},
            },
        ),
        ("sortBy", {"fields": {}, "sort": [{"field": heading}]}),
    )
    for change in before:
        panel.with_transformation(change)
    for id_val, options in changes:
        panel.with_transformation(DataTransformerConfig(id_val=id_val, options=options))
    # Hours that are not in the range, at both ends, stay blank.
    panel.override_by_regexp(
        f"/^(?!{heading}$)/",
        properties(
            custom__cellOptions={"type": "color-background", "mode": "basic"}, custom__align="center", noValue=" "
        ),
    )
    names = {str(at): (f"{at * _HOURS:02}–{at * _HOURS + _HOURS:02}", thresholds.PLAIN) for at in range(24 // _HOURS)}
    return panel.override_by_name(
        heading, properties(mappings=value_map(names), custom__width=_HOUR, custom__align="left", min=0, max=24)
    )


def _binary(left: str, operator: str, right: str, alias: str) -> dict[str, object]:
    """Options of a calculation with a column and a number, as Grafana 11 and later read them."""
    return {
        "mode": "binary",
        "alias": alias,
        "binary": {
            "left": {"matcher": {"id": "byName", "options": left}},
            "operator": operator,
            "right": {"fixed": right},
        },
    }


def by_day(
    title: str,
    description: str,
    target: Target,
    *,
    columns: Mapping[str, tuple[str, str, int]],
    days: int,
    rows: tuple[str, int, str] = DAYS,
    before: Sequence[DataTransformerConfig] = (),
    size: tuple[int, int] = (24, 8),
    no_data: str = NO_DATA,
) -> table.Panel:
    """A table with a row for each day, or month, in the reader's time zone, the newest first.

    Args:
        target: a table of hours.
        columns: for each column the aggregate of the hours (``min``, ``mean``, ``max``), its unit, its decimals.
        days: how many days are shown, whatever the dashboard's time range; 0 for that range.
        before: transformations that come first.
    """
    panel = with_basics(table.Panel(), title, description, (target,), size, no_data, None)
    if days:
        panel.time_from(f"{days}d").hide_time_override(True)
    panel.cell_height(common.TableCellHeight.SM).show_header(True)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS)).thresholds(thresholds.config(thresholds.NONE))
    renamed = {f"{name} ({calc})": name for name, (calc, _, _) in columns.items()}
    form, width, heading = rows
    for change in before:
        panel.with_transformation(change)
    for id_val, options in (
        *_split({"Day": f'"]{form}["'}),
        _grouped(("Day",), {name: (calc,) for name, (calc, _, _) in columns.items()}),
        (
            "organize",
            {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(("Day", *renamed))},
                "renameByName": {**renamed, "Day": heading},
            },
        ),
    ):
        panel.with_transformation(DataTransformerConfig(id_val=id_val, options=options))
    panel.sort_by([TableSortByFieldState().display_name(heading).desc(True)])
    for name, (_, unit, decimals) in columns.items():
        panel.override_by_name(
            name, properties(unit=unit, decimals=decimals, custom__align="right", custom__minWidth=heading_width(name))
        )
    return panel.override_by_name(heading, properties(custom__width=width))


def _split(columns: Mapping[str, str]) -> tuple[tuple[str, dict[str, object]], ...]:
    """Columns made of the time, each written in its form: JSON, with Moment's formats between ``]`` and ``[``."""
    # The time becomes the text of a JSON object, and the next step makes the columns of it.
    texts = ",".join(f'"{name}":{form}' for name, form in columns.items())
    return (
        ("formatTime", {"timeField": "Time", "outputFormat": "[{" + texts + "}]", "useTimezone": True}),
        ("extractFields", {"source": "Time", "format": "json", "replace": False, "keepTime": False}),
    )


def _grouped(by: Iterable[str], kept: Mapping[str, Iterable[str]]) -> tuple[str, dict[str, object]]:
    fields: dict[str, object] = {name: {"aggregations": [], "operation": "groupby"} for name in by}
    fields |= {name: {"aggregations": list(calcs), "operation": "aggregate"} for name, calcs in kept.items()}
    return "groupBy", {"fields": fields}
