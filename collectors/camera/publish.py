"""Publishes the pictures of events to a broker, for the collector vision.

Detection never waits: a thread encodes each picture and puts it into the queue of the MQTT session. If that queue is
full because the broker is away for long, the picture is dropped and counted.
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
from collectors.messaging.broker import Broker, read_broker
from collectors.messaging.session import ErrorQueue, Session, SessionConfig, topic_level
from collectors.vision.snapshot import MAX_PICTURE_BYTES, TOPIC, Snapshot, write

if TYPE_CHECKING:
    from collectors.camera.backends import Backend, Frame
    from collectors.camera.detector import Detection, Image
    from collectors.camera.events import Event

#: When the camera is closed: how long the last pictures may take, and how long the connection.
_DRAIN_SECONDS, _STOP_SECONDS = 2.0, 1.0

#: Pictures that may wait to be encoded, which takes some milliseconds each.
_MAX_JOBS = 3

_QUALITIES = (90, 80, 65, 50, 35)

#: Narrower pictures show nothing of use; one that still does not fit is not sent.
_MIN_WIDTH = 64


def picture(image: Image, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """Encode a picture as a JPEG of at most *limit* bytes, reducing first the quality and then the size.

    Raises ValueError when it does not fit even at the smallest size.
    """
    return jpeg_within(image, limit, _QUALITIES, width=image.shape[1], min_width=_MIN_WIDTH)


class _Job(NamedTuple):
    """A picture to send; ``full_size`` asks for the picture of this moment in full size, if the camera has one."""

    event_id: str
    time_ns: int
    frame: Frame
    full_size: bool


class Publisher:
    """Publishes the pictures of events.

    Args:
        broker: the broker to publish to.
        device: this machine's name, a level of the topic.
        camera: the camera's name.
        origin: ``simulated`` or ``replayed``, if the pictures are.
        at: ``start``, ``end`` or ``both``.
        queue: pictures that may wait for the broker.
        report: receives errors, in calls of the detection thread only.
        still: takes a picture in full size, where detection uses smaller ones; it may block, and raises Unavailable.
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
        self._errors = ErrorQueue()
        self._session = Session(broker, SessionConfig(max_queued=queue), self._errors)
        self._session.start()
        self._jobs: Queue[_Job | None] = Queue(_MAX_JOBS)
        self._encoder = threading.Thread(target=self._encode, name="publish", daemon=True)
        self._encoder.start()

    def on_frame(self, frame: Frame, detection: Detection) -> None:
        """Report the errors of the other threads; the picture itself is not needed."""
        del frame, detection
        self._errors.drain(self._report.error)

    def on_idle(self, seconds: float) -> None:
        """Report the errors of the other threads."""
        del seconds
        self._errors.drain(self._report.error)

    def on_event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Publish the picture of an event; the point gets no fields from it."""
        if event.kind in self._kinds:
            time_ns = event.start_ns
            if event.kind == "end":  # the picture of now shows no motion any more
                time_ns += round(event.duration_seconds * 1e9)
            try:
                self._jobs.put_nowait(_Job(event.event_id, time_ns, event.picture, event.kind == "start"))
            except Full:
                self._report.error("the picture of an event is dropped: those before it are still being encoded")
        return {}

    def close(self) -> None:
        """Wait a moment for the last pictures, report how many were not sent, and disconnect."""
        end = time.monotonic() + _DRAIN_SECONDS
        try:
            self._jobs.put(None, timeout=_DRAIN_SECONDS)
            self._encoder.join(max(0.0, end - time.monotonic()))
        except Full:
            self._errors.add("the pictures of the last events are not sent: one takes too long to encode")
        waiting = self._session.drain(end - time.monotonic())
        if waiting:
            self._errors.add(f"pictures of events that were never sent: {waiting}")
        self._session.stop(_STOP_SECONDS)
        self._errors.drain(self._report.error)

    # --- the encoder's thread ---

    def _encode(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._send(job, self._image(job))
            except (ValueError, cv2.error) as error:
                self._errors.add(f"the picture of an event is not published: {error}")
            self._jobs.task_done()

    def _image(self, job: _Job) -> Image:
        if self._still is not None and job.full_size:
            try:
                return self._still()
            except Unavailable as error:
                self._errors.add(f"the picture of an event is published in small: {error}")
        return job.frame.colour()

    def _send(self, job: _Job, image: Image) -> None:
        message = write(Snapshot(job.event_id, self._camera, job.time_ns, picture(image), self._origin))
        if not self._session.publish(self._topic, message):
            self._errors.add(
                f"the picture of an event is dropped: too many wait for the broker {self._broker.place} already"
            )


def open_publisher(values: Values, device: str, backend: Backend, report: ErrorReporter) -> Publisher:
    """The publisher of the settings. Raises Unavailable when the broker's URL or files cannot be used."""
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
