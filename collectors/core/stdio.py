"""Standard input and output: requests from Telegraf, shutdown, and pipes that lose no line.

On Linux, tee(2) copies the content of a pipe without removing it. :class:`PeekingPipe` removes lines from the pipe only
once their results are written: if this process is killed before, the next reader of the pipe finds them again.
"""

from __future__ import annotations

import os
import select
import signal
import stat
from collections.abc import Callable

from collectors.core.api import Unwritable

#: Capacity of a widened pipe in bytes, the maximum for an ordinary user (/proc/sys/fs/pipe-max-size). Its writer can
#: continue while the reader handles earlier lines.
PIPE_BYTES = 1024 * 1024

#: Maximum number of bytes that one peek returns.
MAX_PEEK_BYTES = 128 * 1024

#: SPLICE_F_NONBLOCK of <fcntl.h>.
_AT_ONCE = 2


def write_all(descriptor: int) -> Callable[[bytes], None]:
    """A function that writes all bytes to a descriptor. It raises Unwritable, or BrokenPipeError without a reader."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(f"standard output cannot be written: {error.strerror or error}") from None

    return write


def widen(descriptor: int) -> bool:
    """Widen a pipe to :data:`PIPE_BYTES`; False if it is not a pipe, or if the user has too many wide ones."""
    import fcntl  # here, because only processors need it

    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        return False
    return True


class PeekingPipe:
    """Reads whole lines from a pipe, which keeps them until they are discarded.

    Args:
        descriptor: the reading end of the pipe.

    Raises:
        OSError: it is not a pipe, or this system has no tee(2).
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        from errno import EINVAL

        self._tee = _tee()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(EINVAL, "it is not a pipe")
        self._shown, self._copy = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        widen(self._copy)
        self._peeked = 0

    def peek(self) -> bytes | None:
        """The lines in the pipe; empty at the pipe's end, None if there are none yet.

        The lines of the previous peek leave the pipe now. A line whose end is not in the pipe is removed as well,
        because it may be longer than the pipe.
        """
        self.discard()
        try:
            count = self._tee(self._descriptor, self._copy, MAX_PEEK_BYTES)
        except BlockingIOError:
            return None
        data = b""
        while len(data) < count:
            data += os.read(self._shown, count - len(data))
        whole = data.rfind(b"\n") + 1
        self._peeked = whole or count
        return data[: self._peeked]

    def discard(self) -> None:
        """Remove the lines of the last peek from the pipe."""
        while self._peeked:
            self._peeked -= len(os.read(self._descriptor, self._peeked))

    def close(self) -> None:
        """Close the copy; the pipe stays open."""
        os.close(self._shown)
        os.close(self._copy)


def _tee() -> Callable[[int, int, int], int]:
    """tee(2), which Python lacks; it raises OSError like the functions of ``os``."""
    import ctypes
    from errno import ENOSYS

    library = ctypes.CDLL(None, use_errno=True)
    try:
        function = library.tee
    except AttributeError:
        raise OSError(ENOSYS, "this system has no tee(2)") from None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
    function.restype = ctypes.c_ssize_t

    def tee(source: int, target: int, max_bytes: int) -> int:
        count = int(function(source, target, max_bytes, _AT_ONCE))
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count

    return tee


#: Maximum number of bytes per read from standard input: the capacity of an ordinary pipe.
_CHUNK_BYTES = 64 * 1024


class StdinControl:
    """Requests from Telegraf: lines on standard input, until it ends or SIGTERM or SIGINT arrives.

    Args:
        stdin: the descriptor of standard input, or None for signals only.
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
        """Also wait for this descriptor as standard input."""
        self._stdin = stdin
        self._poll.register(stdin, select.POLLIN | select.POLLHUP)

    def peek_input(self) -> None:
        """If standard input is a pipe, keep the lines that :meth:`read` returns in it until the next call."""
        if self._stdin is not None and widen(self._stdin):
            self._kept = PeekingPipe(self._stdin)

    def _stop(self, *_: object) -> None:
        self._pending = 0
        self.stopped = True

    def _read(self, timeout: float | None, other: int | None = None) -> None:
        for descriptor, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            if descriptor == other:
                continue  # the caller reads it
            if descriptor == self._wake_read:
                os.read(self._wake_read, 512)
            elif received := os.read(descriptor, 4096):
                if not self.stopped:
                    self._pending += received.count(b"\n")
            else:
                self._poll.unregister(descriptor)
                self.stopped = True

    def next(self) -> bool:
        """Wait for the next line; False after a signal, or once the input has ended and all its lines were returned."""
        while not self._pending and not self.stopped:
            self._read(None)
        if not self._pending:
            return False
        self._pending -= 1
        return True

    def request(self, seconds: float) -> bool:
        """Whether a line arrives within *seconds*; False earlier on shutdown."""
        if not self._pending and not self.stopped:
            self._read(seconds)
        if not self._pending:
            return False
        self._pending -= 1
        return True

    def read(self, seconds: float) -> bytes | None:
        """Read available standard input; None after *seconds* without input, empty at its end.

        After a signal it returns the input that was written before, and does not wait. The caller has processed the
        result of the previous call, see :meth:`peek_input`.
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
        """Sleep; return True on shutdown. Lines that arrive in the meantime are dropped.

        Args:
            descriptor: also ends the sleep once it is readable; it is not read.
        """
        if not self.stopped:
            if descriptor is not None:
                self._poll.register(descriptor, select.POLLIN)
            self._read(seconds, descriptor)
            if descriptor is not None:
                self._poll.unregister(descriptor)
        self._pending = 0
        return self.stopped
