"""InfluxDB's write API, as far as the gateway needs it: over HTTP, HTTPS or the Unix socket of the outbox."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ssl import SSLContext
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from collectors.core.api import Unavailable
from collectors.core.tls import client_context

_TIMEOUT_SECONDS = 10.0

_MAX_ANSWER_BYTES = 64 * 1024

#: The header that the outbox sets when points wait on its disk.
_WAITING = "X-SenseTIG-Waiting"

#: Responses of InfluxDB about the points themselves. The same status without InfluxDB's error document comes from a
#: proxy in between, and says nothing about the points.
_REFUSED = frozenset({400, 413, 422})


class Unreachable(Exception):
    """The points cannot be stored at present; the message is the reason."""


class Refused(NamedTuple):
    """A point that InfluxDB rejects permanently, and its reason."""

    line: str
    reason: str


class Target(NamedTuple):
    """The destination of points.

    Args:
        url: http://, https:// or unix://; only the last has a path.
        organisation, bucket: of the points.
        token: valid in an HTTP header; empty for the outbox, which has its own.
        ca, certificate, key: files for TLS, or None.
    """

    url: str
    organisation: str
    bucket: str
    token: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(self._path)


class Writer:
    """Writes points, on one connection.

    Raises:
        Unavailable: the address or a file for TLS cannot be used.
    """

    def __init__(self, target: Target) -> None:
        try:
            parts = urlsplit(target.url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        self._place = target.url
        self._host, self._port, self._socket = parts.hostname or "", port, ""
        self._context: SSLContext | None = None
        if parts.scheme == "unix" and parts.path:
            self._socket = parts.path
        elif parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise Unavailable(
                "influxdb_url must be http://HOST[:PORT], https://HOST[:PORT] or unix:///PATH, without a user"
            )
        elif parts.scheme == "https":
            self._context = _context(target)
        query = {"org": target.organisation, "bucket": target.bucket, "precision": "ns"}
        self._query = f"{'' if self._socket else parts.path.rstrip('/')}/api/v2/write?{urlencode(query)}"
        self._headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        if target.token:
            self._headers["Authorization"] = f"Token {target.token}"
        self._connection: HTTPConnection | None = None
        #: Whether the outbox has written the last points to its disk, one file per write.
        self.waits = False

    def write(self, lines: Sequence[str]) -> list[Refused]:
        """Store points; return those that InfluxDB rejects permanently.

        InfluxDB does not identify the rejected points of a request, so the request is bisected until they are isolated.
        A point that is written twice is stored once.

        Raises:
            Unreachable: the points cannot be stored at present; some may be.
        """
        reason = self._send(lines)
        if reason is None:
            return []
        if len(lines) == 1:
            return [Refused(lines[0], reason)]
        middle = len(lines) // 2
        return [*self.write(lines[:middle]), *self.write(lines[middle:])]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, lines: Sequence[str]) -> str | None:
        """None if all points are stored, or InfluxDB's reason for rejecting one of them."""
        body = gzip.compress(("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"), 6, mtime=0)
        fresh = self._connection is None
        while True:
            try:
                return self._answer(self._ask(body))
            except (OSError, HTTPException) as error:
                self.close()
                if fresh:
                    said = getattr(error, "strerror", None) or type(error).__name__
                    raise Unreachable(f"{self._place} does not answer ({said}); messages wait at the broker") from None
                fresh = True  # the server may have closed an idle connection

    def _ask(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._opened()
        self._connection.request("POST", self._query, body, self._headers)
        answer = self._connection.getresponse()
        self.waits = _WAITING in answer.headers
        content = answer.read(_MAX_ANSWER_BYTES)
        if not answer.isclosed():
            self.close()
        return answer.status, content

    def _opened(self) -> HTTPConnection:
        if self._socket:
            return _UnixConnection(self._socket)
        if self._context is not None:
            return HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._context)
        return HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)

    def _answer(self, answer: tuple[int, bytes]) -> str | None:
        status, content = answer
        if status in (200, 204):
            return None
        said = _message(content)
        if status in _REFUSED and said:
            return said
        raise Unreachable(
            f"{self._place} does not take points: status {status}{f' ({said})' if said else ''}; messages wait at the "
            "broker"
        )


def _context(target: Target) -> SSLContext:
    try:
        context = client_context(target.ca)
        if target.certificate is not None:
            context.load_cert_chain(target.certificate, target.key, password=lambda: b"")
    except (OSError, ValueError) as error:  # including ssl.SSLError
        raise Unavailable(f"a file for TLS to InfluxDB cannot be used: {error}") from None
    return context


def _message(content: bytes) -> str:
    """The message of InfluxDB's error document, on one line; empty if it is another document."""
    try:
        document = json.loads(content)
    except ValueError:
        return ""
    if not isinstance(document, dict) or not document.get("code"):
        return ""
    return " ".join(str(document.get("message") or document["code"]).split())[:300]
