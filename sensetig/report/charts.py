"""Charts as SVG that takes its colours from the page, so that one file suits the light and the dark scheme.

Matplotlib draws with placeholder colours; in its SVG each becomes a CSS variable of the page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from datetime import UTC, tzinfo
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from sensetig.report.lines import Drawn, Line, stretches
from sensetig.report.numbers import number
from sensetig.report.period import Period
from sensetig.report.style import Style, properties, state, styles_of, words
from sensetig.report.text import MAX_NAME, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Maximum number of lines that remain distinguishable; the data file has all of them.
MAX_LINES = 12

#: The page's colours -> the placeholder colours that Matplotlib draws.
NAMES = ("ink", "faint", "grey", "blue", "sky", "orange", "red", "wine", "green", "purple", "yellow", "well")
_STANDS_FOR = {name: f"#fe{index:02x}fe" for index, name in enumerate(NAMES)}

#: Size in inches, and text size in points: about the width of a phone, so that the text is not scaled there.
_WIDE, _HIGH, _LANE, _TEXT = 4.5, 2.1, 0.33, 10.0

#: Margins left and right, with and without an axis on that side, in inches.
_LEFT, _RIGHT, _AXIS_RIGHT = 0.78, 0.1, 0.62

#: Replaces the name of a lane while Matplotlib draws: a name may be a formula, lack glyphs, or look like SVG.
_LABEL = "sensetig-label-{}"


class Entry(NamedTuple):
    """A line of a chart's legend: its name, its colour, and its minimum, mean and maximum in words."""

    name: str
    colour: str
    least: str
    mean: str
    most: str


class Chart(NamedTuple):
    """A chart: the SVG, its text alternative, its legend, and the number of lines left out."""

    svg: str
    alt: str
    legend: tuple[Entry, ...]
    left_out: int = 0


