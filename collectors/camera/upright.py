"""Turns pictures upright, and makes private areas black.

Snapshots, clips, thumbnails, live pictures and pictures for the collector vision are all made of the pictures that this
module returns. Planes are YUV 4:2:0, one below the other.
"""

from __future__ import annotations

import cv2
import numpy as np

from collectors.camera.masks import Polygon, visible_area
from collectors.camera.pixels import Image

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
#: Brightness and colour of black.
_BLACK, _COLOURLESS = 16, 128


def turn(image: Image, degrees: int) -> Image:
    """The image, turned clockwise by a multiple of 90 degrees."""
    return image if degrees == 0 else np.asarray(cv2.rotate(image, _TURNS[degrees]), image.dtype)


def turn_planes(planes: Image, width: int, height: int, degrees: int) -> Image:
    """The planes of an image of this size, without padding, turned clockwise by a multiple of 90 degrees."""
    turned = [turn(each, degrees).ravel() for each in _planes(planes, width, height)]
    wide = height if degrees in (90, 270) else width
    return np.concatenate(turned).reshape(-1, wide)


class Blackener:
    """Makes areas of an image black.

    Args:
        areas: polygons, in percent of the image.
    """

    def __init__(self, areas: tuple[Polygon, ...]) -> None:
        self._areas = areas
        self._visible: dict[tuple[int, int], Image] = {}

    def blacken(self, image: Image) -> Image:
        """A copy of a grey or coloured image, black in these areas."""
        if not self._areas:
            return image
        visible = self._of_size(image.shape[1], image.shape[0])
        return np.asarray(cv2.bitwise_and(image, image, mask=visible), np.uint8)

    def blacken_planes(self, planes: Image, width: int, height: int) -> None:
        """Make planes of an image of this size black in these areas, in place."""
        if not self._areas:
            return
        hidden = self._of_size(width, height) == 0
        # A pixel of colour belongs to four of brightness.
        coarse = hidden[: height & ~1, : width & ~1].reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3))
        for plane, where, level in zip(
            _planes(planes, width, height), (hidden, coarse, coarse), (_BLACK, _COLOURLESS, _COLOURLESS), strict=True
        ):
            plane[where] = level

    def _of_size(self, width: int, height: int) -> Image:
        visible = self._visible.get((width, height))
        if visible is None:
            visible = visible_area(self._areas, width, height)
            if len(self._visible) >= 4:  # a stream that changes its size repeatedly
                self._visible.clear()
            self._visible[width, height] = visible
        return visible


def _planes(planes: Image, width: int, height: int) -> tuple[Image, Image, Image]:
    """Views of brightness and the two colours without the padding of their rows."""
    row = planes.shape[1]
    flat = planes.reshape(-1)
    size, quarter = height * row, (height // 2) * (row // 2)
    colours = (flat[size + at : size + at + quarter].reshape(height // 2, row // 2) for at in (0, quarter))
    first, second = (each[:, : width // 2] for each in colours)
    return flat[:size].reshape(height, row)[:, :width], first, second
