"""How errors of a collector are reported: counted every time, logged once until they clear."""

from __future__ import annotations

import errno
from collections.abc import Callable

#: Errors of a driver whose device sleeps or is off: there is no reading, and no fault.
ASLEEP = frozenset({errno.EAGAIN, errno.ENODATA, errno.ENXIO, errno.ENODEV})

#: How many notes are logged; names that change forever would fill the log and the memory.
_MAX_NOTES = 200


class ErrorReporter:
    """Errors of one collector.

    A sentence that repeats batch after batch is logged once and counted each time, so that a sensor that stays
    broken does not fill the log. After a batch without it, it is logged again.

    Args:
        collector: the collector's name.
        write: logs one line.
    """

    def __init__(self, collector: str, write: Callable[[str], None]) -> None:
        self.errors = 0
        self._collector = collector
        self._write = write
        self._said: set[str] = set()
        self._now: set[str] = set()
        self._noted: set[str] = set()

    def note(self, sentence: str) -> None:
        """Log once a part that is missing by design, such as another user's mount. It does not count as an error."""
        sentence = " ".join(sentence.split())
        if sentence not in self._noted and len(self._noted) < _MAX_NOTES:
            self._noted.add(sentence)
            self._write(f"I! {self._collector}: {sentence}")

    def error(self, sentence: str) -> None:
        """Count an error, and log it unless the previous batch had it, too."""
        self.errors += 1
        sentence = " ".join(sentence.split())
        if sentence not in self._said and sentence not in self._now:
            self._write(f"E! {self._collector}: {sentence}")
        self._now.add(sentence)

    def take(self) -> int:
        """End a batch: return the number of its errors, and count from 0 again."""
        errors, self.errors = self.errors, 0
        self._said, self._now = self._now, set()
        return errors


def requirement(name: str) -> str:
    """What pip installs for a collector: the bundle, with the collector's extra where it has one."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        extras = metadata("sensetig").get_all("Provides-Extra") or []
    except PackageNotFoundError:  # a checkout that is not installed
        extras = []
    return f"sensetig[{name}]" if name in extras else "sensetig"


def start_error(name: str, error: Exception) -> str:
    """Why the collector *name* cannot start, with the cure, in one sentence."""
    if isinstance(error, ImportError):
        return f"{error}; install what it needs: pip install '{requirement(name)}'"
    return str(error)
