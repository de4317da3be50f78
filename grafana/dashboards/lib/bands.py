"""Months and years: a mean as a line, in a band from the minimum to the maximum."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import common

from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.panels import NO_DATA, lines
from grafana.dashboards.lib.query import SPREAD, Target
from grafana.dashboards.lib.style import paint, properties


def band(
    title: str,
    description: str,
    target: Target,
    *,
    colour: str,
    others: Mapping[str, str] | None = None,
    names: tuple[str, str, str] = SPREAD,
    unit: str | None = None,
    decimals: int | None = None,
    low: float | None = None,
    high: float | None = None,
    steps: thresholds.Steps | None = None,
    size: tuple[int, int] = (12, 9),
    no_data: str = NO_DATA,
    links: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """A mean as a line, in a band from the minimum to the maximum; see ``Source.spread``.

    Args:
        others: further columns of the target, which are lines, and their colours.
    """
    minimum, mean, maximum = names
    panel = lines(
        title,
        description,
        target,
        colours=others,
        unit=unit,
        decimals=decimals,
        low=low,
        high=high,
        steps=steps,
        fill=0,
        calcs=("min", "mean", "max"),
        size=size,
        no_data=no_data,
        links=links,
    )
    panel.gradient_mode(common.GraphGradientMode.NONE)
    edge: dict[str, object] = {"custom__lineWidth": 0, "custom__hideFrom": {"legend": False, "tooltip": False}}
    painted = paint(colour)
    panel.override_by_name(minimum, properties(color=painted, **edge))
    panel.override_by_name(mean, properties(color=painted))
    panel.override_by_name(
        maximum, properties(color=painted, custom__fillBelowTo=minimum, custom__fillOpacity=25, **edge)
    )
    return panel
