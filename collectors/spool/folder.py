"""A spool's folder: its files and their owners.

The writer creates all of them; the reader only opens them, so that its user needs no write permission for the folder:

- ``<number>.lines``: the segments (see :mod:`collectors.spool.record`), written by the writer alone.
- ``position``: the number of the last delivered line, written by the reader alone, in place. It has a fixed length,
  and its checksum shows damage by a power cut.
- ``bell``: a FIFO that the writer uses to notify the reader of new lines, so that it does not poll.
- ``writer``: locked by the writer as long as it lives; holds its process id, and the number of the last line that was
  written when it last synced, in the format of ``position``. So the loss of whole segments shows.
"""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple, Protocol

from collectors.spool.record import segment_first, segment_name

POSITION = "position"
NOTIFY_FIFO = "bell"
WRITER = "writer"

#: Where in the writer's file the number of the last written line begins.
WRITTEN_OFFSET = 32

#: Mode of the files that the reader writes to: the folder's group can write. The umask decides on all others.
SHARED = 0o660


class Busy(Exception):
    """Another process has this end of the spool; the message has the cure."""


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
    """Lock a file for the life of this process; False where another has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Short(Exception):
    """A write that ended early.

    Args:
        error: the cause.
        written: bytes that were written before it.
    """

    def __init__(self, error: OSError, written: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.written = written


class Disk(Protocol):
    """The system calls of the writer: the module ``os``, unless a test breaks the disk."""

    def write(self, descriptor: int, data: bytes, /) -> int: ...
    def ftruncate(self, descriptor: int, length: int, /) -> None: ...
    def fdatasync(self, descriptor: int, /) -> None: ...


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Append bytes. Raises Short where not all of them can be written."""
    written = 0
    try:
        while written < len(data):
            written += disk.write(descriptor, data[written:] if written else data)
    except OSError as error:
        raise Short(error, written) from error
