"""``net``: traffic of each network interface."""

from __future__ import annotations

import os
from collections.abc import Callable

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import read, sentence

#: Field, its column in /proc/net/dev (proc_pid_net(5)), unit, and the help.
_COLUMNS = (
    ("bytes_recv", 0, "bytes", "Bytes received since the interface came up."),
    ("packets_recv", 1, "", "Packets received."),
    ("err_in", 2, "", "Packets received with an error."),
    ("drop_in", 3, "", "Packets received and dropped."),
    ("bytes_sent", 8, "bytes", "Bytes sent."),
    ("packets_sent", 9, "", "Packets sent."),
    ("err_out", 10, "", "Packets not sent because of an error."),
    ("drop_out", 11, "", "Packets dropped before they were sent."),
)
_WIDTH = 13

#: Number of header lines; the names of interfaces may contain any of their characters except spaces.
_HEADINGS = 2

# From include/uapi/linux/if.h.
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8

MEASUREMENT = Measurement(
    "net",
    "Traffic of each network interface that is up, except loopback.",
    (Tag("interface", "The interface's name."),),
    (
        *(Field(name, int, unit, help, 0) for name, _, unit, help in _COLUMNS),
        Field("speed", int, "megabits_per_second", "Speed of the link; -1 where the driver knows none.", -1),
    ),
)


def parse_interfaces(content: bytes, refuse: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Interface -> counters, from /proc/net/dev.

    Args:
        refuse: receives a sentence for each invalid line.
    """
    found: dict[str, dict[str, int]] = {}
    if not content.strip():
        refuse("/proc/net/dev is empty")
    for number, line in enumerate(content.split(b"\n")):
        if not line or (number < _HEADINGS and b"|" in line):
            continue
        name, _, counters = line.rpartition(b":")
        columns = counters.split()
        try:
            if len(columns) < _WIDTH or not name.strip():
                raise ValueError
            fields = {field: int(columns[column]) for field, column, _, _ in _COLUMNS}
            if min(fields.values()) < 0:
                raise ValueError
        except ValueError:
            refuse(f"/proc/net/dev has {line[:80]!r} where counters were expected")
            continue
        found[os.fsdecode(name.strip())] = fields
    return found


class Net:
    """Reads ``net``."""

    name = MEASUREMENT.name
    compares = False

    def __init__(self, proc_root: str, sys_root: str, error: Callable[[str], None]) -> None:
        self._path = f"{proc_root}/net/dev"
        self._interfaces = f"{sys_root}/class/net"
        self._error = error
        self._series: dict[str, Series] = {}

    def read(self, now: int) -> list[Metric]:
        """One sample per interface that is up."""
        metrics = []
        interfaces = parse_interfaces(read(self._path), lambda refused: self._error(f"net: {refused}"))
        for name, counters in interfaces.items():
            try:
                flags = int(read(f"{self._interfaces}/{name}/flags"), 16)
            except FileNotFoundError:
                continue  # unplugged after the counters were read
            except (OSError, ValueError) as problem:
                self._error(f"net: the flags of {name} are not known: {sentence(problem)}")
                continue
            if not flags & _IFF_UP or flags & _IFF_LOOPBACK:
                continue
            fields: dict[str, int] = {**counters, "speed": self._speed(name)}
            series = self._series.get(name)
            if series is None:
                series = self._series[name] = Series("net", {"interface": name})
            metrics.append(Metric(series, fields, now))
        return metrics

    def _speed(self, name: str) -> int:
        """The link's speed; -1, as in the kernel and Telegraf, if there is none: Wi-Fi, or a link that is down."""
        try:
            return int(read(f"{self._interfaces}/{name}/speed"))
        except (OSError, ValueError):
            return -1
