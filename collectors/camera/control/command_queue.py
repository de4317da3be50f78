"""The queue of requests to the camera: one at a time, with a bounded number that wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from collectors.camera.collector import DetectionSwitch

#: How many requests may wait for the current one.
MAX_WAITING = 4


class Busy(Exception):
    """Too many requests wait; the message is one sentence."""


class MediaSource(Protocol):
    """What control needs of the media. Every method may be called from any thread, and may raise MediaError."""

    @property
    def root(self) -> str:
        """The folder that paths are relative to; empty if no media are stored."""
        ...

    @property
    def recording(self) -> bool:
        """Whether a clip is being recorded."""
        ...

    def snapshot_jpeg(self) -> bytes:
        """The newest picture."""
        ...

    def photo(self) -> str:
        """Store a picture in full size; its path below the root."""
        ...

    def video(self, seconds: float) -> str:
        """Start a clip; its path below the root, at once."""
        ...


class CommandQueue:
    """Executes requests from HTTP and MQTT on its thread.

    Args:
        media: receives the pictures.
        detection: pauses detection.
        max_waiting: maximum number of waiting requests.
    """

    def __init__(self, media: MediaSource, detection: DetectionSwitch, max_waiting: int = MAX_WAITING) -> None:
        self._media = media
        self._detection = detection
        self._max_waiting = max_waiting
        self._queue: queue.Queue[tuple[Future[str], Callable[[], str]] | None] = queue.Queue(max_waiting)
        self._closed = False
        self._lock = threading.Lock()
        # A daemon thread: a hung camera must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="camera-commands", daemon=True)
        self._thread.start()

    def photo(self) -> Future[str]:
        """Take a photo; the future is its path. Raises Busy."""
        return self._ask(self._media.photo)

    def video(self, seconds: float) -> Future[str]:
        """Start a clip; the future is its path. Raises Busy."""
        return self._ask(lambda: self._media.video(seconds))

    def detect(self, on: bool) -> None:
        """Turn detection on or off, from the next picture."""
        self._detection.on = on

    def close(self, seconds: float) -> bool:
        """Refuse further requests, cancel the waiting ones, and wait for the current one; whether it ended in time."""
        with self._lock:
            self._closed = True
            try:
                while waiting := self._queue.get_nowait():
                    waiting[0].cancel()
            except queue.Empty:
                self._queue.put_nowait(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _ask(self, work: Callable[[], str]) -> Future[str]:
        future: Future[str] = Future()
        with self._lock:
            if self._closed:
                raise Busy("the camera is being stopped")
            try:
                self._queue.put_nowait((future, work))
            except queue.Full:
                raise Busy(f"{self._max_waiting} requests wait for the camera already; try again in a moment") from None
        return future

    def _work(self) -> None:
        while item := self._queue.get():
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                path = work()
            except BaseException as error:  # noqa: BLE001 - the future passes it on
                future.set_exception(error)
            else:
                future.set_result(path)
