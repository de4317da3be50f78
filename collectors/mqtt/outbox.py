"""What the agent hands from its loop to the thread that writes lines, and what is called once they are written."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from collectors.core.line_protocol import Metric

Item = tuple[Sequence[Metric], Callable[[], None]]


class Outbox:
    """Put into from one thread, and emptied by another, which waits for :attr:`descriptor`."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self.descriptor, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def put(self, metrics: Sequence[Metric], written: Callable[[], None]) -> None:
        """Hand metrics over.

        Args:
            written: called by the thread that writes, once they are written.
        """
        self._items.append((metrics, written))
        self.wake()

    def wake(self) -> None:
        """Make the descriptor readable."""
        with contextlib.suppress(BlockingIOError):  # it is, then
            os.write(self._wake, b"!")

    def take(self) -> Iterator[Item]:
        """All there is now."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 65536)
        while self._items:
            yield self._items.popleft()

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self.descriptor)
        os.close(self._wake)
