"""Boards: the names of the dashboards, their common variables and links, and the layout of rows on the grid."""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationPanelFilter,
    AnnotationQuery,
    CustomVariable,
    Dashboard,
    DashboardLink,
    IntervalVariable,
    QueryVariable,
    TimePicker,
)
from grafana_foundation_sdk.models.dashboard import Dashboard as BuiltDashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    RowPanel,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.dashboard import Panel as BuiltPanel

from grafana.dashboards import boards as boards_package
from grafana.dashboards import rows as rows_package
from grafana.dashboards.lib import buckets
from grafana.dashboards.lib.panels import Panel
from grafana.dashboards.lib.query import DATASOURCE, FLUX, FluxTarget, variable

#: Width of Grafana's grid.
COLUMNS = 24

#: The tag of all dashboards.
TAG = "sensetig"

#: The tag of those that are in a menu.
MORE = "sensetig-more"


class Row(NamedTuple):
    """A row of a dashboard.

    Args:
        board: the key of its dashboard.
        title: of the row; empty for panels at the very top, without a row.
        panels: laid from left to right, wrapping where a line is full.
        order: sorts the rows of a board.
        collapsed: shown closed; its panels are queried only when it is opened.
    """

    board: str
    title: str
    panels: Sequence[Panel]
    order: int
    collapsed: bool = False


class Mark(NamedTuple):
    """Annotations in every chart of a dashboard, with a switch above it.

    Args:
        boards: the keys of the dashboards that offer it, and whether it is on there at first.
        title: of the switch.
        colour: of the annotations.
        target: gives the annotations.
        only: the panels of a dashboard that show it, each by its row and its title; by default all charts.
    """

    boards: Mapping[str, bool]
    title: str
    colour: str
    target: FluxTarget
    only: Mapping[str, Sequence[tuple[str, str]]] = {}


class Choice(NamedTuple):
    """A variable of a dashboard with a fixed list of values, the first of them at first.

    Args:
        board: the key of its dashboard.
        name, label, description: of the variable.
        values: the choices by their shown names; no comma in either.
    """

    board: str
    name: str
    label: str
    description: str
    values: Mapping[str, str]


class Board(NamedTuple):
    """A dashboard: its name, its description, and the measurement whose hosts it offers.

    Args:
        devices_by: the tag with the device: ``device`` where other devices' data comes through a hub.
        of_all: shows all devices as they are now. The chosen device and the resolution are only in the address, which
            keeps them on the way from one dashboard to the next.
        of_none: shows no data, so that the choice of the site is hidden too.
        main: is a link on every other dashboard, in the order of ``BOARDS``; the rest is in a menu.
        resolutions: on offer, the finest first.
    """

    key: str
    title: str
    description: str
    devices_of: str
    icon: str
    since: str = "now-15m"
    devices_by: str = "host"
    of_all: bool = False
    of_none: bool = False
    main: bool = False
    resolutions: Sequence[str] = ("10s", "30s", "1m", "5m", "15m", "1h", "6h", "1d")

    @property
    def uid(self) -> str:
        return f"sensetig-{self.key}"


