"""Standard input and output: what Telegraf asks for, when to stop, and pipes that lose no line.

Linux can show the content of a pipe and leave it there (tee(2)). :class:`PeekingPipe` takes lines out of the pipe only
once their results are written: if this process is killed before, the next reader of the pipe finds them again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import stat
from collections.abc import Callable

#: What a pipe is made to hold, in bytes, so that its writer need not wait for a reader that is at work on the lines
#: before; the most that Linux allows an ordinary user. (/proc/sys/fs/pipe-max-size)
PIPE_BYTES = 1024 * 1024

#: As much is looked at at once.
LOOK_BYTES = 128 * 1024

#: SPLICE_F_NONBLOCK of <fcntl.h>.
_AT_ONCE = 2


def widen(descriptor: int) -> bool:
    """Let a pipe hold :data:`PIPE_BYTES`; False where it is none, or where there are too many such already."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        return False
    return True


class PeekingPipe:
    """Whole lines out of a pipe, which keeps them until they are let go.

    Args:
        descriptor: the pipe's end to read from.

    Raises:
        OSError: it is no pipe, or this system cannot show what is in one.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._tee = _tee()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no pipe")
        self._shown, self._copy = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        widen(self._copy)
        self._held = 0

    def peek(self) -> bytes | None:
        """The lines that are there; empty at the pipe's end, None where there is nothing yet.

        What the last look showed leaves the pipe now. A line whose end is not in the pipe is taken out with it, since
        it might be longer than the pipe.
        """
        self.discard()
        try:
            count = self._tee(self._descriptor, self._copy, LOOK_BYTES)
        except BlockingIOError:
            return None
        data = b""
        while len(data) < count:
            data += os.read(self._shown, count - len(data))
        whole = data.rfind(b"\n") + 1
        self._held = whole or count
        return data[: self._held]

    def discard(self) -> None:
        """Take out of the pipe what the last look showed."""
        while self._held:
            self._held -= len(os.read(self._descriptor, self._held))

    def close(self) -> None:
        """Close what was opened here."""
        os.close(self._shown)
        os.close(self._copy)


def _tee() -> Callable[[int, int, int], int]:
    """tee(2), which Python does not have; it raises OSError as Python's own would."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    try:
        function = library.tee
    except AttributeError:
        raise OSError(errno.ENOSYS, "this system has no tee(2)") from None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
    function.restype = ctypes.c_ssize_t

    def tee(source: int, target: int, most: int) -> int:
        count = int(function(source, target, most, _AT_ONCE))
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count

    return tee


#: As much as is read from standard input at once: what a pipe holds.
_CHUNK_BYTES = 64 * 1024


class StdinControl:
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
        self._kept: PeekingPipe | None = None
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

    def peek_input(self) -> None:
        """Leave in standard input what :meth:`read` gives until it is called again, where that is a pipe."""
        if self._stdin is not None and widen(self._stdin):
            self._kept = PeekingPipe(self._stdin)

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
        the last time is done with, see :meth:`peek_input`.
        """
        if self._stdin is None:
            return b""
        if self._kept is not None:
            self._kept.discard()
        ready = [descriptor for descriptor, _ in self._poll.poll(0 if self.stopped else seconds * 1000)]
        if self._wake_read in ready:
            os.read(self._wake_read, 512)
        if self._stdin in ready:
            data = os.read(self._stdin, _CHUNK_BYTES) if self._kept is None else self._kept.peek()
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
