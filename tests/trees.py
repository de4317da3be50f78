r"""Small trees of files, such as a board's sysfs and procfs, each written down in one text.

A line is a file or a link; blank lines and lines that begin with ``#`` are ignored::

    sys/class/hwmon/hwmon0 -> ../../devices/virtual/thermal/thermal_zone0/hwmon0
    sys/devices/virtual/thermal/thermal_zone0/hwmon0/name = cpu_thermal\n
    proc/net/wireless =
    | the lines of a longer file follow, each behind a bar and a space

``\n``, ``\0`` and ``\\`` represent a line break, a NUL and a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SIGNS = {r"\n": "\n", r"\0": "\0", r"\\": "\\"}


class Entry(NamedTuple):
    """A file with its content, or a link with its target."""

    path: str
    content: str
    link: bool


def entries(text: str) -> Iterator[Entry]:
    """The entries of a tree's text. Raises ValueError with the line's number for a line of no known form."""
    pending: Entry | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if pending is not None and line.startswith("|"):
            pending = pending._replace(content=pending.content + line[2:] + "\n")
            continue
        if pending is not None:
            yield pending
            pending = None
        if not line.strip() or line.startswith("#"):
            continue
        if match := re.fullmatch(r"(\S+) -> (\S+)", line):
            yield Entry(match[1], match[2], link=True)
        elif match := re.fullmatch(r"(\S+) =(?: (.*))?", line):
            content = re.sub(r"\\[n0\\]", lambda sign: _SIGNS[sign[0]], match[2] or "")
            pending = Entry(match[1], content, link=False)
        else:
            raise ValueError(f"line {number} is neither 'path = content' nor 'path -> target': {line!r}")
    if pending is not None:
        yield pending


def plant(text: str, folder: Path) -> Path:
    """Make the tree in a folder, and give the folder."""
    for entry in entries(text):
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.link:
            path.symlink_to(entry.content)
        else:
            path.write_bytes(entry.content.encode("utf-8"))
    return folder
