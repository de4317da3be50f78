"""Checks of untrusted JPEG images before they are decoded: format, size, number of scans, and completeness.

A decoder cannot be interrupted, and its time grows with pixels times scans: a progressive image of 79 KB with hundreds
of tiny scans takes a core for 18 s. ITU-T T.81, annex B, describes the segments.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64

#: Maximum number of pixels; each takes three bytes when decoded.
MAX_PIXELS = 16 * 1024 * 1024
#: Maximum number of scans. libjpeg writes 10 for a progressive image in colour, and optimizers a few more.
MAX_SCANS = 24

#: The fields of a point that hold an image, as a data URI.
THUMBNAIL_FIELD = "thumbnail"
THUMBNAIL_PREFIX = "data:image/jpeg;base64,"
#: Maximum length of a thumbnail in characters, and its maximum number of pixels.
MAX_THUMBNAIL_LENGTH, MAX_THUMBNAIL_PIXELS = 64 * 1024, 1024 * 1024

_START, _END = b"\xff\xd8", b"\xff\xd9"
_EOI, _SOI, _SOS = 0xD9, 0xD8, 0xDA
#: All frame headers, and the supported ones: baseline, extended and progressive with Huffman coding.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_KNOWN_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
#: Markers without a segment: TEM and RST0 to RST7.
_BARE = frozenset((0x01, *range(0xD0, 0xD8)))
#: The next marker within scan data, where an 0xFF byte of data is followed by a zero.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def jpeg_size(jpeg: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels of a complete image that is safe to decode.

    Raises ValueError for an image that is not a JPEG, is truncated, or would take a decoder too much memory or time. A
    decoder fills the missing part of a truncated image with grey, and trusts the header.
    """
    if not jpeg.startswith(_START):
        raise ValueError("an image is not a JPEG")
    at, scans, size = 2, 0, None
    while True:
        marker, at = _next_marker(jpeg, at)
        if marker == _EOI:
            break
        if marker in _BARE:
            continue
        length = int.from_bytes(jpeg[at : at + 2])
        if marker == _SOI or marker < 0xC0 or length < 2:
            raise ValueError("an image is not a JPEG")
        if marker in _FRAMES:
            size = _frame(marker, jpeg[at + 2 : at + length], size, max_pixels)
        at += length
        if marker == _SOS:
            scans += 1
            if size is None:
                raise ValueError("an image is not a JPEG")
            if scans > MAX_SCANS:
                raise ValueError(f"an image has more than {MAX_SCANS} scans")
            found = _MARKER.search(jpeg, at)
            if found is None:
                raise ValueError("an image is truncated")
            at = found.start()
    if size is None or not scans:
        raise ValueError("an image is not a JPEG")
    if not jpeg.rstrip(b"\0").endswith(_END):
        raise ValueError("an image is truncated")
    return size


def _next_marker(jpeg: bytes, at: int) -> tuple[int, int]:
    """The marker at this position, after padding, and the position of its end."""
    begin = at
    while jpeg[at : at + 1] == b"\xff":
        at += 1
    if at >= len(jpeg):
        raise ValueError("an image is truncated")
    if at == begin:
        raise ValueError("an image is not a JPEG")
    return jpeg[at], at + 1


def _frame(marker: int, header: bytes, earlier: tuple[int, int] | None, max_pixels: int) -> tuple[int, int]:
    if marker not in _KNOWN_FRAMES or len(header) < 6 or earlier is not None:
        raise ValueError("an image is not a JPEG")
    height, width = int.from_bytes(header[1:3]), int.from_bytes(header[3:5])
    if not width or not height or header[5] not in (1, 3, 4):
        raise ValueError("an image is not a JPEG")
    if width * height > max_pixels:
        raise ValueError(f"an image of {width}x{height} is above {max_pixels} pixels")
    return width, height


def check_thumbnail(uri: object) -> None:
    """Raise ValueError unless a value is the data URI of a small JPEG; a browser would load any other URI as well."""
    if not isinstance(uri, str) or not uri.startswith(THUMBNAIL_PREFIX):
        raise ValueError(f"a thumbnail must begin with {THUMBNAIL_PREFIX}")
    if len(uri) > MAX_THUMBNAIL_LENGTH:
        raise ValueError(f"a thumbnail of {len(uri)} characters is above {MAX_THUMBNAIL_LENGTH}")
    try:
        jpeg = a2b_base64(uri[len(THUMBNAIL_PREFIX) :].encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise ValueError("a thumbnail is not base64") from None
    jpeg_size(jpeg, max_pixels=MAX_THUMBNAIL_PIXELS)


def is_thumbnail(uri: object) -> bool:
    """Whether a value is the data URI of a small JPEG; see :func:`check_thumbnail`."""
    try:
        check_thumbnail(uri)
    except ValueError:
        return False
    return True
