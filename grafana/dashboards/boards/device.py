"""The Device dashboard's top, which puts together what needs action; and the annotations of one device: when it started
again, and when its software changed."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders.common import VizTextDisplayOptions

from collectors.core.schema import COLLECTOR
from collectors.pi import MEASUREMENTS as PI
from collectors.system import MEASUREMENTS as SYSTEM
from collectors.telemetry import MEASUREMENTS as TELEMETRY
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Mark, Row
from grafana.dashboards.lib.panels import Panel, number
from grafana.dashboards.lib.query import FluxTarget, Source, Target
from grafana.dashboards.rows.services import DOWN
from grafana.dashboards.rows.services import MEASUREMENTS as SERVICES
from grafana.dashboards.rows.system import DISKS

_SOURCE = Source(SYSTEM, PI, (COLLECTOR,), TELEMETRY, SERVICES)

#: So small that two words for what there is not stand on one line.
_WORDS = VizTextDisplayOptions().title_size(13).value_size(20)

#: Where they are offered, and whether they are on there at first.
_BOARDS = {"device": True, "environment": True, "camera": True, "pipeline": True, "history": False}

_RANGE = "from(bucket: v.defaultBucket)\n  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"


def rows() -> Iterable[Row]:
    yield Row("device", "", [*_needs_action(), *_facts()], order=0)


def marks() -> Iterable[Mark]:
    yield Mark(_BOARDS, "Restarts", "purple", _restarts())
    yield Mark(_BOARDS, "Deployments", "blue", _deployments())


def _restarts() -> FluxTarget:
    """From the start to the first point after it, wherever the uptime has gone back.

    InfluxDB finds the least uptime of each window while it reads; to look at every point of a month takes seventy times
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
        '    text: "Started again",\n'
        "    tags: r.host,\n"
        "  }))\n"
    )


