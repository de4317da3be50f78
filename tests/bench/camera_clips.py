"""Clips whose truth is known: people cut out of a recording and pasted onto its empty background, and drawn scenes.

Every clip is written once as Motion JPEG, and every detector reads that file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.pixels import Image, shift_image

RATE = 10
SECONDS = 90
QUALITY = 95
#: Minimum visible share of the picture that a person covers; the detectors' default minimum area.
LEAST_PERCENT = 0.5


class Visit(NamedTuple):
    """Frames with a person in the picture; ``large`` is the first with the minimum area."""

    first: int
    last: int
    large: int


class Clip(NamedTuple):
    """A file, its size, and the visits of persons in it."""

    name: str
    path: Path
    width: int
    height: int
    visits: tuple[Visit, ...]


class Person(NamedTuple):
    """A person cut out of several pictures: colours, and 255 where the person is."""

    pictures: tuple[tuple[Image, Image], ...]


class Pass(NamedTuple):
    """One walk through the picture: who, when, how fast (pixels a frame; negative is to the left), how large."""

    person: int
    start: int
    speed: float
    size: float
    down: int


def write_all(recording: Path, folder: Path) -> list[Clip]:
    """All clips, written into the folder."""
    background, people = cut_out(recording)
    passes = (Pass(0, 150, 9, 1.9, 340), Pass(1, 400, -8, 1.7, 345), Pass(2, 650, 12, 1.5, 330))
    composed: dict[str, tuple[tuple[Pass, ...], Callable[[Image, int, np.random.Generator], Image], float]] = {
        "people": (passes, _as_it_is, 3),
        "people, noise": (passes, _as_it_is, 10),
        "light switch": (passes[:1], _switched, 3),
        "people by a lamp": (passes[1:], _by_lamp, 3),
        "rain": (passes[1:], _in_rain, 3),
        "shake": (passes, _shaken, 3),
        "empty": ((), _as_it_is, 6),
        "light on, then people": ((Pass(0, 305, 9, 1.9, 340), passes[2]), _lit_late, 3),
        "light steps": (passes, _stepping, 3),
        "light steps, empty": ((), _stepping, 3),
        "night": (passes, _as_it_is, 18),
        "far away at night": ((Pass(0, 150, 4, 0.8, 280), Pass(1, 500, -5, 1.1, 280)), _as_it_is, 12),
        "dim": (passes, _dim, 2),
        "vehicle": ((), _vehicle, 3),
        "focus breathes": (passes[:1], _breathing, 3),
        "camera turns": (passes[:1], _turning, 3),
        "blinking lamp": ((), _blinking, 3),
        "clock": ((), _clock, 3),
        "damaged": (passes[:1], _damaged, 3),
    }
    clips = []
    for number, (name, (walks, change, noise)) in enumerate(composed.items()):
        generator = np.random.default_rng(number)
        pictures, visits = _compose(background, people, walks, change, noise, generator)
        if change is _vehicle:
            visits = [Visit(first, first + _VEHICLE_FRAMES - 1, first + 2) for first in _VEHICLES]
        clips.append(_write(f"recorded: {name}", folder / f"recorded-{number}.avi", pictures, visits))
    for number, name in enumerate(each for each in SCRIPTS if each != "frozen"):
        scene = Scene(number + 1, SCRIPTS[name])
        drawn = (scene.draw(frame / RATE) for frame in range(SECONDS * RATE))
        clips.append(_write(f"simulated: {name}", folder / f"simulated-{number}.avi", drawn, _visits(_figures(scene))))
    return clips


def read(path: Path) -> Iterator[Image]:
    """The pictures of a file."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        while True:
            found, picture = capture.read()
            if not found:
                return
            yield picture
    finally:
        capture.release()


def cut_out(recording: Path) -> tuple[Image, list[Person]]:
    """The empty background, which is the median in time, and three people who walk alone for a while."""
    pictures = list(read(recording))
    background = np.median(np.stack(pictures[::12]), axis=0).astype(np.uint8)
    tracks: list[list[tuple[int, tuple[int, int, int, int], Image]]] = []
    open_tracks: list[list[tuple[int, tuple[int, int, int, int], Image]]] = []
    for number, picture in enumerate(pictures[:500]):
        apart = cv2.absdiff(picture, background).max(axis=2)
        mask = cv2.threshold(cv2.GaussianBlur(apart, (5, 5), 0), 22, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 5), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8))
        continued = []
        for label in range(1, count):
            left, top, width, height, area = (int(each) for each in stats[label])
            inside = left > 2 and top > 2 and left + width < 478 and top + height < 358
            if not (inside and 45 <= height <= 150 and 0.25 <= width / height <= 0.7 and area > 0.4 * width * height):
                continue
            shape = np.where(labels[top : top + height, left : left + width] == label, 255, 0).astype(np.uint8)
            entry = (number, (left, top, width, height), shape)
            for track in open_tracks:
                _, (x, y, w, h), _ = track[-1]
                if abs(x + w / 2 - left - width / 2) < 12 and abs(y + h - top - height) < 12:
                    track.append(entry)
                    continued.append(track)
                    break
            else:
                continued.append([entry])
                tracks.append(continued[-1])
        open_tracks = continued
    tracks.sort(key=len, reverse=True)
    return background, [
        Person(tuple((np.ascontiguousarray(pictures[n][y : y + h, x : x + w]), mask) for n, (x, y, w, h), mask in each))
        for each in tracks[:3]
    ]


