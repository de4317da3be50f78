"""The Device dashboard's row of the containers, where SenseTIG runs in containers."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.container import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties, value_map

_SOURCE = Source(MEASUREMENTS)

_NONE = "No container in this time range; the profile status of containers/compose.yaml reports them"

_GREY = "#8e8e8e"


def rows() -> Iterable[Row]:
    yield Row("device", "Containers", _containers(), order=21, collapsed=True)


def _containers() -> list[Panel]:
    return [
        listing(
            "Containers",
            "Each container of the installation. setup ends when its work is done. Where the restarts rise, the log of "
            "the container has the reason.",
            _SOURCE.newest(
                "container",
                "running",
                "healthy",
                "restarts",
                "uptime_seconds",
                by=("name",),
                names=("State", "Health", "Restarts", "Uptime"),
            ),
            order=("name", "State", "Health", "Restarts", "Uptime"),
            renamed={"name": "Container"},
            hidden=("Time",),
            columns={
                "State": properties(
                    mappings=value_map({"1": ("running", thresholds.GOOD), "0": ("ended", _GREY)}),
                    custom__cellOptions={"type": "color-text"},
                    custom__align="left",
                ),
                "Health": properties(
                    mappings=value_map({"1": ("healthy", thresholds.GOOD), "0": ("unhealthy", thresholds.ACT)}),
                    custom__cellOptions={"type": "color-text"},
                    custom__align="left",
                ),
                "Uptime": properties(unit="s", decimals=1),
            },
            sort="Health",
            size=(24, 8),
            no_data=_NONE,
        ),
        lines(
            "Memory of containers",
            "Memory of each container without the cache of files.",
            _SOURCE.mean("container", "memory_bytes", by=("name",), function="max"),
            low=0,
            size=(12, 8),
            no_data=_NONE,
        ),
        lines(
            "CPU of containers",
            "Processor time of each container; 100 % is one core.",
            _SOURCE.rate("container", "cpu_seconds", by=("name",), scale=100, unit="percent"),
            low=0,
            size=(12, 8),
            no_data=_NONE,
        ),
    ]
