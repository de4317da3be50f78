"""Images from outside: a safe size is read, and everything that a decoder would choke on is refused before it."""

from __future__ import annotations

import time
from binascii import b2a_base64

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.core.jpeg import (
    MAX_PIXELS,
    MAX_SCANS,
    MAX_THUMBNAIL_LENGTH,
    THUMBNAIL_PREFIX,
    check_thumbnail,
    is_thumbnail,
    jpeg_size,
)


def encoded(width: int, height: int, *, progressive: bool = False, grey: bool = False) -> bytes:
    shape = (height, width) if grey else (height, width, 3)
    done, data = cv2.imencode(".jpg", np.zeros(shape, np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])
    assert done
    return bytes(data.tobytes())


def scan_bomb(scans: int) -> bytes:
    """A progressive image whose last scan, a few bytes long, is repeated."""
    image = encoded(64, 64, progressive=True)
    last = image[image.rindex(b"\xff\xda") : -2]
    return image[:-2] + last * scans + b"\xff\xd9"


def uri(image: bytes) -> str:
    return THUMBNAIL_PREFIX + b2a_base64(image, newline=False).decode()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_size_of_real_images_is_read(progressive: bool, grey: bool) -> None:
    assert jpeg_size(encoded(320, 200, progressive=progressive, grey=grey)) == (320, 200)


def test_padding_before_a_marker_and_zeros_after_the_end_are_skipped() -> None:
    image = encoded(16, 8)
    assert jpeg_size(image[:2] + b"\xff" + image[2:] + bytes(9)) == (16, 8)


def test_image_with_many_scans_is_refused_before_it_is_decoded() -> None:
    jpeg_size(scan_bomb(10))
    with pytest.raises(ValueError, match=f"more than {MAX_SCANS} scans"):
        jpeg_size(scan_bomb(MAX_SCANS))


def _with_size(width: int, height: int) -> bytes:
    image = bytearray(encoded(16, 8))
    at = image.index(b"\xff\xc0") + 5
    image[at : at + 4] = height.to_bytes(2) + width.to_bytes(2)
    return bytes(image)


def _two_frames() -> bytes:
    """An image with a small frame header before the true one."""
    image = encoded(4096, 2048)
    at = image.index(b"\xff\xc0")
    header = bytearray(image[at : at + 19])
    header[5:9] = b"\0\x08\0\x08"
    return image[:at] + bytes(header) + image[at:]


def _arithmetic() -> bytes:
    return encoded(16, 8).replace(b"\xff\xc0", b"\xff\xc9", 1)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "is not a JPEG"),
        (b"GIF89a" + bytes(99), "is not a JPEG"),
        (b"<svg/>", "is not a JPEG"),
        (b"\xff\xd8\xff\xd9", "is not a JPEG"),
        (b"\xff\xd8" + b"\xff\xe1\xff\xff", "is truncated"),
        (encoded(64, 64)[:-100], "is truncated"),
        (encoded(16, 8) + b"tail", "is truncated"),
        (_with_size(65535, 65535), f"65535x65535 is above {MAX_PIXELS} pixels"),
        (_with_size(0, 8), "is not a JPEG"),
        (_two_frames(), "is not a JPEG"),
        (_arithmetic(), "is not a JPEG"),
    ],
)
def test_unsafe_images_are_refused_with_the_reason(image: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        jpeg_size(image)


def test_a_frame_header_inside_an_application_segment_is_not_the_image_s() -> None:
    image = encoded(4096, 2048)
    fake = b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00\x00"
    assert jpeg_size(image[:2] + b"\xff\xe1\x00\x10" + fake + image[2:]) == (4096, 2048)


def outcome(image: bytes) -> str:
    """The size that was read, or the reason of the refusal."""
    try:
        return str(jpeg_size(image))
    except ValueError as refused:
        return str(refused)


@given(st.binary(max_size=300), st.integers(0, 700))
def test_any_bytes_are_refused_or_measured(garbage: bytes, at: int) -> None:
    image = encoded(16, 8)
    for each in (garbage, b"\xff\xd8" + garbage + b"\xff\xd9", image[:at] + garbage + image[at:]):
        assert outcome(each).startswith(("(", "an image "))


@pytest.mark.parametrize("unit", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xe1\x00\x02", b"\x00"])
def test_a_megabyte_of_any_shape_is_checked_in_linear_time(unit: bytes) -> None:
    head = encoded(16, 8)[:-2]
    taken = []
    for _ in range(3):
        begin = time.process_time()
        with pytest.raises(ValueError, match="an image "):
            jpeg_size(head + unit * ((1 << 20) // len(unit)))
        taken.append(time.process_time() - begin)
    assert min(taken) < 2


def test_a_small_jpeg_is_a_thumbnail() -> None:
    check_thumbnail(uri(encoded(240, 180)))
    assert is_thumbnail(uri(encoded(240, 180)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        "https://example.org/x.jpg",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/jpeg;base64,",
        "data:image/jpeg;base64,/9j/AAAA",
        "data:image/jpeg;base64,PHN2Zy8+",
        uri(encoded(16, 8)) + "\n",
        uri(encoded(16, 8)) + '" onerror="alert(1)',
        " " + uri(encoded(16, 8)),
        uri(encoded(16, 8)).replace("data:", "DATA:"),
        uri(encoded(2048, 1024)),
        uri(scan_bomb(MAX_SCANS)),
        THUMBNAIL_PREFIX + "A" * MAX_THUMBNAIL_LENGTH,
        uri(encoded(16, 8)) + "é",
    ],
)
def test_anything_else_is_no_thumbnail(value: object) -> None:
    assert not is_thumbnail(value)
