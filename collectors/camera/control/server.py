"""The web server: Uvicorn on a thread, with limits for clients."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import uvicorn
from anyio import to_thread
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from collectors.camera.control.auth import MAX_HEADER_BYTES
from collectors.core.api import Unavailable

#: Send buffer of the kernel for one client, in bytes.
_SEND_BYTES = 128 * 1024

#: How long cancelled requests may take to close their files.
_CLOSE_SECONDS = 0.3


class Bounds(NamedTuple):
    """Limits for clients.

    Args:
        connections: simultaneous connections.
        request_seconds: how long a request may take to arrive, and a connection may be idle.
        send_seconds: how long a client may read nothing of an answer.
        header_bytes: maximum size of a request.
    """

    connections: int = 32
    request_seconds: float = 10.0
    send_seconds: float = 10.0
    header_bytes: int = MAX_HEADER_BYTES


class Listener(NamedTuple):
    """The address to listen on.

    Args:
        certificate, key: files in PEM; None for plain HTTP.
    """

    host: str
    port: int
    certificate: str | None = None
    key: str | None = None


class Server:
    """One application on one address. Listens when it is created, answers when it is started.

    Args:
        app: the application.
        where: the address.
        report: receives errors as sentences, in the server's thread.
        stop_app: ends endless answers; runs in the server's loop.

    Raises:
        Unavailable: the address cannot be listened on, or the certificate cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        where: Listener,
        report: Callable[[str], None],
        stop_app: Callable[[], Coroutine[Any, Any, None]],
        bounds: Bounds | None = None,
    ) -> None:
        _check_certificate(where)
        bounds = bounds or Bounds()
        self._report = report
        self._stop_app = stop_app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        config = uvicorn.Config(
            app,
            http=_protocol(bounds),
            ws="none",
            lifespan="off",
            loop="asyncio",
            interface="asgi3",
            log_config=None,
            log_level=logging.ERROR,  # whatever another server of this process has set
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=where.certificate,
            ssl_keyfile=where.key,
            h11_max_incomplete_event_size=bounds.header_bytes,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._socket = _listen(where)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="camera-control", daemon=True)

    def start(self) -> None:
        """Start to answer. Raises Unavailable if that takes longer than 30 s."""
        self._thread.start()
        if not self._ready.wait(30) or self._loop is None:
            raise Unavailable("the HTTP control did not start; see the message before this one")

    def stop(self, seconds: float) -> bool:
        """End the current answers and the thread; whether that took less than *seconds*."""
        loop = self._loop
        if loop is None:
            self._socket.close()
        else:
            self._server.should_exit = True
            stopping = self._stop_app()
            try:
                asyncio.run_coroutine_threadsafe(stopping, loop)
            except RuntimeError:  # the loop has failed, which was reported
                stopping.close()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        logger = logging.getLogger("uvicorn")
        handler = _ErrorLogHandler(self._report)
        logger.addHandler(handler)
        propagates, logger.propagate = logger.propagate, False
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - the camera continues, and the failure is counted
            self._report(f"the HTTP control has ended: {type(error).__name__}: {error}")
        finally:
            self._ready.set()
            logger.removeHandler(handler)
            logger.propagate = propagates

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._lost)
        # Threads that read files and encode pictures; two suffice, and they end when they are idle.
        to_thread.current_default_thread_limiter().total_tokens = 2
        self._loop = loop
        self._ready.set()
        await self._server.serve(sockets=[self._socket])
        # A request that was cancelled because its client read nothing still has to close its file.
        state = self._server.server_state
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(list(state.tasks), timeout=_CLOSE_SECONDS)
        await asyncio.sleep(0)

    def _lost(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        if not isinstance(error, (OSError, ssl.SSLError)):  # a client that has disconnected is not an error
            self._report(f"the HTTP control: {context.get('message')}: {error!r}")


class _ErrorLogHandler(logging.Handler):
    """Reports what Uvicorn logs as an error, but not the errors of clients."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Report one record, with the name and message of an exception."""
        error = record.exc_info[1] if record.exc_info else None
        what = f": {type(error).__name__}: {error}" if error is not None else ""
        self._report(f"the HTTP control: {record.getMessage()}{what}")


def _protocol(bounds: Bounds) -> type[H11Protocol]:
    """Uvicorn's protocol with timeouts for requests that do not arrive and clients that do not read."""

    class Bounded(H11Protocol):
        _waits: asyncio.TimerHandle | None = None
        _takes: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > bounds.connections:
                transport.abort()
            else:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._waits, self._takes):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)
            # After a connection reset, Uvicorn leaves a timer that keeps the connection in memory.
            self._unset_keepalive_if_required()

        def on_response_complete(self) -> None:
            self._wait()
            super().on_response_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._takes = self.loop.call_later(bounds.send_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            if self._takes is not None:
                self._takes.cancel()
            super().resume_writing()

        def _wait(self) -> None:
            if self._waits is not None:
                self._waits.cancel()
            self._waits = self.loop.call_later(bounds.request_seconds, self._late)

        def _late(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    return Bounded


def _listen(where: Listener) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit these options.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            listener.bind(address)
            listener.listen(64)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise Unavailable(
            f"the HTTP control cannot listen on {where.host}, port {where.port}: {reason}; "
            "change control_host or control_port"
        ) from None
    return listener


def _check_certificate(where: Listener) -> None:
    """Raise Unavailable for a certificate or key that cannot be used.

    A key with a passphrase is refused: OpenSSL would ask for it on the terminal.
    """
    if where.certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(where.certificate, where.key, lambda: "")
    except (OSError, ssl.SSLError) as error:
        key = "" if where.key is None else f" with {where.key}"
        raise Unavailable(
            f"control_certificate {where.certificate} cannot be used{key}: {error.strerror or error}"
        ) from None
