"""Records clips from the frames of a backend that does not encode video itself.

Every frame enters a buffer of bounded size. The buffer holds the time before a clip, and the frames that wait to be
encoded while one is recorded. If the machine is too slow, the oldest frames are dropped and counted.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from collectors.camera.backends import Frame
from collectors.camera.detector import EPSILON_SECONDS
from collectors.camera.encoding import PackedFrame, pack, pack_planes
from collectors.camera.media.recorder import Clip, Recorder
from collectors.camera.media.store import Store

#: Maximum number of frames that wait to be packed.
_MAX_WAITING = 6
#: Extra time that frames are buffered for: an event starts only after a few frames with motion.
_EXTRA_SECONDS = 1.0
#: Interval of checks that the disk has room for a clip.
_CHECK_SECONDS = 1.0
#: Frames are packed smaller if the time before the motion would fill more than this share of the buffer.
_FULL_SHARE = 0.8


class ClipWriter(Protocol):
    """An open video file."""

    def add(self, packed: PackedFrame, seconds: float) -> None:
        """Encode the next frame, taken at a monotonic time."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


class _OpenFile(NamedTuple):
    """The file that is being written: its clip, the frame size, and its temporary and final path."""

    clip: Clip
    writer: ClipWriter
    width: int
    height: int
    part: str
    relative: str


class _Entry:
    """A frame in the buffer, and the clip that it belongs to; without a frame, the end of that clip."""

    __slots__ = ("clip", "packed", "seconds")

    def __init__(self, packed: PackedFrame | None, seconds: float, clip: Clip | None) -> None:
        self.packed = packed
        self.seconds = seconds
        self.clip = clip


def pack_frame(frame: Frame, *, small: bool) -> PackedFrame:
    """Pack a frame, from its planes if it has them: that costs less than converting it to colours and back."""
    if frame.render_planes is None:
        return pack(frame.colour(), small=small)
    return pack_planes(frame.render_planes(), small=small)


