"""Authentication of every request, and the headers of every answer."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collectors.messaging.broker import is_loopback

#: Security headers: no sniffing of types, no cache, no referrer. Pages of the same host, such as a dashboard, may show
#: pictures but not read them.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-site",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


#: Maximum size of a request's line and headers in bytes.
MAX_HEADER_BYTES = 16 * 1024


def problem(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error answer, the same for every endpoint."""
    return JSONResponse({"error": sentence}, status, headers)


class AuthMiddleware:
    """Passes valid requests to the app and answers the others.

    Args:
        app: the protected application.
        token: the token that a request must carry; None for no token, on loopback only. Then the request must be
            addressed to a loopback name: otherwise a web page in a browser on this machine could resolve its own name
            to loopback and read the answers (DNS rebinding).
        act: paths that pages of other sites may not call.
        open_paths: paths that need no token.
    """

    def __init__(
        self, app: ASGIApp, token: str | None, act: frozenset[str], open_paths: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._act = act
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if _size(scope) > MAX_HEADER_BYTES:  # Uvicorn only refuses ones that arrive in pieces
            return problem(431, f"a request has at most {MAX_HEADER_BYTES} bytes here", {"Connection": "close"})
        if self._token is None:
            if not is_loopback(_host(headers.get("host", ""))):
                return problem(400, "without a token, only requests to localhost, 127.0.0.1 or [::1] are answered")
        elif scope["path"] not in self._open and not hmac.compare_digest(_bearer(headers), self._token):
            return problem(401, "the request needs the token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return problem(413, "a request has no body here; all that is asked is in the URL", {"Connection": "close"})
        if scope["path"] in self._act and _is_cross_site(headers):
            return problem(403, "a page of another site may not make the camera do anything")
        return None


def _size(scope: Scope) -> int:
    line = len(scope["raw_path"]) + len(scope["query_string"])
    return line + sum(len(name) + len(value) for name, value in scope["headers"])


def _is_cross_site(headers: Headers) -> bool:
    """Whether a browser declares that a page of another site sent the request."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")  # from older browsers, though not with each GET
    return origin is not None and origin.partition("://")[2] != headers.get("host")


def _bearer(headers: Headers) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip().encode() if scheme.lower() == "bearer" else b""


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
