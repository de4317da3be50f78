"""The output of a calibration: the fit in words, a table, and a plot, in a terminal of 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import plotille
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from collectors.telemetry.calibration import Entry, output_field
from sensetig.calibration.fit import Fit
from sensetig.calibration.heat import Heat

_WIDTH, _HEIGHT = 56, 12

#: Maximum number of pairs listed individually.
_MAX_ROWS = 20

#: A template for SVG without the web fonts of the library's own template.
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{width}" height="{height}"/></clipPath>{lines}</defs>
<rect width="100%" height="100%" fill="#ffffff"/>
<g transform="translate(9, 9)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def number(value: float) -> str:
    """Format a measured number with as many digits as are significant for a sensor.

    >>> number(21.23456), number(-0.04), number(1013.256)
    ('21.235', '-0.040', '1013.256')
    """
    return f"{value:.3f}"


def formula(result: Fit, field: str) -> str:
    """The curve, with its standard uncertainties."""
    uncertain = result.uncertainties
    spelled = [
        f"{each:.6g}" + (f" (± {uncertain[power]:.2g})" if uncertain is not None and power < len(uncertain) else "")
        for power, each in enumerate(result.coefficients)
    ]
    terms = [spelled[0]] + [
        field if result.kind == "offset" else f"{each} · {field}{'' if power == 1 else f'^{power}'}"
        for power, each in enumerate(spelled[1:], 1)
    ]
    return f"{output_field(field)}\n    = " + "\n    + ".join(terms)


def show_fit(console: Console, result: Fit, field: str) -> None:
    """Print the pairs, the curve, its residuals and range, and the plot."""
    table = Table("pair", "uncalibrated", "reference", "calibrated", "residual", box=None, padding=(0, 2))
    for column in table.columns:
        column.justify = "right"
    for place, (pair, left) in enumerate(zip(result.pairs[:_MAX_ROWS], result.residuals, strict=False), 1):
        cells = (pair.raw, pair.reference, result.at(pair.raw), left)
        table.add_row(str(place), *map(number, cells[:3]), f"{left:+.3f}")
    console.print(table)
    if len(result.pairs) > _MAX_ROWS:
        console.print(f"  … and {len(result.pairs) - _MAX_ROWS} more")
    console.print(f"\n{formula(result, field)}\n")
    residual = f"residual: RMS {number(result.rms)}, most {number(result.most)}"
    console.print(f"{residual}, with {_degrees(result.degrees_of_freedom)}")
    low, high = result.range
    console.print(f"the pairs reach from {low:g} to {high:g}; beyond them it is a guess:\n")
    console.print(_reach(result))
    console.print()
    curve: Callable[[float], float] = lambda raw: result.at(raw) - raw  # noqa: E731 - it is named for its type
    points = [(pair.raw, pair.reference - pair.raw) for pair in result.pairs]
    console.print(Text(plot(points, curve, "uncalibrated", "correction")))


def _degrees(freedom: int) -> str:
    return "no degree of freedom" if not freedom else f"{freedom} degree{'s' if freedom > 1 else ''} of freedom"


def _reach(result: Fit) -> Table:
    """The calibrated value within and beyond the range of the pairs, with the uncertainty of the curve."""
    low, high = result.range
    margin = (high - low) / 2 or 5.0
    table = Table("uncalibrated", "calibrated", "uncertainty", "", box=None, padding=(0, 2))
    for column in table.columns[:3]:
        column.justify = "right"
    inside = [low, (low + high) / 2, high] if high > low else [low]
    for raw in (low - margin, *inside, high + margin):
        uncertainty = result.uncertainty_at(raw)
        beyond = "beyond the pairs" if not low <= raw <= high else ""
        known = "unknown" if uncertainty is None else f"± {uncertainty:.3f}"
        table.add_row(number(raw), number(result.at(raw)), known, beyond)
    return table


def show_heat(console: Console, heat: Heat) -> None:
    """Print the factor, the residuals, and the plot."""
    known = "" if heat.uncertainty is None else f" ± {heat.uncertainty:.2g}"
    console.print(f"factor against the CPU's heat: {heat.factor:.4g}{known}")
    excess = [pair.raw - pair.reference for pair in heat.pairs]
    console.print(
        f"the sensor was {sum(excess) / len(excess):.2f} °C too warm on the mean of {len(excess)} readings; the factor "
        f"leaves RMS {number(heat.rms)}, most {number(heat.most)}, with {_degrees(heat.degrees_of_freedom)}",
    )
    console.print()
    points = list(zip(heat.warming, excess, strict=True))
    share = 1 / heat.factor
    console.print(Text(plot(points, lambda warming: warming * share, "CPU − sensor", "sensor − reference")))


def plot(points: Sequence[tuple[float, float]], curve: Callable[[float], float], x_label: str, y_label: str) -> str:
    """A text plot of points and the curve."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    margin = (max(xs) - min(xs)) / 10 or 1.0
    left, right = min(xs) - margin, max(xs) + margin
    steps = [left + (right - left) * step / 40 for step in range(41)]
    drawn = [curve(step) for step in steps]
    height = max(*ys, *drawn) - min(*ys, *drawn)
    rim = height / 10 if height > 1e-6 else 0.5  # rounding noise on a level line must not fill the plot
    figure = plotille.Figure()
    figure.with_colors = False
    figure.origin = False
    figure.width, figure.height = _WIDTH, _HEIGHT
    figure.x_label, figure.y_label = "", y_label
    figure.set_x_limits(left, right)
    figure.set_y_limits(min(*ys, *drawn) - rim, max(*ys, *drawn) + rim)
    figure.register_label_formatter(float, _tick)
    figure.plot(steps, drawn, label="curve")
    figure.scatter(xs, ys, marker="o" if len(xs) <= 60 else None, label="pairs")
    # A blank Braille pattern looks like a space, but may be wider if it comes from another font.
    lines = (line.replace("\u2800", " ").rstrip(" ()") for line in str(figure.show()).split("\n"))
    return "\n".join([*lines, f"{'':13}{x_label}    o: the pairs, line: the curve"])


