"""A spool's folder: which files are in it, and whose they are.

The writer makes all of them; the reader only opens them, so that its user needs no right to change the folder:

- ``<number>.lines``: the segments (see :mod:`collectors.spool.record`), written by the writer alone.
- ``position``: how far the lines were delivered, written by the reader alone, in place: it has one length, and one
  that a power cut has damaged is known by its checksum.
- ``bell``: a named pipe that the writer rings, so that the reader need not look again and again.
- ``writer``: locked by the writer as long as it lives, with its process's number.
"""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple, Protocol

from collectors.spool.record import segment_first, segment_name

POSITION = "position"
NOTIFY_FIFO = "bell"
WRITER = "writer"

#: The rights of what the reader writes to: the folder's group may. All else follows from the writer's umask.
SHARED = 0o660


class Busy(Exception):
    """Another process has this end of the spool; the message says what to do."""


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
        error: why.
        written: bytes that were written before.
    """

    def __init__(self, error: OSError, written: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.written = written


class Disk(Protocol):
    """What the writer asks of the operating system: the module ``os``, unless a test breaks the disk."""

    def write(self, descriptor: int, data: bytes, /) -> int: ...
    def ftruncate(self, descriptor: int, length: int, /) -> None: ...
    def fdatasync(self, descriptor: int, /) -> None: ...


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Append bytes. Raises Short when not all of them could be written."""
    written = 0
    try:
        while written < len(data):
            written += disk.write(descriptor, data[written:] if written else data)
    except OSError as error:
        raise Short(error, written) from error
