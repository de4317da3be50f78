"""Images whose detection failed: one file per message, in a folder of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from collectors.core.files import UNFINISHED, write_atomic

_ENDING = ".snapshot"
_DAY_NS = 86_400 * 1_000_000_000


class _File(NamedTuple):
    name: str
    bytes: int


class RetryQueue:
    """The folder, used by one process only.

    File names start with the time at which they were added, so that they sort by age.

    Args:
        folder: created with the first image.
        max_bytes: maximum size of all images.
        max_days: maximum age of an image.
        clock_ns: wall clock, nanoseconds since 1970.
    """

    def __init__(self, folder: str, max_bytes: int, max_days: float, clock_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_ns = round(max_days * _DAY_NS)
        self._clock_ns = clock_ns
        self._last = ""
        self._files = self._scan()
        self.bytes = sum(file.bytes for file in self._files)

    def __len__(self) -> int:
        return len(self._files)

    def add(self, message: bytes) -> int:
        """Store a message unless it is stored already; returns how many older ones were dropped for it.

        Raises OSError when it cannot be written.
        """
        digest = sha256(message).hexdigest()[:16]
        if any(file.name.endswith(f"-{digest}{_ENDING}") for file in self._files):
            return 0
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        name = f"{self._clock_ns():020d}-{digest}{_ENDING}"
        write_atomic(os.path.join(self._folder, name), message)
        self._files.append(_File(name, len(message)))
        self._files.sort()
        self.bytes += len(message)
        return self._make_room(name)

    def next(self) -> str | None:
        """The name of the next message to retry: the one after the last retried, then the oldest again."""
        for file in self._files:
            if file.name > self._last:
                self._last = file.name
                return file.name
        self._last = self._files[0].name if self._files else ""
        return self._last or None

    def read(self, name: str) -> bytes | None:
        """The message; None if its file has disappeared. Raises OSError when it cannot be read."""
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            self._forget(name)
            return None

    def remove(self, name: str) -> None:
        """Remove a processed message."""
        _unlink(os.path.join(self._folder, name))
        self._forget(name)

    def expire(self) -> int:
        """Drop messages beyond the maximum age; returns how many. A clock that was set back expires nothing."""
        limit = self._clock_ns() - self._max_ns
        old = [file.name for file in self._files if int(file.name[:20]) < limit]
        for name in old:
            self.remove(name)
        return len(old)

    def _make_room(self, newest: str) -> int:
        dropped = 0
        while self.bytes > self._max_bytes and self._files:
            oldest = next((file.name for file in self._files if file.name != newest), newest)
            self.remove(oldest)
            dropped += 1
        return dropped

    def _forget(self, name: str) -> None:
        for file in self._files:
            if file.name == name:
                self._files.remove(file)
                self.bytes -= file.bytes
                return

    def _scan(self) -> list[_File]:
        """The existing messages; removes incomplete files, and leaves other files alone."""
        try:
            entries = list(os.scandir(self._folder))
        except FileNotFoundError:
            return []
        files = []
        for entry in entries:
            name = entry.name
            if name.endswith(UNFINISHED) and _ENDING in name:
                _unlink(entry.path)
            elif name.endswith(_ENDING) and name[:20].isdecimal() and name[20:21] == "-":
                files.append(_File(name, entry.stat().st_size))
        return sorted(files)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