def _compose(
    background: Image,
    people: list[Person],
    walks: tuple[Pass, ...],
    change: Callable[[Image, int, np.random.Generator], Image],
    noise: float,
    generator: np.random.Generator,
) -> tuple[Iterator[Image], list[Visit]]:
    height, width = background.shape[:2]
    shown: list[list[int]] = []
    for walk in walks:
        seen = []
        for number in range(SECONDS * RATE):
            canvas = np.zeros((height, width), np.uint8)
            _paste(None, canvas, people[walk.person], walk, number)
            seen.append(cv2.countNonZero(canvas))
        shown.append(seen)

    def draw() -> Iterator[Image]:
        field = generator.normal(0, noise, (height + 64, width + 64, 3)).round().astype(np.int16)
        for number in range(SECONDS * RATE):
            picture = background.copy()
            for walk in walks:
                _paste(picture, None, people[walk.person], walk, number)
            picture = change(picture, number, generator)
            down, right = (int(each) for each in generator.integers(0, 64, 2))
            yield np.asarray(
                cv2.add(picture, field[down : down + height, right : right + width], dtype=cv2.CV_8U), np.uint8
            )

    return draw(), [visit for seen in shown for visit in _visits([each / (width * height) for each in seen])]


def _paste(picture: Image | None, canvas: Image | None, person: Person, walk: Pass, number: int) -> None:
    """Draw a person into a picture, or where the person is into a canvas."""
    if number < walk.start:
        return
    step = number - walk.start
    cycle = len(person.pictures) - 1
    colours, mask = person.pictures[abs(step % (2 * cycle) - cycle)]
    if walk.speed < 0:
        colours, mask = colours[:, ::-1], mask[:, ::-1]
    size = (max(2, round(colours.shape[1] * walk.size)), max(2, round(colours.shape[0] * walk.size)))
    colours, mask = cv2.resize(colours, size), cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    whole = picture if picture is not None else canvas
    assert whole is not None
    left = round(-size[0] + step * walk.speed if walk.speed > 0 else whole.shape[1] + step * walk.speed)
    top = walk.down - size[1]
    begin, end = max(0, left), min(whole.shape[1], left + size[0])
    if begin >= end:
        return
    part = (slice(top, top + size[1]), slice(begin, end))
    cut = mask[:, begin - left : end - left] > 0
    if picture is not None:
        picture[part][cut] = colours[:, begin - left : end - left][cut]
    if canvas is not None:
        canvas[part][cut] = 255


def _visits(shares: list[float]) -> list[Visit]:
    """Runs of frames with a person in the picture, from the share of each frame that the person covers."""
    visits = []
    first = None
    for number, share in enumerate([*shares, 0.0]):
        if share > 0 and first is None:
            first = number
        elif not share and first is not None:
            large = [each for each in range(first, number) if shares[each] >= LEAST_PERCENT / 100]
            visits.append(Visit(first, number - 1, large[0] if large else number - 1))
            first = None
    return visits


def _figures(scene: Scene) -> list[float]:
    """What share of each picture a drawn person fills: about half of the person's outline."""
    shares = []
    for number in range(SECONDS * RATE):
        figure = scene.truth(number / RATE).figure
        shares.append(0.0 if figure is None else 0.5 * figure[2] * figure[3] / (320 * 240))
    return shares


def _write(name: str, path: Path, pictures: Iterator[Image], visits: list[Visit]) -> Clip:
    first = next(pictures)
    height, width = first.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (width, height))
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
    writer.write(first)
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return Clip(name, path, width, height, tuple(visits))


def _as_it_is(picture: Image, number: int, generator: np.random.Generator) -> Image:
    del number, generator
    return picture


