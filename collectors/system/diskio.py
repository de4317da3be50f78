"""``diskio``: reads, writes and utilisation of each block device."""

from __future__ import annotations

from collections.abc import Callable

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import read, read_text

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

#: A counter among these that goes back was reset, or belongs to another device of the same name.
_MONOTONIC = ("reads", "writes", "read_time", "write_time", "io_time")

Counters = dict[str, int]


def parse_diskstats(content: bytes) -> dict[str, Counters]:
    """Device to counters; those that never did anything are left out. Raises ValueError for a line that is none."""
    found: dict[str, Counters] = {}
    for line in content.splitlines():
        if line.endswith(b" 0 0 0 0 0 0 0 0 0 0 0"):
            continue  # the many loop devices and RAM disks, without taking each apart
        words = line.split()[2:]
        try:
            counters = {name: int(words[column]) * factor for name, column, factor, _, _ in _COLUMNS}
        except (IndexError, ValueError):
            raise ValueError(f"/proc/diskstats has {line[:80]!r} where counters were expected") from None
        if any(counters.values()):
            found[words[0].decode("utf-8", "replace")] = counters
    return found


def activity(before: Counters, after: Counters, seconds: float) -> dict[str, float]:
    """io_await, io_svctm and io_util between two samples; none of them when a counter went back."""
    if any(after[name] < before[name] for name in _MONOTONIC):
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
        proc_root, sys_root: where the kernel has its files.
        timer: monotonic seconds.
    """

    name = MEASUREMENT.name
    compares = True

    def __init__(self, proc_root: str, sys_root: str, timer: Callable[[], float]) -> None:
        self._path = f"{proc_root}/diskstats"
        self._block = f"{sys_root}/block"
        self._timer = timer
        self._before: dict[str, Counters] = {}
        self._then = 0.0
        self._series: dict[str, Series] = {}

    def read(self, now: int) -> list[Metric]:
        """One sample of each device that has ever been used."""
        current, time = parse_diskstats(read(self._path)), self._timer()
        metrics = []
        for name, counters in current.items():
            before = self._before.get(name)
            more = activity(before, counters, time - self._then) if before is not None else {}
            metrics.append(Metric(self._tags(name), {**counters, **more}, now))
        for gone in self._before.keys() - current.keys():
            self._series.pop(gone, None)  # another device may get this name
        self._before, self._then = current, time
        return metrics

    def _tags(self, name: str) -> Series:
        series = self._series.get(name)
        if series is None:
            # The kernel's file names have ! where a device's name has /.
            wwid = read_text(f"{self._block}/{name.replace('/', '!')}/wwid") or ""
            series = self._series[name] = Series("diskio", {"name": name, "wwid": wwid})
        return series
