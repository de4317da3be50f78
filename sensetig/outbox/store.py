"""The outbox's folder: a file for each waiting batch, the totals, and a place for damaged files.

A batch is durable once :meth:`Store.add` returns. Batches leave in order of arrival. The totals are written before a
batch is removed, so that a process killed in between counts its points once.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from filelock import FileLock, Timeout

from collectors.core.files import sync_folder, write_atomic
from collectors.outbox import DAMAGED, LIMIT, REASON, STATE, TOTALS, Waiting, read_totals, scan
from sensetig.errors import OutboxError
from sensetig.outbox.batch import Block, Destination, decode, encode, joined

#: In the state file: the number of the last removed batch, and that of the next batch.
_REMOVED, _NEXT = "removed", "next"

#: An empty file whose name is the number of the next batch.
_MARKER_NAME, _MARKER = "{:012d}.next", re.compile(r"([0-9]{12})\.next")

#: Maximum number of damaged files kept for inspection.
MAX_DAMAGED = 32


class Full(Exception):
    """No space for another batch; the message names the bound."""


class Batch(NamedTuple):
    """A waiting batch: its file, and its readable points."""

    waiting: Waiting
    blocks: list[Block]

    @property
    def points(self) -> int:
        """Number of readable points; the file's name has the original number."""
        return sum(len(block.lines) for block in self.blocks)


