"""``top_process``: the programs with the highest CPU and memory usage, by name. Disabled by default.

The names are the kernel's, without a program's arguments, which may contain secrets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement, Tag

MEASUREMENT = Measurement(
    "top_process",
    "Programs that take most of the processor or of the memory, once a minute; processes of one name count together.",
    (Tag("by", "`cpu` or `memory`."), Tag("rank", "1 is the first.")),
    (
        Field("name", str, "", "Name of the program, without its arguments."),
        Field("cpu_percent", float, "percent", "Share of all processors since the sample before.", 0),
        Field("memory_bytes", int, "bytes", "Memory in use, pages shared with others included.", 0),
    ),
)

#: Seconds between two samples.
PERIOD_SECONDS = 60.0

#: Number of programs emitted per ranking.
COUNT = 5

#: Positions in /proc/PID/stat, counted from the state (proc_pid_stat(5)).
_USER, _SYSTEM, _START, _PAGES = 11, 12, 19, 21


class Process(NamedTuple):
    """A process: its name, its start and its processor time in clock ticks, and its memory in pages."""

    name: str
    start: int
    ticks: int
    pages: int


class Program(NamedTuple):
    """All processes with one name: their CPU time since the previous sample in ticks, and their memory in pages."""

    name: str
    ticks: int
    pages: int


def parsed(content: bytes) -> Process:
    """Parse the content of a process's ``stat``. Raises ValueError for another format."""
    name, _, rest = content.partition(b"(")[2].rpartition(b")")
    words = rest.split()
    try:
        numbers = [int(words[at]) for at in (_USER, _SYSTEM, _START, _PAGES)]
    except IndexError:
        raise ValueError("it has too few fields") from None
    text = name.decode("utf-8", "replace")
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return Process(shown or "?", numbers[2], numbers[0] + numbers[1], numbers[3])


def programs(before: Mapping[str, Process], now: Mapping[str, Process]) -> list[Program]:
    """The programs from two samples of the processes by id. A new process counts from its start."""
    found: dict[str, tuple[int, int]] = {}
    for identity, process in now.items():
        earlier = before.get(identity)
        ticks = process.ticks - (earlier.ticks if earlier and earlier.start == process.start else 0)
        total, pages = found.get(process.name, (0, 0))
        found[process.name] = (total + max(ticks, 0), pages + process.pages)
    return [Program(name, *sums) for name, sums in found.items()]


class Top:
    """Reads ``top_process``.

    Args:
        proc_root: the path of the proc file system.
        processors, ticks_per_second, page_bytes: of this machine.
        monotonic: a clock, in seconds.
        error: receives a sentence for each process whose file is in another format.
        once: whether each call returns a sample.
    """

    name = MEASUREMENT.name
    compares = True

    def __init__(
        self,
        proc_root: str,
        processors: int,
        ticks_per_second: int,
        page_bytes: int,
        monotonic: Callable[[], float],
        error: Callable[[str], None],
        *,
        once: bool,
    ) -> None:
        self._root = proc_root
        self._error = error
        self._ticks = processors * ticks_per_second
        self._page = page_bytes
        self._monotonic = monotonic
        self._once = once
        self._before: dict[str, Process] | None = None
        self._at = 0.0

    def read(self, now: int) -> list[Metric]:
        """The top programs of each ranking; without processor time in the first sample, and nothing in between."""
        moment = self._monotonic()
        if not self._once and self._before is not None and moment < self._at + PERIOD_SECONDS:
            return []
        processes = self._processes()
        seconds = moment - self._at
        found = programs(self._before or {}, processes)
        metrics = []
        compared = self._before is not None and seconds > 0
        for by, key in (("cpu", "ticks"), ("memory", "pages")):
            if by == "cpu" and not compared:
                continue
            taking = (each for each in found if getattr(each, key) > 0)
            first = sorted(taking, key=lambda each: (-getattr(each, key), each.name))[:COUNT]
            for rank, program in enumerate(first, 1):
                fields: dict[str, FieldValue] = {
                    "name": program.name,
                    "memory_bytes": program.pages * self._page,
                }
                if compared:
                    fields["cpu_percent"] = min(100.0, 100.0 * program.ticks / (self._ticks * seconds))
                metrics.append(Metric(Series(MEASUREMENT.name, {"by": by, "rank": str(rank)}), fields, now))
        self._before, self._at = processes, moment
        return metrics

    def _processes(self) -> dict[str, Process]:
        """All processes by id, without those that end in the meantime or are hidden. Raises OSError."""
        found = {}
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for identity in os.listdir(root):
                if not identity.isdecimal():
                    continue
                try:
                    descriptor = os.open(f"{identity}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
                    try:
                        content = os.read(descriptor, 4096)
                    finally:
                        os.close(descriptor)
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
                try:
                    found[identity] = parsed(content)
                except ValueError:
                    self._error(f"top_process: {self._root}/{identity}/stat has {content[:80]!r}, which is no process")
        finally:
            os.close(root)
        return found
