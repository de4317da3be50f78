"""Media on disk: the best snapshot of each event, clips with the time before the motion, and photos.

Detection never waits for media: a thread encodes and writes. Without ``media_dir`` nothing is stored, no thread runs,
and only the newest frame is available.

:meth:`Media.snapshot_jpeg`, :meth:`Media.photo` and :meth:`Media.video` may be called from any thread.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping

from collectors.camera import settings
from collectors.camera.backends import Backend, Frame, SupportsClips, SupportsStills
from collectors.camera.detector import Detection, Image
from collectors.camera.encoding import jpeg
from collectors.camera.events import Event, event_id
from collectors.camera.media.clips import ClipSelector
from collectors.camera.media.hardware import HardwareRecorder
from collectors.camera.media.recorder import Recorder
from collectors.camera.media.software import SoftwareRecorder
from collectors.camera.media.store import MediaError, Store, Usage
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue
from collectors.core.settings import Values

__all__ = ["Media", "MediaError"]

#: A better still is taken when the moving area has grown by this factor, at most once per this interval.
_BETTER_AREA, _STILL_SECONDS = 1.2, 0.5
#: Interval at which media that have become too old are deleted, whether anything is recorded or not.
_EXPIRE_SECONDS = 600.0


class Media:
    """The media of one camera: listens to its frames, and serves the requests of its control.

    Args:
        backend: the camera.
        values: the collector's settings.
        report: takes errors; called only from within the detection's calls.
        clock_ns: wall clock, nanoseconds since 1970.
        disk_usage: returns the sizes of the disk that holds a path.

    Raises:
        Unavailable: ``media_dir`` cannot be used, or ``clip_encoder`` does not exist.
    """

    def __init__(
        self,
        backend: Backend,
        values: Values,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        disk_usage: Callable[[str], Usage] = shutil.disk_usage,
    ) -> None:
        self._backend = backend
        self._stills = backend if isinstance(backend, SupportsStills) else None
        self._report = report
        self._clock_ns = clock_ns
        self._errors: deque[str] = deque()
        self._lock = threading.Lock()
        self._newest: Frame | None = None
        self._encoding = threading.Lock()
        self._encoded: tuple[float, bytes] | None = None
        self._best: Image | None = None
        self._best_area = self._best_at = 0.0
        self._expired_at: float | None = None
        self._max_seconds = values[settings.CLIP_SECONDS_MOST]
        self._store: Store | None = None
        self._recorder: Recorder | None = None
        self._clips: ClipSelector | None = None
        root = values[settings.MEDIA_DIR]
        if root is None:
            return
        if values[settings.CLIPS] and not isinstance(backend, SupportsClips):
            from collectors.camera.media.mp4 import require_encoder  # PyAV is only needed to record clips

            require_encoder(values[settings.CLIP_ENCODER])
        self._store = Store(
            root,
            max_bytes=values[settings.MEDIA_MEGABYTES] * 10**6,
            max_days=values[settings.MEDIA_DAYS],
            clock_ns=clock_ns,
            disk_usage=disk_usage,
        )
        self._recorder = _recorder(backend, values, self._store, self._errors.append)
        if values[settings.CLIPS]:
            self._clips = ClipSelector(
                pre_seconds=values[settings.PRE_CAPTURE_SECONDS],
                post_seconds=values[settings.POST_CAPTURE_SECONDS],
                max_seconds=self._max_seconds,
                idle_seconds=values[settings.EVENT_GAP_SECONDS],
                recorder=self._recorder,
            )

    @property
    def root(self) -> str:
        """The folder that paths are relative to; empty if nothing is stored."""
        return "" if self._store is None else self._store.root

    @property
    def recording(self) -> bool:
        """Whether a clip is being recorded, of an event or on request."""
        return self._clips is not None and self._clips.clip is not None

    def snapshot_jpeg(self) -> bytes:
        """The newest frame that detection received; never waits for one, and encodes each frame once.

        Raises MediaError before the first.
        """
        with self._encoding:
            newest = self._newest_frame()
            if self._encoded is None or self._encoded[0] != newest.seconds:
                self._encoded = newest.seconds, jpeg(newest.colour(), quality=80)
            return self._encoded[1]

    def photo(self) -> str:
        """Store a photo in the camera's full size, while detection continues.

        Returns its path below the root; the file exists. Raises MediaError when it cannot be taken or stored.
        """
        if self._store is None:
            raise MediaError("photos are not stored, since no folder is set for them; set media_dir")
        image = self._still(self._newest_frame())
        relative = self._path("photo", ".jpg")
        self._store.write(relative, jpeg(image))
        return relative

    def video(self, seconds: float) -> str:
        """Start a clip, including the time before it, that ends *seconds* from now.

        Returns its path below the root at once; the complete file appears shortly after the clip has ended. Clips do
        not overlap: while one is being recorded, of an event or on request, it is extended to last at least this
        long, and its path is returned.

        Raises MediaError when it cannot be stored, and ValueError unless the seconds are more than 0 and at most
        ``clip_seconds_most``.
        """
        if not 0 < seconds <= self._max_seconds:
            raise ValueError(
                f"a clip cannot be {seconds:g} s long; it must be more than 0 and at most {self._max_seconds:g} s"
            )
        if self._store is None or self._clips is None:
            raise MediaError("clips are not stored, since no folder is set for them, or clips are off; set media_dir")
        newest = self._newest_frame()
        self._store.make_room()
        with self._lock:
            return self._clips.request(newest.seconds, seconds, lambda: self._path("video", ".mp4"))

    def on_frame(self, frame: Frame, detection: Detection) -> None:
        """Record the frame where a clip needs it."""
        self._newest = frame
        self._report_errors()
        self._expire(frame.seconds)
        if self._clips is not None:
            with self._lock:
                self._clips.on_frame(frame, moving=detection.moving)
        if self._stills is not None and detection.moving:
            self._take_better_still(self._stills, frame, detection.area_percent)

    def on_idle(self, seconds: float) -> None:
        """End the clip when there has been no frame for it for some time."""
        self._report_errors()
        self._expire(seconds)
        if self._clips is not None:
            with self._lock:
                self._clips.on_idle(seconds)

    def on_event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Start or end the clip of an event; returns the paths of its media at the end.

        The complete files appear shortly after that; a later failure is a counted error.
        """
        if self._store is None or self._recorder is None:
            return {}
        self._report_errors()
        if event.kind == "start":
            if self._clips is not None and self._newest is not None:
                relative = self._store.relative(event.start_ns, f"{event.event_id}.mp4")
                start = self._newest.seconds - event.duration_seconds
                with self._lock:
                    self._clips.start_event(start, self._newest.seconds, relative)
            return {}
        snapshot = self._store.relative(event.start_ns, f"{event.event_id}.jpg")
        self._recorder.write_snapshot(snapshot, event.picture.colour() if self._best is None else self._best)
        self._best, self._best_area = None, 0.0
        fields: dict[str, FieldValue] = {"snapshot_path": snapshot}
        if self._clips is not None:
            with self._lock:
                clip = self._clips.end_event(self._newest.seconds if self._newest is not None else 0.0)
            if clip is not None and not clip.failed:
                fields["clip_path"] = clip.relative
        return fields

    def close(self) -> None:
        """Finish the clip that is being recorded."""
        if self._clips is not None:
            with self._lock:
                self._clips.close()
        if self._recorder is not None:
            self._recorder.close()
        if self._store is not None:
            self._store.close()
        self._report_errors()

    def _expire(self, seconds: float) -> None:
        """Delete media that are too old, at the start and from time to time."""
        store, recorder = self._store, self._recorder
        if store is None or recorder is None:
            return
        if self._expired_at is None or seconds - self._expired_at >= _EXPIRE_SECONDS:

            def expire() -> None:
                try:
                    store.expire()
                except MediaError as error:
                    self._errors.append(str(error))

            if recorder.submit(expire):
                self._expired_at = seconds

    def _newest_frame(self) -> Frame:
        newest = self._newest
        if newest is None:
            raise MediaError("the camera has delivered no frame yet; try again in a moment")
        return newest

    def _still(self, newest: Frame) -> Image:
        if self._stills is None:
            return newest.colour()
        try:
            return self._stills.still()
        except Unavailable as error:
            raise MediaError(str(error)) from None

    def _take_better_still(self, camera: SupportsStills, frame: Frame, area: float) -> None:
        """Take a still in the background if this frame shows more than the best one so far."""
        better = area > self._best_area * _BETTER_AREA and frame.seconds - self._best_at >= _STILL_SECONDS
        if self._recorder is not None and (self._best_area == 0.0 or better):

            def take() -> None:
                self._best = camera.still()

            if self._recorder.submit(take):
                self._best_area, self._best_at = area, frame.seconds

    def _path(self, kind: str, extension: str) -> str:
        assert self._store is not None
        now = self._clock_ns()
        return self._store.relative(now, f"{event_id(now, self._backend.name)}-{kind}{extension}")

    def _report_errors(self) -> None:
        while self._errors:
            self._report.error(self._errors.popleft())


def _recorder(backend: Backend, values: Values, store: Store, on_error: Callable[[str], None]) -> Recorder:
    if isinstance(backend, SupportsClips):
        return HardwareRecorder(store, backend, on_error)
    frame_rate = values[settings.FRAME_RATE]
    if values[settings.CLIPS]:
        from collectors.camera.media.mp4 import Mp4Writer  # PyAV is only needed to record clips

    encoder = values[settings.CLIP_ENCODER]
    return SoftwareRecorder(
        store,
        lambda path, width, height: Mp4Writer(path, encoder, width, height, frame_rate),
        on_error,
        pre_seconds=values[settings.PRE_CAPTURE_SECONDS] if values[settings.CLIPS] else 0.0,
        frame_rate=frame_rate,
        max_bytes=values[settings.PRE_CAPTURE_MEGABYTES] * 10**6,
        block=bool(backend.tags),
    )
