"""The Fleet dashboard: what needs action, across all devices, and the state of each.

All of it comes from the verdict that the hub computes of each device, so that the numbers on top, the table and
``sensetig status`` never differ. The queries show the present, whatever the time range, and take milliseconds with
hundreds of devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from collectors.core.schema import COLLECTOR
from collectors.system import MEASUREMENTS as SYSTEM
from collectors.telemetry import MEASUREMENTS as TELEMETRY
from grafana.dashboards.lib import health, silence, thresholds
from grafana.dashboards.lib.boards import Choice, Row
from grafana.dashboards.lib.panels import CLOCK, Panel, alerts, listing, number
from grafana.dashboards.lib.query import Source, Target
from grafana.dashboards.lib.style import gauge_cell, nothing, properties, stepped, value_map
from sensetig import policy
from sensetig.fleet.health import MEASUREMENTS as HEALTH
from sensetig.fleet.health import NUMBERS, SIGNS

#: The declarations; every query here is written out.
_SOURCE = Source(HEALTH, SYSTEM, (COLLECTOR,), TELEMETRY, scope=('"site" =~ /^$site$/',))

#: A value counts as current for as long as a device with a short interval is not offline.
_NOW = f"time > now() - {policy.OFFLINE_SECONDS}s"

_SITE = '"site" =~ /^$site$/'

#: The level of a verdict in words.
_VERDICTS = {
    str(NUMBERS[level]): (f"{SIGNS[level]} {word}", colour)
    for level, word, colour in (
        (policy.ACT, "act", thresholds.ACT),
        (policy.LOOK, "check", thresholds.LOOK),
        (policy.GOOD, "well", thresholds.GOOD),
    )
}

#: The counts of devices: name -> the regular expression of such a reason, and how urgent it is.
_REASONS = {
    "Offline": ("^silent", policy.ACT),
    "Late": (r"\blate\b", policy.LOOK),
    "Under-voltage": (r"\bunder-voltage", policy.ACT),
    "Throttled": (r"\bthrottled", policy.ACT),
    "Hot": (r"\bhot\b", policy.LOOK),
    "Disk filling": (r"\bdisk [0-9]", policy.LOOK),
    "Failing": ("(collectors failing|services down)", policy.ACT),
    "Points lost": ("points lost", policy.ACT),
}

#: The choices of the variable *Show*, which leaves other devices out of the table.
CHOICES = {"all": ".*", **{name: pattern for name, (pattern, _) in _REASONS.items()}}

_NO_VERDICT = (
    f"No verdict within {health.FRESH_SECONDS // 60} minutes: no device has written, or the health check on the hub "
    "does not run"
)

_CHOSEN = "var-host=${__data.fields.Device:percentencode}&${site:queryparam}&${__url_time_range}"
_TO_DEVICE, _TO_PIPELINE = f"/d/${{__data.fields.Page.text}}?{_CHOSEN}", f"/d/sensetig-pipeline?{_CHOSEN}"


def rows() -> Iterable[Row]:
    yield Row("fleet", "", [_needs_action(), _devices(), _alerts()], order=0)
    yield Row("fleet", "Details", _details(), order=10, collapsed=True)


def choices() -> Iterable[Choice]:
    yield Choice("fleet", "show", "Show", "The reason of the devices to list.", CHOICES)


def _table(query: str, unit: str = "") -> Target:
    return _SOURCE.written(query, table=True, unit=unit)


def _newest(columns: str) -> str:
    """The newest verdict of each device, with those columns."""
    return (
        f'SELECT last("level") AS "Verdict", {columns} FROM "device_health" '  # noqa: S608 - no input
        f'WHERE {_SITE} AND time > now() - {health.FRESH_SECONDS}s GROUP BY "device", "site"'
    )


def _shown(columns: str) -> str:
    """The same of the devices with the chosen reason. Only Grafana 11.6 and later take a variable to filter rows by."""
    names = ", ".join(f'"{name}"' for name in ("Urgency", *_looks()) if name not in ("Device", "Site"))
    return f'SELECT {names} FROM ({_newest(columns)}) WHERE "Why" =~ /${{show:raw}}/ GROUP BY "device", "site"'  # noqa: S608 - no input


def _needs_action() -> stat.Panel:
    """The number of devices by reason; a number that is 0 stays in the background."""
    newest = _newest('"reasons"')
    targets = [
        _table(
            f'SELECT sum("n") AS "{name}" FROM '  # noqa: S608 - no input
            f'(SELECT count("Verdict") AS "n" FROM ({newest}) WHERE "reasons" =~ /{pattern}/), '
            f'(SELECT count("Verdict") * 0 AS "n" FROM ({newest}))'
        )
        for name, (pattern, _) in _REASONS.items()
    ]
    panel = number(
        "Devices that need action",
        f"Devices by the reason of their verdict. Offline: silent for {policy.OFFLINE_SECONDS // 60} minutes and "
        f"{policy.OFFLINE_INTERVALS} intervals; late: for {policy.LATE_SECONDS} s and {policy.LATE_INTERVALS}. Hot "
        f"from {policy.PROCESSOR_CELSIUS.look} °C, disk filling from {policy.DISK_PERCENT.look} %. Click a number to "
        "list only these devices.",
        *targets,
        columns=f"/^({'|'.join(_REASONS)})$/",
        decimals=0,
        size=(24, 5),  # on a phone, two rows with a name of two lines
        no_data=_NO_VERDICT,
    )
    for name, (pattern, level) in _REASONS.items():
        colour = {policy.ACT: thresholds.ACT, policy.LOOK: thresholds.LOOK}[level]
        url = f"/d/sensetig-fleet?var-show={quote(pattern, safe='')}&${{site:queryparam}}"
        panel.override_by_name(
            name,
            properties(
                thresholds=stepped(((None, thresholds.PLAIN), (1, colour))),
                links=[{"title": f"Show only: {name}", "url": url, "targetBlank": False}],
            ),
        )
    return panel


def _devices() -> Panel:
    return listing(
        "Devices",
        f"Every device that wrote within {policy.FORGOTTEN_DAYS} days and is not retired, the most urgent first, with "
        "the reason. Click a heading to sort by it, a device to open it. A device that is not online has no values: "
        "Hottest is its hottest sensor inside, Disk its fullest file system.",
        _table(
            _shown(
                '"level" * 10000 + "act" * 100 + "look" AS "Urgency", "reasons" AS "Why", '
                '"seen_seconds" * 1000 AS "Last seen", "cpu_percent" AS "CPU", '
                '"temperature_celsius" AS "Hottest", "disk_percent" AS "Disk", "gateway" AS "Page"'
            )
        ),
        before=(
            # Grafana sorts a table's rows by a column that it shows; this one sorts by the number of reasons, too.
            DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": "Urgency", "desc": True}]}),
        ),
        hidden=("Time", "Urgency"),
        order=("Verdict", "device", "Why", "Last seen", "CPU", "Hottest", "Disk", "site", "Page"),
        renamed={"device": "Device", "site": "Site"},
        columns=_looks(),
        size=(24, 14),
        no_data=_NO_VERDICT,
    )


def _alerts() -> Panel:
    return alerts(
        "Active alerts",
        "The alerts of all devices that are active now. Open one for its meaning and its runbook.",
        "",
        size=(24, 6),
    )


def _looks() -> dict[str, list[DynamicConfigValue]]:
    """How each column of the devices looks; together they fit into a window of 1280 pixels with the menu open."""
    link = [{"title": "Open ${__data.fields.Device}", "url": _TO_DEVICE, "targetBlank": False}]
    text = {"type": "color-text"}
    looks = {
        "Device": properties(links=link, custom__width=130, custom__cellOptions={"type": "auto", "wrapText": True}),
        "Verdict": properties(mappings=value_map(_VERDICTS), custom__cellOptions=text, custom__width=80),
        "Why": properties(custom__minWidth=150, custom__cellOptions={"type": "auto", "wrapText": True}),
        "Last seen": properties(unit=CLOCK, custom__width=105),
        "CPU": gauge_cell(_bare(thresholds.BUSY), width=105),
        "Hottest": properties(
            unit="celsius",
            decimals=0,
            color={"mode": "thresholds"},
            thresholds=stepped(thresholds.PROCESSOR),
            custom__cellOptions=text,
            custom__width=75,
        ),
        "Disk": gauge_cell(_bare(thresholds.DISK), width=105),
        "Site": properties(custom__width=85),
        # Nothing but the page that a device's link opens.
        "Page": properties(
            mappings=[
                *value_map(
                    {
                        "true": ("sensetig-mqtt-device", thresholds.PLAIN),
                        "false": ("sensetig-device", thresholds.PLAIN),
                    }
                ),
                nothing("sensetig-device"),
            ],
            # The first is Grafana 11's name of it, the second that of later ones.
            custom__hidden=True,
            custom__hideFrom={"viz": True, "legend": False, "tooltip": False},
        ),
    }
    # Otherwise each empty cell would show the panel's text for no data.
    return {
        column: [*values, *properties(noValue="–", **({} if column in _NUMBERS else {"custom__align": "left"}))]
        for column, values in looks.items()
    }


#: Columns of numbers stay on the right.
_NUMBERS = ("Hottest",)


def _bare(steps: thresholds.Steps) -> thresholds.Steps:
    """The steps without a colour if there is no value: an empty bar instead of one at 0."""
    return ((None, "transparent"), *steps[1:])


def _details() -> list[Panel]:
    link = [{"title": "Pipeline", "url": _TO_PIPELINE, "targetBlank": False}]
    recent = f"{_SITE} AND time > now() - {policy.NAME_CLASH_SECONDS}s"
    changes = ", ".join(f"({query})" for query in silence.starts(recent))
    clashes = f'SELECT sum("value") AS "Changes" FROM {changes} {silence.GROUPS}'  # noqa: S608
    return [
        listing(
            "Two machines under one name",
            "Names under which two machines report, so that their points mix: the number of a machine's start "
            f"changed more than {policy.NAME_CLASH_CHANGES} times within "
            f"{policy.NAME_CLASH_SECONDS // 60} minutes. Rename one, or set SENSETIG_HOST.",
            _table(f'SELECT "Changes" FROM ({clashes}) WHERE "Changes" > {policy.NAME_CLASH_CHANGES} {silence.GROUPS}'),  # noqa: S608
            hidden=("Time",),
            order=("host", "site", "Changes"),
            renamed={"host": "Device", "site": "Site"},
            columns={"Device": properties(links=link), "Changes": properties(decimals=0, custom__width=100)},
            size=(12, 8),
            no_data="Each name has one machine",
        ),
        listing(
            "Failing collectors",
            "Collectors whose latest batch failed as a whole. Telegraf's log on the device has the reason.",
            _table(
                'SELECT "up" AS "State" FROM (SELECT last("up") AS "up" FROM "collector" '  # noqa: S608
                f'WHERE {_SITE} AND {_NOW} GROUP BY "host", "collector") WHERE "up" = 0 GROUP BY "host", "collector"'
            ),
            order=("host", "collector", "State", "Time"),
            renamed={"host": "Device", "collector": "Collector", "Time": "Reported"},
            columns={
                "Device": properties(links=link, custom__minWidth=150),
                "Collector": properties(custom__width=100),
                "State": properties(
                    custom__width=70,
                    mappings=value_map({"0": ("failing", thresholds.ACT)}),
                    custom__cellOptions={"type": "color-text"},
                    custom__align="left",
                ),
                "Reported": properties(unit=CLOCK, custom__width=105),
            },
            size=(12, 8),
            no_data="No failing collector",
        ),
        listing(
            "Rejected within a day, by device",
            "Rejected values within a day, most frequent first. A reason that persists is a broken sensor, or a limit "
            "that does not fit.",
            _table(
                f'SELECT sum("count") AS "Rejected" FROM "telemetry_rejected" WHERE {_SITE} AND time > now() - 1d '  # noqa: S608
                'GROUP BY "device", "measurement", "field", "reason"'
            ),
            hidden=("Time",),
            order=("device", "reason", "measurement", "field", "Rejected"),
            renamed={"device": "Device", "measurement": "Measurement", "field": "Field", "reason": "Reason"},
            columns={
                "Device": properties(links=link),
                "Rejected": properties(decimals=0, custom__width=100),
            },
            sort="Rejected",
            descending=True,
            size=(24, 8),
            no_data="Nothing was rejected",
        ),
    ]
