"""Helpers for the tests of the spool: a folder with its writers and readers, and a disk that fails."""

from __future__ import annotations

import os
from errno import EIO, ENOSPC
from pathlib import Path

from collectors.spool.folder import Disk
from collectors.spool.reader import Reader
from collectors.spool.record import encode
from collectors.spool.writer import Writer


class Broken:
    """A disk with a limited number of bytes left, which counts the synced bytes."""

    def __init__(self, bytes_left: int | None = None) -> None:
        self.bytes_left = bytes_left
        self.truncates = True
        self.synced = 0

    def write(self, descriptor: int, data: bytes, /) -> int:
        if self.bytes_left is None:
            return os.write(descriptor, data)
        if not self.bytes_left:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        written = os.write(descriptor, data[: self.bytes_left])
        self.bytes_left -= written
        return written

    def ftruncate(self, descriptor: int, length: int, /) -> None:
        if not self.truncates:
            raise OSError(EIO, os.strerror(EIO))
        os.ftruncate(descriptor, length)

    def fdatasync(self, descriptor: int, /) -> None:
        if not self.truncates:
            raise OSError(EIO, os.strerror(EIO))
        os.fdatasync(descriptor)
        self.synced += 1


class Ends:
    """A folder, and the writers and readers that a test opens on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.seconds = 0.0
        self._opened: list[Writer | Reader] = []

    def writer(self, *, max_bytes: int = 1 << 20, sync_seconds: float = 60.0, disk: Disk = os) -> Writer:
        writer = Writer(
            str(self.directory),
            events=("camera_event",),
            max_bytes=max_bytes,
            sync_seconds=sync_seconds,
            complain=self.said.append,
            timer=lambda: self.seconds,
            disk=disk,
        )
        self._opened.append(writer)
        return writer

    def reader(self) -> Reader:
        reader = Reader(str(self.directory))
        self._opened.append(reader)
        return reader

    def end(self, *ends: Writer | Reader) -> None:
        for each in ends or self._opened:
            if each in self._opened:
                self._opened.remove(each)
                each.close()

    def files(self) -> list[Path]:
        return sorted(self.directory.glob("*.lines"))


def everything(reader: Reader) -> list[bytes]:
    lines = []
    while found := reader.read():
        lines += found
    return lines


def numbered(count: int, first: int = 1, length: int = 0) -> list[bytes]:
    return [b"a b=%d %d" % (each, each) + b" " * length for each in range(first, first + count)]


def batch(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def batch_of_records(lines: list[bytes]) -> bytes:
    return b"".join(encode(1 + index, line) for index, line in enumerate(lines))
