"""Whether a camera that gives pictures still sees anything: a covered lens, and a picture that stands still."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.pixels import Image

#: How often detail is looked at, and the picture compared with the one of the last time.
_LOOK_SECONDS = 0.5
#: A picture with less contrast between its parts than this, in grey levels, shows nothing.
_LEAST_CONTRAST = 3.0
#: With less than this share of the usual contrast, it shows nothing of what it used to.
_LOST_SHARE = 0.15
#: How many seconds it takes until another contrast is the usual one.
_USUAL_SECONDS = 600.0
#: Into so many parts, across and down, the picture is averaged before its contrast is taken: noise averages out.
_PARTS = (32, 24)


class State(NamedTuple):
    """What the picture is like.

    Args:
        covered: nothing is to be seen in it, and has not been for some time.
        frozen: it has been exactly the same for some time.
        brightness: mean grey level.
    """

    covered: bool = False
    frozen: bool = False
    brightness: float = 0.0


class Alarms:
    """Follows the small grey pictures of one camera.

    Args:
        covered_seconds: how long nothing may be seen; 0 turns the alarm off.
        frozen_seconds: how long the picture may stay exactly the same; 0 turns the alarm off. A sensor has noise.
    """

    def __init__(self, covered_seconds: float, frozen_seconds: float) -> None:
        self._covered_after = covered_seconds
        self._frozen_after = frozen_seconds
        self._picture: Image | None = None
        self._same_since = self._looked = self._brightness = 0.0
        self._usual: float | None = None
        self._nothing_since: float | None = None
        self.state = State()

    def look(self, grey: Image, seconds: float) -> State:
        """The state with this picture, seen at a monotonic time in seconds."""
        if self._picture is None or seconds - self._looked >= _LOOK_SECONDS - 1e-6:
            if self._picture is None or not np.array_equal(grey, self._picture):
                self._same_since = seconds
            frozen = 0 < self._frozen_after <= seconds - self._same_since + 1e-6
            self.state = State(self._is_covered(grey, seconds), frozen, self._brightness)
            self._picture, self._looked = grey, seconds
        return self.state

    def _is_covered(self, grey: Image, seconds: float) -> bool:
        elapsed = seconds - self._looked if self._usual is not None else 0.0
        size = (min(_PARTS[0], grey.shape[1]), min(_PARTS[1], grey.shape[0]))
        mean, deviation = cv2.meanStdDev(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
        contrast, self._brightness = float(deviation[0, 0]), float(mean[0, 0])
        if self._usual is None:
            self._usual = contrast
        if contrast >= max(_LEAST_CONTRAST, _LOST_SHARE * self._usual):
            # A view with more contrast is taken over soon, one with less slowly: a cover is no new view.
            quick = 0.5 if contrast > self._usual else min(1.0, elapsed / _USUAL_SECONDS)
            self._usual += quick * (contrast - self._usual)
            self._nothing_since = None
            return False
        if self._nothing_since is None:
            self._nothing_since = seconds
        return 0 < self._covered_after <= seconds - self._nothing_since + 1e-6
