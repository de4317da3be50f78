"""What the camera keeps: the best snapshot of each event, clips with what came before the motion, and photos.

A companion of the detection, which never waits for it: a thread encodes and writes. Without ``media_dir``
nothing is kept, no thread runs, and the newest picture is all that there is.

:meth:`Media.snapshot_jpeg`, :meth:`Media.photo` and :meth:`Media.video` may be called from any thread.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping

from collectors.camera import media_settings, settings
from collectors.camera.backends import Backend, Encodes, Frame, Stills
from collectors.camera.detector import Detection, Image
from collectors.camera.events import Event, event_id
from collectors.camera.media.hardware import HardwareRecorder
from collectors.camera.media.keeper import Recording
from collectors.camera.media.pictures import jpeg
from collectors.camera.media.recorder import Recorder
from collectors.camera.media.store import MediaError, Store, Usage
from collectors.camera.media.takes import Takes
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue
from collectors.core.settings import Values

__all__ = ["Media", "MediaError"]

#: A better still is taken when this much more of the picture moves, and not more often than this.
_BETTER, _STILL_SECONDS = 1.2, 0.5


class Media:
    """The media of one camera: a companion of its detection, and what its control asks for.

    Args:
        backend: the camera.
        values: the collector's settings.
        report: takes what goes wrong; it is told only from the detection's own calls.
        clock_ns: wall clock, nanoseconds since 1970.
        disk_usage: tells the sizes of the disk on which a path is.

    Raises:
        Unavailable: ``media_dir`` cannot be used, or there is no such ``clip_encoder``.
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
        self._report = report
        self._clock_ns = clock_ns
        self._told: deque[str] = deque()
        self._lock = threading.Lock()
        self._newest: Frame | None = None
        self._encoding = threading.Lock()
        self._encoded: tuple[float, bytes] | None = None
        self._best: Image | None = None
        self._best_area = self._best_at = 0.0
        self._most_seconds = values[media_settings.CLIP_SECONDS_MOST]
        self._store: Store | None = None
        self._recording: Recording | None = None
        self._takes: Takes | None = None
        root = values[media_settings.MEDIA_DIR]
        if root is None:
            return
        if values[media_settings.CLIPS] and not isinstance(backend, Encodes):
            from collectors.camera.media.film import require  # PyAV: only who records clips needs it

            require(values[media_settings.CLIP_ENCODER])
        self._store = Store(
            root,
            most_bytes=values[media_settings.MEDIA_MEGABYTES] * 10**6,
            most_days=values[media_settings.MEDIA_DAYS],
            clock_ns=clock_ns,
            disk_usage=disk_usage,
        )
        self._recording = _recording(backend, values, self._store, self._told.append)
        if values[media_settings.CLIPS]:
            self._takes = Takes(
                pre_seconds=values[media_settings.PRE_CAPTURE_SECONDS],
                post_seconds=values[media_settings.POST_CAPTURE_SECONDS],
                most_seconds=self._most_seconds,
                recording=self._recording,
            )

    @property
    def root(self) -> str:
        """The folder that the paths are relative to; empty where nothing is kept."""
        return "" if self._store is None else self._store.root

    @property
    def recording(self) -> bool:
        """Whether a clip is being recorded, of an event or asked for."""
        return self._takes is not None and self._takes.clip is not None

    def snapshot_jpeg(self) -> bytes:
        """The newest picture that detection saw, encoded once however often it is asked for; never waits for one.

        Raises MediaError before the first.
        """
        with self._encoding:
            newest = self._any()
            if self._encoded is None or self._encoded[0] != newest.seconds:
                self._encoded = newest.seconds, jpeg(newest.colour(), quality=80)
            return self._encoded[1]

    def photo(self) -> str:
        """Keep a picture in the camera's full size, while detection goes on.

        Returns its path below the root; the file is there. Raises MediaError when it cannot be had or kept.
        """
        if self._store is None:
            raise MediaError("photos are not kept, since no folder is set for them; set media_dir")
        image = self._still(self._any())
        relative = self._path("photo", ".jpg")
        self._store.write(relative, jpeg(image))
        return relative

    def video(self, seconds: float) -> str:
        """Begin a clip, with the time before it, that ends so many seconds from now.

        Returns its path below the root at once; the file appears, whole, a moment after the clip has ended.
        There is one clip at a time: while one is recorded, of an event or asked for, it is made to last at least
        so long, and its path is returned.

        Raises MediaError when it cannot be kept, and ValueError when the seconds are not more than 0 and at most
        ``clip_seconds_most``.
        """
        if not 0 < seconds <= self._most_seconds:
            raise ValueError(
                f"a clip cannot be {seconds:g} s long; it must be more than 0 and at most {self._most_seconds:g} s"
            )
        if self._store is None or self._takes is None:
            raise MediaError("clips are not kept, since no folder is set for them, or clips are off; set media_dir")
        newest = self._any()
        self._store.make_room()
        with self._lock:
            return self._takes.ask(newest.seconds, seconds, lambda: self._path("video", ".mp4"))

    def see(self, frame: Frame, seen: Detection) -> None:
        """Take a picture and what was found in it."""
        self._newest = frame
        self._tell()
        if self._takes is not None:
            with self._lock:
                self._takes.see(frame, moving=seen.moving)
        if seen.moving and isinstance(self._backend, Stills):
            self._look_better(frame, seen.area_percent)

    def event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Take the start or the end of an event; the paths of its media at the end.

        The files are there, whole, a moment after that; what then fails is a counted error.
        """
        if self._store is None or self._recording is None:
            return {}
        self._tell()
        if event.kind == "start":
            if self._takes is not None and self._newest is not None:
                relative = self._store.relative(event.start_ns, f"{event.event_id}.mp4")
                began = self._newest.seconds - event.duration_seconds
                with self._lock:
                    self._takes.start(began, self._newest.seconds, relative)
            return {}
        snapshot = self._store.relative(event.start_ns, f"{event.event_id}.jpg")
        self._recording.keep(snapshot, event.picture.colour() if self._best is None else self._best)
        self._best, self._best_area = None, 0.0
        fields: dict[str, FieldValue] = {"snapshot_path": snapshot}
        if self._takes is not None:
            with self._lock:
                clip = self._takes.finish(self._newest.seconds if self._newest is not None else 0.0)
            if clip is not None and not clip.failed:
                fields["clip_path"] = clip.relative
        return fields

    def close(self) -> None:
        """Finish the clip that is being recorded."""
        if self._takes is not None:
            with self._lock:
                self._takes.close()
        if self._recording is not None:
            self._recording.close()
        if self._store is not None:
            self._store.close()
        self._tell()

    def _any(self) -> Frame:
        newest = self._newest
        if newest is None:
            raise MediaError("the camera has given no picture yet; try again in a moment")
        return newest

    def _still(self, newest: Frame) -> Image:
        if not isinstance(self._backend, Stills):
            return newest.colour()
        try:
            return self._backend.still()
        except Unavailable as error:
            raise MediaError(str(error)) from None

    def _look_better(self, frame: Frame, area: float) -> None:
        """Have a still of this moment, when it shows more than the best so far."""
        assert isinstance(self._backend, Stills)
        better = area > self._best_area * _BETTER and frame.seconds - self._best_at >= _STILL_SECONDS
        if self._recording is not None and (self._best_area == 0.0 or better):
            camera = self._backend

            def take() -> None:
                self._best = camera.still()

            if self._recording.ask(take):
                self._best_area, self._best_at = area, frame.seconds

    def _path(self, what: str, ending: str) -> str:
        assert self._store is not None
        now = self._clock_ns()
        return self._store.relative(now, f"{event_id(now, self._backend.name)}-{what}{ending}")

    def _tell(self) -> None:
        while self._told:
            self._report.error(self._told.popleft())


def _recording(backend: Backend, values: Values, store: Store, tell: Callable[[str], None]) -> Recording:
    if isinstance(backend, Encodes):
        return HardwareRecorder(store, backend, tell)
    frame_rate = values[settings.FRAME_RATE]
    if values[media_settings.CLIPS]:
        from collectors.camera.media.film import Encoder  # PyAV: only who records clips needs it

    encoder = values[media_settings.CLIP_ENCODER]
    return Recorder(
        store,
        lambda path, width, height: Encoder(path, encoder, width, height, frame_rate),
        tell,
        pre_seconds=values[media_settings.PRE_CAPTURE_SECONDS] if values[media_settings.CLIPS] else 0.0,
        frame_rate=frame_rate,
        most_bytes=values[media_settings.PRE_CAPTURE_MEGABYTES] * 10**6,
        patient=bool(backend.tags),
    )
