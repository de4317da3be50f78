"""What the detector sees, drawn; and what follows from it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.detector import Box, Detection, Working
from collectors.camera.pixels import Image
from collectors.camera.settings import Sensitivity

#: Width of each panel, and height of the line above a row, in pixels.
_PANEL, _LINE = 320, 40
_WHITE, _RED, _GREY = (255, 255, 255), (60, 60, 255), (150, 150, 150)
#: Chosen pictures lie so far apart at least.
_APART_SECONDS = 2.0
#: The parts, across and down, in which it is counted how often something moves.
_ACROSS, _DOWN = 4, 3
#: Motion in more than this share of all pictures is more than visits.
_OFTEN = 0.5


class Sight(NamedTuple):
    """One picture with what the detector made of it."""

    number: int
    seconds: float
    image: Image
    seen: Detection
    working: Working


class Choice:
    """Keeps the pictures that tell most: where most moved, and where most changed and did not count as motion.

    Args:
        most: how many of each kind.
        numbers: take the pictures of these numbers instead.
    """

    def __init__(self, most: int, numbers: Sequence[int] = ()) -> None:
        self._most = most
        self._numbers = frozenset(numbers)
        self._kept: dict[bool, list[tuple[float, Sight]]] = {True: [], False: []}

    def offer(self, sight: Sight) -> None:
        """Keep the picture where it tells more than one that is kept; arrays that are written again are copied."""
        kept = self._kept[sight.seen.moving and not self._numbers]
        if self._numbers:
            if sight.number in self._numbers:
                kept.append((0.0, _own(sight)))
            return
        worth = sight.seen.area_percent if sight.seen.moving else sight.seen.changed_percent
        near = [each for each in kept if abs(each[1].seconds - sight.seconds) < _APART_SECONDS]
        if any(each[0] >= worth for each in near):
            return
        for each in near:
            kept.remove(each)
        if len(kept) >= self._most:
            least = min(kept, key=lambda each: each[0])
            if least[0] >= worth:
                return
            kept.remove(least)
        kept.append((worth, _own(sight)))

    @property
    def sights(self) -> list[Sight]:
        """What was kept, in the order of time."""
        return sorted((each for kept in self._kept.values() for _, each in kept), key=lambda each: each.number)


class Tally:
    """Counts what the pictures show."""

    def __init__(self) -> None:
        self.pictures = self.moving = self.changed = self.shaken = 0
        self.begun: dict[str, int] = {}
        self.covered = self.frozen = False
        self.most_changed = self.most_moved = self.highest_threshold = 0.0
        self.noises: list[float] = []
        self.where = np.zeros((_DOWN, _ACROSS), np.int64)

    def add(self, seen: Detection, working: Working, least_percent: float) -> None:
        """Count a picture."""
        self.pictures += 1
        self.moving += seen.moving
        self.changed += seen.changed_percent >= least_percent and not seen.moving
        self.shaken += seen.shift_percent > 0
        self.covered |= seen.covered
        self.frozen |= seen.frozen
        self.most_changed = max(self.most_changed, seen.changed_percent)
        self.most_moved = max(self.most_moved, seen.area_percent)
        self.highest_threshold = max(self.highest_threshold, working.threshold)
        if self.pictures % 10 == 0 and len(self.noises) < 100_000:
            self.noises.append(working.noise)
        if seen.anew:
            self.begun[seen.anew] = self.begun.get(seen.anew, 0) + 1
        if seen.box is not None:
            self.where[_cells(seen.box)] += 1


def _cells(box: Box) -> tuple[slice, slice]:
    right, bottom = box.left + box.width, box.top + box.height
    return (
        slice(int(box.top * _DOWN / 100), min(_DOWN, int(bottom * _DOWN / 100.001) + 1)),
        slice(int(box.left * _ACROSS / 100), min(_ACROSS, int(right * _ACROSS / 100.001) + 1)),
    )


def advice(tally: Tally, events: int, sensitivity: Sensitivity) -> list[str]:
    """What the pictures say about the settings, in sentences."""
    if not tally.pictures:
        return ["There was no picture."]
    said = [
        f"{tally.pictures} pictures, {tally.moving} of them with motion, {events} events; "
        f"the most that moved is {tally.most_moved:.2f} % of the picture, "
        f"the most that changed {tally.most_changed:.2f} %."
    ]
    noise = float(np.median(tally.noises)) if tally.noises else 0.0
    said.append(
        f"Noise is {noise:.1f} grey levels; the threshold went up to {tally.highest_threshold:.1f} "
        f"(least_difference {sensitivity.least_difference:g}, noise_factor {sensitivity.noise_factor:g})."
    )
    if tally.highest_threshold > 2 * sensitivity.least_difference:
        said.append("Noise sets the threshold, not least_difference: more light helps more than any setting.")
    if not tally.moving and tally.most_changed > 0:
        said.append(
            f"Nothing counts as motion. If something should, try min_area_percent = {_rounded(tally.most_changed / 2)}"
            f"{', and a lower least_difference' if tally.most_changed < sensitivity.min_area_percent else ''}."
        )
    if tally.moving > _OFTEN * tally.pictures:
        said.append("There is motion in more than half of the pictures: raise min_area_percent, or leave areas out.")
        down, across = np.unravel_index(int(tally.where.argmax()), tally.where.shape)
        left, top, right, bottom = (
            100 * each // of
            for each, of in ((across, _ACROSS), (down, _DOWN), (across + 1, _ACROSS), (down + 1, _DOWN))
        )
        said.append(
            f"Most of it is within this area, which a mask would leave out: "
            f'mask = "{left},{top} {right},{top} {right},{bottom} {left},{bottom}".'
        )
    if tally.begun.get("light"):
        said.append(
            f"The background was begun anew {tally.begun['light']} times for a switch of the light; "
            f"if these were people, raise light_switch_percent above {sensitivity.light_switch_percent:g}."
        )
    if tally.shaken:
        said.append(f"The camera shook in {tally.shaken} pictures; a firmer mount helps.")
    if tally.covered:
        said.append("The picture was dark or without detail for some time, as behind a covered lens.")
    if tally.frozen:
        said.append("The picture was exactly the same for some time: the camera hangs, or the recording stands still.")
    return said


def _rounded(percent: float) -> str:
    return f"{max(0.01, percent):.2g}"


def sheet(sights: Sequence[Sight]) -> Image:
    """A row for each picture: the picture with box and mask, the background, the difference, what has changed."""
    if not sights:
        return np.full((_LINE, 4 * _PANEL, 3), 40, np.uint8)
    return np.vstack([_row(each) for each in sights])


def _row(sight: Sight) -> Image:
    height = max(1, round(_PANEL * sight.image.shape[0] / sight.image.shape[1]))
    working = sight.working
    left_out = None
    if working.seen is not None:
        left_out = cv2.resize(working.seen, (_PANEL, height), interpolation=cv2.INTER_NEAREST) == 0
    panels = [
        _panel(sight.image, height),
        _panel(working.background, height),
        # The threshold is in the middle of the scale, so what is above it shows as bright.
        _coloured(cv2.convertScaleAbs(working.difference, alpha=127.5 / max(1.0, working.threshold)), height),
        _panel(working.changed, height, cv2.INTER_NEAREST),
    ]
    if left_out is not None:
        for panel in (panels[0], panels[3]):
            panel[left_out] = panel[left_out] // 2 + np.array([60, 0, 60], np.uint8)
    for panel in panels:
        _frame(panel, sight.seen.box, height)
    return np.vstack([_line(sight), np.hstack(panels)])


def _panel(image: Image, height: int, how: int = cv2.INTER_AREA) -> Image:
    small = cv2.resize(image, (_PANEL, height), interpolation=how)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small, np.uint8)


def _coloured(grey: Image, height: int) -> Image:
    wide = cv2.resize(grey, (_PANEL, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.applyColorMap(wide, cv2.COLORMAP_INFERNO), np.uint8)


def _frame(panel: Image, box: Box | None, height: int) -> None:
    if box is None:
        return
    corner = (round(box.left * _PANEL / 100), round(box.top * height / 100))
    other = (round((box.left + box.width) * _PANEL / 100) - 1, round((box.top + box.height) * height / 100) - 1)
    cv2.rectangle(panel, corner, other, _RED, 1)


def _line(sight: Sight) -> Image:
    line = np.full((_LINE, 4 * _PANEL, 3), 40, np.uint8)
    seen, working = sight.seen, sight.working
    verdict = f"MOTION {seen.area_percent:.2f} % score {seen.score:.1f}" if seen.moving else "no motion"
    notes = [
        f"anew: {seen.anew}" if seen.anew else "",
        f"shaken by {seen.shift_percent:.1f} %" if seen.shift_percent else "",
        "covered" if seen.covered else "",
        "frozen" if seen.frozen else "",
    ]
    words = [f"picture {sight.number}", f"{sight.seconds:.1f} s", verdict, f"changed {seen.changed_percent:.2f} %"]
    words += [f"threshold {working.threshold:.1f}", f"noise {working.noise:.1f}", *(each for each in notes if each)]
    _write(line, "   ".join(words), 6, 15, _RED if seen.moving else _WHITE)
    titles = ("picture", "background", "difference (mid-scale: threshold)", "changed")
    for number, title in enumerate(titles):
        _write(line, title, 6 + number * _PANEL, 33, _GREY)
    return line


def _write(image: Image, text: str, left: int, down: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (left, down), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def _own(sight: Sight) -> Sight:
    """The sight with arrays that nobody writes into any more."""
    working = sight.working
    return sight._replace(
        working=working._replace(
            background=working.background.copy(), difference=working.difference.copy(), changed=working.changed.copy()
        )
    )
