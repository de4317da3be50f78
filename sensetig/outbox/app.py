"""The HTTP side of the outbox: the write endpoint of InfluxDB 2, and nothing else of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sensetig.outbox.batch import Destination
from sensetig.outbox.lines import PRECISIONS, split, stamp
from sensetig.outbox.store import Full

#: Bytes of a request at most, as sent and expanded. A batch of 5,000 points of Telegraf has about 1.3 MB.
MAX_BODY_BYTES = 16 * 1024 * 1024

#: What a writer waits before it asks again while there is no room, in seconds.
RETRY_AFTER_SECONDS = 10


class _TooLarge(Exception):
    """The body is larger than :data:`MAX_BODY_BYTES`."""


class _Broken(Exception):
    """The body cannot be decompressed."""


def build(take: Callable[[Destination, list[bytes]], None], clock_ns: Callable[[], int]) -> Starlette:
    """The application.

    Args:
        take: makes points durable; see :meth:`sensetig.outbox.delivery.Delivery.take`.
        clock_ns: wall clock, nanoseconds since 1970.
    """

    async def write(request: Request) -> Response:
        query = request.query_params
        precision = query.get("precision", "ns")
        if not query.get("org") or not query.get("bucket") or precision not in PRECISIONS:
            return _error(400, "the query needs org and bucket, and a precision of ns, us, ms or s")
        try:
            body = await _body(request)
        except _TooLarge:
            return _error(413, f"the body has more than {MAX_BODY_BYTES} bytes; send fewer points at once")
        except _Broken as error:
            return _error(400, str(error))
        lines = stamp(split(body), clock_ns(), precision)
        if lines:
            try:
                await run_in_threadpool(take, Destination(query["org"], query["bucket"], precision), lines)
            except Full as error:
                return _error(503, f"{error}; points wait at the writer", {"Retry-After": str(RETRY_AFTER_SECONDS)})
        return Response(status_code=204)

    return Starlette(routes=[Route("/api/v2/write", write, methods=["POST"])])


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding not in ("gzip", "identity"):
        raise _Broken(f"the content encoding {encoding[:20]!r} is not gzip or identity")
    inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        if inflate is not None:
            try:
                chunk = inflate.decompress(chunk, MAX_BODY_BYTES + 1 - size)
            except zlib.error:
                raise _Broken("the body is not valid gzip") from None
        size += len(chunk)
        if size > MAX_BODY_BYTES or (inflate is not None and inflate.unconsumed_tail):
            raise _TooLarge
        parts.append(chunk)
    if inflate is not None and not inflate.eof:
        raise _Broken("the gzip of the body ends early")
    return b"".join(parts)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    # The shape of InfluxDB's own errors, which Telegraf reads.
    code = {400: "invalid", 413: "request too large", 503: "unavailable"}[status]
    return JSONResponse({"code": code, "message": message}, status, headers)
