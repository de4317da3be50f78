"""Pictures that could not be looked at, each a file with its message, in a folder with a bound."""

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
    """The folder; only one process uses it.

    Files are named by the time at which they were put in, so that their names are in the order of age.

    Args:
        folder: made when the first picture is kept.
        max_bytes: of all together.
        max_days: how long one may wait.
        clock_ns: wall clock.
    """

    def __init__(self, folder: str, max_bytes: int, max_days: float, clock_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_ns = round(max_days * _DAY_NS)
        self._clock_ns = clock_ns
        self._after = ""
        self._files = self._scan()
        self.bytes = sum(file.bytes for file in self._files)

    def __len__(self) -> int:
        return len(self._files)

    def add(self, message: bytes) -> int:
        """Keep a message; how many older ones had to go for it. Raises OSError when it cannot be written.

        A message that is kept already is not kept twice.
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
        """The name of the next one to try: after the one that was tried last, and then from the oldest again."""
        for file in self._files:
            if file.name > self._after:
                self._after = file.name
                return file.name
        self._after = self._files[0].name if self._files else ""
        return self._after or None

    def read(self, name: str) -> bytes | None:
        """The message; None where somebody has taken the file away. Raises OSError when it cannot be read."""
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            self._forget(name)
            return None

    def remove(self, name: str) -> None:
        """Let go of one that has been dealt with."""
        _unlink(os.path.join(self._folder, name))
        self._forget(name)

    def expire(self) -> int:
        """Throw away what has waited too long; how many. A clock that was set back makes nothing too old."""
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
        """What is there; leftovers of a write that was cut off are cleared away, and other files left alone."""
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
