"""Sends the pictures of events to a broker, from which the collector vision takes them.

The detection never waits: a thread encodes, and puts the picture into the MQTT client's own queue, which the client's
thread empties. Where that queue is full, because the broker is away for long, the picture is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from queue import Full, Queue
from typing import TYPE_CHECKING, NamedTuple

import cv2

from collectors.camera import settings
from collectors.camera.encoding import jpeg_within
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue
from collectors.core.settings import Values
from collectors.messaging.session import (
    KEEPALIVE_SECONDS,
    Broker,
    ErrorQueue,
    make_client,
    read_broker,
    refusal,
    topic_level,
)
from collectors.vision.snapshot import MAX_PICTURE_BYTES, TOPIC, Snapshot, write

if TYPE_CHECKING:
    from collectors.camera.backends import Backend, Frame
    from collectors.camera.detector import Detection, Image
    from collectors.camera.events import Event

#: How long the last pictures may take to leave when the camera is closed.
_LEAVE_SECONDS = 2.0

#: Pictures that may wait to be encoded, which takes some milliseconds each.
_JOBS = 3

_QUALITIES = (90, 80, 65, 50, 35)

#: Pictures narrower than this say nothing; one that does not fit so is not sent.
_LEAST_WIDTH = 64


def picture(image: Image, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """The picture as a JPEG of so many bytes at most: quality is given up first, then size.

    Raises ValueError when it does not fit at any size that says something.
    """
    return jpeg_within(image, limit, _QUALITIES, width=image.shape[1], min_width=_LEAST_WIDTH)


class _Job(NamedTuple):
    """A picture that is to be sent; in full size where there is one, and this is the moment for it."""

    event_id: str
    time_ns: int
    frame: Frame
    full_size: bool


class Publisher:
    """Goes along with the detection, and sends the pictures of events.

    Args:
        broker: where to.
        device: this machine's name, a level of the topic.
        camera: the camera's name.
        origin: the tags ``simulated`` or ``replayed``, where the pictures are.
        at: ``start``, ``end`` or ``both``.
        queue: pictures that may wait.
        report: takes what goes wrong; it is told only from the detection's own calls.
        still: gives the picture of this moment in full size, where those for the detection are small; it may wait,
            and raises Unavailable.
    """

    def __init__(
        self,
        broker: Broker,
        device: str,
        camera: str,
        origin: tuple[str, ...],
        at: str,
        queue: int,
        report: ErrorReporter,
        still: Callable[[], Image] | None = None,
    ) -> None:
        self._broker = broker
        self._topic = TOPIC.format(device=topic_level(device))
        self._camera = camera
        self._origin = origin
        self._kinds = ("start", "end") if at == "both" else (at,)
        self._report = report
        self._still = still
        self._told = ErrorQueue()
        self._waiting = 0
        self._left = threading.Semaphore(0)  # of those that wait, what has left; told by the client's thread
        self._client = make_client(broker, "", self._told)
        self._client.max_queued_messages_set(queue)
        self._client.on_connect = self._connected
        self._client.on_publish = self._published
        self._client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS)
        self._client.loop_start()
        self._jobs: Queue[_Job | None] = Queue(_JOBS)
        self._encoder = threading.Thread(target=self._encode, name="publish", daemon=True)
        self._encoder.start()

    def on_frame(self, frame: Frame, detection: Detection) -> None:
        """Say what the threads have met meanwhile; the picture itself is of no interest before it is an event's."""
        del frame, detection
        self._told.tell(self._report.error)

    def on_event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Send the picture of an event; the point gets no field of it."""
        if event.kind in self._kinds:
            time_ns = event.start_ns
            if event.kind == "end":  # nothing moves any more, so this moment is of no interest
                time_ns += round(event.duration_seconds * 1e9)
            try:
                self._jobs.put_nowait(_Job(event.event_id, time_ns, event.picture, event.kind == "start"))
            except Full:
                self._report.error("the picture of an event is dropped: those before it are still being encoded")
        return {}

    def close(self) -> None:
        """Let the last pictures leave, for a moment, say how many could not, and disconnect."""
        end = time.monotonic() + _LEAVE_SECONDS
        try:
            self._jobs.put(None, timeout=_LEAVE_SECONDS)
            self._encoder.join(max(0.0, end - time.monotonic()))
        except Full:
            self._told.add("the pictures of the last events are not sent: one takes too long to encode")
        while self._waiting and self._client.is_connected():
            if not self._left.acquire(timeout=max(0.0, end - time.monotonic())):
                break
            self._waiting -= 1
        if self._waiting:
            self._told.add(f"pictures of events that were never sent: {self._waiting}")
        self._client.disconnect()
        self._client.loop_stop()
        self._told.tell(self._report.error)

    # --- the encoder's thread ---

    def _encode(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._send(job, self._image(job))
            except (ValueError, cv2.error) as error:
                self._told.add(f"the picture of an event is not published: {error}")
            self._jobs.task_done()

    def _image(self, job: _Job) -> Image:
        if self._still is not None and job.full_size:
            try:
                return self._still()
            except Unavailable as error:
                self._told.add(f"the picture of an event is published in small: {error}")
        return job.frame.colour()

    def _send(self, job: _Job, image: Image) -> None:
        from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE

        message = write(Snapshot(job.event_id, self._camera, job.time_ns, picture(image), self._origin))
        while self._left.acquire(blocking=False):
            self._waiting -= 1
        sent = self._client.publish(self._topic, message, qos=1)
        if sent.rc == MQTT_ERR_QUEUE_SIZE:
            self._told.add(
                f"the picture of an event is dropped: too many wait for the broker {self._broker.place} already"
            )
        else:  # without a connection it waits in the client's queue
            self._waiting += 1

    # --- the client's thread ---

    def _published(self, *_: object) -> None:
        self._left.release()

    def _connected(self, _client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
        if getattr(reason, "is_failure", True):
            self._told.add(refusal(self._broker, reason))


def open_publisher(values: Values, device: str, backend: Backend, report: ErrorReporter) -> Publisher:
    """The publisher that the settings ask for. Raises Unavailable for a broker that is named in no usable way."""
    from collectors.camera.backends import SupportsStills

    broker = read_broker(
        values[settings.PUBLISH_URL] or "",
        values[settings.PUBLISH_PASSWORD_FILE],
        values[settings.PUBLISH_CA_FILE],
        password_setting=settings.PUBLISH_PASSWORD_FILE.name,
    )
    return Publisher(
        broker,
        device,
        backend.name,
        tuple(backend.tags),
        values[settings.PUBLISH_AT],
        values[settings.PUBLISH_QUEUE],
        report,
        backend.still if isinstance(backend, SupportsStills) else None,
    )