def _switched(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """The light goes off and on, and a cloud passes."""
    del generator
    light = 0.5 if 300 <= number < 420 else 1.0
    cloud = 1.0 - 0.25 * max(0.0, math.sin((number - 550) / 60)) * (550 <= number < 738)
    return np.asarray(cv2.convertScaleAbs(picture, alpha=light * cloud), np.uint8)


def _by_lamp(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """A lamp that lights a third of the picture goes on and off three times."""
    del generator
    if number % 300 < 150:
        return picture
    height, width = picture.shape[:2]
    down, across = np.mgrid[0:height, 0:width]
    light = 60 * np.clip(1.0 - np.hypot(across - 120, down - 150) / 150, 0, 1)
    return np.asarray(cv2.add(picture, np.repeat(light[:, :, None], 3, axis=2), dtype=cv2.CV_8U), np.uint8)


def _in_rain(picture: Image, number: int, generator: np.random.Generator) -> Image:
    del number
    height, width = picture.shape[:2]
    wet = picture.copy()
    for across, down in generator.integers((0, 0), (width, height), (80, 2)):
        level = min(255, int(picture[down, across, 1]) + 45)
        end = (int(across) + 2, int(down) + 15)
        cv2.line(wet, (int(across), int(down)), end, (level, level, level), 1, cv2.LINE_AA)
    return wet


def _shaken(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """For five seconds in every twenty the camera shakes."""
    del generator
    if number % 200 < 150:
        return picture
    return shift_image(picture, 6 * math.sin(0.71 * number), 4 * math.sin(0.53 * number))


def _lit_late(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """The light goes on half a second before a person enters, and later off and on again."""
    del generator
    dark = number < 300 or 500 <= number < 645
    return np.asarray(cv2.convertScaleAbs(picture, alpha=0.18 if dark else 1.0), np.uint8)


def _stepping(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """Every 2 s, the brightness changes by 12 per cent or more."""
    del generator
    level = (1.0, 0.88, 0.99, 0.78, 0.9, 0.7)[number // 20 % 6]
    return np.asarray(cv2.convertScaleAbs(picture, alpha=level), np.uint8)


def _dim(picture: Image, number: int, generator: np.random.Generator) -> Image:
    del number, generator
    return np.asarray(cv2.convertScaleAbs(picture, alpha=0.15), np.uint8)


_VEHICLES, _VEHICLE_FRAMES = (200, 500, 700), 30


def _vehicle(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """Something as large as the picture drives through within 3 s; its colour is near that of the ground once."""
    del generator
    for turn, first in enumerate(_VEHICLES):
        if first <= number < first + _VEHICLE_FRAMES:
            height, width = picture.shape[:2]
            length = round(1.3 * width)
            left = round(-length + (number - first + 0.5) * (width + length) / _VEHICLE_FRAMES)
            level = (40, 190, 90)[turn]
            cv2.rectangle(picture, (left, 10), (left + length, height - 20), (level, level, level + 20), cv2.FILLED)
            for window in range(3):
                corner = left + 30 + 190 * window
                cv2.rectangle(picture, (corner, 40), (corner + 130, 130), (25, 20, 20), cv2.FILLED)
    return picture


def _breathing(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """The focus hunts for three seconds in every ten, which enlarges the picture by 0.8 per cent."""
    del generator
    zoom = 1 + 0.008 * abs(math.sin(0.4 * number)) * (number % 100 < 30)
    return _warped(picture, zoom, 0.0)


def _turning(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """The camera turns by up to 0.8 degrees and back."""
    del generator
    return _warped(picture, 1.0, 0.8 * math.sin(0.2 * number) * (number % 150 < 60))


def _warped(picture: Image, zoom: float, turn: float) -> Image:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    warped: Any = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _blinking(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """A lamp of 0.8 per cent of the picture blinks, at three speeds."""
    del generator
    if number > 60 and number // (4, 9, 25)[number // 300] % 2:
        cv2.rectangle(picture, (300, 120), (336, 158), (200, 240, 250), cv2.FILLED)
    return picture


def _clock(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """A clock in the picture, at midnight, with figures of a tenth of the height."""
    del generator
    second = (86400 - 40 + number // 10) % 86400
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    for colour, thick in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.putText(picture, text, (10, 350), cv2.FONT_HERSHEY_PLAIN, 2.5, colour, thick)
    return picture


def _damaged(picture: Image, number: int, generator: np.random.Generator) -> Image:
    """Now and then, the rest of one or two pictures repeats a row, or is grey."""
    if number % 37 < 2 and number > 50:
        height = picture.shape[0]
        top = int(generator.integers(0, height - 20))
        picture[top:] = 128 if number % 2 else picture[top]
    return picture
