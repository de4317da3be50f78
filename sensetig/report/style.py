"""The style of a panel's series, from Grafana's field configuration: colour, unit, axis, direction, texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sensetig.report.numbers import number
from sensetig.report.panels import Panel

#: The dashboards' colours -> the page's, which differ between the light and the dark scheme.
COLOURS = {
    "#1463ff": "blue",
    "#ff9933": "orange",
    "#55be78": "green",
    "#b86bc7": "purple",
    "#c13215": "red",
    "#707070": "grey",
    "#8e8e8e": "grey",
    "blue": "blue",
    "orange": "orange",
    "red": "red",
    "green": "green",
    "purple": "purple",
    "text": "ink",
    "transparent": "faint",
}

#: Colours for series without a fixed colour, in this order.
PALETTE = ("blue", "orange", "green", "purple", "red", "sky", "yellow", "wine")


_WORST = {"red": 0, "orange": 1}


class Style(NamedTuple):
    """The style of one series."""

    colour: str
    unit: str
    downwards: bool = False
    right: bool = False
    dashed: bool = False
    fill: float = 0.1


def styles_of(panel: Panel, names: tuple[str, ...]) -> dict[str, Style]:
    """The style of each series, by its name."""
    free = iter(PALETTE * (len(names) // len(PALETTE) + 1))
    found: dict[str, Style] = {}
    used_shades: dict[str, int] = {}
    for name in names:
        values = properties(panel, name)
        colour = values.get("color") or {}
        fixed = colour.get("fixedColor", "") if colour.get("mode") in ("fixed", "shades") else ""
        chosen = COLOURS.get(fixed, "grey") if fixed else next(free)
        if colour.get("mode") == "shades":
            shade = used_shades.get(chosen, 0)
            used_shades[chosen] = shade + 1
            if shade and chosen in PALETTE:
                chosen = PALETTE[(PALETTE.index(chosen) + 2 * shade) % len(PALETTE)]
        found[name] = Style(
            chosen,
            values.get("unit", panel.defaults.get("unit", "short")),
            values.get("custom.transform") == "negative-Y",
            values.get("custom.axisPlacement") == "right",
            (values.get("custom.lineStyle") or {}).get("fill") == "dash",
            values.get("custom.fillOpacity", panel.defaults.get("custom", {}).get("fillOpacity", 10)) / 100,
        )
    return found


def properties(panel: Panel, name: str) -> dict[str, Any]:
    """The overrides that apply to a series."""
    values: dict[str, Any] = {}
    for override in panel.overrides:
        if _matches(override["matcher"], name):
            values.update({each["id"]: each.get("value") for each in override["properties"]})
    return values


def _matches(matcher: Mapping[str, Any], name: str) -> bool:
    if matcher["id"] == "byName":
        return bool(matcher.get("options") == name)
    if matcher["id"] == "byRegexp":
        return re.search(str(matcher["options"]).strip("/"), name) is not None
    return False


def words(panel: Panel, name: str) -> dict[str, tuple[str, str]]:
    """The texts of a series' values: value -> (text, the page's colour)."""
    mappings = properties(panel, name).get("mappings") or panel.defaults.get("mappings") or []
    return {
        value: (str(result.get("text", value)), COLOURS.get(result.get("color", ""), "grey"))
        for mapping in mappings
        if mapping.get("type") == "value"
        for value, result in mapping["options"].items()
    }


def state(
    value: float, known: Mapping[str, tuple[str, str]], steps: list[Mapping[str, Any]], unit: str = "short"
) -> tuple[str, str]:
    """The text and colour for a state's number.

    True is 1 and false is 0; a value in between is the fraction of the hour when the state was true. A number without a
    text is described by its thresholds.
    """
    for spelled in (f"{value:g}", {1.0: "true", 0.0: "false"}.get(value, "")):
        if spelled in known:
            return known[spelled]
    ends = [known.get(word) or known.get(digit) for word, digit in (("true", "1"), ("false", "0"))]
    if 0 < value < 1 and ends[0] and ends[1]:
        # The worse state takes precedence.
        worse = min((end for end in ends if end), key=lambda end: _WORST.get(end[1], len(_WORST)))
        return f"{worse[0]} for part of the time", worse[1]
    bounds = [float(step["value"]) for step in steps if step.get("value") is not None]
    passed = sum(value >= bound for bound in bounds)
    colour = steps[passed + len(steps) - len(bounds) - 1].get("color", "") if steps else ""
    return _between(value, bounds, passed, unit), COLOURS.get(colour, "grey")


def _between(value: float, bounds: list[float], passed: int, unit: str) -> str:
    if not bounds:
        return number(value, unit)
    if passed == 0:
        return f"below {number(bounds[0], unit)}"
    if passed == len(bounds):
        return f"{number(bounds[-1], unit)} or more"
    return f"{number(bounds[passed - 1], unit)} to {number(bounds[passed], unit)}"
