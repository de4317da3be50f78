"""Motion detection in one image after another: plain arrays in, a plain result out.

A pixel has changed when it differs from the learned background by more than a threshold, which follows the image
noise. Changed pixels count as motion when enough of them are connected and also differ from a frame of a moment ago:
a parked car, a moved chair or the place that an object has just left differ from the background but do not move. A
region that is only brighter or darker is a change of light, and an image that moves as a whole is a shaking camera.

Differences are computed with ``cv2.absdiff``: subtracting uint8 arrays wraps around at 0.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.camera import masks, pixels
from collectors.camera.alarms import Alarms
from collectors.camera.pixels import KERNEL, Rectangle, crop, threshold_mask
from collectors.camera.pixels import Image as Image
from collectors.camera.pixels import crop_stride as crop_stride
from collectors.camera.pixels import estimate_noise as estimate_noise
from collectors.camera.pixels import shrink as shrink
from collectors.camera.settings import DetectorConfig

#: Digits of a second that image times are rounded to; sums and differences of them miss a limit by less than this.
_TIME_DIGITS, EPSILON_SECONDS = 6, 1e-6
#: Age of the frame that motion is measured against, and interval at which frames are kept for that.
_EARLIER_SECONDS, _KEEP_SECONDS = 0.4, 0.1
#: Share of the minimum area that must differ from the earlier frame.
_MOVING_SHARE = 0.2
#: Interval of learning the background and the noise; a shorter one costs time and changes nothing.
_LEARN_SECONDS, _NOISE_SECONDS = 0.2, 1.0
#: A change of the mean brightness by this many grey levels is daylight, not noise.
_DAYLIGHT_LEVELS = 0.3
#: Moving pixels are learned this many times slower than others, at this interval.
_MOVING_SLOWNESS, _MOVING_LEARN_SECONDS = 10.0, 1.0
#: A change larger than this multiple of the minimum area, and than this multiple of the change in the previous frame,
#: is too sudden for an object that enters the image. Only applied to frames at most this far apart.
_LEAP_AREAS, _LEAP_TIMES, _LEAP_SECONDS = 2.0, 3.0, 0.5
#: A moving region is not checked for a change of light within this time after motion: it belongs to that motion.
_LIGHT_SECONDS = 0.5
#: A shaking camera changes at least this share of the image, in at least this many of 4 x 4 parts, each by this share.
_SHAKE_PERCENT, _SHAKE_PARTS, _PART_PERCENT = 1.0, 5, 0.5
#: After a failed search for a shift, the next one waits this long (longer during motion), unless twice as many pixels
#: or two more parts have changed.
_RETRY_SECONDS, _RETRY_MOVING_SECONDS = 2.0, 6.0
#: A shift is accepted when at most this share of the changed pixels remains.
_UNEXPLAINED_SHARE = 0.8
#: A camera whose shift stays the same for this long has been moved.
_MOVED_SECONDS = 3.0
#: Pixels this close to a moving pixel belong to it, such as the inside of a coat.
_MOVING_KERNEL = cv2.getStructuringElement(cv2.MORPH_RECT, (7, 7))
#: Below this width or height, an image is too small to measure a shift in.
_MIN_SIDE = 32


class Box(NamedTuple):
    """A rectangle, in percent of the image's width and height."""

    left: float
    top: float
    width: float
    height: float


class Detection(NamedTuple):
    """Result for one image.

    Args:
        moving: whether there is motion.
        changed_percent: share of the image that differs from the background, motion or not.
        area_percent: share of the image that moves; 0 without motion.
        score: mean difference of the moving pixels, in multiples of the threshold; 0 without motion.
        box: around everything that moves; None without motion.
        reset_reason: why this image replaced the background: ``first``, ``size``, ``light``, ``moved``; or empty.
        shift_percent: how far the camera has shaken, in percent of the image width; 0 if it has not.
        covered: whether the image has shown nothing for some time, as behind a covered lens.
        frozen: whether the image has been identical for some time.
        brightness_percent: mean brightness of the image.
    """

    moving: bool = False
    changed_percent: float = 0.0
    area_percent: float = 0.0
    score: float = 0.0
    box: Box | None = None
    reset_reason: str = ""
    shift_percent: float = 0.0
    covered: bool = False
    frozen: bool = False
    brightness_percent: float = 0.0


class DetectorState(NamedTuple):
    """Intermediate results for the last image, for drawing; small images of one size.

    Args:
        grey: the image that was evaluated.
        background: the learned background.
        difference: between the two.
        changed: 255 where it is above the threshold.
        visible: 255 where motion is detected; None without a mask.
        threshold: grey levels.
        noise: grey levels.
    """

    grey: Image
    background: Image
    difference: Image
    changed: Image
    visible: Image | None
    threshold: float
    noise: float


