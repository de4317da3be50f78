"""Draws the views of the detector: the frame, the background, the difference between them, and the changed pixels."""

from __future__ import annotations

import cv2
import numpy as np

from collectors.camera.detector import Box, DetectorState
from collectors.camera.pixels import Image

#: The views of one frame, in this order.
VIEWS = ("frame", "background", "difference", "changed")
_RED = (60, 60, 255)
_VIOLET = np.array([60, 0, 60], np.uint8)


def view(name: str, image: Image, box: Box | None, state: DetectorState, width: int) -> Image:
    """One view of a frame, in colour, with a box around the motion; masked areas are violet.

    Args:
        name: one of :data:`VIEWS`.
        image: the frame.
        box: around the motion.
        state: the detector's results for the frame.
        width: of the view, in pixels.
    """
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    if name == "frame":
        panel = _coloured(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    elif name == "background":
        panel = _coloured(cv2.resize(state.background, (width, height), interpolation=cv2.INTER_AREA))
    elif name == "difference":
        # The threshold is mid-scale, so that differences above it are bright.
        scaled = cv2.convertScaleAbs(state.difference, alpha=127.5 / max(1.0, state.threshold))
        wide = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_NEAREST)
        panel = np.asarray(cv2.applyColorMap(wide, cv2.COLORMAP_INFERNO), np.uint8)
    else:
        panel = _coloured(cv2.resize(state.changed, (width, height), interpolation=cv2.INTER_NEAREST))
    if state.visible is not None and name in ("frame", "changed"):
        masked = cv2.resize(state.visible, (width, height), interpolation=cv2.INTER_NEAREST) == 0
        panel[masked] = panel[masked] // 2 + _VIOLET
    if box is not None:
        corner = (round(box.left * width / 100), round(box.top * height / 100))
        opposite = (
            round((box.left + box.width) * width / 100) - 1,
            round((box.top + box.height) * height / 100) - 1,
        )
        cv2.rectangle(panel, corner, opposite, _RED, 1)
    return panel


def _coloured(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image, np.uint8)