class Store:
    """The folder, locked by one process.

    Args:
        folder: created if it does not exist.
        max_bytes: maximum disk space for waiting batches, in bytes.
        reserve_bytes: space to leave free on the file system, in bytes.
        clock_ns: wall clock, nanoseconds since 1970.
        free_bytes: returns the free bytes of the folder's file system.
        log: receives one sentence.

    Raises:
        OutboxError: the folder cannot be used, or is locked by another process.
    """

    def __init__(
        self,
        folder: str,
        max_bytes: int,
        reserve_bytes: int,
        clock_ns: Callable[[], int],
        free_bytes: Callable[[str], int],
        log: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._clock_ns = clock_ns
        self._free_bytes = free_bytes
        self._log = log
        try:
            os.makedirs(folder, mode=0o750, exist_ok=True)
            self._lock = FileLock(os.path.join(folder, ".lock"), mode=0o640)
            self._lock.acquire(timeout=0)
            self._open()
        except Timeout:
            raise OutboxError(f"another process uses the outbox in {folder}; stop it, or name another folder") from None
        except OSError as error:
            raise OutboxError(
                f"the outbox in {folder} cannot be used: {error.strerror or error}; make it writable for this user"
            ) from None

    def _open(self) -> None:
        self._marked: int | None = None
        for name in sorted(os.listdir(self._folder), reverse=True):
            marker = _MARKER.fullmatch(name)
            if name.endswith(".part") or (marker and self._marked is not None):
                os.unlink(os.path.join(self._folder, name))
            elif marker:
                self._marked = int(marker[1])
        state = read_totals(self._folder)
        if state is None:
            self._log(f"{os.path.join(self._folder, STATE)} is damaged; the totals start again at 0")
            state = {}
        self._removed = state.get(_REMOVED, -1)
        self.totals = {name: state.get(name, 0) for name in TOTALS}
        self._waiting = scan(self._folder)
        # These were delivered and counted, but the process was killed before it removed them.
        while self._waiting and self._waiting[0].number <= self._removed:
            self._unlink(self._waiting.pop(0))
        self._bytes = sum(each.size for each in self._waiting)
        # Alerts compare totals with earlier ones, so the totals are written from the start.
        self._saved = bool(state)
        #: The reason why points wait; empty if InfluxDB accepts them.
        self.reason = ""
        if _REMOVED not in state and self._waiting:
            self._removed = self._waiting[0].number - 1  # whether there were others is unknown
        self._next = max([self._removed, *(each.number for each in self._waiting)]) + 1
        known = state.get(_NEXT, 0)
        if _REMOVED in state or self._waiting:  # otherwise the marker counts batches that may have been delivered
            known = max(known, self._marked or 0)
        if missing := max(0, known - self._next):
            self._log(f"{missing} files at the end of {self._folder} are missing; their points are lost")
            self.count({"missing_batches": missing})
            with suppress(OSError):  # then it is saved later
                self.save()
        self._mark()

    @property
    def waiting(self) -> int:
        """Number of waiting batches."""
        return len(self._waiting)

    @property
    def next_number(self) -> int:
        """The number of the next batch."""
        return self._next

    def add(self, destination: Destination, lines: list[bytes]) -> None:
        """Make a batch durable. Raises Full if a bound is reached or the disk has no space."""
        content = encode(destination, lines)
        if self._bytes + len(content) > self._max_bytes:
            raise Full(f"the waiting points have reached {self._max_bytes} bytes")
        if self._free_bytes(self._folder) - len(content) < self._reserve_bytes:
            raise Full(f"fewer than {self._reserve_bytes} bytes are free on the disk")
        waiting = Waiting(self._next, len(lines), self._clock_ns(), len(content))
        try:
            write_atomic(os.path.join(self._folder, waiting.name), content, 0o640)
        except OSError as error:
            raise Full(f"a batch cannot be written: {error.strerror or error}") from None
        self._next += 1
        self._mark()
        self._waiting.append(waiting)
        self._bytes += waiting.size
        self.count({"taken_points": len(lines)})

    def oldest(self, max_points: int = 0, max_bytes: int = 0) -> list[Waiting]:
        """The oldest batches up to these bounds, at least one if any waits. The files remain until :meth:`remove`."""
        found: list[Waiting] = []
        points = size = 0
        for waiting in self._waiting:
            points += waiting.points
            size += waiting.size
            if found and (points > max_points or size > max_bytes):
                break
            found.append(waiting)
        return found

    def read(self, waiting: Waiting) -> Batch:
        """The points of a waiting batch. Needs no lock, because its file does not change.

        Raises OSError if the file is temporarily unreadable; a file that the disk cannot return counts as damaged.
        """
        try:
            with open(os.path.join(self._folder, waiting.name), "rb") as file:
                content = file.read(max(self._max_bytes, waiting.size))
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENOENT):
                raise
            self._log(f"{waiting.name} cannot be read ({error.strerror}); it counts as damaged")
            content = b""
        return Batch(waiting, joined(decode(content)))

    def remove(self, batch: Batch, counts: Mapping[str, int]) -> None:
        """Count a finished batch, and remove it; a damaged one is quarantined. Raises OSError."""
        waiting = batch.waiting
        lost = max(0, waiting.points - batch.points)
        gap = waiting.number - self._removed - 1
        counts = {**counts, "damaged_points": lost, "missing_batches": gap}
        totals = self._sum(counts)
        # Saved before anything else changes: if the disk fails, the next attempt counts the batch again.
        self._write({_REMOVED: waiting.number, **totals})
        self._removed, self.totals, self._saved = waiting.number, totals, True
        if gap:
            self._log(f"{gap} files before {waiting.name} are missing; their points are lost")
        if lost:
            self._log(f"{waiting.name} is damaged: {lost} of {waiting.points} points are lost; it is kept in {DAMAGED}")
            self._set_aside(waiting)
        else:
            self._unlink(waiting)
        self._waiting.pop(0)
        self._bytes -= waiting.size

    def explain(self, reason: str) -> None:
        """Set the reason why points wait; :meth:`save` stores it."""
        self._saved = self._saved and reason == self.reason
        self.reason = reason

    def count(self, counts: Mapping[str, int]) -> None:
        """Add to the totals; :meth:`save` stores them."""
        self.totals = self._sum(counts)
        self._saved = False

    def _sum(self, counts: Mapping[str, int]) -> dict[str, int]:
        return {name: value + counts.get(name, 0) for name, value in self.totals.items()}

    def save(self) -> None:
        """Write the totals if they have changed. Raises OSError."""
        if self._saved:
            return
        self._write({_REMOVED: self._removed, **self.totals})
        self._saved = True

    def _write(self, state: Mapping[str, int | str]) -> None:
        # Not synced: it survives the end of this process, and after a power cut a batch is redelivered, which InfluxDB
        # stores as the same points.
        state = {**state, _NEXT: self._next, LIMIT: self._max_bytes, REASON: self.reason}
        write_atomic(os.path.join(self._folder, STATE), json.dumps(state) + "\n", 0o640, durable=False)

    def close(self) -> None:
        """Save the totals, and unlock the folder."""
        self.save()
        self._lock.release()

    def _mark(self) -> None:
        """Store the number of the next batch as the name of an empty file.

        The state contains it, too, but is written less often. Renaming a file is cheap.
        """
        place = os.path.join(self._folder, _MARKER_NAME.format(self._next))
        with suppress(OSError):  # a disk without space for a name; then only the state has the number
            if self._marked is None:
                with open(place, "xb"):
                    pass
            elif self._marked != self._next:
                os.rename(os.path.join(self._folder, _MARKER_NAME.format(self._marked)), place)
            self._marked = self._next

    def _unlink(self, waiting: Waiting) -> None:
        try:
            os.unlink(os.path.join(self._folder, waiting.name))
        except FileNotFoundError:
            return

    def _set_aside(self, waiting: Waiting) -> None:
        folder = os.path.join(self._folder, DAMAGED)
        os.makedirs(folder, mode=0o750, exist_ok=True)
        try:
            os.replace(os.path.join(self._folder, waiting.name), os.path.join(folder, waiting.name))
        except FileNotFoundError:
            return
        for name in sorted(os.listdir(folder))[:-MAX_DAMAGED]:
            os.unlink(os.path.join(folder, name))
        sync_folder(folder)
