"""Measuring helpers for the benchmarks: CPU of children, memory of processes, and pairs run alternately.

CPU time, unlike the time on the wall, hardly changes when the machine is busy; where it still does, a pair
run alternately meets the same machine twice, and the median of the ratios forgets the odd bad run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Literal, NamedTuple

#: Ticks of /proc/PID/stat in a second.
_TICKS = os.sysconf("SC_CLK_TCK")


class Result(NamedTuple):
    """One figure of the table.

    Args:
        name: description of the figure.
        value: the figure.
        unit: its unit, such as ``ms``, ``MB``, ``%`` or ``x`` for a ratio.
        target: the target value, or None for a figure without a target.
        better: ``less`` when the target is the most it may be, ``more`` when it is the least.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["less", "more"] = "less"

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "less" else self.value >= self.target


class Pair(NamedTuple):
    """Two things measured alternately: the median of each, and of the ratio of each round's two figures."""

    first: float
    second: float
    ratio: float


class BenchUnavailable(Exception):
    """A benchmark cannot run here; the message is one sentence about the missing part."""


def environment(**extra: str) -> dict[str, str]:
    """The environment as an installed collector has it: compiled modules are kept and used."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **extra}


def python(*arguments: str) -> list[str]:
    """The command of this Python with these arguments."""
    return [sys.executable, *arguments]


def child_cpu(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    cwd: str | None = None,
) -> float:
    """Seconds of CPU, user and system, that a command takes from start to end, with the children it waited for.

    Its output goes to /dev/null. Raises BenchUnavailable when it ends with a status other than 0, since the
    time that a failure takes says nothing.
    """
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment() if env is None else env),
            cwd=cwd,
        )
    return reap(process)


def reap(process: subprocess.Popen[Any]) -> float:
    """Wait for a child; its seconds of CPU with those of the children it waited for. BenchUnavailable if it failed."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchUnavailable(f"{_command(process)} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def paired(first: Callable[[], float], second: Callable[[], float], rounds: int) -> Pair:
    """Measure two things alternately, which goes first changing from round to round.

    The ratio is first to second. To measure with warm files and compiled modules, run each once before.
    """
    ones: list[float] = []
    others: list[float] = []
    for number in range(rounds):
        if number % 2:
            others.append(second())
            ones.append(first())
        else:
            ones.append(first())
            others.append(second())
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return Pair(statistics.median(ones), statistics.median(others), statistics.median(ratios))


def rate(work: Callable[[], int], *, at_least_seconds: float = 1.0) -> float:
    """How many units ``work`` gets done in a second of this process's CPU, the best of three; it returns the units."""
    best = 0.0
    for _ in range(3):
        done = 0
        start = time.process_time()
        while (spent := time.process_time() - start) < at_least_seconds / 3:
            done += work()
        best = max(best, done / spent)
    return best


def process_cpu(pid: int) -> float:
    """Seconds of CPU that a running process has used so far, without its children; to a tick of 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def descendants(pid: int) -> list[int]:
    """The process and everything below it that runs now."""
    found = [pid]
    for each in found:
        try:
            for thread in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{thread}/children", encoding="ascii") as file:
                    found.extend(map(int, file.read().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile, and has no children any more
    return found


def tree_cpu(pid: int) -> float:
    """Seconds of CPU that a process and all below it that run now have used so far."""
    return sum(map(process_cpu, descendants(pid)))


def pss_bytes(pid: int) -> int:
    """Proportional set size: the memory of a process, each shared page divided by the number that share it."""
    return _rollup(pid, "Pss:")


def private_bytes(pid: int) -> int:
    """Memory that only this process has, and that its end would free."""
    return _rollup(pid, "Private_Clean:") + _rollup(pid, "Private_Dirty:")


def _rollup(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    raise BenchUnavailable(f"/proc/{pid}/smaps_rollup has no line {name}")


class Execd:
    """A collector started with ``--execd``, asked for a batch at a time.

    Used with ``with``; at its end standard input is closed, which ends the collector.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            python("-m", "collectors", *arguments, "--execd"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment() if env is None else env),
        )

    def ask(self) -> list[bytes]:
        """One batch: its lines, the collector's line about itself last."""
        _pipe(self.process.stdin).write(b"\n")
        _pipe(self.process.stdin).flush()
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(b"collector,"):
            line = _pipe(self.process.stdout).readline()
            if not line:
                raise BenchUnavailable(f"{_command(self.process)} ended before it answered")
            lines.append(line)
        return lines

    def __enter__(self) -> Execd:
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self.process.stdin).close()
        self.process.wait()
        _pipe(self.process.stdout).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("the process was started without this pipe")
    return stream


def _command(process: subprocess.Popen[Any]) -> str:
    return " ".join(process.args) if isinstance(process.args, list) else str(process.args)
