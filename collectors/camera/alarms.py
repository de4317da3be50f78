"""Alarms of a camera that delivers frames: a covered lens, and a frozen image."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.pixels import Image

#: Interval at which contrast is measured and the image is compared with the previous one.
_CHECK_SECONDS = 0.5
#: Below this contrast between its parts, in grey levels, an image shows nothing.
_MIN_CONTRAST = 3.0
#: Below this share of its usual contrast, an image shows nothing of its usual view.
_MIN_CONTRAST_SHARE = 0.15
#: An image is that of the usual view, in whatever light, if its parts are this much like it (correlation), and if
#: they differ by this many grey levels.
_USUAL_LIKENESS, _USUAL_CONTRAST = 0.7, 0.7
#: Time constant of the usual contrast when it decreases, in seconds.
_USUAL_SECONDS = 600.0
#: Columns and rows that the image is averaged to before its contrast is measured, which removes noise.
_GRID = (32, 24)


class AlarmState(NamedTuple):
    """State of the image.

    Args:
        covered: it has shown nothing for some time.
        frozen: it has been identical for some time.
        brightness: mean grey level.
    """

    covered: bool = False
    frozen: bool = False
    brightness: float = 0.0


class Alarms:
    """Follows the small grey images of one camera.

    Args:
        covered_seconds: time without detail until the lens counts as covered; 0 disables the alarm.
        frozen_seconds: time with identical images until the camera counts as frozen; 0 disables the alarm. The
            images of a working sensor differ, since they have noise.
    """

    def __init__(self, covered_seconds: float, frozen_seconds: float) -> None:
        self._covered_after = covered_seconds
        self._frozen_after = frozen_seconds
        self._previous: Image | None = None
        self._same_since = self._checked = self._brightness = 0.0
        self._usual: float | None = None
        self._view: Image | None = None
        self._blank_since: float | None = None
        self.state = AlarmState()

    def update(self, grey: Image, seconds: float) -> AlarmState:
        """The state after this image, taken at a monotonic time in seconds."""
        if self._previous is None or seconds - self._checked >= _CHECK_SECONDS - 1e-6:
            if self._previous is None or not np.array_equal(grey, self._previous):
                self._same_since = seconds
            frozen = 0 < self._frozen_after <= seconds - self._same_since + 1e-6
            self.state = AlarmState(self._is_covered(grey, seconds), frozen, self._brightness)
            self._previous, self._checked = grey, seconds
        return self.state

    def _is_covered(self, grey: Image, seconds: float) -> bool:
        elapsed = seconds - self._checked if self._usual is not None else 0.0
        size = (min(_GRID[0], grey.shape[1]), min(_GRID[1], grey.shape[0]))
        parts = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        mean, deviation = cv2.meanStdDev(parts)
        contrast, self._brightness = float(deviation[0, 0]), float(mean[0, 0])
        if self._usual is None:
            self._usual = contrast
        if contrast >= max(_MIN_CONTRAST, _MIN_CONTRAST_SHARE * self._usual):
            # Higher contrast is adopted quickly, lower contrast slowly: a cover is not a new view.
            weight = 0.5 if contrast > self._usual else min(1.0, elapsed / _USUAL_SECONDS)
            self._usual += weight * (contrast - self._usual)
            self._blank_since, self._view = None, np.asarray(parts, np.uint8)
            return False
        if contrast >= _USUAL_CONTRAST and self._is_usual_view(np.asarray(parts, np.uint8)):
            self._blank_since = None
            return False
        if self._blank_since is None:
            self._blank_since = seconds
        return 0 < self._covered_after <= seconds - self._blank_since + 1e-6

    def _is_usual_view(self, parts: Image) -> bool:
        """Whether the image, however dark or faint, shows the same view as the last clear one."""
        if self._view is None or self._view.shape != parts.shape:
            return False
        return float(cv2.matchTemplate(parts, self._view, cv2.TM_CCOEFF_NORMED)[0, 0]) >= _USUAL_LIKENESS
