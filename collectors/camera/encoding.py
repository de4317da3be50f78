"""Images as bytes: JPEG files, thumbnails for a string field, and frames packed in memory until they are encoded."""

from __future__ import annotations

from binascii import b2a_base64
from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.pixels import Image
from collectors.core.jpeg import THUMBNAIL_PREFIX

#: Maximum size of a thumbnail in bytes, including everything that makes it a data URI.
MAX_THUMBNAIL_BYTES = 12 * 1024
_THUMBNAIL_QUALITIES, _MIN_THUMBNAIL_WIDTH = (80, 65, 50, 35), 8

#: Quality of JPEG files on disk.
_QUALITY = 90
#: Quality of frames that only wait in memory: H.264 loses more than this afterwards.
_PACKED_QUALITY = 85
_COLOURLESS = 128

#: Options of MP4 files: the index comes first, so that a player starts before it has the whole file.
MP4_OPTIONS = {"movflags": "faststart"}


def jpeg(image: Image, quality: int = _QUALITY) -> bytes:
    """Encode as a JPEG file."""
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be encoded as a JPEG")
    return encoded.tobytes()


def jpeg_within(image: Image, max_bytes: int, qualities: tuple[int, ...], *, width: int, min_width: int) -> bytes:
    """Encode as a JPEG of at most *max_bytes*: reduce the quality first, then the size.

    Args:
        image: the image.
        max_bytes: the limit.
        qualities: JPEG qualities to try at each size, best first.
        width: maximum width, in pixels.
        min_width: minimum width, in pixels.

    Raises:
        ValueError: no size down to the minimum width fits.
    """
    wide = min(width, image.shape[1])
    while wide >= min_width:
        high = max(1, round(image.shape[0] * wide / image.shape[1]))
        small = image if wide == image.shape[1] else cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA)
        for quality in qualities:
            encoded = jpeg(small, quality)
            if len(encoded) <= max_bytes:
                return encoded
        wide = wide * 3 // 4
    raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} does not fit in {max_bytes} bytes as a JPEG")


def thumbnail_uri(image: Image, width: int, max_bytes: int = MAX_THUMBNAIL_BYTES) -> str:
    """Encode as the data URI of a JPEG, at most *width* pixels wide and *max_bytes* long. Raises ValueError."""
    room = (max_bytes - len(THUMBNAIL_PREFIX)) // 4 * 3
    small = jpeg_within(image, room, _THUMBNAIL_QUALITIES, width=width, min_width=_MIN_THUMBNAIL_WIDTH)
    return THUMBNAIL_PREFIX + b2a_base64(small, newline=False).decode("ascii")


class PackedFrame(NamedTuple):
    """A frame that waits to be encoded.

    Args:
        data: planes of brightness and colour (I420), the input of H.264; or the same frame as a JPEG.
        width, height: in pixels, both even.
        size: bytes.
    """

    data: Image
    width: int
    height: int
    size: int


def pack(image: Image, *, small: bool) -> PackedFrame:
    """Pack an image; *small* needs a tenth of the memory, and five times the time in total.

    An odd last row or column is dropped: H.264 halves the planes of colour.
    """
    height, width = image.shape[0] & ~1, image.shape[1] & ~1
    image = image[:height, :width]
    if small:
        data = np.frombuffer(jpeg(image, _PACKED_QUALITY), np.uint8)
    elif image.ndim == 2:
        data = np.full((height * 3 // 2, width), _COLOURLESS, np.uint8)
        data[:height] = image
    else:
        data = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
    return PackedFrame(data, width, height, data.nbytes)


def pack_planes(planes: Image, *, small: bool) -> PackedFrame:
    """Pack an image whose planes of YUV 4:2:0 lie one below the other; its sizes are even."""
    if small:
        return pack(np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8), small=True)
    return PackedFrame(planes, planes.shape[1], planes.shape[0] * 2 // 3, planes.nbytes)


def unpack(packed: PackedFrame) -> Image:
    """The frame's planes, one below the other."""
    if packed.data.ndim == 2:
        return packed.data
    image = cv2.imdecode(packed.data, cv2.IMREAD_COLOR)
    assert image is not None, "it was encoded here"
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
