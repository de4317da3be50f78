"""Clips from the pictures of a backend that has no encoder of its own.

Every picture goes into a line of bounded size. The line is what a clip shows of the time before it, and what
waits to be encoded while one is recorded. Where the machine is too slow, the oldest fall out of it, and are counted.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from collectors.camera.backends import Frame
from collectors.camera.media.keeper import Clip, Keeper
from collectors.camera.media.pictures import Packed, pack
from collectors.camera.media.store import Store

#: Pictures that may wait to be packed.
_MOST_WAITING = 6
#: How much longer than before the motion pictures are kept: an event starts only after a few frames.
_SPARE_SECONDS = 1.0
#: How often it is seen to that a clip has room on the disk.
_LOOK_SECONDS = 1.0
#: A line that is filled to this share by the time before the motion has pictures packed smaller.
_FULL_SHARE = 0.8


class Film(Protocol):
    """A file that pictures are encoded into."""

    def add(self, packed: Packed, seconds: float) -> None:
        """The next picture and its monotonic time."""
        ...

    def close(self) -> None:
        """Write what is still to be written."""
        ...


class _Open(NamedTuple):
    """The file that is being written: of which clip, what sizes it takes, and where it is and will be."""

    clip: Clip
    film: Film
    width: int
    height: int
    part: str
    relative: str


class _Entry:
    """A picture in the line, and the clip that it is for; without a picture, the end of that clip."""

    __slots__ = ("clip", "packed", "seconds")

    def __init__(self, packed: Packed | None, seconds: float, clip: Clip | None) -> None:
        self.packed = packed
        self.seconds = seconds
        self.clip = clip


class Recorder(Keeper):
    """Encodes clips and writes snapshots in a thread of its own.

    Args:
        store: where files go.
        open_film: begins a file: path, width and height.
        tell: takes the sentence of what went wrong; called from the thread.
        pre_seconds: how much of the time before a clip is kept.
        frame_rate: pictures a second, about.
        most_bytes: what the line may take.
        patient: whether a picture waits for its place rather than be dropped: for sources that are not live.
    """

    #: Between two motions of one event nothing is recorded.
    pauses = True
    #: How long a clip has to be kept open beyond its last picture.
    tail_seconds = 0.0

    def __init__(
        self,
        store: Store,
        open_film: Callable[[str, int, int], Film],
        tell: Callable[[str], None],
        *,
        pre_seconds: float,
        frame_rate: float,
        most_bytes: int,
        patient: bool,
    ) -> None:
        self._open_film = open_film
        self._pre_seconds = pre_seconds
        self._frame_rate = frame_rate
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._line: deque[_Entry] = deque()
        self._claimed = 0
        self._bytes = 0
        self._open: _Open | None = None
        self._looked = 0.0
        self.dropped = 0
        super().__init__(store, tell, self._encode, patient=patient)

    @property
    def waiting_bytes(self) -> int:
        """What the line takes."""
        return self._bytes

    def take(self, frame: Frame, clip: Clip | None, since: float) -> None:
        """The next picture, the clip that it is for, and from when on the pictures before it are, too."""
        if clip is None and self._pre_seconds == 0:
            return
        if not self._worker.put(lambda: self._add(frame, clip, since), most=_MOST_WAITING, wait=self._patient):
            self._lose(clip)

    def end(self, clip: Clip, since: float, *, last: bool) -> None:  # noqa: ARG002 - all that waits is encoded anyway
        """That was the last picture of the clip, to which those from that time on belong, too; or the last of all."""
        self._worker.put(lambda: self._end(clip, since))

    # --- in the thread ---

    def _add(self, frame: Frame, clip: Clip | None, since: float) -> None:
        height, width = frame.image.shape[:2]
        planes = width * height * 1.5
        small = self._pre_seconds * self._frame_rate * planes > self._most_bytes * _FULL_SHARE
        packed = pack(frame.image, small=small)
        if clip is not None:
            self._claim(clip, since)
        self._append(_Entry(packed, frame.seconds, clip))
        kept_since = frame.seconds - self._pre_seconds - _SPARE_SECONDS
        while self._line[0].clip is None and self._line[0].seconds < kept_since:
            self._pop()
        while self._bytes > self._most_bytes and len(self._line) > 1 and self._line[0].packed is not None:
            lost = self._pop()
            if lost.clip is not None:
                self._lose(lost.clip)

    def _end(self, clip: Clip, since: float) -> None:
        self._claim(clip, since)
        self._append(_Entry(None, 0.0, clip))

    def _claim(self, clip: Clip, since: float) -> None:
        for entry in self._line:
            if entry.clip is None and entry.seconds >= since:
                entry.clip = clip
                self._claimed += 1

    def _append(self, entry: _Entry) -> None:
        self._line.append(entry)
        self._claimed += entry.clip is not None
        self._bytes += 0 if entry.packed is None else entry.packed.size

    def _pop(self) -> _Entry:
        entry = self._line.popleft()
        self._claimed -= entry.clip is not None
        self._bytes -= 0 if entry.packed is None else entry.packed.size
        return entry

    def _lose(self, clip: Clip | None) -> None:
        with self._lock:
            self.dropped += 1
            if clip is not None:
                clip.lost += 1

    def _encode(self) -> bool:
        """Encode the next picture that is for a clip; False when there is none."""
        if not self._claimed:
            return False
        entry = self._pop()
        while entry.clip is None:
            entry = self._pop()
        clip = entry.clip
        if entry.packed is None:
            self._finish()
            if clip.lost:
                self._tell(
                    f"{clip.lost} pictures are missing in {clip.relative}; they came faster than they could be encoded"
                )
            if not clip.parts and not clip.failed:
                self._tell(f"there is no {clip.relative}: no picture came while it was to be recorded")
        elif not clip.failed:
            try:
                self._film(clip, entry.packed, entry.seconds).add(entry.packed, entry.seconds)
            except Exception as error:  # noqa: BLE001 - one clip is lost, and detection and the next clip are not
                self._fail(clip, error)
        return bool(self._claimed)

    def _film(self, clip: Clip, packed: Packed, seconds: float) -> Film:
        """The file that the picture goes into: another one when the size of the pictures has changed."""
        if self._open is not None and (self._open.clip, *self._open[2:4]) != (clip, packed.width, packed.height):
            self._finish()
        if self._open is None:
            relative = clip.part()
            part = self._store.begin(relative)
            try:
                film = self._open_film(part, packed.width, packed.height)
            except Exception:
                self._store.give_up(part)
                raise
            self._open = _Open(clip, film, packed.width, packed.height, part, relative)
            self._looked = seconds
        elif seconds - self._looked >= _LOOK_SECONDS:
            self._looked = seconds
            self._store.make_room(os.path.getsize(self._open.part))
        return self._open.film

    def _finish(self) -> None:
        if self._open is None:
            return
        opened = self._open
        try:
            opened.film.close()
            self._store.finish(opened.part, opened.relative)
            self._open = None
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(opened.clip, error)

    def _fail(self, clip: Clip, error: Exception) -> None:
        if self._open is not None:
            with contextlib.suppress(Exception):  # what is wrong is known already, and it is wrong still
                self._open.film.close()
            self._store.give_up(self._open.part)
            self._open = None
        self._lost(clip, error)
