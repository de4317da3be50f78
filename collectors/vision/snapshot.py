"""The message that carries a picture from the camera to the classifier, written and read.

A JSON object: ``event_id``, ``camera``, ``time_ns``, ``image`` (a JPEG in base64), and ``simulated`` or ``replayed``
where it is true. What else is in it is passed over, so that a newer camera can say more.
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any, NamedTuple

from collectors.core.line_protocol import MAX_TIME_NS
from collectors.vision.jpeg import check

#: Bytes of a picture at most, and of a message with its base64 and all else.
MAX_PICTURE_BYTES = 200 * 1024
MAX_MESSAGE_BYTES = MAX_PICTURE_BYTES * 4 // 3 + 4096

#: Signs of an event's id or a camera's name at most.
_MAX_NAME = 200

#: The topic that a camera publishes to, and the one that vision reads by default.
TOPIC = "sensetig/{device}/camera/snapshot"
ALL_TOPICS = TOPIC.format(device="+")


class Refused(ValueError):
    """A message is not a snapshot that can be looked at; the sentence says why."""


class Snapshot(NamedTuple):
    """A picture of an event.

    Args:
        event_id: the event's, by which what is found in it is joined to it.
        camera: its name.
        time_ns: the time of the event's point.
        jpeg: the picture.
        origin: the tags ``simulated`` or ``replayed``, where the picture is.
    """

    event_id: str
    camera: str
    time_ns: int
    jpeg: bytes
    origin: tuple[str, ...] = ()


def write(snapshot: Snapshot) -> bytes:
    """The message of a snapshot. Raises ValueError for a picture above :data:`MAX_PICTURE_BYTES`."""
    if len(snapshot.jpeg) > MAX_PICTURE_BYTES:
        raise ValueError(f"a picture of {len(snapshot.jpeg)} bytes is above {MAX_PICTURE_BYTES}")
    document: dict[str, Any] = {
        "event_id": snapshot.event_id,
        "camera": snapshot.camera,
        "time_ns": snapshot.time_ns,
        **dict.fromkeys(snapshot.origin, True),
        "image": b2a_base64(snapshot.jpeg, newline=False).decode("ascii"),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read(message: bytes) -> Snapshot:
    """The snapshot in a message. Raises Refused with a sentence for what is none."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise Refused(f"a message of {len(message)} bytes is above {MAX_MESSAGE_BYTES}")
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        raise Refused("a message is not JSON") from None
    if not isinstance(document, dict):
        raise Refused("a message is JSON, but no object")
    event_id, camera = (_name(document, key) for key in ("event_id", "camera"))
    time_ns = document.get("time_ns")
    if type(time_ns) is not int or not 0 <= time_ns <= MAX_TIME_NS:
        raise Refused("a message's time_ns is no time in nanoseconds since 1970")
    image = document.get("image")
    if not isinstance(image, str):
        raise Refused("a message has no image")
    try:
        jpeg = a2b_base64(image.encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise Refused("a message's image is not base64") from None
    if len(jpeg) > MAX_PICTURE_BYTES:
        raise Refused(f"a picture of {len(jpeg)} bytes is above {MAX_PICTURE_BYTES}")
    try:
        check(jpeg)
    except ValueError as error:
        raise Refused(str(error)) from None
    origin = tuple(tag for tag in ("simulated", "replayed") if document.get(tag) is True)
    return Snapshot(event_id, camera, time_ns, jpeg, origin)


def _name(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or not value.isprintable():
        raise Refused(f"a message's {key} is no printable text of 1 to {_MAX_NAME} signs")
    return value
