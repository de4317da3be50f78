"""Visualize the detector's results, and derive advice on its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.detector import Box, Detection, DetectorState
from collectors.camera.drawing import VIEWS, view
from collectors.camera.pixels import Image
from collectors.camera.settings import DetectorConfig

#: Width of each panel, and height of the caption above a row, in pixels.
_PANEL, _LINE = 320, 40
_WHITE, _RED, _GREY = (255, 255, 255), (60, 60, 255), (150, 150, 150)
#: Minimum interval between two selected frames.
_MIN_INTERVAL_SECONDS = 2.0
#: Columns and rows of the grid used to count motion.
_ACROSS, _DOWN = 4, 3
#: Motion in more than this share of all frames is not caused by visits alone.
_OFTEN = 0.5


class Sample(NamedTuple):
    """A frame with the detector's results."""

    number: int
    seconds: float
    image: Image
    detection: Detection
    state: DetectorState


class SampleSelector:
    """Keeps the frames with the most motion, and those with the most change that did not count as motion.

    Args:
        max_samples: maximum number of each kind.
        numbers: select the frames with these numbers instead.
    """

    def __init__(self, max_samples: int, numbers: Sequence[int] = ()) -> None:
        self._max = max_samples
        self._numbers = frozenset(numbers)
        self._kept: dict[bool, list[tuple[float, Sample]]] = {True: [], False: []}

    def add(self, sample: Sample) -> None:
        """Keep the frame if it ranks above a kept one; copies the arrays that the detector reuses."""
        detection = sample.detection
        kept = self._kept[detection.moving and not self._numbers]
        if self._numbers:
            if sample.number in self._numbers:
                kept.append((0.0, _copy(sample)))
            return
        score = detection.area_percent if detection.moving else detection.changed_percent
        near = [each for each in kept if abs(each[1].seconds - sample.seconds) < _MIN_INTERVAL_SECONDS]
        if any(each[0] >= score for each in near):
            return
        for each in near:
            kept.remove(each)
        if len(kept) >= self._max:
            lowest = min(kept, key=lambda each: each[0])
            if lowest[0] >= score:
                return
            kept.remove(lowest)
        kept.append((score, _copy(sample)))

    @property
    def samples(self) -> list[Sample]:
        """The selected frames in order of time."""
        return sorted((each for kept in self._kept.values() for _, each in kept), key=lambda each: each.number)


class Summary:
    """Counts the results of all frames."""

    def __init__(self) -> None:
        self.frames = self.moving = self.shaken = 0
        self.resets: dict[str, int] = {}
        self.covered = self.frozen = False
        self.max_changed = self.max_moved = self.max_threshold = 0.0
        self.noises: list[float] = []
        self.motion_cells = np.zeros((_DOWN, _ACROSS), np.int64)

    def add(self, detection: Detection, state: DetectorState) -> None:
        """Count a frame."""
        self.frames += 1
        self.moving += detection.moving
        self.shaken += detection.shift_percent > 0
        self.covered |= detection.covered
        self.frozen |= detection.frozen
        self.max_changed = max(self.max_changed, detection.changed_percent)
        self.max_moved = max(self.max_moved, detection.area_percent)
        self.max_threshold = max(self.max_threshold, state.threshold)
        if self.frames % 10 == 0 and len(self.noises) < 100_000:
            self.noises.append(state.noise)
        if detection.reset_reason:
            self.resets[detection.reset_reason] = self.resets.get(detection.reset_reason, 0) + 1
        if detection.box is not None:
            self.motion_cells[_cells(detection.box)] += 1


def _cells(box: Box) -> tuple[slice, slice]:
    right, bottom = box.left + box.width, box.top + box.height
    return (
        slice(int(box.top * _DOWN / 100), min(_DOWN, int(bottom * _DOWN / 100.001) + 1)),
        slice(int(box.left * _ACROSS / 100), min(_ACROSS, int(right * _ACROSS / 100.001) + 1)),
    )


