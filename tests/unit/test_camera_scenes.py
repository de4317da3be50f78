"""Common causes of false alarms: rain, lamps, dusk, a shaking camera; in scenes with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from collectors.camera import pixels
from collectors.camera.backends import open_backend
from collectors.camera.backends.simulated import (
    HEIGHT,
    SCRIPTS,
    SHAKE_FROM_SECONDS,
    SHAKE_TO_SECONDS,
    WIDTH,
    Scene,
    Script,
    SimulatedCamera,
    Truth,
)
from collectors.camera.detector import Detection, Detector, Image
from collectors.camera.events import EventTracker
from collectors.camera.settings import SCENE, DetectorConfig
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values


def play(script: Script, seconds: float, seed: int = 1) -> list[tuple[float, Detection, Truth]]:
    scene, detector = Scene(seed, script), Detector(DetectorConfig())
    times = [number / 10 for number in range(round(seconds * 10))]
    return [(each, detector.detect(scene.draw(each), each), scene.truth(each)) for each in times]


def test_every_scene_can_be_selected_and_mixed_is_the_default() -> None:
    assert set(SCENE.choices) == set(SCRIPTS)
    assert SCENE.default == "mixed"
    first = SimulatedCamera("a", seed=3, frame_rate=10, pace=0, clock_ns=lambda: 0, timer=lambda: 0.0)
    mixed = next(iter(first.frames(lambda _seconds: False))).image
    assert (mixed == Scene(3).draw(0.0)).all()


def test_setting_selects_the_scene() -> None:
    values = Values({"backend": "simulated", "scene": "rain", "seed": 2, "pace": 0.0})
    backend = open_backend(values, ErrorReporter("camera", print), lambda: 0, lambda: 0.0)
    picture = next(iter(backend.frames(lambda _seconds: False)))
    assert picture is not None
    assert (picture.image == Scene(2, SCRIPTS["rain"]).draw(0.0)).all()
    assert not (picture.image == Scene(2).draw(0.0)).all()


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_seed_and_time_give_the_same_image(name: str) -> None:
    for seconds in (0.0, 6.3, 15.2, 21.0):
        one, other = (Scene(2, SCRIPTS[name]).draw(seconds) for _ in range(2))
        assert one.shape == (HEIGHT, WIDTH, 3)
        assert (one == other).all()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["person", "rain", "dusk", "shake", "covered"])
def test_motion_is_detected_only_where_people_are(name: str, seed: int) -> None:
    played = play(SCRIPTS[name], 150, seed)
    false = [seconds for seconds, seen, truth in played if seen.moving and truth.figure is None]
    large = [
        seen.moving
        for _, seen, truth in played
        if truth.figure is not None and truth.figure[2] * truth.figure[3] > 0.02 * WIDTH * HEIGHT
    ]
    assert false == []
    assert len(large) > 200
    assert sum(large) >= 0.93 * len(large)


@pytest.mark.parametrize("name", ["person", "rain", "dusk", "shake", "covered", "mixed"])
def test_every_visit_is_one_event(name: str) -> None:
    scene, tracked = Scene(1, SCRIPTS[name]), EventTracker[int]("scene", 3, 5.0)
    found = [
        event.start_ns / 1e9
        for number, (seconds, seen, _) in enumerate(play(SCRIPTS[name], 100))
        for event in tracked.update(seconds, round(seconds * 1e9), seen, number)
        if event.kind == "start"
    ]
    assert found == pytest.approx([scene.visit(number).start_seconds for number in range(4)], abs=1.0)


def test_lamps_and_switches_are_not_motion() -> None:
    played = play(SCRIPTS["light"], 130)
    assert {truth.lamp for _, _, truth in played} == {True, False}
    assert [seconds for seconds, seen, _ in played if seen.moving] == []


@pytest.mark.parametrize("fade_seconds", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("brighter", [True, False])
def test_lamp_that_lights_a_part_of_the_image_is_not_motion_at_any_speed(fade_seconds: float, brighter: bool) -> None:
    scene, detector = Scene(1, Script(visits=False)), Detector(DetectorConfig())
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    cone = 60 * np.clip(1 - np.hypot(across - 110, down - 120) / 90, 0, 1)[:, :, None]
    changed = 0.0
    for number in range(120):
        seconds = number / 10
        share = float(seconds >= 5) if not fade_seconds else min(1.0, max(0.0, (seconds - 5) / fade_seconds))
        light = cone * share if brighter else -cone * share
        picture = np.clip(scene.draw(seconds) + light, 0, 255).astype(np.uint8)
        seen = detector.detect(picture, seconds)
        assert not seen.moving
        assert not seen.reset_reason or number == 0
        changed = max(changed, seen.changed_percent)
    assert changed > 10


def test_person_who_walks_through_lamp_light_is_detected() -> None:
    script = SCRIPTS["light"]._replace(visits=True, switch=False)
    walking = [seen.moving for _, seen, truth in play(script, 40) if truth.lamp and truth.figure is not None]
    assert len(walking) > 30
    assert sum(walking) > 0.8 * len(walking)


def test_shake_is_measured_and_the_background_is_kept() -> None:
    played = play(SCRIPTS["shake"]._replace(visits=False), 40)
    shaking = [(seen, truth) for _, seen, truth in played if max(map(abs, truth.shift)) > 2]
    assert len(shaking) > 80
    found = [(seen, truth) for seen, truth in shaking if seen.shift_percent]
    assert len(found) > 0.95 * len(shaking)
    for seen, truth in found:
        assert seen.shift_percent == pytest.approx(100 * np.hypot(*truth.shift) / WIDTH, abs=0.35)
    assert [seconds for seconds, seen, _ in played if seen.reset_reason and seconds] == []
    assert [seconds for seconds, seen, _ in played if seen.moving] == []
    still = [
        seen.changed_percent for seconds, seen, _ in played if SHAKE_TO_SECONDS < seconds < 20 + SHAKE_FROM_SECONDS
    ]
    assert max(still) < 1


def textured(seed: int = 4) -> Image:
    field = np.random.default_rng(seed).integers(30, 220, (24, 32)).astype(np.uint8)
    return np.repeat(np.repeat(field, 8, axis=0), 8, axis=1)


def test_shake_is_not_motion_and_a_person_during_it_is() -> None:
    scene = textured()
    for somebody in (False, True):
        detector = Detector(DetectorConfig(warm_up_seconds=0.5))
        moving = []
        for number in range(60):
            picture = scene.copy()
            if somebody and number >= 30:
                picture[60:160, 4 * (number - 30) + 20 : 4 * (number - 30) + 60] = 10
            if number >= 20:
                shift = (6 * np.sin(number), 4 * np.cos(1.3 * number))
                picture = pixels.shift_image(picture, float(shift[0]), float(shift[1]))
            moving.append(detector.detect(picture, number / 10).moving)
        assert not any(moving[:30])
        assert sum(moving[32:]) > 20 if somebody else not any(moving)


def test_moved_camera_learns_a_new_background() -> None:
    scene = textured()
    moved = pixels.shift_image(scene, 8, 5)
    detector = Detector(DetectorConfig(warm_up_seconds=0.5))
    seen = [detector.detect(scene if number < 20 else moved, number / 10) for number in range(80)]
    assert not any(each.moving for each in seen)
    assert [each.reset_reason for each in seen if each.reset_reason] == ["first", "moved"]
    assert seen[-1].changed_percent == 0


def test_shake_rejection_can_be_disabled() -> None:
    scene, detector = Scene(1, Script(visits=False, shake=True)), Detector(DetectorConfig(shake_percent=0))
    seen = [detector.detect(scene.draw(number / 10), number / 10) for number in range(170)]
    assert any(each.moving for each in seen)
    assert not any(each.shift_percent for each in seen)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-5, 2), (1.5, -2.5), (7, 6)])
def test_shift_is_measured_to_a_fraction_of_a_pixel(right: float, down: float) -> None:
    before = textured()
    measured = pixels.estimate_shift(before, pixels.shift_image(before, right, down))
    assert measured == pytest.approx((right, down), abs=0.6)
