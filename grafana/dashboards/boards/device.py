"""The top of the Device dashboard, with everything that needs action, and the annotations of a device: restarts and
deployments."""

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
from sensetig import policy

_SOURCE = Source(SYSTEM, PI, (COLLECTOR,), TELEMETRY, SERVICES)

#: Small enough for two words on one line.
_WORDS = VizTextDisplayOptions().title_size(13).value_size(20)

#: The dashboards that offer the annotations, and whether they are on at first.
_BOARDS = {"device": True, "environment": True, "camera": True, "pipeline": True, "history": False}

_RANGE = "from(bucket: v.defaultBucket)\n  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"


def rows() -> Iterable[Row]:
    yield Row("device", "", [*_needs_action(), *_facts()], order=0)


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
    """The health of the device at a glance: green is good, orange needs a look, red needs action."""
    return [
        number(
            "Last seen",
            "When this device last wrote a value. More than a minute ago means that it is off, disconnected, or that "
            "Telegraf has stopped.",
            _SOURCE.newest("system", "uptime"),
            time=True,
            no_data="silent in this time range",
            links={"Pipeline": "/d/sensetig-pipeline"},
        ),
        number(
            "Power",
            "Whether a Raspberry Pi has enough voltage now. Under-voltage corrupts cards: use the power supply made "
            "for the board and a short, thick cable. Under-voltage since boot is shown further down.",
            _SOURCE.newest("pi", "under_voltage", names=("Power",)),
            texts={"true": ("too low", thresholds.ACT), "false": ("OK", thresholds.GOOD)},
            columns="/^Power$/",
            graph=False,
            no_data="not a Pi",
        ),
        number(
            "Throttling",
            "Whether the firmware of a Raspberry Pi throttles the processor now, because of heat or a weak supply.",
            _SOURCE.newest("pi", "throttled", names=("Throttling",)),
            texts={"true": ("throttled", thresholds.ACT), "false": ("none", thresholds.GOOD)},
            columns="/^Throttling$/",
            graph=False,
            no_data="not a Pi",
        ),
        number(
            "Hottest",
            f"The highest temperature of all sensors. A Raspberry Pi throttles from {policy.PROCESSOR_CELSIUS.act} °C.",
            _SOURCE.mean("temp", "temp", function="max", names=("Temperature",)),
            steps=thresholds.PROCESSOR,
            unit="celsius",
            decimals=1,
            no_data="no sensor",
        ),
        number(
            "Disk",
            "Used share of the fullest file system; File systems below has all of them. From "
            f"{policy.DISK_PERCENT.act} % free some space.",
            _SOURCE.mean("disk", "used_percent", function="max", where=DISKS, names=("Disk",)),
            steps=thresholds.DISK,
            decimals=0,
            low=0,
            high=100,
        ),
        number(
            "Memory",
            f"Share of memory in use that cannot be reclaimed at once. From {policy.MEMORY_PERCENT.act} % programs "
            "get killed.",
            _SOURCE.mean("mem", "used_percent", names=("Memory",)),
            steps=thresholds.MEMORY,
            decimals=0,
            low=0,
            high=100,
        ),
        number(
            "Services down",
            "Watched services that have failed, or have stopped after they ran; Services below has their names. A "
            "job that a timer starts counts only when it has failed.",
            _services_down(),
            steps=thresholds.NEVER,
            graph=False,
            decimals=0,
            no_data="none watched",
        ).text(_WORDS),
        number(
            "Failing",
            "Collectors whose latest batch failed as a whole. Telegraf's log has the reason.",
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
    """Numbers that are neither good nor bad, or seldom bad."""
    return [
        number(
            "Uptime",
            "Time since the device booted. An unexpectedly short uptime points at the power supply.",
            _SOURCE.newest("system", "uptime"),
            unit="s",
            decimals=1,
            graph=False,
        ),
        number(
            "CPU",
            f"Busy share of all cores. Above {policy.CPU_PERCENT.look} % for long, check CPU by mode below.",
            _SOURCE.mean("cpu", "usage_idle", where={"cpu": "cpu-total"}, formula="100 - {}", names=("CPU",)),
            steps=thresholds.BUSY,
            unit="percent",
            decimals=0,
            low=0,
            high=100,
            size=(2, 3),
        ),
        number(
            "Load/core",
            "Processes that run or wait, divided by the number of cores. Above 1 some of them wait.",
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
            "Used share of the swap space. Swapping to an SD card is slow and wears the card.",
            _SOURCE.mean("swap", "used_percent", names=("Swap",)),
            steps=thresholds.SWAP,
            decimals=0,
            low=0,
            high=100,
            no_data="no swap",
        ),
        number(
            "Under-voltage since boot",
            "Whether the power supply was too weak at any time since boot, even between two readings.",
            _SOURCE.newest("pi", "under_voltage_since_boot", names=("Ever",)),
            texts={"true": ("yes", thresholds.LOOK), "false": ("never", thresholds.GOOD)},
            columns="/^Ever$/",
            graph=False,
            no_data="not a Pi",
            # Wider by what the shortest title leaves.
            size=(4, 3),
        ),
        number(
            "Card life used",
            "How much of its life an eMMC reports as used; SD cards do not report it. From "
            f"{policy.CARD_LIFE_PERCENT.act} % back up and replace it.",
            _SOURCE.mean("sd_card", "life_used_percent", function="max", names=("Life",)),
            steps=thresholds.WEAR,
            decimals=0,
            low=0,
            high=100,
            no_data="not reported",
        ),
        number(
            "Wi-Fi",
            f"Strength of the wireless signal. From {policy.WIFI_DBM.look} dBm up video works, below "
            f"{policy.WIFI_DBM.act} dBm links break.",
            _SOURCE.mean("wifi", "signal_dbm", names=("Signal",)),
            steps=thresholds.SIGNAL,
            decimals=0,
            no_data="no Wi-Fi",
        ),
        number(
            "Rejected",
            "Values rejected in the time range: out of range, stuck, or changing too fast.",
            _SOURCE.written(
                'SELECT sum("count") AS "Rejected" FROM (SELECT sum("count") AS "count" FROM "telemetry_rejected" '
                'WHERE $scope), (SELECT last("uptime") * 0 AS "count" FROM "system" WHERE $scope)',
                table=True,
            ),
            steps=thresholds.SELDOM,
            graph=False,
            decimals=0,
            links={"Pipeline": "/d/sensetig-pipeline"},
        ),
    ]
