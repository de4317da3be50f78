"""The Fleet dashboard: what needs action, across all devices, and the state of each.

All queries show the present, whatever the time range. They take the latest value of each device over the shortest range
that contains it, which InfluxDB reads from the end of each series, so that they take milliseconds with hundreds of
devices; means over time of many devices are slow, and there is only that of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from collectors.core.schema import COLLECTOR
from collectors.pi import MEASUREMENTS as PI
from collectors.sensehat import MEASUREMENTS as SENSEHAT
from collectors.system import MEASUREMENTS as SYSTEM
from collectors.telemetry import MEASUREMENTS as TELEMETRY
from grafana.dashboards.lib import best, health, silence, thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, alerts, first_with_value, joined, listing, number
from grafana.dashboards.lib.query import Source, Target
from grafana.dashboards.lib.style import gauge_cell, nothing, properties, stepped, value_map
from sensetig import policy
from sensetig.fleet.health import NUMBERS, SIGNS

#: The declarations; every query here is written out.
_SOURCE = Source(SYSTEM, PI, SENSEHAT, (COLLECTOR,), TELEMETRY, scope=('"site" =~ /^$site$/',))

#: A value counts as current for as long as a device with a short interval is not offline.
_NOW = f"time > now() - {policy.OFFLINE_SECONDS}s"

#: A device that has been silent for longer is not listed.
_KNOWN = f"time > now() - {policy.FORGOTTEN_DAYS}d"

#: A device may have been retired as long ago as points are kept.
_KEPT = f"time > now() - {policy.KNOWN_DAYS}d"

_SITE = '"site" =~ /^$site$/'

#: The newest value of a field.
_LAST = 'last("{}")'

#: Columns with the temperature of the air, the best first.
_AIR, _OTHER_AIR = best.numbered("Air", best.TEMPERATURE), "Other air"

_OFFLINE, _LATE, _ONLINE, _RETIRED = 1, 2, 3, 4

_STATUS = {
    str(_OFFLINE): ("● offline", thresholds.ACT),
    str(_LATE): ("● late", thresholds.LOOK),
    str(_ONLINE): ("● online", thresholds.GOOD),
    str(_RETIRED): ("○ retired", thresholds.PLAIN),
}

#: The level of a verdict in words.
_VERDICTS = {
    str(NUMBERS[level]): (f"{SIGNS[level]} {word}", colour)
    for level, word, colour in (
        (policy.ACT, "act", thresholds.ACT),
        (policy.LOOK, "check", thresholds.LOOK),
        (policy.GOOD, "well", thresholds.GOOD),
    )
}

_NOBODY = "–"

_CHOSEN = "var-host=${__data.fields.Device:percentencode}&${site:queryparam}&${__url_time_range}"
_TO_DEVICE, _TO_PIPELINE = f"/d/sensetig-device?{_CHOSEN}", f"/d/sensetig-pipeline?{_CHOSEN}"


def rows() -> Iterable[Row]:
    yield Row("fleet", "", [*_needs_action(), _devices(), _alerts()], order=0)
    yield Row("fleet", "Details", _details(), order=10)


def _heard() -> str:
    """Each place of a machine: whether it is offline (1), late (2) or online (3), and whether it is retired there."""
    late = silence.over(policy.LATE_SECONDS, policy.LATE_INTERVALS)
    offline = silence.over(policy.OFFLINE_SECONDS, policy.OFFLINE_INTERVALS)
    return (
        f'SELECT {_ONLINE} - {late} - {offline} AS "is", "retired" '  # noqa: S608
        f"FROM ({silence.silent(_SITE, _KNOWN, _retired('system', 'host')[1:-1])}) {silence.GROUPS}"
    )


def _state() -> str:
    """The same by the state that a hub keeps of each device behind it."""
    newest = (
        f'(SELECT last("messages") AS "count", "status" FROM "device_state" WHERE {_SITE} AND '  # noqa: S608
        f'{_KNOWN} GROUP BY "device", "site")'
    )
    parts = ", ".join(
        f'(SELECT "count" * 0 + {value} AS "state", "count" * 0 AS "retired" FROM {newest} '  # noqa: S608
        f'WHERE "status" = \'{word}\' GROUP BY "device", "site")'
        for value, word in ((_OFFLINE, "offline"), (_LATE, "late"), (_ONLINE, "online"))
    )
    return (
        f'SELECT max("state") AS "is", sum("retired") AS "retired" FROM {parts}, '  # noqa: S608
        f'{_retired("device_state", "device")} GROUP BY "device", "site"'
    )


def _retired(measurement: str, tag: str) -> str:
    """Whether `sensetig retire` has retired each device, at each of its places."""
    return (
        f'(SELECT last("retired") AS "retired" FROM "{measurement}" WHERE {_SITE} AND {_KEPT} '  # noqa: S608
        f'GROUP BY "{tag}", "site")'
    )


def _statuses() -> tuple[Target, Target]:
    """The status of each device: by its own points, and by its ``device_state``.

    A device that has moved is retired at its old place only; a retired device that still writes is online. InfluxQL has
    no conditions, and a query per condition would read everything again, so they are arithmetic, where ``is`` is 1, 2
    or 3 and ``retired`` 0 or 1.
    """
    silent = '(1 - ("is" - 1) * ("is" - 2) / 2)'  # 1, 1, 0
    serves = f'"is" * (1 - "retired" * {silent})'  # 0 where it is retired and silent
    status = f'"best" + {_RETIRED} * (1 - "best") * (2 - "best") * (3 - "best") / 6'  # 0 becomes that of the retired
    targets = []
    for title, query, tag in (("Heard", _heard(), "host"), ("State", _state(), "device")):
        places = f'SELECT {serves} AS "serves" FROM ({query}) GROUP BY "{tag}", "site"'  # noqa: S608
        best = f'SELECT max("serves") AS "best" FROM ({places}) GROUP BY "{tag}"'  # noqa: S608
        targets.append(_table(f'SELECT {status} AS "{title}" FROM ({best}) GROUP BY "{tag}"'))  # noqa: S608
    return targets[0], targets[1]


def _table(query: str, unit: str = "") -> Target:
    return _SOURCE.written(query, table=True, unit=unit)


def _needs_action() -> list[Panel]:
    """The number of devices that need action, by reason; a number that is 0 stays in the background."""
    hot, full = policy.PROCESSOR_CELSIUS, policy.DISK_PERCENT
    return [
        _with_status(
            "Offline",
            f"Devices silent for {policy.OFFLINE_SECONDS // 60} minutes and for {policy.OFFLINE_INTERVALS} of their "
            f"intervals, which wrote within {policy.FORGOTTEN_DAYS} days and are not retired. Check power and network; "
            "the device's own dashboard has the last values.",
            _OFFLINE,
            thresholds.counted(policy.ACT),
        ),
        _with_status(
            "Late",
            f"Devices silent for {policy.LATE_SECONDS} seconds and for {policy.LATE_INTERVALS} of their intervals: a "
            "restart, a slow link, or the beginning of an outage.",
            _LATE,
            thresholds.counted(policy.LOOK),
        ),
        _count(
            "Under-voltage",
            "Devices whose power supply is too weak now. Under-voltage corrupts cards: replace the supply or its "
            "cable.",
            _among("pi", "under_voltage", '"newest" = true', ("host",)),
            thresholds.counted(policy.ACT),
        ),
        _count(
            "Throttled",
            "Devices whose firmware throttles the processor now, because of heat or a weak supply.",
            _among("pi", "throttled", '"newest" = true', ("host",)),
            thresholds.counted(policy.ACT),
        ),
        _count(
            "Hot",
            f"Devices with a sensor at {hot.look} °C or more. A Raspberry Pi throttles from {hot.act} °C: improve "
            "cooling.",
            _among("temp", "temp", f'"newest" >= {hot.look}', ("host", "sensor")),
            thresholds.counted(policy.LOOK),
        ),
        _count(
            "Full disks",
            f"Devices with a file system that is {full.act} % full or more. A full disk stops services that write to "
            "it.",
            _among("disk", "used_percent", f'"newest" >= {full.act}', ("host", "path"), policy.DISKS_ONLY),
            thresholds.counted(policy.ACT),
        ),
        number(
            "Rejected",
            "Values, lines and messages of all devices that were rejected within a day. The table below has the "
            "devices and the reasons; a few are normal after a start.",
            _table(
                f'SELECT sum("count") AS "Rejected" FROM (SELECT sum("count") AS "count" FROM "telemetry_rejected" '  # noqa: S608
                f'WHERE {_SITE} AND time > now() - 1d), (SELECT last("uptime") * 0 AS "count" FROM "system" '
                f"WHERE {_SITE} AND {_KNOWN})"
            ),
            steps=thresholds.REFUSED,
            filled=True,
            graph=False,
            decimals=0,
            size=(6, 3),
            no_data=_NOBODY,
        ),
        _count(
            "Failing",
            "Collectors of all devices whose latest batch failed as a whole. The table below has their names.",
            _among("collector", "up", '"newest" = 0', ("host", "collector")),
            thresholds.counted(policy.ACT),
        ),
    ]


def _among(measurement: str, field: str, condition: str, groups: Sequence[str], where: str = "") -> Target:
    """How many of the devices that report a field have it so; each counts once, but for collectors.

    The devices count as nought, so that none of them is 0, and no device no data.
    """
    by = ", ".join(f'"{tag}"' for tag in groups)
    scope = " AND ".join(filter(None, (_SITE, where, _NOW)))
    newest = f'SELECT last("{field}") AS "newest" FROM "{measurement}" WHERE {scope} GROUP BY {by}'  # noqa: S608
    such = f'SELECT count("newest") AS "such" FROM ({newest}) WHERE {condition} GROUP BY "host"'  # noqa: S608
    each = '"such"' if measurement == "collector" else '"such" * 0 + 1'
    none = f'SELECT count("newest") * 0 AS "such" FROM ({newest})'  # noqa: S608
    return _table(f'SELECT sum("such") AS "Devices" FROM (SELECT {each} AS "such" FROM ({such})), ({none})')  # noqa: S608


def _count(
    title: str,
    description: str,
    target: Target,
    steps: thresholds.Steps,
) -> stat.Panel:
    return number(
        title,
        description,
        target,
        steps=steps,
        filled=True,
        graph=False,
        decimals=0,
        size=(6, 3),
        no_data=_NOBODY,
    )


def _with_status(title: str, description: str, status: int, steps: thresholds.Steps) -> stat.Panel:
    """The number of devices with a status, which is found as in the table below."""
    panel = number(
        title,
        description,
        *_statuses(),
        steps=steps,
        filled=True,
        graph=False,
        decimals=0,
        calc="count",
        columns="/^Status$/",
        size=(6, 3),
        no_data=_NOBODY,
    )
    is_so = {"fieldName": "Status", "config": {"id": "equal", "options": {"value": status}}}
    for change in (
        *joined("Device", ("host", "device")),
        first_with_value("Status", ("Heard", "State")),
        DataTransformerConfig(id_val="filterByValue", options={"type": "include", "match": "all", "filters": [is_so]}),
    ):
        panel.with_transformation(change)
    return panel


def _newest(measurement: str, field: str, title: str, within: str, groups: Sequence[str], where: str = "") -> Target:
    """A column with the greatest of each device's newest values."""
    by = ", ".join(f'"{tag}"' for tag in groups)
    scope = " AND ".join(filter(None, (_SITE, where, within)))
    newest = f'SELECT last("{field}") AS "newest" FROM "{measurement}" WHERE {scope} GROUP BY {by}'  # noqa: S608
    return _table(f'SELECT max("newest") AS "{title}" FROM ({newest}) GROUP BY "host"')  # noqa: S608


