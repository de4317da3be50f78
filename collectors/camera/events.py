"""Makes events of detections: a state machine without clock, camera or output."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from collectors.camera.detector import Box, Detection

T = TypeVar("T")


class Event(NamedTuple, Generic[T]):
    """The start of an event, or its end; both have the same id.

    Args:
        kind: ``start`` or ``end``.
        event_id: see :func:`event_id`.
        start_ns: wall clock of the first frame with motion.
        duration_seconds: from the first to the last frame with motion so far.
        score: the highest so far.
        area_percent: the largest so far.
        box: where the area was largest.
        frames: frames with motion so far.
        interrupted: whether it was ended before the motion had.
        picture: what was handed in with the frame whose area was largest.
    """

    kind: str
    event_id: str
    start_ns: int
    duration_seconds: float
    score: float
    area_percent: float
    box: Box
    frames: int
    interrupted: bool
    picture: T


def event_id(start_ns: int, camera: str) -> str:
    """UTC to the microsecond, and the camera's name in lower case: in the order of time, and fit for a path.

    >>> event_id(1_700_000_000_123_456_789, "Front Door")
    '20231114T221320.123456Z-front-door'
    """
    seconds, nanoseconds = divmod(start_ns, 1_000_000_000)
    name = re.sub(r"[^a-z0-9]+", "-", camera.lower()).strip("-") or "camera"
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{nanoseconds // 1000:06d}Z-{name}"


class _Run(Generic[T]):
    """Frames with motion that belong together."""

    def __init__(self, seconds: float, time_ns: int) -> None:
        self.began = self.last = seconds
        self.start_ns = time_ns
        self.frames = 0
        self.score = self.area = 0.0
        self.box = Box(0, 0, 0, 0)
        self.picture: T | None = None

    def add(self, seconds: float, seen: Detection, picture: T) -> None:
        self.last = seconds
        self.frames += 1
        self.score = max(self.score, seen.score)
        if seen.box is not None and (self.picture is None or seen.area_percent > self.area):
            self.area, self.box, self.picture = seen.area_percent, seen.box, picture


class Events(Generic[T]):
    """Follows the frames of one camera.

    Args:
        camera: its name.
        consecutive: how many frames in a row need motion for an event to start.
        gap_seconds: how long nothing may move until the event has ended.
    """

    def __init__(self, camera: str, consecutive: int, gap_seconds: float) -> None:
        self._camera = camera
        self._consecutive = consecutive
        self._gap = gap_seconds
        self._run: _Run[T] | None = None
        self._open = False

    def follow(self, seconds: float, time_ns: int, seen: Detection, picture: T) -> Iterator[Event[T]]:
        """What a frame brings about.

        Args:
            seconds: monotonic time of the frame.
            time_ns: its wall clock, nanoseconds since 1970.
            seen: what the detector found in it.
            picture: kept while it is the best of the event, and handed out with it.
        """
        if self._open and self._run is not None and seconds - self._run.last >= self._gap:
            yield from self.finish(interrupted=False)
        if not seen.moving:
            if not self._open:
                self._run = None
            return
        if self._run is None:
            self._run = _Run(seconds, time_ns)
        self._run.add(seconds, seen, picture)
        if not self._open and self._run.frames >= self._consecutive:
            self._open = True
            yield self._event("start", self._run, interrupted=False)

    def finish(self, *, interrupted: bool) -> Iterator[Event[T]]:
        """The end of the event that is open, with its duration so far; nothing where none is."""
        run, was_open = self._run, self._open
        self._run, self._open = None, False
        if was_open and run is not None:
            yield self._event("end", run, interrupted=interrupted)

    def _event(self, kind: str, run: _Run[T], *, interrupted: bool) -> Event[T]:
        assert run.picture is not None
        return Event(
            kind,
            event_id(run.start_ns, self._camera),
            run.start_ns,
            run.last - run.began,
            run.score,
            run.area,
            run.box,
            run.frames,
            interrupted,
            run.picture,
        )
