"""The live stream: each picture is encoded once for all viewers, and each viewer gets the newest one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from anyio import to_thread
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from collectors.camera.control.auth import problem
from collectors.camera.control.feed import Feed
from collectors.camera.media import MediaError

_BOUNDARY = "sensetig-picture"


class Pictures:
    """Encodes pictures while there are viewers. Runs in the server's loop.

    Args:
        jpeg: encodes the newest picture; it may block, and may raise MediaError.
        feed: signals new pictures.
        max_viewers: maximum number of viewers.
        frame_rate: maximum number of pictures per second.
    """

    def __init__(self, jpeg: Callable[[], bytes], feed: Feed, max_viewers: int, frame_rate: float) -> None:
        self._jpeg = jpeg
        self._feed = feed
        self._max_viewers = max_viewers
        self._interval = 1 / frame_rate
        self._watching = 0
        self._stopping = False
        self._producer: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._changed = asyncio.Condition()
        self._number = 0
        self._newest = b""

    @property
    def watching(self) -> int:
        """Number of viewers."""
        return self._watching

    def enter(self) -> bool:
        """Add a viewer; False if there are too many. Each viewer that was added must :meth:`leave`."""
        if self._watching >= self._max_viewers or self._stopping:
            return False
        self._watching += 1
        if self._producer is None or self._producer.done():
            self._newest, self._failure = b"", None
            self._producer = asyncio.create_task(self._produce())
        return True

    def leave(self) -> None:
        """Remove a viewer; encoding stops with the last one."""
        self._watching -= 1
        if not self._watching and self._producer is not None:
            self._producer.cancel()
            self._producer = None

    async def stop(self) -> None:
        """End all streams."""
        self._stopping = True
        async with self._changed:
            self._changed.notify_all()

    async def follow(self) -> AsyncIterator[bytes]:
        """The parts of a stream, starting with the newest picture. Skips pictures that arrive during a transmission."""
        seen = -1
        while True:
            async with self._changed:
                while not self._over and (not self._newest or self._number == seen):
                    await self._changed.wait()
                if self._over:
                    break
                seen, jpeg = self._number, self._newest
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"
        if self._failure is not None:
            raise self._failure
        yield f"--{_BOUNDARY}--\r\n".encode()

    @property
    def _over(self) -> bool:
        return self._stopping or self._failure is not None

    async def _produce(self) -> None:
        loop = asyncio.get_running_loop()
        come = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(come.set)

        self._feed.wake(wake)
        try:
            while True:
                begun = loop.time()
                come.clear()
                try:
                    jpeg = await to_thread.run_sync(self._jpeg)
                except MediaError:
                    jpeg = b""  # no picture yet
                # A picture that arrived during the encoding wakes this again, and is then the same one.
                if jpeg != self._newest:
                    async with self._changed:
                        self._number += 1
                        self._newest = jpeg
                        self._changed.notify_all()
                await asyncio.sleep(max(0.0, begun + self._interval - loop.time()))
                await come.wait()
        except Exception as error:  # noqa: BLE001 - raised again in each stream
            self._failure = error
            async with self._changed:
                self._changed.notify_all()
        finally:
            self._feed.rest(wake)


class Stream:
    """The endless answer of one viewer."""

    def __init__(self, pictures: Pictures, max_viewers: int) -> None:
        self._pictures = pictures
        self._max_viewers = max_viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not self._pictures.enter():
            many = f"{self._max_viewers} clients watch already, the limit of the setting streams_most"
            await problem(503, many, {"Retry-After": "10"})(scope, receive, send)
            return
        try:
            parts = self._pictures.follow()
            kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
            await StreamingResponse(parts, media_type=kind, headers={"Connection": "close"})(scope, receive, send)
        finally:
            self._pictures.leave()
