"""Colours, overrides, value texts and links of panels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DashboardRangeMapOptions,
    DashboardRegexMapOptions,
    DashboardSpecialValueMapOptions,
    DynamicConfigValue,
    FieldColorModeId,
    RangeMap,
    RegexMap,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from grafana.dashboards.lib import thresholds


def link(title: str, url: str) -> DashboardLink:
    """A link that keeps the time range and the variables."""
    return (
        DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .url(url)
        .keep_time(True)
        .include_vars(True)
        .icon("external link")
    )


def fixed(colour: str) -> FieldColor:
    """One colour, whatever the value."""
    return FieldColor().mode(FieldColorModeId.FIXED).fixed_color(colour)


def value_map(texts: Mapping[str, tuple[str, str]]) -> list[ValueMapping]:
    """Values in words: value -> (text, colour)."""
    return [
        ValueMap(
            options={
                value: ValueMappingResult(text=words, color=colour, index=index)
                for index, (value, (words, colour)) in enumerate(texts.items())
            }
        )
    ]


def range_map(ranges: Iterable[tuple[float | None, float | None, str, str]]) -> list[ValueMapping]:
    """Ranges of values in words: from, to, text, colour; None is no bound. A value on a bound is in the first."""
    return [
        RangeMap(
            options=DashboardRangeMapOptions(from_val=low, to=high, result=ValueMappingResult(text, colour, None, at))
        )
        for at, (low, high, text, colour) in enumerate(ranges)
    ]


def pattern_map(pattern: str, text: str, colour: str = "text") -> list[ValueMapping]:
    """Values that match a regular expression, between slashes, in words."""
    return [RegexMap(options=DashboardRegexMapOptions(pattern, ValueMappingResult(text, colour)))]


def nothing(text: str = "–", colour: str = thresholds.PLAIN) -> ValueMapping:
    """The text of a cell without a value, without the colour of the values around it, which has a meaning."""
    return SpecialValueMap(
        options=DashboardSpecialValueMapOptions(
            match=SpecialValueMatch.NULL_AND_NAN,
            result=ValueMappingResult(text=text, color=colour),
        )
    )


def properties(**values: object) -> list[DynamicConfigValue]:
    """Properties of an override; a double underscore is the dot in names such as ``custom.width``."""
    return [DynamicConfigValue(id_val=name.replace("__", "."), value=value) for name, value in values.items()]


def heading_width(text: str) -> int:
    """The width in pixels that a table's column needs to show its whole heading."""
    # A letter is seldom wider than eight; the padding and the border come to it.
    return 8 * len(text) + 20


#: The colours of series: no two of them look alike to an eye that sees red, green or blue weakly or not at all, and
#: each is visible on a dark and on a light page. Found by a search in CIE Lab with the matrices of Machado, Oliveira
#: and Fernandes (2009).
PALETTE = {
    "blue": "#1463ff",
    "orange": "#ff9933",
    "green": "#55be78",
    "purple": "#b86bc7",
    "red": "#c13215",
    "grey": "#707070",
    # The colour of the page's text, for limits.
    "text": "text",
}


def paint(colour: str) -> dict[str, str]:
    """The property ``color`` with a colour of the palette. Raises KeyError for another."""
    return {"mode": "fixed", "fixedColor": PALETTE[colour]}


def coloured(colours: Mapping[str, str]) -> dict[str, list[DynamicConfigValue]]:
    """Overrides that give series their colours by name."""
    return {name: properties(color=paint(colour)) for name, colour in colours.items()}


def shaded(colour: str, *, below: bool = False) -> list[DynamicConfigValue]:
    """Series in shades of one colour; ``below`` draws them downwards from the zero line."""
    values: dict[str, object] = {"color": {"mode": "shades", "fixedColor": PALETTE[colour]}}
    return properties(**values, **({"custom__transform": "negative-Y"} if below else {}))


def stepped(steps: thresholds.Steps) -> dict[str, object]:
    """The property ``thresholds`` of a column with these steps."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}


def gauge_cell(
    steps: thresholds.Steps, *, unit: str = "percent", high: float = 100, width: int = 200
) -> list[DynamicConfigValue]:
    """A table's column as bars in the colours of the steps."""
    return properties(
        unit=unit,
        decimals=0,
        min=0,
        max=high,
        color={"mode": "thresholds"},
        thresholds=stepped(steps),
        custom__cellOptions={"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
        custom__width=width,
    )
