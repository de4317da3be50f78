"""Groups detections into motion events: a state machine without clock, camera or output."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from collectors.camera.detector import EPSILON_SECONDS, Box, Detection

T = TypeVar("T")


class Event(NamedTuple, Generic[T]):
    """The start or the end of an event; both have the same id.

    Args:
        kind: ``start`` or ``end``.
        event_id: see :func:`event_id`.
        start_ns: wall clock of the first frame with motion.
        duration_seconds: from the first to the last frame with motion so far.
        score: the highest so far.
        area_percent: the largest so far that the frame before or after it confirms.
        box: at that area.
        frames: number of frames with motion so far.
        interrupted: whether the frames stopped, so that the motion may have lasted longer.
        picture: the object passed with the frame of that area.
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
    """UTC to the microsecond and the camera's name in lower case: sorts by time, and is valid in a path.

    >>> event_id(1_700_000_000_123_456_789, "Front Door")
    '20231114T221320.123456Z-front-door'
    """
    seconds, nanoseconds = divmod(start_ns, 1_000_000_000)
    name = re.sub(r"[^a-z0-9]+", "-", camera.lower()).strip("-") or "camera"
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{nanoseconds // 1000:06d}Z-{name}"


#: Of two frames in a row with motion, one whose area is more than this multiple of the other's is an outlier.
_OUTLIER_TIMES = 2.0


class _Moving(NamedTuple, Generic[T]):
    """A frame with motion, and its number among all frames."""

    number: int
    seconds: float
    detection: Detection
    picture: T


class _Motion(Generic[T]):
    """Frames with motion that belong to one event."""

    def __init__(self, seconds: float, time_ns: int) -> None:
        self.start = self.last = seconds
        self.start_ns = time_ns
        self.frames = 0
        self.score = self.area = 0.0
        self.box = Box(0, 0, 0, 0)
        self.picture: T | None = None
        self._confirmed_area = 0.0
        self._before: Detection | None = None
        self._before_picture: T | None = None

    def add(self, moving: _Moving[T]) -> None:
        detection = moving.detection
        self.last = moving.seconds
        self.frames += 1
        self.score = max(self.score, detection.score)
        before, picture = self._before, self._before_picture
        self._before, self._before_picture = detection, moving.picture
        if before is None or picture is None:
            self._take(detection, moving.picture)
            return
        smaller = min(before.area_percent, detection.area_percent)
        if smaller > self._confirmed_area:
            self._confirmed_area = smaller
            outlier = max(before.area_percent, detection.area_percent) > _OUTLIER_TIMES * smaller
            if (detection.area_percent > before.area_percent) != outlier:
                self._take(detection, moving.picture)
            else:
                self._take(before, picture)

    def _take(self, detection: Detection, picture: T) -> None:
        if detection.box is not None:
            self.area, self.box, self.picture = detection.area_percent, detection.box, picture


class EventTracker(Generic[T]):
    """Follows the frames of one camera.

    Args:
        camera: its name.
        consecutive: number of consecutive frames with motion that start an event.
        gap_seconds: time without motion that ends an event.
    """

    def __init__(self, camera: str, consecutive: int, gap_seconds: float) -> None:
        self._camera = camera
        self._consecutive = consecutive
        self._gap = gap_seconds
        self._motion: _Motion[T] | None = None
        self._open = False
        self._last_frame = 0.0
        self._number = 0
        self._stray: _Moving[T] | None = None
        self._last_moving = 0

    def update(self, seconds: float, time_ns: int, detection: Detection, picture: T) -> Iterator[Event[T]]:
        """The events that a frame starts or ends.

        Args:
            seconds: monotonic time of the frame.
            time_ns: its wall clock, nanoseconds since 1970.
            detection: the detector's result for it.
            picture: kept while it is the best of the event, and returned with it.
        """
        self._last_frame = seconds
        self._number += 1
        moving = _Moving(self._number, seconds, detection, picture) if detection.moving else None
        confirmed = moving is not None and self._is_confirmed(moving)
        if self._is_over(seconds):
            yield from self.finish(interrupted=False)
        if moving is None:
            if not self._open:
                self._motion = None
            return
        if self._motion is None:
            self._motion = _Motion(seconds, time_ns)
        elif self._open and not confirmed:
            self._stray = moving
            return
        self._motion.add(moving)
        self._last_moving = moving.number
        if not self._open and self._motion.frames >= self._consecutive:
            self._open = True
            yield self._event("start", self._motion, interrupted=False)

    def idle(self, seconds: float) -> Iterator[Event[T]]:
        """The event that ends at a time without a frame, as while the camera is lost.

        It is interrupted if the second half of the gap had no frame, which might have shown more motion.
        """
        if self._is_over(seconds):
            assert self._motion is not None
            yield from self.finish(interrupted=self._last_frame - self._motion.last < self._gap / 2)

    def _is_confirmed(self, moving: _Moving[T]) -> bool:
        """Whether a frame with motion continues the open event: not if it is the only one among its neighbours.

        A stray frame is added to the event once another one confirms it.
        """
        if not self._open or self._motion is None or self._consecutive == 1:
            return True
        stray, self._stray = self._stray, None
        if stray is not None and moving.number - stray.number <= self._consecutive:
            self._motion.add(stray)
            return True
        return moving.number - self._last_moving <= self._consecutive

    def _is_over(self, seconds: float) -> bool:
        """Whether the gap after the last motion has passed."""
        return self._open and self._motion is not None and seconds - self._motion.last >= self._gap - EPSILON_SECONDS

    def finish(self, *, interrupted: bool) -> Iterator[Event[T]]:
        """The end of the open event, with its duration so far; nothing if none is open."""
        motion, was_open = self._motion, self._open
        self._motion, self._open, self._stray = None, False, None
        if was_open and motion is not None:
            yield self._event("end", motion, interrupted=interrupted)

    def _event(self, kind: str, motion: _Motion[T], *, interrupted: bool) -> Event[T]:
        assert motion.picture is not None
        return Event(
            kind,
            event_id(motion.start_ns, self._camera),
            motion.start_ns,
            motion.last - motion.start,
            motion.score,
            motion.area,
            motion.box,
            motion.frames,
            interrupted,
            motion.picture,
        )
