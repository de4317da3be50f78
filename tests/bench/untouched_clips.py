"""A second set of clips with known truth, made by another recipe than :mod:`tests.bench.camera_clips`.

Walkers with joints, animals and vehicles in front of fractal textures, seen through a modelled camera: vignetting,
gamma, noise that grows with the light, automatic exposure, shake, zoom, rotation, and H.264 at a low bit rate.

The detector is never tuned on this set: its figures are an estimate for unknown scenes. A change
that improves a figure here has to be justified by other clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.camera_clips import RATE, Clip, Visit

WIDTH, HEIGHT = 320, 240
SECONDS = 40
FRAMES = SECONDS * RATE

Field = NDArray[Any]
Light = Callable[[float], float]


class Actor(NamedTuple):
    """Something that crosses the scene.

    Args:
        kind: ``walker``, ``animal`` or ``vehicle``.
        start: time at which it enters, in seconds.
        seconds: time it takes to cross.
        height: in pixels, at the start and at the end of the crossing.
        leftwards: whether it comes from the right.
        contrast: how much its colours differ from a middle grey; 1 is a lot.
        pause: fraction of the crossing during which it stops and shifts its weight.
    """

    kind: str = "walker"
    start: float = 10.0
    seconds: float = 6.0
    height: tuple[float, float] = (90.0, 90.0)
    leftwards: bool = False
    contrast: float = 1.0
    pause: float = 0.0


class Shot(NamedTuple):
    """One clip.

    Args:
        name: what happens.
        actors: who crosses.
        light: brightness of the whole scene over time.
        lamp: brightness of a lamp, which lights a part of the scene, over time.
        noise: standard deviation of the noise of a middle grey, in grey levels.
        overlay: draws into the finished image, as a camera does with a clock, or a damaged stream.
        view: the transformation matrix of the camera's view at a time.
        weather: number of streaks of rain, and of flakes of snow, in one image.
        exposure: time constant of automatic exposure in seconds; 0 switches it off.
        quality: constant rate factor of the encoder.
    """

    name: str
    actors: tuple[Actor, ...] = ()
    light: Light = lambda _seconds: 1.0
    lamp: Light = lambda _seconds: 0.0
    noise: float = 3.0
    overlay: Callable[[NDArray[np.uint8], float, np.random.Generator], None] | None = None
    view: Callable[[float], Field] | None = None
    weather: tuple[int, int] = (0, 0)
    exposure: float = 0.0
    quality: int = 26


def write_all(folder: Path, seeds: tuple[int, ...] = (101, 202)) -> list[Clip]:
    """All shots with each seed, written into the folder."""
    return [
        _write(shot, seed, folder / f"untouched-{seed}-{number}.mp4")
        for seed in seeds
        for number, shot in enumerate(shots(np.random.default_rng(seed)))
    ]


def shots(generator: np.random.Generator) -> list[Shot]:
    """The shots, with times, speeds and sizes that depend on the seed."""

    def walker(about: float, **given: object) -> Actor:
        height = float(generator.uniform(60, 120))
        values = {
            "start": about + float(generator.uniform(0, 2)),
            "seconds": float(generator.uniform(4, 8)),
            "height": (height, height * float(generator.uniform(0.8, 1.3))),
            "leftwards": bool(generator.random() < 0.5),
            **given,
        }
        return Actor(**values)  # type: ignore[arg-type]

    def steps(every: float, share: float) -> Light:
        return lambda seconds: 1.0 + share * (-0.5 if int(seconds / every) % 2 else 0.5)

    def switch(on: float, before: float, ramp: float = 0.05) -> Light:
        return lambda seconds: before + (1 - before) * min(1.0, max(0.0, (seconds - on) / ramp))

    def window(begin: float, end: float) -> Light:
        return lambda seconds: float(begin <= seconds < end)

    twice = (walker(8), walker(24))
    visits = [
        Shot("two walkers", twice),
        Shot("coarse compression", twice, quality=34),
        Shot("far away", (walker(8, height=(38.0, 34.0)), walker(24, height=(36.0, 42.0)))),
        Shot("low contrast", (walker(8, contrast=0.45), walker(24, contrast=0.45))),
        Shot("approaches", (walker(8, height=(30.0, 150.0)), walker(24, height=(140.0, 40.0)))),
        Shot("stops on the way", (walker(9, seconds=14.0, pause=0.4),)),
        Shot("two at once", (walker(12), walker(14), walker(13, leftwards=True))),
        Shot("animal", (walker(8, kind="animal", height=(34.0, 34.0)), walker(24, kind="animal", height=(40.0, 40.0)))),
        Shot("vehicle fills the picture", (walker(14, kind="vehicle", height=(230.0, 230.0), seconds=5.0),)),
        Shot("fast vehicle", (walker(14, kind="vehicle", height=(200.0, 200.0), seconds=2.5),)),
        Shot("night, strong noise", (walker(8, height=(64.0, 70.0)), walker(24)), light=lambda _s: 0.3, noise=14.0),
        Shot("night, very strong noise", (walker(10, height=(90.0, 80.0)),), light=lambda _s: 0.35, noise=19.0),
        Shot("dim room", twice, light=lambda _s: 0.13, noise=2.0),
        Shot("light on, then walks", (walker(0, start=16.0, seconds=5.0),), light=switch(15.6, 0.12)),
        Shot("light on, automatic exposure", (walker(0, start=16.5),), light=switch(15.5, 0.25, 0.3), exposure=0.8),
        Shot("light off, then walks", (walker(0, start=16.0),), light=lambda s: 1.0 if s < 15.5 else 0.35),
        Shot("light keeps stepping", (walker(12, seconds=8.0),), light=steps(2.0, 0.2)),
        Shot("exposure follows the walker", (walker(8, height=(150.0, 150.0)), walker(24)), exposure=1.0),
        Shot("rain", twice, weather=(70, 0)),
        Shot("snow", twice, weather=(0, 60)),
        Shot("walks past a lamp", twice, lamp=window(5, 33)),
        Shot("shake", twice, view=_shaking(0.02)),
        Shot("dusk", twice, light=lambda s: 1.0 - 0.017 * s),
        Shot("breathing focus", twice, view=lambda s: _matrix(zoom=1 + 0.008 * max(0.0, math.sin(0.7 * s)))),
    ]
    quiet = [
        Shot("nobody"),
        Shot("nobody, coarse compression", quality=34),
        Shot("nobody, night", light=lambda _s: 0.3, noise=16.0),
        Shot("nobody, dim room", light=lambda _s: 0.12, noise=2.0),
        Shot("light on", light=switch(15.0, 0.12)),
        Shot("light off and on", light=lambda s: 0.3 if 14 <= s < 26 else 1.0),
        Shot("light fades in", light=switch(15.0, 0.3, 1.5), exposure=1.0),
        Shot("light keeps stepping, nobody", light=steps(2.0, 0.2)),
        Shot("flicker", light=lambda s: 1.0 + 0.06 * math.sin(5.1 * s)),
        Shot("clouds", light=lambda s: 1.0 - 0.35 * max(0.0, math.sin(0.6 * s))),
        Shot("lamp on and off", lamp=window(10, 25)),
        Shot("lamp dims", lamp=lambda s: max(0.0, math.sin(0.5 * s))),
        Shot("exposure hunts", light=lambda s: 1.0 + 0.15 * math.sin(1.5 * s) * (10 < s < 30)),
        Shot("rain, nobody", weather=(90, 0)),
        Shot("snow, nobody", weather=(0, 90)),
        Shot("shake 2 %", view=_shaking(0.02)),
        Shot("shake 1 %, nobody", view=_shaking(0.01)),
        Shot("breathing focus, nobody", view=lambda s: _matrix(zoom=1 + 0.008 * max(0.0, math.sin(0.7 * s)))),
        Shot("camera turns", view=lambda s: _matrix(turn=0.8 * max(0.0, math.sin(0.4 * s)))),
        Shot("camera is moved", view=lambda s: _matrix(right=5.0, down=2.0) if s >= 15 else _matrix()),
        Shot("clock", overlay=_clock),
        Shot("blinking light", overlay=_blinking),
        Shot("something is put down", overlay=_put_down),
        Shot("damaged stream", overlay=_damaged),
    ]
    return visits + quiet


def _write(shot: Shot, seed: int, path: Path) -> Clip:
    """Encode a shot; the truth is where the actors' pixels are."""
    shares: list[float] = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE, {"crf": str(shot.quality), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 50
        for image, share in _draw(shot, seed):
            shares.append(share)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
    return Clip(f"untouched: {shot.name}", path, WIDTH, HEIGHT, tuple(_visits(shares)))


def _draw(shot: Shot, seed: int) -> Iterator[tuple[NDArray[np.uint8], float]]:
    generator = np.random.default_rng([seed, len(shot.name), sum(map(ord, shot.name))])
    room, lamp, vignette = _room(generator), _cone(generator), _vignette()
    pattern = _fractal(generator, 7)
    looks = [generator.uniform(-1, 1, (6, 3)) for _ in shot.actors]
    grain: Field = cv2.GaussianBlur(
        generator.normal(0, 1, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32), (0, 0), 0.6
    )
    grain /= grain.std()
    gain = 1.0
    for number in range(FRAMES):
        seconds = number / RATE
        scene = room.copy()
        seen = np.zeros((HEIGHT, WIDTH), np.uint8)
        for actor, look in zip(shot.actors, looks, strict=True):
            _perform(scene, seen, actor, look, pattern, seconds)
        linear: Field = scene * (shot.light(seconds) + 0.9 * shot.lamp(seconds) * lamp) * vignette
        if shot.exposure:
            wanted = 0.16 / max(0.01, float(linear.mean()))
            gain += (wanted - gain) * (1 - math.exp(-1 / RATE / shot.exposure)) if number else wanted - gain
            linear *= min(max(gain, 0.3), 6.0)
        if shot.view is not None:
            linear = cv2.warpAffine(linear, shot.view(seconds), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        image = 255 * np.clip(linear, 0, 1) ** (1 / 2.2)
        down, right = (int(each) for each in generator.integers(0, 64, 2))
        noise = grain[down : down + HEIGHT, right : right + WIDTH]
        image = image + noise * shot.noise * np.sqrt(0.3 + image / 180)
        final = np.clip(image, 0, 255).astype(np.uint8)
        _weather(final, shot.weather, seconds, generator, seed)
        if shot.overlay is not None:
            shot.overlay(final, seconds, generator)
        yield final, cv2.countNonZero(seen) / seen.size


def _visits(shares: list[float]) -> list[Visit]:
    """Runs of frames with an actor; what follows within two seconds belongs to the same run."""
    visits: list[Visit] = []
    for number in (each for each, share in enumerate(shares) if share > 0):
        if visits and number - visits[-1].last <= 2 * RATE:
            visits[-1] = visits[-1]._replace(last=number)
        else:
            visits.append(Visit(number, number, number))
    return [
        each._replace(large=next((n for n in range(each.first, each.last + 1) if shares[n] >= 0.005), each.last))
        for each in visits
    ]


def _fractal(generator: np.random.Generator, octaves: int, roughness: float = 0.55) -> Field:
    """Noise with detail at every scale, from 0 to 1."""
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(octaves):
        size = (4 << octave, 3 << octave)
        layer = generator.normal(0, roughness**octave, (size[1], size[0])).astype(np.float32)
        total += cv2.resize(layer, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(total, (1, 99))
    scaled: Field = np.clip((total - low) / (high - low), 0, 1).astype(np.float32)
    return scaled


def _room(generator: np.random.Generator) -> Field:
    """Wall and floor with a texture each, and things with straight and round edges, as linear light."""
    roughness = float(generator.uniform(0.4, 0.75))
    wall, floor = (_fractal(generator, 7, roughness) for _ in range(2))
    colours = generator.uniform(0.12, 0.45, (2, 3)).astype(np.float32)
    horizon = HEIGHT * generator.uniform(0.45, 0.7) + 12 * (_fractal(generator, 3)[0] - 0.5)
    upper = (np.arange(HEIGHT)[:, None] < horizon[None, :]).astype(np.float32)[:, :, None]
    room = upper * colours[0] * (0.6 + 0.8 * wall[:, :, None]) + (1 - upper) * colours[1] * (0.5 + floor[:, :, None])
    for _ in range(int(generator.integers(5, 12))):
        centre = generator.uniform((0, 0), (WIDTH, HEIGHT * 0.8))
        corners = centre + generator.uniform(-38, 38, (int(generator.integers(3, 7)), 2))
        shape = np.zeros((HEIGHT, WIDTH), np.uint8)
        if generator.random() < 0.3:
            axes = (int(generator.integers(8, 30)), int(generator.integers(8, 30)))
            cv2.ellipse(
                shape, (int(centre[0]), int(centre[1])), axes, float(generator.uniform(0, 180)), 0, 360, 255, -1
            )
        else:
            cv2.fillConvexPoly(shape, cv2.convexHull(corners.astype(np.int32)), 255)
        tint = generator.uniform(0.03, 0.7, 3).astype(np.float32) * (0.7 + 0.6 * _fractal(generator, 5)[:, :, None])
        room = np.where(shape[:, :, None] > 0, tint, room)
    return np.asarray(cv2.GaussianBlur(room.astype(np.float32), (0, 0), 0.8), np.float32)


def _vignette() -> Field:
    down, across = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light: Field = (1 - 0.22 * (across**2 + down**2) / 2).astype(np.float32)[:, :, None]
    return light


def _cone(generator: np.random.Generator) -> Field:
    """The light of a lamp on the wall, which falls with the square of the distance."""
    across, down, reach = generator.uniform((60, 40, 35), (260, 150, 70))
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    light: Field = (1 / (1 + ((columns - across) ** 2 + (rows - down) ** 2) / reach**2) ** 2).astype(np.float32)[
        :, :, None
    ]
    return light


def _perform(
    scene: Field, seen: NDArray[np.uint8], actor: Actor, look: NDArray[np.float64], pattern: Field, seconds: float
) -> None:
    """Draw an actor into the scene, and mark its pixels."""
    share = (seconds - actor.start) / actor.seconds
    if not 0 <= share <= 1:
        return
    way = share
    if actor.pause:
        begin, end = 0.5 - actor.pause / 2, 0.5 + actor.pause / 2
        moving = 1 - actor.pause
        way = (min(share, begin) + max(0.0, share - end)) / moving
    height = actor.height[0] + (actor.height[1] - actor.height[0]) * way
    half = height * {"walker": 0.25, "animal": 0.9, "vehicle": 0.85}[actor.kind]
    along = -half + way * (WIDTH + 2 * half)
    across = WIDTH - along if actor.leftwards else along
    ground = HEIGHT * 0.62 + 0.3 * height if actor.kind != "vehicle" else HEIGHT * 0.5 + 0.55 * height
    stride = math.sin(2 * math.pi * seconds * 0.9) if 0 < way < 1 else 0.0
    parts: list[tuple[NDArray[np.uint8], int]] = []

    def limb(points: list[tuple[float, float]], width: float, colour: int) -> None:
        shape = np.zeros((HEIGHT, WIDTH), np.uint8)
        line = np.array([(across + x * height, ground - y * height) for x, y in points])
        cv2.polylines(shape, [(16 * line).astype(np.int32)], False, 255, max(1, round(width * height)), cv2.LINE_AA, 4)
        parts.append((shape, colour))

    if actor.kind == "walker":
        lean, bend = 0.02 * stride, 0.5 * abs(stride)
        for side in (1, -1):
            swing = side * 0.16 * stride
            limb([(0, 0.48), (swing * 0.6 + 0.03, 0.25), (swing, 0.02 + 0.04 * bend * (side > 0))], 0.09, 1)
        limb([(lean, 0.8), (-0.12 * stride - 0.03, 0.62), (-0.17 * stride, 0.47)], 0.06, 2)
        limb([(0, 0.48), (lean, 0.8)], 0.17, 0)
        limb([(lean, 0.8), (0.12 * stride + 0.03, 0.62), (0.17 * stride, 0.47)], 0.06, 2)
        limb([(lean, 0.92), (lean, 0.94)], 0.12, 3)
    elif actor.kind == "animal":
        for x in (-0.5, -0.35, 0.35, 0.5):
            limb([(x, 0.4), (x + 0.12 * stride * (1 if x > 0 else -1), 0.0)], 0.1, 1)
        limb([(-0.5, 0.55), (0.5, 0.55)], 0.38, 0)
        limb([(0.55, 0.75), (0.68, 0.78)], 0.3, 0)
    else:
        limb([(-0.7, 0.4), (0.7, 0.4)], 0.5, 0)
        limb([(-0.4, 0.75), (0.35, 0.75)], 0.4, 1)
        for x in (-0.4, 0.4):
            limb([(x, 0.12), (x + 0.01, 0.12)], 0.22, 4)
    texture = (0.8 + 0.4 * np.roll(pattern, int(across), axis=1))[:, :, None]
    for shape, colour in parts:
        tint = np.clip(0.22 + actor.contrast * 0.3 * look[colour] - 0.12 * actor.contrast, 0.015, 0.8)
        alpha = (shape.astype(np.float32) / 255)[:, :, None]
        scene *= 1 - alpha
        scene += alpha * texture * tint.astype(np.float32)
        cv2.bitwise_or(seen, cv2.threshold(shape, 127, 255, cv2.THRESH_BINARY)[1], seen)
    shadow = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(
        shadow, (round(across), round(ground)), (max(1, round(half)), max(1, round(0.06 * height))), 0, 0, 360, 90, -1
    )
    scene *= 1 - cv2.GaussianBlur(shadow, (0, 0), 2.0).astype(np.float32)[:, :, None] / 255


def _matrix(zoom: float = 1.0, turn: float = 0.0, right: float = 0.0, down: float = 0.0) -> Field:
    matrix: Field = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, zoom)
    matrix[:, 2] += np.array((right, down))
    return matrix.astype(np.float32)


def _shaking(share: float) -> Callable[[float], Field]:
    """For a part of the time the view swings by this share of the width."""

    def view(seconds: float) -> Field:
        if seconds % 16 < 6:
            return _matrix()
        reach = share * WIDTH
        return _matrix(
            turn=0.15 * math.sin(9.1 * seconds),
            right=reach * math.sin(6.3 * seconds) * math.cos(1.7 * seconds),
            down=0.6 * reach * math.sin(8.2 * seconds + 1),
        )

    return view


def _weather(
    image: NDArray[np.uint8], number: tuple[int, int], seconds: float, generator: np.random.Generator, seed: int
) -> None:
    streaks, flakes = number
    if streaks:
        wet = image.copy()
        for across, down in generator.integers((0, 0), (WIDTH, HEIGHT), (streaks, 2)):
            end = (int(across) + int(generator.integers(-2, 3)), int(down) + int(generator.integers(7, 16)))
            cv2.line(wet, (int(across), int(down)), end, (205, 205, 205), 1, cv2.LINE_AA)
        cv2.addWeighted(wet, 0.5, image, 0.5, 0, image)
    if flakes:
        fall = np.random.default_rng(seed)
        across, down, speed, size = (fall.uniform(0, 1, flakes) for _ in range(4))
        for x, y, fast, large in zip(across, down, speed, size, strict=True):
            place = ((x + 0.02 * math.sin(seconds + 9 * x)) * WIDTH, (y + seconds * (0.25 + 0.3 * fast)) % 1 * HEIGHT)
            cv2.circle(
                image, (round(place[0]), round(place[1])), 1 + round(1.2 * large), (225, 225, 225), -1, cv2.LINE_AA
            )


def _clock(image: NDArray[np.uint8], seconds: float, _generator: np.random.Generator) -> None:
    """A clock in the corner, which strikes midnight."""
    second = (86400 - 20 + int(seconds)) % 86400
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    cv2.putText(image, text, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)


def _blinking(image: NDArray[np.uint8], seconds: float, _generator: np.random.Generator) -> None:
    """A signal light of 0.7 % of the picture."""
    if seconds > 6 and int(seconds / 0.7) % 2:
        cv2.circle(image, (230, 90), 13, (90, 235, 245), -1, cv2.LINE_AA)


def _put_down(image: NDArray[np.uint8], seconds: float, _generator: np.random.Generator) -> None:
    """Things of 0.7 % and of 2 % of the picture are there from one image to the next."""
    if seconds >= 12:
        cv2.rectangle(image, (60, 150), (87, 169), (200, 190, 70), -1)
    if seconds >= 24:
        cv2.rectangle(image, (200, 120), (250, 150), (40, 50, 60), -1)


def _damaged(image: NDArray[np.uint8], seconds: float, generator: np.random.Generator) -> None:
    """Now and then the lower rows of one or two images are grey, or repeat one row."""
    if seconds > 5 and seconds % 4.0 < 0.2:
        top = int(generator.integers(60, 200))
        image[top:] = 128 if generator.random() < 0.5 else image[top]
