"""The Device dashboard's rows of the ``system`` collector, or of Telegraf's own inputs: their names are the same."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.system import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing
from grafana.dashboards.lib.query import HOURS, Source, switched
from grafana.dashboards.lib.style import gauge_cell, paint, properties, shaded
from sensetig import policy
from sensetig.policy import NO_DISKS

_SOURCE = Source(MEASUREMENTS)

#: File systems that say nothing of a disk are left out.
DISKS = {"fstype": f"!({'|'.join(NO_DISKS)})"}

#: Partitions, loops and memory disks repeat or are not what wears out.
DRIVES = {"name": "!(loop|ram|zram|dm-).*"}

#: Interfaces that only this machine sees; ``all`` is the sum of protocols that Telegraf's own input adds.
INTERFACES = {"interface": "!(all|lo|veth.*|docker.*|br-.*|virbr.*|vnet.*|vb-.*|ve-.*|cni.*|flannel.*|lxc.*|dummy.*)"}


#: The parts of memory, of points and of hours.
_MEMORY = (
    'SELECT mean("total") - mean("available") AS "in use", mean("available") - mean("free") AS "cache", '
    'mean("free") AS "free" FROM {} WHERE $scope GROUP BY time($interval) fill(null)'
)


def rows() -> Iterable[Row]:
    cpu, *processor = _processor()
    memory, *swap = _memory()
    file_systems, *disks = _disks()
    temperatures, *processes = _rest()
    yield Row("device", "Overview", [cpu, memory, temperatures, file_systems], order=10)
    yield Row("device", "Processor", processor, order=60, collapsed=True)
    yield Row("device", "Memory and swap", swap, order=62, collapsed=True)
    yield Row("device", "Disks", disks, order=64, collapsed=True)
    yield Row("device", "Network", _network(), order=66, collapsed=True)
    yield Row("device", "Processes", processes, order=68, collapsed=True)


def _processor() -> list[Panel]:
    modes = {
        "user": ("usage_user", "blue"),
        "system": ("usage_system", "orange"),
        "waiting for disk": ("usage_iowait", "red"),
        "interrupts": ("usage_softirq", "purple"),
        "nice": ("usage_nice", "green"),
        "stolen": ("usage_steal", "grey"),
    }
    return [
        lines(
            "CPU by mode",
            "CPU time of all cores together, by mode. Much waiting for disk means a slow SD card; stolen time means "
            "that the host of a virtual machine is short of CPU.",
            _SOURCE.mean(
                "cpu",
                *(field for field, _ in modes.values()),
                where={"cpu": "cpu-total"},
                names=modes,
            ),
            colours={name: colour for name, (_, colour) in modes.items()},
            links={"Pipeline": "/d/sensetig-pipeline"},
            stacked=True,
            low=0,
            soft_high=20,
        ),
        lines(
            "Cores",
            "Busy share of each core. One core at 100 % and idle others: a single-threaded program.",
            _SOURCE.mean("cpu", "usage_idle", by=("cpu",), where={"cpu": "cpu[0-9]+"}, formula="100 - {}"),
            unit="percent",
            low=0,
            soft_high=20,
            fill=4,
            size=(12, 8),
        ),
        lines(
            "Load",
            "Processes that run or wait, averaged over 1, 5 and 15 minutes. Above the dashed number of cores they "
            "wait.",
            _SOURCE.mean("system", "load1", "load5", "load15", "n_cpus", names=("1 min", "5 min", "15 min", "cores")),
            decimals=2,
            low=0,
            fill=4,
            size=(12, 8),
            colours={"1 min": "blue", "5 min": "orange", "15 min": "purple"},
            overrides={
                "cores": properties(
                    color=paint("red"),
                    decimals=0,
                    custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                    custom__fillOpacity=0,
                )
            },
        ),
    ]


def _memory() -> list[Panel]:
    return [
        lines(
            "Memory",
            "Memory in use, cached and free. The cache is given back when programs need it, so only memory in use "
            "counts.",
            _SOURCE.written(
                switched(*(_MEMORY.format(each) for each in ('"mem"', HOURS.format("mem")))),
                alias="$col",
                unit="bytes",
            ),
            overrides={
                "in use": properties(color=paint("blue"), custom__fillOpacity=70),
                "cache": properties(color=paint("purple"), custom__fillOpacity=30),
                "free": properties(color=paint("grey"), custom__fillOpacity=8),
            },
            stacked=True,
            low=0,
        ),
        lines(
            "Swap",
            "Used share of the swap space. On an SD card swapping is slow and wears the card.",
            _SOURCE.mean("swap", "used_percent", names=("used",)),
            low=0,
            high=100,
            decimals=0,
            steps=thresholds.SWAP,
            size=(12, 8),
            colours={"used": "purple"},
            no_data="No swap in this time range",
        ),
        lines(
            "Swapping",
            "Memory moved to swap (below the line) and back (above). Steady traffic means too little memory.",
            _SOURCE.rate("swap", "in", "out", names=("in", "out")),
            size=(12, 8),
            soft_high=1024,
            overrides={"in": shaded("blue"), "out": shaded("orange", below=True)},
            no_data="No swap in this time range",
        ),
    ]


def _disks() -> list[Panel]:
    return [
        listing(
            "File systems",
            f"The latest reading of each file system. From {policy.DISK_PERCENT.act} % free some space: a full disk "
            "stops the database. The row Disks has the inodes.",
            _SOURCE.newest(
                "disk",
                "used_percent",
                "free",
                "total",
                by=("path",),
                where=DISKS,
                names=("Full", "Free", "Size"),
            ),
            hidden=("Time",),
            order=("path", "Full", "Free", "Size"),
            renamed={"path": "Mounted on"},
            columns={
                "Mounted on": properties(custom__minWidth=110),
                "Full": gauge_cell(thresholds.DISK, width=140),
                "Free": properties(unit="bytes", decimals=1, custom__width=85),
                "Size": properties(unit="bytes", decimals=1, custom__width=85),
            },
            seconds=policy.GAP_SECONDS,
            size=(12, 8),
            no_data="No file system was read within two minutes",
        ),
        lines(
            "Disk busy",
            "Share of the time that each drive was busy. Near 100 % all reads and writes wait.",
            _SOURCE.rate("diskio", "io_time", by=("name",), where=DRIVES, scale=0.1, unit="percent"),
            low=0,
            soft_high=20,
            decimals=1,
            size=(8, 8),
        ),
        lines(
            "Disk throughput",
            "Bytes read (above the line) and written (below) per second. Steady writing wears an SD card.",
            _SOURCE.rate("diskio", "read_bytes", by=("name",), where=DRIVES, alias="$tag_name read"),
            _SOURCE.rate("diskio", "write_bytes", by=("name",), where=DRIVES, alias="$tag_name written"),
            size=(8, 8),
        )
        .override_by_regexp("/ read$/", shaded("blue"))
        .override_by_regexp("/ written$/", shaded("orange", below=True)),
        lines(
            "Disk operations",
            "Reads (above the line) and writes (below) per second. Many small writes wear a card more than few large "
            "ones.",
            _SOURCE.rate(
                "diskio", "reads", by=("name",), where=DRIVES, alias="$tag_name reads", unit="operations_per_second"
            ),
            _SOURCE.rate(
                "diskio", "writes", by=("name",), where=DRIVES, alias="$tag_name writes", unit="operations_per_second"
            ),
            size=(8, 8),
        )
        .override_by_regexp("/ reads$/", shaded("blue"))
        .override_by_regexp("/ writes$/", shaded("orange", below=True)),
    ]


def _network() -> list[Panel]:
    return [
        lines(
            "Network traffic",
            "Received (above the line) and sent (below), in bits per second.",
            _SOURCE.rate(
                "net",
                "bytes_recv",
                by=("interface",),
                where=INTERFACES,
                alias="$tag_interface received",
                scale=8,
                unit="bits_per_second",
            ),
            _SOURCE.rate(
                "net",
                "bytes_sent",
                by=("interface",),
                where=INTERFACES,
                alias="$tag_interface sent",
                scale=8,
                unit="bits_per_second",
            ),
        )
        .override_by_regexp("/ received$/", shaded("blue"))
        .override_by_regexp("/ sent$/", shaded("orange", below=True)),
        lines(
            "Errors and drops",
            "Packets per second that were damaged or dropped, of all interfaces. Anything but 0 points at a cable, a "
            "driver or a bad link; Errors by interface and Drops by interface have the details.",
            _SOURCE.rate(
                "net",
                "err_in",
                "err_out",
                "drop_in",
                "drop_out",
                by=("interface",),
                where=INTERFACES,
                names=("errors received", "errors sent", "drops received", "drops sent"),
                unit="packets_per_second",
                summed=True,
            ),
            low=0,
            soft_high=1,
            colours={
                "errors received": "red",
                "errors sent": "purple",
                "drops received": "orange",
                "drops sent": "blue",
            },
        ),
    ]


def _rest() -> list[Panel]:
    return [
        lines(
            "Temperatures",
            "All sensors that the kernel knows. From the dashed lines on a Raspberry Pi is too warm, then throttles.",
            _SOURCE.mean("temp", "temp", by=("sensor", "device")),
            unit="celsius",
            decimals=1,
            soft_low=20,
            soft_high=85,
            steps=thresholds.PROCESSOR,
            links={"Environment": "/d/sensetig-environment"},
            no_data="No temperature in this time range",
        ),
        lines(
            "Processes",
            "The number of processes and threads. A number that only climbs is a program that leaves its children "
            "behind.",
            _SOURCE.mean("processes", "total", "total_threads", names=("processes", "threads")),
            decimals=0,
            size=(12, 8),
        ),
        lines(
            "Running and blocked processes",
            "Running processes, processes blocked on a device, and zombies (ended, but not reaped). Blocked ones "
            "point at a slow disk.",
            _SOURCE.mean(
                "processes", "running", "blocked", "zombies", function="max", names=("running", "blocked", "zombies")
            ),
            low=0,
            soft_high=5,
            decimals=0,
            size=(12, 8),
            colours={"running": "green", "blocked": "orange", "zombies": "red"},
        ),
    ]
