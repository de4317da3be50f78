"""One page on loopback that refreshes itself. It is drawn only when a browser requests it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from sensetig.demo.testbed.ports import LOOPBACK
from sensetig.errors import OperatorError

#: Seconds after which a browser reloads, and the page is redrawn. Drawing takes two on a laptop, and more on a Pi.
REFRESH_SECONDS = 10

#: Seconds after which a browser reloads if there is nothing to show yet.
_RETRY_SECONDS = 2

_WAITING = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>SenseTIG</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 18px/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 32em; padding: 0 1em; }}</style>
</head><body><h1>SenseTIG</h1><p>{}</p><p>This page refreshes itself.</p></body></html>
"""


class Answer(NamedTuple):
    """The answer to a browser."""

    status: HTTPStatus
    content: bytes
    refresh_seconds: int


def in_background(work: Callable[[], None]) -> None:
    """Run something in a separate thread, which this process awaits before it ends.

    The plotting libraries abort the process if a thread that uses them is killed.
    """
    threading.Thread(target=work, name="drawing").start()


class Page:
    """The latest drawn page. A browser gets it at once; an old page is redrawn in the background.

    Args:
        draw: returns the HTML. It may raise OperatorError.
        timer: monotonic seconds.
        start: starts the drawing without waiting for it.
    """

    def __init__(
        self,
        draw: Callable[[], bytes],
        timer: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._draw = draw
        self._timer = timer
        self._start = start
        self._guard = threading.Lock()
        self._drawing = False
        self._begun: float | None = None
        self._drawn: bytes | None = None
        self._problem = "The charts are being drawn."

    def answer(self) -> Answer:
        """The current page; a sentence if there is none yet."""
        with self._guard:
            old = self._begun is None or self._timer() - self._begun >= REFRESH_SECONDS
            begins = (old or self._drawn is None) and not self._drawing
            if begins:
                self._drawing, self._begun = True, self._timer()
        if begins:
            self._start(self._draw_again)
        with self._guard:
            if self._drawn is not None:
                return Answer(HTTPStatus.OK, self._drawn, REFRESH_SECONDS)
            content = _WAITING.format(escape(self._problem)).encode()
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, content, _RETRY_SECONDS)

    def _draw_again(self) -> None:
        drawn, problem = None, ""
        try:
            drawn = self._draw()
        except OperatorError as error:
            problem = str(error)
        finally:
            with self._guard:
                self._drawing = False
                self._drawn = self._drawn if drawn is None else drawn
                self._problem = problem


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that disconnects before the response is complete is not an error, and the terminal shows the demo.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


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
                # A page of another site, whose name resolves to loopback, must not be able to read this one.
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

        self._server = _Server((LOOPBACK, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