def advice(summary: Summary, events: int, config: DetectorConfig) -> list[str]:
    """Sentences that describe the results, and recommend settings."""
    if not summary.frames:
        return ["There were no frames."]
    sentences = [
        f"{summary.frames} frames, {summary.moving} with motion, {events} events; "
        f"at most {summary.max_moved:.2f} % of the image moved, and {summary.max_changed:.2f} % changed."
    ]
    noise = float(np.median(summary.noises)) if summary.noises else 0.0
    sentences.append(
        f"Noise is {noise:.1f} grey levels; the threshold reached {summary.max_threshold:.1f} "
        f"(least_difference {config.least_difference:g}, noise_factor {config.noise_factor:g})."
    )
    if summary.max_threshold > 2 * config.least_difference:
        sentences.append("Noise determines the threshold, not least_difference: add light before you change settings.")
    if not summary.moving and summary.max_changed > 0:
        sentences.append(
            f"Nothing counts as motion. To detect more, try min_area_percent = {_rounded(summary.max_changed / 2)}"
            f"{', and a lower least_difference' if summary.max_changed < config.min_area_percent else ''}."
        )
    if summary.moving > _OFTEN * summary.frames:
        sentences.append("More than half of the frames show motion: raise min_area_percent, or exclude areas.")
        down, across = np.unravel_index(int(summary.motion_cells.argmax()), summary.motion_cells.shape)
        left, top, right, bottom = (
            100 * each // of
            for each, of in ((across, _ACROSS), (down, _DOWN), (across + 1, _ACROSS), (down + 1, _DOWN))
        )
        sentences.append(
            f"Most of it is within this area, which this mask ignores: "
            f'mask = "{left},{top} {right},{top} {right},{bottom} {left},{bottom}".'
        )
    if summary.resets.get("light"):
        sentences.append(
            f"The background was reset {summary.resets['light']} times because the light was switched; "
            f"if these were people, raise light_switch_percent above {config.light_switch_percent:g}."
        )
    if summary.shaken:
        sentences.append(f"The camera shook in {summary.shaken} frames; mount it more firmly.")
    if summary.covered:
        sentences.append("The image was dark or without detail for some time, as behind a covered lens.")
    if summary.frozen:
        sentences.append("The image was identical for some time: the camera hangs, or the recording is frozen.")
    return sentences


def _rounded(percent: float) -> str:
    return f"{max(0.01, percent):.2g}"


def sheet(samples: Sequence[Sample]) -> Image:
    """One row per frame: the frame with box and mask, the background, the difference, and the changed pixels."""
    if not samples:
        return np.full((_LINE, 4 * _PANEL, 3), 40, np.uint8)
    return np.vstack([_row(each) for each in samples])


def _row(sample: Sample) -> Image:
    panels = [view(each, sample.image, sample.detection.box, sample.state, _PANEL) for each in VIEWS]
    return np.vstack([_caption(sample), np.hstack(panels)])


def _caption(sample: Sample) -> Image:
    line = np.full((_LINE, 4 * _PANEL, 3), 40, np.uint8)
    found, state = sample.detection, sample.state
    verdict = f"MOTION {found.area_percent:.2f} % score {found.score:.1f}" if found.moving else "no motion"
    notes = [
        f"reset: {found.reset_reason}" if found.reset_reason else "",
        f"shaken by {found.shift_percent:.1f} %" if found.shift_percent else "",
        "covered" if found.covered else "",
        "frozen" if found.frozen else "",
    ]
    words = [f"frame {sample.number}", f"{sample.seconds:.1f} s", verdict, f"changed {found.changed_percent:.2f} %"]
    words += [f"threshold {state.threshold:.1f}", f"noise {state.noise:.1f}", *(each for each in notes if each)]
    _write(line, "   ".join(words), 6, 15, _RED if found.moving else _WHITE)
    titles = ("frame", "background", "difference (mid-scale: threshold)", "changed")
    for number, title in enumerate(titles):
        _write(line, title, 6 + number * _PANEL, 33, _GREY)
    return line


def _write(image: Image, text: str, left: int, down: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (left, down), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def _copy(sample: Sample) -> Sample:
    """The sample with copies of the arrays that the detector writes to."""
    state = sample.state
    return sample._replace(
        state=state._replace(
            background=state.background.copy(), difference=state.difference.copy(), changed=state.changed.copy()
        )
    )
