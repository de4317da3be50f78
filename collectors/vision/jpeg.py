"""What a JPEG says of itself before it is decoded: whether it is whole, and how large it will be.

A decoder fills up what a cut-off picture lacks with grey, and believes any size that the head names; so both are
looked at first.
"""

from __future__ import annotations

#: Pixels of a picture at most; decoded, each takes three bytes.
MAX_PIXELS = 16 * 1024 * 1024

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"

#: Markers of the segment that has the size: baseline, progressive and the rarer kinds; not the tables among them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def size(jpeg: bytes) -> tuple[int, int]:
    """Width and height in pixels. Raises ValueError, with a sentence, where the head has none."""
    at = 2
    while jpeg.startswith(_BEGIN) and at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # a byte that only fills up
            at += 1
            continue
        if marker in _FRAMES:
            height, width = int.from_bytes(jpeg[at + 5 : at + 7]), int.from_bytes(jpeg[at + 7 : at + 9])
            if width and height:
                return width, height
            break
        at += 2 + max(2, int.from_bytes(jpeg[at + 2 : at + 4]))
    raise ValueError("a picture is not a JPEG")


def check(jpeg: bytes) -> None:
    """Raises ValueError, with a sentence, for what is no JPEG, cut off, or too large to decode."""
    width, height = size(jpeg)
    if not jpeg.rstrip(b"\0").endswith(_END):
        raise ValueError("a picture is cut off before its end")
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture of {width}x{height} is above {MAX_PIXELS} pixels")
