"""Sends the pictures of events to a broker, from which the collector vision takes them.

Nothing here waits: a picture goes into the MQTT client's own queue, which its thread empties. Where that queue is full,
because the broker is away for long, the picture is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2

from collectors.broker import KEEPALIVE_SECONDS, Broker, Told, make_client, read_broker, refusal, topic_level
from collectors.camera import publish_settings as settings
from collectors.metric import FieldValue
from collectors.report import Report
from collectors.settings import Values
from collectors.vision.snapshot import MAX_PICTURE_BYTES, TOPIC, Snapshot, write

if TYPE_CHECKING:
    from collectors.camera.backends import Frame
    from collectors.camera.detector import Detection, Image
    from collectors.camera.events import Event

#: How long the last pictures may take to leave when the camera is closed.
_LEAVE_SECONDS = 2.0

_QUALITIES = (90, 80, 65, 50, 35)

#: Pictures narrower than this say nothing; one that does not fit so is not sent.
_LEAST_WIDTH = 64


def picture(image: Image, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """The picture as a JPEG of so many bytes at most: quality is given up first, then size.

    Raises ValueError when it does not fit at any size that says something.
    """
    wide = image.shape[1]
    while wide >= _LEAST_WIDTH:
        high = max(1, round(image.shape[0] * wide / image.shape[1]))
        small = image if wide == image.shape[1] else cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA)
        for quality in _QUALITIES:
            done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and encoded.size <= limit:
                return bytes(encoded.tobytes())
        wide = wide * 3 // 4
    raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} does not fit {limit} bytes")


class Publisher:
    """Goes along with the detection, and sends the pictures of events.

    Args:
        broker: where to.
        device: this machine's name, a level of the topic.
        camera: the camera's name.
        origin: the tags ``simulated`` or ``replayed``, where the pictures are.
        at: ``start``, ``end`` or ``both``.
        queue: pictures that may wait.
        report: takes what goes wrong.
    """

    def __init__(
        self, broker: Broker, device: str, camera: str, origin: tuple[str, ...], at: str, queue: int, report: Report
    ) -> None:
        self._broker = broker
        self._topic = TOPIC.format(device=topic_level(device))
        self._camera = camera
        self._origin = origin
        self._kinds = ("start", "end") if at == "both" else (at,)
        self._report = report
        self._told = Told()
        self._waiting = 0
        self._left = threading.Semaphore(0)  # of those that wait, what has left; told by the client's thread
        self._client = make_client(broker, "", self._told)
        self._client.max_queued_messages_set(queue)
        self._client.on_connect = self._connected
        self._client.on_publish = self._published
        self._client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS)
        self._client.loop_start()

    def see(self, frame: Frame, seen: Detection) -> None:
        """Say what the connection has met meanwhile; the picture itself is of no interest before it is an event's."""
        del frame, seen
        self._told.tell(self._report.error)

    def event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Send the picture of an event; the point gets no field of it."""
        if event.kind in self._kinds:
            time_ns = event.start_ns
            if event.kind == "end":
                time_ns += round(event.duration_seconds * 1e9)
            self._send(event.event_id, time_ns, event.picture.colour())
        return {}

    def close(self) -> None:
        """Let the last pictures leave, for a moment, say how many could not, and disconnect."""
        end = time.monotonic() + _LEAVE_SECONDS
        while self._waiting and self._client.is_connected():
            if not self._left.acquire(timeout=max(0.0, end - time.monotonic())):
                break
            self._waiting -= 1
        if self._waiting:
            self._report.error(f"pictures of events that were never sent: {self._waiting}")
        self._client.disconnect()
        self._client.loop_stop()

    def _send(self, event_id: str, time_ns: int, image: Image) -> None:
        from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE

        try:
            message = write(Snapshot(event_id, self._camera, time_ns, picture(image), self._origin))
        except ValueError as error:
            self._report.error(f"the picture of an event is not published: {error}")
            return
        while self._left.acquire(blocking=False):
            self._waiting -= 1
        sent = self._client.publish(self._topic, message, qos=1)
        if sent.rc == MQTT_ERR_QUEUE_SIZE:
            self._report.error(
                f"the picture of an event is dropped: too many wait for the broker {self._broker.place} already"
            )
        else:  # without a connection it waits in the client's queue
            self._waiting += 1

    def _published(self, *_: object) -> None:
        self._left.release()

    def _connected(self, _client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
        if getattr(reason, "is_failure", True):
            self._told.add(refusal(self._broker, reason))


def open_publisher(values: Values, device: str, camera: str, tags: Mapping[str, str], report: Report) -> Publisher:
    """The publisher that the settings ask for. Raises Unavailable for a broker that is named in no usable way."""
    broker = read_broker(
        values[settings.PUBLISH_URL] or "", values[settings.PUBLISH_PASSWORD_FILE], values[settings.PUBLISH_CA_FILE]
    )
    return Publisher(
        broker, device, camera, tuple(tags), values[settings.PUBLISH_AT], values[settings.PUBLISH_QUEUE], report
    )
