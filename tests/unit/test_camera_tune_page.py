"""The page for tuning: trying has no effect on events, using has, and saving writes the file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from collectors.camera import settings
from collectors.camera.backends import Frame
from collectors.camera.backends.simulated import Scene
from collectors.camera.collector import DetectionSwitch
from collectors.camera.control.endpoints import VIEWS
from collectors.camera.control.tuning import Tuner, TuningError
from collectors.camera.drawing import VIEWS as DRAWN
from collectors.camera.settings import DetectorConfig, load_config
from collectors.core.settings import Values, resolve
from tests.unit.camera_control_support import BASE_NS, BOUND_SECONDS, Site, site

TOKEN = "0123456789abcdef" * 2
SCENE = Scene(1)


class Page:
    """A tuner with a settings file, and a clock that the test moves."""

    def __init__(self, folder: Path, text: str = "[camera]\nnoise_factor = 4.0\n", **environ: str) -> None:
        self.file = folder / "sensetig.toml"
        self.file.write_text(text)
        self.now = 0.0
        self.switch = DetectionSwitch()
        values = resolve(
            "camera",
            settings.SETTINGS,
            file=str(self.file),
            text=text,
            sections=("camera", "pi"),
            environ=environ,
            options={},
        )
        self.tuner = Tuner(values, self.switch, lambda: self.now)

    def show(self, seconds: float) -> None:
        """Show the scene at a time, and wait until the second detector has seen it."""
        self.tuner.on_frame(Frame(SCENE.draw(seconds), seconds, BASE_NS))
        self.tuner.picture("frame")

    def tried(self, name: str) -> tuple[object, object]:
        """The tried and the used value."""
        (found,) = [each for each in self.tuner.state()["settings"] if each["name"] == name]
        return found["tried"], found["used"]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    made = Page(tmp_path)
    yield made
    assert made.tuner.close(BOUND_SECONDS)


def test_settings_have_their_help_range_and_value(page: Page) -> None:
    state = page.tuner.state()
    assert [each["name"] for each in state["settings"]] == [each.name for each in settings.TUNABLE]
    found = next(each for each in state["settings"] if each["name"] == "noise_factor")
    assert found == {
        "name": "noise_factor",
        "help": settings.NOISE_FACTOR.help,
        "low": 1,
        "high": 50,
        "whole": False,
        "text": False,
        "default": 5.0,
        "tried": 4.0,
        "used": 4.0,
        "fixed_by": None,
    }
    assert state["file"] == str(page.file)
    assert {each.name for each in settings.TUNABLE} <= set(DetectorConfig._fields)
    assert VIEWS == DRAWN


def test_tried_setting_is_seen_and_has_no_effect_on_events(page: Page) -> None:
    page.show(0.0)
    assert page.tuner.state()["seen"]["threshold"] == pytest.approx(12.0)
    page.tuner.try_out({"least_difference": "40"})
    page.show(0.1)
    assert page.tuner.state()["seen"]["threshold"] == pytest.approx(40.0)
    assert page.tried("least_difference") == (40.0, 12.0)
    assert page.switch.config is None
    assert "least_difference" not in page.file.read_text()


def test_used_setting_has_effect_at_once_and_is_not_saved(page: Page) -> None:
    page.tuner.use({"min_area_percent": "2.5", "mask": "0,0 50,0 50,50"})
    assert page.switch.config is not None
    assert page.switch.config.min_area_percent == 2.5
    assert page.switch.config.mask == (((0.0, 0.0), (50.0, 0.0), (50.0, 50.0)),)
    assert page.switch.config.noise_factor == 4.0
    assert page.tried("min_area_percent") == (2.5, 2.5)
    assert "min_area_percent" not in page.file.read_text()


def test_saved_setting_is_in_the_file_and_used(page: Page) -> None:
    os.chmod(page.file, 0o640)
    all_of_it = {each.name: str(page.tried(each.name)[0]) for each in settings.TUNABLE}
    assert page.tuner.save({**all_of_it, "min_area_percent": "2.5"}) == str(page.file)
    assert tomllib.loads(page.file.read_text()) == {"camera": {"noise_factor": 4.0, "min_area_percent": 2.5}}
    assert page.file.stat().st_mode & 0o777 == 0o640
    assert page.switch.config is not None
    assert page.switch.config.min_area_percent == 2.5
    page.tuner.save({**all_of_it, "min_area_percent": "0.5"})
    assert tomllib.loads(page.file.read_text())["camera"]["min_area_percent"] == 0.5


def test_privacy_mask_stays_in_the_settings_that_are_tried(tmp_path: Path) -> None:
    page = Page(tmp_path, '[camera]\nprivacy_mask = "0,0 10,0 10,10"\n')
    page.tuner.use({"mask": "50,50 60,50 60,60"})
    assert page.switch.config is not None
    assert len(page.switch.config.mask) == 2
    assert (
        page.switch.config
        == load_config(Values({"privacy_mask": "0,0 10,0 10,10", "mask": "50,50 60,50 60,60"})).detector
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"noise_factor": "many"}, "noise_factor is 'many'; it must be a number from 1 to 50"),
        ({"noise_factor": "51"}, "it must be a number from 1 to 50"),
        ({"detect_width": "1e2"}, "it must be a whole number"),
        ({"mask": "0,0 50,0"}, "has fewer than 3 corners"),
    ],
)
def test_wrong_setting_is_refused_and_changes_nothing(page: Page, given: dict[str, str], sentence: str) -> None:
    before = page.file.read_text()
    for act in (page.tuner.try_out, page.tuner.use, page.tuner.save):
        with pytest.raises(TuningError, match=sentence):
            act(given)
    assert page.file.read_text() == before
    assert page.switch.config is None


def test_setting_that_a_variable_gives_cannot_be_saved(tmp_path: Path) -> None:
    page = Page(tmp_path, SENSETIG_CAMERA_NOISE_FACTOR="7")
    (fixed,) = [each for each in page.tuner.state()["settings"] if each["fixed_by"]]
    assert (fixed["name"], fixed["fixed_by"]) == ("noise_factor", "SENSETIG_CAMERA_NOISE_FACTOR")
    with pytest.raises(TuningError, match=r"SENSETIG_CAMERA_NOISE_FACTOR or an option .* overrides the settings file"):
        page.tuner.save({"noise_factor": "8"})
    page.tuner.save({"noise_factor": "7", "min_area_percent": "1.5"})
    assert tomllib.loads(page.file.read_text()) == {"camera": {"noise_factor": 4.0, "min_area_percent": 1.5}}
    page.tuner.close(BOUND_SECONDS)


@pytest.mark.parametrize("text", ['[camera]\nmask = """\n0,0 50,0 50,30"""\n', "[camera]\n"])
def test_file_that_cannot_be_written_is_named_with_what_to_write(tmp_path: Path, text: str) -> None:
    page = Page(tmp_path, text)
    if text == "[camera]\n":
        page.file.unlink()
        page.file.mkdir()
    with pytest.raises(TuningError, match=r'write this into \[camera\] of .*: mask = "10,10 20,10 20,20"'):
        page.tuner.save({"mask": "10,10 20,10 20,20"})
    assert page.switch.config is None


def test_second_detector_rests_without_requests(page: Page) -> None:
    page.show(0.0)
    assert page.tuner.state()["seen"] is not None
    page.now = 60.0
    page.tuner.on_frame(Frame(SCENE.draw(1.0), 1.0, BASE_NS))
    page.tuner.on_frame(Frame(SCENE.draw(2.0), 2.0, BASE_NS))
    assert page.tuner.state()["seen"] is None


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_is_a_picture(page: Page, name: str) -> None:
    page.show(0.0)
    picture = cv2.imdecode(np.frombuffer(page.tuner.picture(name), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (360, 480, 3)


# --- over HTTP ---


@pytest.fixture
def served() -> Iterator[Site]:
    with site(tune=Values()) as made:
        yield made


def test_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(served: Site) -> None:
    answer = served.ask("/tune")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    page = answer.body.decode()
    assert "<style" not in page
    assert "style=" not in page
    assert "http" not in page
    assert page.count("<script") == page.count('<script src="tune.js" defer></script>') == 1
    assert not re.search(r"\son[a-z]+=", page), "no code in attributes"
    assert "innerHTML" not in served.ask("/tune.js").body.decode()


def test_settings_are_tried_and_used_over_http(served: Site) -> None:
    assert served.ask("/tune_try?noise_factor=9", "POST").json == {"ok": True}
    state = served.ask("/tune_state").json
    assert next(each["tried"] for each in state["settings"] if each["name"] == "noise_factor") == 9
    assert served.ask("/tune_use?noise_factor=9", "POST").json == {"ok": True}
    assert served.detection.config is not None
    answer = served.ask("/tune_use?noise_factor=99", "POST")
    assert (answer.status, answer.error) == (422, "noise_factor is '99'; it must be a number from 1 to 50")
    assert served.ask("/tune_use?nose_factor=9", "POST").status == 422
    assert served.ask("/tune_picture?view=else").status == 422


@pytest.mark.parametrize("path", ["/tune_try", "/tune_use", "/tune_save"])
@pytest.mark.parametrize(
    "headers", [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "http://other.example"}]
)
def test_page_of_another_site_cannot_change_settings(served: Site, path: str, headers: dict[str, str]) -> None:
    assert served.ask(f"{path}?noise_factor=9", "POST", **headers).status == 403
    assert served.ask(f"{path}?noise_factor=9").status == 405
    assert served.detection.config is None


def test_without_the_setting_there_is_no_page() -> None:
    with site() as made:
        for path in ("/tune", "/tune.js", "/tune.css", "/tune_state", "/tune_picture?view=frame"):
            answer = made.ask(path)
            assert (answer.status, answer.error) == (404, "tuning is off; set control_tune to use it")
        assert made.ask("/tune_save", "POST").status == 404


def test_page_opens_without_the_token_and_shows_nothing_without_it() -> None:
    with site(token=TOKEN, tune=Values()) as made:
        for path in ("/tune", "/tune.js", "/tune.css"):
            assert made.ask(path).status == 200
        for path in ("/tune_state", "/tune_picture?view=frame", "/snapshot.jpg"):
            assert made.ask(path).status == 401
        assert made.ask("/tune_use?noise_factor=9", "POST").status == 401
        assert made.detection.config is None
        assert made.ask("/tune_state", Authorization=f"Bearer {TOKEN}").status == 200
