"""`sensetig camera tune`: the image it draws and the advice it gives."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.detector import Detector
from collectors.camera.settings import DetectorConfig
from sensetig.__main__ import main
from sensetig.camera_tuning import Sample, SampleSelector, Summary, advice, sheet


def analyse(name: str, seconds: float, config: DetectorConfig, max_samples: int = 2) -> tuple[SampleSelector, Summary]:
    scene, detector = Scene(1, SCRIPTS[name]), Detector(config)
    selector, summary = SampleSelector(max_samples), Summary()
    for number in range(round(seconds * 10)):
        image = scene.draw(number / 10)
        detection = detector.detect(image, number / 10)
        summary.add(detection, detector.state)
        selector.add(Sample(number, number / 10, image, detection, detector.state))
    return selector, summary


def run_tune(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["camera", "tune", *arguments], env={"SENSETIG_SETTINGS": None})


def test_selects_frames_with_and_without_motion_at_intervals() -> None:
    selector, _ = analyse("mixed", 45, DetectorConfig())
    moving = [each for each in selector.samples if each.detection.moving]
    assert len(selector.samples) == 4
    assert len(moving) == 2
    assert abs(moving[0].seconds - moving[1].seconds) >= 2
    assert [each.number for each in selector.samples] == sorted(each.number for each in selector.samples)


def test_selected_samples_are_copies() -> None:
    selector, _ = analyse("person", 8, DetectorConfig(), max_samples=1)
    (still, moving) = sorted(selector.samples, key=lambda each: each.detection.moving)
    for each in (still, moving):
        percent = 100 * np.count_nonzero(each.state.changed) / each.state.changed.size
        assert percent == pytest.approx(each.detection.changed_percent)


def test_sheet_shows_box_and_mask() -> None:
    mask = ((0.0, 0.0), (20.0, 0.0), (20.0, 20.0), (0.0, 20.0))
    selector, _ = analyse("person", 9, DetectorConfig(mask=(mask,)), max_samples=1)
    drawn = sheet(selector.samples)
    assert drawn.shape == (len(selector.samples) * 280, 1280, 3)
    moving = next(number for number, each in enumerate(selector.samples) if each.detection.moving)
    row = drawn[280 * moving + 40 : 280 * (moving + 1)]
    box = selector.samples[moving].detection.box
    assert box is not None
    left, top = round(box.left * 3.2), round(box.top * 2.4)
    assert tuple(row[top, left + 4]) == (60, 60, 255)
    assert tuple(row[5, 960 + 5]) == (60, 0, 60), "masked pixels are unchanged and tinted"


def test_sheet_without_samples_is_an_image() -> None:
    assert sheet([]).ndim == 3


def test_advice_describes_the_results() -> None:
    _, summary = analyse("mixed", 35, DetectorConfig())
    said = " ".join(advice(summary, 1, DetectorConfig()))
    assert "350 frames" in said
    assert "reset 2 times because the light was switched" in said
    _, quiet = analyse("person", 14, DetectorConfig(min_area_percent=40))
    assert "Nothing counts as motion. To detect more, try min_area_percent = " in " ".join(
        advice(quiet, 0, DetectorConfig(min_area_percent=40))
    )
    _, shaken = analyse("shake", 17, DetectorConfig())
    assert "The camera shook in " in " ".join(advice(shaken, 1, DetectorConfig()))
    assert advice(Summary(), 0, DetectorConfig()) == ["There were no frames."]


def test_advice_suggests_a_valid_mask_for_constant_motion() -> None:
    from collectors.camera.masks import parse_polygons

    detector, summary = Detector(DetectorConfig(warm_up_seconds=0.5)), Summary()
    for number in range(100):
        picture = np.full((120, 160), 100, np.uint8)
        picture[5:30, 125 + number % 3 * 4 : 145 + number % 3 * 4] = 200 if number > 5 else 100
        summary.add(detector.detect(picture, number / 10), detector.state)
    (sentence,) = [each for each in advice(summary, 1, DetectorConfig()) if "mask" in each]
    text = sentence.split('"')[1]
    assert parse_polygons(text) == (((75.0, 0.0), (100.0, 0.0), (100.0, 33.0), (75.0, 33.0)),)


def test_draws_a_scene(tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    done = run_tune("scene:person", "--seconds", "12", "--out", str(out), "--most", "1", "--mask", "0,0 10,0 10,10")
    assert done.exit_code == 0, done.output
    drawn = cv2.imread(str(out))
    assert drawn is not None
    assert drawn.shape == (560, 1280, 3)
    assert "1 events" in done.output
    assert f"Drew 2 frames in {out}." in done.output


def test_draws_the_requested_frames(tmp_path: Path) -> None:
    out = tmp_path / "seen.jpg"
    asked = ("--picture", "3", "--picture", "25")
    done = run_tune("scene:rain", "--seconds", "4", "--out", str(out), *asked)
    assert done.exit_code == 0, done.output
    drawn = cv2.imread(str(out))
    assert drawn is not None
    assert drawn.shape == (560, 1280, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.avi",), "there is no video file nowhere.avi"),
        (("scene:party",), "--scene is 'party'; it must be one of mixed"),
        (("scene:person", "--mask", "0,0 1,1"), "fewer than 3 corners"),
        (("scene:person", "--min-area-percent", "much"), "--min-area-percent is 'much'"),
        (("scene:person", "--seconds", "1", "--picture", "99999"), "none of the requested frames exists"),
        (("scene:person", "--seconds", "1", "--out", "seen.txt"), "is not the name of an image file"),
        (("scene:person", "--seconds", "1", "--out", "nowhere/seen.png"), "cannot be written"),
    ],
)
def test_error_is_one_sentence(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_tune(*arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output
