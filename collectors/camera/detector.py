"""Motion detection in one image after another: plain arrays in, a plain result out.

A pixel has changed when it differs from the learned background by more than a threshold, which follows the image
noise. Changed pixels count as motion when enough of them are connected and also differ from a frame of a moment ago:
a parked car, a moved chair or the place that an object has just left differ from the background but do not move. What
appears all at once and stays has not moved either. When the image as a whole becomes brighter or darker, the
background follows at once; a region that is only brighter or darker is a change of light; and an image that moves as a
whole is a shaking camera.

Differences are computed with ``cv2.absdiff``: subtracting uint8 arrays wraps around at 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from collectors.camera import lighting, masks, pixels
from collectors.camera.alarms import Alarms
from collectors.camera.background import EPSILON_SECONDS as EPSILON_SECONDS
from collectors.camera.background import Background, Moment
from collectors.camera.pixels import KERNEL, Rectangle, crop, threshold_mask
from collectors.camera.pixels import Image as Image
from collectors.camera.pixels import crop_stride as crop_stride
from collectors.camera.pixels import estimate_noise as estimate_noise
from collectors.camera.pixels import shrink as shrink
from collectors.camera.settings import DetectorConfig

#: Digits of a second that image times are rounded to; sums and differences of them miss a limit by less than this.
_TIME_DIGITS = 6
#: Share of the minimum area that must differ from the earlier frame.
_MOVING_SHARE = 0.2
#: Interval of learning the noise.
_NOISE_SECONDS = 1.0
#: A moving region is not checked for a change of light, nor for having appeared at once, within this time after
#: motion: it belongs to that motion.
_LIGHT_SECONDS = 0.5
#: What moves has changed in both halves of the last moment: in each, this share of the minimum area, and of the
#: region, by this share of the threshold.
_HALF_AREA, _HALF_REGION, _HALF_THRESHOLD = 0.1, 0.03, 0.7
#: Something of at least this many minimum areas is large.
_LARGE_AREAS = 2.0
#: What moves lies outside of the range of the background within a pixel, by this share of the threshold.
_BEYOND_SHARE = 0.5
#: From this share of changed pixels on, a change of light is looked for; it explains at least this share of them.
_RELIT_PERCENT, _RELIT_SHARE = 3.0, 0.3
#: After a switch, at most this share of the changed pixels remains unexplained.
_SWITCH_REMAINDER = 0.25
#: The detail of an image under another light is this much like that of the background; that of an object is not.
_RELIT_LIKENESS, _OBJECT_LIKENESS = 0.4, 0.3
#: Under another light, noise up to this, in grey levels, or in multiples of that before, is accepted.
_RELIT_NOISE, _RELIT_NOISE_TIMES = 2.0, 2.5
#: Below this mean grey level, an image is too dark to see an object in.
_DARK_LEVEL = 12.0
#: Noise above this, in grey levels, is smoothed, until what remains is below the second value.
_SMOOTH_ABOVE, _SMOOTH_BELOW = 2.4, 0.7
_SMOOTH_KERNEL = (5, 5)
#: In a scene darker than this, in grey levels, the minimum difference is smaller in proportion, down to this share.
_DIM_LEVEL, _DIM_SHARE = 60.0, 0.4
#: A shaking camera changes at least this share of the image, in at least this many of 4 x 4 parts, each by this share.
_SHAKE_PERCENT, _SHAKE_PARTS, _PART_PERCENT = 1.0, 5, 0.5
#: After a failed search for a shift, the next one waits this long (longer during motion), unless twice as many pixels
#: or two more parts have changed.
_RETRY_SECONDS, _RETRY_MOVING_SECONDS = 2.0, 6.0
#: A shift is accepted when at most this share of the changed pixels remains.
_UNEXPLAINED_SHARE = 0.8
#: A movement by less than this many pixels is none.
_MIN_SHIFT = 0.3
#: What seems to begin to move is the whole image if at most this share of the changed pixels remains.
_WOBBLE_SHARE = 0.4
#: A camera whose shift stays the same for this long has been moved.
_MOVED_SECONDS = 3.0
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
        reset_reason: why the background was replaced, or adapted to another light, at this image: ``first``,
            ``size``, ``light``, ``moved``; or empty.
        blind: whether motion could not be seen in this image, since the background was being learned.
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
    blind: bool = False
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
        self._background = Background(config.background_seconds)
        self._grey = self._sharp = self._level = self._background.level
        self._difference = self._changed = self._moving_pixels = self._level
        self._size: tuple[int, ...] = ()
        self._visible: Image | None = None
        self._visible_pixels = 1
        self._warm_up_seconds = 0.0
        self._noise_at = self._detected_at = 0.0
        self._brightness = 255.0
        self._smooth = self._smooth_next = False
        self._moved_at = -_LIGHT_SECONDS
        self._shift: tuple[float, float] | None = None
        self._shifted_since = 0.0
        self._failed_search = _NO_SEARCH
        self._alarms = Alarms(config.covered_seconds, config.frozen_seconds)

    @property
    def threshold(self) -> float:
        """Minimum difference of a changed pixel, in grey levels."""
        dim = min(1.0, max(_DIM_SHARE, self._brightness / _DIM_LEVEL))
        return max(self._config.least_difference * dim, self._config.noise_factor * self._background.noise)

    @property
    def noisy(self) -> bool:
        """Whether images are smoothed because of their noise."""
        return self._smooth

    @property
    def state(self) -> DetectorState:
        """The intermediate results for the last image."""
        return DetectorState(
            self._grey,
            self._level,
            self._difference,
            self._changed,
            self._visible,
            self.threshold,
            self._background.noise,
        )

    def detect(self, image: Image, seconds: float, *, video_range: bool = False) -> Detection:
        """The result for an image taken at a monotonic time in seconds.

        Args:
            image: grey, or blue, green and red.
            seconds: the time.
            video_range: whether its grey levels run from 16 to 235, as those of video do.
        """
        if self._origin is None:
            self._origin = seconds
        # Relative and rounded, so that the same images get the same result whatever the clock shows.
        seconds = round(seconds - self._origin, _TIME_DIGITS)
        small = shrink(image, self._config.detect_width)
        if video_range:
            small = pixels.stretch(small)
        alarms = self._alarms.update(small, seconds)
        self._brightness = alarms.brightness
        found = self._detect(image, cv2.blur(small, (3, 3)), seconds)
        self._detected_at = seconds
        if found.moving:
            self._moved_at = seconds
        return Detection(
            found.moving,
            found.changed_percent,
            found.area_percent,
            found.score,
            found.box,
            found.reset_reason,
            found.blind,
            found.shift_percent,
            alarms.covered,
            alarms.frozen,
            alarms.brightness / 2.55,
        )

    def _detect(self, image: Image, grey: Image, seconds: float) -> Detection:
        background = self._background
        self._sharp = grey
        if self._size != image.shape[:2]:
            reason = "size" if self._size else "first"
            self._size = image.shape[:2]
            if self._config.mask:
                self._visible = masks.visible_area(self._config.mask, grey.shape[1], grey.shape[0])
            self._visible_pixels = grey.size if self._visible is None else cv2.countNonZero(self._visible)
            return self._reset_background(grey, seconds, reason)
        if self._smooth != self._smooth_next:
            self._smooth = self._smooth_next
            if self._smooth:
                background.smooth_moment(self._smoothed)
            else:
                background.forget_moment(grey, seconds)
        self._level = background.level
        if self._smooth:
            grey, self._level = self._smoothed(grey), self._smoothed(background.level)
        self._grey = grey
        self._difference = cv2.absdiff(grey, self._level)
        if background.age(seconds) < self._warm_up_seconds - EPSILON_SECONDS:
            background.warm_up(self._sharp, self._difference, self._visible, seconds)
            background.keep(grey, seconds)
            self._noise_at = seconds
            return Detection(blind=True)
        if seconds - self._noise_at >= _NOISE_SECONDS - EPSILON_SECONDS:
            self._update_noise(grey, seconds)
        self._changed = self._above_threshold(self._difference)
        count = cv2.countNonZero(self._changed)
        reason = ""
        share = 100.0 * count / max(1, self._visible_pixels)
        switched = share >= self._config.light_switch_percent
        if share >= min(_RELIT_PERCENT, self._config.light_switch_percent) and self._follow_light(
            grey, count, seconds, switched=switched
        ):
            reason = "light" if switched else ""
            count = cv2.countNonZero(self._changed)
            switched = False
        if 100.0 * count >= _SHAKE_PERCENT * self._visible_pixels and self._may_shake(count, seconds):
            shift = self._find_shift(grey, count, _UNEXPLAINED_SHARE)
            if shift is not None:
                self._failed_search = _NO_SEARCH
                return self._detect_in_shifted(grey, seconds, shift)
        self._shift = None
        if switched and not self._is_object(grey):
            return self._reset_background(grey, seconds, "light", changed_percent=100.0 * count / grey.size)
        found = self._classify(grey, count, seconds)
        if found.moving and self._begins() and self._is_camera_movement(grey, count):
            background.skip_learning(seconds)
            return Detection(changed_percent=found.changed_percent)
        background.learn(
            self._sharp, self._changed, self._moving_pixels if found.moving else None, self._visible, seconds
        )
        return found._replace(reset_reason=reason) if reason else found

    def _above_threshold(self, difference: Image) -> Image:
        changed = threshold_mask(difference, self.threshold)
        return changed if self._visible is None else cv2.bitwise_and(changed, self._visible)

    def _classify(self, grey: Image, count: int, seconds: float) -> Detection:
        """Whether the changed pixels are motion, given their number."""
        percent = 100.0 * count / grey.size
        self._background.keep(grey, seconds)
        no_motion = Detection(changed_percent=percent)
        if percent < self._config.min_area_percent:
            return no_motion
        min_area = self._config.min_area_percent / 100.0 * grey.size
        blobs = pixels.blobs(self._changed, min_area)
        if not blobs:
            return no_motion
        moment = self._background.moment(seconds)
        moved = cv2.bitwise_and(threshold_mask(cv2.absdiff(grey, moment.earliest), self.threshold), self._changed)
        self._moving_pixels = np.asarray(moved, np.uint8)
        moving = [
            (area, blob)
            for area, blob in blobs
            if self._displaced(blob) >= _MOVING_SHARE * min_area
            and (
                not self._begins()
                or not (self._appeared_at_once(blob, area, moment, min_area) or self._is_light_change(blob))
            )
        ]
        return self._motion(percent, moving) if moving else no_motion

    def _begins(self) -> bool:
        """Whether motion in this image does not continue that of the last images."""
        return self._detected_at - self._moved_at >= _LIGHT_SECONDS - EPSILON_SECONDS

    def _is_camera_movement(self, grey: Image, count: int) -> bool:
        """Whether a small movement of the camera or its lens explains nearly all of the change."""
        if self._config.shake_percent <= 0 or min(grey.shape) < _MIN_SIDE:
            return False
        difference, changed = self._difference, self._changed
        explained = self._find_shift(grey, count, _WOBBLE_SHARE) is not None
        self._difference, self._changed = difference, changed
        return explained

    def _displaced(self, blob: Rectangle) -> int:
        """Number of moving pixels in a region that are not the background shifted by a pixel, as by the focus."""
        moved = crop(self._moving_pixels, blob)
        count = cv2.countNonZero(moved)
        if not count:
            return 0
        beyond = pixels.difference_beyond_neighbours(crop(self._grey, blob), crop(self._level, blob))
        return cv2.countNonZero(cv2.bitwise_and(moved, threshold_mask(beyond, _BEYOND_SHARE * self.threshold)))

    def _appeared_at_once(self, blob: Rectangle, area: int, moment: Moment, min_area: float) -> bool:
        """Whether a region has changed at a single time, like a lamp or an object that is put down."""
        # A lamp may have half of its light in one image, which something large has in few.
        middle = moment.middle if area < _LARGE_AREAS * min_area else moment.newest
        if middle is moment.earliest:
            return False
        least = max(_HALF_AREA * min_area, _HALF_REGION * area)
        inside = crop(self._changed, blob)
        threshold = _HALF_THRESHOLD * self.threshold
        for before, after in ((middle, self._grey), (moment.earliest, middle)):
            changed = threshold_mask(cv2.absdiff(crop(before, blob), crop(after, blob)), threshold)
            if cv2.countNonZero(cv2.bitwise_and(changed, inside)) < least:
                return True
        return False

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

    def _is_light_change(self, blob: Rectangle) -> bool:
        grey, level, changed = (crop(each, blob) for each in (self._grey, self._level, self._changed))
        return pixels.is_light_change(grey, level, changed, self._background.noise)

    def _follow_light(self, grey: Image, count: int, seconds: float, *, switched: bool) -> bool:
        """Adapt the background to another light, if that explains the change.

        Args:
            grey: the image.
            count: number of changed pixels.
            seconds: time of the image.
            switched: whether the change is large enough for a switched light.
        """
        background = self._background
        now = lighting.cells(grey)
        if not lighting.is_relit(lighting.cells(self._level), now):
            return False
        most = (_SWITCH_REMAINDER if switched else 1 - _RELIT_SHARE) * count
        best: tuple[NDArray[np.float32], Image, Image, Image] | None = None
        for mean in background.under_light_of(now, others=switched):
            level = self._smoothed(np.asarray(cv2.convertScaleAbs(mean), np.uint8))
            difference = cv2.absdiff(grey, level)
            changed = self._above_threshold(difference)
            if (found := cv2.countNonZero(changed)) <= most:
                most, best = found, (mean, level, difference, changed)
        if best is None or (switched and self._is_worse(best[2])):
            return False
        mean, level, difference, changed = best
        likeness = lighting.likeness(level, grey, cv2.bitwise_and(self._changed, cv2.bitwise_not(changed)))
        if likeness is not None and likeness < _RELIT_LIKENESS:
            return False
        if switched:
            background.remember(seconds)
        background.replace(mean, seconds, refine=switched)
        self._level = self._smoothed(background.level)
        self._difference = difference
        if switched:
            background.learn_noise(difference, self._visible, first=True)
        self._changed = self._above_threshold(difference)
        return True

    def _is_worse(self, difference: Image) -> bool:
        """Whether the background is too noisy under another light, so that starting over is better."""
        noise = estimate_noise(difference, self._visible)
        return noise > max(_RELIT_NOISE, _RELIT_NOISE_TIMES * self._background.noise)

    def _is_object(self, grey: Image) -> bool:
        """Whether a change of most of the image is something large in front of the background, and no switch."""
        if cv2.mean(grey)[0] < _DARK_LEVEL:
            return False
        likeness = lighting.likeness(self._level, grey, self._changed)
        return likeness is not None and likeness < _OBJECT_LIKENESS

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

    def _find_shift(self, grey: Image, count: int, unexplained: float) -> tuple[float, float] | None:
        """How far the image has shifted, if a movement of the camera explains most of the change.

        Reduces the changed pixels to those that the movement does not explain, without the strip that appeared at the
        edges. A small zoom or rotation is accepted as well; the shift of its centre is returned.
        """
        right, down = pixels.estimate_shift(self._level, grey)
        limit = self._config.shake_percent / 100.0 * grey.shape[1]
        if math.hypot(right, down) > limit:
            right = down = 0.0
        shifted = pixels.translation(right, down)
        refined = pixels.refine_affine(self._level, grey, shifted)
        best: tuple[int, pixels.Matrix, Image, Image] | None = None
        for matrix in (shifted, refined):
            far = pixels.reach(matrix, grey.shape)
            if not _MIN_SHIFT <= far <= limit:
                continue
            difference = pixels.difference_beyond_neighbours(grey, pixels.warp_image(self._level, matrix))
            strip = math.ceil(far) + 1
            for edge in (difference[:strip], difference[-strip:], difference[:, :strip], difference[:, -strip:]):
                edge[:] = 0
            # Remains of edges are thin, and people are not.
            changed = np.asarray(cv2.morphologyEx(self._above_threshold(difference), cv2.MORPH_OPEN, KERNEL), np.uint8)
            remaining = cv2.countNonZero(changed)
            if remaining <= unexplained * count and (best is None or remaining < best[0]):
                best = remaining, matrix, difference, changed
        if best is None:
            return None
        _, matrix, self._difference, self._changed = best
        height, width = grey.shape
        moved = matrix @ (width / 2, height / 2, 1.0) - (width / 2, height / 2)
        return float(moved[0]), float(moved[1])

    def _detect_in_shifted(self, grey: Image, seconds: float, shift: tuple[float, float]) -> Detection:
        """The result for a shifted image; the background is kept, or replaced once the shift lasts."""
        if self._shift is None or math.dist(shift, self._shift) > 1.0:
            self._shift, self._shifted_since = shift, seconds
        elif seconds - self._shifted_since >= _MOVED_SECONDS - EPSILON_SECONDS:
            return self._reset_background(grey, seconds, "moved")
        found = self._classify(grey, cv2.countNonZero(self._changed), seconds)
        self._background.skip_learning(seconds)
        return found._replace(shift_percent=100.0 * math.hypot(*shift) / grey.shape[1])

    def _update_noise(self, grey: Image, seconds: float) -> None:
        """Follow daylight, and learn the noise; enable smoothing if there is much noise."""
        background = self._background
        self._noise_at = seconds
        still = cv2.bitwise_not(self._changed) if self._visible is None else cv2.subtract(self._visible, self._changed)
        if background.follow_daylight(grey, still):
            self._level = self._smoothed(background.level)
            self._difference = cv2.absdiff(grey, self._level)
        background.learn_noise(self._difference, self._visible)
        if background.noise < _SMOOTH_BELOW if self._smooth else background.noise > _SMOOTH_ABOVE:
            self._smooth_next = not self._smooth

    def _smoothed(self, image: Image) -> Image:
        """The image, smoothed if there is much noise."""
        return np.asarray(cv2.blur(image, _SMOOTH_KERNEL), np.uint8) if self._smooth else image

    def _reset_background(self, grey: Image, seconds: float, reason: str, changed_percent: float = 0.0) -> Detection:
        """Start over with this image; after a switch of the light, without a pause."""
        self._background.reset(self._sharp, seconds, remember=reason == "light")
        self._warm_up_seconds = 0.0 if reason == "light" else self._config.warm_up_seconds
        self._grey, self._level = grey, self._background.level
        self._difference = self._changed = np.zeros_like(grey)
        self._noise_at = seconds
        self._shift = None
        return Detection(changed_percent=changed_percent, reset_reason=reason, blind=True)
