"""A spool's folder: its files and their owners.

The writer creates all of them; the reader only opens them, so that its user needs no write permission for the folder:

- ``<number>.lines``: the segments (see :mod:`collectors.spool.record`), written only by the writer.
- ``position``: the number of the last delivered line, written in place and only by the reader. It has a fixed length,
  and its checksum reveals damage by a power cut.
- ``bell``: a FIFO that the writer uses to notify the reader of new lines, so that it does not poll.
- ``writer``: locked while the writer runs; holds its process id, and the number of the last line at the latest sync, in
  the format of ``position``. This reveals the loss of whole segments.
"""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple, Protocol

from collectors.spool.record import segment_first, segment_name

POSITION = "position"
NOTIFY_FIFO = "bell"
WRITER = "writer"

#: Offset of the number of the last written line in the writer's file.
WRITTEN_OFFSET = 32

#: Mode of the files that the reader writes to: writable for the folder's group. The umask applies to all others.
SHARED = 0o660


class Busy(Exception):
    """Another process uses this end of the spool; the message contains the remedy."""


class Segment(NamedTuple):
    """A file of records: the number of its first one, and its size in bytes."""

    first: int
    size: int


def path_of(directory: str, first: int) -> str:
    """The path of a segment."""
    return os.path.join(directory, segment_name(first))


def segments(directory: str) -> list[Segment]:
    """The segments of a spool, oldest first."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            first = segment_first(entry.name)
            if first is not None:
                try:
                    found.append(Segment(first, entry.stat().st_size))
                except FileNotFoundError:
                    continue  # the writer has just dropped it
    found.sort()
    return found


def lock(descriptor: int) -> bool:
    """Lock a file for the life of this process; False if another process has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Short(Exception):
    """A write that ended early.

    Args:
        error: the cause.
        written: bytes written before it.
    """

    def __init__(self, error: OSError, written: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.written = written


class Disk(Protocol):
    """The system calls of the writer: the module ``os``, or a failing disk in tests."""

    def write(self, descriptor: int, data: bytes, /) -> int: ...
    def ftruncate(self, descriptor: int, length: int, /) -> None: ...
    def fdatasync(self, descriptor: int, /) -> None: ...


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Append bytes. Raises Short if not all of them can be written."""
    written = 0
    try:
        while written < len(data):
            written += disk.write(descriptor, data[written:] if written else data)
    except OSError as error:
        raise Short(error, written) from error
