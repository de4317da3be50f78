"""The HTTP interface: InfluxDB 2's write endpoint, and no other.

:func:`build` creates the endpoint of the outbox, for Telegraf. :func:`build_receiver` creates the endpoint of a hub's
receiver, for devices through the proxy.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sensetig.outbox.batch import Destination
from sensetig.outbox.lines import PRECISIONS, split, stamp
from sensetig.outbox.store import Full
from sensetig.outbox.upstream import Answer, Unreachable

#: Maximum size of a request in bytes, as sent and expanded. A batch of 5,000 points from Telegraf has about 1.3 MB.
MAX_BODY_BYTES = 16 * 1024 * 1024

#: Seconds allowed for the body of a request to arrive.
BODY_SECONDS = 30.0

#: Maximum number of request bodies held at the same time; further requests wait in their connections.
MAX_BODIES = 8

#: Seconds that a writer waits before it retries while the outbox is full.
RETRY_AFTER_SECONDS = 10

#: The header that carries the name of the device whose certificate the proxy has verified.
DEVICE_HEADER = "X-SenseTIG-Device"

#: The header of a response for points that wait on disk. Each write is then a file; a writer may write less often.
WAITING_HEADER = "X-SenseTIG-Waiting"

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

#: Receives the verified name of a device, and a body; returns the reason for a rejection, or an empty text.
Check = Callable[[str, bytes], str]


class _Refused(Exception):
    """The request is answered with an error status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_TOO_LARGE = _Refused(413, f"the body has more than {MAX_BODY_BYTES} bytes; send fewer points at once")


def build(
    take: Callable[[Destination, list[bytes]], bool], clock_ns: Callable[[], int], lifespan: Lifespan | None = None
) -> Starlette:
    """The outbox's endpoint.

    Args:
        take: makes points durable, and returns whether they wait on the disk; see
            :meth:`sensetig.outbox.delivery.Delivery.take`.
        clock_ns: wall clock, nanoseconds since 1970.
        lifespan: runs for the lifetime of the server.
    """

    async def write(request: Request) -> Response:
        try:
            destination = _destination(request.query_params)
            body = _expanded(await _body(request), request.headers)
        except _Refused as error:
            return _error(error.status, str(error))
        lines = stamp(split(body), clock_ns(), destination.precision)
        waits = False
        if lines:
            try:
                waits = await run_in_threadpool(take, destination, lines)
            except Full as error:
                return _error(503, f"{error}; points wait at the writer", RETRY_AFTER_SECONDS)
        return Response(status_code=204, headers={WAITING_HEADER: "1"} if waits else None)

    return Starlette(routes=[Route("/api/v2/write", write, methods=["POST"])], lifespan=lifespan)


def build_receiver(
    relay: Callable[[Destination, bytes, Mapping[str, str]], Answer],
    check: Check | None = None,
    lifespan: Lifespan | None = None,
) -> Starlette:
    """The receiver's endpoint: forwards each request to InfluxDB with the token of its writer, and stores nothing.

    Args:
        relay: sends a body to InfluxDB; see :meth:`sensetig.outbox.receiver.Receiver.relay`.
        check: rejects points. The response is like InfluxDB's (422), so that the writer's outbox isolates the rejected
            points, counts them and delivers the others. None for no check.
        lifespan: runs for the lifetime of the server.
    """
    bodies = asyncio.Semaphore(MAX_BODIES)

    async def write(request: Request) -> Response:
        try:
            destination = _destination(request.query_params)
            async with bodies:
                body = await _body(request)
                if check is not None:
                    device = request.headers.get(DEVICE_HEADER, "")
                    if not device:  # a status that makes the writer retry
                        raise _Refused(403, "the proxy names no device: the certificate is none of this hub's devices")
                    reason = await run_in_threadpool(lambda: check(device, _expanded(body, request.headers)))
                    if reason:
                        return _error(422, reason)
                passed = {name: request.headers[name] for name in _PASSED if name in request.headers}
                answer = await run_in_threadpool(relay, destination, body, passed)
        except _Refused as error:
            return _error(error.status, str(error))
        except Unreachable as error:
            return _error(503, f"{error}; points wait at the writer", int(error.retry_after) or RETRY_AFTER_SECONDS)
        return Response(answer.body, answer.status, answer.headers)

    return Starlette(routes=[Route("/api/v2/write", write, methods=["POST"])], lifespan=lifespan)


#: The headers of a request that InfluxDB needs.
_PASSED = ("Authorization", "Content-Encoding", "Content-Type")


def _destination(query: Mapping[str, str]) -> Destination:
    """The destination of a request's points. Raises _Refused."""
    precision = query.get("precision", "ns")
    if not query.get("org") or not query.get("bucket") or precision not in PRECISIONS:
        raise _Refused(400, "the query needs org and bucket, and a precision of ns, us, ms or s")
    return Destination(query["org"], query["bucket"], precision)


async def _body(request: Request) -> bytes:
    """The body as sent. Raises _Refused."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise _TOO_LARGE
                parts.append(chunk)
    except TimeoutError:
        raise _Refused(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from None
    return b"".join(parts)


def _expanded(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The decompressed body. Raises _Refused."""
    encoding = headers.get("Content-Encoding", "identity")
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise _Refused(400, f"the content encoding {encoding[:20]!r} is not gzip or identity")
    inflate = zlib.decompressobj(wbits=31)
    try:
        expanded = inflate.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise _Refused(400, "the body is not valid gzip") from None
    if len(expanded) > MAX_BODY_BYTES or inflate.unconsumed_tail:
        raise _TOO_LARGE
    if not inflate.eof:
        raise _Refused(400, "the gzip of the body ends early")
    if inflate.unused_data:  # InfluxDB would read this as well
        raise _Refused(400, "the body has more than one gzip member")
    return expanded


def _error(status: int, message: str, retry_after: int | None = None) -> JSONResponse:
    # The format of InfluxDB's errors, which Telegraf and the outbox parse.
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"code": _CODES[status], "message": message}, status, headers)


_CODES = {
    400: "invalid",
    403: "forbidden",
    408: "request timeout",
    413: "request too large",
    422: "unprocessable entity",
    503: "unavailable",
}
