"""``disk``: size and use of each file system."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.mounts import Mount, label_of, parse_mountinfo, read_mountinfo

MEASUREMENT = Measurement(
    "disk",
    "Size and use of each file system.",
    (
        Tag("device", "The device, without /dev/; for a virtual file system its name."),
        Tag("fstype", "Type of the file system."),
        Tag("mode", "rw, or ro where it is read-only."),
        Tag("path", "Mount point."),
        Tag("label", "The file system's label.", optional=True),
    ),
    (
        Field("total", int, "bytes", "Size.", 0),
        Field("free", int, "bytes", "Free for every user; blocks reserved for root are neither free nor used.", 0),
        Field("used", int, "bytes", "In use.", 0),
        Field("used_percent", float, "percent", "Share of used in used and free together.", 0, 100),
        Field("inodes_total", int, "", "Maximum number of files; 0 where there is no such limit.", 0),
        Field("inodes_free", int, "", "Files that can still be created.", 0),
        Field("inodes_used", int, "", "Files in use.", 0),
        Field("inodes_used_percent", float, "percent", "Share of inodes in use.", 0, 100),
    ),
)

Answer = os.statvfs_result | OSError | None


def usage(status: os.statvfs_result) -> dict[str, int | float]:
    """The fields of ``disk``."""
    block = status.f_frsize or status.f_bsize
    used, free = (status.f_blocks - status.f_bfree) * block, status.f_bavail * block
    # A few network file systems name more free inodes than they have.
    inodes_used = max(0, status.f_files - status.f_ffree)
    inodes = inodes_used + status.f_ffree
    return {
        "total": status.f_blocks * block,
        "free": free,
        "used": used,
        "used_percent": 100 * used / (used + free) if used + free else 0.0,
        "inodes_total": status.f_files,
        "inodes_free": status.f_ffree,
        "inodes_used": inodes_used,
        "inodes_used_percent": 100 * inodes_used / inodes if inodes else 0.0,
    }


class _Round:
    """Paths that a thread queries in order, until the caller stops waiting."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self.answers: list[os.statvfs_result | OSError] = []
        self.abandoned = False
        self.done = threading.Event()


class Patience:
    """Queries file systems, each with a timeout.

    A network file system whose server is down blocks a query forever. A thread therefore queries; after the timeout
    it is abandoned, and another one continues with the rest. A path that blocks a thread is not queried again before
    that thread returns. While all answer, one thread serves batch after batch: starting one takes longer than a
    query.

    Args:
        ask: os.statvfs, or a double.
        seconds: the timeout of each query.
    """

    def __init__(self, ask: Callable[[str], os.statvfs_result], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._requests: SimpleQueue[_Round | None] | None = None

    def answers(self, paths: Iterable[str]) -> dict[str, Answer]:
        """Each path with its status, its error, or None after a timeout."""
        left = list(dict.fromkeys(paths))
        with self._lock:
            found: dict[str, Answer] = dict.fromkeys(self._waiting.intersection(left))
        left = [path for path in left if path not in found]
        while left:
            asked = _Round(left)
            self._worker().put(asked)
            answered = 0
            while not asked.done.wait(self._seconds) and answered < len(asked.answers):
                answered = len(asked.answers)  # slow, but it makes progress
            with self._lock:
                asked.abandoned = True
                found.update(zip(left, asked.answers, strict=False))
                left = left[len(asked.answers) :]
                if left:
                    silent = left.pop(0)
                    found[silent] = None
                    self._waiting.add(silent)
                    self._requests = None
        return found

    def close(self) -> None:
        """End the thread."""
        if self._requests is not None:
            self._requests.put(None)
            self._requests = None

    def _worker(self) -> SimpleQueue[_Round | None]:
        if self._requests is None:
            self._requests = SimpleQueue()
            threading.Thread(target=self._work, args=(self._requests,), daemon=True).start()
        return self._requests

    def _work(self, requests: SimpleQueue[_Round | None]) -> None:
        while (asked := requests.get()) is not None and self._finish(asked):
            pass

    def _finish(self, asked: _Round) -> bool:
        """Query until all have answered; False where the caller has stopped waiting."""
        for path in asked.paths:
            try:
                answer: os.statvfs_result | OSError = self._ask(path)
            except OSError as error:
                answer = error
            with self._lock:
                if asked.abandoned:
                    self._waiting.discard(path)
                    return False
                asked.answers.append(answer)
        asked.done.set()
        return True


class Disk:
    """Reads ``disk``.

    Args:
        proc_root, sys_root, run_root: where the kernel and udev have their files.
        ignored: types of file systems to skip.
        patience: queries the file systems.
        error: takes a sentence for each that does not answer.
    """

    name = MEASUREMENT.name
    compares = False

    def __init__(
        self,
        proc_root: str,
        sys_root: str,
        run_root: str,
        ignored: frozenset[str],
        patience: Patience,
        error: Callable[[str], None],
    ) -> None:
        self._proc = proc_root
        self._sys = sys_root
        self._run = run_root
        # A query would mount an automount.
        self._ignored = ignored | {"autofs"}
        self._patience = patience
        self._error = error
        self._content = b""
        self._mounts: list[Mount] = []
        self._series: dict[tuple[Mount, str], Series] = {}

    def read(self, now: int) -> list[Metric]:
        """One sample of each file system that has a size."""
        content = read_mountinfo(self._proc)
        if content != self._content:
            mounts = parse_mountinfo(content, self._sys)
            self._mounts = [mount for mount in mounts if mount.fstype not in self._ignored]
            self._content = content
            self._series.clear()
        return list(self._sample(now))

    def _sample(self, now: int) -> Iterator[Metric]:
        answers = self._patience.answers(mount.path for mount in self._mounts)
        for mount in self._mounts:
            answer = answers[mount.path]
            if answer is None:
                self._error(f"disk: {mount.path} ({mount.device}) does not answer, and has no sample in this batch")
            elif isinstance(answer, OSError):
                self._error(f"disk: {mount.path} ({mount.device}) cannot be read: {answer.strerror}")
            elif answer.f_blocks:  # virtual file systems have no size
                yield Metric(self._tags(mount), usage(answer), now)

    def _tags(self, mount: Mount) -> Series:
        device = mount.fstype if mount.device in ("none", "") else mount.device
        label = label_of(device, self._sys, self._run)
        series = self._series.get((mount, label))
        if series is None:
            tags = {"device": device.replace("/dev/", ""), "fstype": mount.fstype, "mode": mount.mode}
            series = Series("disk", {**tags, "path": mount.path, "label": label})
            self._series[mount, label] = series
        return series
