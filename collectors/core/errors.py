"""How a collector tells of a reading that failed: counted every time, said once until it clears."""

from __future__ import annotations

from collections.abc import Callable


class ErrorReporter:
    """Errors of one collector.

    A sentence that comes back batch after batch is written once and counted each time, so that a sensor
    that stays broken does not fill the log; when it has been absent for a batch, it is said again.

    Args:
        collector: the collector's name.
        write: takes one line for stderr.
    """

    def __init__(self, collector: str, write: Callable[[str], None]) -> None:
        self.errors = 0
        self._collector = collector
        self._write = write
        self._said: set[str] = set()
        self._now: set[str] = set()

    def error(self, sentence: str) -> None:
        """Count an error; say it unless the batch before said the same."""
        self.errors += 1
        sentence = " ".join(sentence.split())
        if sentence not in self._said and sentence not in self._now:
            self._write(f"E! {self._collector}: {sentence}")
        self._now.add(sentence)

    def take(self) -> int:
        """End a batch: the number of its errors, and count from 0."""
        errors, self.errors = self.errors, 0
        self._said, self._now = self._now, set()
        return errors
