"""The heat map of counts by day and hour."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, FieldColorModeId

from grafana.dashboards.lib.panels import NO_DATA, with_basics
from grafana.dashboards.lib.query import Target
from grafana.dashboards.lib.style import properties, value_map


def by_hour(
    title: str,
    description: str,
    target: Target,
    *,
    column: str,
    days: int,
    colours: str = "continuous-blues",
    size: tuple[int, int] = (24, 10),
    no_data: str = NO_DATA,
) -> table.Panel:
    """A heat map of a count: a row for each day, a column for each hour of the day in the reader's time zone.

    Grafana's own heat map has no hours of the day for an axis, so this is a table with coloured cells.

    Args:
        target: a table of counts, one an hour, with 0 where there is none.
        column: the name of the column with the counts.
        days: how many days are shown, whatever the dashboard's time range.
        colours: the name of Grafana's colour scheme, from few to many.
    """
    panel = with_basics(table.Panel(), title, description, (target,), size, no_data, None)
    panel.time_from(f"{days}d").cell_height(common.TableCellHeight.SM).show_header(True).min_width(38)
    panel.unit("none").decimals(0).min(0).color_scheme(FieldColor().mode(FieldColorModeId(colours)))
    panel.mappings(value_map({"0": ("·", "transparent")}))
    hours = [f"{hour:02}" for hour in range(24)]
    changes: tuple[tuple[str, dict[str, object]], ...] = (
        # The time becomes the text of a JSON object, of which the next step makes two columns.
        (
            "formatTime",
            {
                "timeField": "Time",
                "outputFormat": '[{"Day":"]YYYY-MM-DD ddd[","Hour":"]HH["}]',
                "useTimezone": True,
            },
        ),
        ("extractFields", {"source": "Time", "format": "json", "replace": False, "keepTime": False}),
        # A sum has no name from the datasource, which every column of the matrix would else be called by; and an hour
        # that the clocks run through twice is one cell.
        (
            "groupBy",
            {
                "fields": {
                    **{name: {"aggregations": [], "operation": "groupby"} for name in ("Day", "Hour")},
                    column: {"aggregations": ["sum"], "operation": "aggregate"},
                }
            },
        ),
        (
            "groupingToMatrix",
            {"columnField": "Hour", "rowField": "Day", "valueField": f"{column} (sum)", "emptyValue": "null"},
        ),
        (
            "organize",
            {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(("Day\\Hour", *hours))},
                "renameByName": {"Day\\Hour": "Day"},
            },
        ),
    )
    for id_val, options in changes:
        panel.with_transformation(DataTransformerConfig(id_val=id_val, options=options))
    cell = {"type": "color-background", "mode": "basic"}
    # Hours that are not in the range, at both ends, stay blank.
    blank = properties(custom__cellOptions=cell, custom__align="center", noValue=" ")
    panel.override_by_regexp("/^[0-9]{2}$/", blank)
    return panel.override_by_name("Day", properties(custom__width=130))
