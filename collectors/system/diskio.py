"""``diskio``: reads, writes and utilisation of each block device."""

from __future__ import annotations

import os
from collections.abc import Callable

from collectors.core.line_protocol import Metric, Series, clean_name
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import read, read_optional

#: Field, its column in /proc/diskstats counted from the device's name (kernel: Documentation/admin-guide/iostats.rst),
#: the factor to its unit, the unit, and the help.
_COLUMNS = (
    ("reads", 1, 1, "", "Reads completed since boot."),
    ("merged_reads", 2, 1, "", "Reads merged with a neighbour."),
    ("read_bytes", 3, 512, "bytes", "Bytes read."),
    ("read_time", 4, 1, "milliseconds", "Time that reads took, added up."),
    ("writes", 5, 1, "", "Writes completed since boot."),
    ("merged_writes", 6, 1, "", "Writes merged with a neighbour."),
    ("write_bytes", 7, 512, "bytes", "Bytes written."),
    ("write_time", 8, 1, "milliseconds", "Time that writes took, added up."),
    ("iops_in_progress", 9, 1, "", "Requests in progress now."),
    ("io_time", 10, 1, "milliseconds", "Time with at least one request."),
    ("weighted_io_time", 11, 1, "milliseconds", "Time with requests, multiplied by their number."),
)

MEASUREMENT = Measurement(
    "diskio",
    "Reads, writes and utilisation of each block device.",
    (
        Tag("name", "The device's name, such as mmcblk0p2."),
        Tag("wwid", "The device's worldwide identifier.", optional=True),
    ),
    (
        *(Field(name, int, unit, help, 0) for name, _, _, unit, help in _COLUMNS),
        Field(
            "io_await", float, "milliseconds", "Mean time of a request since the previous batch; absent without any.", 0
        ),
        Field("io_svctm", float, "milliseconds", "Busy time for each request; absent without any.", 0),
        Field("io_util", float, "percent", "Share of the time since the previous batch with any request.", 0),
    ),
)

#: Any of these counters that decreases was reset, or belongs to another device of the same name.
_MONOTONIC = ("reads", "writes", "read_time", "write_time", "io_time")

Counters = dict[str, int]


#: The counters of an unused device, after which newer kernels have more.
_UNUSED = b"0 0 0 0 0 0 0 0 0 0 0"


def parse_diskstats(content: bytes, refuse: Callable[[str], None]) -> dict[str, Counters]:
    """Device -> counters, without unused devices.

    Args:
        refuse: receives a sentence for each invalid line.
    """
    found: dict[str, Counters] = {}
    for line in content.split(b"\n"):
        words = line.split(None, 3)
        if not words:
            continue
        try:
            counted = words[3]
            if counted == _UNUSED or counted.startswith(_UNUSED + b" "):
                continue  # the many loop devices and RAM disks, without parsing them
            numbers = counted.split()
            counters = {name: int(numbers[column - 1]) * factor for name, column, factor, _, _ in _COLUMNS}
        except (IndexError, ValueError):
            refuse(f"/proc/diskstats has {line[:80]!r} where counters were expected")
            continue
        if min(counters.values()) < 0:  # requests in progress, on some kernels
            refuse(f"/proc/diskstats has {line[:80]!r}, and no counter can be negative")
            counters = {name: number for name, number in counters.items() if number >= 0}
        if any(counters.values()):
            found[words[2].decode("utf-8", "replace")] = counters
    return found


def activity(before: Counters, after: Counters, seconds: float) -> dict[str, float]:
    """io_await, io_svctm and io_util between two samples; none of them if a counter decreased or is missing."""
    if any(after.get(name, -1) < before.get(name, 0) for name in _MONOTONIC):
        return {}
    if any(name not in before for name in _MONOTONIC):
        return {}
    requests = after["reads"] - before["reads"] + after["writes"] - before["writes"]
    took = after["read_time"] - before["read_time"] + after["write_time"] - before["write_time"]
    busy = after["io_time"] - before["io_time"]
    fields: dict[str, float] = {}
    if requests:
        fields["io_await"] = took / requests
        fields["io_svctm"] = busy / requests
    if seconds > 0:
        fields["io_util"] = busy / (10 * seconds)
    return fields


class DiskIo:
    """Reads ``diskio``; keeps the previous sample for comparison.

    Args:
        proc_root, sys_root: paths of the kernel's files.
        timer: monotonic seconds.
        error: receives a sentence for each invalid line.
    """

    name = MEASUREMENT.name
    compares = True

    def __init__(self, proc_root: str, sys_root: str, timer: Callable[[], float], error: Callable[[str], None]) -> None:
        self._path = f"{proc_root}/diskstats"
        self._block = f"{sys_root}/block"
        self._timer = timer
        self._error = error
        self._before: dict[str, Counters] = {}
        self._then = 0.0
        self._series: dict[str, Series] = {}
        self._parts: set[str] = set()

    def read(self, now: int) -> list[Metric]:
        """One sample of each device that has ever been used."""
        current = parse_diskstats(read(self._path), lambda sentence: self._error(f"diskio: {sentence}"))
        time = self._timer()
        metrics = []
        for name, counters in current.items():
            known = self._series.get(name)
            series = self._tags(name)
            # A replaced stick has the same name, and perhaps higher counters.
            before = self._before.get(name) if series == known else None
            more = activity(before, counters, time - self._then) if before is not None else {}
            metrics.append(Metric(series, {**counters, **more}, now))
        for gone in self._before.keys() - current.keys():
            self._series.pop(gone, None)  # another device may get this name
            self._parts.discard(gone)
        self._before, self._then = current, time
        return metrics

    def _tags(self, name: str) -> Series:
        """The series of a device, whose identifier is read each time; a partition has none."""
        series = self._series.get(name)
        if name in self._parts and series is not None:
            return series
        # File names in the kernel have ! where a device's name has /.
        folder = f"{self._block}/{name.replace('/', '!')}"
        wwid = read_optional(f"{folder}/wwid") or ""
        if not wwid and not os.path.isdir(folder):
            self._parts.add(name)
        if series is None or series.tags.get("wwid", "") != clean_name(wwid):
            series = self._series[name] = Series("diskio", {"name": name, "wwid": wwid})
        return series
