"""The live stream: one picture encoded for all who watch, and the newest for each as fast as it can take them."""

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
    """Encodes pictures while somebody watches. All of it runs in the server's loop.

    Args:
        jpeg: the newest picture; it may take a while, and may raise MediaError.
        feed: tells when there is a new one.
        most: how many may watch.
        frame_rate: pictures a second at most.
    """

    def __init__(self, jpeg: Callable[[], bytes], feed: Feed, most: int, frame_rate: float) -> None:
        self._jpeg = jpeg
        self._feed = feed
        self._most = most
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
        """How many watch."""
        return self._watching

    def enter(self) -> bool:
        """Take a place; False where there is none. Whoever has one gives it back with :meth:`leave`."""
        if self._watching >= self._most or self._stopping:
            return False
        self._watching += 1
        if self._producer is None or self._producer.done():
            self._newest, self._failure = b"", None
            self._producer = asyncio.create_task(self._produce())
        return True

    def leave(self) -> None:
        """Give a place back; with the last, encoding ends."""
        self._watching -= 1
        if not self._watching and self._producer is not None:
            self._producer.cancel()
            self._producer = None

    async def stop(self) -> None:
        """End all that watch."""
        self._stopping = True
        async with self._changed:
            self._changed.notify_all()

    async def follow(self) -> AsyncIterator[bytes]:
        """The parts of a stream, from the newest picture on. What came while the last was sent is left out."""
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
                    jpeg = b""  # there is none yet
                # A picture that came while it was being asked for wakes this again, and is then no news.
                if jpeg != self._newest:
                    async with self._changed:
                        self._number += 1
                        self._newest = jpeg
                        self._changed.notify_all()
                await asyncio.sleep(max(0.0, begun + self._interval - loop.time()))
                await come.wait()
        except Exception as error:  # noqa: BLE001 - it is raised again in each that watches
            self._failure = error
            async with self._changed:
                self._changed.notify_all()
        finally:
            self._feed.rest(wake)


class Stream:
    """The answer that goes on: takes a place for as long as it lasts."""

    def __init__(self, pictures: Pictures, most: int) -> None:
        self._pictures = pictures
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not self._pictures.enter():
            many = f"{self._most} watch already, and no more may (streams_most)"
            await problem(503, many, {"Retry-After": "10"})(scope, receive, send)
            return
        try:
            parts = self._pictures.follow()
            kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
            await StreamingResponse(parts, media_type=kind, headers={"Connection": "close"})(scope, receive, send)
        finally:
            self._pictures.leave()
