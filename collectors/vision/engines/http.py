"""Any endpoint that classifies a picture: sent by POST, its answer read by paths.

An attempt has a time limit, for the answer as a whole. Attempts are few, with pauses drawn at random up to a bound that
doubles, so that many devices do not come back at the same moment. When pictures fail one after the other, the endpoint
is left alone for a while.
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
from collectors.core.settings import Values
from collectors.vision import settings
from collectors.vision.engines import Detection, Failed, Stopping, Wait, required
from collectors.vision.engines.mapping import Mapping, Unmapped
from collectors.vision.jpeg import size

#: Bytes of an answer at most.
MAX_ANSWER_BYTES = 1024 * 1024

#: What an endpoint answers that is overloaded, starting, or has a proxy before it that is.
_PASSING = frozenset((408, 425, 429, *range(500, 600)))

_CHUNK = 64 * 1024

#: How late it is seen during an attempt that it is time to stop.
_STOP_SECONDS = 0.25

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class _Passing(Failed):
    """A failure that may be over within seconds; ``after`` is how long the endpoint asks to be left alone."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after


class Patience(NamedTuple):
    """How long and how often an endpoint is asked. Units are in the names; the settings say what each means."""

    timeout_seconds: float
    attempts: int
    backoff_seconds: float
    backoff_max_seconds: float
    breaker_failures: int
    breaker_seconds: float


