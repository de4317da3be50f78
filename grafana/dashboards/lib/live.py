"""Channels of Grafana Live: what Telegraf has just brought, pushed to an open panel; see ``telegraf/hub/live.conf``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.cog import variants as cogvariants
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from collectors.core.schema import Measurement
from grafana.dashboards.lib import units
from grafana.dashboards.lib.style import paint, properties

#: Grafana's own datasource, which has the channels.
GRAFANA = DataSourceRef(type_val="datasource", uid="grafana")

#: field -> what its line is called, and its colour; None leaves the choice to Grafana.
Names = Mapping[str, tuple[str, str | None]]

Dressed = TypeVar("Dressed", stat.Panel, timeseries.Panel)

#: What all channels of Telegraf's begin with, and the variable that chooses the device.
PREFIX = "stream/sensetig/$host/"


class Channel(cogvariants.Dataquery, cogbuilder.Builder[cogvariants.Dataquery]):
    """One field of the chosen device as a panel's target, each series of its tags a line.

    Args:
        measurement: that declares the field. Raises KeyError when it does not.
        field: its name.
    """

    source = GRAFANA
    several = True

    def __init__(self, measurement: Measurement, field: str) -> None:
        self.unit = units.of(measurement, field)
        self.channel = f"{PREFIX}{measurement.name}.{field}"
        self.ref_id = "A"

    def build(self) -> Channel:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "channel": self.channel,
            "datasource": GRAFANA,
            "queryType": "measurements",
            "refId": self.ref_id,
        }


def channels(measurements: Iterable[Measurement], name: str, fields: Iterable[str]) -> list[Channel]:
    """Fields of the measurement of that name. Raises KeyError where it, or one of them, is not declared."""
    declared = {each.name: each for each in measurements}
    if name not in declared:
        raise KeyError(f"no collector declares the measurement {name!r}")
    return [Channel(declared[name], field) for field in fields]


def fresh(panel: stat.Panel, seconds: str) -> stat.Panel:
    """The panel without readings that are older than that: Grafana keeps a channel's last one for ever."""
    older = {"fieldName": "time", "config": {"id": "lower", "options": {"value": "${__from}"}}}
    options = {"type": "exclude", "match": "any", "filters": [older]}
    panel.with_transformation(DataTransformerConfig(id_val="filterByValue", options=options))
    return panel.time_from(seconds).hide_time_override(True)


def dressed(panel: Dressed, names: Names) -> Dressed:
    """The panel with each field's line called and coloured as the names say."""
    for field, (name, colour) in names.items():
        colours = {} if colour is None else {"color": paint(colour)}
        panel.override_by_regexp(f"/^{field}( |$)/", properties(displayName=name, **colours))
    return panel
