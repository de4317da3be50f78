"""A covered lens and a picture that stands still, on drawn pictures and in simulated scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from collectors.camera import MEASUREMENTS
from collectors.camera.alarms import Alarms
from collectors.camera.backends import Frame
from collectors.camera.backends.simulated import (
    COVER_FROM_SECONDS,
    COVER_TO_SECONDS,
    FREEZE_FROM_SECONDS,
    FREEZE_TO_SECONDS,
    SCRIPTS,
    Scene,
)
from collectors.camera.detector import Detection, Detector, Image
from collectors.camera.settings import Plan, Sensitivity
from collectors.camera.watch import Watch
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from tests.schema_check import violations


def room(level: int = 120, noise: float = 2.0, seed: int = 0) -> Image:
    picture = np.full((120, 160), level, np.float64)
    picture[20:60, 20:60] = level / 2
    picture[80:110, 90:150] = min(255, level * 1.6)
    picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def flat(level: int, noise: float, seed: int) -> Image:
    picture = level + np.random.default_rng(seed).normal(0, noise, (120, 160))
    return np.clip(picture, 0, 255).astype(np.uint8)


def states(pictures: list[Image], covered_seconds: float = 5, frozen_seconds: float = 10) -> list[tuple[bool, bool]]:
    alarms = Alarms(covered_seconds, frozen_seconds)
    return [alarms.look(picture, number / 10)[:2] for number, picture in enumerate(pictures)]


@pytest.mark.parametrize(("level", "noise"), [(0, 0), (4, 3), (90, 6), (255, 0)])
def test_a_dark_or_flat_picture_is_a_covered_lens_after_the_seconds_set(level: int, noise: float) -> None:
    pictures = [room(seed=n) for n in range(30)] + [flat(level, noise, n) for n in range(100)]
    covered = [each for each, _ in states(pictures)]
    assert not any(covered[: 30 + 48])
    assert all(covered[30 + 56 :])


def test_a_lens_that_is_uncovered_is_so_at_once() -> None:
    pictures = [room(seed=n) for n in range(20)] + [flat(5, 2, n) for n in range(80)] + [room(seed=n) for n in range(9)]
    covered = [each for each, _ in states(pictures)]
    assert covered[99]
    assert not any(covered[-4:])


def test_a_dim_picture_with_its_detail_is_no_covered_lens() -> None:
    pictures = [room(seed=n) for n in range(30)] + [room(40, seed=n) for n in range(200)]
    assert not any(each for each, _ in states(pictures))


def test_identical_pictures_are_a_frozen_camera_after_the_seconds_set_and_no_longer_when_one_differs() -> None:
    still = room()
    frozen = [each for _, each in states([still] * 130 + [room(seed=n) for n in range(1, 11)] + [still] * 20)]
    assert frozen[:100] == [False] * 100
    assert frozen[100:130] == [True] * 30
    assert frozen[135:] == [False] * 25


def test_a_camera_whose_picture_differs_by_one_level_in_one_pixel_is_not_frozen() -> None:
    one, other = room(noise=0), room(noise=0)
    other[3, 5] += 1
    assert not any(each for _, each in states([one, other] * 100))


def test_a_quiet_picture_with_noise_is_not_frozen() -> None:
    assert not any(each for _, each in states([room(noise=0.7, seed=n) for n in range(200)]))


def test_zero_seconds_turn_the_alarms_off() -> None:
    assert not any(each for state in states([flat(0, 0, 0)] * 200, 0, 0) for each in state)


def played(name: str, seconds: float, sensitivity: Sensitivity) -> list[tuple[float, Detection]]:
    scene, detector = Scene(1, SCRIPTS[name]), Detector(sensitivity)
    return [(n / 10, detector.look(scene.draw(n / 10), n / 10)) for n in range(round(seconds * 10))]


def test_the_covered_scene_is_covered_when_it_says_so_and_at_no_other_time() -> None:
    seen = played("covered", 60, Sensitivity(covered_seconds=3))
    covered = [seconds for seconds, each in seen if each.covered]
    assert covered[0] == pytest.approx(COVER_FROM_SECONDS + 3, abs=0.6)
    assert covered[-1] == pytest.approx(COVER_TO_SECONDS, abs=0.6)
    assert len(covered) == pytest.approx(10 * (covered[-1] - covered[0]), abs=2)
    assert not any(each.moving for seconds, each in seen if COVER_FROM_SECONDS <= seconds < COVER_TO_SECONDS)


def test_the_frozen_scene_is_frozen_when_it_says_so_and_at_no_other_time() -> None:
    seen = played("frozen", 80, Sensitivity(frozen_seconds=20))
    frozen = [seconds for seconds, each in seen if each.frozen]
    assert frozen[0] == pytest.approx(FREEZE_FROM_SECONDS + 20, abs=0.3)
    assert frozen[-1] == pytest.approx(FREEZE_TO_SECONDS, abs=0.3)


@pytest.mark.parametrize("name", ["mixed", "person", "light", "rain", "dusk", "shake"])
def test_no_other_scene_raises_an_alarm(name: str) -> None:
    assert [seconds for seconds, each in played(name, 70, Sensitivity()) if each.covered or each.frozen] == []


class Pictures:
    """A backend that gives these pictures, ten a second."""

    name, dropped = "door", 0
    tags: Mapping[str, str] = {}

    def __init__(self, pictures: list[Image]) -> None:
        self._pictures = pictures

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame]:
        del wait
        for number, picture in enumerate(self._pictures):
            yield Frame(picture, number / 10, number * 10**8)

    def close(self) -> None:
        """Nothing is open."""


def watched(pictures: list[Image]) -> tuple[list[Metric], list[str], int]:
    errors: list[str] = []
    report = ErrorReporter("camera", errors.append)
    what = Plan(Sensitivity(covered_seconds=3, frozen_seconds=4), status_seconds=5.0)
    watch = Watch(Pictures(pictures), what, report, lambda: 0, timer=lambda: 0.0, stopwatch=lambda: 0.0)
    metrics = [metric for batch in watch.stream(lambda _seconds: False) for metric in batch]
    return [each for each in metrics if each.series.measurement == "camera"], errors, report.take()


def test_an_alarm_is_counted_once_when_it_begins_and_stands_in_every_status() -> None:
    dark = [flat(4, 2, n) for n in range(150)]
    status, errors, counted = watched([room(seed=n) for n in range(50)] + dark + [room(seed=n) for n in range(50)])
    assert errors == [
        "E! camera: the picture of door has been dark or without detail for 3 s; see whether something covers the lens"
    ]
    assert counted == 1
    assert [each.fields["covered"] for each in status] == [False, True, True, True, False]
    assert [each.fields["frozen"] for each in status] == [False] * 5
    assert status[0].fields["brightness_percent"] == pytest.approx(100 * room().mean() / 255, abs=0.5)
    assert float(status[2].fields["brightness_percent"]) < 3
    assert [each for metric in status for each in violations(metric, MEASUREMENTS)] == []


def test_a_frozen_picture_is_counted_once_and_again_when_it_freezes_again() -> None:
    still, between = [room()] * 60, [room(seed=n) for n in range(1, 11)]
    status, errors, counted = watched(still + between + still)
    said = "E! camera: the picture of door has been exactly the same for 4 s; the camera may hang, restart it"
    assert (errors, counted) == ([said], 2)
    assert status[0].fields["frozen"] is True
