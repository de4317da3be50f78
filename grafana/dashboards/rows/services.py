"""The Device dashboard's row of the services, by Telegraf's input ``systemd_units``."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import statetimeline
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from collectors.core.schema import Field, Measurement, Tag
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import CLOCK, Panel, listing, states
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties, value_map
from sensetig import policy

#: The fields of ``inputs.systemd_units`` of Telegraf 1.39 that telegraf/hub/services.conf keeps.
MEASUREMENTS = (
    Measurement(
        "systemd_units",
        "A service, as systemd sees it.",
        (Tag("name", "The unit's name."),),
        (
            Field("active_code", int, "", "0 active, 1 reloading, 2 inactive, 3 failed, 4 starting, 5 stopping.", 0, 5),
            Field("sub_code", int, "", "The state in more detail; 13 waits to be started again.", 0),
            Field(
                "active_enter_timestamp_us",
                int,
                "",
                "When it was last made active, in microseconds since 1970; 0 where it has not been since the machine "
                "started, as a job that does its work and ends (Type=oneshot) never is.",
                0,
            ),
        ),
    ),
)

_SOURCE = Source(MEASUREMENTS)

#: The meaning of ``active_code``; hours hold the maximum, as a whole number in a float.
STATES = {
    "0": ("active", thresholds.GOOD),
    "1": ("reloading", "blue"),
    "2": ("inactive", "#8e8e8e"),
    "3": ("failed", thresholds.ACT),
    "4": ("starting", "blue"),
    "5": ("stopping", "blue"),
}

_NONE = "No service in this time range; telegraf/hub/services.conf reports them where systemd runs"


def rows() -> Iterable[Row]:
    yield Row("device", "Services", _services(), order=50, collapsed=True)


def _services() -> list[Panel]:
    return [
        listing(
            "Services",
            "Each watched service and its state. For the reason of a failure: journalctl -u NAME -n 50. A job that a "
            "timer starts, such as a backup, is inactive most of the time.",
            _SOURCE.newest("systemd_units", "active_code", by=("name",), names=("State",)),
            order=("name", "State", "Time"),
            renamed={"name": "Service", "Time": "As of"},
            columns={
                "State": properties(
                    mappings=value_map(STATES),
                    custom__cellOptions={"type": "color-text"},
                    custom__align="left",
                    custom__width=85,
                ),
                "As of": properties(unit=CLOCK, custom__width=105),
            },
            sort="State",
            descending=True,
            seconds=policy.OFFLINE_SECONDS,
            size=(12, 9),
            no_data=_NONE,
        ),
        _short(
            states(
                "Services over time",
                "When each service ran. Red: it failed; grey: it was stopped, or is a job between its runs. A service "
                "that turns red repeatedly is one that systemd keeps restarting.",
                _SOURCE.mean("systemd_units", "active_code", by=("name",), function="max"),
                texts=STATES,
                size=(12, 9),
                no_data=_NONE,
            )
        ),
    ]


def _short(panel: statetimeline.Panel) -> statetimeline.Panel:
    """The panel with lanes called after the part of a service's name that differs, so that a phone has room for it."""
    options = {"regex": "^(?:sensetig-)?(.*?)(?:\\.service)?$", "renamePattern": "$1"}
    return panel.with_transformation(DataTransformerConfig(id_val="renameByRegex", options=options))
