"""What changed in a picture: plain arrays in, a plain result out.

A pixel has changed when it differs from the learned background by more than a threshold, which follows the
noise of the picture. Changed pixels are motion when enough of them hang together, and when they also differ
from the picture of a moment ago: that tells a person from a parked car, a moved chair, or the place that
something has just left, all of which differ from the background and do not move. What is only brighter or
darker than before is light, and what has moved as a whole is the camera.

Differences are taken with ``cv2.absdiff``: subtracting uint8 arrays wraps around at 0.
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
from collectors.camera.pixels import REACH, Rectangle, above, within
from collectors.camera.pixels import Image as Image
from collectors.camera.pixels import crop_stride as crop_stride
from collectors.camera.pixels import noise_of as noise_of
from collectors.camera.pixels import shrink as shrink
from collectors.camera.settings import Sensitivity

#: How far back the picture is that motion is told by, and how densely pictures are kept until then.
_AGO_SECONDS, _KEEP_SECONDS = 0.4, 0.1
#: Share of the least area that has to differ from the picture of a moment ago.
_MOVING_SHARE = 0.2
#: How often the background and the noise are learned; more often costs time and changes nothing.
_LEARN_SECONDS, _NOISE_SECONDS = 0.2, 1.0
#: So many grey levels brighter or darker as a whole is daylight, and not noise.
_DAYLIGHT_LEVELS = 0.3
#: What moves is learned so many times slower than what does not, and so often.
_MOVING_SLOWNESS, _MOVING_LEARN_SECONDS = 10.0, 1.0
#: More changed at once than so many times the least area, and so many times what had changed in the picture
#: before, is no walk into the picture; to be told between pictures that lie no further apart than this.
_LEAP_AREAS, _LEAP_TIMES, _LEAP_SECONDS = 2.0, 3.0, 0.5
#: What moves is looked at for whether it is only light, unless something has moved so short a time ago: then it
#: is part of that.
_LIGHT_SECONDS = 0.5
#: A camera that shakes changes so much of the picture at least, in so many of its 4 x 4 parts, each by so much.
_SHAKE_PERCENT, _SHAKE_PARTS, _PART_PERCENT = 1.0, 5, 0.5
#: Where no shift was found, none is sought for so long, or for longer while something moves, unless twice as much
#: or more parts have changed.
_STEADY_SECONDS, _STEADY_MOVING_SECONDS = 2.0, 6.0
#: A shift is believed when at most this share of what had changed remains.
_UNEXPLAINED_SHARE = 0.8
#: A camera that has been shifted by the same for so long has been moved.
_MOVED_SECONDS = 3.0
#: What lies about a pixel that moves, moves with it, as the inside of a coat does.
_AROUND = cv2.getStructuringElement(cv2.MORPH_RECT, (7, 7))
#: Narrower or lower pictures are too small to see a shift in.
_LEAST_SIDE = 32


class Box(NamedTuple):
    """A rectangle, in per cent of the picture's width and height."""

    left: float
    top: float
    width: float
    height: float


class Detection(NamedTuple):
    """What one picture shows.

    Args:
        moving: whether there is motion.
        changed_percent: share of the picture that differs from the background, motion or not.
        area_percent: share of the picture that moves; 0 without motion.
        score: mean difference of what moves, in multiples of the threshold; 0 without motion.
        box: around all that moves; None without motion.
        anew: why the background was begun anew with this picture: ``first``, ``size``, ``light``, ``moved``; or
            empty.
        shift_percent: how far the camera has shaken, in per cent of the picture's width; 0 where it has not.
        covered: whether the picture has shown nothing for some time, as behind a covered lens.
        frozen: whether the picture has been exactly the same for some time.
        brightness_percent: mean brightness of the picture.
    """

    moving: bool = False
    changed_percent: float = 0.0
    area_percent: float = 0.0
    score: float = 0.0
    box: Box | None = None
    anew: str = ""
    shift_percent: float = 0.0
    covered: bool = False
    frozen: bool = False
    brightness_percent: float = 0.0


