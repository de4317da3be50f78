"""The writing side: lines go to the newest segment, and events are synced to disk at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from errno import EOPNOTSUPP, EPERM
from stat import S_ISFIFO

from collectors.core.api import Unwritable
from collectors.core.files import sync_folder
from collectors.spool.folder import (
    NOTIFY_FIFO,
    POSITION,
    SHARED,
    WRITER,
    WRITTEN_OFFSET,
    Busy,
    Disk,
    Segment,
    Short,
    lock,
    path_of,
    segments,
    write_all,
)
from collectors.spool.record import decode, decode_position, encode, encode_position

#: Number of segments in a full spool, which are dropped one at a time.
SEGMENTS = 16


class Writer:
    """Appends lines to a spool. Each spool has one writer.

    Lines that cannot be written are reported, counted and skipped: the collector continues. Each line has a number,
    even an unwritten one, so the reader knows how many are missing. A removed folder is recreated.

    Args:
        directory: the spool's folder, created if it is missing.
        events: measurements whose lines are synced to the disk when :meth:`append` returns.
        max_bytes: maximum size of all segments; the oldest are dropped.
        sync_seconds: how long other lines wait until they are synced; 0 syncs them at once.
        complain: receives a sentence for each error.
        timer: monotonic seconds.
        disk: writes to the segments.

    Raises:
        Busy: another process writes to this spool.
        OSError: the folder cannot be created or written.
    """

    def __init__(
        self,
        directory: str,
        *,
        events: Iterable[str],
        max_bytes: int,
        sync_seconds: float,
        complain: Callable[[str], None],
        timer: Callable[[], float],
        disk: Disk = os,
    ) -> None:
        self._directory = directory
        self._events = tuple(f"{name}{end}".encode() for name in events for end in ", ")
        self._max_bytes = max_bytes
        self._segment_bytes = max_bytes // SEGMENTS
        self._sync_seconds = sync_seconds
        self._complain = complain
        self._timer = timer
        self._disk = disk
        self._active = -1  # the descriptor of the newest segment, once there is one
        self._unsynced_since: float | None = None
        self._lost = 0
        self._lock = self._fifo = self._position = -1
        self._segments: list[Segment] = []
        self._next = 1
        try:
            self._open(0)
        except BaseException:
            self._release()
            raise

    def append(self, data: bytes) -> None:
        """Append whole lines. Errors of the disk are reported, not raised.

        Raises:
            Unwritable: the folder was removed, and cannot be recreated.
        """
        if self._removed():
            self._renew()
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        first, self._next = self._next, self._next + len(lines)
        records = [encode(first + index, line) for index, line in enumerate(lines)]
        for chunk, number in self._chunks(records, first):
            self._put(chunk, number)
        if self._unsynced_since is None:
            self._unsynced_since = self._timer()
        if (
            any(line.startswith(self._events) for line in lines)
            or self._timer() - self._unsynced_since >= self._sync_seconds
        ):
            self._sync()
        self._notify()

    def close(self) -> None:
        """Sync all lines to disk, and unlock the folder."""
        self._sync()
        self._release()

    def _open(self, delivered: int | None) -> None:
        """Prepare the folder. In an empty one, *delivered* lines count as delivered."""
        os.makedirs(self._directory, exist_ok=True)
        self._lock, written = _lock(self._directory)
        # Opened for reading as well, so that notifying works without a reader, and the FIFO keeps the notification.
        self._fifo = _fifo(self._directory)
        self._segments = segments(self._directory)
        # Without the position, it is unknown whether the first remaining line was delivered.
        unknown = delivered is None or bool(self._segments)
        self._position = _shared(self._directory, POSITION, b"" if unknown else encode_position(delivered or 0))
        # Numbering continues even if segments are gone, so that the reader counts these lines.
        self._next = max(self._next, self._resume(), written + 1, (self._delivered() or 0) + 1)

    def _release(self) -> None:
        for descriptor in (self._active, self._position, self._fifo, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._active = self._position = self._fifo = self._lock = -1

    def _removed(self) -> bool:
        """Whether the folder, or the lock in it, was replaced after it was opened."""
        if self._lock < 0:
            return True
        try:
            there = os.stat(os.path.join(self._directory, WRITER))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # the disk fails, which the write reports
        return not os.path.samestat(there, os.fstat(self._lock))

    def _renew(self) -> None:
        """Continue in a new folder after the last one was removed, and report the lost lines."""
        delivered, following = self._delivered(), self._next
        self._release()
        self._unsynced_since = None
        try:
            self._open(delivered)
        except Busy as error:
            raise Unwritable(str(error)) from None
        except OSError as error:
            raise Unwritable(
                f"the spool {self._directory} was removed, and cannot be made again: {error.strerror}"
            ) from None
        oldest = self._segments[0].first if self._segments else following
        lost = oldest - 1 - (delivered or 0)
        self._complain(
            f"the spool {self._directory} was removed, and is made again"
            + (f"; up to {lost} lines were in it that were not delivered" if lost > 0 else "")
        )

    def _resume(self) -> int:
        """Continue where the previous writer ended; return the number of the next line."""
        if not self._segments:
            return 1
        first, size = self._segments[-1]
        self._active = os.open(path_of(self._directory, first), os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        found = decode(os.pread(self._active, size, 0))
        if found.end < size:
            # The reader waits for the line break of a record, so it loses nothing.
            os.ftruncate(self._active, found.end)
            os.fsync(self._active)
            self._segments[-1] = Segment(first, found.end)
            self._complain(f"the spool {self._directory} ended in half a line, as after a power cut; it was cut off")
        last = found.records[-1].number if found.records else first - 1
        # Damaged lines count as well.
        return max(last + 1, first + len(found.records) + found.damaged)

    def _chunks(self, records: Sequence[bytes], first: int) -> Iterable[tuple[bytes, int]]:
        """The records in pieces that fit into a segment, each with the number of its first record."""
        start, size = 0, 0
        for index, record in enumerate(records):
            if index > start and size + len(record) > self._segment_bytes:
                yield b"".join(records[start:index]), first + start
                start, size = index, 0
            size += len(record)
        if records:
            yield b"".join(records[start:]), first + start

    def _put(self, chunk: bytes, first: int) -> None:
        if len(chunk) > self._max_bytes:
            self._complain(
                f"a line of {len(chunk)} bytes is more than the spool {self._directory} may hold; it is lost"
            )
            return
        kept = 0
        for last_try in (False, True):
            try:
                self._make_room(len(chunk) - kept, first + chunk.count(b"\n", 0, kept))
                self._write(chunk[kept:])
            except (Short, OSError) as failure:
                written = failure.written if isinstance(failure, Short) else 0
                kept += self._keep_whole(chunk[kept : kept + written])
                if not last_try and self._tidy():
                    continue  # there is space again
                error = failure.error if isinstance(failure, Short) else failure
                self._lost += chunk.count(b"\n", kept)
                self._complain(
                    f"the spool {self._directory} cannot be written: {error.strerror}; lines are lost until it can"
                )
            else:
                if self._lost:
                    self._complain(f"the spool {self._directory} can be written again; {self._lost} lines were lost")
                    self._lost = 0
            return

    def _make_room(self, size: int, first: int) -> None:
        """Start a new segment if the newest is full, and drop the oldest ones if all exceed the maximum."""
        if (
            self._active < 0
            or (self._segments[-1].size and self._segments[-1].size + size > self._segment_bytes)
            or not os.fstat(self._active).st_nlink  # it was removed
        ):
            self._begin(first)
        delivered = self._delivered() if self._total() + size > self._max_bytes else None
        while self._total() + size > self._max_bytes and len(self._segments) > 1:
            oldest, following = self._segments[0].first, self._segments[1].first
            self._drop_oldest()
            lost = following - max(oldest, (delivered or 0) + 1)
            if lost > 0:
                self._complain(
                    f"the spool {self._directory} is full, since nothing fetches the lines; "
                    f"the oldest {lost} of them were dropped"
                )

    def _begin(self, first: int) -> None:
        """Start a segment; delivered ones are removed."""
        self._sync()
        path = path_of(self._directory, first)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            sync_folder(self._directory)
        except OSError:
            # Otherwise the reader would stop reading the previous segment, which is still written to.
            os.close(descriptor)
            os.unlink(path)
            raise
        if self._active >= 0:
            os.close(self._active)
        self._active = descriptor
        self._segments.append(Segment(first, 0))
        self._tidy()

    def _tidy(self) -> bool:
        """Remove delivered segments; return whether there were any."""
        delivered = self._delivered()
        before = len(self._segments)
        while delivered is not None and len(self._segments) > 1 and self._segments[1].first <= delivered + 1:
            self._drop_oldest()
        return len(self._segments) < before

    def _drop_oldest(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # it was removed in the meantime
            os.unlink(path_of(self._directory, self._segments[0].first))
        del self._segments[0]

    def _write(self, data: bytes) -> None:
        write_all(self._disk, self._active, data)
        first, size = self._segments[-1]
        self._segments[-1] = Segment(first, size + len(data))

    def _keep_whole(self, written: bytes) -> int:
        """Keep whole records written before an error, and truncate the rest; return the number of kept bytes."""
        if not written:
            return 0
        kept = written.rfind(b"\n") + 1
        first, size = self._segments[-1]
        try:
            self._disk.ftruncate(self._active, size + kept)
        except OSError:
            # A partial record stays; the next one starts a segment, and the reader skips the partial one.
            os.close(self._active)
            self._active = -1
            kept_size = size + len(written)
        else:
            kept_size = size + kept
        self._segments[-1] = Segment(first, kept_size)
        return kept

    def _sync(self) -> None:
        if self._unsynced_since is not None and self._active >= 0:
            try:
                self._disk.fdatasync(self._active)
            except OSError as error:
                self._complain(
                    f"the spool {self._directory} cannot be synced to the disk: {error.strerror}; "
                    "its newest lines may be lost at a power cut"
                )
        if self._unsynced_since is not None and self._lock >= 0:
            # A full disk has space for this: the bytes in the file are already allocated.
            with contextlib.suppress(OSError):
                os.pwrite(self._lock, encode_position(self._next - 1), WRITTEN_OFFSET)
        self._unsynced_since = None

    def _notify(self) -> None:
        if self._fifo < 0:
            return
        try:
            os.write(self._fifo, b"\n")
        except BlockingIOError:
            return  # the FIFO is full of notifications, and one more adds nothing

    def _total(self) -> int:
        return sum(segment.size for segment in self._segments)

    def _delivered(self) -> int | None:
        """The position of the reader; None if it is unknown: then no line counts as delivered."""
        try:
            return decode_position(os.pread(self._position, 512, 0))
        except OSError:
            return None


def _lock(directory: str) -> tuple[int, int]:
    """The locked file of the writer, and the number of the last written line, if known."""
    path = os.path.join(directory, WRITER)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if not lock(descriptor):
        holder = os.pread(descriptor, WRITTEN_OFFSET, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Busy(f"the process {holder} writes to the spool {directory}; give each collector its own folder")
    written = decode_position(os.pread(descriptor, 512, WRITTEN_OFFSET)) or 0
    os.pwrite(descriptor, (b"%d" % os.getpid()).ljust(WRITTEN_OFFSET - 1) + b"\n" + encode_position(written), 0)
    return descriptor, written


def _fifo(directory: str) -> int:
    """The FIFO; -1 on a file system without FIFOs, such as a USB stick's: the reader then polls."""
    path = os.path.join(directory, NOTIFY_FIFO)
    try:
        if os.path.lexists(path) and not S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)  # a backup has replaced the FIFO
        os.mkfifo(path, SHARED)
        os.chmod(path, SHARED)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno in (EPERM, EOPNOTSUPP):
            return -1
        raise
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _shared(directory: str, name: str, content: bytes) -> int:
    """Open a file that is writable for the folder's group; a new one gets this content."""
    path = os.path.join(directory, name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SHARED)
    except FileExistsError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.fchmod(descriptor, SHARED)
    os.pwrite(descriptor, content, 0)
    os.fsync(descriptor)
    sync_folder(directory)
    return descriptor
