"""Tables by the calendar of the reader's time zone: heat maps of an hour of the day, and days with their extremes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    DataTransformerConfig,
    FieldColorModeId,
    RegexMap,
    ValueMappingResult,
)

from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.panels import NO_DATA, with_basics
from grafana.dashboards.lib.query import Target
from grafana.dashboards.lib.style import nothing, properties, value_map

#: The period of a row of a heat map: its time format, the width of that, and its heading.
DAYS, WEEKDAYS, MONTHS = ("YYYY-MM-DD ddd", 125, "Day"), ("E dddd", 90, "Day"), ("YYYY-MM", 100, "Month")

#: The width of an hour: a day fits into a window of 1280 pixels with the menu open.
_HOUR, _ROW = 34, 90

#: What puts rows in order and is not shown, as a regular expression: the year, and the number of the weekday.
_PREFIXES = {DAYS: "[0-9]{4}-", WEEKDAYS: "[1-7] "}


def by_hour(
    title: str,
    description: str,
    target: Target,
    *,
    column: str,
    days: int,
    rows: tuple[str, int, str] = DAYS,
    calc: str = "sum",
    unit: str = "none",
    decimals: int = 0,
    colours: str = "continuous-blues",
    newest_first: bool = False,
    before: Sequence[DataTransformerConfig] = (),
    size: tuple[int, int] = (24, 10),
    no_data: str = NO_DATA,
) -> table.Panel:
    """A heat map: a row for each day, weekday or month, a column for each hour of the day in the reader's time zone.

    Grafana's own heat map has no hours of the day for an axis, so this is a table with coloured cells.

    Args:
        target: a table of values, one an hour; of counts, with 0 where there is none.
        column: the name of the column with the values.
        days: how many days are shown, whatever the dashboard's time range; 0 for that range.
        rows: the period of a row.
        calc: what becomes of the values of a cell: ``sum`` or ``mean``.
        colours: the name of Grafana's colour scheme, from little to much.
        newest_first: the newest row is the first one, and not the last.
        before: transformations that come first.
    """
    panel = with_basics(table.Panel(), title, description, (target,), size, no_data, None)
    if days:
        panel.time_from(f"{days}d")
    panel.cell_height(common.TableCellHeight.SM).show_header(True).min_width(30)
    panel.unit(unit).decimals(decimals).color_scheme(FieldColor().mode(FieldColorModeId(colours)))
    if calc == "sum":
        panel.min(0).mappings(value_map({"0": ("·", "transparent")}))
    else:
        # Grafana would give a cell without a value the colour of the least.
        panel.mappings([nothing(" ", "transparent")])
    hours = [f"{hour:02}" for hour in range(24)]
    form, width, heading = rows
    changes: tuple[tuple[str, dict[str, object]], ...] = (
        *_split({"Day": form, "Hour": "HH"}),
        # A sum has no name from the datasource, which every column of the matrix would else be called by; and an hour
        # that the clocks run through twice is one cell.
        _grouped(("Day", "Hour"), {column: (calc,)}),
        (
            "groupingToMatrix",
            {"columnField": "Hour", "rowField": "Day", "valueField": f"{column} ({calc})", "emptyValue": "null"},
        ),
        (
            "organize",
            {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(("Day\\Hour", *hours))},
                "renameByName": {"Day\\Hour": heading},
            },
        ),
        ("sortBy", {"fields": {}, "sort": [{"field": heading, **({"desc": True} if newest_first else {})}]}),
    )
    for change in before:
        panel.with_transformation(change)
    for id_val, options in changes:
        panel.with_transformation(DataTransformerConfig(id_val=id_val, options=options))
    cell = {"type": "color-background", "mode": "basic"}
    # Hours that are not in the range, at both ends, stay blank.
    blank = properties(custom__cellOptions=cell, custom__align="center", custom__width=_HOUR, noValue=" ")
    panel.override_by_regexp("/^[0-9]{2}$/", blank)
    look: dict[str, object] = {"custom__width": min(width, _ROW)}
    if rows in _PREFIXES:
        look["mappings"] = [
            RegexMap(
                options=DashboardRegexMapOptions(
                    pattern=f"^{_PREFIXES[rows]}(.*)$", result=ValueMappingResult(text="$1")
                )
            )
        ]
    return panel.override_by_name(heading, properties(**look))


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
        columns: for each column of it what becomes of the hours (``min``, ``mean``, ``max``), its unit, its decimals.
        days: how many days are shown, whatever the dashboard's time range; 0 for that range.
        before: transformations that come first.
    """
    panel = with_basics(table.Panel(), title, description, (target,), size, no_data, None)
    if days:
        panel.time_from(f"{days}d")
    panel.cell_height(common.TableCellHeight.SM).show_header(True).min_width(70)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS)).thresholds(thresholds.config(thresholds.NONE))
    renamed = {f"{name} ({calc})": name for name, (calc, _, _) in columns.items()}
    form, width, heading = rows
    for change in before:
        panel.with_transformation(change)
    for id_val, options in (
        *_split({"Day": form}),
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
        panel.override_by_name(name, properties(unit=unit, decimals=decimals, custom__align="right"))
    return panel.override_by_name(heading, properties(custom__width=width))


def _split(columns: Mapping[str, str]) -> tuple[tuple[str, dict[str, object]], ...]:
    """Columns made of the time, each written in its form."""
    # The time becomes the text of a JSON object, and the next step makes the columns of it.
    texts = ",".join(f'"{name}":"]{form}["' for name, form in columns.items())
    return (
        ("formatTime", {"timeField": "Time", "outputFormat": "[{" + texts + "}]", "useTimezone": True}),
        ("extractFields", {"source": "Time", "format": "json", "replace": False, "keepTime": False}),
    )


def _grouped(by: Iterable[str], kept: Mapping[str, Iterable[str]]) -> tuple[str, dict[str, object]]:
    fields: dict[str, object] = {name: {"aggregations": [], "operation": "groupby"} for name in by}
    fields |= {name: {"aggregations": list(calcs), "operation": "aggregate"} for name, calcs in kept.items()}
    return "groupBy", {"fields": fields}
