"""The enrolment service: one endpoint over HTTPS, in a process whose only secret is its key."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sensetig.security import enrolment


def application(pending: Path, accepted: Path, say: Callable[[str], None]) -> Starlette:
    """The application.

    Args:
        pending: the folder of tickets, which it reads.
        accepted: the folder of accepted requests, which it writes.
        say: called with each request and its outcome; never with a token.
    """

    async def enrol(request: Request) -> JSONResponse:
        address = request.client.host if request.client else ""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > enrolment.MAX_REQUEST_BYTES:
                say(f"refused, from {address}: too long")
                return JSONResponse({"message": "too long"}, 413)
        try:
            asked = enrolment.parse(body)
        except enrolment.Refused as error:
            say(f"refused, from {address}: {error}")
            return JSONResponse({"message": str(error)}, 400)
        try:
            await run_in_threadpool(enrolment.accept, pending, accepted, asked, address, time.time())
        except enrolment.Refused as error:
            say(f"refused, {asked.device} from {address}: {error}")
            return JSONResponse({"message": str(error)}, 403)
        except OSError as error:
            say(f"failed, {asked.device} from {address}: {error.strerror}")
            return JSONResponse({"message": "the hub cannot write this down; see its journal"}, 503)
        say(f"accepted, {asked.device} from {address}")
        return JSONResponse({"message": f"{asked.device} is accepted; the hub installs it now"})

    return Starlette(routes=[Route("/enrol", enrol, methods=["POST"])])
