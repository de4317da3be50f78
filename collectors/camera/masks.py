"""Areas of the image that are ignored or hidden: polygons parsed from text, and rendered as an array.

Corners are ``across,down`` in percent of the image's width and height, so that a mask fits any image size. Spaces
separate corners, and semicolons separate polygons.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from collectors.core.api import Unavailable

#: Corners, across and down, in percent of the image.
Polygon: TypeAlias = tuple[tuple[float, float], ...]

_EXAMPLE = "write it as 0,0 50,0 50,30 in percent of the image, with a semicolon between two polygons"


def parse_polygons(text: str) -> tuple[Polygon, ...]:
    """Parse polygons. Raises Unavailable, with the reason, for invalid text.

    >>> parse_polygons("0,0 50,0 50,30; 80,80 100,80 100,100")
    (((0.0, 0.0), (50.0, 0.0), (50.0, 30.0)), ((80.0, 80.0), (100.0, 80.0), (100.0, 100.0)))
    >>> parse_polygons("")
    ()
    """
    return tuple(_polygon(part) for part in text.split(";") if part.strip())


def _polygon(text: str) -> Polygon:
    corners = tuple(_corner(each) for each in text.split())
    shown = text.strip()
    if len(set(corners)) < 3:
        raise Unavailable(f"the mask {shown!r} has fewer than 3 corners; {_EXAMPLE}")
    twice_the_area = sum(
        left * below - right * above
        for (left, above), (right, below) in zip(corners, corners[1:] + corners[:1], strict=True)
    )
    if abs(twice_the_area) < 1e-9:
        raise Unavailable(f"the mask {shown!r} has no area, its corners lie on one line; {_EXAMPLE}")
    return corners


def _corner(text: str) -> tuple[float, float]:
    across, _, down = text.partition(",")
    try:
        corner = float(across), float(down)
    except ValueError:
        raise Unavailable(f"the mask has {text!r} instead of a corner; {_EXAMPLE}") from None
    if not all(math.isfinite(each) and 0 <= each <= 100 for each in corner):
        raise Unavailable(f"the mask's corner {text} lies outside the image, which spans 0,0 to 100,100")
    return corner


def visible_area(masks: tuple[Polygon, ...], width: int, height: int) -> Any:
    """An array of that size: 255 where motion is detected, 0 inside a polygon."""
    import cv2
    import numpy as np

    array = np.full((height, width), 255, np.uint8)
    for each in masks:
        scaled = [(across / 100 * width - 0.5, down / 100 * height - 0.5) for across, down in each]
        cv2.fillPoly(array, [np.asarray(scaled).round().astype(np.int32)], 0)
    return array
