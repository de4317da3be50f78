"""The verdict on a device, as the hub computes it: the same sentence on every dashboard and in ``sensetig status``.

Its values are never older than :data:`FRESH_SECONDS`, however long the dashboard's time range is: an old value says
nothing of now. (Grafana leaves a range that ends in the past as it is, which then shows the verdict of that time.)
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.common import VizTextDisplayOptions
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    DynamicConfigValue,
    RegexMap,
    ValueMapping,
    ValueMappingResult,
)

from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.panels import CLOCK, Panel, alerts, number
from grafana.dashboards.lib.query import Source, Target
from grafana.dashboards.lib.style import properties, stepped, value_map
from sensetig import policy
from sensetig.fleet.health import MEASUREMENTS, SIGNS

#: The verdict is computed twice a minute; after this, something is wrong with what computes it.
FRESH_SECONDS = 120

#: A device's verdict has its name in the tag ``device``.
SCOPE = ('"device" =~ /^$host$/', '"site" =~ /^$site$/')

_SOURCE = Source(MEASUREMENTS, scope=SCOPE)

_COLOURS = {policy.ACT: thresholds.ACT, policy.LOOK: thresholds.LOOK, policy.GOOD: thresholds.GOOD}

_NO_VERDICT = (
    f"No verdict within {FRESH_SECONDS // 60} minutes: this device is not known, or the health check on the hub does "
    "not run"
)


def coloured() -> list[ValueMapping]:
    """The colour of a verdict, by its sign."""
    return [
        RegexMap(
            options=DashboardRegexMapOptions(
                pattern=f"^({SIGNS[level]}.*)$", result=ValueMappingResult("$1", _COLOURS[level], None, index)
            )
        )
        for index, level in enumerate(policy.LEVELS)
    ]


def newest(columns: str) -> Target:
    """A table with the newest values of the device's health."""
    return _SOURCE.written(f'SELECT {columns} FROM "device_health" WHERE $scope', table=True)  # noqa: S608 - no input


def banner() -> Panel:
    """The verdict, as wide as the dashboard."""
    panel = number(
        "Verdict",
        "What needs action or a look on this device now, as in sensetig status. Red needs action, orange a look.",
        newest('last("verdict") AS "Verdict"'),
        columns="/^Verdict$/",
        filled=True,
        size=(24, 4),
        no_data=_NO_VERDICT,
        links={"Fleet": "/d/sensetig-fleet"},
    )
    panel.mappings(coloured()).time_from(f"{FRESH_SECONDS}s").hide_time_override(True)
    # Small enough for four reasons on a phone.
    panel.text(VizTextDisplayOptions().value_size(20))
    return panel


def now() -> stat.Panel:
    """The values of now in one panel; a silent device has only the time when it was last seen."""
    columns = {
        '"cpu_percent"': "CPU",
        '"memory_percent"': "Memory",
        '"disk_percent"': "Disk",
        '"temperature_celsius"': "Hottest",
        '"under_voltage"': "Power",
        '"throttled"': "Throttled",
        '"seen_seconds" * 1000': "Last seen",
    }
    # All of one point: a field that the newest point lacks has no value now.
    chosen = ", ".join(f'{column} AS "{name}"' for column, name in columns.items())
    panel = number(
        "Now",
        "The processor, the memory, the fullest disk and the hottest sensor inside, and a Raspberry Pi's supply, as "
        "they are now. Only an online device has values, and only those that it can measure.",
        newest(f'last("level") AS "Level", {chosen}'),
        columns=f"/^({'|'.join(columns.values())})$/",
        decimals=0,
        size=(24, 5),  # on a phone, two rows with a time of two lines
        no_data="unknown",
    )
    looks: dict[str, list[DynamicConfigValue]] = {
        "CPU": properties(unit="percent", thresholds=stepped(thresholds.BUSY)),
        "Memory": properties(unit="percent", thresholds=stepped(thresholds.MEMORY)),
        "Disk": properties(unit="percent", thresholds=stepped(thresholds.DISK)),
        "Hottest": properties(unit="celsius", thresholds=stepped(thresholds.PROCESSOR)),
        "Power": properties(mappings=value_map({"true": ("low", thresholds.ACT), "false": ("OK", thresholds.GOOD)})),
        "Throttled": properties(
            mappings=value_map({"true": ("yes", thresholds.ACT), "false": ("no", thresholds.GOOD)})
        ),
        "Last seen": properties(unit=CLOCK),
    }
    for name, values in looks.items():
        # Otherwise each value that a device does not report would be the panel's whole text for no data.
        panel.override_by_name(name, [*values, *properties(noValue="–")])
    panel.text(VizTextDisplayOptions().title_size(13).value_size(20))
    return panel.time_from(f"{FRESH_SECONDS}s").hide_time_override(True)


def active(size: tuple[int, int]) -> Panel:
    """The alerts of the device."""
    return alerts(
        "Active alerts",
        "The alerts of this device that are active now. Open one for its meaning and its runbook.",
        '{device="$host"}',
        size=size,
    )
