"""Scripted scenes with known ground truth: a room with noise, visitors, and effects that are easily mistaken for them.

The same script, seed and time give the same image. :data:`SCRIPTS` defines the scenes; most have visitors, who come
every 30 s (the first after 4 s), so that missed events show as well as false ones.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.backends import Frame
from collectors.camera.pixels import Image, shift_image

#: Size of the image in pixels, as of a CSI camera's small stream.
WIDTH, HEIGHT = 320, 240

#: Start of the first visit, and interval of visits.
FIRST_VISIT_SECONDS, VISIT_EVERY_SECONDS = 4.0, 30.0
_VISIT_SECONDS = (5.0, 8.0)
#: The light is off during this part of every minute.
LIGHT_OFF_SECONDS, LIGHT_ON_SECONDS, _LIGHT_EVERY_SECONDS = 24.0, 29.0, 60.0
_LIGHT_OFF = 0.35
#: A lamp, which lights less than half of the image, is on during this part of every minute.
LAMP_ON_SECONDS, LAMP_OFF_SECONDS, _LAMP_EVERY_SECONDS = 14.0, 44.0, 60.0
_LAMP_LEVEL, _LAMP_AT, _LAMP_REACH = 70.0, (70, 110), 90
#: Daylight drops by this share and returns within this period; at dusk, faster and further.
_DAYLIGHT, _DAYLIGHT_EVERY_SECONDS = 0.4, 1800.0
_DUSK, _DUSK_EVERY_SECONDS = 0.85, 480.0
#: Number of rain streaks in one image, their length and their brightness.
_STREAKS, _STREAK_LENGTH, _STREAK_LEVEL = 60, 11, 45
#: The camera shakes during this part of every period, by at most this many pixels.
SHAKE_FROM_SECONDS, SHAKE_TO_SECONDS, _SHAKE_EVERY_SECONDS = 10.0, 16.0, 20.0
SHAKE_PIXELS = 7.0
#: The lens is covered during this part of every period.
COVER_FROM_SECONDS, COVER_TO_SECONDS, _COVER_EVERY_SECONDS = 14.0, 29.0, 60.0
#: The image is frozen during this part of every period.
FREEZE_FROM_SECONDS, FREEZE_TO_SECONDS, _FREEZE_EVERY_SECONDS = 14.0, 59.0, 90.0
#: Standard deviation of the noise, in grey levels.
NOISE = 4.0

_SPARE = 64  # the noise of each image is cropped from a larger field, at another offset


class Script(NamedTuple):
    """The effects in a scene.

    Args:
        visits: people walk through.
        switch: the light is switched off and on.
        lamp: a lamp that lights a part of the image is switched on and off.
        daylight: fraction of daylight that slowly disappears and returns.
        daylight_seconds: period of that.
        rain: it rains all the time.
        shake: the camera shakes periodically.
        cover: the lens is covered periodically.
        freeze: the image freezes periodically.
    """

    visits: bool = True
    switch: bool = False
    lamp: bool = False
    daylight: float = 0.0
    daylight_seconds: float = _DAYLIGHT_EVERY_SECONDS
    rain: bool = False
    shake: bool = False
    cover: bool = False
    freeze: bool = False


#: The scenes, by the value of the setting `scene`.
SCRIPTS: Mapping[str, Script] = {
    "mixed": Script(switch=True, daylight=_DAYLIGHT),
    "person": Script(),
    "light": Script(visits=False, switch=True, lamp=True),
    "rain": Script(rain=True),
    "dusk": Script(daylight=_DUSK, daylight_seconds=_DUSK_EVERY_SECONDS),
    "shake": Script(shake=True),
    "covered": Script(cover=True),
    "frozen": Script(freeze=True),
}


class Visit(NamedTuple):
    """One person walking through: times, direction, height in pixels, and colours of the clothes."""

    start_seconds: float
    end_seconds: float
    rightwards: bool
    height: int
    coat: tuple[int, int, int]
    trousers: tuple[int, int, int]


class Truth(NamedTuple):
    """Ground truth of an image.

    Args:
        figure: left, top, width, height of the visible part of a person; None without one.
        light: brightness, 1 by day with the light on.
        lamp: whether the lamp is on.
        raining: whether it rains.
        shift: shift of the image to the right and down, in pixels.
        covered: whether the lens is covered, which hides everything else.
        frozen: whether the image is frozen.
    """

    figure: tuple[int, int, int, int] | None
    light: float
    lamp: bool = False
    raining: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    covered: bool = False
    frozen: bool = False


class Scene:
    """A script with a seed. Times are seconds since its start."""

    def __init__(self, seed: int, script: Script = SCRIPTS["mixed"]) -> None:
        self._seed = seed
        self._script = script
        generator = np.random.default_rng(seed)
        field = generator.normal(0.0, NOISE, (HEIGHT + _SPARE, WIDTH + _SPARE, 3))
        self._noise = field.round().astype(np.int16)
        self._room = _room()
        self._lamp = _lamp() if script.lamp else None

    def visit(self, number: int) -> Visit:
        """The visit with this number, counted from 0."""
        chance = random.Random(f"{self._seed}/{number}")
        start = FIRST_VISIT_SECONDS + number * VISIT_EVERY_SECONDS
        return Visit(
            start,
            start + chance.uniform(*_VISIT_SECONDS),
            chance.random() < 0.5,
            chance.randint(110, 150),
            chance.choice(((40, 40, 150), (120, 60, 30), (50, 110, 60), (35, 35, 40))),
            chance.choice(((60, 45, 40), (30, 30, 30), (90, 60, 30))),
        )

    def truth(self, seconds: float) -> Truth:
        """The ground truth at a time."""
        script = self._script
        frozen = script.freeze and _during(seconds, FREEZE_FROM_SECONDS, FREEZE_TO_SECONDS, _FREEZE_EVERY_SECONDS)
        if frozen:
            seconds += FREEZE_FROM_SECONDS - seconds % _FREEZE_EVERY_SECONDS
        covered = script.cover and _during(seconds, COVER_FROM_SECONDS, COVER_TO_SECONDS, _COVER_EVERY_SECONDS)
        visit = self._present(seconds)
        figure = None
        if visit is not None and not covered:
            left, top, width, height = _outline(visit, seconds)
            shown = min(left + width, WIDTH) - max(left, 0)
            if shown > 0:
                figure = (max(left, 0), top, shown, height)
        off = script.switch and _during(seconds, LIGHT_OFF_SECONDS, LIGHT_ON_SECONDS, _LIGHT_EVERY_SECONDS)
        daylight = 1.0 - script.daylight * math.sin(math.pi * seconds / script.daylight_seconds) ** 2
        return Truth(
            figure,
            daylight * (_LIGHT_OFF if off else 1.0),
            script.lamp and _during(seconds, LAMP_ON_SECONDS, LAMP_OFF_SECONDS, _LAMP_EVERY_SECONDS),
            script.rain,
            self._shift(seconds),
            covered,
            frozen,
        )

    def draw(self, seconds: float) -> Image:
        """The image at a time."""
        truth = self.truth(seconds)
        if truth.frozen:
            seconds += FREEZE_FROM_SECONDS - seconds % _FREEZE_EVERY_SECONDS
        chance = random.Random(f"{self._seed}/noise/{seconds:.3f}")
        image = np.full_like(self._room, 6) if truth.covered else self._render(truth, seconds, chance)
        down, right = chance.randrange(_SPARE), chance.randrange(_SPARE)
        noise = self._noise[down : down + HEIGHT, right : right + WIDTH]
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)

    def _render(self, truth: Truth, seconds: float, chance: random.Random) -> Image:
        image = self._room.copy()
        visit = self._present(seconds)
        if visit is not None:
            _draw_person(image, visit, seconds)
        cv2.convertScaleAbs(image, image, alpha=truth.light)
        if truth.lamp and self._lamp is not None:
            cv2.add(image, self._lamp, image)
        if truth.raining:
            _draw_rain(image, chance)
        if any(truth.shift):
            image = shift_image(image, *truth.shift)
        return image

    def _shift(self, seconds: float) -> tuple[float, float]:
        if not (self._script.shake and _during(seconds, SHAKE_FROM_SECONDS, SHAKE_TO_SECONDS, _SHAKE_EVERY_SECONDS)):
            return 0.0, 0.0
        # The sum of two oscillations without a common period looks irregular, and is smooth.
        right = 0.6 * math.sin(7.1 * seconds) + 0.4 * math.sin(2.3 * seconds)
        down = 0.6 * math.sin(5.3 * seconds) + 0.4 * math.sin(3.1 * seconds)
        return SHAKE_PIXELS * right, 0.6 * SHAKE_PIXELS * down

    def _present(self, seconds: float) -> Visit | None:
        number = math.floor((seconds - FIRST_VISIT_SECONDS) / VISIT_EVERY_SECONDS)
        if number < 0 or not self._script.visits:
            return None
        visit = self.visit(number)
        return visit if seconds < visit.end_seconds else None


class SimulatedCamera:
    """A camera that shows a scene.

    Args:
        name: the camera's name.
        script: the effects.
        seed: selects the variant.
        frame_rate: frames per second.
        pace: playback speed, 1 for real time; 0 delivers frames as fast as they are processed.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.
    """

    dropped = 0
    tags: Mapping[str, str] = {"simulated": "true"}

    def __init__(
        self,
        name: str,
        *,
        seed: int,
        script: Script = SCRIPTS["mixed"],
        frame_rate: float,
        pace: float,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self.name = name
        self._scene = Scene(seed, script)
        self._frame_rate = frame_rate
        self._pace = pace
        self._clock_ns = clock_ns
        self._timer = timer

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame]:
        """The scene from its start, without end."""
        start, start_ns = self._timer(), self._clock_ns()
        for number in itertools.count():
            position = number / self._frame_rate
            if self._pace and wait(max(0.0, start + position / self._pace - self._timer())):
                return
            yield Frame(self._scene.draw(position), start + position, start_ns + round(position * 1e9))

    def close(self) -> None:
        """Nothing to close."""


def _room() -> Image:
    """Wall, floor, a window and a table; drawn once."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    shade = np.linspace(175, 145, HEIGHT).astype(np.uint8)[:, None]
    image[:, :, 0], image[:, :, 1], image[:, :, 2] = shade, shade + 8, shade + 14
    cv2.rectangle(image, (0, 190), (WIDTH, HEIGHT), (75, 100, 125), cv2.FILLED)
    cv2.rectangle(image, (205, 40), (285, 105), (215, 205, 190), cv2.FILLED)
    cv2.rectangle(image, (205, 40), (285, 105), (110, 120, 130), 3)
    cv2.line(image, (245, 40), (245, 105), (110, 120, 130), 2)
    cv2.rectangle(image, (25, 150), (105, 158), (45, 70, 105), cv2.FILLED)
    for left in (30, 95):
        cv2.rectangle(image, (left, 158), (left + 5, 205), (45, 70, 105), cv2.FILLED)
    return image