BOARDS = (
    Board(
        "fleet",
        "Fleet",
        "Are all devices well? The number of devices that need action, and the state of each; click one to open it.",
        devices_of="device_health",
        devices_by="device",
        icon="sitemap",
        main=True,
        of_all=True,
    ),
    Board(
        "device",
        "Device",
        "Is this device well, and if not, why? Processor, memory, disks, network, temperatures, power and services.",
        devices_of="cpu",
        icon="apps",
        main=True,
    ),
    Board(
        "environment",
        "Environment",
        "The air around the Sense HAT: temperature, humidity, pressure and dew point; the board's position and motion.",
        devices_of="environment",
        icon="cloud",
        main=True,
    ),
    Board(
        "camera",
        "Camera",
        "Motion events with their pictures, and the health of the camera.",
        devices_of="camera",
        icon="camera",
        main=True,
    ),
    Board(
        "live",
        "Live",
        "Readings of a device within a second of the measurement, and its last five minutes.",
        devices_of="environment",
        devices_by="device",
        icon="bolt",
        main=True,
        since="now-5m",
    ),
    Board(
        "mqtt-device",
        "MQTT device",
        "A device behind an MQTT gateway, such as a plug or a sensor: is it online, and what does it report? Its "
        "state, and its readings over time.",
        devices_of="device_state",
        devices_by="device",
        icon="wifi",
        since="now-6h",
    ),
    Board(
        "pipeline",
        "Pipeline",
        "Is the monitoring itself well? Collectors, rejected telemetry, Telegraf's buffers, InfluxDB's size.",
        devices_of="collector",
        icon="heart",
    ),
    Board(
        "history",
        "History",
        "Months and years, from the hourly summaries: minimum, mean and maximum of each hour, day or week.",
        devices_of="system",
        icon="history",
        since="now-90d",
        resolutions=("1h", "6h", "1d", "7d", "30d"),
    ),
    Board(
        "your-data",
        "Your data",
        "The worked example of adding your own data: random numbers, pushed straight to InfluxDB.",
        devices_of="random_data",
        icon="plus",
    ),
    Board(
        "runbooks",
        "Runbooks",
        "The meaning of each alert, and the first steps: a panel per rule. Run commands on the device, over ssh, "
        "unless stated otherwise.",
        devices_of="system",
        icon="book",
        of_all=True,
        of_none=True,
    ),
)


def found() -> tuple[Row, ...]:
    """The rows of every module in ``rows/`` and ``boards/``."""
    result: list[Row] = []
    for module in _modules():
        result.extend(module.rows())
    return tuple(result)


def found_marks() -> tuple[Mark, ...]:
    """The annotations of every module in ``rows/`` and ``boards/`` that has any."""
    result: list[Mark] = []
    for module in _modules():
        if hasattr(module, "marks"):
            result.extend(module.marks())
    return tuple(result)


def found_choices() -> tuple[Choice, ...]:
    """The choices of every module in ``rows/`` and ``boards/`` that has any."""
    return tuple(choice for module in _modules() if hasattr(module, "choices") for choice in module.choices())


def _modules() -> Iterable[ModuleType]:
    for package in (boards_package, rows_package):
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            yield importlib.import_module(f"{package.__name__}.{info.name}")


def build(
    board: Board, rows: Iterable[Row], marks: Iterable[Mark] = (), choices: Iterable[Choice] = ()
) -> BuiltDashboard:
    """The dashboard with its rows in order, and every panel in its place with its own id."""
    dashboard = (
        Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG, board.key, *([] if board.main else [MORE])])
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .timepicker(TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m"]))
        .refresh("10s")
        .readonly()
    )
    for link in _links(board):
        dashboard.link(link)
    for each in _variables(board):
        dashboard.with_variable(each)
    for choice in choices:
        if choice.board == board.key:
            dashboard.with_variable(_choice(choice))
    for mark in marks:
        if board.key in mark.boards:
            dashboard.annotation(_annotation(board, mark))
    built = dashboard.build()
    for annotation in (built.annotations.list_val or []) if built.annotations else []:
        annotation.placement = None  # type: ignore[assignment]  # next to the variables, not in a hidden menu
    for placed in built.links or []:
        placed.placement = None  # type: ignore[assignment]  # next to the title, not in a hidden menu
    built.panels = _laid_out(board, sorted(rows, key=lambda row: (row.order, row.title)))
    return built


def _links(board: Board) -> Iterable[DashboardLink]:
    """Links to the other dashboards: the main ones in their order, and a menu of the rest, sorted by title."""
    for each in BOARDS:
        if each.main and each != board:
            yield (
                DashboardLink(each.title)
                .type(DashboardLinkType.LINK)
                .url(f"/d/{each.uid}")
                .icon("dashboard")
                .tooltip(each.description)
                .keep_time(True)
                .include_vars(True)
            )
    yield (
        DashboardLink("More")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([MORE])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )


def _annotation(board: Board, mark: Mark) -> AnnotationQuery:
    query = AnnotationQuery().name(mark.title).datasource(FLUX).enable(mark.boards[board.key])
    query.icon_color(mark.colour).target(mark.target)
    if shown := mark.only.get(board.key):
        query.filter(AnnotationPanelFilter().exclude(False).ids([panel_id(board.key, *panel) for panel in shown]))
    return query


