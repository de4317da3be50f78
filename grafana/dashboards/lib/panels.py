"""Panels with common defaults: the look of a line, the place of the legend, the text for no data.

Each function gives the SDK's builder, so that a row can still change a single panel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    TableSortByFieldState,
    VizLegendOptions,
    VizTextDisplayOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
)
from grafana_foundation_sdk.models.dashboard import Panel as Built
from grafana_foundation_sdk.models.text import TextMode

from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.live import Channel
from grafana.dashboards.lib.query import FluxTarget, Target
from grafana.dashboards.lib.style import coloured, fixed, heading_width, link, nothing, properties, value_map
from sensetig.policy import FORGOTTEN_DAYS, GAP_SECONDS, LATE_SECONDS

#: A line is drawn through gaps up to this long, in milliseconds; a longer silence shows as a gap.
GAP_MS = 1000 * GAP_SECONDS

#: A value of now is at most so old, whatever the dashboard's time range is: after that it says nothing of now.
NOW = f"{LATE_SECONDS}s"

#: How far back the time of the newest value is looked for.
SEEN = f"{FORGOTTEN_DAYS}d"

#: Grafana's unit of a time of today as the clock shows it, in the format of the browser.
CLOCK = "dateTimeAsLocalNoDateIfToday"

#: The width of the arrow in the heading of the column that a table is sorted by.
_ARROW = 20

#: The width of columns with names that are longer than their heading, in a table as wide as the dashboard.
_NAMES = {"Device": 150, "Field": 170, "Reason": 115, "Container": 130}
_WHOLE = 24

#: The column with the time of the first of several joined tables.
AGE = "Age"

#: The text of a panel whose query returns nothing.
NO_DATA = "No data in this time range"

Panel = cogbuilder.Builder[Built]


class _Common(Protocol):
    """What all of the SDK's panel builders have."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: common.DataSourceRef) -> Self: ...
    def with_target(self, target: cogbuilder.Builder[Any]) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def links(self, links: list[cogbuilder.Builder[Any]]) -> Self: ...


Kind = TypeVar("Kind", bound=_Common)


def with_basics(
    panel: Kind,
    title: str,
    description: str,
    targets: Sequence[Target | FluxTarget | Channel],
    size: tuple[int, int],
    no_data: str,
    links: Mapping[str, str] | None,
) -> Kind:
    """The panel with what every kind of panel has."""
    panel.title(title).description(description).span(size[0]).height(size[1])
    if no_data:
        panel.no_value(no_data)
    if targets:
        panel.datasource(targets[0].source)
    for index, target in enumerate(targets):
        target.ref_id = chr(ord("A") + index)
        panel.with_target(target)
    if links:
        panel.links([link(name, url) for name, url in links.items()])
    return panel


