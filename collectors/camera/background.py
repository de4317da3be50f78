"""The background that a detector has learned, the noise around it, and the images of the last moment."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.camera import lighting
from collectors.camera.pixels import Image, estimate_noise

#: Differences of times miss a limit by less than this.
EPSILON_SECONDS = 1e-6
#: Age of the frame that motion is measured against, of the one between, and interval at which frames are kept.
_EARLIER_SECONDS, _MIDDLE_SECONDS, _KEEP_SECONDS = 0.4, 0.2, 0.1
#: Minimum pause, in intervals between frames and in seconds, after which the frame before it is not comparable.
_PAUSE_INTERVALS, _PAUSE_SECONDS = 3.0, 1.0
#: Interval of learning the background; a shorter one costs time without any benefit.
_LEARN_SECONDS = 0.2
#: A change of the mean brightness by this many grey levels is daylight, not noise.
_DAYLIGHT_LEVELS = 0.3
#: A change of the brightness by this share is light, not noise.
_FLICKER_SHARE = 0.005
#: Moving pixels are learned this many times slower than others, at this interval.
_MOVING_SLOWNESS, _MOVING_LEARN_SECONDS = 10.0, 1.0
#: Pixels this close to a moving pixel belong to it, such as the inside of a coat.
_MOVING_KERNEL = cv2.getStructuringElement(cv2.MORPH_RECT, (7, 7))
#: Weight of a new noise estimate.
_NOISE_WEIGHT = 0.25
#: A young background is the mean of up to this many images.
_YOUNG_IMAGES = 20
#: Weight of a background of another light, in images.
_REFINED_IMAGES = 4
#: Number of remembered backgrounds of other lights, and the minimum age of such a background.
_REMEMBERED, _REMEMBERED_SECONDS = 3, 3.0


class Moment(NamedTuple):
    """Images of the last moment: the earliest, one from the middle, and the newest; they may be the same."""

    earliest: Image
    middle: Image
    newest: Image


class Background:
    """A learned background.

    Args:
        background_seconds: time constant for following lasting changes.
    """

    def __init__(self, background_seconds: float) -> None:
        self._seconds = background_seconds
        self._mean: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self.level: Image = np.zeros((0, 0), np.uint8)  # the mean in whole grey levels
        self.noise = 0.0
        self._images = 0
        self._reset_at = self._learned_at = self._moving_seconds = 0.0
        self._recent: deque[tuple[float, Image]] = deque()
        self._kept_at, self._interval = 0.0, math.inf
        self._memory: deque[NDArray[np.float32]] = deque(maxlen=_REMEMBERED)

    def reset(self, grey: Image, seconds: float, *, remember: bool) -> None:
        """Start over with this image; *remember* the background so far, as that of another light."""
        if remember:
            self.remember(seconds)
        else:
            self._memory.clear()
        self._mean = grey.astype(np.float32)
        self.level = grey.copy()
        self._images = 1
        self._reset_at = self._learned_at = seconds
        self._moving_seconds = 0.0
        self.forget_moment(grey, seconds)
        self._kept_at = seconds

    def remember(self, seconds: float) -> None:
        """Keep a copy for the time when this light returns."""
        if seconds - self._reset_at >= _REMEMBERED_SECONDS - EPSILON_SECONDS:
            self._memory.append(self._mean.copy())

    def age(self, seconds: float) -> float:
        """Time since the last reset."""
        return seconds - self._reset_at

    @property
    def is_young(self) -> bool:
        """Whether it is still the plain mean of a few images."""
        return self._images < _YOUNG_IMAGES

    # --- light ---

    def under_light_of(self, cells: NDArray[np.float32], *, others: bool) -> list[NDArray[np.float32]]:
        """This background, and the *others* remembered, each in the light of the image with these cells."""
        found = []
        for mean in (self._mean, *(self._memory if others else ())):
            if mean.shape == self._mean.shape:
                gain = lighting.fit_gain(lighting.cells(mean), cells)
                found.append(np.asarray(mean * lighting.spread(gain, mean.shape), np.float32))
        return found

    def replace(self, mean: NDArray[np.float32], seconds: float, *, refine: bool) -> None:
        """Continue with this background of another light; the images of the last moment are relit as well.

        Args:
            mean: the background.
            seconds: time of the image whose light it has.
            refine: whether to learn quickly from the next images.
        """
        ratio = (mean + 1.0) / (self._mean + 1.0)
        self._recent = deque(
            (each, np.asarray(cv2.multiply(image, ratio, dtype=cv2.CV_8U), np.uint8)) for each, image in self._recent
        )
        self._mean = mean
        self._round()
        self._learned_at = seconds
        if refine:
            self._images = min(self._images, _REFINED_IMAGES)

    def follow_daylight(self, grey: Image, still: Image) -> bool:
        """Scale by the change of the mean of the pixels that are *still*; whether that made a difference.

        Learning alone follows dusk too slowly, and its lag would count as noise.
        """
        now, before = cv2.mean(grey, still)[0], cv2.mean(self.level, still)[0]
        if abs(now - before) <= _DAYLIGHT_LEVELS or min(now, before) <= 1.0:
            return False
        self._mean *= np.float32(min(max(now / before, 0.8), 1.25))
        self._round()
        return True

    # --- learning ---

    def learn_noise(self, difference: Image, visible: Image | None, *, first: bool = False) -> None:
        """Follow the noise in a difference from the background; the *first* estimate is taken as it is."""
        noise = estimate_noise(difference, visible)
        self.noise = noise if first else self.noise + _NOISE_WEIGHT * (noise - self.noise)

    def warm_up(self, grey: Image, difference: Image, visible: Image | None, seconds: float) -> None:
        """Learn the mean of the images so far, and the noise around it."""
        self._images += 1
        self._learn_noise_under_its_light(grey, difference, visible)
        self._blend(grey, max(1.0 / self._images, 1.0 / _YOUNG_IMAGES))
        self._learned_at = seconds

    def learn(self, grey: Image, changed: Image, moving: Image | None, visible: Image | None, seconds: float) -> None:
        """Follow lasting changes, those of *moving* pixels slowly."""
        if self.is_young:
            # Changes since the first image may be a walking person.
            self._images += 1
            self._learn_noise_under_its_light(grey, cv2.absdiff(grey, self.level), visible)
            still = cv2.bitwise_not(cv2.dilate(changed, _MOVING_KERNEL))
            cv2.accumulateWeighted(grey, self._mean, 1.0 / self._images, still)
            self._round()
            self._learned_at = seconds
            return
        elapsed = seconds - self._learned_at
        if elapsed < _LEARN_SECONDS - EPSILON_SECONDS:
            return
        self._learned_at = seconds
        weight = 1.0 - math.exp(-elapsed / self._seconds)
        if moving is None:
            self._blend(grey, weight)
            return
        # A moving object must not become background, but motion must not last forever either, so it is learned slowly.
        moving = np.asarray(cv2.dilate(moving, _MOVING_KERNEL), np.uint8)
        self._moving_seconds += elapsed
        if self._moving_seconds >= _MOVING_LEARN_SECONDS - EPSILON_SECONDS:
            slow = 1.0 - math.exp(-self._moving_seconds / (_MOVING_SLOWNESS * self._seconds))
            cv2.accumulateWeighted(grey, self._mean, slow, moving)
            self._moving_seconds = 0.0
        cv2.accumulateWeighted(grey, self._mean, weight, cv2.bitwise_not(moving))
        self._round()

    def _learn_noise_under_its_light(self, grey: Image, difference: Image, visible: Image | None) -> None:
        """Learn the noise of an image, without a difference in brightness that the light makes, such as flicker."""
        gain = lighting.typical_gain(lighting.cells(self.level), lighting.cells(grey))
        if abs(gain - 1.0) > _FLICKER_SHARE:
            difference = cv2.absdiff(grey, cv2.convertScaleAbs(self.level, alpha=gain))
        self.learn_noise(difference, visible, first=self._images == 2)

    def skip_learning(self, seconds: float) -> None:
        """Leave out an image, such as one of a shaking camera."""
        self._learned_at = seconds

    # --- the last moment ---

    def keep(self, grey: Image, seconds: float) -> None:
        """Keep an image as one of the last moment."""
        recent = self._recent
        interval, self._kept_at = seconds - self._kept_at, seconds
        if interval > max(_PAUSE_SECONDS, _PAUSE_INTERVALS * self._interval):
            self.forget_moment(grey, seconds)
        self._interval = interval
        while len(recent) > 1 and seconds - recent[1][0] >= _EARLIER_SECONDS - EPSILON_SECONDS:
            recent.popleft()
        if seconds - recent[-1][0] >= _KEEP_SECONDS - EPSILON_SECONDS:
            recent.append((seconds, grey))

    def moment(self, seconds: float) -> Moment:
        """The images of the last moment before the image of this time, which was kept last.

        At a low frame rate, that is the previous image alone; after a pause, it is this image.
        """
        before = [each for each in self._recent if each[0] < seconds] or list(self._recent)
        earliest, newest = before[0][1], before[-1][1]
        middle = next(
            (image for when, image in reversed(before) if seconds - when >= _MIDDLE_SECONDS - EPSILON_SECONDS),
            earliest,
        )
        return Moment(earliest, middle, newest)

    def smooth_moment(self, smooth: Callable[[Image], Image]) -> None:
        """Smooth the images of the last moment, like those that follow."""
        self._recent = deque((seconds, smooth(image)) for seconds, image in self._recent)

    def forget_moment(self, grey: Image, seconds: float) -> None:
        """Continue with this image as the only one of the last moment."""
        self._recent.clear()
        self._recent.append((seconds, grey))

    def _blend(self, grey: Image, weight: float) -> None:
        cv2.accumulateWeighted(grey, self._mean, weight)
        self._round()

    def _round(self) -> None:
        cv2.convertScaleAbs(self._mean, self.level)
