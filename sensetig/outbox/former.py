"""Telegraf's disk buffer, which the outbox replaces: reads its points, and passes them to the outbox.

A log is a folder of segments, each named by the number of its first entry. An entry is its length, as a variable-length
integer, and a gob with one point (Telegraf's ``metric.ToBytes``).
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from collectors.core.line_protocol import Metric, Series, encode
from sensetig.errors import OutboxError
from sensetig.outbox.batch import Destination
from sensetig.outbox.gob import BadGob, decode

#: Folder next to the logs for segments with unreadable parts.
DAMAGED = "damaged"

#: Points in one request.
MAX_POINTS = 5000

#: Seconds allowed for a request to the outbox.
TIMEOUT_SECONDS = 30.0

_SEGMENT = re.compile(r"([0-9]{20})(\.START)?")

#: The type name that each entry defines first, and its offset from the beginning of the entry, in bytes.
_NAME = b"serializedMetric"
_NAME_OFFSETS = range(4, 20)

_INT64_MAX = 2**63 - 1

#: Seconds from the year 1, the zero of Go's times, to 1970.
_GO_EPOCH = 62_135_596_800


class Content(NamedTuple):
    """The contents of a segment.

    Args:
        lines: readable points as line protocol.
        damaged: bytes that cannot be read.
    """

    lines: list[bytes]
    damaged: int


class Outcome(NamedTuple):
    """The result of :func:`deliver`.

    Args:
        delivered: points that the outbox has accepted.
        damaged: bytes that could not be read.
    """

    delivered: int = 0
    damaged: int = 0


def read(data: bytes) -> Content:
    """The readable points of a segment, including those after damage."""
    lines: list[bytes] = []
    at = damaged = 0
    while at < len(data):
        found = _entry(data, at)
        if found is None:
            begin, at = at, _next(data, at + 1)
            damaged += at - begin
        else:
            line, at = found
            lines.append(line)
    return Content(lines, damaged)


def _entry(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The point of the entry at a position, and the end of the entry; None if it is damaged."""
    size, begin = _variable(data, at)
    end = begin + size
    if size == 0 or end > len(data):
        return None
    try:
        line = _line(decode(data[begin:end])["M"])
    except (BadGob, KeyError, TypeError, ValueError, AttributeError):
        return None
    return (line, end) if line else None


def _next(data: bytes, at: int) -> int:
    """The position of the next readable entry; the end of the data if there is none."""
    name = data.find(_NAME, at)
    while name >= 0:
        for offset in reversed(_NAME_OFFSETS):
            if name - offset >= at and _entry(data, name - offset) is not None:
                return name - offset
        name = data.find(_NAME, name + 1)
    return len(data)


def _variable(data: bytes, start: int) -> tuple[int, int]:
    """A variable-length integer, and the position of its end; 0 if there is none."""
    number = shift = 0
    for place in range(start, min(start + 10, len(data))):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place + 1
        shift += 7
    return 0, len(data)


def _line(point: dict[str, Any]) -> bytes:
    """A point as line protocol. Raises ValueError if it is invalid."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in point.get("MetricTags", ())}
    # Telegraf writes unsigned integers as signed ones, and clips those that are too large.
    fields = {
        field["Key"]: min(value, _INT64_MAX) if type(value := field["Value"]) is int else value
        for field in point["MetricFields"]
    }
    time = point["MetricTime"]
    if len(time) not in (15, 16) or time[0] not in (1, 2):
        raise ValueError("the point has no time")
    seconds, nanoseconds = int.from_bytes(time[1:9], "big", signed=True), int.from_bytes(time[9:13], "big")
    time_ns = (seconds - _GO_EPOCH) * 1_000_000_000 + nanoseconds
    return encode(Metric(Series(point["MetricName"], tags), fields, time_ns), _refuse).encode()


def _refuse(sentence: str) -> None:
    raise ValueError(sentence)


def segments(log: Path) -> list[Path]:
    """The segments of a log in order, except those that Telegraf has begun to remove."""
    found: list[Path] = []
    for path in sorted(log.iterdir()):
        match = _SEGMENT.fullmatch(path.name)
        if match is None or int(match[1]) == 0:
            continue
        if match[2]:
            found.clear()
        found.append(path)
    return found


def logs(directory: Path) -> list[Path]:
    """The logs in a buffer's folder, one per output of Telegraf.

    A log of another user is left out: `telegraf config check`, run by root, creates such a log without points.
    """
    if not directory.is_dir():
        return []
    return sorted(
        each
        for each in directory.iterdir()
        if each.is_dir() and each.name.strip(".") != DAMAGED and os.access(each, os.R_OK | os.W_OK | os.X_OK)
    )


def deliver(directory: Path, send: Callable[[list[bytes]], None], log: Callable[[str], None]) -> Outcome:
    """Deliver and remove all waiting points. Telegraf must not use the folder.

    A segment is removed once the outbox has all its points. One with unreadable parts is moved to a separate folder.
    After an interruption, points of one segment are sent again; InfluxDB stores them as the same points.

    Args:
        directory: the buffer's folder.
        send: makes points durable.
        log: receives one sentence.

    Raises:
        OSError: a file cannot be read or removed.
    """
    outcome = Outcome()
    for folder in logs(directory):
        for path in segments(folder):
            content = read(path.read_bytes())
            for start in range(0, len(content.lines), MAX_POINTS):
                send(content.lines[start : start + MAX_POINTS])
            outcome = Outcome(outcome.delivered + len(content.lines), outcome.damaged + content.damaged)
            if content.damaged:
                kept = directory / DAMAGED / f"{folder.name[:16]}-{path.name}"
                kept.parent.mkdir(mode=0o750, exist_ok=True)
                path.rename(kept)
                log(f"{content.damaged} bytes of {path} cannot be read; the file is kept as {kept}")
            else:
                path.unlink()
        shutil.rmtree(folder)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
    return outcome


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("outbox", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Socket:
    """The outbox, accessed through its socket.

    Args:
        path: of the socket.
        destination: organisation and bucket for the points.
    """

    def __init__(self, path: str, destination: Destination) -> None:
        self._path = path
        self._query = urlencode({"org": destination.organisation, "bucket": destination.bucket, "precision": "ns"})

    def send(self, lines: list[bytes]) -> None:
        """Send points. Raises OutboxError if the outbox does not accept them."""
        connection = _Connection(self._path)
        try:
            connection.request("POST", f"/api/v2/write?{self._query}", body=b"\n".join(lines))
            answer = connection.getresponse()
            said = answer.read(2000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise OutboxError(
                f"the outbox does not answer at {self._path} ({reason}): start sensetig-outbox, and run this again"
            ) from None
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.NO_CONTENT:
            raise OutboxError(
                f"the outbox at {self._path} takes no points (status {answer.status}: {' '.join(said.split())[:300]}); "
                "run this again later"
            )
