"""Media files on disk: dated folders, complete files only, and a size limit that deletes the oldest first.

Only files with the camera's names in folders with its dates are counted or removed; all other files below the root
are left alone.
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

#: Share of the disk that is kept free.
FREE_SHARE = 0.05

_DAY_NS = 86_400 * 10**9
_YEAR, _MONTH_OR_DAY = re.compile(r"\d{4}"), re.compile(r"\d{2}")
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[a-z0-9-]+\.(jpg|mp4)")
_PART = re.compile(r"\.\d{8}T\d{6}\.\d{6}Z-[a-z0-9-]+\.(jpg|mp4)\.part")


class MediaError(Exception):
    """An image or clip cannot be taken or stored; the message says why in one sentence."""


class Usage(Protocol):
    """The sizes of a disk, as returned by ``shutil.disk_usage``."""

    @property
    def total(self) -> int:
        """Total bytes."""
        ...

    @property
    def free(self) -> int:
        """Bytes available to this user."""
        ...


class Store:
    """The media below one folder, which one process owns at a time. Its methods may be called from any thread.

    Args:
        root: the folder; created if it does not exist.
        max_bytes: maximum size of all media.
        max_days: maximum age.
        clock_ns: wall clock, nanoseconds since 1970.
        disk_usage: returns the sizes of the disk that holds a path.

    Raises:
        Unavailable: the folder or a folder in it cannot be used, or another process uses it.
    """

    def __init__(
        self,
        root: str,
        *,
        max_bytes: int,
        max_days: int,
        clock_ns: Callable[[], int],
        disk_usage: Callable[[str], Usage] = shutil.disk_usage,
    ) -> None:
        self.root = root
        self._max_bytes = max_bytes
        self._max_days = max_days
        self._clock_ns = clock_ns
        self._disk_usage = disk_usage
        self._lock = threading.Lock()
        try:
            os.makedirs(root, exist_ok=True)
            self._lock_file = os.open(os.path.join(root, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"the folder for media, {root}, cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_file)
            raise Unavailable(
                f"another camera stores its media in {root}; give each its own folder with media_dir"
            ) from None
        #: Relative path to size, oldest first: the names begin with the time.
        self._files: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        try:
            for relative, size in sorted(self._scan()):
                self._files[relative] = size
                self._bytes += size
        except OSError as error:
            os.close(self._lock_file)
            raise Unavailable(
                f"the media in {root} cannot be counted: {error.filename}: {error.strerror}; "
                "give the camera's user read and write permission, or move the folder elsewhere"
            ) from None

    @property
    def size(self) -> int:
        """Total bytes of the media."""
        return self._bytes

    def close(self) -> None:
        """Release the folder for another process."""
        os.close(self._lock_file)

    def relative(self, time_ns: int, name: str) -> str:
        """The path of a file by its time, relative to the root: ``2026/11/21/NAME``."""
        return os.path.join(time.strftime("%Y/%m/%d", time.gmtime(time_ns // 10**9)), name)

    def begin(self, relative: str) -> str:
        """The temporary path for a file that is being written. Raises MediaError if there is no room."""
        self.make_room()
        folder, name = os.path.split(os.path.join(self.root, relative))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise MediaError(f"the folder {folder} cannot be created: {error.strerror}") from None
        return os.path.join(folder, f".{name}.part")

    def finish(self, part: str, relative: str) -> None:
        """Rename a complete file to its final path, so that a power cut leaves all or none of it. Raises OSError."""
        path = os.path.join(self.root, relative)
        publish(part, path)
        with self._lock:
            self._bytes -= self._files.pop(relative, 0)
            self._files[relative] = os.path.getsize(path)
            self._bytes += self._files[relative]
            self._make_room()

    def discard(self, part: str) -> None:
        """Remove an incomplete file."""
        try:
            os.unlink(part)
        except FileNotFoundError:
            return

    def write(self, relative: str, data: bytes) -> None:
        """Store a file. Raises MediaError if that fails; nothing of it is left then."""
        self.make_room(len(data))
        try:
            try:
                self._write(relative, data)
            except FileNotFoundError:
                self._write(relative, data)  # the folder was removed in the meantime; create it again
        except OSError as error:
            raise MediaError(f"{os.path.join(self.root, relative)} cannot be written: {error.strerror}") from None

    def _write(self, relative: str, data: bytes) -> None:
        part = self.begin(relative)
        try:
            with open(part, "wb") as file:
                file.write(data)
            self.finish(part, relative)
        except OSError:
            self.discard(part)
            raise

    def make_room(self, pending: int = 0) -> None:
        """Delete media beyond the maximum age or size, the oldest first.

        Args:
            pending: bytes of the file that is being written, which is not counted yet.

        Raises:
            MediaError: there is still no room.
        """
        with self._lock:
            self._make_room(pending)
            if pending > self._max_bytes:
                raise MediaError(
                    f"one file exceeds the limit for all media in {self.root}, which is {self._max_bytes // 10**6} MB"
                )
            if self._missing_bytes() > 0:
                raise MediaError(
                    f"the disk of {self.root} is full except for {FREE_SHARE:.0%}, which is kept free; "
                    "nothing is recorded until there is room"
                )

    def _make_room(self, pending: int = 0) -> None:
        self._expire()
        while self._files and self._bytes + pending > self._max_bytes:
            self._drop_oldest()
        # If other files have filled the disk and deleting all media would not be enough, keep the media.
        if self._missing_bytes() <= self._bytes:
            while self._files and self._missing_bytes() > 0:
                self._drop_oldest()

    def expire(self) -> None:
        """Delete media beyond the maximum age. Raises MediaError if that fails."""
        with self._lock:
            self._expire()

    def _expire(self) -> None:
        oldest = self._clock_ns() - self._max_days * _DAY_NS
        # Names begin with the time, so that this is older than any file of the second after it.
        name = self.relative(oldest, time.strftime("%Y%m%dT%H%M%S", time.gmtime(oldest // 10**9)))
        while self._files and next(iter(self._files)) < name:
            self._drop_oldest()

    def _missing_bytes(self) -> float:
        """Bytes that must be freed until enough of the disk is free."""
        usage = self._disk_usage(self.root)
        return FREE_SHARE * usage.total - usage.free

    def _drop_oldest(self) -> None:
        relative = next(iter(self._files))
        path = os.path.join(self.root, relative)
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            pass  # already removed, which made room as well
        except OSError as error:
            raise MediaError(f"{path} cannot be deleted to make room: {error.strerror}") from None
        self._bytes -= self._files.pop(relative)
        folder = os.path.dirname(relative)
        while folder:
            try:
                os.rmdir(os.path.join(self.root, folder))
            except FileNotFoundError:
                pass  # already removed; its parent may be empty now
            except OSError:
                return  # not empty, or not ours to remove; an empty folder takes no room
            folder = os.path.dirname(folder)

    def _scan(self) -> Iterator[tuple[str, int]]:
        """The existing media and their sizes; removes incomplete files that a kill left behind."""
        for year in _matching(self.root, _YEAR):
            for month in _matching(os.path.join(self.root, year), _MONTH_OR_DAY):
                for day in _matching(os.path.join(self.root, year, month), _MONTH_OR_DAY):
                    folder = os.path.join(year, month, day)
                    for part in _matching(os.path.join(self.root, folder), _PART):
                        self.discard(os.path.join(self.root, folder, part))
                    for name in _matching(os.path.join(self.root, folder), _NAME):
                        relative = os.path.join(folder, name)
                        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                            yield relative, os.path.getsize(os.path.join(self.root, relative))


def _matching(folder: str, pattern: re.Pattern[str]) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if pattern.fullmatch(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []  # a file with a folder's name is not ours, and a folder may be removed at any time
