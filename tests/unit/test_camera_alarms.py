"""A covered lens and a frozen picture, on drawn pictures and in simulated scenes."""

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
from collectors.camera.collector import CameraCollector
from collectors.camera.detector import Detection, Detector, Image
from collectors.camera.settings import Config, DetectorConfig
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
    return [alarms.update(picture, number / 10)[:2] for number, picture in enumerate(pictures)]


@pytest.mark.parametrize(("level", "noise"), [(0, 0), (4, 3), (90, 6), (255, 0)])
def test_dark_or_flat_image_counts_as_covered_after_the_configured_time(level: int, noise: float) -> None:
    pictures = [room(seed=n) for n in range(30)] + [flat(level, noise, n) for n in range(100)]
    covered = [each for each, _ in states(pictures)]
    assert not any(covered[: 30 + 48])
    assert all(covered[30 + 56 :])


def test_covered_alarm_ends_at_once_when_the_lens_is_uncovered() -> None:
    pictures = [room(seed=n) for n in range(20)] + [flat(5, 2, n) for n in range(80)] + [room(seed=n) for n in range(9)]
    covered = [each for each, _ in states(pictures)]
    assert covered[99]
    assert not any(covered[-4:])


def test_dim_image_with_detail_does_not_count_as_covered() -> None:
    pictures = [room(seed=n) for n in range(30)] + [room(40, seed=n) for n in range(200)]
    assert not any(each for each, _ in states(pictures))


def test_identical_images_count_as_frozen_until_one_differs() -> None:
    still = room()
    frozen = [each for _, each in states([still] * 130 + [room(seed=n) for n in range(1, 11)] + [still] * 20)]
    assert frozen[:100] == [False] * 100
    assert frozen[100:130] == [True] * 30
    assert frozen[135:] == [False] * 25


def test_image_with_one_changed_pixel_does_not_count_as_frozen() -> None:
    one, other = room(noise=0), room(noise=0)
    other[3, 5] += 1
    assert not any(each for _, each in states([one, other] * 100))


def test_still_image_with_noise_does_not_count_as_frozen() -> None:
    assert not any(each for _, each in states([room(noise=0.7, seed=n) for n in range(200)]))


def test_zero_seconds_disables_the_alarms() -> None:
    assert not any(each for state in states([flat(0, 0, 0)] * 200, 0, 0) for each in state)


def played(name: str, seconds: float, sensitivity: DetectorConfig) -> list[tuple[float, Detection]]:
    scene, detector = Scene(1, SCRIPTS[name]), Detector(sensitivity)
    return [(n / 10, detector.detect(scene.draw(n / 10), n / 10)) for n in range(round(seconds * 10))]


def test_covered_scene_raises_the_alarm_only_while_covered() -> None:
    seen = played("covered", 60, DetectorConfig(covered_seconds=3))
    covered = [seconds for seconds, each in seen if each.covered]
    assert covered[0] == pytest.approx(COVER_FROM_SECONDS + 3, abs=0.6)
    assert covered[-1] == pytest.approx(COVER_TO_SECONDS, abs=0.6)
    assert len(covered) == pytest.approx(10 * (covered[-1] - covered[0]), abs=2)
    assert not any(each.moving for seconds, each in seen if COVER_FROM_SECONDS <= seconds < COVER_TO_SECONDS)


def test_frozen_scene_raises_the_alarm_only_while_frozen() -> None:
    seen = played("frozen", 80, DetectorConfig(frozen_seconds=20))
    frozen = [seconds for seconds, each in seen if each.frozen]
    assert frozen[0] == pytest.approx(FREEZE_FROM_SECONDS + 20, abs=0.3)
    assert frozen[-1] == pytest.approx(FREEZE_TO_SECONDS, abs=0.3)


@pytest.mark.parametrize("name", ["mixed", "person", "light", "rain", "dusk", "shake"])
def test_other_scenes_raise_no_alarm(name: str) -> None:
    assert [seconds for seconds, each in played(name, 70, DetectorConfig()) if each.covered or each.frozen] == []


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
    what = Config(DetectorConfig(covered_seconds=3, frozen_seconds=4), status_seconds=5.0)
    watch = CameraCollector(Pictures(pictures), what, report, lambda: 0, timer=lambda: 0.0, stopwatch=lambda: 0.0)
    metrics = [metric for batch in watch.stream(lambda _seconds: False) for metric in batch]
    return [each for each in metrics if each.series.measurement == "camera"], errors, report.take()


def test_alarm_is_reported_once_and_set_in_every_status() -> None:
    dark = [flat(4, 2, n) for n in range(150)]
    status, errors, counted = watched([room(seed=n) for n in range(50)] + dark + [room(seed=n) for n in range(50)])
    assert errors == [
        "E! camera: the image of door has been dark or without detail for 3 s; check whether something covers the lens"
    ]
    assert counted == 1
    assert [each.fields["covered"] for each in status] == [False, True, True, True, False]
    assert [each.fields["frozen"] for each in status] == [False] * 5
    assert status[0].fields["brightness_percent"] == pytest.approx(100 * room().mean() / 255, abs=0.5)
    assert float(status[2].fields["brightness_percent"]) < 3
    assert [each for metric in status for each in violations(metric, MEASUREMENTS)] == []


def test_frozen_alarm_is_reported_again_when_it_recurs() -> None:
    still, between = [room()] * 60, [room(seed=n) for n in range(1, 11)]
    status, errors, counted = watched(still + between + still)
    said = "E! camera: the image of door has been identical for 4 s; the camera may hang, restart it"
    assert (errors, counted) == ([said], 2)
    assert status[0].fields["frozen"] is True