def _deployments() -> FluxTarget:
    """Where a device told of another version of SenseTIG, or of its firmware, than just before.

    Whoever brings a new version need not tell of it: the device does, by its state. Texts cannot be subtracted, so
    each is compared as the number that it is hashed to. That takes its time, and so a mark is right to four points of
    the width, not to one.
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


def _services_down() -> Target:
    newest = (
        '(SELECT last("active_code") AS "active_code", "sub_code", "active_enter_timestamp_us" FROM "systemd_units" '
        'WHERE $scope GROUP BY "name")'
    )
    return _SOURCE.written(
        f'SELECT sum("down") AS "Down" FROM (SELECT count("active_code") AS "down" FROM {newest} WHERE {DOWN}), '  # noqa: S608
        f'(SELECT count("active_code") * 0 AS "down" FROM {newest})',
        table=True,
    )


def _needs_action() -> list[Panel]:
    """Whether all is well, within five seconds: green is well, orange wants a look, red a hand."""
    return [
        number(
            "Last seen",
            "When this device last wrote a value. More than a minute ago means that it is off, cut off, or that "
            "Telegraf has stopped.",
            _SOURCE.newest("system", "uptime"),
            time=True,
            no_data="silent in this time range",
            links={"Pipeline": "/d/sensetig-pipeline"},
        ),
        number(
            "Power",
            "Whether a Raspberry Pi gets enough voltage now. Low voltage corrupts cards: use the supply made for the "
            "board, and a short, thick cable. What happened since the start is shown further down.",
            _SOURCE.newest("pi", "under_voltage", names=("Power",)),
            texts={"true": ("too low", thresholds.ACT), "false": ("fine", thresholds.GOOD)},
            columns="/^Power$/",
            graph=False,
            no_data="not a Pi",
        ),
        number(
            "Speed",
            "Whether the firmware of a Raspberry Pi slows the processor down now, for heat or for a weak supply.",
            _SOURCE.newest("pi", "throttled", names=("Speed",)),
            texts={"true": ("throttled", thresholds.ACT), "false": ("full", thresholds.GOOD)},
            columns="/^Speed$/",
            graph=False,
            no_data="not a Pi",
        ),
        number(
            "Hottest",
            "The highest temperature that any sensor reports. A Raspberry Pi slows down from 80 °C.",
            _SOURCE.mean("temp", "temp", function="max", names=("Temperature",)),
            steps=thresholds.PROCESSOR,
            unit="celsius",
            decimals=1,
            no_data="no sensor",
        ),
        number(
            "Disk",
            "Used share of the file system that is fullest; Disks below says which. Above 90 % make room.",
            _SOURCE.mean("disk", "used_percent", function="max", where=DISKS, names=("Disk",)),
            steps=thresholds.DISK,
            decimals=0,
            low=0,
            high=100,
        ),
        number(
            "Memory",
            "Share of memory in use that cannot be given back at once. Above 90 % programs get killed.",
            _SOURCE.mean("mem", "used_percent", names=("Memory",)),
            steps=thresholds.BUSY,
            decimals=0,
            low=0,
            high=100,
        ),
        number(
            "Services down",
            "Services that are watched and have failed, or have stopped after they ran; Services below says which. A "
            "job that a timer starts counts where it has failed.",
            _services_down(),
            steps=thresholds.NEVER,
            graph=False,
            decimals=0,
            no_data="none watched",
        ).text(_WORDS),
        number(
            "Failing",
            "Collectors whose newest report says that the whole batch failed. The reason is in Telegraf's log.",
            _SOURCE.written(
                'SELECT count("up") - sum("up") AS "Failing" FROM '
                '(SELECT last("up") AS "up" FROM "collector" WHERE $scope GROUP BY "collector") WHERE $timeFilter',
                table=True,
            ),
            steps=thresholds.NEVER,
            graph=False,
            decimals=0,
            no_data="no collector",
        ),
    ]


def _facts() -> list[Panel]:
    """What is neither good nor bad, or seldom bad."""
    return [
        number(
            "Up for",
            "Time since the device started. A short time that nobody asked for points at the power supply.",
            _SOURCE.newest("system", "uptime"),
            unit="s",
            decimals=1,
            graph=False,
        ),
        number(
            "CPU",
            "Share of all cores that is busy. Above 75 % for long, see which mode it is below.",
            _SOURCE.mean("cpu", "usage_idle", where={"cpu": "cpu-total"}, formula="100 - {}", names=("CPU",)),
            steps=thresholds.BUSY,
            unit="percent",
            decimals=0,
            low=0,
            high=100,
        ),
        number(
            "Load/core",
            "Processes that run or wait, divided by the cores. Above 1 some of them wait.",
            _SOURCE.written(
                'SELECT mean("load1") / mean("n_cpus") AS "Load" FROM "system" WHERE $scope '
                "GROUP BY time($__interval) fill(null)",
            ),
            steps=thresholds.LOAD,
            decimals=2,
            low=0,
        ),
        number(
            "Swap",
            "Used share of the swap space. Much of it on an SD card is slow, and wears the card.",
            _SOURCE.mean("swap", "used_percent", names=("Swap",)),
            steps=thresholds.SWAP,
            decimals=0,
            low=0,
            high=100,
            no_data="no swap",
        ),
        number(
            "Voltage so far",
            "Whether the power supply was too weak at any time since the start, be it between two readings.",
            _SOURCE.newest("pi", "under_voltage_since_boot", names=("Ever",)),
            texts={"true": ("was low", thresholds.LOOK), "false": ("never low", thresholds.GOOD)},
            columns="/^Ever$/",
            graph=False,
            no_data="not a Pi",
        ),
        number(
            "Card life used",
            "How much of its life an eMMC says is used; SD cards do not say. From 90 % make a copy and replace it.",
            _SOURCE.mean("sd_card", "life_used_percent", function="max", names=("Life",)),
            steps=thresholds.WEAR,
            decimals=0,
            low=0,
            high=100,
            no_data="not told",
        ),
        number(
            "Wi-Fi",
            "Strength of the wireless signal. From -67 dBm up video works, below -75 links break.",
            _SOURCE.mean("wifi", "signal_dbm", names=("Signal",)),
            steps=thresholds.SIGNAL,
            decimals=0,
            no_data="no Wi-Fi",
        ),
        number(
            "Refused",
            "Values that were refused in the time range: out of range, stuck, or changing too fast.",
            _SOURCE.written(
                'SELECT sum("count") AS "Refused" FROM (SELECT sum("count") AS "count" FROM "telemetry_rejected" '
                'WHERE $scope), (SELECT last("uptime") * 0 AS "count" FROM "system" WHERE $scope)',
                table=True,
            ),
            steps=thresholds.SELDOM,
            graph=False,
            decimals=0,
            links={"Pipeline": "/d/sensetig-pipeline"},
        ),
    ]
