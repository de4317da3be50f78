"""Reading the kernel's small files, and saying in words which one could not be read."""

from __future__ import annotations

import os

_CHUNK = 65536


def read(path: str) -> bytes:
    """All of a file. The plain system calls: ``open`` with its buffers takes three times as long for these files."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = chunk = os.read(descriptor, _CHUNK)
        while chunk:
            chunk = os.read(descriptor, _CHUNK)
            content += chunk
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # reading does not know its file's name
    finally:
        os.close(descriptor)
    return content


def read_text(path: str) -> str | None:
    """A file of one line, without the white space around it; None when there is no such file."""
    try:
        return os.fsdecode(read(path)).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def sentence(error: Exception) -> str:
    """An error in words: which file, and what the system says of it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be read: {error.strerror}"
    if isinstance(error, ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