class _FailedSearch(NamedTuple):
    """Time of a search that found no shift, and how many pixels and parts of the image had changed."""

    seconds: float
    pixels: int
    parts: int


_NO_SEARCH = _FailedSearch(-_RETRY_MOVING_SECONDS, 0, 0)


class Detector:
    """Finds motion in one image after another."""

    def __init__(self, config: DetectorConfig) -> None:
        self._config = config
        self._origin: float | None = None
        self._background: NDArray[np.float32] | None = None
        self._level: Image = np.zeros((0, 0), np.uint8)  # the background in whole grey levels
        self._grey = self._difference = self._changed = self._moving_pixels = self._level
        self._size: tuple[int, ...] = ()
        self._visible: Image | None = None
        self._visible_pixels = 1
        self._reset_at = self._learned_at = self._noise_at = self._detected_at = 0.0
        self._moving_seconds = 0.0
        self._moved_at = -_LIGHT_SECONDS
        self._warm_up_images = 0
        self._recent: deque[tuple[float, Image]] = deque()
        self._noise = 0.0
        self._previous_percent = 0.0
        self._shift: tuple[float, float] | None = None
        self._shifted_since = 0.0
        self._failed_search = _NO_SEARCH
        self._alarms = Alarms(config.covered_seconds, config.frozen_seconds)

    @property
    def threshold(self) -> float:
        """Grey levels by which a changed pixel must differ."""
        return max(self._config.least_difference, self._config.noise_factor * self._noise)

    @property
    def state(self) -> DetectorState:
        """The intermediate results for the last image."""
        return DetectorState(
            self._grey, self._level, self._difference, self._changed, self._visible, self.threshold, self._noise
        )

    def detect(self, image: Image, seconds: float) -> Detection:
        """The result for an image taken at a monotonic time in seconds."""
        if self._origin is None:
            self._origin = seconds
        # Relative and rounded, so that the same images get the same result whatever the clock shows.
        seconds = round(seconds - self._origin, _TIME_DIGITS)
        small = shrink(image, self._config.detect_width)
        alarms = self._alarms.update(small, seconds)
        found = self._detect(image, cv2.blur(small, (3, 3)), seconds)
        self._detected_at = seconds
        if found.moving:
            self._moved_at = seconds
        return found._replace(covered=alarms.covered, frozen=alarms.frozen, brightness_percent=alarms.brightness / 2.55)

    def _detect(self, image: Image, grey: Image, seconds: float) -> Detection:
        self._grey = grey
        if self._background is None or self._size != image.shape[:2]:
            reason = "first" if self._background is None else "size"
            self._size = image.shape[:2]
            if self._config.mask:
                self._visible = masks.visible_area(self._config.mask, grey.shape[1], grey.shape[0])
            self._visible_pixels = grey.size if self._visible is None else cv2.countNonZero(self._visible)
            self._reset_background(grey, seconds)
            return Detection(reset_reason=reason)
        self._difference = cv2.absdiff(grey, self._level)
        if seconds - self._reset_at < self._config.warm_up_seconds - EPSILON_SECONDS:
            self._warm_up(grey, self._difference, seconds)
            return Detection()
        if seconds - self._noise_at >= _NOISE_SECONDS - EPSILON_SECONDS:
            self._update_noise(grey, seconds)
        self._changed = self._above_threshold(self._difference)
        count = cv2.countNonZero(self._changed)
        if 100.0 * count >= _SHAKE_PERCENT * self._visible_pixels and self._may_shake(count, seconds):
            shift = self._find_shift(grey, count)
            if shift is not None:
                self._failed_search = _NO_SEARCH
                return self._detect_in_shifted(grey, seconds, shift)
        self._shift = None
        if 100.0 * count >= self._config.light_switch_percent * max(1, self._visible_pixels):
            self._reset_background(grey, seconds)
            return Detection(changed_percent=100.0 * count / grey.size, reset_reason="light")
        found = self._classify(grey, count, seconds)
        self._update_background(grey, seconds, self._moving_pixels if found.moving else None)
        return found

    def _above_threshold(self, difference: Image) -> Image:
        changed = threshold_mask(difference, self.threshold)
        return changed if self._visible is None else np.asarray(cv2.bitwise_and(changed, self._visible), np.uint8)

    def _classify(self, grey: Image, count: int, seconds: float) -> Detection:
        """Whether the changed pixels are motion, given their number."""
        percent = 100.0 * count / grey.size
        earlier = self._earlier_image(grey, seconds)
        no_motion = Detection(changed_percent=percent)
        if percent < self._config.min_area_percent:
            self._previous_percent = percent
            return no_motion
        if self._is_leap(percent, seconds):
            # A lamp rather than a person. If it moves on from here, the next frames detect it.
            self._recent.clear()
            self._recent.append((seconds, grey))
            self._previous_percent = percent
            return no_motion
        self._previous_percent = percent
        min_area = self._config.min_area_percent / 100.0 * grey.size
        blobs = pixels.blobs(self._changed, min_area)
        if not blobs:
            return no_motion
        moved = cv2.bitwise_and(threshold_mask(cv2.absdiff(grey, earlier), self.threshold), self._changed)
        self._moving_pixels = np.asarray(moved, np.uint8)
        moving = [
            (area, blob)
            for area, blob in blobs
            if cv2.countNonZero(crop(moved, blob)) >= _MOVING_SHARE * min_area and not self._is_light_change(blob)
        ]
        return self._motion(percent, moving) if moving else no_motion

    def _motion(self, changed_percent: float, moving: list[tuple[int, Rectangle]]) -> Detection:
        left, top, right, bottom = pixels.bounding_box([blob for _, blob in moving])
        box = (left, top, right - left, bottom - top)
        height, width = self._changed.shape
        score = cv2.mean(crop(self._difference, box), crop(self._changed, box))[0] / self.threshold
        return Detection(
            moving=True,
            changed_percent=changed_percent,
            # Rectangles may overlap, which counts a pixel twice.
            area_percent=min(100.0 * sum(area for area, _ in moving) / self._changed.size, changed_percent),
            score=score,
            box=Box(
                100.0 * left / width,
                100.0 * top / height,
                100.0 * (right - left) / width,
                100.0 * (bottom - top) / height,
            ),
        )

    def _is_leap(self, percent: float, seconds: float) -> bool:
        return (
            percent > _LEAP_AREAS * self._config.min_area_percent
            and percent > _LEAP_TIMES * self._previous_percent
            and seconds - self._detected_at <= _LEAP_SECONDS + EPSILON_SECONDS
        )

    def _is_light_change(self, blob: Rectangle) -> bool:
        if self._detected_at - self._moved_at < _LIGHT_SECONDS - EPSILON_SECONDS:
            return False
        grey, level, changed = (crop(each, blob) for each in (self._grey, self._level, self._changed))
        return pixels.is_light_change(grey, level, changed, self._noise)

    def _may_shake(self, count: int, seconds: float) -> bool:
        """Whether the change is spread over the whole image, as with a shaking camera.

        Rain is spread as well: after a failed search for a shift, the next one waits until more has changed.
        """
        if self._config.shake_percent <= 0 or min(self._changed.shape) < _MIN_SIDE:
            return False
        each = cv2.resize(self._changed, (4, 4), interpolation=cv2.INTER_AREA)
        parts = int(np.count_nonzero(each >= 2.55 * _PART_PERCENT))
        last = self._failed_search
        if parts < _SHAKE_PARTS:
            return False
        moving = self._detected_at - self._moved_at < _LIGHT_SECONDS - EPSILON_SECONDS
        delay = _RETRY_MOVING_SECONDS if moving else _RETRY_SECONDS
        if seconds - last.seconds < delay - EPSILON_SECONDS and count < 2 * last.pixels and parts < last.parts + 2:
            return False
        # Recorded as failed until a shift is found.
        self._failed_search = _FailedSearch(seconds, count, parts)
        return True

    def _find_shift(self, grey: Image, count: int) -> tuple[float, float] | None:
        """How far the image has shifted, if that explains most of the change.

        Reduces the changed pixels to those that the shift does not explain, without the strip that appeared at the
        edges.
        """
        right, down = pixels.estimate_shift(self._level, grey)
        if not 0.3 <= math.hypot(right, down) <= self._config.shake_percent / 100.0 * grey.shape[1]:
            return None
        difference = pixels.difference_beyond_neighbours(grey, pixels.shift_image(self._level, right, down))
        strip = math.ceil(max(abs(right), abs(down))) + 1
        for edge in (difference[:strip], difference[-strip:], difference[:, :strip], difference[:, -strip:]):
            edge[:] = 0
        # Remains of edges are thin, and people are not.
        changed = np.asarray(cv2.morphologyEx(self._above_threshold(difference), cv2.MORPH_OPEN, KERNEL), np.uint8)
        if cv2.countNonZero(changed) > _UNEXPLAINED_SHARE * count:
            return None
        self._difference, self._changed = difference, changed
        return right, down

    def _detect_in_shifted(self, grey: Image, seconds: float, shift: tuple[float, float]) -> Detection:
        """The result for a shifted image; the background is kept, or replaced once the shift lasts."""
        if self._shift is None or math.dist(shift, self._shift) > 1.0:
            self._shift, self._shifted_since = shift, seconds
        elif seconds - self._shifted_since >= _MOVED_SECONDS - EPSILON_SECONDS:
            self._reset_background(grey, seconds)
            return Detection(reset_reason="moved")
        found = self._classify(grey, cv2.countNonZero(self._changed), seconds)
        self._learned_at = seconds
        return found._replace(shift_percent=100.0 * math.hypot(*shift) / grey.shape[1])

    def _update_noise(self, grey: Image, seconds: float) -> None:
        """Scale the background with daylight, which changes the whole image by the same share; learn the noise.

        The background alone follows dusk too slowly, and its lag would count as noise.
        """
        assert self._background is not None
        self._noise_at = seconds
        still = cv2.bitwise_not(self._changed) if self._visible is None else cv2.subtract(self._visible, self._changed)
        now, before = cv2.mean(grey, still)[0], cv2.mean(self._level, still)[0]
        if abs(now - before) > _DAYLIGHT_LEVELS and min(now, before) > 1.0:
            self._background *= np.float32(min(max(now / before, 0.8), 1.25))
            cv2.convertScaleAbs(self._background, self._level)
            self._difference = cv2.absdiff(grey, self._level)
        self._noise += 0.25 * (estimate_noise(self._difference, self._visible) - self._noise)

    def _reset_background(self, grey: Image, seconds: float) -> None:
        self._background = grey.astype(np.float32)
        self._level = grey.copy()
        self._difference = self._changed = np.zeros_like(grey)
        self._reset_at = self._learned_at = self._noise_at = seconds
        self._warm_up_images = 1
        self._previous_percent = self._moving_seconds = 0.0
        self._shift = None
        self._recent.clear()
        self._recent.append((seconds, grey))

    def _warm_up(self, grey: Image, difference: Image, seconds: float) -> None:
        """Learn the mean of the images so far, and the noise around it."""
        self._warm_up_images += 1
        noise = estimate_noise(difference, self._visible)
        self._noise = noise if self._warm_up_images == 2 else self._noise + 0.25 * (noise - self._noise)
        self._earlier_image(grey, seconds)
        self._blend(grey, max(1.0 / self._warm_up_images, 0.05))
        self._learned_at = self._noise_at = seconds

    def _update_background(self, grey: Image, seconds: float, moving: Image | None) -> None:
        elapsed = seconds - self._learned_at
        if elapsed < _LEARN_SECONDS - EPSILON_SECONDS:
            return
        self._learned_at = seconds
        weight = 1.0 - math.exp(-elapsed / self._config.background_seconds)
        if moving is None:
            self._blend(grey, weight)
            return
        # A moving object must not become background, yet motion must not last for ever: learn it slowly.
        assert self._background is not None
        moving = np.asarray(cv2.dilate(moving, _MOVING_KERNEL), np.uint8)
        still = cv2.bitwise_not(moving)
        self._moving_seconds += elapsed
        if self._moving_seconds >= _MOVING_LEARN_SECONDS - EPSILON_SECONDS:
            slow = 1.0 - math.exp(-self._moving_seconds / (_MOVING_SLOWNESS * self._config.background_seconds))
            cv2.accumulateWeighted(grey, self._background, slow, moving)
            self._moving_seconds = 0.0
        cv2.accumulateWeighted(grey, self._background, weight, still)
        cv2.convertScaleAbs(self._background, self._level)

    def _blend(self, grey: Image, weight: float) -> None:
        assert self._background is not None
        cv2.accumulateWeighted(grey, self._background, weight)
        cv2.convertScaleAbs(self._background, self._level)

    def _earlier_image(self, grey: Image, seconds: float) -> Image:
        """The image of a moment ago; at a low frame rate, the previous one."""
        recent = self._recent
        while len(recent) > 1 and seconds - recent[1][0] >= _EARLIER_SECONDS - EPSILON_SECONDS:
            recent.popleft()
        earlier = recent[0][1]
        if seconds - recent[-1][0] >= _KEEP_SECONDS - EPSILON_SECONDS:
            recent.append((seconds, grey))
        return earlier
