"""Media on disk: dated folders, whole files or none, and a budget that the oldest make room for.

Only files that are named as the camera names them, in folders that are dated as it dates them, are ever
counted or removed: whatever else lies below the root is somebody else's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from collectors.core.api import Unavailable
from collectors.core.files import publish

#: This share of the disk stays free.
FREE_SHARE = 0.05

_DAY_NS = 86_400 * 10**9
_YEAR, _MONTH_OR_DAY = re.compile(r"\d{4}"), re.compile(r"\d{2}")
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[a-z0-9-]+\.(jpg|mp4)")
_PART = re.compile(r"\.\d{8}T\d{6}\.\d{6}Z-[a-z0-9-]+\.(jpg|mp4)\.part")


class MediaError(Exception):
    """No picture or clip can be had or kept; the message says in one sentence why."""


class Usage(Protocol):
    """The sizes of a disk, as ``shutil.disk_usage`` gives them."""

    @property
    def total(self) -> int:
        """Bytes in all."""
        ...

    @property
    def free(self) -> int:
        """Bytes that this user may still write."""
        ...


class Store:
    """The media below one folder, which belongs to one process at a time. Its methods may be called from any thread.

    Args:
        root: the folder; it is made where it is missing.
        most_bytes: what all media together may take.
        most_days: how many days they are kept.
        clock_ns: wall clock, nanoseconds since 1970.
        disk_usage: tells the sizes of the disk on which a path is.

    Raises:
        Unavailable: the folder, or one of those in it, cannot be used, or another process uses it.
    """

    def __init__(
        self,
        root: str,
        *,
        most_bytes: int,
        most_days: int,
        clock_ns: Callable[[], int],
        disk_usage: Callable[[str], Usage] = shutil.disk_usage,
    ) -> None:
        self.root = root
        self._most_bytes = most_bytes
        self._most_days = most_days
        self._clock_ns = clock_ns
        self._disk_usage = disk_usage
        self._lock = threading.Lock()
        try:
            os.makedirs(root, exist_ok=True)
            self._owned = os.open(os.path.join(root, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"the folder for media, {root}, cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._owned)
            raise Unavailable(
                f"another camera keeps its media in {root}; give each its own folder with media_dir"
            ) from None
        #: Relative path to size, oldest first: the names begin with the time.
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        try:
            for relative, size in sorted(self._found()):
                self._kept[relative] = size
                self._bytes += size
        except OSError as error:
            os.close(self._owned)
            raise Unavailable(
                f"the media in {root} cannot be counted: {error.filename}: {error.strerror}; "
                "give the camera's user the right to read and write it, or move it elsewhere"
            ) from None

    @property
    def size(self) -> int:
        """Bytes that the media take."""
        return self._bytes

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._owned)

    def relative(self, time_ns: int, name: str) -> str:
        """Where a file of that time goes, below the root: ``2026/11/21/NAME``."""
        return os.path.join(time.strftime("%Y/%m/%d", time.gmtime(time_ns // 10**9)), name)

    def begin(self, relative: str) -> str:
        """The path to write a file to until it is whole. Raises MediaError when there is no room."""
        self.make_room()
        folder, name = os.path.split(os.path.join(self.root, relative))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise MediaError(f"the folder {folder} cannot be made: {error.strerror}") from None
        return os.path.join(folder, f".{name}.part")

    def finish(self, part: str, relative: str) -> None:
        """Give a file that is whole its name, so that a power cut leaves all of it or nothing. Raises OSError."""
        path = os.path.join(self.root, relative)
        publish(part, path)
        with self._lock:
            self._bytes -= self._kept.pop(relative, 0)
            self._kept[relative] = os.path.getsize(path)
            self._bytes += self._kept[relative]
            self._make_room()

    def give_up(self, part: str) -> None:
        """Remove what there is of a file that will never be whole."""
        try:
            os.unlink(part)
        except FileNotFoundError:
            return

    def write(self, relative: str, data: bytes) -> None:
        """Keep a file. Raises MediaError when it cannot be kept; then nothing of it is left."""
        self.make_room(len(data))
        try:
            try:
                self._write(relative, data)
            except FileNotFoundError:
                self._write(relative, data)  # the folder was removed meanwhile; it is made again
        except OSError as error:
            raise MediaError(f"{os.path.join(self.root, relative)} cannot be written: {error.strerror}") from None

    def _write(self, relative: str, data: bytes) -> None:
        part = self.begin(relative)
        try:
            with open(part, "wb") as file:
                file.write(data)
            self.finish(part, relative)
        except OSError:
            self.give_up(part)
            raise

    def make_room(self, begun: int = 0) -> None:
        """Remove what is too old or too much, the oldest first.

        Args:
            begun: bytes of the file that is being written, which is no part of the media yet.

        Raises:
            MediaError: there is no room all the same.
        """
        with self._lock:
            self._make_room(begun)
            if begun > self._most_bytes:
                raise MediaError(
                    f"one file takes more than all media in {self.root} may, which is {self._most_bytes // 10**6} MB"
                )
            if self._lacking() > 0:
                raise MediaError(
                    f"the disk of {self.root} is full but for {FREE_SHARE:.0%}, which is left free; "
                    "nothing is recorded until there is room"
                )

    def _make_room(self, begun: int = 0) -> None:
        oldest_day = self.relative(self._clock_ns() - self._most_days * _DAY_NS, "")
        while self._kept and (next(iter(self._kept)) < oldest_day or self._bytes + begun > self._most_bytes):
            self._drop_oldest()
        # Where others have filled the disk, all media together may be too little; then they had better stay.
        if self._lacking() <= self._bytes:
            while self._kept and self._lacking() > 0:
                self._drop_oldest()

    def _lacking(self) -> float:
        """Bytes that the disk lacks until enough of it is free."""
        usage = self._disk_usage(self.root)
        return FREE_SHARE * usage.total - usage.free

    def _drop_oldest(self) -> None:
        relative = next(iter(self._kept))
        path = os.path.join(self.root, relative)
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            pass  # somebody else removed it, and that made room as well
        except OSError as error:
            raise MediaError(f"{path} cannot be removed to make room: {error.strerror}") from None
        self._bytes -= self._kept.pop(relative)
        folder = os.path.dirname(relative)
        while folder:
            try:
                os.rmdir(os.path.join(self.root, folder))
            except FileNotFoundError:
                pass  # somebody else removed it; the one above may be empty now
            except OSError:
                return  # there is something in it, or it is not ours to remove; an empty folder takes no room
            folder = os.path.dirname(folder)

    def _found(self) -> Iterator[tuple[str, int]]:
        """The media that are there, and their sizes; what a kill left half done is removed on the way."""
        for year in _those(self.root, _YEAR):
            for month in _those(os.path.join(self.root, year), _MONTH_OR_DAY):
                for day in _those(os.path.join(self.root, year, month), _MONTH_OR_DAY):
                    folder = os.path.join(year, month, day)
                    for part in _those(os.path.join(self.root, folder), _PART):
                        self.give_up(os.path.join(self.root, folder, part))
                    for name in _those(os.path.join(self.root, folder), _NAME):
                        relative = os.path.join(folder, name)
                        with contextlib.suppress(FileNotFoundError):  # somebody removed it since it was listed
                            yield relative, os.path.getsize(os.path.join(self.root, relative))


def _those(folder: str, pattern: re.Pattern[str]) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if pattern.fullmatch(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []  # a file with a folder's name is somebody else's, and a folder may be removed at any time
