"""Light that switches or flickers, things that appear at once, lenses that breathe: not motion, and no cover for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import pytest

from collectors.camera import lighting, pixels
from collectors.camera.alarms import Alarms
from collectors.camera.backends import Frame
from collectors.camera.collector import CameraCollector
from collectors.camera.detector import Detection, Detector, Image
from collectors.camera.events import Event, EventTracker
from collectors.camera.settings import Config, DetectorConfig
from collectors.core.errors import ErrorReporter

WIDTH, HEIGHT = 160, 120
Change = Callable[[Image, float], Any]


def textured(seed: int = 3) -> Image:
    """A scene with detail at several scales, from dark to bright."""
    generator = np.random.default_rng(seed)
    scene = np.zeros((HEIGHT, WIDTH))
    for size, weight in (((4, 3), 1.0), ((16, 12), 0.5), ((40, 30), 0.3)):
        scene += weight * cv2.resize(generator.normal(0, 1, size[::-1]), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    scene -= scene.min()
    return np.asarray(40 + scene * (150 / scene.max()), np.uint8)


def with_person(picture: Image, left: float, height: int = 50, level: int = 15) -> Image:
    changed = picture.copy()
    cv2.ellipse(changed, (round(left), 80), (height // 5, height // 2), 0, 0, 360, (level,), cv2.FILLED)
    return changed


def play(
    change: Change,
    seconds: float,
    *,
    walks: tuple[float, float] | None = None,
    rate: float = 10.0,
    noise: float = 1.5,
    scene: Image | None = None,
) -> list[tuple[float, Detection]]:
    """The detections in a changing scene, through which a person walks from one time to another."""
    generator = np.random.default_rng(1)
    empty = textured() if scene is None else scene
    detector, found = Detector(DetectorConfig()), []
    for number in range(round(seconds * rate)):
        now = number / rate
        picture = empty
        if walks is not None and walks[0] <= now < walks[1]:
            picture = with_person(picture, -10 + (WIDTH + 20) * (now - walks[0]) / (walks[1] - walks[0]))
        changed = np.asarray(change(picture, now), np.float64) + generator.normal(0, noise, picture.shape)
        found.append((now, detector.detect(np.clip(changed, 0, 255).astype(np.uint8), now)))
    return found


def events(found: list[tuple[float, Detection]]) -> list[Event[int]]:
    """The events that end, after a gap of 5 s."""
    tracker: EventTracker[int] = EventTracker("light", 3, 5.0)
    ended = [
        event
        for number, (now, seen) in enumerate(found)
        for event in tracker.update(now, round(now * 1e9), seen, number)
        if event.kind == "end"
    ]
    return ended + list(tracker.finish(interrupted=True))


def lit(picture: Image, share: float) -> Any:
    return picture * share


@pytest.mark.parametrize("before", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("delay", [0.3, 1.5])
def test_person_who_walks_just_after_the_light_is_switched_on_is_seen(before: float, delay: float) -> None:
    on, walks = 8.0, (8.0 + delay, 10.0 + delay)
    found = play(lambda picture, now: lit(picture, 1.0 if now >= on else before), 14, walks=walks)
    seen = [now for now, each in found if each.moving]
    assert [now for now, each in found if each.reset_reason == "light"] == [on]
    assert seen[0] == pytest.approx(walks[0], abs=0.6)
    assert len(seen) >= 0.7 * 10 * (walks[1] - walks[0])
    assert all(walks[0] <= each <= walks[1] + 0.1 for each in seen)


def test_person_who_walks_just_after_the_light_is_switched_off_is_seen() -> None:
    found = play(lambda picture, now: lit(picture, 0.3 if now >= 8 else 1.0), 14, walks=(8.4, 10.4))
    seen = [now for now, each in found if each.moving]
    assert seen[0] == pytest.approx(8.4, abs=0.6)
    assert len(seen) >= 14


@pytest.mark.parametrize("share", [0.12, 0.3])
def test_light_that_keeps_stepping_neither_is_motion_nor_hides_it(share: float) -> None:
    def step(picture: Image, now: float) -> Any:
        return lit(picture, 1.0 - share * (int(now / 2) % 2))

    assert events(play(step, 40)) == []
    (event,) = events(play(step, 40, walks=(10.2, 18.2)))
    assert event.start_ns / 1e9 == pytest.approx(10.5, abs=0.8)
    assert event.duration_seconds >= 6


def test_exposure_that_reacts_to_a_person_does_not_enlarge_the_motion() -> None:
    def expose(picture: Image, now: float) -> Any:
        return lit(picture, 1.25 if 10.5 < now < 13.5 else 1.0)

    found = play(expose, 20, walks=(10.0, 14.0))
    (event,) = events(found)
    assert event.duration_seconds == pytest.approx(3.8, abs=0.7)
    assert max(each.area_percent for _, each in found) < 10


@pytest.mark.parametrize("level", [20, 110, 235])
@pytest.mark.parametrize("seconds", [1.6, 4.0])
def test_vehicle_that_fills_the_image_is_motion(level: int, seconds: float) -> None:
    def drive(picture: Image, now: float) -> Any:
        changed = picture.copy()
        right = round((now - 10) / seconds * 2.4 * WIDTH)
        cv2.rectangle(changed, (right - round(1.4 * WIDTH), 4), (right, HEIGHT - 8), (level,), cv2.FILLED)
        for window in range(4):
            corner = right - 50 - 55 * window
            cv2.rectangle(changed, (corner, 20), (corner + 36, 50), (255 - level,), cv2.FILLED)
        return changed

    found = play(drive, 24)
    (event,) = events(found)
    assert event.start_ns / 1e9 == pytest.approx(10.2, abs=0.4)
    assert event.duration_seconds >= 0.6 * seconds
    assert [each.reset_reason for _, each in found[1:] if each.reset_reason] == []


@pytest.mark.parametrize("rate", [10.0, 25.0])
@pytest.mark.parametrize("side", [11, 13, 16])
@pytest.mark.parametrize("period", [0.0, 0.9, 2.0, 7.0])
def test_small_thing_that_appears_at_once_or_blinks_is_no_event(rate: float, side: int, period: float) -> None:
    def appear(picture: Image, now: float) -> Any:
        changed = picture.copy()
        if now >= 10 and not (period and int((now - 10) / period) % 2):
            changed[50 : 50 + side, 70 : 70 + side] = 230
        return changed

    assert 0.6 < 100 * side * side / (WIDTH * HEIGHT) < 1.4
    assert events(play(appear, 30, rate=rate)) == []


def test_clock_in_the_image_is_no_event_at_midnight() -> None:
    def clock(picture: Image, now: float) -> Any:
        large = cv2.resize(picture, (2 * WIDTH, 2 * HEIGHT))
        second = (86400 - 15 + int(now)) % 86400
        text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        for colour, thick in ((0, 3), (255, 1)):
            cv2.putText(large, text, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (colour,), thick)
        return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    assert events(play(clock, 30)) == []


@pytest.mark.parametrize("pause", [1.5, 7.0, 25.0])
def test_object_that_stopped_during_a_pause_is_not_motion(pause: float) -> None:
    detector, empty = Detector(DetectorConfig()), textured()
    parked = empty.copy()
    parked[70:92, 100:126] = 220
    before = [detector.detect(empty, number / 10) for number in range(100)]
    after = [detector.detect(parked, 10 + pause + number / 10) for number in range(100)]
    assert not any(each.moving for each in before + after)
    assert after[5].changed_percent > 2


def warped(zoom: Callable[[float], float], turn: Callable[[float], float]) -> Change:
    def change(picture: Image, now: float) -> Any:
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn(now), zoom(now))
        return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(warped(lambda now: 1 + 0.008 * abs(math.sin(2 * now)), lambda _now: 0.0), id="zoom"),
        pytest.param(warped(lambda _now: 1.0, lambda now: 0.8 * math.sin(1.3 * now)), id="rotation"),
    ],
)
def test_breathing_focus_and_turning_camera_are_not_motion_and_a_person_is(change: Change) -> None:
    checked = cv2.resize(np.indices((15, 20)).sum(axis=0).astype(np.uint8) % 2 * 120 + 60, (WIDTH, HEIGHT))
    scene = np.asarray(cv2.addWeighted(textured(), 0.5, checked, 0.5, 0), np.uint8)
    assert events(play(change, 25, scene=scene)) == []
    (event,) = events(play(change, 25, walks=(10.0, 14.0), scene=scene))
    assert event.duration_seconds >= 2.5


def test_affine_movement_is_measured() -> None:
    scene = textured()
    matrix = np.asarray(cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0.7, 1.007), np.float64)
    matrix[:, 2] += (0.8, -0.4)
    found = pixels.refine_affine(scene, pixels.warp_image(scene, matrix), pixels.translation(0, 0), rounds=4)
    difference = found - matrix + pixels.translation(0, 0)
    assert pixels.reach(matrix, scene.shape) > 1.5
    assert pixels.reach(difference, scene.shape) < 0.25


def test_fit_of_light_ignores_a_person_and_follows_a_slope() -> None:
    before = textured()
    slope = np.linspace(0.6, 1.4, WIDTH)[None, :]
    now = np.clip(with_person(before, 60) * slope, 0, 255).astype(np.uint8)
    gain = lighting.spread(lighting.fit_gain(lighting.cells(before), lighting.cells(now)), now.shape)
    assert np.abs(gain - slope).max() < 0.08


def test_detail_is_alike_under_another_light_and_not_behind_an_object() -> None:
    scene, everywhere = textured(), np.full((HEIGHT, WIDTH), 255, np.uint8)
    dim = np.asarray(cv2.convertScaleAbs(scene, alpha=0.4), np.uint8)
    same, other = lighting.likeness(scene, dim, everywhere), lighting.likeness(scene, textured(8), everywhere)
    assert same is not None
    assert other is not None
    assert same > 0.9
    assert abs(other) < 0.3
    assert lighting.likeness(np.full_like(scene, 90), dim, everywhere) is None, "a flat image has no detail to compare"


@pytest.mark.parametrize(("share", "covered"), [(0.15, False), (0.06, False), (0.0, True)])
def test_faint_view_does_not_count_as_covered_and_darkness_does(share: float, covered: bool) -> None:
    generator, alarms, scene = np.random.default_rng(4), Alarms(5, 0), textured()
    state = alarms.update(scene, 0.0)
    for number in range(1, 200):
        picture = scene * (1.0 if number < 50 else share) + generator.normal(2, 2, scene.shape)
        state = alarms.update(np.clip(picture, 0, 255).astype(np.uint8), number / 10)
    assert state.covered is covered


class Flashing:
    """A camera whose images have nothing in common, as behind a windscreen in a tunnel."""

    name = "flashing"
    dropped = 0
    tags: Mapping[str, str] = {}

    def frames(self, _wait: Callable[[float], bool]) -> Any:
        for number in range(400):
            lit_now = 25 <= number < 300
            yield Frame(np.full((HEIGHT, WIDTH), 220 if lit_now and number % 2 else 60, np.uint8), number / 10, number)

    def close(self) -> None:
        """Nothing to close."""


def test_time_without_visibility_is_counted_and_reported_once() -> None:
    said: list[str] = []
    collector = CameraCollector(
        Flashing(),
        Config(status_seconds=10),
        ErrorReporter("camera", said.append),
        lambda: 0,
        timer=lambda: 0.0,
        stopwatch=lambda: 0.0,
    )
    metrics = [metric for batch in collector.stream(lambda _seconds: False) for metric in batch]
    blind = [metric.fields["blind_seconds"] for metric in metrics if "blind_seconds" in metric.fields]
    assert len(blind) == 4
    assert all(isinstance(each, float) and each > 4 for each in blind[1:3])
    assert blind[3] == 0
    assert len([line for line in said if "motion cannot be detected" in line]) == 1


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_flicker_is_no_noise_and_hides_no_faint_person(share: float) -> None:
    generator = np.random.default_rng(4)
    room = cv2.resize(generator.integers(60, 180, (9, 12), dtype=np.uint8), (160, 120)).astype(np.float32)
    detector, moving = Detector(DetectorConfig(warm_up_seconds=1.0)), []
    for number in range(120):
        picture = room.copy()
        if number >= 90:
            left = 5 * (number - 90)
            picture[30:80, left : left + 16] += 26
        picture *= 1.0 + share * (number % 3 - 1)
        picture += generator.normal(0, 1.5, picture.shape)
        found = detector.detect(np.clip(picture, 0, 255).astype(np.uint8), number / 10)
        if found.moving:
            moving.append(number)
        assert detector.state.noise < 2.0
    assert min(moving) >= 90
    assert len(moving) >= 24
