"""PeopleEngine in a recording, found by the detector that OpenCV brings along, where it does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from collectors.core.api import Unavailable
from collectors.core.settings import Values
from collectors.vision.engines import Detection, InvalidImage, open_engine, select_detections
from collectors.vision.engines.people import PeopleEngine, confidence, detection_size
from tests.golden import DATA
from tests.unit import vision_support as support

CLIP = DATA / "camera" / "pedestrians.avi"

with_detector = pytest.mark.skipif(
    not hasattr(cv2, "HOGDescriptor"), reason=f"OpenCV {cv2.__version__} comes without its detector of people"
)
#: Distance between the frames taken from the clip; each shows some people.
STEP = 60


def frames() -> list[bytes]:
    """Some pictures of the clip, and last the background without people: the median of them all."""
    if not CLIP.is_file():
        pytest.skip(f"there is no recording {CLIP.name} beside the project")
    capture = cv2.VideoCapture(str(CLIP), cv2.CAP_FFMPEG)
    pictures = []
    while True:
        found, picture = capture.read()
        if not found:
            break
        pictures.append(picture)
    capture.release()
    background = np.median(np.stack(pictures[::40]), axis=0).astype(np.uint8)
    return [bytes(cv2.imencode(".jpg", each)[1].tobytes()) for each in (*pictures[::STEP], background)]


def people(looking: PeopleEngine, picture: bytes) -> list[Detection]:
    return select_detections(looking.detect(picture, support.never), 0.5, frozenset())


@with_detector
def test_people_are_detected_only_where_they_are() -> None:
    looking = PeopleEngine("people", 720)
    *with_people, empty = frames()
    found = [people(looking, picture) for picture in with_people]
    assert sum(map(bool, found)) >= 0.9 * len(with_people)
    assert people(looking, empty) == []
    for each in (each for several in found for each in several):
        assert each.label == "person"
        assert 0.5 <= each.confidence <= 1
        assert each.box is not None
        assert 10 < each.box.height < 100, "a person is higher than a tenth of this picture"


@with_detector
@pytest.mark.parametrize(("width", "height"), [(1, 1), (63, 127), (2000, 8), (8, 600), (640, 480)])
def test_image_of_any_size_is_processed(width: int, height: int) -> None:
    assert people(PeopleEngine("people", 320), support.jpeg(width, height)) == []


@with_detector
def test_undecodable_image_is_invalid() -> None:
    with pytest.raises(InvalidImage, match="an image cannot be decoded"):
        PeopleEngine("people", 320).detect(b"\xff\xd8\xff\xd9", support.never)


@pytest.mark.skipif(hasattr(cv2, "HOGDescriptor"), reason="this OpenCV brings the detector along")
def test_opencv_without_the_detector_is_reported_with_the_package_to_install() -> None:
    with pytest.raises(
        Unavailable, match=r"comes without its detector of people; install opencv-python-headless below"
    ):
        open_engine(Values({"engine": "people"}), print)


def test_distance_maps_to_a_confidence_from_0_to_1() -> None:
    assert [round(confidence(distance), 3) for distance in (-1e9, -2, 0, 2, 1e9)] == [0, 0.119, 0.5, 0.881, 1]


@pytest.mark.parametrize("shape", [(1, 60_000), (8, 600), (60_000, 1), (4000, 3000), (3000, 4000), (64, 64)])
def test_image_of_any_shape_is_scaled_to_a_bounded_size(shape: tuple[int, int]) -> None:
    width, height = detection_size(*shape, 720)
    assert width >= 64
    assert height >= 128
    assert width * height <= 2.1 * 720 * 720


def test_usual_aspect_ratio_is_kept() -> None:
    assert detection_size(3000, 4000, 720) == (720, 960)
    assert detection_size(320, 240, 720) == (720, 540)
