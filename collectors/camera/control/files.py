"""Files that clients may fetch: those of the media, by name only."""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

#: Types of files that clients may fetch; other files below the root are hidden.
TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}

#: A part of a path. It has no leading dot, which excludes ``..`` and unfinished files.
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_MAX_PARTS = 8

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)


class File(NamedTuple):
    """A file that clients may fetch."""

    path: str
    type: str
    status: os.stat_result


def find(root: str, path: str) -> File | None:
    """The media file of a decoded URL path; None for any other path.

    Neither the file nor a folder in the path may be a symbolic link.
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
        return None  # missing, or not readable by this user: clients see no difference
    return File(wanted, kind, status) if stat.S_ISREG(status.st_mode) else None


class Unsatisfiable(Exception):
    """The requested range is past the end of the file."""


def single_range(header: str, size: int) -> bool:
    """Whether a Range header requests a single range of a file; another header is ignored.

    Args:
        size: size of the file in bytes.

    Raises:
        Unsatisfiable: the range is past the end.
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