class SoftwareRecorder(Recorder):
    """Encodes clips in the thread.

    Args:
        store: holds the files.
        open_writer: opens a file, given path, width and height.
        on_error: takes error messages; called from the thread.
        pre_seconds: time before a clip that is buffered.
        frame_rate: approximate frames per second.
        max_bytes: maximum size of the buffer.
        block: whether a frame waits for room instead of being dropped: for sources that are not live.
    """

    #: Nothing is recorded between two motions of one event.
    pauses = True
    tail_seconds = 0.0

    def __init__(
        self,
        store: Store,
        open_writer: Callable[[str, int, int], ClipWriter],
        on_error: Callable[[str], None],
        *,
        pre_seconds: float,
        frame_rate: float,
        max_bytes: int,
        block: bool,
    ) -> None:
        self._open_writer = open_writer
        self._pre_seconds = pre_seconds
        self._frame_rate = frame_rate
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._buffer: deque[_Entry] = deque()
        self._claimed = 0
        self._bytes = 0
        self._open: _OpenFile | None = None
        self._checked = 0.0
        self.dropped = 0
        super().__init__(store, on_error, self._encode, block=block)

    @property
    def buffered_bytes(self) -> int:
        """Size of the buffer."""
        return self._bytes

    def record(self, frame: Frame, clip: Clip | None, since: float) -> None:
        """Buffer the next frame; it belongs to *clip*, as do earlier frames from the time *since* on."""
        if clip is None and self._pre_seconds == 0:
            return
        if not self._worker.put(lambda: self._add(frame, clip, since), max_jobs=_MAX_WAITING, block=self._block):
            self._drop(clip)

    def end(self, clip: Clip, since: float, *, last: bool) -> None:  # noqa: ARG002 - the buffer is always encoded
        """End a clip that includes earlier frames from the time *since* on."""
        self._worker.put(lambda: self._end(clip, since))

    # --- in the thread ---

    def _add(self, frame: Frame, clip: Clip | None, since: float) -> None:
        height, width = frame.image.shape[:2]
        planes = width * height * 1.5
        small = self._pre_seconds * self._frame_rate * planes > self._max_bytes * _FULL_SHARE
        packed = pack_frame(frame, small=small)
        if clip is not None:
            self._claim(clip, since)
        self._append(_Entry(packed, frame.seconds, clip))
        oldest = frame.seconds - self._pre_seconds - _EXTRA_SECONDS
        while self._buffer[0].clip is None and self._buffer[0].seconds < oldest:
            self._pop()
        while self._bytes > self._max_bytes and len(self._buffer) > 1 and self._buffer[0].packed is not None:
            dropped = self._pop()
            if dropped.clip is not None:
                self._drop(dropped.clip)

    def _end(self, clip: Clip, since: float) -> None:
        self._claim(clip, since)
        self._append(_Entry(None, 0.0, clip))

    def _claim(self, clip: Clip, since: float) -> None:
        for entry in self._buffer:
            if entry.clip is None and entry.seconds >= since - EPSILON_SECONDS:
                entry.clip = clip
                self._claimed += 1

    def _append(self, entry: _Entry) -> None:
        self._buffer.append(entry)
        self._claimed += entry.clip is not None
        self._bytes += 0 if entry.packed is None else entry.packed.size

    def _pop(self) -> _Entry:
        entry = self._buffer.popleft()
        self._claimed -= entry.clip is not None
        self._bytes -= 0 if entry.packed is None else entry.packed.size
        return entry

    def _drop(self, clip: Clip | None) -> None:
        with self._lock:
            self.dropped += 1
            if clip is not None:
                clip.lost += 1

    def _encode(self) -> bool:
        """Encode the next frame that belongs to a clip; returns whether more are left."""
        if not self._claimed:
            return False
        entry = self._pop()
        while entry.clip is None:
            entry = self._pop()
        clip = entry.clip
        if entry.packed is None:
            self._finish()
            if clip.lost:
                self._on_error(
                    f"{clip.lost} frames are missing in {clip.relative}; they came faster than they could be encoded"
                )
            if not clip.parts and not clip.failed:
                self._on_error(f"there is no {clip.relative}: no frame came while it was to be recorded")
        elif not clip.failed:
            try:
                self._writer(clip, entry.packed, entry.seconds).add(entry.packed, entry.seconds)
            except Exception as error:  # noqa: BLE001 - one clip is lost; detection and the next clip continue
                self._abort(clip, error)
        return bool(self._claimed)

    def _writer(self, clip: Clip, packed: PackedFrame, seconds: float) -> ClipWriter:
        """The file for the frame: a new one when the frame size has changed."""
        if self._open is not None and (self._open.clip, *self._open[2:4]) != (clip, packed.width, packed.height):
            self._finish()
        if self._open is None:
            relative = clip.next_part()
            part = self._store.begin(relative)
            try:
                writer = self._open_writer(part, packed.width, packed.height)
            except Exception:
                self._store.discard(part)
                raise
            self._open = _OpenFile(clip, writer, packed.width, packed.height, part, relative)
            self._checked = seconds
        elif seconds - self._checked >= _CHECK_SECONDS:
            self._checked = seconds
            self._store.make_room(os.path.getsize(self._open.part))
        return self._open.writer

    def _finish(self) -> None:
        if self._open is None:
            return
        opened = self._open
        try:
            opened.writer.close()
            self._store.finish(opened.part, opened.relative)
            self._open = None
        except Exception as error:  # noqa: BLE001 - as above
            self._abort(opened.clip, error)

    def _abort(self, clip: Clip, error: Exception) -> None:
        if self._open is not None:
            with contextlib.suppress(Exception):  # the first error is the one to report
                self._open.writer.close()
            self._store.discard(self._open.part)
            self._open = None
        self._fail_clip(clip, error)
