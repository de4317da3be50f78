"""Thumbnails are JPEGs that fit a string field."""

from __future__ import annotations

from binascii import a2b_base64

import cv2
import numpy as np
import pytest

from collectors.camera.backends.simulated import Scene
from collectors.camera.detector import Image
from collectors.camera.encoding import MAX_THUMBNAIL_BYTES, thumbnail_uri
from collectors.core.jpeg import check_thumbnail


def decoded(uri: str) -> Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(a2b_base64(body), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_thumbnail_is_no_wider_than_configured() -> None:
    picture = Scene(1).draw(7.0)
    small = decoded(thumbnail_uri(picture, 240))
    assert small.shape == (180, 240, 3)
    assert np.abs(small.astype(int) - cv2.resize(picture, (240, 180))).mean() < 5


def test_small_image_is_not_enlarged() -> None:
    assert decoded(thumbnail_uri(noise(30, 40), 240)).shape == (30, 40, 3)


def test_grey_image_has_a_thumbnail() -> None:
    assert decoded(thumbnail_uri(np.full((480, 640), 90, np.uint8), 160)).shape == (120, 160, 3)


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (2000, 100), (1, 4000)])
def test_pure_noise_fits(size: tuple[int, int]) -> None:
    uri = thumbnail_uri(noise(*size), 640)
    assert len(uri) <= MAX_THUMBNAIL_BYTES
    assert decoded(uri).size > 0


def test_quality_is_reduced_before_size() -> None:
    picture = cv2.resize(noise(60, 80), (240, 180), interpolation=cv2.INTER_LINEAR)
    assert decoded(thumbnail_uri(np.asarray(picture, np.uint8), 240)).shape == (180, 240, 3)


def test_limit_that_no_size_fits_is_an_error_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="an image of 320x240 does not fit in 57 bytes as a JPEG"):
        thumbnail_uri(noise(240, 320), 240, max_bytes=100)


@pytest.mark.parametrize("shape", [(480, 640), (480, 640, 3), (8, 8, 3), (1080, 1920, 3)])
def test_every_thumbnail_passes_the_check_that_the_dashboards_rely_on(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    check_thumbnail(thumbnail_uri(picture, 320))
