"""Collects lines of line protocol into messages: bytes in, batches out."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

#: Maximum length of a line in bytes; a longer one is rejected, and skipped without being buffered.
MAX_LINE_BYTES = 64 * 1024

#: A measurement and at least one field; the subscriber validates the rest.
_LINE = re.compile(rb"((?:\\.|[^,\\ #])(?:\\.|[^, \\])*)(?:,(?:\\.|[^ \\])*)? +[^ =]+=[^ ]")
_ESCAPED = re.compile(rb"\\([, ])")


class Batch(NamedTuple):
    """Lines of one measurement that become one message."""

    measurement: str
    payload: bytes
    lines: int


def measurement_of(line: bytes) -> str | None:
    """The measurement of a line, or None if it is not line protocol.

    >>> measurement_of(rb"wea\\,ther,host=pi value=1 5"), measurement_of(b"value")
    ('wea,ther', None)
    """
    found = _LINE.match(line)
    if found is None:
        return None
    try:
        return _ESCAPED.sub(rb"\1", found[1]).decode("utf-8")
    except UnicodeDecodeError:
        return None


class Batches:
    """Collects lines into batches per measurement.

    Args:
        max_lines, max_bytes: limits of a batch.
    """

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self._lines_most = max_lines
        self._bytes_most = max_bytes
        self._rest = b""
        self._skipping = False
        self._open: dict[str, list[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._ready: deque[Batch] = deque()
        self.lines = 0
        """Lines that were added and not :meth:`settled`."""
        self.bytes = 0
        """Their size in bytes."""
        self.refused = 0
        """Rejected lines, since the caller last set this to 0."""
        self.reason = ""
        """Why the last one was rejected."""

    def feed(self, data: bytes) -> None:
        """Add input, which may end within a line."""
        *whole, rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            whole, self._skipping = whole[1:], False
        for line in whole:
            self._take(line.rstrip(b"\r"))
        if self._skipping:
            rest = b""
        elif len(rest) > MAX_LINE_BYTES:
            self._refuse(f"a line is longer than {MAX_LINE_BYTES} bytes")
            rest, self._skipping = b"", True
        self._rest = rest

    def end(self) -> None:
        """End the input. A line without a line break is truncated and rejected: its last value may be wrong."""
        if self._rest:
            self._refuse("the last line was truncated by the end of standard input")
        self._rest = b""
        self.flush()

    def add(self, line: str) -> None:
        """Add a whole line."""
        self._take(line.encode())

    def flush(self) -> None:
        """Complete all batches."""
        for measurement in list(self._open):
            self._close(measurement)

    def pop(self) -> Batch | None:
        """The next complete batch, or None."""
        return self._ready.popleft() if self._ready else None

    def settled(self, batch: Batch) -> None:
        """Remove a batch from the counts, once it is acknowledged or refused."""
        self.lines -= batch.lines
        self.bytes -= len(batch.payload)

    def _take(self, line: bytes) -> None:
        if not line.strip() or line.startswith(b"#"):
            return
        if len(line) > MAX_LINE_BYTES:
            self._refuse(f"a line is longer than {MAX_LINE_BYTES} bytes")
            return
        measurement = measurement_of(line)
        if measurement is None:
            self._refuse(f"a line is not line protocol: {line[:80]!r}")
            return
        size = len(line) + 1
        if self._sizes.get(measurement, 0) + size > self._bytes_most and measurement in self._open:
            self._close(measurement)
        waiting = self._open.setdefault(measurement, [])
        waiting.append(line)
        self._sizes[measurement] = self._sizes.get(measurement, 0) + size
        self.lines += 1
        self.bytes += size
        if len(waiting) >= self._lines_most:
            self._close(measurement)

    def _close(self, measurement: str) -> None:
        lines = self._open.pop(measurement)
        del self._sizes[measurement]
        self._ready.append(Batch(measurement, b"\n".join(lines) + b"\n", len(lines)))

    def _refuse(self, reason: str) -> None:
        self.refused += 1
        self.reason = reason
