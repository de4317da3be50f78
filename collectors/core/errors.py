"""Error reporting for collectors: each error is counted every time, and logged once until it clears."""

from __future__ import annotations

import errno
from collections.abc import Callable

#: Errors of a driver whose device sleeps or is off: there is no reading, but no fault either.
ASLEEP = frozenset({errno.EAGAIN, errno.ENODATA, errno.ENXIO, errno.ENODEV})

#: Maximum number of logged notes; ever-changing names would fill the log and the memory.
_MAX_NOTES = 200

#: How many lines are logged of sentences that differ in their numbers only, until a batch has none of them: such as
#: those that show a line of the kernel with its counters.
_MAX_LINES = 20

_NO_DIGITS = str.maketrans("", "", "0123456789")


class ErrorReporter:
    """Errors of one collector.

    A sentence that repeats batch after batch is logged once and counted each time, so that a sensor that stays
    broken does not fill the log. After a batch without it, it is logged again. Sentences that differ in their numbers
    only are logged a bounded number of times.

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
        self._lines: dict[str, int] = {}
        self._kinds: set[str] = set()
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
        kind = sentence.translate(_NO_DIGITS)
        self._kinds.add(kind)
        if sentence in self._now:
            return
        if sentence not in self._said:
            lines = self._lines.get(kind, 0)
            if lines >= _MAX_LINES:
                return
            self._lines[kind] = lines + 1
            more = "" if lines + 1 < _MAX_LINES else " (and more like this one, which are only counted)"
            self._write(f"E! {self._collector}: {sentence}{more}")
        self._now.add(sentence)

    def take(self) -> int:
        """End a batch: return the number of its errors, and count from 0 again."""
        errors, self.errors = self.errors, 0
        self._said, self._now = self._now, set()
        self._lines = {kind: lines for kind, lines in self._lines.items() if kind in self._kinds}
        self._kinds = set()
        return errors


def requirement(name: str) -> str:
    """The pip requirement of a collector: the bundle, with the collector's extra if it has one."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        extras = metadata("sensetig").get_all("Provides-Extra") or []
    except PackageNotFoundError:  # a checkout without an installation
        extras = []
    return f"sensetig[{name}]" if name in extras else "sensetig"


def start_error(name: str, error: Exception) -> str:
    """The reason why the collector *name* cannot start, with a remedy, in one sentence."""
    if isinstance(error, ImportError):
        return f"{error}; install what it needs: pip install '{requirement(name)}'"
    return str(error)