def _airs() -> tuple[Target, Target]:
    """The temperature of the air at each device: the best that the Sense HAT knows, and that of the warmest other."""
    other = (
        f'SELECT last("temperature_raw_celsius") AS "newest" FROM "environment" WHERE {_SITE} AND '  # noqa: S608
        f'"sensor" !~ /^(hts221|lps25h)$/ AND {_NOW} GROUP BY "device", "sensor"'
    )
    return (
        _table(
            f'SELECT {best.columns(_LAST, "Air", best.TEMPERATURE)} FROM "environment" WHERE {_SITE} AND '  # noqa: S608
            f'"sensor" = \'hts221\' AND {_NOW} GROUP BY "device"'
        ),
        _table(f'SELECT max("newest") AS "{_OTHER_AIR}" FROM ({other}) GROUP BY "device"'),  # noqa: S608
    )


def _devices() -> Panel:
    minutes = policy.OFFLINE_SECONDS // 60
    heard, state = _statuses()
    return listing(
        "Devices",
        f"Every device that wrote within {policy.FORGOTTEN_DAYS} days, the most urgent first, with the reason. "
        "Click a heading to sort by it, a device to open it. Values are those of the last "
        f"{minutes} minutes: CPU their mean, Temperature the hottest sensor inside, Disk the fullest file system. "
        " Air is the Sense HAT's temperature: calibrated, else compensated, else raw; without a Sense HAT "
        "that of the warmest sensor. Devices behind a gateway have no values of a Raspberry Pi.",
        _table(f'SELECT last("uptime") AS "Uptime" FROM "system" WHERE {_SITE} AND {_KNOWN} GROUP BY "host", "site"'),  # noqa: S608
        # Grafana takes the first that has a value: a machine's own points outweigh the state that it left behind.
        heard,
        state,
        _newest("temp", "temp", "Temperature", _NOW, ("host", "sensor")),
        _table(
            f'SELECT 100 - mean("usage_idle") AS "CPU" FROM "cpu" WHERE {_SITE} AND "cpu" = \'cpu-total\' AND {_NOW} '  # noqa: S608
            'GROUP BY "host"'
        ),
        _newest("disk", "used_percent", "Disk", _NOW, ("host", "path"), policy.DISKS_ONLY),
        *_airs(),
        _table(
            f'SELECT last("under_voltage") AS "Voltage", last("throttled") AS "Throttling" FROM "pi" WHERE {_SITE} AND '  # noqa: S608
            f'{_NOW} GROUP BY "host"'
        ),
        _table(
            'SELECT "seconds" * 1000 AS "Telemetry", "count" AS "Messages", "version" AS "Version", "place" AS "Place" '  # noqa: S608
            'FROM (SELECT last("messages") AS "count", "last_telemetry_seconds" AS "seconds", '
            '"bundle_version" AS "version", "site" AS "place" '
            f'FROM "device_state" WHERE {_SITE} AND {_KNOWN} GROUP BY "device") GROUP BY "device"'
        ),
        _table(
            'SELECT "level" AS "Verdict", "reasons" AS "Why" FROM (SELECT last("level") AS "level", "reasons" '  # noqa: S608
            f'FROM "device_health" WHERE {_SITE} AND time > now() - {health.FRESH_SECONDS}s GROUP BY "device") '
            'GROUP BY "device"'
        ),
        joined_by="Device",
        keys=("host", "device"),
        first_of={
            "Status": ("Heard", "State"),
            "Last seen": ("Age", "Telemetry"),
            "Air": (*_AIR, _OTHER_AIR),
            "Site": ("site", "Place"),
        },
        hidden=(
            "Heard",
            "State",
            "Age",
            "Telemetry",
            *_AIR,
            _OTHER_AIR,
            "site",
            "Place",
        ),
        order=(
            "Device",
            "Verdict",
            "Why",
            "Status",
            "Last seen",
            "Temperature",
            "CPU",
            "Disk",
            "Voltage",
            "Throttling",
            "Air",
            "Uptime",
            "Messages",
            "Version",
            "Site",
        ),
        columns=_looks(),
        sort="Verdict",
        descending=True,
        size=(24, 14),
        no_data="No device has written anything yet",
    )


