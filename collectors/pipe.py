"""Standard input and output that are pipes, so used that a process killed at any moment has lost no line.

Linux can show what is in a pipe and leave it there (tee(2)). So lines are only taken out of it once what became of
them is written: if this process is killed before, whoever reads the pipe next finds them again.
"""

from __future__ import annotations

import errno
import fcntl
import os
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


class Kept:
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

    def look(self) -> bytes | None:
        """The lines that are there; empty at the pipe's end, None where there is nothing yet.

        What the last look showed leaves the pipe now. A line whose end is not in the pipe is taken out with it, since
        it might be longer than the pipe.
        """
        self.let_go()
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

    def let_go(self) -> None:
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
