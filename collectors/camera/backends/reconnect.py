"""A camera that is had back when it was lost: unplugged, switched off, or gone silent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import tenacity

from collectors.camera.backends import Backend, Frame
from collectors.camera.backends.picamera2 import Ribbon
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter

#: The first pause, which doubles with each try.
_FIRST_SECONDS = 1.0
#: How long to look out for the camera before it is time to see whether to stop.
_LOOK_SECONDS = 0.2


class Reconnecting:
    """A camera, and the next one in its place as soon as it is lost.

    Trying is done in a thread, since it can take as long as the camera's timeout; meanwhile there is None in
    place of pictures, so that the status tells of it. Each try that fails is a counted error.

    Args:
        first: the camera, open.
        reopen: opens it again; raises Unavailable where that fails.
        report: takes what goes wrong.
        most_seconds: the longest pause between two tries.
    """

    def __init__(
        self, first: Backend, reopen: Callable[[], Backend], report: ErrorReporter, most_seconds: float
    ) -> None:
        self.name = first.name
        self.tags: Mapping[str, str] = first.tags
        self._camera: Backend | None = first
        self._reopen = reopen
        self._report = report
        self._most_seconds = most_seconds
        self._dropped = 0
        self._closing = threading.Event()

    @property
    def dropped(self) -> int:
        """Pictures that nobody took in time, of all cameras in this place."""
        return self._dropped + (0 if self._camera is None else self._camera.dropped)

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Pictures, and None while there is no camera; ends when it is time to stop, or the source has ended."""
        while True:
            if self._camera is None:
                yield from self._look_out(wait)
                if self._camera is None:
                    return
            try:
                yield from self._camera.frames(wait)
                return
            except Unavailable as error:
                self._report.error(f"{error}; it is opened again as soon as it is there")
                self._dropped += self._camera.dropped
                self._camera.close()
                self._camera = None

    def close(self) -> None:
        """Let go of the camera, or of looking for it."""
        self._closing.set()
        if self._camera is not None:
            self._camera.close()

    def _look_out(self, wait: Callable[[float], bool]) -> Iterator[None]:
        found: deque[Backend] = deque()
        failed: deque[str] = deque()

        def fail(state: tenacity.RetryCallState) -> None:
            if state.outcome is not None:
                failed.append(str(state.outcome.exception()))

        def look() -> None:
            tries = tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(Unavailable),
                wait=tenacity.wait_random_exponential(multiplier=_FIRST_SECONDS, max=self._most_seconds),
                sleep=tenacity.sleep_using_event(self._closing),
                stop=tenacity.stop_when_event_set(self._closing),
                after=fail,
            )
            try:
                found.append(tries(self._reopen))
            except tenacity.RetryError:
                return  # it is time to stop
            except Exception as error:  # noqa: BLE001 - told below, where it ends the collector
                broken.append(error)

        broken: deque[Exception] = deque()
        thread = threading.Thread(target=look, name="camera again", daemon=True)
        thread.start()
        while thread.is_alive() and not wait(_LOOK_SECONDS):
            while failed:
                self._report.error(failed.popleft())
            yield None
        if thread.is_alive():
            self._closing.set()
        if broken:
            raise broken.popleft()
        if found:
            self._camera = found.popleft()


class ReconnectingRibbon(Reconnecting):
    """The same for a camera that has stills and an encoder of its own."""

    #: The camera with which the clip that is open was begun: it finishes it, even when it was lost meanwhile.
    _recording: Ribbon | None = None

    def still(self) -> Image:
        """See :class:`~collectors.camera.backends.Stills`."""
        return self._ribbon().still()

    @property
    def before_seconds(self) -> float:
        """See :class:`~collectors.camera.backends.Encodes`."""
        return self._ribbon().before_seconds

    def begin_clip(self, path: str) -> None:
        """See :class:`~collectors.camera.backends.Encodes`."""
        ribbon = self._ribbon()
        ribbon.begin_clip(path)
        self._recording = ribbon

    def end_clip(self, *, last: bool = False) -> None:
        """See :class:`~collectors.camera.backends.Encodes`."""
        ribbon, self._recording = self._recording, None
        (ribbon or self._ribbon()).end_clip(last=last)

    @property
    def exposure_seconds(self) -> float | None:
        """See :class:`~collectors.camera.backends.Exposes`."""
        return self._camera.exposure_seconds if isinstance(self._camera, Ribbon) else None

    @property
    def gain(self) -> float | None:
        """See :class:`~collectors.camera.backends.Exposes`."""
        return self._camera.gain if isinstance(self._camera, Ribbon) else None

    def _ribbon(self) -> Ribbon:
        camera = self._camera
        if not isinstance(camera, Ribbon):
            raise Unavailable("the camera is lost at the moment")
        return camera
