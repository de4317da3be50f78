"""Passes metrics from the agent's event loop to the thread that writes lines, and reports when they are written."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from collectors.core.line_protocol import Metric

Item = tuple[Sequence[Metric], Callable[[], None]]


class Outbox:
    """A queue between two threads; the reader waits on :attr:`descriptor`."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self.descriptor, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def put(self, metrics: Sequence[Metric], written: Callable[[], None]) -> None:
        """Add metrics.

        Args:
            written: called on the writing thread once they are written.
        """
        self._items.append((metrics, written))
        self.wake()

    def wake(self) -> None:
        """Make the descriptor readable."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full, and therefore readable
            os.write(self._wake, b"!")

    def take(self) -> Iterator[Item]:
        """Remove and return everything in the queue."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 65536)
        while self._items:
            yield self._items.popleft()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.descriptor)
        os.close(self._wake)
