"""Records clips with a backend that encodes video itself, and holds the last few seconds of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from collectors.camera.backends import Frame, SupportsClips
from collectors.camera.media.recorder import Clip, Recorder
from collectors.camera.media.store import Store

#: Interval of checks that the disk has room for a clip.
_CHECK_SECONDS = 1.0


class HardwareRecorder(Recorder):
    """Lets the backend write clips, and manages the files.

    Args:
        store: holds the files.
        camera: the backend.
        on_error: takes error messages; called from the thread.
    """

    #: The encoder's output cannot be cut, so a clip continues between two motions of one event.
    pauses = False

    def __init__(self, store: Store, camera: SupportsClips, on_error: Callable[[str], None]) -> None:
        self._camera = camera
        self.tail_seconds = camera.buffer_seconds
        self._requested: Clip | None = None
        self._open: tuple[Clip, str, str] | None = None
        self._checked = 0.0
        super().__init__(store, on_error, lambda: False)

    def record(self, frame: Frame, clip: Clip | None, since: float) -> None:  # noqa: ARG002 - the encoder has them
        """Start the clip with its first frame, and check the disk from time to time."""
        if clip is None:
            return
        if clip is not self._requested:
            self._requested, self._checked = clip, frame.seconds
            self._worker.put(lambda: self._begin(clip))
        elif frame.seconds - self._checked >= _CHECK_SECONDS:
            self._checked = frame.seconds
            self.submit(self._make_room)

    def end(self, clip: Clip, since: float, *, last: bool) -> None:  # noqa: ARG002 - the encoder has the frames
        """End a clip."""
        if clip is not self._requested:
            self._worker.put(lambda: self._begin(clip))
        self._requested = None
        if not last:  # otherwise close() finishes it, with the frames that the encoder still holds
            self._worker.put(lambda: self._end(clip))

    # --- in the thread ---

    def _begin(self, clip: Clip) -> None:
        relative = clip.next_part()
        part = ""
        try:
            part = self._store.begin(relative)
            self._camera.begin_clip(part)
            self._open = clip, part, relative
        except Exception as error:  # noqa: BLE001 - one clip is lost; detection and the next clip continue
            if part:
                self._store.discard(part)
            self._fail_clip(clip, error)

    def _make_room(self) -> None:
        if self._open is None:
            return
        try:
            self._store.make_room(os.path.getsize(self._open[1]))
        except Exception as error:  # noqa: BLE001 - as above
            self._abort(error)

    def _end(self, clip: Clip) -> None:
        if not clip.failed:
            self._close_file(last=False)

    def _finish(self) -> None:
        self._close_file(last=True)

    def _close_file(self, *, last: bool) -> None:
        if self._open is None:
            return
        _, part, relative = self._open
        try:
            self._camera.end_clip(last=last)
            self._store.finish(part, relative)
            self._open = None
        except Exception as error:  # noqa: BLE001 - as above
            self._abort(error)

    def _abort(self, error: Exception) -> None:
        assert self._open is not None
        clip, part, _ = self._open
        self._open = None
        with contextlib.suppress(Exception):  # the first error is the one to report
            self._camera.end_clip()
        self._store.discard(part)
        self._fail_clip(clip, error)
