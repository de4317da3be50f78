"""Lines of line protocol put together into messages, as plain values: bytes in, batches out, and what they weigh."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

#: Bytes of a line at most; a longer one is refused, and passed over without being held.
MAX_LINE_BYTES = 64 * 1024

#: A measurement, and a field with its value somewhere behind it: the broker's other side reads the rest.
_LINE = re.compile(rb"((?:\\.|[^,\\ #])(?:\\.|[^, \\])*)(?:,(?:\\.|[^ \\])*)? +[^ =]+=[^ ]")
_ESCAPED = re.compile(rb"\\([, ])")


class Batch(NamedTuple):
    """Lines of one measurement that make one message."""

    measurement: str
    payload: bytes
    lines: int


def measurement_of(line: bytes) -> str | None:
    """The measurement of a line; None where it is no line protocol.

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
    """Takes bytes as they come, and gives batches that are full or asked for.

    Args:
        lines_most, bytes_most: of one batch.
    """

    def __init__(self, lines_most: int, bytes_most: int) -> None:
        self._lines_most = lines_most
        self._bytes_most = bytes_most
        self._rest = b""
        self._skipping = False
        self._open: dict[str, list[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._ready: deque[Batch] = deque()
        self.lines = 0
        """Lines that were taken and not :meth:`settled`."""
        self.bytes = 0
        """Their bytes."""
        self.refused = 0
        """Lines that were refused, since it was last set to 0."""
        self.reason = ""
        """Why the last one was."""

    def feed(self, data: bytes) -> None:
        """Take what has come; it may end anywhere, within a line, too."""
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
        """No more comes. A line without its end was cut off: it may look whole and have another value."""
        if self._rest:
            self._refuse("the last line was cut off by the end of standard input")
        self._rest = b""
        self.flush()

    def add(self, line: str) -> None:
        """Take one whole line of the agent's own."""
        self._take(line.encode())

    def flush(self) -> None:
        """Make batches of all that waits for others."""
        for measurement in list(self._open):
            self._close(measurement)

    def pop(self) -> Batch | None:
        """The next batch to send; None where there is none."""
        return self._ready.popleft() if self._ready else None

    def settled(self, batch: Batch) -> None:
        """A batch has been dealt with, and weighs no more."""
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
            self._refuse(f"a line is no line protocol: {line[:80]!r}")
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
