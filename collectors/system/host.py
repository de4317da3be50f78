"""``system``: load, processors, users, and uptime of the machine."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.system.files import read, read_optional, read_text, sentence

MEASUREMENT = Measurement(
    "system",
    "Load, processors, users and uptime of the machine.",
    (),
    (
        Field("load1", float, "", "Programs running or waiting to run, averaged over a minute.", 0),
        Field("load5", float, "", "Programs running or waiting to run, averaged over 5 minutes.", 0),
        Field("load15", float, "", "Programs running or waiting to run, averaged over 15 minutes.", 0),
        Field("n_cpus", int, "", "Processors that are online, as the kernel counts them.", 1),
        Field("n_physical_cpus", int, "", "Cores, each counted once however many threads it runs.", 1),
        Field("n_users", int, "", "Sessions logged in; absent where the system keeps no record of them.", 0),
        Field("n_unique_users", int, "", "Users logged in; absent where the system keeps no record of them.", 0),
        Field("uptime", int, "seconds", "Time since boot.", 0),
        Field("uptime_format", str, "", "Time since boot for people: 3 days, 4:05."),
        Field("interval_seconds", float, "seconds", "Time since the sample before; absent in the first one.", 0),
        Field(
            "boot_number",
            int,
            "",
            "A check sum of the kernel's random boot id. Values that alternate are two machines under one name.",
            0,
            65535,
        ),
    ),
)


#: No machine has been up for longer, in seconds.
_MAX_UPTIME = 1e10


def format_uptime(seconds: int) -> str:
    """Days, hours and minutes in Telegraf's format."""
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:2d}:{rest % 3600 // 60:02d}"
    return f"{days} day{'s' if days > 1 else ''}, {clock}" if days else clock


def count_cpus(ranges: str) -> int:
    """The number of entries in a kernel list such as ``0-3,6``. Raises ValueError for another format."""
    total = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def boot_number(path: str) -> dict[str, FieldValue]:
    """The field boot_number; none if the kernel's boot id cannot be read.

    A 16-bit checksum distinguishes two machines without revealing anything about them.
    """
    try:
        boot_id = read_text(path)
    except OSError:
        return {}
    return {"boot_number": zlib.crc32(os.fsencode(boot_id)) & 0xFFFF} if boot_id else {}


class Users:
    """The logged-in users. The record changes seldom, and is read again only after a change.

    Args:
        path: the record (utmp(5)), checked for existence and changes.
        names: reads it, one name per session.
    """

    def __init__(self, path: str, names: Callable[[], Iterable[str]]) -> None:
        self._path = path
        self._names = names
        self._version: tuple[int, int] | None = None
        self._fields: dict[str, FieldValue] = {}

    def fields(self) -> dict[str, FieldValue]:
        """n_users and n_unique_users; none without a record, as on a system that no longer keeps one."""
        try:
            status = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        version = (status.st_mtime_ns, status.st_size)
        if version != self._version:
            names = list(self._names())
            self._fields = {"n_users": len(names), "n_unique_users": len(set(names))}
            self._version = version
        return self._fields


class Host:
    """Reads ``system``."""

    name = MEASUREMENT.name
    compares = False

    def __init__(self, proc_root: str, sys_root: str, users: Users, error: Callable[[str], None]) -> None:
        self._proc = proc_root
        self._error = error
        self._cpus = f"{sys_root}/devices/system/cpu"
        self._users = users
        self._online = ""
        self._counts: dict[str, FieldValue] = {}
        self._series = Series("system")
        self._boot: dict[str, FieldValue] = boot_number(f"{proc_root}/sys/kernel/random/boot_id")
        self._before: float | None = None

    def read(self, now: int) -> list[Metric]:
        """One sample, without fields whose file is missing or invalid. Raises the first error if no field remains."""
        fields: dict[str, FieldValue] = {}
        failed: list[Exception] = []
        for part in (self._load, self._processors, self._users.fields, self._uptime):
            try:
                fields.update(part())
            except Exception as problem:  # noqa: BLE001 - it is counted, and the others are read
                failed.append(problem)
        if not fields:
            raise failed[0]
        for each in failed:
            self._error(f"system: {sentence(each)}")
        fields.update(self._boot)
        return [Metric(self._series, fields, now)]

    def _load(self) -> dict[str, FieldValue]:
        words = read(f"{self._proc}/loadavg").split()
        try:
            one, five, fifteen = map(float, words[:3])
        except ValueError:
            raise ValueError(f"{self._proc}/loadavg has {words!r} where three loads were expected") from None
        return {"load1": one, "load5": five, "load15": fifteen}

    def _uptime(self) -> dict[str, FieldValue]:
        # Not now minus the boot time: a Pi has no hardware clock, so both are wrong before the first synchronisation,
        # and the boot time stays wrong.
        content = read(f"{self._proc}/uptime")
        try:
            uptime = float(content.split()[0])
            if not 0 <= uptime <= _MAX_UPTIME:
                raise ValueError
        except (IndexError, ValueError):
            raise ValueError(f"{self._proc}/uptime has {content[:80]!r} where seconds were expected") from None
        fields: dict[str, FieldValue] = {"uptime": int(uptime), "uptime_format": format_uptime(int(uptime))}
        if self._before is not None and uptime > self._before:
            fields["interval_seconds"] = round(uptime - self._before, 1)
        self._before = uptime
        return fields

    def _processors(self) -> dict[str, FieldValue]:
        online = os.fsdecode(read(f"{self._cpus}/online")).strip()
        if online != self._online:
            try:
                self._counts = {"n_cpus": count_cpus(online)}
            except ValueError:
                raise ValueError(f"{self._cpus}/online has {online[:80]!r} where processors were expected") from None
            cores = {
                siblings
                for entry in os.listdir(self._cpus)
                if entry.startswith("cpu") and entry[3:].isdecimal() and (siblings := self._siblings(entry))
            }
            if cores:  # a virtual machine may not report its processor topology
                self._counts["n_physical_cpus"] = len(cores)
            self._online = online
        return self._counts

    def _siblings(self, cpu: str) -> str | None:
        """The processors that share a core with this one, from the file of current or older kernels."""
        topology = f"{self._cpus}/{cpu}/topology"
        return read_optional(f"{topology}/core_cpus_list") or read_optional(f"{topology}/thread_siblings_list")