def draw(drawn: Drawn, period: Period, prefix: str) -> Chart:
    """Draw a panel that has data.

    Args:
        drawn: the panel and its lines.
        period: the range of the time axis, and its time zone.
        prefix: prefix of every id in the SVG, so that one page can contain many charts.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lines = sorted(drawn.lines, key=lambda line: -max(abs(value) for value in line.known))[:MAX_LINES]
    lines = [line for line in drawn.lines if line in lines]
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "sensetig",
        "font.size": _TEXT,
        "path.simplify": True,
        "text.parse_math": False,
    }
    with mpl.rc_context(style):
        if drawn.panel.kind == "state-timeline":
            figure = Figure(figsize=(_WIDE, 0.5 + _LANE * len(lines)))
            legend = _states(figure, drawn, lines, period)
        else:
            figure = Figure(figsize=(_WIDE, _HIGH))
            legend = _lines(figure, drawn, lines, period)
        raw = io.StringIO()
        figure.savefig(raw, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    alt = f"{drawn.panel.title}: " + "; ".join(
        f"{entry.name} from {entry.least} to {entry.most}" if entry.mean else f"{entry.name}: {entry.most}"
        for entry in legend
    )
    svg = _themed(raw.getvalue(), prefix)
    for lane, line in enumerate(lines):
        svg = svg.replace(f">{_LABEL.format(lane)}<", f">{escape(printable(_short(line.name)), quote=False)}<")
    return Chart(svg, alt, tuple(legend), len(drawn.lines) - len(lines))


def _lines(figure: Figure, drawn: Drawn, lines: Sequence[Line], period: Period) -> list[Entry]:
    panel = drawn.panel
    custom = panel.defaults.get("custom", {})
    styles = styles_of(panel, tuple(line.name for line in lines))
    both = any(style.right for style in styles.values())
    across = _WIDE - _LEFT - (_AXIS_RIGHT if both else _RIGHT)
    axes = figure.add_axes((_LEFT / _WIDE, 0.17, across / _WIDE, 0.78))
    right = axes.twinx() if both else None
    join = max(custom.get("spanNulls") or 0, drawn.step * 1000)
    if (custom.get("stacking") or {}).get("mode") == "normal" and len(lines) > 1:
        _stacked(axes, lines, styles, join, drawn.step)
    else:
        bars = custom.get("drawStyle") == "bars"
        for line in lines:
            style = styles[line.name]
            side = right if style.right and right is not None else axes
            _one(side, line, style, join, drawn.step, bars=bars)
    left = next((style.unit for style in styles.values() if not style.right), panel.defaults.get("unit", "short"))
    _limits(axes, panel.defaults)
    # Values drawn downwards, such as sent bytes, have positive labels.
    _dress(axes, period, left, mirrored=any(style.downwards for style in styles.values()))
    if (custom.get("thresholdsStyle") or {}).get("mode") == "dashed":
        _thresholds(axes, panel.defaults)
    if right is not None:
        style = next(style for style in styles.values() if style.right)
        name = next(line.name for line in lines if styles[line.name].right)
        _limits(right, {**panel.defaults, **properties(panel, name)})
        _dress(right, period, style.unit)
        right.grid(visible=False)
    decimals = panel.defaults.get("decimals")
    return [
        Entry(
            printable(line.name, MAX_NAME),
            styles[line.name].colour,
            *(number(value, styles[line.name].unit, decimals) for value in _three(line.known)),
        )
        for line in lines
    ]


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), sum(values) / len(values), max(values)


def _one(axes: Axes, line: Line, style: Style, join: float, step: int, *, bars: bool) -> None:
    colour = _STANDS_FOR[style.colour]
    for times, values in stretches(line, join):
        numbers = [-value for value in values] if style.downwards else values
        days = _days(times)
        if bars:
            axes.bar(days, numbers, width=step / 86400 * 0.85, align="edge", color=colour, linewidth=0)
        elif len(days) == 1:
            # A value between two gaps is drawn as a dot, because a line of one point is invisible.
            axes.plot(days, numbers, "o", markersize=2.4, color=colour)
        else:
            axes.plot(
                days, numbers, "--" if style.dashed else "-", linewidth=1.3, color=colour, solid_joinstyle="round"
            )
            if style.fill and _from_zero(numbers, style):
                axes.fill_between(days, numbers, 0, color=colour, alpha=min(style.fill, 0.4), linewidth=0)


def _from_zero(numbers: Sequence[float], style: Style) -> bool:
    """Whether to fill the area below the line: not if this would extend the axis to a distant zero."""
    low, high = min(numbers), max(numbers)
    return style.downwards or (low >= 0 and low <= 0.5 * high)


def _stacked(axes: Axes, lines: Sequence[Line], styles: dict[str, Style], join: float, step: int) -> None:
    """Stacked areas. A time without a value in one line has no sum, and is a gap."""
    times = [line.times for line in lines]
    common = sorted(set(times[0]).intersection(*times[1:]))
    values = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    whole = [time for time in common if all(each[time] is not None for each in values)]
    run: list[int] = []
    for time in [*whole, None]:
        if time is not None and (not run or time - run[-1] <= join):
            run.append(time)
            continue
        days = _days([*run, run[0] + step * 1000] if len(run) == 1 else run)
        bottom = [0.0] * len(days)
        for line, known in zip(lines, values, strict=True):
            heights = [float(known[each] or 0.0) for each in run]
            heights += heights[-1:] * (len(days) - len(run))
            top = [low + height for low, height in zip(bottom, heights, strict=True)]
            style = styles[line.name]
            axes.fill_between(days, bottom, top, color=_STANDS_FOR[style.colour], alpha=0.75, linewidth=0)
            bottom = top
        run = [] if time is None else [time]


def _states(figure: Figure, drawn: Drawn, lines: Sequence[Line], period: Period) -> list[Entry]:
    panel = drawn.panel
    height = figure.get_figheight()
    axes = figure.add_axes((0.3, 0.38 / height, 0.685, (height - 0.44) / height))
    steps = (panel.defaults.get("thresholds") or {}).get("steps") or []
    join = max(panel.defaults.get("custom", {}).get("spanNulls") or 0, drawn.step * 1000)
    legend = []
    for lane, line in enumerate(lines):
        known = words(panel, line.name)
        shown: dict[str, str] = {}
        bars: list[tuple[float, float]] = []
        colours: list[str] = []
        for begin, end, value in spans(line, join, drawn.step, period):
            text, colour = state(value, known, steps, panel.defaults.get("unit", "short"))
            # A healthy week is a pale band, so that a minute with a fault is conspicuous.
            colour = "well" if colour == "green" else colour
            shown.setdefault(text, colour)
            bars.append((begin / 86_400_000, (end - begin) / 86_400_000))
            colours.append(_STANDS_FOR[colour])
        axes.broken_barh(bars, (-lane - 0.36, 0.72), facecolors=colours, linewidth=0)
        legend.append(Entry(printable(line.name, MAX_NAME), next(iter(shown.values())), "", "", ", ".join(shown)))
    axes.set_ylim(-len(lines) + 0.5, 0.5)
    _dress(axes, period, "short")
    axes.set_yticks([-lane for lane in range(len(lines))], [_LABEL.format(lane) for lane in range(len(lines))])
    axes.grid(visible=False, axis="y")
    return legend


def spans(line: Line, join: float, step: int, period: Period) -> list[tuple[int, int, float]]:
    """Intervals of constant state: begin, end and value. A gap belongs to no interval."""
    found: list[tuple[int, int, float]] = []
    for times, values in stretches(line, join):
        for index, (time, value) in enumerate(zip(times, values, strict=True)):
            end = min(times[index + 1] if index + 1 < len(times) else time + step * 1000, period.end_ms)
            time = max(time, period.begin_ms)
            if found and found[-1][1] == time and found[-1][2] == value:
                found[-1] = (found[-1][0], end, value)
            elif end > time:
                found.append((time, end, value))
    return found


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _days(times: Sequence[int]) -> list[float]:
    return [time / 86_400_000 for time in times]


def _limits(axes: Axes, defaults: dict[str, Any] | Any) -> None:
    """The range of the value axis: fixed limits, and soft limits that data may exceed."""
    custom = defaults.get("custom", {})
    low, high = axes.get_ylim()
    soft_low, soft_high = custom.get("axisSoftMin"), custom.get("axisSoftMax")
    low = min(low, soft_low) if soft_low is not None else low
    high = max(high, soft_high) if soft_high is not None else high
    low = defaults["min"] if defaults.get("min") is not None else low
    if defaults.get("max") is not None:
        high = defaults["max"]
    elif soft_low is not None or defaults.get("min") is not None:
        # The margin above refers to the axis, not to a nearly constant line far above its beginning.
        high = max(high, axes.dataLim.y1 + 0.05 * (axes.dataLim.y1 - low))
    if high <= low:
        high = low + 1
    axes.set_ylim(low, high)


def _thresholds(axes: Axes, defaults: Any) -> None:
    low, high = axes.get_ylim()
    for each in (defaults.get("thresholds") or {}).get("steps") or []:
        colour = {"orange": "orange", "red": "red"}.get(each.get("color", ""))
        if colour and each.get("value") is not None and low < each["value"] < high:
            axes.axhline(each["value"], color=_STANDS_FOR[colour], linewidth=0.9, linestyle=(0, (4, 3)))


def _dress(axes: Axes, period: Period, unit: str, *, mirrored: bool = False) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

    zone: tzinfo = period.begin.tzinfo or UTC
    # Matplotlib's module for dates has no type hints.
    locate: Any = AutoDateLocator
    spell: Any = ConciseDateFormatter
    locator = locate(tz=zone, minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(spell(locator, tz=zone, show_offset=False))
    axes.set_xlim(period.begin_ms / 86_400_000, period.end_ms / 86_400_000)
    low, high = axes.get_ylim()
    # Bytes use powers of two; a power between 0 and 1 is useless.
    binary = unit in ("bytes", "binBps") and high - low > 4
    power = 2.0 ** math.ceil(math.log2((high - low) / 4)) if binary else 0.0
    axes.yaxis.set_major_locator(MultipleLocator(power) if binary else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(abs(value) if mirrored else value, unit)))
    axes.grid(visible=True, color=_STANDS_FOR["faint"], linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=_STANDS_FOR["grey"], labelsize=_TEXT)
    # The first time is below the lowest value, not next to it.
    axes.tick_params(axis="x", pad=7)


def _themed(svg: str, prefix: str) -> str:
    """The SVG for embedding in a page: CSS variables for colours, the page's font, unique ids, no fixed size."""
    svg = svg[svg.index("<svg") :]
    used = set(re.findall(r"""(?:url\(#|href="#)([^)"]+)""", svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: f' id="{prefix}{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r"""(url\(#|href="#)""", rf"\g<1>{prefix}", svg)
    for name, colour in _STANDS_FOR.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening, _, rest = svg.partition(">")
    box = re.search(r'viewBox="[^"]+"', opening)
    assert box is not None, "Matplotlib's SVG has a box"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]} aria-hidden="true">{rest}'
    # The link namespace is part of HTML in a page, and the numbers are more precise than a screen.
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
    return re.sub(r"\n\s*", "\n", svg)
