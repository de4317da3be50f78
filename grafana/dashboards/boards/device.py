"""The top of the Device dashboard, with the verdict, and the annotations of a device: restarts and deployments."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.builders.common import VizTextDisplayOptions
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from collectors.core.schema import COLLECTOR
from collectors.pi import MEASUREMENTS as PI
from collectors.system import MEASUREMENTS as SYSTEM
from collectors.telemetry import MEASUREMENTS as TELEMETRY
from grafana.dashboards.lib import health, thresholds
from grafana.dashboards.lib.boards import Mark, Row
from grafana.dashboards.lib.panels import Panel, listing, number
from grafana.dashboards.lib.query import FluxTarget, Source
from grafana.dashboards.lib.style import properties, stepped, value_map
from grafana.dashboards.rows.services import MEASUREMENTS as SERVICES
from sensetig import policy

_SOURCE = Source(SYSTEM, PI, (COLLECTOR,), TELEMETRY, SERVICES)

#: The dashboards that offer the annotations, and whether they are on at first.
_BOARDS = {"device": True, "environment": True, "camera": True, "pipeline": True, "history": False}

_RANGE = "from(bucket: v.defaultBucket)\n  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"


def rows() -> Iterable[Row]:
    yield Row("device", "", [health.banner(), health.now(), health.active((8, 8)), _facts(), _about()], order=0)
    yield Row("device", "Processes", _top(), order=67, collapsed=True)


def marks() -> Iterable[Mark]:
    yield Mark(_BOARDS, "Restarts", "purple", _restarts())
    yield Mark(_BOARDS, "Deployments", "blue", _deployments())


def _restarts() -> FluxTarget:
    """From the start to the first point after it, wherever the uptime has gone back.

    InfluxDB finds the minimum uptime of each window while it reads; reading every point of a month takes seventy times
    as long, on each dashboard.
    """
    return FluxTarget(
        f"{_RANGE}"
        '  |> filter(fn: (r) => r._measurement == "system" and r._field == "uptime")\n'
        "  |> filter(fn: (r) => r.host =~ /^$host$/ and r.site =~ /^$site$/)\n"
        "  |> window(every: v.windowPeriod)\n"
        "  |> min()\n"
        '  |> group(columns: ["host"])\n'
        '  |> sort(columns: ["_time"])\n'
        "  |> map(fn: (r) => ({r with uptime: r._value}))\n"
        "  |> difference(nonNegative: false)\n"
        "  |> filter(fn: (r) => r._value < 0)\n"
        "  |> group()\n"
        "  |> map(fn: (r) => ({\n"
        "    time: time(v: int(v: r._time) - r.uptime * 1000000000),\n"
        "    timeEnd: r._time,\n"
        '    text: "Restarted",\n'
        "    tags: r.host,\n"
        "  }))\n"
    )


def _deployments() -> FluxTarget:
    """Where the version of SenseTIG or of the firmware that a device reports changes.

    Flux cannot subtract texts, so it compares their hashes. That is slow, so a mark is accurate to four points of the
    width, not to one.
    """
    return FluxTarget(
        'import "contrib/qxip/hash"\n'
        f"{_RANGE}"
        '  |> filter(fn: (r) => r._measurement == "device_state")\n'
        '  |> filter(fn: (r) => r._field == "bundle_version" or r._field == "firmware")\n'
        "  |> filter(fn: (r) => r.device =~ /^$host$/ and r.site =~ /^$site$/)\n"
        "  |> aggregateWindow(every: duration(v: 4 * int(v: v.windowPeriod)), fn: last, createEmpty: false)\n"
        '  |> group(columns: ["device", "_field"])\n'
        '  |> sort(columns: ["_time"])\n'
        "  |> map(fn: (r) => ({r with version: r._value,\n"
        "    _value: int(v: uint(v: hash.xxhash64(v: r._value)) % uint(v: 9007199254740991)) }))\n"
        "  |> difference(nonNegative: false)\n"
        "  |> filter(fn: (r) => r._value != 0)\n"
        "  |> group()\n"
        "  |> map(fn: (r) => ({\n"
        "    time: r._time,\n"
        '    text: (if r._field == "firmware" then "Firmware " else "SenseTIG ") + r.version,\n'
        "    tags: r.device,\n"
        "  }))\n"
    )


def _facts() -> stat.Panel:
    """Values of the last minute that are seldom bad."""
    looks = {
        "Uptime": properties(unit="s", decimals=1, thresholds=stepped(thresholds.STARTED)),
        "Load per core": properties(unit="short", decimals=2, thresholds=stepped(thresholds.LOAD)),
        "Swap": properties(unit="percent", decimals=0, thresholds=stepped(thresholds.SWAP)),
        "Wi-Fi": properties(unit="dBm", decimals=0, thresholds=stepped(thresholds.SIGNAL)),
        "Card life used": properties(unit="percent", decimals=0, thresholds=stepped(thresholds.WEAR)),
        "Voltage since boot": properties(
            mappings=value_map({"true": ("was too low", thresholds.LOOK), "false": ("fine", thresholds.GOOD)})
        ),
    }
    panel = number(
        "Facts",
        "A short uptime points at the power supply. Above 1 per core some processes wait. Swapping to an SD card is "
        "slow and wears the card. SD cards do not report their life, eMMCs do. Missing values are left out.",
        *(
            _SOURCE.written(query, table=True)
            for query in (
                'SELECT last("uptime") AS "Uptime" FROM "system" WHERE $scope',
                'SELECT last("load1") / last("n_cpus") AS "Load per core" FROM "system" WHERE $scope',
                'SELECT last("used_percent") AS "Swap" FROM "swap" WHERE $scope',
                'SELECT last("signal_dbm") AS "Wi-Fi" FROM "wifi" WHERE $scope',
                'SELECT max("life_used_percent") AS "Card life used" FROM "sd_card" WHERE $scope',
                'SELECT last("under_voltage_since_boot") AS "Voltage since boot" FROM "pi" WHERE $scope',
            )
        ),
        columns=f"/^({'|'.join(looks)})$/",
        recent=True,
        size=(7, 8),
        no_data="no value within a minute",
    )
    for name, values in looks.items():
        panel.override_by_name(name, [*values, *properties(noValue="–")])
    return panel.text(VizTextDisplayOptions().title_size(13).value_size(18))


def _about() -> table.Panel:
    """The identity that the device last reported."""
    names = {
        "model": "Model",
        "operating_system": "System",
        "kernel": "Kernel",
        "address": "Address",
        "bundle_version": "SenseTIG",
        "pending_updates": "Pending updates",
    }
    columns = ", ".join(f'last("{field}") AS "{name}"' for field, name in names.items())
    panel = listing(
        "About this device",
        "The identity that the device reported at its last start, or in the hour before it was last seen. Updates are "
        "counted where update-notifier is installed.",
        _SOURCE.written(f'SELECT {columns} FROM "machine" WHERE $scope', table=True),  # noqa: S608 - no input
        before=(
            DataTransformerConfig(
                id_val="organize", options={"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": {}}
            ),
            DataTransformerConfig(id_val="reduce", options={"reducers": ["lastNotNull"], "labelsToFields": False}),
        ),
        renamed={"Field": "Property", "Last *": "Value"},
        columns={
            "Property": properties(custom__width=135),
            "Value": properties(
                noValue="–", custom__align="left", custom__cellOptions={"type": "auto", "wrapText": True}
            ),
        },
        seconds=policy.FORGOTTEN_DAYS * 86400,
        size=(9, 8),
        no_data=f"not reported within {policy.FORGOTTEN_DAYS} days",
    )
    return panel.show_header(False)


def _top() -> list[Panel]:
    off = "The names of programs are not reported; add top_process to SENSETIG_SYSTEM_PARTS on the device"
    return [
        listing(
            title,
            description,
            _SOURCE.newest(
                "top_process",
                "name",
                "cpu_percent",
                "memory_bytes",
                by=("rank",),
                where={"by": by},
                names=("Program", "CPU", "Memory"),
            ),
            hidden=("Time",),
            order=("rank", "Program", "CPU", "Memory"),
            renamed={"rank": "Rank"},
            columns={
                "Rank": properties(custom__width=60),
                "CPU": properties(unit="percent", decimals=1, noValue="–", custom__width=90),
                "Memory": properties(unit="bytes", decimals=1, custom__width=110),
            },
            seconds=3 * 60,
            size=(12, 7),
            no_data=off,
        )
        for title, description, by in (
            (
                "Top programs by CPU",
                "Programs that took most of all processors within a minute; processes of one name count together.",
                "cpu",
            ),
            (
                "Top programs by memory",
                "Programs that hold most memory, pages that they share with others included.",
                "memory",
            ),
        )
    ]