class Working(NamedTuple):
    """What the detector went by in the last picture, for drawing; small pictures of one size.

    Args:
        grey: the picture that was looked at.
        background: what was learned.
        difference: between the two.
        changed: 255 where it is above the threshold.
        seen: 255 where motion is looked for; None without a mask.
        threshold: grey levels.
        noise: grey levels.
    """

    grey: Image
    background: Image
    difference: Image
    changed: Image
    seen: Image | None
    threshold: float
    noise: float


class _Steady(NamedTuple):
    """When no shift was found, with how many pixels changed, in how many parts of the picture."""

    seconds: float
    pixels: int
    parts: int


_STEADY = _Steady(-_STEADY_MOVING_SECONDS, 0, 0)


class Detector:
    """Finds motion in one picture after another."""

    def __init__(self, sensitivity: Sensitivity) -> None:
        self._with = sensitivity
        self._background: NDArray[np.float32] | None = None
        self._level: Image = np.zeros((0, 0), np.uint8)
        self._grey = self._difference = self._changed = self._moved_now = self._level
        self._size: tuple[int, ...] = ()
        self._seen: Image | None = None
        self._visible = 1
        self._began = self._learned = self._listened = self._looked = 0.0
        self._owed = 0.0
        self._moved = -_LIGHT_SECONDS
        self._pictures = 0
        self._recent: deque[tuple[float, Image]] = deque()
        self._noise = 0.0
        self._before = 0.0
        self._shift: tuple[float, float] | None = None
        self._shifted_since = 0.0
        self._steady = _STEADY
        self._alarms = Alarms(sensitivity.covered_seconds, sensitivity.frozen_seconds)

    @property
    def threshold(self) -> float:
        """Grey levels that a pixel has to differ by to count as changed."""
        return max(self._with.least_difference, self._with.noise_factor * self._noise)

    @property
    def working(self) -> Working:
        """What the last picture was judged by."""
        return Working(
            self._grey, self._level, self._difference, self._changed, self._seen, self.threshold, self._noise
        )

    def look(self, image: Image, seconds: float) -> Detection:
        """What the picture shows, seen at a monotonic time in seconds."""
        small = shrink(image, self._with.width)
        state = self._alarms.look(small, seconds)
        found = self._find(image, cv2.blur(small, (3, 3)), seconds)
        self._looked = seconds
        if found.moving:
            self._moved = seconds
        return found._replace(covered=state.covered, frozen=state.frozen, brightness_percent=state.brightness / 2.55)

    def _find(self, image: Image, grey: Image, seconds: float) -> Detection:
        self._grey = grey
        if self._background is None or self._size != image.shape[:2]:
            reason = "first" if self._background is None else "size"
            self._size = image.shape[:2]
            if self._with.mask:
                self._seen = masks.seen(self._with.mask, grey.shape[1], grey.shape[0])
            self._visible = grey.size if self._seen is None else cv2.countNonZero(self._seen)
            self._begin(grey, seconds)
            return Detection(anew=reason)
        self._difference = cv2.absdiff(grey, self._level)
        if seconds - self._began < self._with.warm_up_seconds:
            self._warm_up(grey, self._difference, seconds)
            return Detection()
        if seconds - self._listened >= _NOISE_SECONDS:
            self._listen(grey, seconds)
        self._changed = self._above(self._difference)
        count = cv2.countNonZero(self._changed)
        if 100.0 * count >= _SHAKE_PERCENT * self._visible and self._may_shake(count, seconds):
            shift = self._shaken(grey, count)
            if shift is not None:
                self._steady = _STEADY
                return self._shake(grey, seconds, shift)
        self._shift = None
        if 100.0 * count >= self._with.light_switch_percent * max(1, self._visible):
            self._begin(grey, seconds)
            return Detection(changed_percent=100.0 * count / grey.size, anew="light")
        found = self._judge(grey, count, seconds)
        self._learn(grey, seconds, self._moved_now if found.moving else None)
        return found

    def _above(self, difference: Image) -> Image:
        changed = above(difference, self.threshold)
        return changed if self._seen is None else np.asarray(cv2.bitwise_and(changed, self._seen), np.uint8)

    def _judge(self, grey: Image, count: int, seconds: float) -> Detection:
        """What the changed pixels are, given how many they are."""
        percent = 100.0 * count / grey.size
        earlier = self._earlier(grey, seconds)
        quiet = Detection(changed_percent=percent)
        if percent < self._with.min_area_percent:
            self._before = percent
            return quiet
        if self._is_leap(percent, seconds):
            # A lamp, and not a walk. Whatever it is, it is motion as soon as it moves on from here.
            self._recent.clear()
            self._recent.append((seconds, grey))
            self._before = percent
            return quiet
        self._before = percent
        least = self._with.min_area_percent / 100.0 * grey.size
        blobs = pixels.blobs(self._changed, least)
        if not blobs:
            return quiet
        moved = cv2.bitwise_and(above(cv2.absdiff(grey, earlier), self.threshold), self._changed)
        self._moved_now = np.asarray(moved, np.uint8)
        moving = [
            (area, blob)
            for area, blob in blobs
            if cv2.countNonZero(within(moved, blob)) >= _MOVING_SHARE * least and not self._is_light(blob)
        ]
        return self._motion(quiet, moving) if moving else quiet

    def _motion(self, quiet: Detection, moving: list[tuple[int, Rectangle]]) -> Detection:
        left, top, right, bottom = pixels.around([blob for _, blob in moving])
        inside = (left, top, right - left, bottom - top)
        height, width = self._changed.shape
        score = cv2.mean(within(self._difference, inside), within(self._changed, inside))[0] / self.threshold
        return Detection(
            moving=True,
            changed_percent=quiet.changed_percent,
            # Boxes may overlap, and a pixel then counts twice.
            area_percent=min(100.0 * sum(area for area, _ in moving) / self._changed.size, quiet.changed_percent),
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
            percent > _LEAP_AREAS * self._with.min_area_percent
            and percent > _LEAP_TIMES * self._before
            and seconds - self._looked <= _LEAP_SECONDS
        )

    def _is_light(self, blob: Rectangle) -> bool:
        if self._looked - self._moved < _LIGHT_SECONDS:
            return False
        grey, level, changed = (within(each, blob) for each in (self._grey, self._level, self._changed))
        return pixels.only_light(grey, level, changed, self._noise)

    def _may_shake(self, count: int, seconds: float) -> bool:
        """Whether the change is all over the picture, as it is when the camera shakes.

        Rain is, too: where no shift was found a moment ago, none is sought until more has changed.
        """
        if self._with.shake_percent <= 0 or min(self._changed.shape) < _LEAST_SIDE:
            return False
        each = cv2.resize(self._changed, (4, 4), interpolation=cv2.INTER_AREA)
        parts = int(np.count_nonzero(each >= 2.55 * _PART_PERCENT))
        before = self._steady
        if parts < _SHAKE_PARTS:
            return False
        long = _STEADY_MOVING_SECONDS if self._looked - self._moved < _LIGHT_SECONDS else _STEADY_SECONDS
        if seconds - before.seconds < long and count < 2 * before.pixels and parts < before.parts + 2:
            return False
        # Taken for steady from here on, unless a shift is found.
        self._steady = _Steady(seconds, count, parts)
        return True

    def _shaken(self, grey: Image, count: int) -> tuple[float, float] | None:
        """How far the picture has shifted, where that explains most of the change.

        What has changed is then only what no shift explains, outside the strip that came in at the edges.
        """
        right, down = pixels.shift_between(self._level, grey)
        if not 0.3 <= math.hypot(right, down) <= self._with.shake_percent / 100.0 * grey.shape[1]:
            return None
        difference = pixels.beyond_neighbours(grey, pixels.shifted(self._level, right, down))
        strip = math.ceil(max(abs(right), abs(down))) + 1
        for edge in (difference[:strip], difference[-strip:], difference[:, :strip], difference[:, -strip:]):
            edge[:] = 0
        # What is left of edges is thin, and nobody is.
        changed = np.asarray(cv2.morphologyEx(self._above(difference), cv2.MORPH_OPEN, REACH), np.uint8)
        if cv2.countNonZero(changed) > _UNEXPLAINED_SHARE * count:
            return None
        self._difference, self._changed = difference, changed
        return right, down

    def _shake(self, grey: Image, seconds: float, shift: tuple[float, float]) -> Detection:
        """What a picture shows that is shifted; the background stays as it is, or is where the camera stays."""
        if self._shift is None or math.dist(shift, self._shift) > 1.0:
            self._shift, self._shifted_since = shift, seconds
        elif seconds - self._shifted_since >= _MOVED_SECONDS:
            self._begin(grey, seconds)
            return Detection(anew="moved")
        found = self._judge(grey, cv2.countNonZero(self._changed), seconds)
        self._learned = seconds
        return found._replace(shift_percent=100.0 * math.hypot(*shift) / grey.shape[1])

    def _listen(self, grey: Image, seconds: float) -> None:
        """Take daylight, which changes the whole picture by the same share, over into the background; learn the noise.

        The background by itself follows too slowly for dusk, and its lag would pass for noise.
        """
        assert self._background is not None
        self._listened = seconds
        still = cv2.bitwise_not(self._changed) if self._seen is None else cv2.subtract(self._seen, self._changed)
        now, before = cv2.mean(grey, still)[0], cv2.mean(self._level, still)[0]
        if abs(now - before) > _DAYLIGHT_LEVELS and min(now, before) > 1.0:
            self._background *= np.float32(min(max(now / before, 0.8), 1.25))
            cv2.convertScaleAbs(self._background, self._level)
            self._difference = cv2.absdiff(grey, self._level)
        self._noise += 0.25 * (noise_of(self._difference, self._seen) - self._noise)

    def _begin(self, grey: Image, seconds: float) -> None:
        self._background = grey.astype(np.float32)
        self._level = grey.copy()
        self._difference = self._changed = np.zeros_like(grey)
        self._began = self._learned = self._listened = seconds
        self._pictures = 1
        self._before = self._owed = 0.0
        self._shift = None
        self._recent.clear()
        self._recent.append((seconds, grey))

    def _warm_up(self, grey: Image, difference: Image, seconds: float) -> None:
        """Learn the mean of the pictures so far, and the noise about it."""
        self._pictures += 1
        noise = noise_of(difference, self._seen)
        self._noise = noise if self._pictures == 2 else self._noise + 0.25 * (noise - self._noise)
        self._earlier(grey, seconds)
        self._take(grey, max(1.0 / self._pictures, 0.05))
        self._learned = self._listened = seconds

    def _learn(self, grey: Image, seconds: float, moving: Image | None) -> None:
        elapsed = seconds - self._learned
        if elapsed < _LEARN_SECONDS - 1e-6:
            return
        self._learned = seconds
        share = 1.0 - math.exp(-elapsed / self._with.background_seconds)
        if moving is None:
            self._take(grey, share)
            return
        # What moves must not become background while it moves; but slowly, so that it does not last for ever.
        assert self._background is not None
        moving = np.asarray(cv2.dilate(moving, _AROUND), np.uint8)
        still = cv2.bitwise_not(moving)
        self._owed += elapsed
        if self._owed >= _MOVING_LEARN_SECONDS:
            slow = 1.0 - math.exp(-self._owed / (_MOVING_SLOWNESS * self._with.background_seconds))
            cv2.accumulateWeighted(grey, self._background, slow, moving)
            self._owed = 0.0
        cv2.accumulateWeighted(grey, self._background, share, still)
        cv2.convertScaleAbs(self._background, self._level)

    def _take(self, grey: Image, share: float) -> None:
        assert self._background is not None
        cv2.accumulateWeighted(grey, self._background, share)
        cv2.convertScaleAbs(self._background, self._level)

    def _earlier(self, grey: Image, seconds: float) -> Image:
        """The picture of a moment ago; at a low frame rate, the one before."""
        recent = self._recent
        while len(recent) > 1 and seconds - recent[1][0] >= _AGO_SECONDS:
            recent.popleft()
        earlier = recent[0][1]
        if seconds - recent[-1][0] >= _KEEP_SECONDS - 1e-6:
            recent.append((seconds, grey))
        return earlier
