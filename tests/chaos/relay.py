"""A proxy between the outbox and InfluxDB that breaks connections and responses on demand.

Faults of the connection are made by forwarding bytes and stopping, so no HTTP is parsed here. Error responses come
from a small application on Uvicorn.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import uvicorn

from sensetig.demo.testbed import ports
from sensetig.demo.testbed.ports import LOOPBACK

_CHUNK_BYTES = 4096


class Mode(NamedTuple):
    """How the relay treats connections.

    Args:
        kind: ``pass``, ``refuse``, ``stall``, ``slow``, ``cut_request``, ``cut_answer``, ``replay`` or ``answer``.
        number: for ``slow`` bytes per second; for ``cut_…`` bytes after which it cuts; for ``answer`` the status.
        retry_after: for ``answer`` the header ``Retry-After`` in seconds, or 0.
        influxdb: for ``answer``, whether the body is an error document of InfluxDB or a page of a proxy.
    """

    kind: str = "pass"
    number: int = 0
    retry_after: int = 0
    influxdb: bool = False

    def __str__(self) -> str:
        if self.kind == "answer":
            words = f"answer {self.number}" + (" by InfluxDB" if self.influxdb else "")
            return words + (f", Retry-After {self.retry_after}" if self.retry_after else "")
        return self.kind.replace("_", " ")


class Relay:
    """A relay that listens on :attr:`port`; :meth:`set` changes its mode and ends all open connections."""

    def __init__(self, upstream_port: int) -> None:
        self.port = ports.any_free()
        self._upstream_port = upstream_port
        self._mode = Mode()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._changed: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def set(self, mode: Mode) -> None:
        """Treat connections so from now on."""

        def change() -> None:
            self._mode = mode
            self._changed.set()
            self._changed = asyncio.Event()
            for writer in self._open:
                writer.transport.abort()

        self._loop.call_soon_threadsafe(change)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._changed = asyncio.Event()
        answering = ports.any_free()
        app = uvicorn.Server(
            uvicorn.Config(
                self._answer,
                host=LOOPBACK,
                port=answering,
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
            )  # Uvicorn does not see that a method is an application of ASGI 3.
        )
        app.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # of older versions
        app.capture_signals = _no_signals  # type: ignore[method-assign]
        self._answering_port = answering
        serving = asyncio.create_task(app.serve())
        server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
        self._ready.set()
        await self._end.wait()
        server.close()
        app.should_exit = True
        # Not cancelled: a connection that is just being opened would be left behind.
        self._changed.set()
        while self._tasks:
            for writer in self._open:
                writer.transport.abort()
            await asyncio.wait(self._tasks, timeout=0.1)
        await serving

    async def _answer(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        del scope
        mode = self._mode
        while (await receive()).get("more_body"):
            pass
        body = b"<html><body>an error page</body></html>"
        headers = [(b"content-type", b"text/html")]
        if mode.influxdb:
            code = {400: "invalid", 401: "unauthorized", 404: "not found", 422: "unprocessable entity"}
            body = json.dumps(
                {"code": code.get(mode.number, "internal error"), "message": "refused by a test"}
            ).encode()
            headers = [(b"content-type", b"application/json")]
        if mode.retry_after:
            headers.append((b"retry-after", str(mode.retry_after).encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": mode.number, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Here, since a task that is cancelled before its first step would leave the connection open.
        self._open.add(writer)
        task = asyncio.create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mode, changed = self._mode, self._changed
        seen = bytearray()
        try:
            if mode.kind == "refuse":
                return
            if mode.kind == "stall":
                await changed.wait()
                return
            port = self._answering_port if mode.kind == "answer" else self._upstream_port
            try:
                there, back = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                return
            self._open.add(back)
            try:
                limit = mode.number if mode.kind == "cut_request" else None
                answered = mode.number if mode.kind == "cut_answer" else None
                pace = mode.number if mode.kind == "slow" else 0
                both = [
                    asyncio.create_task(_pump(reader, back, limit, pace, seen if mode.kind == "replay" else None)),
                    asyncio.create_task(_pump(there, writer, answered, pace, None)),
                ]
                _, pending = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
            finally:
                self._open.discard(back)
                back.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            if seen:
                await self._replay(bytes(seen))

    async def _replay(self, requests: bytes) -> None:
        """Resend the requests of a connection after later ones."""
        with suppress(OSError, TimeoutError):
            there, back = await asyncio.open_connection(LOOPBACK, self._upstream_port)
            try:
                back.write(requests)
                async with asyncio.timeout(5):
                    while await there.read(_CHUNK_BYTES):
                        pass
            finally:
                back.transport.abort()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    limit: int | None,
    bytes_per_second: int,
    seen: bytearray | None,
) -> None:
    passed = 0
    with suppress(OSError):
        while data := await reader.read(512 if bytes_per_second else _CHUNK_BYTES):
            if limit is not None:
                data = data[: limit - passed]
            if bytes_per_second:
                await asyncio.sleep(len(data) / bytes_per_second)
            writer.write(data)
            await writer.drain()
            if seen is not None:
                seen += data
            passed += len(data)
            if limit is not None and passed >= limit:
                return


def _no_signals() -> Any:
    from contextlib import nullcontext

    return nullcontext()