def number(
    title: str,
    description: str,
    *targets: Target | Channel,
    steps: thresholds.Steps | None = None,
    unit: str | None = None,
    decimals: int | None = None,
    low: float | None = None,
    high: float | None = None,
    texts: Mapping[str, tuple[str, str]] | None = None,
    filled: bool = False,
    time: bool = False,
    recent: bool = False,
    named: bool = False,
    columns: str = "",
    calc: str = "lastNotNull",
    size: tuple[int, int] = (3, 3),
    no_data: str = "no data",
    links: Mapping[str, str] | None = None,
) -> stat.Panel:
    """The newest value, large, in the colour of its threshold.

    Values over time are those of the last minute: an older one says nothing of now, and a range of a year must not
    turn the current value into a year's mean. (Grafana leaves a range that ends in the past as it is.) Tables are of
    the whole time range.

    Args:
        texts: values in words, each with its colour.
        filled: colour the whole panel, for a state that must be seen from across the room.
        time: show when the newest value was written instead of the value, however long ago.
        recent: the newest value of a table, which is none of now when it is old.
        named: show the series' name instead of its value.
        calc: the aggregate over time; the newest value by default.
        columns: a regular expression of the columns to show, where not all that are numbers.
    """
    if any(isinstance(target, Target) and target.over_time for target in targets):
        targets = tuple(target.now() if isinstance(target, Target) else target for target in targets)
        panel = with_basics(stat.Panel(), title, description, targets, size, no_data, links)
        panel.time_from(NOW).hide_time_override(True).interval("10s")
    else:
        panel = with_basics(stat.Panel(), title, description, targets, size, no_data, links)
        if time or recent:
            panel.time_from(SEEN if time else NOW).hide_time_override(True)
    panel.unit(CLOCK if time else unit or targets[0].unit).thresholds(thresholds.config(steps or thresholds.NONE))
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.reduce_options(ReduceDataOptions().values(False).calcs([calc]).fields("/^Time$/" if time else columns))
    panel.graph_mode(common.BigValueGraphMode.NONE)
    panel.color_mode(common.BigValueColorMode.BACKGROUND_SOLID if filled else common.BigValueColorMode.VALUE)
    panel.justify_mode(common.BigValueJustifyMode.CENTER if filled else common.BigValueJustifyMode.AUTO)
    panel.text_mode(common.BigValueTextMode.NAME if named else common.BigValueTextMode.AUTO).wide_layout(False)
    panel.text(VizTextDisplayOptions().title_size(13).value_size(18 if time or named else 26))
    _numbers(panel, decimals, low, high)
    if texts:
        panel.mappings(value_map(texts))
    elif steps and steps[0][1] == thresholds.GOOD:
        # Otherwise the text for no data would have the colour of the lowest step.
        panel.mappings([nothing(no_data)])
    return panel


def origin(description: str, target: Target, *, size: tuple[int, int] = (3, 3)) -> stat.Panel:
    """In a word, whether the data was measured, simulated or played from a recording; see ``Source.origin``."""
    panel = number("Source", description, target, steps=thresholds.NEUTRAL, named=True, size=size)
    # Series are renamed in turn: those without either mark are measured.
    for pattern, name in (("^true,.*$", "simulated"), ("^,true$", "replayed"), ("^,$", "measured")):
        panel.with_transformation(
            DataTransformerConfig(id_val="renameByRegex", options={"regex": pattern, "renamePattern": name})
        )
    return panel


