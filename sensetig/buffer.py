"""Telegraf's buffer on disk: made sound before Telegraf opens it, and kept within its bounds.

Telegraf ends at once where the buffer's log is damaged, as a power cut leaves it, and panics where a point in it cannot
be read; it does not start again until the log is deleted by hand, with all the points in it. And it has no upper size.
So before each start the log is read here: whatever is whole is kept, in order, and what is not is put aside. From a log
that has outgrown its bound the oldest points go, and are counted.

A log is a folder of segments, each named by the number of its first entry. An entry is its length, as a variable-length
number, and that many bytes: the messages of Go's gob that hold one point.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from collectors.core.files import sync_folder, write_atomic

#: How large a segment becomes that is written here; Telegraf's own are of this size, too.
SEGMENT_BYTES = 20_971_520

#: Folders next to the logs: quarantined data, and a log that is being written.
_ASIDE, _NEW = "damaged", ".new"

_SEGMENT = re.compile(r"([0-9]{20})(\.START)?")


class Segment(NamedTuple):
    """A file of a log.

    Args:
        path: of the file.
        first: number of its first entry.
        size: in bytes.
    """

    path: Path
    first: int
    size: int


class Outcome(NamedTuple):
    """The result of a run, or of a look.

    Args:
        dropped: points that were let go, so that the buffer keeps within its bounds.
        damaged: bytes that could not be read.
        adopted: points of an older destination that were handed to the present one.
    """

    dropped: int = 0
    damaged: int = 0
    adopted: int = 0


def whole(data: bytes) -> tuple[int, int]:
    """How many entries at the beginning of a segment are whole, and where they end."""
    count = start = 0
    while start < len(data):
        size, body = _variable(data, start)
        end = body + size
        if size == 0 or end > len(data) or not _is_gob(data, body, end):
            break
        count, start = count + 1, end
    return count, start


def _variable(data: bytes, start: int) -> tuple[int, int]:
    """A variable-length number, and where it ends; 0 where there is none."""
    number = shift = 0
    for place in range(start, min(start + 10, len(data))):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place + 1
        shift += 7
    return 0, len(data)


def _is_gob(data: bytes, start: int, end: int) -> bool:
    """Whether these bytes are messages of gob, each with its length, and nothing behind them."""
    while start < end:
        first = data[start]
        start += 1
        if first >= 0x80:
            width = 256 - first
            if width > 8:
                return False
            first = int.from_bytes(data[start : start + width], "big")
            start += width
        if first == 0:
            return False
        start += first
    return start == end


def logs(directory: Path) -> list[Path]:
    """The logs in a buffer's folder, the one that was written last at the end; each is one destination's.

    One of another user is left out: `telegraf config check`, called by root, makes such a log, with nothing in it.
    """
    if not directory.is_dir():
        return []
    found = (
        each
        for each in directory.iterdir()
        if each.is_dir()
        and each.name.strip(".") != _ASIDE
        and each.suffix != _NEW
        and os.access(each, os.R_OK | os.W_OK | os.X_OK)
    )
    return sorted(found, key=lambda log: max((each.path.stat().st_mtime_ns for each in segments(log)), default=0))


def segments(log: Path) -> list[Segment]:
    """The segments of a log, in order. What Telegraf had begun to cut off at the front is left out, as it would do."""
    found: list[Segment] = []
    for path in sorted(log.iterdir()):
        match = _SEGMENT.fullmatch(path.name)
        if match is None or int(match[1]) == 0:
            continue
        if match[2]:
            found.clear()
        try:
            found.append(Segment(path, int(match[1]), path.stat().st_size))
        except FileNotFoundError:
            continue  # Telegraf, running, has just written all that was in it
    return found


def size(directory: Path) -> int:
    """How many bytes the logs of a buffer have."""
    return sum(each.size for log in logs(directory) for each in segments(log))


def excess(directory: Path, most: int, least_free: int, free: int) -> int:
    """By how many bytes a buffer is too large.

    Args:
        directory: the buffer's folder.
        most: how many bytes it may have.
        least_free: how many bytes of the disk it has to leave free.
        free: how many are.
    """
    held = size(directory)
    return max(held - most, min(least_free - free, held), 0)


def is_sound(log: Path) -> bool:
    """Whether Telegraf can read the whole log."""
    found = segments(log)
    counts = []
    for each in found:
        data = each.path.read_bytes()
        count, end = whole(data)
        if end != len(data):
            return False
        counts.append(count)
    follows = (
        first.first + count == second.first for (first, second), count in zip(pairwise(found), counts, strict=False)
    )
    return all(follows)


def guard(directory: Path, most: int, least_free: int, free: Callable[[], int], *, one_output: bool) -> Outcome:
    """Make the logs sound and cut them to their bound. Telegraf must not run.

    Args:
        directory: the buffer's folder.
        most: how many bytes the buffer may have.
        least_free: how many bytes of the disk it has to leave free.
        free: returns the free bytes of the disk.
        one_output: whether Telegraf has one output alone that buffers here. Its log is the one written last; what
            another still holds was meant for the address that this output had before, and is handed to it.
    """
    _finish(directory)
    damaged = sum(_repair(log) for log in logs(directory) if not is_sound(log))
    adopted = _adopt(directory) if one_output else 0
    dropped = _cut(directory, excess(directory, most, least_free, free()))
    return Outcome(dropped, damaged, adopted)


def _finish(directory: Path) -> None:
    """End what an interrupted run had begun: a new log that is complete takes its place, or is thrown away."""
    if not directory.is_dir():
        return
    for new in directory.glob(f"*{_NEW}"):
        log = new.with_suffix("")
        if log.exists():
            shutil.rmtree(new)
        else:
            new.rename(log)


def _repair(log: Path) -> int:
    """Rewrite the readable data and quarantine the damaged log; the number of lost bytes."""
    lost = sum(each.size - whole(each.path.read_bytes())[1] for each in segments(log))
    _replace(log, _bodies([log]), aside=_ASIDE)
    return lost


def _adopt(directory: Path) -> int:
    """Move the data of older destinations' logs to the front of the newest log."""
    *older, newest = logs(directory) or [directory]
    held = [log for log in older if any(each.size for each in segments(log))]
    adopted = sum(whole(body)[0] for body in _bodies(held))
    if held:
        _replace(newest, _bodies([*held, newest]), aside=f".{_ASIDE}")
        shutil.rmtree(directory / f".{_ASIDE}")
    for log in older:
        shutil.rmtree(log)
    return adopted