def _tick(value: float, chars: int, delta: float, left: bool = False) -> str:
    """A number at an axis, with the minimum of digits that distinguishes it from the next."""
    text = f"{value:.{2 if abs(delta) < 5 else 1}f}"
    return text.ljust(chars) if left else text.rjust(chars)


def show_history(console: Console, found: Sequence[Entry]) -> None:
    """Print the entries of a device, oldest first, each on a line with its details below."""
    for entry in sorted(found, key=lambda entry: entry.valid_from_ns):
        values = entry.values
        sensor = f", sensor {entry.sensor}" if entry.sensor is not None else ""
        console.print(f"from {_seconds(str(values['valid_from']))}: {entry.measurement} {entry.field}{sensor}")
        told = [described(entry)]
        if "residual_rms" in values:
            freedom = values.get("degrees_of_freedom")
            told.append(f"RMS {number(values['residual_rms'])}" + ("" if freedom is None else f", {_degrees(freedom)}"))
        told += [f"{word} {values[key]}" for key, word in (("by", "by"), ("reference", "with")) if values.get(key)]
        if values.get("comment"):
            told.append(values["comment"])
        console.print(Padding("; ".join(told), (0, 0, 0, 4)))


def _seconds(moment: str) -> str:
    return moment.replace("+00:00", "Z")


def described(entry: Entry) -> str:
    """The kind of an entry with its numbers, abbreviated."""
    values = entry.values
    if entry.kind == "offset":
        return f"{values['offset']:+.4g}"
    if entry.kind == "gain":
        return f"× {values['gain']:.5g} {values.get('offset', 0.0):+.4g}"
    if entry.kind == "two_point":
        return "two points"
    return f"degree {len(values['coefficients']) - 1}" if entry.kind == "polynomial" else "end"


def svg(draw: Callable[[Console], None], title: str) -> str:
    """Render the output of *draw* as a picture."""
    console = Console(record=True, width=80, file=io.StringIO(), highlight=False)
    draw(console)
    return console.export_svg(title=title, theme=DEFAULT_TERMINAL_THEME, code_format=_SVG)
