"""What `sensetig camera tune` draws and says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.detector import Detector
from collectors.camera.settings import Sensitivity
from sensetig.__main__ import main
from sensetig.camera_tuning import Choice, Sight, Tally, advice, sheet


def looked(name: str, seconds: float, sensitivity: Sensitivity, most: int = 2) -> tuple[Choice, Tally]:
    scene, detector = Scene(1, SCRIPTS[name]), Detector(sensitivity)
    choice, tally = Choice(most), Tally()
    for number in range(round(seconds * 10)):
        picture = scene.draw(number / 10)
        seen = detector.look(picture, number / 10)
        tally.add(seen, detector.working, sensitivity.min_area_percent)
        choice.offer(Sight(number, number / 10, picture, seen, detector.working))
    return choice, tally


def tuned(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["camera", "tune", *arguments], env={"SENSETIG_SETTINGS": None})


def test_pictures_with_motion_and_without_are_chosen_and_lie_apart() -> None:
    choice, _ = looked("mixed", 45, Sensitivity())
    moving = [each for each in choice.sights if each.seen.moving]
    assert len(choice.sights) == 4
    assert len(moving) == 2
    assert abs(moving[0].seconds - moving[1].seconds) >= 2
    assert [each.number for each in choice.sights] == sorted(each.number for each in choice.sights)


def test_what_was_chosen_stays_as_it_was_seen() -> None:
    choice, _ = looked("person", 8, Sensitivity(), most=1)
    (still, moving) = sorted(choice.sights, key=lambda each: each.seen.moving)
    for each in (still, moving):
        percent = 100 * np.count_nonzero(each.working.changed) / each.working.changed.size
        assert percent == pytest.approx(each.seen.changed_percent)


def test_a_sheet_shows_the_box_and_what_is_left_out() -> None:
    mask = ((0.0, 0.0), (20.0, 0.0), (20.0, 20.0), (0.0, 20.0))
    choice, _ = looked("person", 9, Sensitivity(mask=(mask,)), most=1)
    drawn = sheet(choice.sights)
    assert drawn.shape == (len(choice.sights) * 280, 1280, 3)
    moving = next(number for number, each in enumerate(choice.sights) if each.seen.moving)
    row = drawn[280 * moving + 40 : 280 * (moving + 1)]
    box = choice.sights[moving].seen.box
    assert box is not None
    left, top = round(box.left * 3.2), round(box.top * 2.4)
    assert tuple(row[top, left + 4]) == (60, 60, 255)
    assert tuple(row[5, 960 + 5]) == (60, 0, 60), "nothing has changed where it is left out, and that is tinted"


def test_a_sheet_of_nothing_is_a_picture_all_the_same() -> None:
    assert sheet([]).ndim == 3


def test_advice_says_what_the_pictures_show() -> None:
    _, tally = looked("mixed", 35, Sensitivity())
    said = " ".join(advice(tally, 1, Sensitivity()))
    assert "350 pictures" in said
    assert "begun anew 2 times for a switch of the light" in said
    _, quiet = looked("person", 14, Sensitivity(min_area_percent=40))
    assert "Nothing counts as motion. If something should, try min_area_percent = " in " ".join(
        advice(quiet, 0, Sensitivity(min_area_percent=40))
    )
    _, shaken = looked("shake", 17, Sensitivity())
    assert "The camera shook in " in " ".join(advice(shaken, 1, Sensitivity()))
    assert advice(Tally(), 0, Sensitivity()) == ["There was no picture."]


def test_advice_names_the_area_where_it_always_moves_as_a_mask_that_can_be_set() -> None:
    from collectors.camera.masks import polygons

    detector, tally = Detector(Sensitivity(warm_up_seconds=0.5)), Tally()
    for number in range(100):
        picture = np.full((120, 160), 100, np.uint8)
        picture[5:30, 125 + number % 3 * 4 : 145 + number % 3 * 4] = 200 if number > 5 else 100
        tally.add(detector.look(picture, number / 10), detector.working, 0.5)
    (sentence,) = [each for each in advice(tally, 1, Sensitivity()) if "mask" in each]
    text = sentence.split('"')[1]
    assert polygons(text) == (((75.0, 0.0), (100.0, 0.0), (100.0, 33.0), (75.0, 33.0)),)


def test_a_scene_is_drawn_and_judged(tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    done = tuned("scene:person", "--seconds", "12", "--out", str(out), "--most", "1", "--mask", "0,0 10,0 10,10")
    assert done.exit_code == 0, done.output
    drawn = cv2.imread(str(out))
    assert drawn is not None
    assert drawn.shape == (560, 1280, 3)
    assert "1 events" in done.output
    assert f"2 pictures are drawn in {out}." in done.output


def test_the_pictures_asked_for_are_drawn(tmp_path: Path) -> None:
    out = tmp_path / "seen.jpg"
    asked = ("--picture", "3", "--picture", "25")
    done = tuned("scene:rain", "--seconds", "4", "--out", str(out), *asked)
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
        (("scene:person", "--seconds", "1", "--picture", "99999"), "none of the pictures asked for came"),
        (("scene:person", "--seconds", "1", "--out", "seen.txt"), "an ending that is no picture's"),
        (("scene:person", "--seconds", "1", "--out", "nowhere/seen.png"), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = tuned(*arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output
