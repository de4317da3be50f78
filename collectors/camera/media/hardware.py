"""Clips from a backend that encodes by itself: it has what came before the motion already."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from collectors.camera.backends import Encodes, Frame
from collectors.camera.media.keeper import Clip, Keeper
from collectors.camera.media.store import Store

#: How often it is seen to that a clip has room on the disk.
_LOOK_SECONDS = 1.0


class HardwareRecorder(Keeper):
    """Has the backend write clips; only the files are looked after here.

    Args:
        store: where files go.
        camera: the backend.
        tell: takes the sentence of what went wrong; called from the thread.
    """

    #: What the encoder gives cannot be cut, so a clip goes on between two motions of one event.
    pauses = False

    def __init__(self, store: Store, camera: Encodes, tell: Callable[[str], None]) -> None:
        self._camera = camera
        self.tail_seconds = camera.before_seconds
        self._wanted: Clip | None = None
        self._open: tuple[Clip, str, str] | None = None
        self._looked = 0.0
        super().__init__(store, tell, lambda: False)

    def take(self, frame: Frame, clip: Clip | None, since: float) -> None:  # noqa: ARG002 - the encoder knows
        """The next picture, and the clip that it is for."""
        if clip is None:
            return
        if clip is not self._wanted:
            self._wanted, self._looked = clip, frame.seconds
            self._worker.put(lambda: self._begin(clip))
        elif frame.seconds - self._looked >= _LOOK_SECONDS:
            self._looked = frame.seconds
            self.ask(self._see_to_room)

    def end(self, clip: Clip, since: float, *, last: bool) -> None:  # noqa: ARG002 - the encoder knows
        """That was the last picture of the clip, or the last of all."""
        if clip is not self._wanted:
            self._worker.put(lambda: self._begin(clip))
        self._wanted = None
        if not last:  # otherwise closing finishes it, with what the encoder has not given yet
            self._worker.put(lambda: self._end(clip))

    # --- in the thread ---

    def _begin(self, clip: Clip) -> None:
        relative = clip.part()
        part = ""
        try:
            part = self._store.begin(relative)
            self._camera.begin_clip(part)
            self._open = clip, part, relative
        except Exception as error:  # noqa: BLE001 - one clip is lost, and detection and the next clip are not
            if part:
                self._store.give_up(part)
            self._lost(clip, error)

    def _see_to_room(self) -> None:
        if self._open is None:
            return
        try:
            self._store.make_room(os.path.getsize(self._open[1]))
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

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
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        assert self._open is not None
        clip, part, _ = self._open
        self._open = None
        with contextlib.suppress(Exception):  # what is wrong is known already
            self._camera.end_clip()
        self._store.give_up(part)
        self._lost(clip, error)
