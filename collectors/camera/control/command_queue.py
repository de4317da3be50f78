"""Where what the camera is asked to do is taken in: one thing at a time, and few that wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from collectors.camera.switch import Switch

#: How many may wait for the one that is being done.
MAX_WAITING = 4


class Busy(Exception):
    """Too many wait already; the message says so in one sentence."""


class MediaSource(Protocol):
    """What control needs of the media. Each may be called from any thread, and may raise MediaError."""

    @property
    def root(self) -> str:
        """The folder that paths are relative to; empty where nothing is kept."""
        ...

    @property
    def recording(self) -> bool:
        """Whether a clip is being recorded."""
        ...

    def snapshot_jpeg(self) -> bytes:
        """The newest picture."""
        ...

    def photo(self) -> str:
        """Keep a picture in full size; its path below the root."""
        ...

    def video(self, seconds: float) -> str:
        """Begin a clip; its path below the root, at once."""
        ...


class CommandQueue:
    """Carries out what HTTP and MQTT ask for, on a thread of its own.

    Args:
        media: what takes the pictures.
        detection: what pauses detection.
        waiting_most: how many may wait.
    """

    def __init__(self, media: MediaSource, detection: Switch, waiting_most: int = MAX_WAITING) -> None:
        self._media = media
        self._detection = detection
        self._most = waiting_most
        self._queue: queue.Queue[tuple[Future[str], Callable[[], str]] | None] = queue.Queue(waiting_most)
        self._closed = False
        self._lock = threading.Lock()
        # A daemon: a camera that does not answer must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="camera-desk", daemon=True)
        self._thread.start()

    def photo(self) -> Future[str]:
        """The path of a photo to be. Raises Busy."""
        return self._ask(self._media.photo)

    def video(self, seconds: float) -> Future[str]:
        """The path of a clip to be. Raises Busy."""
        return self._ask(lambda: self._media.video(seconds))

    def detect(self, on: bool) -> None:
        """Look for motion, or not, from the next picture on."""
        self._detection.on = on

    def close(self, seconds: float) -> bool:
        """Take nothing in any more, cancel what waits, and wait so long for what is being done; whether it is."""
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
                raise Busy(f"{self._most} requests wait for the camera already; try again in a moment") from None
        return future

    def _work(self) -> None:
        while item := self._queue.get():
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                path = work()
            except BaseException as error:  # noqa: BLE001 - it is handed to whoever asked
                future.set_exception(error)
            else:
                future.set_result(path)
