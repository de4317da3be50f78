"""InfluxDB as the upstream of the outbox: one write request, and the meaning of its response for the points."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from sensetig.outbox.batch import Destination

#: Responses of InfluxDB about the points themselves: they are rejected, and a retry does not help. The same status
#: without InfluxDB's error document comes from a proxy in between, and says nothing about the points.
_REFUSED = frozenset({400, 413, 422})

_DROPPED = re.compile(r"\bdropped=(\d{1,9})\b")

_MAX_ANSWER_BYTES = 64 * 1024

#: Seconds between checks of InfluxDB's disk.
NO_ROOM_SECONDS = 30.0

#: Maximum wait that a server can request, in seconds.
MAX_RETRY_AFTER_SECONDS = 300.0


class Unreachable(Exception):
    """The points could not be delivered temporarily.

    Args:
        sentence: the reason.
        retry_after: seconds that the server asks to wait; 0 if it does not.
    """

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Refused(NamedTuple):
    """InfluxDB rejected at least one of the points; it may have stored the others.

    Args:
        reason: InfluxDB's message.
        dropped: number of points that it reports as dropped; None if it does not.
    """

    reason: str
    dropped: int | None


class Answer(NamedTuple):
    """A response of InfluxDB."""

    status: int
    headers: dict[str, str]
    body: bytes


class Room:
    """The free space on the file system of InfluxDB's data.

    InfluxDB recovers from a full disk only by a restart, which then loses points. So nothing is written to it while too
    little space is free.

    Args:
        folder: of InfluxDB's data.
        reserve_bytes: space to leave free.
        free_bytes: returns the free bytes of a folder's file system.
    """

    def __init__(self, folder: str, reserve_bytes: int, free_bytes: Callable[[str], int]) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes

    def check(self) -> None:
        """Raise Unreachable if too little space is free."""
        free = self._free_bytes(self._folder)
        if free < self._reserve_bytes:
            raise Unreachable(
                f"the disk of InfluxDB has {free // 1_000_000} MB left and {self._reserve_bytes // 1_000_000} MB stay "
                f"free: nothing is written to {self._folder} until there is room",
                NO_ROOM_SECONDS,
            )


class Upstream:
    """The write endpoint of one InfluxDB.

    Args:
        pool: the connection pool, with certificates and timeouts.
        url: InfluxDB's address, without a path.
        token: its token; empty if each request carries one.
        room: the disk of an InfluxDB on this machine, or None.
    """

    def __init__(self, pool: urllib3.PoolManager, url: str, token: str, room: Room | None = None) -> None:
        self._pool = pool
        self._url = url.rstrip("/") + "/api/v2/write"
        self._place = url
        self._room = room
        self._headers = {
            "Authorization": f"Token {token}",
            "Content-Encoding": "gzip",
            "Content-Type": "text/plain; charset=utf-8",
        }

    def send(self, destination: Destination, lines: Sequence[bytes]) -> Refused | None:
        """Write points; None if all were stored.

        Raises:
            Unreachable: temporarily, they cannot be stored.
        """
        answer = self.relay(destination, gzip.compress(b"\n".join(lines), 6, mtime=0), self._headers)
        code, said = _error(answer.body)
        if answer.status in (200, 204):
            return None
        if (answer.status in _REFUSED and code) or (answer.status == 413 and len(lines) > 1):
            dropped = _DROPPED.search(said)
            return Refused(said, int(dropped[1]) if dropped else None)
        raise Unreachable(
            f"InfluxDB at {self._place} does not take points for the bucket {destination.bucket!r}: "
            f"status {answer.status}{f' ({said})' if said else ''}{_cure(answer.status, destination)}",
            _seconds(answer.headers.get("Retry-After")),
        )

    def relay(self, destination: Destination, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Forward a body unchanged; return InfluxDB's response.

        Args:
            destination: organisation and bucket for the points.
            body: line protocol, compressed or not.
            headers: including a token.

        Raises:
            Unreachable: there is no response, or InfluxDB's disk has no space.
        """
        if self._room is not None:
            self._room.check()
        query = urlencode(
            {"org": destination.organisation, "bucket": destination.bucket, "precision": destination.precision}
        )
        try:
            answer = self._pool.request(
                "POST", f"{self._url}?{query}", body=body, headers=headers, preload_content=False
            )
            try:
                said = answer.read(_MAX_ANSWER_BYTES)
            finally:
                answer.release_conn()
        except HTTPError as error:
            raise Unreachable(f"InfluxDB at {self._place} does not answer ({type(error).__name__})") from None
        return Answer(answer.status, {name: answer.headers[name] for name in _KEPT if name in answer.headers}, said)


#: The headers of a response that a writer evaluates.
_KEPT = ("Content-Type", "Retry-After")

_CURES = {
    401: "; check the token",
    403: "; check the token's permissions and this machine's certificate",
    404: "; check organisation, bucket and address",
}


def _cure(status: int, destination: Destination) -> str:
    cure = _CURES.get(status, "")
    return f"{cure} (organisation {destination.organisation!r})" if status == 404 else cure


def _error(content: bytes) -> tuple[str, str]:
    """Code and message of InfluxDB's error document, on one line; empty if it is another document."""
    try:
        document = json.loads(content)
    except ValueError:
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    code, message = (" ".join(str(document.get(key) or "").split())[:500] for key in ("code", "message"))
    return code, message


def _seconds(text: str | None) -> float:
    """The seconds in a Retry-After header; 0 without one (InfluxDB sends seconds, never a date)."""
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if text and text.isascii() and text.isdigit() else 0.0
