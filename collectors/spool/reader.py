"""The reading side: lines in order, and the position of the last delivered line."""

from __future__ import annotations

import os
from collections.abc import Callable
from stat import S_ISFIFO

from collectors.spool.folder import NOTIFY_FIFO, POSITION, SHARED, WRITER, Busy, Segment, lock, path_of, segments
from collectors.spool.record import decode, decode_position, encode_position

#: Bytes per read; a line longer than that is read whole.
CHUNK_BYTES = 256 * 1024


class Reader:
    """Reads a spool. Each spool has one reader.

    Args:
        directory: the spool's folder.
        pread: reads from a segment, like ``os.pread``.

    Attributes:
        number: of the last line that :meth:`read` returned, or 0.
        missing: lines that were dropped from the spool, or could not be written.
        damaged: number of skipped pieces that are not records.
        notice: a sentence about a position that does not belong to these lines; or empty.
        fifo: a descriptor that is readable once there are new lines; None without a FIFO.

    Raises:
        FileNotFoundError: there is no spool.
        Busy: another process reads it.
        OSError: it cannot be read, or the position cannot be written.
    """

    def __init__(self, directory: str, pread: Callable[[int, int, int], bytes] = os.pread) -> None:
        self._directory = directory
        self._pread = pread
        if not segments(directory):
            # Without the writer's file, this folder is not a spool, and would look like an empty one forever.
            os.stat(os.path.join(directory, WRITER))
        self._position_path = os.path.join(directory, POSITION)
        self._position = os.open(self._position_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SHARED)
        if not lock(self._position):
            os.close(self._position)
            raise Busy(f"another process reads the spool {directory}; each spool has one reader")
        self.fifo = _fifo(directory)
        self.missing = 0
        self.damaged = 0
        delivered = decode_position(os.pread(self._position, 512, 0))
        self._known = delivered is not None
        self.number = self._committed = delivered or 0
        # Lines up to this one do not count as missing.
        self._ahead = 0
        self.notice = ""
        self._segment: int | None = None
        self._file = -1
        self._offset = 0
        try:
            self._compare()
        except BaseException:
            self.close()
            raise

    @property
    def removed(self) -> bool:
        """Whether the spool was removed after it was opened."""
        try:
            there = os.stat(self._position_path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        # Its writer may have created another one.
        return not os.path.samestat(there, os.fstat(self._position))

    def read(self) -> list[bytes]:
        """The next lines, one piece at a time; empty if there are none yet."""
        while True:
            lines = self._read_here()
            if lines:
                return lines
            following = self._following()
            if following is None:
                return []
            # The writer may have appended lines between this read and the start of the next segment.
            lines = self._read_here()
            if lines:
                return lines
            self._switch_to(following)

    def clear_notification(self) -> None:
        """Empty the FIFO before a read."""
        if self.fifo is not None:
            try:
                os.read(self.fifo, 65536)
            except BlockingIOError:
                return

    def commit(self, number: int) -> None:
        """Record that the lines up to this one are delivered."""
        if number > self._committed:
            os.pwrite(self._position, encode_position(number), 0)
            self._committed = number

    def waiting(self) -> tuple[int, int]:
        """The number of unread lines and bytes."""
        found = segments(self._directory)
        size = sum(each.size for each in found if self._segment is None or each.first > self._segment)
        size += sum(max(0, each.size - self._offset) for each in found if each.first == self._segment)
        last = self._last_number(found[-1].first, found[-1].size) if found else 0
        return max(0, last - self.number), size

    def close(self) -> None:
        """Close the spool."""
        for descriptor in (self._file, self._position, self.fifo):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)

    def _read_here(self) -> list[bytes]:
        """The next lines of the open segment."""
        while self._file >= 0:
            try:
                data = self._pread(self._file, CHUNK_BYTES, self._offset)
                if len(data) == CHUNK_BYTES and b"\n" not in data:
                    data = self._pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset)
            except OSError:
                # A bad block of the disk must not block the segments after this one.
                self.damaged += 1
                os.close(self._file)
                self._file = -1
                return []
            found = decode(data)
            if not found.end:
                return []
            self._offset += found.end
            self.damaged += found.damaged
            lines = []
            for number, line in found.records:
                if number > self.number:
                    self._pass_to(number)
                    lines.append(line)
            if lines:
                return lines
        return []

    def _compare(self) -> None:
        """Compare the position with the lines. Possibly undelivered lines are delivered, even if some are repeated."""
        found = segments(self._directory)
        if not found:
            return
        oldest = found[0].first
        if not self._known:
            if oldest > 1:
                self.notice = (
                    f"the position in the spool is lost: its lines from {oldest} on are delivered again, and up to "
                    f"{oldest - 1} before them may not have been delivered"
                )
            return
        if self.number < oldest or self._has(found, self.number):
            return
        said = f"the position in the spool is {self.number}, and there is no such line, as after a power cut"
        if self._last_number(found[-1].first, found[-1].size) > self.number:
            self.notice = f"{said}; the lines before it count as delivered"
            return
        # No line follows the position, so it may belong to other lines.
        self.notice = f"{said}, or with the position of another spool; its lines from {oldest} on are delivered again"
        self._ahead, self.number = self.number, oldest - 1

    def _has(self, found: list[Segment], number: int) -> bool:
        """Whether a line with this number exists."""
        first, size = max(each for each in found if each.first <= number)
        file = os.open(path_of(self._directory, first), os.O_RDONLY | os.O_CLOEXEC)
        try:
            records = decode(self._pread(file, size, 0)).records
        except OSError:
            return True  # a bad block of the disk, which the reader skips later
        finally:
            os.close(file)
        return any(record.number == number for record in records)

    def _pass_to(self, number: int) -> None:
        if self._known:
            expected = max(self.number, self._ahead) if number > self._ahead else self.number
            self.missing += number - expected - 1
        self._known = True
        self.number = number

    def _following(self) -> int | None:
        """The next segment; at the start, the one that contains the next line."""
        firsts = [each.first for each in segments(self._directory)]
        if self._segment is not None:
            return next((first for first in firsts if first > self._segment), None)
        return max((first for first in firsts if first <= self.number + 1), default=min(firsts, default=None))

    def _switch_to(self, first: int) -> None:
        if self._file >= 0:
            if os.fstat(self._file).st_size > self._offset:
                self.damaged += 1  # a partial record, which stays incomplete
            os.close(self._file)
            self._file = -1
        self._segment, self._offset = first, 0
        try:
            self._file = os.open(path_of(self._directory, first), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # the writer has dropped it; the numbers show how many lines are missing

    def _last_number(self, first: int, size: int) -> int:
        """The number of the newest line."""
        try:
            file = os.open(path_of(self._directory, first), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self.number
        try:
            # The last piece may start within a record, which then counts as damaged and is skipped.
            for length in (4096, CHUNK_BYTES, size):
                records = decode(os.pread(file, length, max(0, size - length))).records
                if records:
                    return records[-1].number
            return first - 1
        finally:
            os.close(file)


def _fifo(directory: str) -> int | None:
    """The FIFO; None without one, or if a backup has replaced it by a file, which is always readable."""
    path = os.path.join(directory, NOTIFY_FIFO)
    try:
        if not S_ISFIFO(os.stat(path).st_mode):
            return None
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
