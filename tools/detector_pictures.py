"""Draw the effect of each setting of the detector: ``python -m tools.detector_pictures``.

Each picture shows a simulated scene with some values of a setting side by side. The scenes have a fixed seed, so that
the pictures are reproducible, and a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.detector import Detection, Detector, DetectorState
from collectors.camera.drawing import VIEWS, view
from collectors.camera.masks import parse_polygons
from collectors.camera.pixels import Image
from collectors.camera.settings import DetectorConfig
from collectors.camera.upright import Blackener, turn

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"

#: Maximum size of a picture in bytes.
MAX_BYTES = 60_000

_SEED, _FRAME_RATE = 1, 10.0
_PANEL, _CAPTION, _GAP = 240, 24, 8
_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_QUALITY = 80

#: A mask over the left part of the picture.
_LEFT = "0,0 45,0 45,100 0,100"


class Moment(NamedTuple):
    """A frame of a scene, with the detector's result."""

    image: Image
    detection: Detection
    state: DetectorState


class Panel(NamedTuple):
    """A part of a picture with its caption."""

    caption: str
    image: Image


def watch(scene: str, seconds: float, config: DetectorConfig) -> Moment:
    """The detector's result for a scene at this time, after it has processed all earlier frames."""
    shown, detector = Scene(_SEED, SCRIPTS[scene]), Detector(config)
    image, found = np.zeros((1, 1, 3), np.uint8), Detection()
    for number in range(round(seconds * _FRAME_RATE) + 1):
        image = shown.draw(number / _FRAME_RATE)
        found = detector.detect(image, number / _FRAME_RATE)
    return Moment(image, found, detector.state)


def _shown(moment: Moment, name: str) -> Image:
    return view(name, moment.image, moment.detection.box, moment.state, _PANEL)


def views() -> Iterator[Panel]:
    """The four views of one frame."""
    moment = watch("person", 6.5, DetectorConfig())
    for name in VIEWS:
        yield Panel(name, _shown(moment, name))


def least_difference() -> Iterator[Panel]:
    """Changed pixels at three thresholds: noise, a person, parts of a person."""
    for value in (2.0, 10.0, 60.0):
        moment = watch("person", 6.5, DetectorConfig(least_difference=value, noise_factor=0.5))
        yield Panel(f"least_difference = {value:g}", _shown(moment, "changed"))


def min_area_percent() -> Iterator[Panel]:
    """A person who counts as motion, and who does not because the minimum area is larger."""
    for value in (0.5, 20.0):
        moment = watch("person", 6.5, DetectorConfig(min_area_percent=value))
        yield Panel(f"min_area_percent = {value:g}: {_verdict(moment)}", _shown(moment, "frame"))


def light_switch() -> Iterator[Panel]:
    """The frames before and after a light is switched off: most of the picture changes, and nothing moves."""
    for seconds in (23.9, 24.0):
        moment = watch("light", seconds, DetectorConfig())
        yield Panel(f"{seconds:g} s: {_verdict(moment)}", _shown(moment, "frame"))


def mask() -> Iterator[Panel]:
    """A person inside a masked area, and outside."""
    for seconds in (5.0, 8.0):
        moment = watch("person", seconds, DetectorConfig(mask=parse_polygons(_LEFT)))
        yield Panel(f"mask, {seconds:g} s: {_verdict(moment)}", _shown(moment, "frame"))


def privacy_mask() -> Iterator[Panel]:
    """The stored picture, without and with a black area."""
    image = watch("person", 6.5, DetectorConfig()).image
    for caption, areas in (("without", ()), ("with privacy_mask", parse_polygons("62,12 92,12 92,46 62,46"))):
        black = Blackener(areas).blacken(image)
        yield Panel(caption, np.asarray(cv2.resize(black, (_PANEL, _PANEL * 3 // 4)), np.uint8))


def detect_width() -> Iterator[Panel]:
    """The pixels that the detector uses, at three widths."""
    for value in (64, 160, 320):
        moment = watch("person", 6.5, DetectorConfig(detect_width=value))
        yield Panel(f"detect_width = {value}", _shown(moment, "changed"))


def rotate() -> Iterator[Panel]:
    """A camera mounted sideways, before and after rotating its pictures."""
    upright = np.ascontiguousarray(watch("person", 6.5, DetectorConfig()).image[:, 50:230])
    tilted = turn(upright, 270)
    for caption, image in (("rotate = 0", tilted), ("rotate = 90", turn(tilted, 90))):
        height = 180
        width = round(height * image.shape[1] / image.shape[0])
        yield Panel(caption, np.asarray(cv2.resize(image, (width, height)), np.uint8))


#: The pictures, by the suffix of their names.
PICTURES: Mapping[str, Callable[[], Iterator[Panel]]] = {
    "views": views,
    "least-difference": least_difference,
    "min-area-percent": min_area_percent,
    "light-switch": light_switch,
    "mask": mask,
    "privacy-mask": privacy_mask,
    "detect-width": detect_width,
    "rotate": rotate,
}


def _verdict(moment: Moment) -> str:
    return "motion" if moment.detection.moving else "no motion"


def sheet(panels: Sequence[Panel]) -> Image:
    """The panels in a row, each below its caption."""
    height = max(panel.image.shape[0] for panel in panels) + _CAPTION + 2 * _GAP
    width = sum(max(panel.image.shape[1], _PANEL) + _GAP for panel in panels) + _GAP
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    left = _GAP
    for caption, image in panels:
        cv2.putText(
            paper, caption, (left, _CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA
        )  # fmt: skip
        rows, columns = image.shape[:2]
        paper[_CAPTION : _CAPTION + rows, left : left + columns] = image
        left += max(columns, _PANEL) + _GAP
    return paper


def draw(name: str) -> Image:
    """One of the pictures."""
    return sheet(list(PICTURES[name]()))


def file_of(name: str) -> Path:
    """The file of a picture."""
    return FOLDER / f"detector-{name}.webp"


def main() -> int:
    """Write all pictures. Raises ValueError for one that is too large."""
    for name in PICTURES:
        done, written = cv2.imencode(".webp", draw(name), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
        if not done or len(written) > MAX_BYTES:
            raise ValueError(f"{file_of(name)} would have {len(written)} bytes, and may have {MAX_BYTES}")
        file_of(name).write_bytes(written.tobytes())
        print(f"{file_of(name).name}: {len(written) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
