"""Masks that exclude areas from the detection: their syntax and their effect."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import camera
from collectors.camera import masks
from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.detector import Detector, Image
from collectors.camera.settings import MASK, DetectorConfig, load_config
from collectors.core.api import Context, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values

LEFT_HALF = masks.parse_polygons("0,0 50,0 50,100 0,100")


def moving_square(left: int, top: int) -> Image:
    picture = np.full((120, 160), 100, np.uint8)
    picture[top : top + 25, left : left + 25] = 200
    return picture


def moved(mask: tuple[masks.Polygon, ...], lefts: range) -> list[bool]:
    detector = Detector(DetectorConfig(warm_up_seconds=0.5, mask=mask))
    empty = np.full((120, 160), 100, np.uint8)
    for number in range(10):
        detector.detect(empty, number / 10)
    return [detector.detect(moving_square(left, 40), 1 + number / 10).moving for number, left in enumerate(lefts)]


def test_only_motion_inside_a_mask_is_ignored() -> None:
    assert not any(moved(LEFT_HALF, range(2, 50, 4)))
    assert any(moved(LEFT_HALF, range(85, 130, 4)))
    assert any(moved((), range(2, 50, 4)))


def test_all_polygons_are_ignored() -> None:
    both = masks.parse_polygons("0,0 50,0 50,100 0,100; 50,0 100,0 100,100 50,99")
    assert not any(moved(both, range(2, 130, 8)))
    array = masks.visible_area(masks.parse_polygons("0,0 20,0 0,20; 80,80 100,80 100,100"), 100, 100)
    assert array[2, 2] == 0
    assert array[85, 98] == 0
    assert array[50, 50] == 255


def test_masked_half_of_the_simulated_scene_shows_no_motion() -> None:
    scene = Scene(1, SCRIPTS["person"])
    detector = Detector(DetectorConfig(mask=LEFT_HALF))
    for number in range(130):
        seen = detector.detect(scene.draw(number / 10), number / 10)
        truth = scene.truth(number / 10).figure
        if seen.box is not None:
            assert seen.box.left >= 48
            assert truth is not None
            assert truth[0] + truth[2] > 160


def test_light_switch_share_refers_to_the_visible_area() -> None:
    most = masks.parse_polygons("0,0 100,0 100,60 0,60")
    detector = Detector(DetectorConfig(warm_up_seconds=0.5, mask=most))
    bright, dark = np.full((120, 160), 140, np.uint8), np.full((120, 160), 60, np.uint8)
    for number in range(10):
        detector.detect(bright, number / 10)
    assert detector.detect(dark, 1.0).reset_reason == "light"


def test_mask_fits_any_image_size() -> None:
    for width, height in ((160, 120), (80, 60), (33, 57), (1, 1)):
        array = masks.visible_area(LEFT_HALF, width, height)
        assert array.shape == (height, width)
        assert (array == 0).mean() == pytest.approx(0.5, abs=0.51 if width == 1 else 0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,0 50,0", "has fewer than 3 corners"),
        ("0,0 50,0 0,0", "has fewer than 3 corners"),
        ("0,0 50,50 100,100", "has no area"),
        ("0,0 120,0 50,30", "corner 120,0 lies outside the image"),
        ("0,0 50,-1 50,30", "corner 50,-1 lies outside the image"),
        ("0,0 nan,1 50,30", "lies outside the image"),
        ("0,0 50 50,30", "has '50' instead of a corner"),
        ("left half", "has 'left' instead of a corner"),
        ("0,0 50,0 50,30; 1,1", "has fewer than 3 corners"),
    ],
)
def test_invalid_mask_is_rejected_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said) as caught:
        load_config(Values({MASK.name: text}))
    assert "\n" not in str(caught.value)


def test_invalid_mask_is_rejected_before_the_camera_is_opened() -> None:
    values = Values({"source": "nowhere.avi", "mask": "0,0 1,1"})
    with pytest.raises(Unavailable, match="fewer than 3 corners"):
        camera.create(Context(values, ErrorReporter("camera", print), True, "here", lambda: 0))


percent = st.integers(0, 100)


@given(
    st.lists(st.tuples(percent, percent), min_size=3, max_size=8, unique=True), st.integers(1, 90), st.integers(1, 90)
)
def test_any_polygon_stays_within_the_image(corners: list[tuple[int, int]], width: int, height: int) -> None:
    text = " ".join(f"{across},{down}" for across, down in corners)
    try:
        parsed = masks.parse_polygons(text)
    except Unavailable as refused:
        assert "has no area" in str(refused)  # noqa: PT017 - corners on one line, or a figure that crosses itself
        return
    array = masks.visible_area(parsed, width, height)
    assert array.shape == (height, width)
    assert set(np.unique(array)) <= {0, 255}


def test_docstring_examples() -> None:
    outcome = doctest.testmod(masks)
    assert outcome.attempted > 0
    assert outcome.failed == 0
