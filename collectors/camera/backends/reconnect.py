"""Reopens a camera that was lost: unplugged, switched off, or no longer delivering frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import tenacity

from collectors.camera.backends import Backend, Frame
from collectors.camera.backends.picamera2 import CsiCamera
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.native import NativeThread

#: First delay between attempts; doubles with each attempt.
_FIRST_DELAY_SECONDS = 1.0
#: Interval of checks for shutdown while the camera is lost.
_POLL_SECONDS = 0.2


class ReconnectingCamera:
    """A camera that is reopened when it is lost.

    A thread retries, since an attempt can take as long as the camera's timeout; meanwhile, None replaces frames, so
    that the status continues. Each failed attempt is a counted error.

    Args:
        first: the open camera.
        reopen: opens it again; raises Unavailable if that fails.
        report: takes errors.
        max_delay_seconds: maximum delay between attempts.
    """

    def __init__(
        self, first: Backend, reopen: Callable[[], Backend], report: ErrorReporter, max_delay_seconds: float
    ) -> None:
        self.name = first.name
        self.tags: Mapping[str, str] = first.tags
        self._camera: Backend | None = first
        self._reopen = reopen
        self._report = report
        self._max_delay_seconds = max_delay_seconds
        self._dropped = 0
        self._closing = threading.Event()

    @property
    def dropped(self) -> int:
        """Number of dropped frames, including those before the camera was reopened."""
        return self._dropped + (0 if self._camera is None else self._camera.dropped)

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Frames, and None while the camera is lost; ends on shutdown, or with the source."""
        while True:
            if self._camera is None:
                yield from self._reconnect(wait)
                if self._camera is None:
                    return
            try:
                yield from self._camera.frames(wait)
                return
            except Unavailable as error:
                self._report.error(f"{error}; reconnecting")
                self._dropped += self._camera.dropped
                self._camera.close()
                self._camera = None

    def close(self) -> None:
        """Close the camera, or stop reconnecting."""
        self._closing.set()
        if self._camera is not None:
            self._camera.close()

    def _reconnect(self, wait: Callable[[float], bool]) -> Iterator[None]:
        opened: deque[Backend] = deque()
        failures: deque[str] = deque()
        errors: deque[Exception] = deque()

        def record_failure(state: tenacity.RetryCallState) -> None:
            if state.outcome is not None:
                failures.append(str(state.outcome.exception()))

        def reopen() -> None:
            attempts = tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(Unavailable),
                wait=tenacity.wait_random_exponential(multiplier=_FIRST_DELAY_SECONDS, max=self._max_delay_seconds),
                sleep=tenacity.sleep_using_event(self._closing),
                stop=tenacity.stop_when_event_set(self._closing),
                after=record_failure,
            )
            try:
                opened.append(attempts(self._reopen))
            except tenacity.RetryError:
                return  # shutdown
            except Exception as error:  # noqa: BLE001 - raised below, where it ends the collector
                errors.append(error)

        thread = NativeThread(reopen, "camera reconnect")
        thread.start()
        while thread.is_alive() and not wait(_POLL_SECONDS):
            while failures:
                self._report.error(failures.popleft())
            yield None
        if thread.is_alive():
            self._closing.set()
        if errors:
            raise errors.popleft()
        if opened:
            self._camera = opened.popleft()


class ReconnectingCsiCamera(ReconnectingCamera):
    """The same for a camera with stills and an encoder."""

    #: The camera that the open clip was started with: it completes the clip, even if it was lost in the meantime.
    _recording: CsiCamera | None = None

    def still(self) -> Image:
        """See :class:`~collectors.camera.backends.SupportsStills`."""
        return self._csi_camera().still()

    @property
    def buffer_seconds(self) -> float:
        """See :class:`~collectors.camera.backends.SupportsClips`."""
        return self._csi_camera().buffer_seconds

    def begin_clip(self, path: str) -> None:
        """See :class:`~collectors.camera.backends.SupportsClips`."""
        camera = self._csi_camera()
        camera.begin_clip(path)
        self._recording = camera

    def end_clip(self, *, last: bool = False) -> None:
        """See :class:`~collectors.camera.backends.SupportsClips`."""
        camera, self._recording = self._recording, None
        (camera or self._csi_camera()).end_clip(last=last)

    @property
    def exposure_seconds(self) -> float | None:
        """See :class:`~collectors.camera.backends.SupportsExposure`."""
        return self._camera.exposure_seconds if isinstance(self._camera, CsiCamera) else None

    @property
    def gain(self) -> float | None:
        """See :class:`~collectors.camera.backends.SupportsExposure`."""
        return self._camera.gain if isinstance(self._camera, CsiCamera) else None

    def _csi_camera(self) -> CsiCamera:
        camera = self._camera
        if not isinstance(camera, CsiCamera):
            raise Unavailable("the camera is currently lost")
        return camera
