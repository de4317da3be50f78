"""Detection by an HTTP endpoint: sends the image by POST, and maps the response by paths.

The timeout of an attempt covers the whole response. The delay between attempts is random up to a limit that doubles, so
that many devices do not retry at the same moment. Consecutive failures open a circuit breaker.
"""

from __future__ import annotations

import json
import re
import threading
import time
from binascii import b2a_base64
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import NamedTuple
from urllib.parse import urlsplit

import urllib3
from circuitbreaker import CircuitBreaker
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from collectors.core.api import Unavailable
from collectors.core.files import read_secret
from collectors.core.jpeg import jpeg_size
from collectors.core.settings import Values
from collectors.vision import settings
from collectors.vision.engines import Detection, EngineError, Stopped, Wait, require_setting
from collectors.vision.engines.mapping import AnswerMapping, MappingError

#: Maximum size of a response, in bytes.
MAX_ANSWER_BYTES = 1024 * 1024

#: Status of an endpoint, or of its proxy, that is overloaded or starting.
_RETRYABLE = frozenset((408, 425, 429, *range(500, 600)))

#: Status of an answer without content: nothing was found.
_NO_CONTENT = frozenset((204, 205))

_CHUNK = 64 * 1024

#: Interval of checks for shutdown during an attempt.
_POLL_SECONDS = 0.25

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class _RetryableError(EngineError):
    """A failure that may be over within seconds; ``retry_after`` is the delay that the endpoint requests."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RetryPolicy(NamedTuple):
    """Timeout, retries and circuit breaker of an endpoint; see the settings of these names."""

    timeout_seconds: float
    attempts: int
    backoff_seconds: float
    backoff_max_seconds: float
    breaker_failures: int
    breaker_seconds: float


class HttpEngine:
    """An endpoint.

    Args:
        model: its name.
        url: where images are sent; not included in messages, since it may contain a key.
        headers: sent with each request; not included in messages.
        body: encodes an image; returns the body and its content type.
        mapping: reads the response.
        policy: timeout and retries.
        on_error: receives the message of an omitted part of a response.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        model: str,
        url: str,
        headers: dict[str, str],
        body: Callable[[bytes], tuple[bytes, str]],
        mapping: AnswerMapping,
        policy: RetryPolicy,
        on_error: Callable[[str], None],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self._url = url
        self._headers = headers
        self._body = body
        self._mapping = mapping
        self._policy = policy
        self._on_error = on_error
        self._timer = timer
        self._place = urlsplit(url).netloc.rpartition("@")[2]
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1)
        self._breaker = CircuitBreaker(
            failure_threshold=policy.breaker_failures,
            recovery_timeout=policy.breaker_seconds,  # type: ignore[arg-type, unused-ignore]
            expected_exception=EngineError,
        )
        self._backoff = wait_random_exponential(multiplier=policy.backoff_seconds, max=policy.backoff_max_seconds)

    @property
    def available(self) -> bool | None:
        return not self._breaker.opened

    def detect(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """The objects that the endpoint detects."""
        if self._breaker.opened:
            raise EngineError(f"{self._place}: circuit breaker open after repeated failures")

        def sleep(seconds: float) -> None:
            if wait(seconds):
                raise Stopped

        attempts = Retrying(
            stop=stop_after_attempt(self._policy.attempts),
            wait=self._delay_seconds,
            retry=retry_if_exception_type(_RetryableError),
            sleep=sleep,
            reraise=True,
        )
        found: list[Detection] = self._breaker.call(attempts, self._attempt, jpeg, wait)
        return found

    def _delay_seconds(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        requested = failure.retry_after if isinstance(failure, _RetryableError) else 0.0
        return max(self._backoff(state), min(requested, self._policy.backoff_max_seconds))

    def _attempt(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        status, text, retry_after = self._post_in_thread(*self._body(jpeg), wait)
        if status in _RETRYABLE:
            raise _RetryableError(f"{self._place} answers with status {status}", retry_after)
        if status in _NO_CONTENT:
            return []
        if not 200 <= status < 300:
            raise EngineError(f"{self._place} answers with status {status}")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise EngineError(f"{self._place} answers with something that is not JSON") from None
        try:
            return self._mapping.read(
                answer,
                *jpeg_size(jpeg),
                lambda message: self._on_error(f"the answer of {self._place} is not as expected: {message}"),
            )
        except MappingError as error:
            raise EngineError(f"the answer of {self._place} is not as expected: {error}") from None

    def _post_in_thread(self, body: bytes, content_type: str, wait: Wait) -> tuple[int, bytes, float]:
        """The result of :meth:`_post`. Raises Stopped on shutdown.

        Each attempt runs in a thread, since neither a name lookup nor a pending response can be interrupted. An
        abandoned thread ends with its timeout, or with the process.
        """
        answer: Future[tuple[int, bytes, float]] = Future()

        def post() -> None:
            try:
                answer.set_result(self._post(body, content_type))
            except Exception as error:  # noqa: BLE001 - raised again by answer.result()
                answer.set_exception(error)

        threading.Thread(target=post, name="vision-http", daemon=True).start()
        while not wait_for((answer,), _POLL_SECONDS).done:
            if wait(0):
                raise Stopped
        return answer.result()

    def _post(self, body: bytes, content_type: str) -> tuple[int, bytes, float]:
        """Status, body and requested delay."""
        limit = self._policy.timeout_seconds
        end = self._timer() + limit
        response = None
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={"Content-Type": content_type, "Accept": "application/json", **self._headers},
                timeout=urllib3.Timeout(total=limit),
                retries=False,  # tenacity retries
                redirect=False,  # do not send headers with a key to another endpoint
                preload_content=False,
            )
            try:
                text = b""
                # These have no body; some servers keep the connection open and state no length.
                while response.status not in _NO_CONTENT and (chunk := response.read1(_CHUNK)):
                    text += chunk
                    if len(text) > MAX_ANSWER_BYTES:
                        raise EngineError(f"{self._place} answers with more than {MAX_ANSWER_BYTES} bytes")
                    if self._timer() >= end:
                        raise _RetryableError(f"{self._place} has not answered within {limit:g} s")
                response.release_conn()
            finally:
                if not response.closed:
                    response.close()
        except urllib3.exceptions.NewConnectionError as error:  # a TimeoutError to urllib3
            raise _RetryableError(f"{self._place} cannot be reached: {_reason(error)}") from None
        except urllib3.exceptions.TimeoutError:
            raise _RetryableError(f"{self._place} has not answered within {limit:g} s") from None
        except urllib3.exceptions.DecodeError:
            raise EngineError(f"{self._place} answers with something that cannot be decompressed") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            found = "cannot be reached" if response is None else "has not completed its answer"
            raise _RetryableError(f"{self._place} {found}: {_reason(error)}") from None
        return response.status, text, _seconds(response.headers.get("Retry-After"))


def open_http(values: Values, on_error: Callable[[str], None]) -> HttpEngine:
    """The configured endpoint. Raises Unavailable for invalid settings; sends no request yet."""
    url = require_setting(values, settings.HTTP_URL)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None:
        raise Unavailable(
            "the setting http_url must be http://HOST/PATH or https://HOST/PATH; put a user or a key into the file "
            "that http_headers_file names"
        )
    file = values[settings.HTTP_HEADERS_FILE]
    return HttpEngine(
        values[settings.MODEL] or parts.hostname or "http",
        url,
        read_headers(read_secret(file, settings.HTTP_HEADERS_FILE.name), file) if file else {},
        make_body(values[settings.HTTP_BODY], values[settings.HTTP_FIELD], values[settings.HTTP_JSON]),
        AnswerMapping(values),
        RetryPolicy(
            values[settings.HTTP_TIMEOUT_SECONDS],
            values[settings.HTTP_ATTEMPTS],
            values[settings.HTTP_BACKOFF_SECONDS],
            values[settings.HTTP_BACKOFF_MAX_SECONDS],
            values[settings.BREAKER_FAILURES],
            values[settings.BREAKER_SECONDS],
        ),
        on_error,
    )


def read_headers(text: str, file: str) -> dict[str, str]:
    """Parse headers. Raises Unavailable with the number of an invalid line, without its content."""
    headers = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("##"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name.strip()) or not value.strip().isprintable():
            raise Unavailable(f"{file}, line {number}, is not a header; it must be Name: value")
        headers[name.strip()] = value.strip()
    return headers


def make_body(kind: str, field: str, template: str) -> Callable[[bytes], tuple[bytes, str]]:
    """A function that encodes an image as body and content type. Raises Unavailable for an invalid JSON template."""
    if kind == "image":
        return lambda jpeg: (jpeg, "image/jpeg")
    if kind == "form":
        return lambda jpeg: urllib3.encode_multipart_formdata({field: ("snapshot.jpg", jpeg, "image/jpeg")})
    try:
        json.loads(template)
    except ValueError:
        raise Unavailable("the setting http_json is not JSON") from None
    if "{image}" not in template:
        raise Unavailable("the setting http_json has no {image} for the image")

    def body(jpeg: bytes) -> tuple[bytes, str]:
        image = b2a_base64(jpeg, newline=False).decode("ascii")
        return template.replace("{image}", image).encode(), "application/json"

    return body


def _seconds(text: str | None) -> float:
    """A Retry-After in seconds; a date is ignored, since the clock may be wrong."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _reason(error: Exception) -> str:
    """The reason without the address: urllib3's messages may contain the whole URL."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
