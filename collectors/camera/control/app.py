"""The endpoints over HTTP."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from collectors.camera.collector import DetectionSwitch
from collectors.camera.control import files
from collectors.camera.control.auth import AuthMiddleware, problem
from collectors.camera.control.command_queue import Busy, CommandQueue, MediaSource
from collectors.camera.control.endpoints import DEFAULT_EVENTS, ENDPOINTS, MAX_EVENTS, VIEWS, Endpoint, openapi
from collectors.camera.control.feed import EventLog, Feed, media_link
from collectors.camera.control.pictures import Pictures, Stream
from collectors.camera.control.tuning import Tuner, TuningError
from collectors.camera.media import MediaError

#: How long a request waits for the camera.
ACT_SECONDS = 30.0

_NUMBER = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?")

#: The files of the page for tuning, and the policy for browsers: nothing from elsewhere, and nothing inline.
_PAGE = Path(__file__).parent / "page"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Handler = Callable[[Request], Awaitable[ASGIApp]]


class Parts(NamedTuple):
    """The parts of the camera that the endpoints use.

    Args:
        max_seconds: maximum length of a clip.
        max_streams: maximum number of viewers of the live stream.
        act_seconds: how long a request waits for the camera.
        tuner: tries settings of detection; None if that is off.
    """

    camera: str
    media: MediaSource
    queue: CommandQueue
    detection: DetectionSwitch
    feed: Feed
    event_log: EventLog
    pictures: Pictures
    max_seconds: float
    max_streams: int
    act_seconds: float = ACT_SECONDS
    tuner: Tuner | None = None


class Endpoints:
    """The handlers, each named after its path."""

    def __init__(self, parts: Parts, *, token: bool) -> None:
        self._parts = parts
        self._description = openapi(token=token)

    async def take_photo(self, request: Request) -> ASGIApp:
        """Wait until the photo is on disk."""
        del request
        return await self._act(self._parts.queue.photo, 201)

    async def take_video(self, request: Request) -> ASGIApp:
        """Wait until the clip starts."""
        seconds = _number(request.query_params.get("seconds", ""))
        if seconds is None or not 0 < seconds <= self._parts.max_seconds:
            return problem(422, f"seconds must be a number above 0 and up to {self._parts.max_seconds:g}")
        return await self._act(lambda: self._parts.queue.video(seconds), 202, seconds=seconds)

    async def snapshot_jpg(self, request: Request) -> ASGIApp:
        """The newest picture, unless it is stale."""
        del request
        if sentence := self._stale():
            return problem(503, sentence)
        try:
            return Response(await to_thread.run_sync(self._parts.media.snapshot_jpeg), media_type="image/jpeg")
        except MediaError as error:
            return problem(503, str(error))

    async def stream_mjpg(self, request: Request) -> ASGIApp:
        """The live stream."""
        del request
        return Stream(self._parts.pictures, self._parts.max_streams)

    async def events(self, request: Request) -> ASGIApp:
        """A page of events."""
        given = request.query_params.get("limit", str(DEFAULT_EVENTS))
        limit = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 0
        if not 1 <= limit <= MAX_EVENTS:
            return problem(422, f"limit must be a whole number from 1 to {MAX_EVENTS}")
        before = request.query_params.get("before")
        if before is not None and len(before) > 200:
            return problem(422, "before must be the id of an event")
        found, last = self._parts.event_log.page(limit, before)
        return JSONResponse({"events": found, "next": None if last is None else f"/events?limit={limit}&before={last}"})

    async def media(self, request: Request) -> ASGIApp:
        """A file, or a range of it."""
        file = await to_thread.run_sync(files.find, self._parts.media.root, request.path_params["path"])
        if file is None:
            return problem(404, "there is no such file")
        size = file.status.st_size
        try:
            ranged = files.single_range(request.headers.get("range", ""), size)
        except files.Unsatisfiable:
            return problem(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
        if not ranged:  # several ranges and other units are ignored, as the standard allows
            request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
        headers = {"Cache-Control": "private, no-cache"}
        return FileResponse(file.path, media_type=file.type, stat_result=file.status, headers=headers)

    async def healthz(self, request: Request) -> ASGIApp:
        """The health of the camera."""
        del request
        parts = self._parts
        age, rate = parts.feed.age_seconds(), parts.feed.frames_per_second()
        sentence = self._stale()
        answer: dict[str, Any] = {
            "ok": not sentence,
            "camera": parts.camera,
            "frames_per_second": None if rate is None else round(rate, 2),
            "frame_age_seconds": None if age is None else round(age, 3),
            "recording": parts.media.recording,
            "detection": parts.detection.on and parts.detection.active,
            "streams": parts.pictures.watching,
        }
        return JSONResponse({**answer, "error": sentence}, 503) if sentence else JSONResponse(answer)

    async def tune(self, request: Request) -> ASGIApp:
        """The page for tuning."""
        return self._file(request, "text/html")

    async def tune_css(self, request: Request) -> ASGIApp:
        """The style of that page."""
        return self._file(request, "text/css")

    async def tune_js(self, request: Request) -> ASGIApp:
        """The program of that page."""
        return self._file(request, "text/javascript")

    async def tune_state(self, request: Request) -> ASGIApp:
        """The settings that are tried, and the result."""
        del request
        tuner = self._parts.tuner
        return _tune_off() if tuner is None else JSONResponse(await to_thread.run_sync(tuner.state))

    async def tune_picture(self, request: Request) -> ASGIApp:
        """A view of a detector with these settings."""
        tuner, name = self._parts.tuner, request.query_params.get("view", "")
        if tuner is None:
            return _tune_off()
        if name not in VIEWS:
            return problem(422, f"view must be one of {', '.join(VIEWS)}")
        try:
            return Response(await to_thread.run_sync(tuner.picture, name), media_type="image/jpeg")
        except TuningError as error:
            return problem(503, str(error))

    async def tune_try(self, request: Request) -> ASGIApp:
        """Try settings."""
        return await self._tune(request, Tuner.try_out)

    async def tune_use(self, request: Request) -> ASGIApp:
        """Use settings."""
        return await self._tune(request, Tuner.use)

    async def tune_save(self, request: Request) -> ASGIApp:
        """Save settings."""
        return await self._tune(request, Tuner.save)

    async def _tune(self, request: Request, act: Callable[[Tuner, Mapping[str, str]], str | None]) -> ASGIApp:
        tuner = self._parts.tuner
        if tuner is None:
            return _tune_off()
        given = dict(request.query_params)
        try:
            file = await to_thread.run_sync(act, tuner, given)
        except TuningError as error:
            return problem(422, str(error))
        return JSONResponse({"ok": True} if file is None else {"ok": True, "file": file})

    def _file(self, request: Request, kind: str) -> ASGIApp:
        if self._parts.tuner is None:
            return _tune_off()
        name = request.url.path.lstrip("/")
        path = _PAGE / (name if "." in name else f"{name}.html")
        return Response(path.read_bytes(), media_type=kind, headers={"Content-Security-Policy": _PAGE_POLICY})

    async def openapi_json(self, request: Request) -> ASGIApp:
        """The OpenAPI description."""
        del request
        return JSONResponse(self._description)

    def _stale(self) -> str:
        age = self._parts.feed.age_seconds()
        if age is None:
            return "the camera has given no picture yet"
        if age > self._parts.feed.stale_seconds:
            return f"the camera's newest picture is {age:.0f} s old"
        return ""

    async def _act(self, ask: Callable[[], Future[str]], status: int, **details: float) -> Response:
        seconds = self._parts.act_seconds
        try:
            path = await asyncio.wait_for(asyncio.wrap_future(ask()), seconds)
        except Busy as error:
            return problem(429, str(error), {"Retry-After": "1"})
        except TimeoutError:
            return problem(504, f"the camera has not answered within {seconds:g} s; it may yet do what was asked")
        except ValueError as error:
            return problem(422, str(error))
        except MediaError as error:
            return problem(503, str(error))
        url = media_link(path)
        return JSONResponse({"path": path, "url": url, **details}, status, {"Location": url})


def build(parts: Parts, token: str | None) -> ASGIApp:
    """The application with all endpoints.

    Args:
        token: the token that requests must carry, or None.
    """
    handlers = Endpoints(parts, token=token is not None)
    routes = [_route(endpoint, getattr(handlers, handler_name(endpoint))) for endpoint in ENDPOINTS]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.router.redirect_slashes = False
    acting = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.act)
    return AuthMiddleware(app, token, acting, frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.open))


def handler_name(endpoint: Endpoint) -> str:
    """The name of the handler method."""
    return endpoint.path.strip("/").split("/")[0].replace(".", "_")


class _Handled:
    """A route as an ASGI application. Starlette would add HEAD to every GET, and HEAD would take a photo."""

    def __init__(self, endpoint: Endpoint, handler: Handler) -> None:
        self._endpoint = endpoint
        self._handler = handler
        self._known = {parameter.name for parameter in endpoint.parameters}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        methods = self._endpoint.methods
        if request.method not in methods:
            allowed = ", ".join(methods)
            return problem(405, f"{self._endpoint.path} answers {allowed}", {"Allow": allowed})
        for name in request.query_params:
            if name not in self._known:
                known = ", ".join(sorted(self._known)) or "none"
                return problem(422, f"{name[:64]!r} is not a parameter of {self._endpoint.path}; there are: {known}")
        return await self._handler(request)


def _route(endpoint: Endpoint, handler: Handler) -> Route:
    return Route(endpoint.path.replace("{path}", "{path:path}"), _Handled(endpoint, handler))


def _number(text: str) -> float | None:
    """The number in a text with JSON's digits; Python would accept digits of any script."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _tune_off() -> Response:
    return problem(404, "tuning is off; set control_tune to use it")


def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    headers: Mapping[str, str] | None = error.headers
    if error.status_code == 404:
        return problem(404, "there is nothing here; /openapi.json says what there is", headers)
    return problem(error.status_code, error.detail, headers)


def _failed(request: Request, error: Exception) -> Response:
    """Answer the client; Starlette raises the error again for the server's log."""
    del request, error
    return problem(500, "the camera's program has failed; its log says how")
