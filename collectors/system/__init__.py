"""Load, memory, disks, network, processes and temperatures of the machine, named as Telegraf's own inputs name them.

The measurements ``cpu mem swap disk diskio net system processes temp`` have the tags, fields and types of Telegraf's
native inputs of the same names, so that dashboards for those work unchanged; ``system`` has two additional fields.
``machine`` and ``top_process`` are specific to this collector.

Most values are read directly from /proc and /sys: psutil has fewer fields than the native inputs (11 of 34 for memory),
and importing it costs more than a whole batch. psutil only reads the logged-in users, whose record has a different
layout on each architecture.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from collectors.core.api import PAUSE, Context, Unavailable
from collectors.core.line_protocol import Metric
from collectors.core.settings import Setting
from collectors.core.slow_reads import SlowReads
from collectors.system import cpu, disk, diskio, host, machine, memory, network, processes, temperature, top
from collectors.system.files import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
    from typing import Protocol

    from collectors.core.slow_reads import Answer, Read

    class Part(Protocol):
        """Reads one measurement, from files that respond at once."""

        @property
        def name(self) -> str:
            """The measurement."""
            ...

        @property
        def compares(self) -> bool:
            """Whether some of its fields need an earlier sample."""
            ...

        def read(self, now: int) -> list[Metric]:
            """One sample with this time. Raises OSError or ValueError if there is none."""
            ...

    class SlowPart(Protocol):
        """Reads one measurement, from sources that can take long."""

        @property
        def name(self) -> str:
            """The measurement."""
            ...

        @property
        def patience(self) -> float:
            """Seconds after which a source counts as not responding."""
            ...

        def reads(self) -> dict[Hashable, Read]:
            """A read of each source, by a key that is unique among all parts."""
            ...

        def metrics(self, answers: Mapping[Hashable, Answer], late: Collection[Hashable], now: int) -> Iterable[Metric]:
            """The samples in the answers. Late reads are reported."""
            ...


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
    machine.MEASUREMENT,
    top.MEASUREMENT,
)

_PARTS = tuple(measurement.name for measurement in MEASUREMENTS)

#: Emitted by default. Running programs are left out, because users of the dashboards need not know them.
_DEFAULT_PARTS = tuple(name for name in _PARTS if name != top.MEASUREMENT.name)

PARTS = Setting(
    "parts",
    str,
    ",".join(_DEFAULT_PARTS),
    "Measurements to emit, separated by commas; `top_process` only where it is named.",
)
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
TEMP_TIMEOUT_SECONDS = Setting(
    "temp_timeout_seconds", float, 12.0, "Seconds to wait for the answer of a temperature sensor.", low=0.01, high=60
)
PROC_ROOT = Setting("proc_root", str, "/proc", "Where the kernel's proc file system is mounted.")
SYS_ROOT = Setting("sys_root", str, "/sys", "Where the kernel's sys file system is mounted.")
RUN_ROOT = Setting("run_root", str, "/run", "Where udev and the record of users are.")
ETC_ROOT = Setting("etc_root", str, "/etc", "Where the operating system's name is.")
VAR_ROOT = Setting("var_root", str, "/var", "Where update-notifier's count of updates is.")
MOUNT_ROOT = Setting(
    "mount_root",
    str,
    "",
    "Where a container has the file systems of the machine, such as /host; empty outside of containers.",
)
SETTINGS = (
    PARTS,
    IGNORE_FS,
    CPU_SAMPLE_SECONDS,
    DISK_TIMEOUT_SECONDS,
    TEMP_TIMEOUT_SECONDS,
    PROC_ROOT,
    SYS_ROOT,
    RUN_ROOT,
    ETC_ROOT,
    VAR_ROOT,
    MOUNT_ROOT,
)


#: Seconds that a batch waits for usually fast reads before it emits the rest.
_QUICK_SECONDS = 0.1

#: Seconds that a batch then waits if a later batch can include the answers.
_WAIT_SECONDS = 5.0


class Errors:
    """Receives the errors of all parts, except those of a sample that only serves for comparison."""

    def __init__(self, error: Callable[[str], None]) -> None:
        self._error = error
        self.muted = False

    def __call__(self, sentence: str) -> None:
        """Report a sentence."""
        if not self.muted:
            self._error(sentence)


class System:
    """All parts. Each fails separately, and slow ones delay no other.

    Args:
        parts: read directly, in this order.
        slow: read in threads.
        reads: runs them.
        error: receives a sentence for each part that fails.
        clock_ns: wall clock, the time of a batch.
        watch: sleeps between two samples in a one-shot run; None for continuous batches.
        once: whether there is no later batch for late answers.
    """

    def __init__(
        self,
        parts: tuple[Part, ...],
        slow: tuple[SlowPart, ...],
        reads: SlowReads,
        error: Errors,
        clock_ns: Callable[[], int],
        watch: Callable[[], None] | None,
        *,
        once: bool,
    ) -> None:
        self._parts = parts
        self._slow = slow
        self._reads = reads
        self._owners: dict[Hashable, SlowPart] = {}
        self._error = error
        self._clock_ns = clock_ns
        self._watch = watch
        self._once = once
        self.close = reads.close

    def collect(self) -> Iterator[Metric]:
        """One batch. Raises Unavailable if no part could be read."""
        requested, failed = self._request()
        first = tuple(part for part in self._parts if part.compares)
        if first and self._watch is not None:
            self._error.muted = True  # a part that fails here fails again below
            self._read(first, 0)
            self._error.muted = False
            self._watch()
        now = self._clock_ns()
        metrics, more = self._read(self._parts, now)
        yield from metrics
        if failed + more == len(self._parts) + len(self._slow):
            raise Unavailable("none of its parts could be read")
        if requested:
            if not self._reads.wait(_QUICK_SECONDS, slow=self._once):
                yield PAUSE
                self._wait(requested)
            yield from self._answers(requested, now)

    def _wait(self, requested: Mapping[Hashable, SlowPart]) -> None:
        """Wait for each part as long as its patience allows, all at the same time."""
        waited = 0.0
        for part in sorted(self._slow, key=lambda part: part.patience):
            patience = part.patience if self._once else min(part.patience, _WAIT_SECONDS)
            keys = {key for key, owner in requested.items() if owner is part}
            if not self._reads.wait(patience - waited, slow=self._once, keys=keys):
                waited = patience

    def _request(self) -> tuple[dict[Hashable, SlowPart], int]:
        """Start all slow reads; return those of this batch with their parts, and the number of failed parts."""
        reads: dict[Hashable, Read] = {}
        owners: dict[Hashable, SlowPart] = {}
        failed = 0
        for part in self._slow:
            try:
                wanted = part.reads()
            except Exception as problem:  # noqa: BLE001 - a part that fails is counted, and the others run
                self._error(f"{part.name}: {sentence(problem)}")
                failed += 1
                continue
            reads |= wanted
            owners |= dict.fromkeys(wanted, part)
        self._owners |= owners
        if reads:
            self._reads.request(reads)
        return owners, failed

    def _answers(self, requested: Mapping[Hashable, SlowPart], now: int) -> Iterator[Metric]:
        answers, waiting = self._reads.take(), self._reads.waiting()
        for part in self._slow:
            # In the order of the requests, whatever the order of the answers; late answers of earlier batches first.
            mine = {key: answers[key] for key, owner in self._owners.items() if owner is part and key in answers}
            late = [
                key
                for key, seconds in waiting.items()
                if requested.get(key) is part and (self._once or seconds >= part.patience)
            ]
            yield from part.metrics(mine, late, now)
        self._owners = {key: part for key, part in self._owners.items() if key in waiting}

    def _read(self, parts: tuple[Part, ...], now: int) -> tuple[list[Metric], int]:
        metrics: list[Metric] = []
        failed = 0
        for part in parts:
            try:
                metrics += part.read(now)
            except Exception as problem:  # noqa: BLE001 - a part that fails is counted, and the others run
                self._error(f"{part.name}: {sentence(problem)}")
                failed += 1
        return metrics, failed


def _session_names() -> list[str]:
    import psutil  # here, because only machines with a record of users need it

    return [user.name for user in psutil.users()]


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def create(context: Context) -> System:
    """Return the collector. Raises Unavailable for an unknown part, and if there is no /proc."""
    values, error = context.values, Errors(context.report.error)
    chosen = _names(values[PARTS])
    for name in chosen:
        if name not in _PARTS:
            raise Unavailable(f"parts has {name!r}, which is not a part; choose from {', '.join(_PARTS)}")
    if not chosen:
        raise Unavailable(f"parts is empty; choose from {', '.join(_PARTS)}")
    proc, sys, run = values[PROC_ROOT], values[SYS_ROOT], values[RUN_ROOT]
    if not os.path.isdir(proc):
        raise Unavailable(
            f"there is no {proc}, which this collector reads; without Linux, use Telegraf's own inputs instead"
        )
    ignored = frozenset(_names(values[IGNORE_FS]))
    note = context.report.note
    makers: dict[str, Callable[[], Part]] = {
        "cpu": lambda: cpu.Cpu(proc, error),
        "mem": lambda: memory.Mem(proc, error),
        "swap": lambda: memory.Swap(proc, os.sysconf("SC_PAGE_SIZE"), error),
        "diskio": lambda: diskio.DiskIo(proc, sys, time.monotonic, error),
        "net": lambda: network.Net(proc, sys, error),
        "system": lambda: host.Host(proc, sys, host.Users(f"{run}/utmp", _session_names), error),
        "processes": lambda: processes.Processes(proc, error, note),
        "machine": lambda: machine.Machine(
            proc, sys, values[ETC_ROOT], values[VAR_ROOT], os.uname().machine, time.monotonic, error, once=context.once
        ),
        "top_process": lambda: top.Top(
            proc,
            os.cpu_count() or 1,
            os.sysconf("SC_CLK_TCK"),
            os.sysconf("SC_PAGE_SIZE"),
            time.monotonic,
            error,
            once=context.once,
        ),
    }
    slow: dict[str, Callable[[], SlowPart]] = {
        "disk": lambda: disk.Disk(
            proc, sys, run, ignored, values[DISK_TIMEOUT_SECONDS], context.report, mount_root=values[MOUNT_ROOT]
        ),
        "temp": lambda: temperature.Temp(sys, values[TEMP_TIMEOUT_SECONDS], error, note),
    }
    seconds = values[CPU_SAMPLE_SECONDS]
    return System(
        tuple(make() for name, make in makers.items() if name in chosen),
        tuple(make() for name, make in slow.items() if name in chosen),
        SlowReads(context.clock_ns, time.monotonic),
        error,
        context.clock_ns,
        (lambda: time.sleep(seconds)) if context.once and seconds else None,
        once=context.once,
    )
