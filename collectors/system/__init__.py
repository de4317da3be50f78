"""Load, memory, disks, network, processes and temperatures of the machine, named as Telegraf's own inputs name them.

The measurements ``cpu mem swap disk diskio net system processes temp`` have the tags, fields and types of
Telegraf's native inputs of the same names, so that dashboards made for those work unchanged; ``system`` has two
fields more.

Most of it is read directly from /proc and /sys: psutil has fewer fields than the native inputs (11 of 34 for memory),
and importing it costs more than a whole batch. It reads the logged-in users, whose record has another layout on each
architecture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from collectors.core.api import Context, Unavailable
from collectors.core.line_protocol import Metric
from collectors.core.settings import Setting
from collectors.system import cpu, disk, diskio, host, memory, network, processes, temperature
from collectors.system.files import sentence

MEASUREMENTS = (
    cpu.MEASUREMENT,
    memory.MEM,
    memory.SWAP,
    disk.MEASUREMENT,
    diskio.MEASUREMENT,
    network.MEASUREMENT,
    host.MEASUREMENT,
    processes.MEASUREMENT,
    temperature.MEASUREMENT,
)

_PARTS = tuple(measurement.name for measurement in MEASUREMENTS)

PARTS = Setting("parts", str, ",".join(_PARTS), "Measurements to emit, separated by commas.")
IGNORE_FS = Setting(
    "ignore_fs",
    str,
    "tmpfs,devtmpfs,devfs,iso9660,overlay,aufs,squashfs",
    "Types of file systems that disk skips, separated by commas.",
)
CPU_SAMPLE_SECONDS = Setting(
    "cpu_sample_seconds",
    float,
    0.2,
    "Seconds for which a one-shot run samples processors and disks to find their usage; 0 emits no usage.",
    low=0,
    high=60,
)
DISK_TIMEOUT_SECONDS = Setting(
    "disk_timeout_seconds", float, 2.0, "Seconds to wait for the answer of a file system.", low=0.01, high=60
)
PROC_ROOT = Setting("proc_root", str, "/proc", "Where the kernel's proc file system is mounted.")
SYS_ROOT = Setting("sys_root", str, "/sys", "Where the kernel's sys file system is mounted.")
RUN_ROOT = Setting("run_root", str, "/run", "Where udev and the record of users are.")
SETTINGS = (
    PARTS,
    IGNORE_FS,
    CPU_SAMPLE_SECONDS,
    DISK_TIMEOUT_SECONDS,
    PROC_ROOT,
    SYS_ROOT,
    RUN_ROOT,
)


class Part(Protocol):
    """Reads one measurement."""

    @property
    def name(self) -> str:
        """The measurement."""
        ...

    @property
    def compares(self) -> bool:
        """Whether some of its fields need an earlier sample."""
        ...

    def read(self, now: int) -> list[Metric]:
        """One sample with this time. Raises OSError or ValueError where there is none."""
        ...


class System:
    """All parts. Each fails separately.

    Args:
        parts: what to read, in order.
        error: takes a sentence for each part that fails.
        clock_ns: wall clock, the time of every metric of a batch.
        watch: sleeps between two samples in a one-shot run; None where batch follows batch.
        close: releases the resources that are kept between batches.
    """

    def __init__(
        self,
        parts: tuple[Part, ...],
        error: Callable[[str], None],
        clock_ns: Callable[[], int],
        watch: Callable[[], None] | None,
        close: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._error = error
        self._clock_ns = clock_ns
        self._watch = watch
        self.close = close

    def collect(self) -> list[Metric]:
        """One batch. Raises Unavailable when no part could be read."""
        first = tuple(part for part in self._parts if part.compares)
        if first and self._watch is not None:
            self._read(first, lambda _: None)  # a part that fails here fails again below, and is reported there
            self._watch()
        metrics, failed = self._read(self._parts, self._error)
        if failed == len(self._parts):
            raise Unavailable("none of its parts could be read")
        return metrics

    def _read(self, parts: tuple[Part, ...], error: Callable[[str], None]) -> tuple[list[Metric], int]:
        now = self._clock_ns()
        metrics: list[Metric] = []
        failed = 0
        for part in parts:
            try:
                metrics += part.read(now)
            except Exception as problem:  # noqa: BLE001 - a part that fails is counted, and the others run
                error(f"{part.name}: {sentence(problem)}")
                failed += 1
        return metrics, failed


def _session_names() -> list[str]:
    import psutil  # here, since only machines with a record of users need it

    return [user.name for user in psutil.users()]


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def create(context: Context) -> System:
    """Return the collector. Raises Unavailable for an unknown part, and where there is no /proc."""
    values, error = context.values, context.report.error
    chosen = _names(values[PARTS])
    for name in chosen:
        if name not in _PARTS:
            raise Unavailable(f"parts has {name!r}, which is no part; choose from {', '.join(_PARTS)}")
    if not chosen:
        raise Unavailable(f"parts is empty; choose from {', '.join(_PARTS)}")
    proc, sys, run = values[PROC_ROOT], values[SYS_ROOT], values[RUN_ROOT]
    if not os.path.isdir(proc):
        raise Unavailable(
            f"there is no {proc}, which this collector reads; without Linux, use Telegraf's own inputs instead"
        )
    ignored = frozenset(_names(values[IGNORE_FS]))
    patience = disk.Patience(os.statvfs, values[DISK_TIMEOUT_SECONDS])
    makers: dict[str, Callable[[], Part]] = {
        "cpu": lambda: cpu.Cpu(proc, error),
        "mem": lambda: memory.Mem(proc),
        "swap": lambda: memory.Swap(proc, os.sysconf("SC_PAGE_SIZE")),
        "disk": lambda: disk.Disk(proc, sys, run, ignored, patience, error),
        "diskio": lambda: diskio.DiskIo(proc, sys, time.monotonic),
        "net": lambda: network.Net(proc, sys),
        "system": lambda: host.Host(proc, sys, host.Users(f"{run}/utmp", _session_names)),
        "processes": lambda: processes.Processes(proc),
        "temp": lambda: temperature.Temp(sys, error),
    }
    seconds = values[CPU_SAMPLE_SECONDS]
    watch = (lambda: time.sleep(seconds)) if context.once and seconds else None
    parts = tuple(makers[name]() for name in _PARTS if name in chosen)
    return System(parts, error, context.clock_ns, watch, patience.close)
