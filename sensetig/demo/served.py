"""One page on loopback that refreshes itself: it is drawn again when a browser asks for it and the last one is old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple

from sensetig.demo.testbed.ports import LOOPBACK
from sensetig.errors import OperatorError

#: Seconds after which a browser asks again. Drawing takes a second on a laptop, and some on a Pi.
REFRESH_SECONDS = 10

#: Seconds after which a browser asks again where there is nothing to show yet.
_SOON_SECONDS = 2

_WAITING = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>SenseTIG</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 18px/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 32em; padding: 0 1em; }}</style>
</head><body><h1>SenseTIG</h1><p>{}</p><p>This page refreshes itself.</p></body></html>
"""


class Answer(NamedTuple):
    """What a browser gets."""

    status: HTTPStatus
    content: bytes
    refresh_seconds: int


class Page:
    """The page as it was last drawn.

    Args:
        draw: makes the HTML. It may raise OperatorError.
        timer: monotonic seconds.
    """

    def __init__(self, draw: Callable[[], bytes], timer: Callable[[], float] = time.monotonic) -> None:
        self._draw = draw
        self._timer = timer
        self._guard = threading.Lock()
        self._drawn: tuple[float, bytes] | None = None

    def answer(self) -> Answer:
        """The page, drawn again where it is older than a refresh; a sentence where it cannot be drawn."""
        with self._guard:
            if self._drawn is None or self._timer() - self._drawn[0] >= REFRESH_SECONDS:
                try:
                    self._drawn = (self._timer(), self._draw())
                except OperatorError as error:
                    sentence = escape(str(error))
                    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, _WAITING.format(sentence).encode(), _SOON_SECONDS)
            return Answer(HTTPStatus.OK, self._drawn[1], REFRESH_SECONDS)


class PageServer(AbstractContextManager["PageServer"]):
    """Serves a page on loopback while the context is active.

    Args:
        page: the page, at ``/``.
        port: a free port of the loopback address.
    """

    def __init__(self, page: Page, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}/"
        names = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "SenseTIG", ""
            timeout = 30

            def do_GET(self) -> None:
                # A page of another site, whose name resolves to loopback, must not read this one.
                if self.headers.get("Host") not in names:
                    self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
                    return
                if self.path != "/":
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                answer = page.answer()
                self.send_response(answer.status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(answer.content)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Refresh", str(answer.refresh_seconds))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                """Requests are not logged: the terminal shows the demo."""

        self._server = ThreadingHTTPServer((LOOPBACK, port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
