"""Frames that are left out while nothing changes."""

from __future__ import annotations

import pytest

from collectors.camera.backends.simulated import Scene
from collectors.camera.detector import Detection, Detector
from collectors.camera.sampling import Sampler
from collectors.camera.settings import Config

QUIET = Detection(changed_percent=0.1)


def evaluated(sampler: Sampler, results: list[Detection], rate: float = 10.0, *, noisy: bool = False) -> list[bool]:
    found = []
    for number, result in enumerate(results):
        skipped = sampler.result_for_skipped(number / rate)
        found.append(skipped is None)
        if skipped is None:
            sampler.add(result, number / rate, noisy=noisy)
    return found


def test_every_second_frame_is_left_out_after_two_quiet_seconds() -> None:
    found = evaluated(Sampler(Config()), [QUIET] * 60)
    assert all(found[:21])
    assert found[21:] == [number % 2 == 1 for number in range(39)]


@pytest.mark.parametrize(
    "change",
    [
        Detection(changed_percent=0.5),
        Detection(blind=True),
        Detection(reset_reason="light"),
        Detection(shift_percent=1.0),
    ],
)
def test_after_any_change_every_frame_is_evaluated_for_two_seconds(change: Detection) -> None:
    found = evaluated(Sampler(Config()), [QUIET] * 40 + [change] * 4 + [QUIET] * 40)
    first = found.index(True, 40)
    assert first <= 41
    assert all(found[first : first + 23])
    assert not all(found[66:])


def test_no_frame_is_left_out_in_noise() -> None:
    assert all(evaluated(Sampler(Config()), [QUIET] * 60, noisy=True))


def test_no_frame_is_left_out_of_few_a_second() -> None:
    assert all(evaluated(Sampler(Config()), [QUIET] * 60, rate=5.0))


def test_no_frame_is_left_out_where_a_single_one_starts_an_event() -> None:
    assert all(evaluated(Sampler(Config(consecutive_frames=1)), [QUIET] * 60))


def test_a_person_is_found_at_most_one_frame_later() -> None:
    scene = Scene(1)

    def first_motion(sampler: Sampler | None) -> int:
        detector = Detector(Config().detector)
        for number in range(600):
            seconds = number / 10
            if sampler is not None and sampler.result_for_skipped(seconds) is not None:
                continue
            result = detector.detect(scene.draw(seconds), seconds)
            if sampler is not None:
                sampler.add(result, seconds, noisy=detector.noisy)
            if result.moving:
                return number
        raise AssertionError("no motion was found")

    assert 0 <= first_motion(Sampler(Config())) - first_motion(None) <= 1
