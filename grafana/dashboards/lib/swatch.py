"""The colour of the light: a panel with the colour sensor's reading as its background.

Grafana can take a panel's colour from a query, but it has to be spelled there, and InfluxQL cannot make texts. So this
is one of the places where Flux is asked.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizTextDisplayOptions
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.panels import NOW, with_basics
from grafana.dashboards.lib.query import SCOPE, FluxTarget

#: The maximum count of a channel: the sensor is saturated.
_MAX = 65535


def swatch(title: str, description: str, measurement: str, *, size: tuple[int, int], no_data: str) -> stat.Panel:
    """The newest reading of ``red``, ``green``, ``blue`` and ``clear`` as a coloured panel with its brightness."""
    conditions = " and ".join(f"r.{each.replace(chr(34), '')}" for each in SCOPE)
    newest = (
        "newest = from(bucket: v.defaultBucket)\n"
        "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
        f'  |> filter(fn: (r) => r._measurement == "{measurement}" and {conditions})\n'
        "  |> filter(fn: (r) => r._field =~ /^(red|green|blue|clear)$/)\n"
        "  |> last()\n"
        '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
        "  |> group()\n"
        '  |> sort(columns: ["_time"])\n'
        "  |> tail(n: 1)\n"
    )
    # The sensor is linear, and a screen has the response of an eye: roughly the square root.
    colour = (
        'import "math"\n'
        f"{newest}"
        "shade = (c, r) => string(v: int(v: 255.0 * math.pow(\n"
        "  x: float(v: c) / math.mMax(x: 1.0, y: math.mMax(x: float(v: r.red), "
        "y: math.mMax(x: float(v: r.green), y: float(v: r.blue)))), y: 0.4545)))\n"
        'newest |> map(fn: (r) => ({colour: "rgb(" + shade(c: r.red, r: r) + ", " + shade(c: r.green, r: r) + ", " '
        '+ shade(c: r.blue, r: r) + ")"}))\n'
    )
    bright = f"{newest}newest |> map(fn: (r) => ({{Light: float(v: r.clear) / {_MAX}.0 * 100.0}}))\n"
    targets = (FluxTarget(colour), FluxTarget(bright))
    panel = with_basics(stat.Panel(), title, description, targets, size, no_data, None)
    panel.time_from(NOW).hide_time_override(True)
    panel.unit("percent").decimals(0).min(0).max(100)
    panel.reduce_options(ReduceDataOptions().values(False).calcs(["lastNotNull"]).fields("/^Light$/"))
    panel.color_mode(common.BigValueColorMode.BACKGROUND_SOLID).graph_mode(common.BigValueGraphMode.NONE)
    panel.text_mode(common.BigValueTextMode.VALUE).text(VizTextDisplayOptions().value_size(18))
    # Without a reading, Grafana would paint the panel in the colour of the lowest step, which is green by default.
    panel.thresholds(thresholds.config(((None, "transparent"),)))
    return panel.with_transformation(
        DataTransformerConfig(
            id_val="configFromData",
            options={"configRefId": "A", "mappings": [{"fieldName": "colour", "handlerKey": "color"}]},
        )
    )