def _lamp() -> Image:
    """The light that the lamp adds: a soft cone."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    distance = np.hypot(across - _LAMP_AT[0], down - _LAMP_AT[1])
    light = _LAMP_LEVEL * np.clip(1.0 - distance / _LAMP_REACH, 0.0, 1.0)
    return np.repeat(light.astype(np.uint8)[:, :, None], 3, axis=2)


def _draw_rain(image: Image, chance: random.Random) -> None:
    for _ in range(_STREAKS):
        across, down = chance.randrange(WIDTH), chance.randrange(HEIGHT)
        end = (across + 2, down + _STREAK_LENGTH)
        level = min(255, int(image[down, across, 1]) + _STREAK_LEVEL)
        cv2.line(image, (across, down), end, (level, level, level), 1, cv2.LINE_AA)


def _during(seconds: float, begin: float, end: float, every: float) -> bool:
    return begin <= seconds % every < end


def _outline(visit: Visit, seconds: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of the person, including parts outside the image."""
    width = visit.height // 3
    share = (seconds - visit.start_seconds) / (visit.end_seconds - visit.start_seconds)
    along = share if visit.rightwards else 1.0 - share
    return round(-width + along * (WIDTH + width)), HEIGHT - 15 - visit.height, width, visit.height


def _draw_person(image: Image, visit: Visit, seconds: float) -> None:
    left, top, width, height = _outline(visit, seconds)
    middle, head = left + width // 2, height // 14
    hip, foot = top + height * 55 // 100, top + height
    swing = round(width * 0.4 * math.sin(2.0 * math.pi * (seconds - visit.start_seconds)))
    for step in (swing, -swing):
        cv2.line(image, (middle, hip), (middle + step, foot - 4), visit.trousers, width // 5)
        cv2.line(image, (middle, top + 3 * head), (middle - step, hip), visit.coat, width // 7)
    cv2.ellipse(
        image,
        (middle, (top + 2 * head + hip) // 2),
        (width // 4, (hip - top) // 2 - head + 2),
        0,
        0,
        360,
        visit.coat,
        cv2.FILLED,
    )
    cv2.circle(image, (middle, top + head), head, (120, 150, 200), cv2.FILLED)
