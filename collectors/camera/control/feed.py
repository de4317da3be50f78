"""Frame times and events of the camera, readable from other threads."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from collectors.camera.events import Event
from collectors.core.line_protocol import FieldValue

#: The frame rate is measured over this many pictures and seconds at most.
_PICTURES, _RATE_SECONDS = 64, 10.0

#: Events that are kept in memory; the database has the history.
MAX_EVENTS = 500

#: Fields with paths of media, and the keys of their links.
_LINKS = {"snapshot_path": "snapshot", "clip_path": "clip"}


class Feed:
    """Times of the last pictures.

    Args:
        timer: monotonic seconds.
        stale_seconds: maximum age of a live picture.
    """

    def __init__(self, timer: Callable[[], float], stale_seconds: float) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=_PICTURES)
        self._waker: Callable[[], None] | None = None
        self.stale_seconds = stale_seconds

    def see(self) -> None:
        """Record a picture; called in the camera's thread, does not block."""
        with self._lock:
            self._times.append(self._timer())
            if self._waker is not None:
                self._waker()

    def wake(self, waker: Callable[[], None]) -> None:
        """Set the function to call with each picture."""
        with self._lock:
            self._waker = waker

    def rest(self, waker: Callable[[], None]) -> None:
        """Unset the function; when this returns, no call is running."""
        with self._lock:
            if self._waker is waker:
                self._waker = None

    def age_seconds(self) -> float | None:
        """Age of the newest picture; None before the first."""
        with self._lock:
            return self._timer() - self._times[-1] if self._times else None

    def frames_per_second(self) -> float | None:
        """Pictures per second in the last 10 s; None for fewer than two."""
        with self._lock:
            now = self._timer()
            recent = [time for time in self._times if now - time <= _RATE_SECONDS]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return None
        return (len(recent) - 1) / (recent[-1] - recent[0])


class EventLog:
    """The latest events.

    Args:
        camera: the camera's name.
        max_events: how many are kept.
    """

    def __init__(self, camera: str, max_events: int = MAX_EVENTS) -> None:
        self._camera = camera
        self._max_events = max_events
        self._lock = threading.Lock()
        self._events: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def add(self, event: Event[Any], fields: Mapping[str, FieldValue]) -> None:
        """Add the start or end of an event, with the fields of its point, such as paths of media."""
        entry: dict[str, Any] = {
            "event_id": event.event_id,
            "camera": self._camera,
            "open": event.kind == "start",
            "start": _rfc3339(event.start_ns),
            "duration_seconds": round(event.duration_seconds, 6),
            "score": round(event.score, 2),
            "area_percent": round(event.area_percent, 3),
            "box_percent": {name: round(value, 2) for name, value in event.box._asdict().items()},
            "frames": event.frames,
            "interrupted": event.interrupted,
        }
        for field, name in _LINKS.items():
            path = fields.get(field)
            entry[name] = media_link(path) if isinstance(path, str) and path else None
        with self._lock:
            self._events[event.event_id] = entry
            while len(self._events) > self._max_events:
                self._events.popitem(last=False)

    def page(self, limit: int, before: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """At most *limit* events, newest first, and the id for the next page; None on the last page.

        Ids sort by time, so a page starts at the right place even if its event is gone.
        """
        with self._lock:
            found = [entry for name, entry in reversed(self._events.items()) if before is None or name < before]
        return found[:limit], found[limit - 1]["event_id"] if len(found) > limit else None


def media_link(path: str) -> str:
    """The URL path of a file below the media root."""
    return "/media/" + quote(path)


def _rfc3339(time_ns: int) -> str:
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
