"""The documentation's pictures of the detector's settings: current, small, and shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from collectors.camera.settings import DetectorConfig
from sensetig import bundle
from tools import detector_pictures

DOCS = bundle.root() / "docs"

#: Mean difference in grey levels that the lossy format makes; another drawing differs by more.
_LOSS = 3.0


@pytest.mark.parametrize("name", detector_pictures.PICTURES)
def test_committed_picture_is_the_one_that_is_drawn(name: str) -> None:
    kept = cv2.imread(str(detector_pictures.file_of(name)))
    assert kept is not None, "run: python -m tools.detector_pictures"
    drawn = detector_pictures.draw(name)
    assert kept.shape == drawn.shape
    # Small differences between two versions of OpenCV are spread over the blocks.
    blocks = [
        cv2.resize(each, (each.shape[1] // 8, each.shape[0] // 8), interpolation=cv2.INTER_AREA).astype(float)
        for each in (kept, drawn)
    ]
    assert float(np.abs(blocks[0] - blocks[1]).mean()) < _LOSS, "run: make detector-pictures"
    assert detector_pictures.file_of(name).stat().st_size <= detector_pictures.MAX_BYTES


def test_every_picture_is_shown() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    shown = set(re.findall(r"pictures/detector-([\w-]+)\.webp", pages))
    assert shown == set(detector_pictures.PICTURES)
    assert {file.name for file in detector_pictures.FOLDER.glob("*.webp")} == {
        detector_pictures.file_of(name).name for name in detector_pictures.PICTURES
    }


@pytest.mark.parametrize(
    ("panels", "verdicts"),
    [
        (detector_pictures.min_area_percent, ["motion", "no motion"]),
        (detector_pictures.mask, ["no motion", "motion"]),
        (detector_pictures.light_switch, ["no motion", "no motion"]),
    ],
)
def test_pictures_show_what_their_text_says(
    panels: Callable[[], Iterator[detector_pictures.Panel]], verdicts: list[str]
) -> None:
    assert [panel.caption.rpartition(": ")[2] for panel in panels()] == verdicts


def test_a_moment_has_the_person_whom_the_scene_shows() -> None:
    moment = detector_pictures.watch("person", 6.5, DetectorConfig())
    assert moment.detection.moving
    assert moment.detection.box is not None
    assert 20 < moment.detection.box.left < 40
