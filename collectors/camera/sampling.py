"""Leaves out every second frame while nothing changes, which costs half and delays an event by a frame at most."""

from __future__ import annotations

from collectors.camera.detector import EPSILON_SECONDS, Detection
from collectors.camera.settings import Config

#: Frames are left out once nothing has changed for this long.
_QUIET_SECONDS = 2.0
#: From this interval between two frames on, none is left out.
_SLOW_SECONDS = 0.15


class Sampler:
    """Decides which frames are evaluated.

    Args:
        config: of the collector. None is left out where a single frame with motion starts an event.
    """

    def __init__(self, config: Config) -> None:
        self._min_area = config.detector.min_area_percent
        self._enabled = config.consecutive_frames > 1
        self._changed_at: float | None = None
        self._last_frame = 0.0
        self._last: Detection | None = None

    def result_for_skipped(self, seconds: float) -> Detection | None:
        """The result for a frame that need not be evaluated, which is that of the frame before it; or None."""
        last, self._last = self._last, None
        interval, self._last_frame = seconds - self._last_frame, seconds
        if last is None or not 0.0 <= interval < _SLOW_SECONDS:
            return None
        return last

    def add(self, detection: Detection, seconds: float, *, noisy: bool) -> None:
        """Take the result of a frame that was evaluated; while the camera is *noisy*, none is left out."""
        if (
            self._changed_at is None
            or noisy
            or detection.blind
            or detection.reset_reason
            or detection.shift_percent > 0
            or detection.changed_percent >= self._min_area
        ):
            self._changed_at = seconds
        elif self._enabled and seconds - self._changed_at >= _QUIET_SECONDS - EPSILON_SECONDS:
            self._last = detection
