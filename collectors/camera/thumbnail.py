"""A picture small enough for a string field."""

from __future__ import annotations

from binascii import b2a_base64

import cv2

from collectors.camera.detector import Image

#: Bytes of a thumbnail at most, with all that makes it a data URI.
MAX_BYTES = 12 * 1024

_HEAD = "data:image/jpeg;base64,"
_QUALITIES = (80, 65, 50, 35)


def data_uri(image: Image, width: int, limit: int = MAX_BYTES) -> str:
    """The picture as the data URI of a JPEG, no wider than asked and no longer than the limit.

    Quality is given up first, then size. Raises ValueError when even a picture of 8 pixels does not fit.
    """
    room = (limit - len(_HEAD)) // 4 * 3
    wide = min(width, image.shape[1])
    while wide >= 8:
        high = max(1, round(image.shape[0] * wide / image.shape[1]))
        small = image if wide == image.shape[1] else cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA)
        for quality in _QUALITIES:
            done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and encoded.size <= room:
                return _HEAD + b2a_base64(encoded.tobytes(), newline=False).decode("ascii")
        wide = wide * 3 // 4
    raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} does not fit a thumbnail of {limit} bytes")
