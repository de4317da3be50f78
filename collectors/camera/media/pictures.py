"""Pictures as bytes: as a JPEG file, and packed for the memory of what came before the motion."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from collectors.camera.detector import Image

#: Of the JPEG files that are kept.
_QUALITY = 90
#: Of pictures that only wait in memory: what H.264 loses afterwards is more.
_PACKED_QUALITY = 85
_COLOURLESS = 128


class Packed(NamedTuple):
    """A picture that waits to be encoded.

    Args:
        data: planes of brightness and colour (I420), as H.264 wants them; or the same picture as a JPEG.
        width, height: in pixels, both even.
        size: bytes.
    """

    data: Image
    width: int
    height: int
    size: int


def jpeg(image: Image, quality: int = _QUALITY) -> bytes:
    """The picture as a JPEG file."""
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be encoded as a JPEG")
    return encoded.tobytes()


def pack(image: Image, *, small: bool) -> Packed:
    """The picture for waiting; *small* takes a tenth of the memory, and five times the time in all.

    An odd last row or column is left out: H.264 halves the planes of colour.
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
    return Packed(data, width, height, data.nbytes)


def unpack(packed: Packed) -> Image:
    """The picture's planes, one below the other."""
    if packed.data.ndim == 2:
        return packed.data
    image = cv2.imdecode(packed.data, cv2.IMREAD_COLOR)
    assert image is not None, "it was encoded here"
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
