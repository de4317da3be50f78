"""The message that carries an image from the camera to the vision collector.

A JSON object: ``event_id``, ``camera``, ``time_ns``, ``image`` (a JPEG in base64), and ``simulated`` or ``replayed`` if
true. Other keys are ignored, so that a newer camera can add some.
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any, NamedTuple

from collectors.core.jpeg import jpeg_size
from collectors.core.line_protocol import MAX_TIME_NS

#: Maximum size of an image, and of a message with the image in base64, in bytes.
MAX_PICTURE_BYTES = 200 * 1024
MAX_MESSAGE_BYTES = MAX_PICTURE_BYTES * 4 // 3 + 4096

#: Maximum length of an event id or a camera name.
_MAX_NAME = 200

#: The topic that a camera publishes to, and the default topic of the vision collector.
TOPIC = "sensetig/{device}/camera/snapshot"
ALL_TOPICS = TOPIC.format(device="+")


class SnapshotError(ValueError):
    """A message is not a valid snapshot; the message of the exception says why."""


class Snapshot(NamedTuple):
    """An image of an event.

    Args:
        event_id: of the event; joins detections to it.
        camera: its name.
        time_ns: time of the event's point.
        jpeg: the image.
        origin: ``simulated`` or ``replayed``, if the image is.
    """

    event_id: str
    camera: str
    time_ns: int
    jpeg: bytes
    origin: tuple[str, ...] = ()


def write(snapshot: Snapshot) -> bytes:
    """The message of a snapshot. Raises ValueError for an image above :data:`MAX_PICTURE_BYTES`."""
    if len(snapshot.jpeg) > MAX_PICTURE_BYTES:
        raise ValueError(f"an image of {len(snapshot.jpeg)} bytes is above {MAX_PICTURE_BYTES}")
    document: dict[str, Any] = {
        "event_id": snapshot.event_id,
        "camera": snapshot.camera,
        "time_ns": snapshot.time_ns,
        **dict.fromkeys(snapshot.origin, True),
        "image": b2a_base64(snapshot.jpeg, newline=False).decode("ascii"),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read(message: bytes) -> Snapshot:
    """The snapshot in a message. Raises SnapshotError if it is invalid."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise SnapshotError(f"a message of {len(message)} bytes is above {MAX_MESSAGE_BYTES}")
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        raise SnapshotError("a message is not JSON") from None
    if not isinstance(document, dict):
        raise SnapshotError("a message is JSON, but not an object")
    event_id, camera = (_name(document, key) for key in ("event_id", "camera"))
    time_ns = document.get("time_ns")
    if type(time_ns) is not int or not 0 <= time_ns <= MAX_TIME_NS:
        raise SnapshotError("a message's time_ns is not a time in nanoseconds since 1970")
    image = document.get("image")
    if not isinstance(image, str):
        raise SnapshotError("a message has no image")
    try:
        jpeg = a2b_base64(image.encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise SnapshotError("a message's image is not base64") from None
    if len(jpeg) > MAX_PICTURE_BYTES:
        raise SnapshotError(f"an image of {len(jpeg)} bytes is above {MAX_PICTURE_BYTES}")
    try:
        jpeg_size(jpeg)
    except ValueError as error:
        raise SnapshotError(str(error)) from None
    origin = tuple(tag for tag in ("simulated", "replayed") if document.get(tag) is True)
    return Snapshot(event_id, camera, time_ns, jpeg, origin)


def _name(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or not value.isprintable():
        raise SnapshotError(f"a message's {key} is not printable text of 1 to {_MAX_NAME} characters")
    return value
