"""The collector: images from a source in, detections out, and failed images kept for a retry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.vision import snapshot
from collectors.vision.engines import (
    Detection,
    Engine,
    EngineError,
    InvalidImage,
    Stopped,
    Wait,
    select_detections,
)
from collectors.vision.measurements import CAMERA_DETECTION, VISION
from collectors.vision.retry_queue import RetryQueue
from collectors.vision.settings import Config
from collectors.vision.snapshot import Snapshot, SnapshotError
from collectors.vision.sources import Source, Taken

#: Maximum time to wait for the source between two checks for shutdown.
_POLL_SECONDS = 0.25

#: Delay before an image is retried that could be neither processed nor stored.
_HOLD_SECONDS = 10.0

#: Number of processed messages that are recognised when the broker redelivers them.
_MAX_REMEMBERED = 1000

#: Maximum number of labels, and of cameras, that become series; an endpoint or an unknown client may send any number.
MAX_LABELS, MAX_CAMERAS = 200, 500
_MAX_LABEL_LENGTH, _MAX_DEVICE_LENGTH = 64, 200
OTHER_LABEL = "other"


class VisionCollector:
    """Detects objects in images.

    Args:
        engine: detects the objects in an image.
        source: delivers the images.
        retry_queue: stores images that the engine failed to process; None to process each only once.
        config: what to report, and when.
        report: receives errors that do not end the stream.
        device: this machine's name in topics; images of other machines get a tag ``host``.
        timer: monotonic seconds.
        stopwatch: seconds, to measure processing time.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        retry_queue: RetryQueue | None,
        config: Config,
        report: ErrorReporter,
        *,
        device: str,
        timer: Callable[[], float],
        stopwatch: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._source = source
        self._retry_queue = retry_queue
        self._config = config
        self._report = report
        self._device = device
        self._timer = timer
        self._stopwatch = stopwatch
        self._counters = Counters()
        self._status_series = Series(VISION.name, {"model": engine.model})
        self._processed: dict[bytes, None] = {}
        self._labels: set[str] = set()
        self._cameras: set[tuple[str, str]] = set()
        self._retry_at = self._held_until = timer()
        self._held: Taken | None = None

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """A batch for each image, until the source ends or ``wait`` says to stop.

        An image is acknowledged only when its batch has been taken, and so has been written.
        """
        status_at = self._timer()
        while not wait(0):
            try:
                yield from self._next(wait)
            except Stopped:
                break
            self._source.drain_errors(self._report.error)
            if self._timer() >= status_at:
                status_at = self._timer() + self._config.status_seconds
                yield [self._status()]
            if self._source.ended:
                break
        yield [self._status()]

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _next(self, wait: Wait) -> Iterator[list[Metric]]:
        """The metrics of an image from the source, and of one from the retry queue."""
        due = self._retry_due()
        taken = self._take(0 if due else _POLL_SECONDS, wait)
        if taken is not None:
            metrics = self._process_new(taken, wait)
            yield metrics or []
            if metrics is not None:
                self._source.done(taken)
        if due and self._retry_queue is not None and (name := self._retry_queue.next()) is not None:
            metrics = self._retry(self._retry_queue, name, wait)
            yield metrics or []
            if metrics is not None:
                self._retry_queue.remove(name)

    def _take(self, seconds: float, wait: Wait) -> Taken | None:
        """The next message; a held message blocks the source."""
        if self._held is None:
            return self._source.take(seconds)
        if self._timer() < self._held_until:
            wait(seconds)
            return None
        taken, self._held = self._held, None
        return taken

    def _process_new(self, taken: Taken, wait: Wait) -> list[Metric] | None:
        """The metrics of a message; None if it is held, to be retried before any other."""
        key = sha256(taken.device.encode() + b"\n" + taken.payload).digest()
        if key in self._processed:
            self._counters.repeated += 1
            return []
        try:
            metrics = self._process(taken, wait)
        except EngineError as failure:
            self._fail(failure)
            if self._retry_queue is not None and not self._store(self._retry_queue, taken):
                self._held, self._held_until = taken, self._timer() + _HOLD_SECONDS
                return None
            metrics = []
        self._processed[key] = None
        if len(self._processed) > _MAX_REMEMBERED:
            del self._processed[next(iter(self._processed))]
        return metrics

    def _process(self, taken: Taken, wait: Wait) -> list[Metric]:
        """The metrics of a message; none if it is invalid, which is counted."""
        start = self._stopwatch()
        try:
            image = taken.read(taken.payload)
            tags = self._tags(taken.device, image)
            found = self._detect(image, wait)
        except (SnapshotError, InvalidImage) as error:
            self._counters.refused += 1
            self._report.error(str(error))
            return []
        detections = select_detections(found, self._config.threshold, self._config.labels)
        self._counters.add(empty=not detections, seconds=self._stopwatch() - start)
        return list(self._metrics(image, tags, detections))

    def _detect(self, image: Snapshot, wait: Wait) -> list[Detection]:
        try:
            return self._engine.detect(image.jpeg, wait)
        except (InvalidImage, EngineError, Stopped):
            raise
        except Exception as error:
            # An image that crashes the engine must not be redelivered forever, and block those behind it.
            raise EngineError(f"the engine failed on an image: {type(error).__name__}: {error}") from error

    def _tags(self, device: str, image: Snapshot) -> dict[str, str]:
        """The tags of an image. Raises SnapshotError for an invalid device, and above the maximum of cameras."""
        if len(device) > _MAX_DEVICE_LENGTH or not device.isprintable():
            raise SnapshotError(
                f"a topic has no valid device; it must be printable text of at most {_MAX_DEVICE_LENGTH} characters"
            )
        camera = (device, image.camera)
        if camera not in self._cameras:
            if len(self._cameras) >= MAX_CAMERAS:
                raise SnapshotError(
                    f"images come from more than {MAX_CAMERAS} cameras; an image of another is rejected"
                )
            self._cameras.add(camera)
        # Telegraf adds this machine's name to points without a host.
        host = {"host": device} if device and device != self._device else {}
        return {"camera": image.camera, **dict.fromkeys(image.origin, "true"), **host}

    def _metrics(self, image: Snapshot, tags: dict[str, str], found: list[Detection]) -> Iterator[Metric]:
        """A point per detection; those with one label are a nanosecond apart, since equal times would be one point."""
        last: dict[str, int] = {}
        for each in found:
            label = self._label(each.label)
            number = last[label] = last.get(label, -1) + 1
            fields: dict[str, FieldValue] = {
                "event_id": image.event_id,
                "confidence": round(min(1.0, max(0.0, float(each.confidence))), 4),
            }
            if each.box is not None:
                for name, value in each.box._asdict().items():
                    fields[f"box_{name}_percent"] = round(float(value), 2)
            series = Series(CAMERA_DETECTION.name, {**tags, "label": label, "model": self._engine.model})
            yield Metric(series, fields, image.time_ns + number)

    def _label(self, text: str) -> str:
        label = "".join(each for each in text.strip() if each.isprintable())[:_MAX_LABEL_LENGTH] or OTHER_LABEL
        if label not in self._labels:
            if len(self._labels) >= MAX_LABELS:
                self._report.error(
                    f"the engine returned more than {MAX_LABELS} labels; further ones become {OTHER_LABEL}"
                )
                return OTHER_LABEL
            self._labels.add(label)
        return label

    def _fail(self, failure: EngineError) -> None:
        self._counters.failed += 1
        self._report.error(str(failure))
        self._retry_at = self._timer() + self._config.keep_retry_seconds

    def _store(self, retry_queue: RetryQueue, taken: Taken) -> bool:
        try:
            dropped = retry_queue.add(taken.device.encode() + b"\n" + taken.payload)
        except OSError as error:
            self._report.error(f"an image cannot be stored for a retry: {error.strerror}; see the setting keep_dir")
            return False
        self._count_dropped(dropped, "there is no more room (keep_megabytes)")
        return True

    def _retry_due(self) -> bool:
        return (
            self._retry_queue is not None
            and len(self._retry_queue) > 0
            and self._timer() >= self._retry_at
            and self._engine.available is not False
        )

    def _retry(self, retry_queue: RetryQueue, name: str, wait: Wait) -> list[Metric] | None:
        """The metrics of an image in the retry queue; None if it stays there."""
        try:
            content = retry_queue.read(name)
            if content is None:
                return None
            device, _, payload = content.partition(b"\n")
            return self._process(Taken(payload, device.decode("utf-8", "replace"), snapshot.read), wait)
        except EngineError as failure:
            self._fail(failure)
        except OSError as error:
            self._fail(EngineError(f"a stored image cannot be read: {error.strerror}"))
        return None

    def _count_dropped(self, number: int, reason: str) -> None:
        for _ in range(number):
            self._counters.dropped += 1
            self._report.error(f"a stored image was dropped: {reason}")

    def _status(self) -> Metric:
        fields = self._counters.take()
        if self._retry_queue is not None:
            self._count_dropped(self._retry_queue.expire(), "it has waited too long (keep_days)")
            fields["kept"] = len(self._retry_queue)
            fields["kept_bytes"] = self._retry_queue.bytes
        available = self._engine.available
        if available is not None:
            fields["breaker_open"] = not available
        return Metric(self._status_series, fields)


class Counters:
    """Counts images between two status points."""

    def __init__(self) -> None:
        self._reset()

    def add(self, *, empty: bool, seconds: float) -> None:
        """Count a processed image."""
        self._pictures += 1
        self._empty += empty
        self._seconds += seconds

    def take(self) -> dict[str, FieldValue]:
        """The fields; resets the counters."""
        fields: dict[str, FieldValue] = {
            "pictures": self._pictures,
            "empty": self._empty,
            "refused": self.refused,
            "failed": self.failed,
            "repeated": self.repeated,
            "dropped": self.dropped,
        }
        if self._pictures:
            fields["processing_seconds"] = round(self._seconds / self._pictures, 6)
        self._reset()
        return fields

    def _reset(self) -> None:
        self._pictures = self._empty = 0
        self._seconds = 0.0
        self.refused = self.failed = self.repeated = self.dropped = 0