class Http:
    """An endpoint.

    Args:
        model: what it is called.
        url: where pictures are sent; never told in messages, since it may have a key in it.
        headers: sent along, never told in messages.
        body: makes the body of a picture, and its content type.
        mapping: reads the answer.
        patience: how long and how often it is asked.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        model: str,
        url: str,
        headers: dict[str, str],
        body: Callable[[bytes], tuple[bytes, str]],
        mapping: Mapping,
        patience: Patience,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self._url = url
        self._headers = headers
        self._body = body
        self._mapping = mapping
        self._patience = patience
        self._timer = timer
        self._place = urlsplit(url).netloc.rpartition("@")[2]
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1)
        self._breaker = CircuitBreaker(
            failure_threshold=patience.breaker_failures,
            recovery_timeout=patience.breaker_seconds,  # type: ignore[arg-type, unused-ignore]
            expected_exception=Failed,
        )
        self._backoff = wait_random_exponential(multiplier=patience.backoff_seconds, max=patience.backoff_max_seconds)

    @property
    def available(self) -> bool | None:
        return not self._breaker.opened

    def look(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """What the endpoint answers."""
        if self._breaker.opened:
            raise Failed(f"{self._place} is left alone for a while, since it failed again and again")

        def pause(seconds: float) -> None:
            if wait(seconds):
                raise Stopping

        attempts = Retrying(
            stop=stop_after_attempt(self._patience.attempts),
            wait=self._pause_seconds,
            retry=retry_if_exception_type(_Passing),
            sleep=pause,
            reraise=True,
        )
        found: list[Detection] = self._breaker.call(attempts, self._attempt, jpeg, wait)
        return found

    def _pause_seconds(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.after if isinstance(failure, _Passing) else 0.0
        return max(self._backoff(state), min(asked, self._patience.backoff_max_seconds))

    def _attempt(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        status, text, after = self._post_aside(*self._body(jpeg), wait)
        if status in _PASSING:
            raise _Passing(f"{self._place} answers with status {status}", after)
        if status != 200:
            raise Failed(f"{self._place} answers with status {status}")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise Failed(f"{self._place} answers with something that is not JSON") from None
        try:
            return self._mapping.read(answer, *size(jpeg))
        except Unmapped as error:
            raise Failed(f"the answer of {self._place} is not as expected: {error}") from None

    def _post_aside(self, body: bytes, content_type: str, wait: Wait) -> tuple[int, bytes, float]:
        """What :meth:`_post` gives. Raises Stopping as soon as it is time to stop.

        The attempt has a thread of its own, since neither a name that is being looked up nor an answer that does not
        come can be interrupted. A thread that is left behind ends with its time limit, or with the process.
        """
        answer: Future[tuple[int, bytes, float]] = Future()

        def post() -> None:
            try:
                answer.set_result(self._post(body, content_type))
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the answer
                answer.set_exception(error)

        threading.Thread(target=post, name="vision-http", daemon=True).start()
        while not wait_for((answer,), _STOP_SECONDS).done:
            if wait(0):
                raise Stopping
        return answer.result()

    def _post(self, body: bytes, content_type: str) -> tuple[int, bytes, float]:
        """Status, body and the pause that is asked for."""
        limit = self._patience.timeout_seconds
        end = self._timer() + limit
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={"Content-Type": content_type, "Accept": "application/json", **self._headers},
                timeout=urllib3.Timeout(total=limit),
                retries=False,  # tenacity's part
                redirect=False,  # headers with a key are for this endpoint alone
                preload_content=False,
            )
            try:
                text = b""
                while chunk := response.read1(_CHUNK):
                    text += chunk
                    if len(text) > MAX_ANSWER_BYTES:
                        raise Failed(f"{self._place} answers with more than {MAX_ANSWER_BYTES} bytes")
                    if self._timer() >= end:
                        raise _Passing(f"{self._place} has not answered within {limit:g} s")
                response.release_conn()
            finally:
                if not response.closed:
                    response.close()
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3 it is a kind of time limit
            raise _Passing(f"{self._place} cannot be asked: {_reason(error)}") from None
        except urllib3.exceptions.TimeoutError:
            raise _Passing(f"{self._place} has not answered within {limit:g} s") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Passing(f"{self._place} cannot be asked: {_reason(error)}") from None
        return response.status, text, _seconds(response.headers.get("Retry-After"))


def open_http(values: Values) -> Http:
    """The endpoint that the settings name. Raises Unavailable for settings that cannot be used; nothing is sent yet."""
    url = required(values, settings.HTTP_URL)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None:
        raise Unavailable(
            "the setting http_url must be http://HOST/PATH or https://HOST/PATH; a user and a key belong into the "
            "file that http_headers_file names"
        )
    file = values[settings.HTTP_HEADERS_FILE]
    return Http(
        values[settings.MODEL] or parts.hostname or "http",
        url,
        read_headers(read_secret(file, settings.HTTP_HEADERS_FILE.name), file) if file else {},
        make_body(values[settings.HTTP_BODY], values[settings.HTTP_FIELD], values[settings.HTTP_JSON]),
        Mapping(values),
        Patience(
            values[settings.HTTP_TIMEOUT_SECONDS],
            values[settings.HTTP_ATTEMPTS],
            values[settings.HTTP_BACKOFF_SECONDS],
            values[settings.HTTP_BACKOFF_MAX_SECONDS],
            values[settings.BREAKER_FAILURES],
            values[settings.BREAKER_SECONDS],
        ),
    )


def read_headers(text: str, file: str) -> dict[str, str]:
    """The headers in a text. Raises Unavailable with the number of a line that is none, and not with what it says."""
    headers = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("##"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name.strip()) or not value.strip().isprintable():
            raise Unavailable(f"{file}, line {number}, is no header; it must be Name: value")
        headers[name.strip()] = value.strip()
    return headers


def make_body(kind: str, field: str, template: str) -> Callable[[bytes], tuple[bytes, str]]:
    """What makes a picture into a body with its content type. Raises Unavailable for a template that is no JSON."""
    if kind == "image":
        return lambda jpeg: (jpeg, "image/jpeg")
    if kind == "form":
        return lambda jpeg: urllib3.encode_multipart_formdata({field: ("snapshot.jpg", jpeg, "image/jpeg")})
    try:
        json.loads(template)
    except ValueError:
        raise Unavailable("the setting http_json is not JSON") from None
    if "{image}" not in template:
        raise Unavailable("the setting http_json has no {image} where the picture goes")

    def body(jpeg: bytes) -> tuple[bytes, str]:
        image = b2a_base64(jpeg, newline=False).decode("ascii")
        return template.replace("{image}", image).encode(), "application/json"

    return body


def _seconds(text: str | None) -> float:
    """A Retry-After in seconds; one that is a date counts as none, for the clock may be wrong."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _reason(error: Exception) -> str:
    """Why, in words without the address: what urllib3 says may have the whole URL in it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
