"""Frames of the LED matrix: tuples of 64 colours, row by row from the top left."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collectors.messaging.commands import ArgumentError
from collectors.sensehat.led import font

SIDE = 8
PIXELS = SIDE * SIDE

Pixel = tuple[int, int, int]
Frame = tuple[Pixel, ...]

#: Named colours.
NAMES: Mapping[str, Pixel] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "orange": (255, 128, 0),
    "amber": (255, 191, 0),
}

BLACK, WHITE = NAMES["black"], NAMES["white"]
OFF: Frame = (BLACK,) * PIXELS

#: Maximum length of a text in characters.
MAX_TEXT = 64

ROTATIONS = (0, 90, 180, 270)

_HEX = re.compile(r"#[0-9a-fA-F]{6}")

#: Colour of the scale next to a bar: visible in the dark, and distinct from the bar.
_SCALE: Pixel = (48, 48, 48)

#: Colours of a bar from cold to warm, evenly spaced.
_WARMTH: tuple[Pixel, ...] = ((0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))


def colour(value: object, name: str) -> Pixel:
    """Parse a colour of a command: a name, ``#rrggbb``, or three whole numbers from 0 to 255.

    Args:
        name: the argument's name, for error messages.

    Raises:
        ArgumentError: the value is not a colour.

    >>> colour("#ff8000", "colour"), colour([1, 2, 3], "colour"), colour("red", "colour")
    ((255, 128, 0), (1, 2, 3), (255, 0, 0))
    """
    if isinstance(value, str):
        if value in NAMES:
            return NAMES[value]
        if _HEX.fullmatch(value):
            return int(value[1:3], 16), int(value[3:5], 16), int(value[5:], 16)
    elif (
        isinstance(value, Sequence)
        and len(value) == 3
        and all(type(part) is int and 0 <= part <= 255 for part in value)
    ):
        return value[0], value[1], value[2]
    raise ArgumentError(
        f"{name} must be a colour: #rrggbb, three whole numbers from 0 to 255, or one of {', '.join(NAMES)}"
    )


def solid(pixel: Pixel) -> Frame:
    """A frame of one colour."""
    return (pixel,) * PIXELS


def picture(pixels: object, palette: object = None) -> Frame:
    """Parse a picture: 64 colours, or eight texts of eight characters with a palette of their colours.

    Raises:
        ArgumentError: the picture has another form, or a colour is invalid.
    """
    if palette is None:
        if not isinstance(pixels, list) or len(pixels) != PIXELS:
            raise ArgumentError("pixels must be a list of 64 colours, or of 8 texts of 8 characters with a palette")
        return tuple(colour(pixel, f"pixels[{index}]") for index, pixel in enumerate(pixels))
    if (
        not isinstance(pixels, list)
        or len(pixels) != SIDE
        or not all(isinstance(row, str) and len(row) == SIDE for row in pixels)
    ):
        raise ArgumentError("with a palette, pixels must be a list of 8 texts of 8 characters")
    if not isinstance(palette, Mapping) or not all(len(sign) == 1 for sign in palette):
        raise ArgumentError('palette must map single characters to colours: {"r": "red", ".": "black"}')
    colours = {sign: colour(value, f"palette[{sign!r}]") for sign, value in palette.items()}
    signs = "".join(pixels)
    for sign in signs:
        if sign not in colours:
            raise ArgumentError(f"pixels has the character {sign!r}, which is not in the palette")
    return tuple(colours[sign] for sign in signs)


def bar(value: float, low: float, high: float) -> Frame:
    """A bar for a value, from blue to red, next to a scale with a mark at each quarter.

    The bar has five columns and eight rows, filled from the bottom and from the left: 40 steps. It is empty at ``low``
    and below, and full at ``high`` and above.

    Args:
        value: the value to show.
        low, high: the ends of the scale; ``low`` is below ``high``.
    """
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    lit = round(share * 5 * SIDE)
    pixels = [BLACK] * PIXELS
    for row in range(SIDE):  # counted from the bottom
        top = (SIDE - 1 - row) * SIDE
        if row % 2 == 1:  # the marks at a quarter, a half, three quarters and the end
            pixels[top] = pixels[top + 1] = _SCALE
        else:
            pixels[top] = _SCALE
        for column in range(min(5, max(0, lit - row * 5))):
            pixels[top + 3 + column] = _warmth((row + 0.5) / SIDE)
    return tuple(pixels)


def _warmth(share: float) -> Pixel:
    place = share * (len(_WARMTH) - 1)
    below = min(int(place), len(_WARMTH) - 2)
    part = place - below
    mixed = [round(a + (b - a) * part) for a, b in zip(_WARMTH[below], _WARMTH[below + 1], strict=True)]
    return mixed[0], mixed[1], mixed[2]


def text_columns(text: str) -> bytes:
    """The columns of a text, with an empty one after each letter."""
    return b"".join(font.columns(sign) + b"\0" for sign in text)


def text_frames(text: str, ink: Pixel, paper: Pixel = BLACK) -> Iterator[Frame]:
    """The frames of a text that scrolls from right to left, one column per frame."""
    strip = bytes(SIDE) + text_columns(text) + bytes(SIDE)
    for start in range(len(strip) - SIDE + 1):
        window = strip[start : start + SIDE]
        yield tuple(ink if window[column] >> row & 1 else paper for row in range(SIDE) for column in range(SIDE))


def frames_of(text: str) -> int:
    """The number of frames of a text."""
    return len(text_columns(text)) + SIDE + 1


def rotated(frame: Frame, degrees: int) -> Frame:
    """The frame rotated clockwise by 0, 90, 180 or 270 degrees."""
    for _ in range(degrees // 90 % 4):
        frame = tuple(frame[(SIDE - 1 - column) * SIDE + row] for row in range(SIDE) for column in range(SIDE))
    return frame


def dimmed(pixel: Pixel, share: float) -> Pixel:
    """A colour at a share of its brightness; a channel that is not 0 stays visible.

    The matrix has 5 bits of red and blue and 6 of green, so values below 8 are dark.
    """
    return tuple(max(8, math.floor(part * share)) if part else 0 for part in pixel)  # type: ignore[return-value]


def cornered(frame: Frame, pixel: Pixel) -> Frame:
    """The frame with a colour in its bottom right corner."""
    return (*frame[:-1], pixel)


def packed(frame: Frame) -> bytes:
    """The frame in the format of the kernel's frame buffer: 64 values of RGB565 in the machine's byte order.

    Source: Linux, drivers/video/fbdev of the Raspberry Pi kernel, rpisense-fb.c.
    """
    from array import array

    values = ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3 for red, green, blue in frame)
    return array("H", values).tobytes()


def arguments_of_text(arguments: Mapping[str, Any]) -> tuple[str, Pixel, Pixel]:
    """The text of a command, and its colours. Raises ArgumentError."""
    text = arguments.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_TEXT or not text.isprintable():
        raise ArgumentError(f"text must have 1 to {MAX_TEXT} characters on one line")
    ink = colour(arguments.get("colour", "white"), "colour")
    paper = colour(arguments.get("background", "black"), "background")
    return text, ink, paper