def _alerts() -> Panel:
    return alerts(
        "Active alerts",
        "The alerts of all devices that are active now. Open one for its meaning and its runbook.",
        "",
        size=(24, 6),
    )


def _looks() -> dict[str, list[DynamicConfigValue]]:
    """How each column of the devices looks."""
    link = [{"title": "Open ${__data.fields.Device}", "url": _TO_DEVICE, "targetBlank": False}]
    text = {"type": "color-text"}
    worried = {"mode": "thresholds"}
    looks = {
        "Device": properties(links=link, custom__minWidth=120),
        "Status": properties(
            mappings=value_map(_STATUS), custom__cellOptions=text, custom__width=90, custom__align="left"
        ),
        "Verdict": properties(
            mappings=[*value_map(_VERDICTS), nothing("unknown")],
            custom__cellOptions=text,
            custom__width=90,
            custom__align="left",
        ),
        "Why": properties(
            custom__minWidth=200, custom__align="left", custom__cellOptions={"type": "auto", "wrapText": True}
        ),
        "Last seen": properties(unit="dateTimeFromNow", custom__width=145, custom__align="left"),
        "Temperature": properties(
            unit="celsius",
            decimals=1,
            color=worried,
            thresholds=stepped(thresholds.PROCESSOR),
            custom__cellOptions=text,
            custom__width=110,
        ),
        "CPU": gauge_cell(_bare(thresholds.BUSY), width=120),
        "Disk": gauge_cell(_bare(thresholds.DISK), width=120),
        "Voltage": properties(
            mappings=[*value_map({"true": ("too low", thresholds.ACT), "false": ("OK", thresholds.GOOD)}), nothing()],
            custom__cellOptions=text,
            custom__width=80,
        ),
        "Throttling": properties(
            mappings=[
                *value_map({"true": ("throttled", thresholds.ACT), "false": ("none", thresholds.GOOD)}),
                nothing(),
            ],
            custom__cellOptions=text,
            custom__width=90,
        ),
        "Air": properties(unit="celsius", decimals=1, custom__width=80),
        "Uptime": properties(
            unit="s",
            decimals=1,
            color=worried,
            thresholds=stepped(thresholds.STARTED),
            custom__cellOptions=text,
            custom__width=100,
        ),
        "Messages": properties(unit="short", decimals=0, custom__width=90),
        "Version": properties(custom__width=80),
        "Site": properties(custom__minWidth=80, custom__align="left"),
    }
    # Otherwise each empty cell would show the panel's text for no data.
    return {column: [*values, *properties(noValue="–")] for column, values in looks.items()}


def _bare(steps: thresholds.Steps) -> thresholds.Steps:
    """The steps without a colour where there is no value: an empty bar, and not one at 0."""
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
            size=(8, 8),
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
                "Device": properties(links=link),
                "State": properties(
                    mappings=value_map({"0": ("failing", thresholds.ACT)}),
                    custom__cellOptions={"type": "color-text"},
                    custom__align="left",
                ),
                "Reported": properties(unit="dateTimeFromNow"),
            },
            size=(7, 8),
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
                "Device": properties(links=link, custom__width=130),
                "Reason": properties(custom__width=120),
                "Measurement": properties(custom__width=130),
                "Rejected": properties(decimals=0, custom__width=100),
            },
            sort="Rejected",
            descending=True,
            size=(9, 8),
            no_data="Nothing was rejected",
        ),
    ]