def lines(
    title: str,
    description: str,
    *targets: Target | Channel,
    unit: str | None = None,
    decimals: int | None = None,
    low: float | None = None,
    high: float | None = None,
    soft_low: float | None = None,
    soft_high: float | None = None,
    steps: thresholds.Steps | None = None,
    colours: Mapping[str, str] | None = None,
    overrides: Mapping[str, list[DynamicConfigValue]] | None = None,
    stacked: bool = False,
    fill: int = 10,
    calcs: Sequence[str] = (),
    legend: bool | None = None,
    bars: bool = False,
    size: tuple[int, int] = (12, 8),
    no_data: str = NO_DATA,
    links: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Values over time.

    Args:
        steps: drawn as dashed lines at the values that need a look or action.
        calcs: makes the legend a table with these, such as ``min``, ``mean``, ``max``.
        legend: whether there is one; by default where more than one line can be.
    """
    panel = with_basics(timeseries.Panel(), title, description, targets, size, no_data, links)
    panel.unit(unit or targets[0].unit)
    panel.line_width(0 if stacked else 2).fill_opacity(55 if stacked else fill)
    panel.line_interpolation(common.LineInterpolation.LINEAR).gradient_mode(
        common.GraphGradientMode.NONE if stacked else common.GraphGradientMode.OPACITY
    )
    # A single value between two gaps is a point.
    panel.show_points(common.VisibilityMode.NEVER if stacked or bars else common.VisibilityMode.AUTO)
    panel.point_size(4).span_nulls(GAP_MS).axis_border_show(False)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    panel.stacking(
        StackingConfig().mode(common.StackingMode.NORMAL if stacked else common.StackingMode.NONE).group("A")
    )
    panel.tooltip(
        VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING).hide_zeros(False)
    )
    panel.legend(
        VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE if calcs else common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(len(targets) > 1 or targets[0].several if legend is None else legend)
        .calcs(list(calcs))
    )
    if bars:
        panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
        panel.gradient_mode(common.GraphGradientMode.NONE)
    if steps is not None:
        panel.thresholds(
            thresholds.config(
                tuple(
                    (at, colour if colour in (thresholds.LOOK, thresholds.ACT) else "transparent")
                    for at, colour in steps
                )
            )
        )
        panel.thresholds_style(GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    _numbers(panel, decimals, low, high)
    if soft_low is not None:
        panel.axis_soft_min(soft_low)
    if soft_high is not None:
        panel.axis_soft_max(soft_high)
    # In the legend, a series without a value would else have the panel's whole text for no data.
    panel.override_by_field_type("number", properties(noValue="–"))
    for name, values in {**coloured(colours or {}), **(overrides or {})}.items():
        panel.override_by_name(name, values)
    return panel


def states(
    title: str,
    description: str,
    *targets: Target,
    texts: Mapping[str, tuple[str, str]] | None = None,
    steps: thresholds.Steps = thresholds.NONE,
    unit: str | None = None,
    legend: bool = False,
    show_value: bool = False,
    size: tuple[int, int] = (24, 6),
    no_data: str = NO_DATA,
    links: Mapping[str, str] | None = None,
) -> statetimeline.Panel:
    """States over time, a lane each."""
    panel = with_basics(statetimeline.Panel(), title, description, targets, size, no_data, links)
    panel.unit(unit or targets[0].unit).thresholds(thresholds.config(steps))
    # With colours by threshold Grafana leaves the mappings' colours of numbers out.
    panel.color_scheme(fixed(thresholds.PLAIN) if texts else FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.show_value(common.VisibilityMode.AUTO if show_value else common.VisibilityMode.NEVER)
    panel.row_height(0.75).fill_opacity(80).line_width(0).merge_values(True).span_nulls(GAP_MS).disable_pagination()
    panel.tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
    panel.legend(
        VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(legend)
        .calcs([])
    )
    if texts:
        panel.mappings(value_map(texts))
    return panel


def listing(
    title: str,
    description: str,
    *targets: Target | FluxTarget,
    columns: Mapping[str, list[DynamicConfigValue]] | None = None,
    hidden: Iterable[str] = (),
    order: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
    sort: str = "",
    descending: bool = False,
    tall: bool = False,
    joined_by: str = "",
    keys: Sequence[str] = (),
    first_of: Mapping[str, Sequence[str]] | None = None,
    grouped_by: str = "",
    kept: Mapping[str, str] | None = None,
    before: Sequence[DataTransformerConfig] = (),
    seconds: int = 0,
    size: tuple[int, int] = (24, 8),
    no_data: str = NO_DATA,
    links: Mapping[str, str] | None = None,
) -> table.Panel:
    """A table.

    Args:
        columns: properties of a column, by its shown name.
        hidden: columns left out.
        order: the columns' order, by their names before renaming.
        renamed: shown names, by the names before.
        tall: rows high enough for pictures.
        grouped_by: the column whose equal values make one row.
        kept: which value of a group each of the other columns shows, such as ``firstNotNull`` or ``last``.
        joined_by: the column on which the targets' tables become one; the first one's time is then called ``Age``.
        keys: what that column is called in the tables, where they call it differently.
        first_of: makes a column of the first of others that has a value.
        before: transformations that come first.
        seconds: older rows are left out, whatever the dashboard's time range is; 0 for that range.
    """
    panel = with_basics(table.Panel(), title, description, targets, size, no_data, links)
    panel.cell_height(common.TableCellHeight.LG if tall else common.TableCellHeight.SM).show_header(True)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS)).thresholds(thresholds.config(thresholds.NONE))
    panel.min_width(50)
    if seconds:
        panel.time_from(f"{seconds}s").hide_time_override(True)
    for change in before:
        panel.with_transformation(change)
    if joined_by:
        for change in joined(joined_by, keys):
            panel.with_transformation(change)
    for column, others in (first_of or {}).items():
        panel.with_transformation(first_with_value(column, others))
    named = dict(renamed or {})
    if grouped_by:
        wanted = {grouped_by: {"aggregations": [], "operation": "groupby"}}
        for column, calc in (kept or {}).items():
            wanted[column] = {"aggregations": [calc], "operation": "aggregate"}
            named[f"{column} ({calc})"] = named.get(column, column)
        panel.with_transformation(DataTransformerConfig(id_val="groupBy", options={"fields": wanted}))
        order = [next((made for made in named if made.startswith(f"{name} (")), name) for name in order]
    panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {name: index for index, name in enumerate(order)},
                "renameByName": named,
            },
        )
    )
    if sort:
        panel.sort_by([TableSortByFieldState().display_name(sort).desc(descending)])
    for name, values in (columns or {}).items():
        panel.override_by_name(name, values)
    for name in (named.get(name, name) for name in order if name not in hidden):
        given = {value.id_val for value in (columns or {}).get(name, ())}
        more: dict[str, object] = {}
        if not given & {"custom.width", "custom.minWidth"}:
            # Grafana gives every column its share or more: in a narrow table, a wide one would push the others out.
            wide = _NAMES.get(name, 0) if size[0] == _WHOLE else 0
            more["custom__minWidth"] = max(heading_width(name) + (_ARROW if name == sort else 0), wide)
        if "noValue" not in given:
            more["noValue"] = "–"  # otherwise an empty cell would show the panel's text for no data
        if more:
            panel.override_by_name(name, properties(**more))
    return panel


def joined(by: str, keys: Sequence[str] = ()) -> list[DataTransformerConfig]:
    """What makes one table of several; see ``listing``."""
    renamed = dict.fromkeys(keys, by)
    return [
        # Only the first target keeps its time; the others' would be columns of the same name.
        DataTransformerConfig(
            id_val="organize",
            filter_val=MatcherConfig(id_val="byRefId", options="A"),
            options={"excludeByName": {}, "indexByName": {}, "renameByName": {**renamed, "Time": AGE}},
        ),
        DataTransformerConfig(
            id_val="organize",
            filter_val=MatcherConfig(id_val="byRefId", options="/^[^A]$/"),
            options={"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": renamed},
        ),
        DataTransformerConfig(id_val="joinByField", options={"byField": by, "mode": "outer"}),
    ]


def first_with_value(column: str, others: Sequence[str]) -> DataTransformerConfig:
    """What makes a column of the first of others that has a value."""
    reduce = {"include": list(others), "reducer": "firstNotNull"}
    return DataTransformerConfig(
        id_val="calculateField", options={"alias": column, "mode": "reduceRow", "reduce": reduce}
    )


def words(title: str, content: str, *, size: tuple[int, int]) -> text.Panel:
    """Text in Markdown; an empty title shows none."""
    panel = with_basics(text.Panel(), title, "", (), size, "", None)
    return panel.mode(TextMode.MARKDOWN).content(content)


def alerts(title: str, description: str, labels: str, *, size: tuple[int, int]) -> dashboard.Panel:
    """The active alerts, most severe first, each with a link to its rule, which has the runbook.

    Args:
        labels: which instances, such as ``{device="pi-hall"}``; empty for all.
    """
    panel = with_basics(dashboard.Panel().type("alertlist"), title, description, (), size, "", None)
    states = {"firing": True, "pending": False, "recovering": True, "noData": False, "normal": False, "error": True}
    return panel.options(
        {
            "viewMode": "list",
            "groupMode": "default",
            "groupBy": [],
            "maxItems": 20,
            "sortOrder": 3,  # by importance
            "dashboardAlerts": False,
            "alertName": "",
            "alertInstanceLabelFilter": labels,
            "datasource": "-- Grafana --",
            "showInstances": False,
            "showInactiveAlerts": False,
            "stateFilter": states,
        }
    )


class _Numeric(Protocol):
    def decimals(self, decimals: float) -> Self: ...
    def min(self, min_val: float) -> Self: ...
    def max(self, max_val: float) -> Self: ...


def _numbers(panel: _Numeric, decimals: int | None, low: float | None, high: float | None) -> None:
    if decimals is not None:
        panel.decimals(decimals)
    if low is not None:
        panel.min(low)
    if high is not None:
        panel.max(high)
