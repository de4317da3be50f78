"""Queries of panels, in InfluxQL or Flux. The SDK has no model of either."""

from __future__ import annotations

from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.cog import variants as cogvariants
from grafana_foundation_sdk.models.common import DataSourceRef

#: The provisioned datasource that every target reads.
DATASOURCE = DataSourceRef(type_val="influxdb", uid="sensetig-influxql")

#: The provisioned datasource that annotations read: only Flux can say both when something began and when it ended.
FLUX = DataSourceRef(type_val="influxdb", uid="sensetig-flux")


class Target(cogvariants.Dataquery, cogbuilder.Builder[cogvariants.Dataquery]):
    """One InfluxQL query of a panel.

    Args:
        query: the InfluxQL text, with Grafana's variables in it.
        alias: the legend; ``$tag_NAME`` and ``$col`` are replaced by a tag's value and the column.
        unit: Grafana's id of the values' unit.
        table: one table for all series, its tags as columns, instead of a line for each series.
        several: whether there can be more than one series, so that a legend is needed.
    """

    source = DATASOURCE

    def __init__(
        self, query: str, *, alias: str = "", unit: str = "short", table: bool = False, several: bool = True
    ) -> None:
        self.query = query
        self.alias = alias
        self.unit = unit
        self.table = table
        self.several = several
        self.ref_id = "A"

    @property
    def over_time(self) -> bool:
        """Whether it gives values over time, one an interval."""
        return "time($interval)" in self.query

    def now(self) -> Target:
        """The same of points alone, one an interval of the panel rather than of the dashboard."""
        of_points = self.query.partition("\n")[0].removeprefix("$points ")
        made = Target(
            of_points.replace("time($interval)", "time($__interval)"),
            alias=self.alias,
            unit=self.unit,
            table=self.table,
            several=self.several,
        )
        made.ref_id = self.ref_id
        return made

    def build(self) -> Target:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "alias": self.alias,
            "datasource": DATASOURCE,
            "query": self.query,
            "rawQuery": True,
            "refId": self.ref_id,
            "resultFormat": "table" if self.table else "time_series",
        }


class FluxTarget(cogvariants.Dataquery, cogbuilder.Builder[cogvariants.Dataquery]):
    """A query in Flux, for what InfluxQL cannot say: annotations (``Source.spans``), a colour (``lib/swatch.py``)."""

    source = FLUX

    def __init__(self, query: str, ref_id: str = "annotation") -> None:
        self.query = query
        self.ref_id = ref_id

    def build(self) -> FluxTarget:
        return self

    def to_json(self) -> dict[str, object]:
        return {"datasource": FLUX, "query": self.query, "refId": self.ref_id}
