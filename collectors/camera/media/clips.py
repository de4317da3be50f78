"""Selects the frames that a clip consists of, by the times of the frames alone."""

from __future__ import annotations

import math
from collections.abc import Callable

from collectors.camera.backends import Frame
from collectors.camera.detector import EPSILON_SECONDS
from collectors.camera.media.recorder import Clip, Recorder


class ClipSelector:
    """Keeps one clip open at a time, for as long as an event or a request needs it.

    Args:
        pre_seconds: time before the motion that a clip includes.
        post_seconds: time after the last motion that it includes.
        max_seconds: its maximum length.
        idle_seconds: time without a frame after which it ends: frames that come later begin another.
        recorder: receives the frames.
    """

    def __init__(
        self,
        *,
        pre_seconds: float,
        post_seconds: float,
        max_seconds: float,
        idle_seconds: float,
        recorder: Recorder,
    ) -> None:
        self.clip: Clip | None = None
        self._pre = pre_seconds
        self._post = post_seconds
        self._max = max_seconds
        self._idle = idle_seconds
        self._recorder = recorder
        self._event_clip: Clip | None = None
        self._in_event = False
        self._requested_until = self._moved_at = -math.inf
        self._since = 0.0
        self._length = 0.0
        self._last: float | None = None
        self._last_frame = -math.inf

    def request(self, now: float, seconds: float, path: Callable[[], str]) -> str:
        """Record a clip until *seconds* from now; returns its path."""
        if self.clip is None:
            self._open(Clip(path()), now - self._pre, now)
        assert self.clip is not None
        self._requested_until = max(self._requested_until, now + seconds)
        return self.clip.relative

    def start_event(self, start: float, now: float, relative: str) -> None:
        """Record an event whose motion began at the time *start*."""
        self._in_event = True
        self._moved_at = now
        if self.clip is None:
            self._open(Clip(relative), start - self._pre, now)
        self._event_clip = self.clip

    def end_event(self, now: float) -> Clip | None:
        """End the event; returns its clip."""
        self._in_event = False
        clip, self._event_clip = self._event_clip, None
        self._close_if_over(now)
        return clip

    def on_frame(self, frame: Frame, *, moving: bool) -> None:
        """Pass the next frame on."""
        now = self._last_frame = frame.seconds
        if moving and self._in_event:
            self._moved_at = now
        self._close_if_over(now)
        wanted = self.clip is not None and (now <= self._until + EPSILON_SECONDS or not self._recorder.pauses)
        if wanted:
            # After a pause, the clip continues with the frames before the motion.
            since = max(self._since, now - self._pre)
            self._length += min(now - self._last, 1.0) if self._last is not None and self._last >= since else 0.0
            self._recorder.record(frame, self.clip, self._since if self._last is None else since)
            self._last = now
        else:
            self._recorder.record(frame, None, now)

    def on_idle(self, now: float) -> None:
        """End the clip at a time without a frame, if it is over or no frame has come for too long."""
        if self.clip is not None and now - self._last_frame >= self._idle - EPSILON_SECONDS:
            self._end()
        self._close_if_over(now)

    def close(self) -> None:
        """End the open clip; no more frames follow."""
        if self.clip is not None:
            self._end(last=True)

    @property
    def _until(self) -> float:
        return max(self._requested_until, self._moved_at + self._post)

    def _open(self, clip: Clip, since: float, now: float) -> None:
        self.clip = clip
        self._since = since
        self._length = now - since
        self._last = None

    def _close_if_over(self, now: float) -> None:
        if self.clip is None:
            return
        over = now > self._until + self._recorder.tail_seconds + EPSILON_SECONDS and not self._in_event
        if over or self._length >= self._max - EPSILON_SECONDS:
            self._end()

    def _end(self, *, last: bool = False) -> None:
        assert self.clip is not None
        self._recorder.end(self.clip, self._since if self._last is None else math.inf, last=last)
        self.clip = None
        self._requested_until = -math.inf
