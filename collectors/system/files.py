"""Read the kernel's small files, and describe those that cannot be read."""

from __future__ import annotations

import os

_CHUNK = 65536


def read(path: str) -> bytes:
    """Read a whole file with plain system calls, because ``open`` with its buffers takes three times as long."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = chunk = os.read(descriptor, _CHUNK)
        while chunk:
            chunk = os.read(descriptor, _CHUNK)
            content += chunk
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # an error of read(2) has no file name
    finally:
        os.close(descriptor)
    return content


def read_text(path: str) -> str | None:
    """Read a one-line file without surrounding white space; None if there is no such file."""
    try:
        return os.fsdecode(read(path)).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_optional(path: str) -> str | None:
    """Like :func:`read_text`, for an optional file: None even if it cannot be read."""
    try:
        return os.fsdecode(read(path)).strip()
    except OSError:
        return None


def sentence(error: Exception) -> str:
    """The message of an error, with the name of the file."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be read: {error.strerror}"
    if isinstance(error, ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
