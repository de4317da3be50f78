"""What Telegraf asks for on standard input, and when it is time to stop."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collectors.pipe import Kept

#: As much as is read from standard input at once: what a pipe holds.
_CHUNK_BYTES = 64 * 1024


class Requests:
    """What Telegraf asks for: lines on standard input, ended by its end or by SIGTERM or SIGINT.

    Args:
        stdin: the descriptor of standard input, or None to heed the signals alone.
    """

    def __init__(self, stdin: int | None) -> None:
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._stdin: int | None = None
        if stdin is not None:
            self.listen(stdin)
        self._poll.register(self._wake_read, select.POLLIN)
        self._kept: Kept | None = None
        self._pending = 0
        self.stopped = False
        self.ended = False
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def listen(self, stdin: int) -> None:
        """Heed this descriptor as standard input, beside the signals."""
        self._stdin = stdin
        self._poll.register(stdin, select.POLLIN | select.POLLHUP)

    def keep(self) -> None:
        """Leave in standard input what :meth:`read` gives until it is called again, where that is a pipe."""
        from collectors.pipe import Kept, widen

        if self._stdin is not None and widen(self._stdin):
            self._kept = Kept(self._stdin)

    def _stop(self, *_: object) -> None:
        self._pending = 0
        self.stopped = True

    def _read(self, timeout: float | None, other: int | None = None) -> None:
        for descriptor, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            if descriptor == other:
                continue  # to be read by whoever waits for it
            if descriptor == self._wake_read:
                os.read(self._wake_read, 512)
            elif received := os.read(descriptor, 4096):
                if not self.stopped:
                    self._pending += received.count(b"\n")
            else:
                self._poll.unregister(descriptor)
                self.stopped = True

    def next(self) -> bool:
        """Wait for the next line; False after a signal, or once every line is answered and the input has ended."""
        while not self._pending and not self.stopped:
            self._read(None)
        if not self._pending:
            return False
        self._pending -= 1
        return True

    def read(self, seconds: float) -> bytes | None:
        """Whatever standard input has, as it comes; None once that long nothing came, empty when there is no more.

        After a signal, what has been written already is still given; only for more it does not wait. What it gave
        the last time is done with, see :meth:`keep`.
        """
        if self._stdin is None:
            return b""
        if self._kept is not None:
            self._kept.let_go()
        ready = [descriptor for descriptor, _ in self._poll.poll(0 if self.stopped else seconds * 1000)]
        if self._wake_read in ready:
            os.read(self._wake_read, 512)
        if self._stdin in ready:
            data = os.read(self._stdin, _CHUNK_BYTES) if self._kept is None else self._kept.look()
            if data == b"":
                self.ended = True
                self._poll.unregister(self._stdin)
                self._stdin = None
            return data
        return b"" if self.stopped and not ready else None

    def wait(self, seconds: float, descriptor: int | None = None, /) -> bool:
        """Pause; True as soon as it is time to stop. Lines that come meanwhile are not answered.

        Args:
            descriptor: ends the pause, too, once it can be read; it is left unread.
        """
        if not self.stopped:
            if descriptor is not None:
                self._poll.register(descriptor, select.POLLIN)
            self._read(seconds, descriptor)
            if descriptor is not None:
                self._poll.unregister(descriptor)
        self._pending = 0
        return self.stopped