def _variables(board: Board) -> list[QueryVariable | IntervalVariable]:
    chosen = VariableOption(selected=True, text="auto", value="$__auto")
    shown = VariableHide.HIDE_VARIABLE if board.of_all else VariableHide.DONT_HIDE
    return [
        QueryVariable("site")
        .label("Site")
        .description("The place of the device: the tag that Telegraf adds from SENSETIG_SITE.")
        .datasource(DATASOURCE)
        .query(variable("site", board.devices_of))
        .definition(str(variable("site", board.devices_of)["query"]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.HIDE_VARIABLE if board.of_none else VariableHide.DONT_HIDE)
        .sort(VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all")),
        QueryVariable("host")
        .label("Device")
        .description("The device whose data is shown.")
        .datasource(DATASOURCE)
        .query(variable(board.devices_by, board.devices_of, '"site" =~ /^$site$/'))
        .definition(str(variable(board.devices_by, board.devices_of, '"site" =~ /^$site$/')["query"]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(shown)
        .sort(VariableSort.NATURAL_ASC),
        IntervalVariable("interval")
        .label("Resolution")
        .hide(shown)
        .description(
            "The time that one point covers; auto follows the time range. From an hour on, panels read the "
            "hourly summaries."
        )
        .values(",".join(board.resolutions))
        .auto(True)
        .step_count(200)
        .min_interval(board.resolutions[0])
        .current(chosen),
        *buckets.variables(board.devices_of, board.devices_by),
    ]


def _choice(choice: Choice) -> CustomVariable:
    text, value = next(iter(choice.values.items()))
    return (
        CustomVariable(choice.name)
        .label(choice.label)
        .description(choice.description)
        .values(", ".join(f"{name} : {each}" for name, each in choice.values.items()))
        .current(VariableOption(selected=True, text=text, value=value))
    )


def _laid_out(board: Board, rows: Iterable[Row]) -> list[BuiltPanel | RowPanel]:
    panels: list[BuiltPanel | RowPanel] = []
    top = 0
    for row in _merged(rows):
        if row.title:
            panels.append(
                RowPanel(
                    title=row.title,
                    collapsed=row.collapsed,
                    id_val=panel_id(board.key, row.title, ""),
                    grid_pos=GridPos(x=0, y=top, w=COLUMNS, h=1),
                    panels=[],
                )
            )
            top += 1
        placed, height = _placed(board, row, top)
        if row.collapsed:
            holder = panels[-1]
            assert isinstance(holder, RowPanel)
            holder.panels = placed
        else:
            panels.extend(placed)
            top += height
    return panels


def _merged(rows: Iterable[Row]) -> Iterable[Row]:
    """The rows, those of one title as one, in the place of the first of them; it is closed where that one is."""
    found: dict[str, Row] = {}
    for row in rows:
        before = found.get(row.title)
        found[row.title] = before._replace(panels=[*before.panels, *row.panels]) if before else row
    return found.values()


def _placed(board: Board, row: Row, top: int) -> tuple[list[BuiltPanel], int]:
    """The row's panels from left to right in lines, and the height of all lines."""
    placed: list[BuiltPanel] = []
    left = line_top = line_height = 0
    for builder in row.panels:
        panel = builder.build()
        assert panel.grid_pos is not None
        if left + panel.grid_pos.w > COLUMNS:
            left, line_top, line_height = 0, line_top + line_height, 0
        panel.grid_pos = GridPos(x=left, y=top + line_top, w=panel.grid_pos.w, h=panel.grid_pos.h)
        panel.id_val = panel_id(board.key, row.title, panel.title or "")
        left += panel.grid_pos.w
        line_height = max(line_height, panel.grid_pos.h)
        placed.append(panel)
    return placed, line_top + line_height


def panel_id(board: str, row: str, title: str) -> int:
    """An id that stays while the panel keeps its place and name, so that links to it and rules about it stay too."""
    return zlib.crc32(f"{board}/{row}/{title}".encode()) & 0x7FFFFFFF
