"""The client of InfluxDB 2: addresses, certificates and tokens, with one sentence for each failure mode.

Requests go through urllib3; typed calls (:attr:`Client.api`) through influxdb-client, which is imported only on first
use. The argument *purpose* describes a request and completes "InfluxDB refused to …".
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3 import exceptions

from sensetig.errors import (
    BucketMissing,
    CertificateNotTrusted,
    InfluxDBError,
    NotAnswering,
    NotInfluxDB,
    RequestRefused,
    TokenRefused,
)
from sensetig.site import checked_url, read_token, tls_context

#: Seconds allowed for a request; long periods are queried in parts, each far below this.
TIMEOUT_SECONDS = 60.0

#: Seconds allowed for a connection.
CONNECT_SECONDS = 10.0

#: Maximum number of bytes read from the body of an error.
_MAX_ERROR_BYTES = 65536

Value = float | int | bool | str | None

T = TypeVar("T")


class Series(NamedTuple):
    """One series of an InfluxQL response; the first column is the time in milliseconds since 1970."""

    tags: dict[str, str]
    columns: list[str]
    rows: list[list[Value]]


class Client:
    """One InfluxDB with one token; usable as a context manager.

    Args:
        url: its address.
        token: empty if none is needed.
        origin: the source of the token, for messages.
        organisation: the organisation that owns the buckets.
        ca_file: certificates to trust in addition to the system's.
        identity: files with this machine's certificate and key, for a server that requires them.
        timeout_seconds: time limit of one request.
        wait_seconds: how long to wait for the server to start; 0 gives one attempt.
        waiting: called when a wait begins.
        option: the command's option that names the address, for messages.

    Raises:
        SiteError: the address is invalid or contains a password, or the certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        origin: str = "the token",
        organisation: str = "",
        ca_file: Path | None = None,
        identity: tuple[Path, Path] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        wait_seconds: float = 0.0,
        waiting: Callable[[], None] = lambda: None,
        option: str = "--url",
    ) -> None:
        self.url = checked_url(url, "an InfluxDB", "http://127.0.0.1:8086")
        self.origin = origin
        self._option = option
        self.organisation = organisation
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._wait_seconds = wait_seconds
        self._retries = _Until(wait_seconds, waiting) if wait_seconds else False
        self._context = tls_context(ca_file, identity) if self.url.startswith("https:") else None
        self._pool = urllib3.PoolManager(
            retries=self._retries,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout_seconds), read=timeout_seconds),
            ssl_context=self._context,
        )
        self._api: Any = None

    @classmethod
    def with_token_file(
        cls,
        url: str,
        path: Path,
        *,
        organisation: str = "",
        ca_file: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Client:
        """A client with a token from a file. Raises SiteError."""
        return cls(
            url,
            read_token(path),
            origin=f"the token in {path}",
            organisation=organisation,
            ca_file=ca_file,
            timeout_seconds=timeout_seconds,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()
        if self._api is not None:
            self._api.close()

    def use(self, token: str, origin: str) -> None:
        """Use this token from now on."""
        self._token, self.origin = token, origin
        if self._api is not None:
            self._api.close()
            self._api = None

    @property
    def api(self) -> Any:
        """The client of influxdb-client. It declares itself typed, but most of its functions are not."""
        if self._api is None:
            self._api = self.typed()
        return self._api

    def typed(self, token: str | None = None, *, retries: Any = None) -> Any:
        """A new client of influxdb-client for this address; the caller closes it.

        Args:
            token: replaces this client's.
            retries: a policy of urllib3 or of influxdb-client; replaces this client's.
        """
        from influxdb_client.client.influxdb_client import InfluxDBClient

        made: Any = InfluxDBClient
        return made(
            self.url,
            token=(self._token if token is None else token) or None,
            org=self.organisation or None,
            timeout=int(self._timeout_seconds * 1000),
            retries=self._retries if retries is None else retries,
            ssl_context=self._context,
        )

    # --- requests -----------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        purpose: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        stream: bool = False,
        accept: Sequence[int] = (),
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; return a response with a status below 300 or in *accept*.

        Args:
            method: the HTTP method.
            path: relative to the address.
            purpose: completes "InfluxDB refused to …".
            headers: in addition to the token's.
            body: text, bytes or an open file.
            stream: do not read the body; the caller gets it as sent.
            accept: further successful statuses.

        Raises:
            InfluxDBError: or one of its subclasses.
        """
        sent = {**({"Authorization": f"Token {self._token}"} if self._token else {}), **(headers or {})}
        try:
            answer = self._pool.request(
                method,
                f"{self.url}{path}",
                headers=sent,
                body=body,
                redirect=False,
                preload_content=not stream,
                decode_content=not stream,
            )
        except (exceptions.HTTPError, OSError) as error:
            raise self.failure(error, purpose) from None
        if answer.status >= 300 and answer.status not in accept:
            text = (answer.read(_MAX_ERROR_BYTES) if stream else answer.data).decode(errors="replace")
            raise self.refusal(answer.status, text, purpose)
        return answer

    def call(self, purpose: str, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a function of influxdb-client. Raises InfluxDBError or a subclass."""
        from influxdb_client.client.exceptions import InfluxDBError as LibraryError

        try:
            return function(*arguments, **named)
        except (LibraryError, exceptions.HTTPError, OSError) as error:
            raise self.failure(error, purpose) from None

    def query_all(self, queries: Sequence[str], database: str = "raw") -> list[list[Series]]:
        """The series of each statement, sent in one request. Raises InfluxDBError."""
        if not queries:
            return []
        purpose = f"query the bucket {database!r}"
        body = urlencode({"db": database, "q": ";".join(queries), "epoch": "ms"})
        answer = self.request(
            "POST", "/query", purpose, body=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        try:
            document = json.loads(answer.data)
            results = document.get("results", [])
        except (ValueError, AttributeError):
            raise self.not_influxdb(answer.status) from None
        if len(results) != len(queries):
            said = document.get("error") or document.get("message") or "the answer is incomplete"
            raise RequestRefused(f"InfluxDB at {self.url} refused to {purpose}: {said}", answer.status)
        return [self._series(result, database) for result in results]

    def query(self, statement: str, database: str = "raw") -> list[Series]:
        """The series of one InfluxQL statement. Raises InfluxDBError."""
        (series,) = self.query_all([statement], database)
        return series

    def _series(self, result: Mapping[str, Any], database: str) -> list[Series]:
        if "error" in result:
            said = str(result["error"])
            if any(sign in said for sign in ("not found", "not authorized", "forbidden", "retention policy not set")):
                raise self._bucket_missing(database, said)
            raise RequestRefused(f"InfluxDB at {self.url} refused to query the bucket {database!r}: {said}")
        return [Series(each.get("tags", {}), each["columns"], each["values"]) for each in result.get("series", [])]

    def write(self, bucket: str, lines: Sequence[str], precision: str = "ns") -> None:
        """Write line protocol. Raises InfluxDBError."""
        query = urlencode({"org": self.organisation, "bucket": bucket, "precision": precision})
        purpose = f"write to the bucket {bucket!r}"
        self.request("POST", f"/api/v2/write?{query}", purpose, body="\n".join(lines))

    # --- failures -----------------------------------------------------------------------------------

    def failure(self, error: Exception, purpose: str) -> InfluxDBError:
        """Convert an exception of urllib3, the operating system or influxdb-client."""
        status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status", None)
        if isinstance(status, int):
            body = getattr(error, "body", None) or getattr(error, "message", "")
            text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
            return self.refusal(status, text, purpose)
        cause: BaseException = error
        if isinstance(cause, exceptions.MaxRetryError) and cause.reason is not None:
            cause = cause.reason
        tls = _find(cause, ssl.SSLError)
        if isinstance(tls, ssl.SSLCertVerificationError):
            return CertificateNotTrusted(
                f"the certificate of InfluxDB at {self.url} is not trusted ({tls.verify_message}); name the "
                "certificate of the authority that signed it with --ca-file, or use the name that it is for"
            )
        if tls is not None and "WRONG_VERSION_NUMBER" in str(tls):
            return NotAnswering(
                f"what answers at {self.url} does not speak TLS; name its http:// address with {self._option}"
            )
        waited = f" within {self._wait_seconds:g} s" if self._wait_seconds else ""
        return NotAnswering(
            f"InfluxDB at {self.url} does not answer{waited} ({_reason(cause)}); start it, or name its address with "
            f"{self._option}"
        )

    def refusal(self, status: int, body: str, purpose: str) -> InfluxDBError:
        """The error for a response with an error status."""
        said, is_json = _message(body)
        if status == 400 and "HTTP request to an HTTPS server" in body:
            return NotAnswering(
                f"InfluxDB at {self.url} speaks TLS; name its https:// address with {self._option}", status
            )
        if status in (401, 403):
            return TokenRefused(
                f"InfluxDB at {self.url} refuses {self.origin}: it may not {purpose} (status {status}); use a token of "
                "this InfluxDB that may",
                status,
            )
        if status == 404 and is_json and said.startswith("bucket"):
            return self._bucket_missing(said.partition('"')[2].partition('"')[0], said)
        if not is_json and status in (301, 302, 303, 307, 308, 404, 405, 501):
            return self.not_influxdb(status)
        return RequestRefused(f"InfluxDB at {self.url} refused to {purpose}: {said} (status {status})", status)

    def not_influxdb(self, status: int | None = None) -> NotInfluxDB:
        """The error for a response that cannot come from InfluxDB 2."""
        suffix = f" (status {status})" if status else ""
        return NotInfluxDB(
            f"what answers at {self.url} is not InfluxDB 2{suffix}; name the right address with {self._option}", status
        )

    def _bucket_missing(self, bucket: str, said: str) -> BucketMissing:
        return BucketMissing(
            f"the bucket {bucket!r} is not there, or {self.origin} may not use it: InfluxDB at {self.url} says "
            f"{said!r}; `sensetig setup` makes the bundle's buckets, and grafana.token may read them"
        )


class _Until(urllib3.Retry):
    """Retries a request until a deadline, to give a starting server time."""

    deadline = 0.0
    waiting: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, seconds: float = 0.0, waiting: Callable[[], None] | None = None, **named: Any) -> None:
        named = {
            "total": 1_000_000,
            "backoff_factor": 0.1,
            "backoff_max": 1.0,
            "status_forcelist": (502, 503, 504),
            "respect_retry_after_header": False,
            **named,
        }
        super().__init__(**named)
        self.deadline = time.monotonic() + seconds
        if waiting is not None:
            self.waiting = waiting

    def new(self, **kw: Any) -> _Until:
        other = super().new(**kw)
        other.deadline, other.waiting = self.deadline, self.waiting
        return other

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> _Until:
        # Another attempt would meet the same certificate.
        if time.monotonic() >= self.deadline or isinstance(error, exceptions.SSLError):
            raise exceptions.MaxRetryError(_pool, url or "", error)
        self.waiting()
        return super().increment(method, url, response, error, _pool, _stacktrace)


def _find(error: BaseException | None, kind: type[T]) -> T | None:
    """The first error of a type in the chain of an error: wrapped errors and causes."""
    while error is not None:
        if isinstance(error, kind):
            return error
        wrapped = [each for each in error.args if isinstance(each, BaseException)]
        error = wrapped[0] if wrapped else error.__cause__ or error.__context__
    return None


def _reason(error: BaseException) -> str:
    """The reason for a missing response, in a few words without an address."""
    if isinstance(error, exceptions.NameResolutionError):
        return "its name cannot be resolved"
    if isinstance(error, exceptions.TimeoutError) and not isinstance(error, exceptions.NewConnectionError):
        return "no answer in time"
    system = _find(error, OSError)
    if isinstance(system, OSError) and system.strerror:
        return system.strerror.lower()
    return "the connection was closed" if isinstance(error, exceptions.ProtocolError) else type(error).__name__


def _message(body: str) -> tuple[str, bool]:
    """InfluxDB's reason, on one line, and whether the body is its JSON."""
    try:
        document = json.loads(body)
        said = document.get("message") or document.get("error")
    except (ValueError, AttributeError):
        return "it gives no reason", False
    return (" ".join(str(said).split()) if said else "it gives no reason"), True
