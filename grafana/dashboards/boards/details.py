"""The Device dashboard's closed rows: details, for when the open rows have shown the problem."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.system import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines
from grafana.dashboards.lib.query import HOURS, Source, switched
from grafana.dashboards.lib.style import shaded
from grafana.dashboards.rows.system import DISKS, DRIVES, INTERFACES

_SOURCE = Source(MEASUREMENTS)


def rows() -> Iterable[Row]:
    yield Row("device", "Memory and swap", _memory(), order=80, collapsed=True)
    yield Row("device", "Disks", _drives(), order=82, collapsed=True)
    yield Row("device", "Network", _network(), order=84, collapsed=True)
    yield Row("device", "Processes", _processes(), order=86, collapsed=True)


def _memory() -> list[Panel]:
    return [
        lines(
            "Caches and buffers",
            "Files and disk blocks cached in memory, and the kernel's own structures. All but the unreclaimable slab "
            "is given back when programs need it.",
            _SOURCE.mean(
                "mem",
                "cached",
                "buffered",
                "sunreclaim",
                names=("cached files", "disk blocks", "unreclaimable slab"),
            ),
            low=0,
            fill=4,
            size=(8, 8),
            colours={"cached files": "blue", "disk blocks": "orange", "unreclaimable slab": "purple"},
        ),
        lines(
            "Not yet on disk",
            "Memory waiting to be written, and being written. A power cut loses this much; a value that stays high "
            "means that the disk does not keep up.",
            _SOURCE.mean("mem", "dirty", "write_back", names=("waiting", "being written")),
            low=0,
            fill=4,
            size=(8, 8),
            colours={"waiting": "orange", "being written": "red"},
        ),
        lines(
            "Committed and shared",
            "Memory committed to programs, shared between them, and mapped from files. Committed memory that climbs "
            "without end is a leak.",
            _SOURCE.mean(
                "mem",
                "committed_as",
                "shared",
                "mapped",
                "page_tables",
                names=("committed", "shared", "mapped files", "page tables"),
            ),
            low=0,
            fill=4,
            size=(8, 8),
            colours={"committed": "blue", "shared": "purple", "mapped files": "green", "page tables": "orange"},
        ),
        lines(
            "Active and inactive",
            "Memory that was used recently, and memory that is reclaimed first.",
            _SOURCE.mean("mem", "active", "inactive", names=("recently used", "not recently used")),
            low=0,
            fill=4,
            colours={"recently used": "blue", "not recently used": "orange"},
        ),
        lines(
            "Swap space",
            "Swap space in use, and its size.",
            _SOURCE.mean("swap", "used", "total", names=("used", "size")),
            low=0,
            fill=4,
            colours={"used": "purple", "size": "text"},
            no_data="No swap in this time range",
        ),
    ]


def _drives() -> list[Panel]:
    return [
        lines(
            "Disk usage over time",
            "Used share of each file system. A straight climb shows when it will be full.",
            _SOURCE.mean("disk", "used_percent", by=("path",), where=DISKS),
            low=0,
            high=100,
            decimals=0,
            fill=4,
            size=(8, 8),
        ),
        lines(
            "Inodes over time",
            "Used share of the inodes of each file system. Very many small files use them up before the space.",
            _SOURCE.mean("disk", "inodes_used_percent", by=("path",), where=DISKS),
            low=0,
            soft_high=20,
            decimals=0,
            fill=4,
            size=(8, 8),
            no_data="No inodes in this time range",
        ),
        lines(
            "I/O latency",
            "Mean time of a read or write, queueing included. An SD card takes a few milliseconds; above 100 it is "
            "worn or overloaded.",
            _SOURCE.mean("diskio", "io_await", by=("name",), where=DRIVES, function="max"),
            low=0,
            fill=4,
            size=(8, 8),
            no_data="No request in this time range",
        ),
        lines(
            "I/O queue",
            "Requests that each drive had in progress.",
            _SOURCE.mean("diskio", "iops_in_progress", by=("name",), where=DRIVES, function="max"),
            low=0,
            soft_high=2,
            decimals=0,
            fill=4,
        ),
        lines(
            "I/O time",
            "Milliseconds spent reading (above the line) and writing (below) in each second; parallel requests add up.",
            _SOURCE.rate(
                "diskio",
                "read_time",
                by=("name",),
                where=DRIVES,
                alias="$tag_name reading",
                scale=0.001,
                unit="seconds",
            ),
            _SOURCE.rate(
                "diskio",
                "write_time",
                by=("name",),
                where=DRIVES,
                alias="$tag_name writing",
                scale=0.001,
                unit="seconds",
            ),
        )
        .override_by_regexp("/ reading$/", shaded("blue"))
        .override_by_regexp("/ writing$/", shaded("orange", below=True)),
    ]


def _network() -> list[Panel]:
    return [
        lines(
            "Packets",
            "Packets received (above the line) and sent (below) per second. Many packets with little traffic mean a "
            "chatty protocol or a port scan.",
            _SOURCE.rate(
                "net",
                "packets_recv",
                by=("interface",),
                where=INTERFACES,
                alias="$tag_interface received",
                unit="packets_per_second",
            ),
            _SOURCE.rate(
                "net",
                "packets_sent",
                by=("interface",),
                where=INTERFACES,
                alias="$tag_interface sent",
                unit="packets_per_second",
            ),
        )
        .override_by_regexp("/ received$/", shaded("blue"))
        .override_by_regexp("/ sent$/", shaded("orange", below=True)),
        lines(
            "Link speed",
            "The negotiated speed of each wired interface. 100 where the other end has 1000 points at the cable.",
            _SOURCE.written(
                # -1 means that the driver does not know the speed.
                switched(
                    *(
                        f'SELECT max("speed{suffix}") AS "speed" FROM {source} WHERE $scope AND "speed" > 0 '  # noqa: S608 - all of it is this module's own
                        'GROUP BY time($interval), "interface" fill(null)'
                        for suffix, source in (("", '"net"'), ("__max", HOURS.format("net")))
                    )
                ),
                alias="$tag_interface",
                unit="megabits_per_second",
            ),
            low=0,
            decimals=0,
            fill=4,
            no_data="No interface speed in this time range",
        ),
        _lost_packets(
            "Errors by interface",
            "Damaged packets per second, received and sent, of each interface. Check the cable, the plug, and radio "
            "interference.",
            "err",
        ),
        _lost_packets(
            "Drops by interface",
            "Packets per second that were dropped, received and sent, of each interface. Mostly the device is too "
            "busy to take them.",
            "drop",
        ),
    ]


def _lost_packets(title: str, description: str, kind: str) -> Panel:
    return lines(
        title,
        description,
        _SOURCE.rate(
            "net",
            f"{kind}_in",
            f"{kind}_out",
            by=("interface",),
            where=INTERFACES,
            names=("received", "sent"),
            alias="$tag_interface $col",
            unit="packets_per_second",
        ),
        low=0,
        soft_high=1,
    )


def _processes() -> list[Panel]:
    return [
        lines(
            "Processes by state",
            "The number of processes in each state. Most sleep; many blocked ones wait for a disk or for the network.",
            _SOURCE.mean(
                "processes",
                "sleeping",
                "idle",
                "running",
                "blocked",
                "stopped",
                "zombies",
                names=("sleeping", "kernel threads, idle", "running", "blocked", "stopped", "zombies"),
            ),
            stacked=True,
            low=0,
            decimals=0,
            size=(24, 8),
            colours={
                "sleeping": "blue",
                "kernel threads, idle": "grey",
                "running": "green",
                "blocked": "orange",
                "stopped": "purple",
                "zombies": "red",
            },
        ),
    ]
