"""Which files may be had: those of the media, by nothing but their names."""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

#: What is given out; all else below the root is not.
TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}

#: A part of a path. It begins with no dot, so there is neither ``..`` nor a file that is still being written.
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_MAX_PARTS = 8

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)


class File(NamedTuple):
    """A file that may be had."""

    path: str
    type: str
    status: os.stat_result


def find(root: str, path: str) -> File | None:
    """The file of a path as it stands in a URL, decoded; None for whatever is not one of the media.

    Neither it nor a folder on the way may be a symbolic link.
    """
    parts = path.split("/")
    kind = TYPES.get(os.path.splitext(parts[-1])[1])
    if not root or kind is None or len(parts) > _MAX_PARTS or not all(map(_PART.fullmatch, parts)):
        return None
    real = os.path.realpath(root)
    wanted = os.path.join(real, *parts)
    try:
        if os.path.realpath(wanted) != wanted:
            return None
        status = os.lstat(wanted)
    except OSError:
        return None  # it is not there, or not for this user: from outside, that is the same
    return File(wanted, kind, status) if stat.S_ISREG(status.st_mode) else None


class Unsatisfiable(Exception):
    """The range asked for is past the end of the file."""


def single_range(header: str, size: int) -> bool:
    """Whether the header asks for one range of a file of so many bytes; another header is to be ignored.

    Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return False
    first, last, suffix = found.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise Unsatisfiable
        return True
    if last and int(last) < int(first):
        return False
    if int(first) >= size:
        raise Unsatisfiable
    return True
