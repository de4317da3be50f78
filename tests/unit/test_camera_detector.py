"""Motion found in drawn pictures whose truth is known."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from collectors.camera.backends.simulated import HEIGHT, LIGHT_OFF_SECONDS, LIGHT_ON_SECONDS, WIDTH, Scene
from collectors.camera.detector import Detection, Detector, Image, crop_stride, estimate_noise, shrink
from collectors.camera.settings import DetectorConfig

FAST = DetectorConfig(warm_up_seconds=0.5)


def flat(level: int, height: int = 120, width: int = 160) -> Image:
    return np.full((height, width), level, np.uint8)


def with_square(picture: Image, left: int, level: int, side: int = 30) -> Image:
    changed = picture.copy()
    changed[40 : 40 + side, left : left + side] = level
    return changed


def look_at(detector: Detector, pictures: list[Image], start: float = 0.0, rate: float = 10.0) -> list[Detection]:
    return [detector.detect(picture, start + number / rate) for number, picture in enumerate(pictures)]


@pytest.mark.parametrize("seed", [1, 2])
def test_scripted_scene_moves_exactly_while_a_person_is_in_it(seed: int) -> None:
    scene, detector = Scene(seed), Detector(DetectorConfig())
    false, missed, shown = [], [], 0
    for number in range(3000):
        seconds = number / 10
        seen, truth = detector.detect(scene.draw(seconds), seconds), scene.truth(seconds)
        if truth.figure is None:
            if seen.moving:
                false.append(seconds)
        elif truth.figure[2] * truth.figure[3] > 0.02 * WIDTH * HEIGHT:
            shown += 1
            if not seen.moving:
                missed.append(seconds)
    assert shown > 400
    assert false == []
    assert len(missed) <= 0.02 * shown


def test_box_surrounds_the_person() -> None:
    scene, detector = Scene(1), Detector(DetectorConfig())
    compared = 0
    for number in range(120):
        seconds = number / 10
        seen, truth = detector.detect(scene.draw(seconds), seconds), scene.truth(seconds)
        if seen.box is None or truth.figure is None or truth.figure[2] < 30:
            continue
        left, top, width, height = truth.figure
        assert 100 * (left + width / 2) / WIDTH == pytest.approx(seen.box.left + seen.box.width / 2, abs=5)
        assert 100 * (top + height / 2) / HEIGHT == pytest.approx(seen.box.top + seen.box.height / 2, abs=8)
        compared += 1
    assert compared > 30


def test_light_switch_resets_the_background_without_motion() -> None:
    scene, detector = Scene(1), Detector(DetectorConfig())
    around = [number / 10 for number in range(150, 330)]
    seen = {seconds: detector.detect(scene.draw(seconds), seconds) for seconds in around}
    assert [seconds for seconds in around if seen[seconds].reset_reason == "light"] == [
        LIGHT_OFF_SECONDS,
        LIGHT_ON_SECONDS,
    ]
    assert [seconds for seconds in around if seen[seconds].moving] == []


@pytest.mark.parametrize("step", [-64, -48, -32, -16, 16, 32, 48, 64])
def test_differences_whose_squares_overflow_a_byte_are_detected(step: int) -> None:
    detector = Detector(FAST)
    room = flat(100)
    look_at(detector, [room] * 10)
    seen = look_at(detector, [with_square(room, 10 + 8 * number, 100 + step) for number in range(10)], start=1.0)
    assert all(each.moving for each in seen[1:]), "what appears all at once is motion when it moves on"
    assert seen[-1].area_percent == pytest.approx(100 * 900 / room.size, rel=0.25)


def test_object_that_appears_and_stays_is_not_motion() -> None:
    detector = Detector(FAST)
    room = flat(100)
    look_at(detector, [room] * 10)
    seen = look_at(detector, [with_square(room, 60, 180)] * 600, start=1.0)
    assert not any(each.moving for each in seen[10:])
    assert seen[10].changed_percent > 3
    assert seen[-1].changed_percent == 0, "in the end it belongs to the background"


def test_place_that_an_object_left_is_not_motion() -> None:
    detector = Detector(FAST)
    room = flat(100)
    look_at(detector, [with_square(room, 60, 180)] * 20)
    seen = look_at(detector, [room] * 50, start=2.0)
    assert not any(each.moving for each in seen[6:])


def test_constant_image_is_not_motion() -> None:
    picture = Scene(3).draw(7.0)
    assert not any(each.moving for each in look_at(Detector(DetectorConfig()), [picture] * 200))


@pytest.mark.parametrize(("deviation", "raised"), [(25, False), (60, True)])
def test_noise_is_smoothed_or_raises_the_threshold_and_is_not_motion(deviation: float, raised: bool) -> None:
    generator = np.random.default_rng(5)
    room = np.full((240, 320), 120.0)
    pictures = [np.clip(room + generator.normal(0, deviation, room.shape), 0, 255).astype(np.uint8) for _ in range(120)]
    detector = Detector(FAST)
    seen = look_at(detector, pictures)
    assert detector.threshold < 20 or raised
    assert detector.threshold > DetectorConfig().least_difference or not raised
    assert not any(each.moving for each in seen)


def test_small_person_in_strong_noise_is_seen_all_the_way() -> None:
    generator = np.random.default_rng(2)
    detector, seen = Detector(DetectorConfig()), []
    for number in range(140):
        picture = np.full((240, 320), 60.0)
        if number >= 80:
            left = 5 * (number - 80)
            picture[110:160, left : left + 24] = 105  # 1.6 per cent of the image
        picture += cv2.GaussianBlur(generator.normal(0, 25, picture.shape), (0, 0), 0.6)  # deviation 16
        seen.append(detector.detect(np.clip(picture, 0, 255).astype(np.uint8), number / 10).moving)
    assert not any(seen[:80])
    assert sum(seen[82:]) >= 0.9 * len(seen[82:])


def test_image_without_noise_keeps_the_minimum_threshold() -> None:
    detector = Detector(DetectorConfig(warm_up_seconds=0.5, least_difference=9))
    look_at(detector, [flat(100)] * 60)
    assert detector.threshold == 9


def test_noise_estimate_is_a_standard_deviation_despite_motion() -> None:
    generator = np.random.default_rng(1)
    for deviation in (1.0, 3.0, 8.0):
        difference = np.abs(generator.normal(0, deviation, (200, 200))).round().astype(np.uint8)
        assert estimate_noise(difference) == pytest.approx(deviation, rel=0.15)
        difference[:40] = 200
        assert estimate_noise(difference) == pytest.approx(deviation, rel=0.5)


def test_slow_dusk_is_not_motion() -> None:
    pictures = [flat(round(160 - 0.03 * number)) for number in range(3000)]
    assert not any(each.moving for each in look_at(Detector(DetectorConfig()), pictures))


def test_area_below_the_minimum_is_not_motion() -> None:
    room = flat(100)
    pictures = [with_square(room, 10 + 4 * number, 200, side=8) for number in range(20)]
    for least, moving in ((0.1, True), (1.0, False)):
        detector = Detector(DetectorConfig(warm_up_seconds=0.5, min_area_percent=least))
        look_at(detector, [room] * 10)
        assert any(each.moving for each in look_at(detector, pictures, start=1.0)) is moving


def test_no_motion_while_the_background_is_learned() -> None:
    detector = Detector(DetectorConfig(warm_up_seconds=2))
    pictures = [with_square(flat(100), 4 * number, 200) for number in range(30)]
    seen = look_at(detector, pictures)
    assert not any(each.moving for each in seen[:20])
    assert any(each.moving for each in seen[20:])


def test_motion_is_detected_at_one_frame_per_second() -> None:
    detector = Detector(FAST)
    room = flat(100)
    look_at(detector, [room] * 5, rate=1)
    pictures = [with_square(room, 10 + 20 * number, 200) for number in range(5)]
    assert all(each.moving for each in look_at(detector, pictures, start=5.0, rate=1))


def test_size_change_resets_the_background() -> None:
    detector = Detector(FAST)
    seen = look_at(detector, [flat(100)] * 10 + [flat(200, 60, 80)] * 10)
    assert [each.reset_reason for each in seen] == ["first", *[""] * 9, "size", *[""] * 9]
    assert not any(each.moving for each in seen)


def test_detection_does_not_modify_the_image() -> None:
    picture = Scene(1).draw(6.0)
    before = picture.copy()
    detector = Detector(FAST)
    look_at(detector, [picture] * 12)
    assert (picture == before).all()


def test_same_images_give_the_same_result() -> None:
    scene = Scene(4)
    pictures = [scene.draw(number / 10) for number in range(100)]
    assert look_at(Detector(FAST), pictures) == look_at(Detector(FAST), pictures)


@pytest.mark.parametrize(
    ("shape", "width", "expected"),
    [
        ((360, 480, 3), 320, (180, 240)),
        ((240, 320, 3), 320, (240, 320)),
        ((480, 640), 320, (240, 320)),
        ((1080, 1920, 3), 320, (180, 320)),
        ((1944, 2592, 3), 320, (243, 324)),
        ((7, 5, 3), 320, (7, 5)),
        ((481, 643, 3), 320, (240, 321)),
    ],
)
def test_image_shrinks_by_a_whole_factor(shape: tuple[int, ...], width: int, expected: tuple[int, int]) -> None:
    assert shrink(np.zeros(shape, np.uint8), width).shape == expected


def test_shrinking_averages_pixels() -> None:
    checked = np.indices((100, 640)).sum(axis=0).astype(np.uint8) % 2 * 200
    assert (shrink(checked, 320) == 100).all()


def test_buffer_padding_is_cropped() -> None:
    buffer = np.zeros((240 + 8, 320 + 64), np.uint8)
    buffer[240:], buffer[:, 320:] = 255, 255
    assert crop_stride(buffer, 320, 240).shape == (240, 320)
    assert crop_stride(buffer, 320, 240).max() == 0


@given(
    st.lists(
        st.one_of(
            arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))),
            arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24))),
        ),
        min_size=1,
        max_size=8,
    ),
    st.floats(0, 5),
)
def test_any_images_of_any_size_give_a_result_within_bounds(pictures: list[Image], pause: float) -> None:
    detector = Detector(DetectorConfig(warm_up_seconds=0))
    turned = [each for picture in pictures for each in (picture, np.ascontiguousarray(picture[::-1]))]
    for number, image in enumerate(turned):
        seen = detector.detect(image, number * pause)
        assert 0 <= seen.area_percent <= seen.changed_percent <= 100
        assert seen.moving == (seen.box is not None)
        if seen.box is not None:
            assert seen.score >= 1
            assert 0 <= seen.box.left < seen.box.left + seen.box.width <= 100 + 1e-9
            assert 0 <= seen.box.top < seen.box.top + seen.box.height <= 100 + 1e-9


@given(
    st.tuples(st.integers(1, 400), st.integers(1, 700)) | st.sampled_from([(1, 5000), (5000, 1), (480, 640)]),
    st.sampled_from([(), (1,), (3,), (4,)]),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["noise", "blocks", "shifted", "flat", "dark"]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_images_of_any_size_and_kind_are_processed(
    size: tuple[int, int], channels: tuple[int, ...], seed: int, kind: str, masked: bool
) -> None:
    generator = np.random.default_rng(seed)
    mask = (((0.0, 0.0), (60.0, 0.0), (60.0, 100.0), (0.0, 100.0)),) if masked else ()
    detector = Detector(DetectorConfig(warm_up_seconds=0.2, mask=mask, covered_seconds=0.5, frozen_seconds=0.5))
    shape = (*size, *channels)
    still = np.kron(generator.integers(0, 256, (size[0] // 9 + 1, size[1] // 9 + 1)), np.ones((9, 9)))
    still = still[: size[0], : size[1]].reshape(*size, *(1 for _ in channels)) * np.ones(shape)
    for number in range(14):
        pictures = {
            "noise": generator.integers(0, 256, shape),
            "blocks": still if number < 6 else still[::-1],
            "shifted": np.roll(still, number // 3, axis=1),
            "flat": np.full(shape, 10 * number),
            "dark": np.zeros(shape),
        }
        seen = detector.detect(np.ascontiguousarray(pictures[kind].astype(np.uint8)), number / 10)
        assert 0 <= seen.area_percent <= seen.changed_percent <= 100
        assert 0 <= seen.brightness_percent <= 100
        assert seen.moving == (seen.box is not None)
    if kind == "dark":
        assert seen.frozen
        assert seen.covered


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    scene, detector = Scene(1), Detector(DetectorConfig())
    pictures = [scene.draw(number / 10) for number in range(320)]
    tracemalloc.start()
    try:
        for number in range(3200):
            if number == 640:
                before, _ = tracemalloc.get_traced_memory()
            detector.detect(pictures[number % 320], number / 10)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
