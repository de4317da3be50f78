"""The message with a picture: reading it back, and the sentences for invalid ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.vision.snapshot import MAX_MESSAGE_BYTES, MAX_PICTURE_BYTES, Snapshot, SnapshotError, read, write
from tests.unit import vision_support as support

PICTURE = support.jpeg()
SNAPSHOT = Snapshot("20231114T221320.123456Z-hall", "Hall, left", support.TIME_NS, PICTURE, ("simulated",))


def head(width: int, height: int) -> bytes:
    """A JPEG that says it is of this size."""
    sizes = height.to_bytes(2) + width.to_bytes(2)
    scan = b"\xff\xda\x00\x02"
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + sizes + b"\x03" + bytes(9) + scan + b"\xff\xd9"


def test_snapshot_survives_a_round_trip() -> None:
    assert read(write(SNAPSHOT)) == SNAPSHOT


def test_unknown_keys_are_ignored() -> None:
    assert read(support.message(lens="wide", nested={"a": [1]})).camera == "hall"


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"", "a message is not JSON"),
        (b"\xff\xfe\x00", "a message is not JSON"),
        (b"[" * 100_000, "a message is not JSON"),
        (b"[1]", "a message is JSON, but not an object"),
        (b"null", "a message is JSON, but not an object"),
        (support.message(event_id=...), "event_id is not printable text"),
        (support.message(event_id=7), "event_id is not printable text"),
        (support.message(event_id=""), "event_id is not printable text"),
        (support.message(camera=["hall"]), "camera is not printable text"),
        (support.message(camera="a\nb"), "camera is not printable text"),
        (support.message(camera="x" * 201), "camera is not printable text of 1 to 200 characters"),
        (support.message(time_ns="1"), "time_ns is not a time in nanoseconds"),
        (support.message(time_ns=1.5e18), "time_ns is not a time in nanoseconds"),
        (support.message(time_ns=True), "time_ns is not a time in nanoseconds"),
        (support.message(time_ns=-1), "time_ns is not a time in nanoseconds"),
        (support.message(time_ns=2**63), "time_ns is not a time in nanoseconds"),
        (support.message(picture=b""), "an image is not a JPEG"),
        (support.message().replace(b'"image"', b'"imagine"'), "a message has no image"),
        (support.message().replace(b'"/9j', b'"/9!'), "image is not base64"),
        (support.message(picture=b"GIF89a" + bytes(200)), "an image is not a JPEG"),
        (support.message(picture=PICTURE[: len(PICTURE) // 2]), "an image is truncated"),
        (support.message(picture=head(65535, 65535)), "an image of 65535x65535 is above 16777216 pixels"),
        (support.message(picture=head(0, 480)), "an image is not a JPEG"),
        (support.message(picture=PICTURE + bytes(MAX_PICTURE_BYTES)), "an image of 205[0-9]* bytes is above 204800"),
        (bytes(MAX_MESSAGE_BYTES + 1), f"a message of {MAX_MESSAGE_BYTES + 1} bytes is above {MAX_MESSAGE_BYTES}"),
    ],
)
def test_invalid_snapshot_is_rejected_with_the_reason(message: bytes, sentence: str) -> None:
    with pytest.raises(SnapshotError, match=sentence):
        read(message)


def test_largest_image_fits_in_a_message() -> None:
    full = PICTURE + bytes(MAX_PICTURE_BYTES - len(PICTURE))
    assert len(read(write(SNAPSHOT._replace(jpeg=full))).jpeg) == MAX_PICTURE_BYTES
    with pytest.raises(ValueError, match="is above 204800"):
        write(SNAPSHOT._replace(jpeg=full + b"\0"))


def test_origin_is_only_set_by_true() -> None:
    assert read(support.message(simulated=True, replayed="true")).origin == ("simulated",)


def outcome(message: bytes) -> str:
    """The camera of a valid message, or the sentence that rejects it."""
    try:
        return read(message).camera
    except SnapshotError as refused:
        return str(refused)


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected_or_read(garbage: bytes) -> None:
    for message in (garbage, support.message(picture=b"\xff\xd8" + garbage + b"\xff\xd9")):
        assert outcome(message).startswith(("hall", "a ", "an "))


@given(
    st.dictionaries(st.sampled_from(["event_id", "camera", "time_ns", "image"]), st.none() | st.integers() | st.text())
)
def test_any_types_are_rejected_or_read(changed: dict[str, Any]) -> None:
    said = outcome(support.message(**changed))
    assert said.startswith(("a ", "an ")) or said == changed.get("camera", "hall")
