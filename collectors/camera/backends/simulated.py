"""A scripted scene with known ground truth: a room with noise, visitors, a lamp, and slow dusk.

The same seed and time give the same picture. In every minute of the scene two people walk through (the first
after 4 s), and between them somebody switches the light off and on again; daylight fades and returns slowly.
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
from collectors.camera.detector import Image

#: Pixels; what a camera's small stream has.
WIDTH, HEIGHT = 320, 240

#: A visit begins this long after the beginning, and then again and again, in seconds.
FIRST_VISIT_SECONDS, VISIT_EVERY_SECONDS = 4.0, 30.0
_VISIT_SECONDS = (5.0, 8.0)
#: The light is off for this part of every minute.
LIGHT_OFF_SECONDS, LIGHT_ON_SECONDS, _LIGHT_EVERY_SECONDS = 24.0, 29.0, 60.0
_LIGHT_OFF = 0.35
#: Daylight goes down by this share and comes back, in so many seconds.
_DUSK, _DUSK_EVERY_SECONDS = 0.4, 1800.0
#: Standard deviation of the noise, in grey levels.
NOISE = 4.0

_SPARE = 64  # the noise is cut from a larger field, at another place for each picture


class Visit(NamedTuple):
    """One person walking through: when, which way, how tall (pixels), and the clothes' colours."""

    start_seconds: float
    end_seconds: float
    rightwards: bool
    height: int
    coat: tuple[int, int, int]
    trousers: tuple[int, int, int]


class Truth(NamedTuple):
    """What a picture really shows.

    Args:
        figure: left, top, width, height of the part of a person that is in the picture; None without one.
        light: brightness, 1 by day with the light on.
    """

    figure: tuple[int, int, int, int] | None
    light: float


class Scene:
    """The script. Times are seconds since its beginning."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        generator = np.random.default_rng(seed)
        field = generator.normal(0.0, NOISE, (HEIGHT + _SPARE, WIDTH + _SPARE, 3))
        self._noise = field.round().astype(np.int16)
        self._room = _room()

    def visit(self, number: int) -> Visit:
        """The visit of that number, counted from 0."""
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
        """What there is to see at that time."""
        visit = self._present(seconds)
        figure = None
        if visit is not None:
            left, top, width, height = _outline(visit, seconds)
            shown = min(left + width, WIDTH) - max(left, 0)
            if shown > 0:
                figure = (max(left, 0), top, shown, height)
        off = LIGHT_OFF_SECONDS <= seconds % _LIGHT_EVERY_SECONDS < LIGHT_ON_SECONDS
        daylight = 1.0 - _DUSK * math.sin(math.pi * seconds / _DUSK_EVERY_SECONDS) ** 2
        return Truth(figure, daylight * (_LIGHT_OFF if off else 1.0))

    def draw(self, seconds: float) -> Image:
        """The picture at that time."""
        image = self._room.copy()
        visit = self._present(seconds)
        if visit is not None:
            _draw_person(image, visit, seconds)
        cv2.convertScaleAbs(image, image, alpha=self.truth(seconds).light)
        chance = random.Random(f"{self._seed}/noise/{seconds:.3f}")
        down, right = chance.randrange(_SPARE), chance.randrange(_SPARE)
        noise = self._noise[down : down + HEIGHT, right : right + WIDTH]
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)

    def _present(self, seconds: float) -> Visit | None:
        number = math.floor((seconds - FIRST_VISIT_SECONDS) / VISIT_EVERY_SECONDS)
        if number < 0:
            return None
        visit = self.visit(number)
        return visit if seconds < visit.end_seconds else None


class Simulated:
    """The scene as a camera.

    Args:
        name: the camera's name.
        seed: which scene.
        frame_rate: pictures a second.
        pace: how many times faster than life; 0 gives pictures as fast as they are taken.
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
        frame_rate: float,
        pace: float,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self.name = name
        self._scene = Scene(seed)
        self._frame_rate = frame_rate
        self._pace = pace
        self._clock_ns = clock_ns
        self._timer = timer

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame]:
        """The scene from its beginning, without end."""
        start, start_ns = self._timer(), self._clock_ns()
        for number in itertools.count():
            position = number / self._frame_rate
            if self._pace and wait(max(0.0, start + position / self._pace - self._timer())):
                return
            yield Frame(self._scene.draw(position), start + position, start_ns + round(position * 1e9))

    def close(self) -> None:
        """There is nothing to let go of."""


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


def _outline(visit: Visit, seconds: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of the person, also beyond the edges of the picture."""
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