def _bodies(of: list[Path]) -> Iterator[bytes]:
    for log in of:
        for each in segments(log):
            data = each.path.read_bytes()
            yield data[: whole(data)[1]]


def _replace(log: Path, bodies: Iterator[bytes], aside: str) -> None:
    """Put a log of these bytes in the place of another, which goes aside; of what went there, only the last is kept."""
    new, old = log.with_name(f"{log.name}{_NEW}"), log.with_name(aside)
    new.mkdir(mode=0o750)
    first = 1
    for body in bodies:
        if body:
            write_atomic(new / f"{first:020d}", body, 0o640)
            first += whole(body)[0]
    write_atomic(new / f"{first:020d}", b"", 0o640)
    if old.exists():
        shutil.rmtree(old)
    log.rename(old)
    new.rename(log)
    sync_folder(log.parent)


def _cut(directory: Path, too_much: int) -> int:
    """Delete quarantined data, then the oldest segments, until enough bytes are free; the number of dropped points."""
    dropped = 0
    aside = directory / _ASIDE
    if too_much > 0 and aside.exists():
        shutil.rmtree(aside)
    for log in logs(directory):
        for each in segments(log):
            if too_much <= 0:
                return dropped
            count, _ = whole(each.path.read_bytes())
            each.path.unlink()
            dropped += count
            too_much -= each.size
    return dropped
