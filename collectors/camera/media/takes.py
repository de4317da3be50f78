"""Which pictures a clip is made of: the decisions, on the times of the pictures alone."""

from __future__ import annotations

import math
from collections.abc import Callable

from collectors.camera.backends import Frame
from collectors.camera.media.keeper import Clip, Recording


class Takes:
    """One clip at a time, as long as an event or somebody wants it.

    Args:
        pre_seconds: how much of the time before the motion a clip shows.
        post_seconds: how much of the time after the last motion it shows.
        most_seconds: how long it may be.
        recording: takes the pictures.
    """

    def __init__(self, *, pre_seconds: float, post_seconds: float, most_seconds: float, recording: Recording) -> None:
        self.clip: Clip | None = None
        self._pre = pre_seconds
        self._post = post_seconds
        self._most = most_seconds
        self._recording = recording
        self._of_event: Clip | None = None
        self._in_event = False
        self._asked_until = self._moved = -math.inf
        self._since = self._begun = 0.0
        self._shown = 0.0
        self._last: float | None = None

    def ask(self, now: float, seconds: float, path: Callable[[], str]) -> str:
        """Somebody wants a clip of so many seconds from now; its path."""
        if self.clip is None:
            self._begin(Clip(path()), now - self._pre, now)
        assert self.clip is not None
        self._asked_until = max(self._asked_until, now + seconds)
        return self.clip.relative

    def start(self, began: float, now: float, relative: str) -> None:
        """An event has started, whose motion began at that time."""
        self._in_event = True
        self._moved = now
        if self.clip is None:
            self._begin(Clip(relative), began - self._pre, now)
        self._of_event = self.clip

    def finish(self, now: float) -> Clip | None:
        """The event has ended; its clip."""
        self._in_event = False
        clip, self._of_event = self._of_event, None
        self._close_if_over(now)
        return clip

    def see(self, frame: Frame, *, moving: bool) -> None:
        """The next picture."""
        now = frame.seconds
        if moving and self._in_event:
            self._moved = now
        self._close_if_over(now)
        wanted = self.clip is not None and (now <= self._until or not self._recording.pauses)
        if wanted:
            # Pictures of a pause are only shown from the time before the motion goes on.
            since = max(self._since, now - self._pre)
            self._shown += min(now - self._last, 1.0) if self._last is not None and self._last >= since else 0.0
            self._recording.take(frame, self.clip, self._since if self._last is None else since)
            self._last = now
        else:
            self._recording.take(frame, None, now)

    def close(self) -> None:
        """There are no more pictures."""
        if self.clip is not None:
            self._end(last=True)

    @property
    def _until(self) -> float:
        return max(self._asked_until, self._moved + self._post)

    def _begin(self, clip: Clip, since: float, now: float) -> None:
        self.clip = clip
        self._since, self._begun = since, now
        self._shown = now - since
        self._last = None

    def _close_if_over(self, now: float) -> None:
        if self.clip is None:
            return
        over = now > self._until + self._recording.tail_seconds and not self._in_event
        if over or self._shown >= self._most:
            self._end()

    def _end(self, *, last: bool = False) -> None:
        assert self.clip is not None
        self._recording.end(self.clip, self._since if self._last is None else math.inf, last=last)
        self.clip = None
        self._asked_until = -math.inf
