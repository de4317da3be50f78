"""The collector: pictures from a source in, detections out, and what could not be looked at kept for later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.vision import snapshot
from collectors.vision.engines import BadPicture, Detection, Engine, Failed, Stopping, Wait, chosen
from collectors.vision.measurements import CAMERA_DETECTION, VISION
from collectors.vision.retry_queue import RetryQueue
from collectors.vision.snapshot import Refused, Snapshot
from collectors.vision.sources import Source, Taken

#: How long the source is waited for at a time, and so how late it is seen that it is time to stop.
_LISTEN_SECONDS = 0.25

#: How long after a picture could be neither looked at nor kept it is tried anew.
_HELD_SECONDS = 10.0

#: Messages that are known again when the broker hands them out once more.
_REMEMBERED = 1000

#: Labels, and cameras, that become series; an endpoint or a stranger may send any number.
MAX_LABELS, MAX_CAMERAS = 200, 500
_MAX_LABEL_SIGNS, _MAX_DEVICE_SIGNS = 64, 200
OTHER_LABEL = "other"


class Plan(NamedTuple):
    """What is done with the pictures. Units are in the names; the settings say what each means."""

    threshold: float = 0.5
    only: frozenset[str] = frozenset()
    status_seconds: float = 10.0
    keep_retry_seconds: float = 60.0


class Vision:
    """Looks at pictures.

    Args:
        engine: finds what is in a picture.
        source: gives the pictures.
        kept: where those wait that the engine could not look at; None where each has its one chance.
        plan: what is done with them.
        report: takes what goes wrong without ending the stream.
        device: this machine, as topics have it; pictures of another get that as their host.
        timer: monotonic seconds.
        stopwatch: seconds, for the time that a picture takes.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        kept: RetryQueue | None,
        plan: Plan,
        report: ErrorReporter,
        *,
        device: str,
        timer: Callable[[], float],
        stopwatch: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._source = source
        self._kept = kept
        self._plan = plan
        self._report = report
        self._device = device
        self._timer = timer
        self._stopwatch = stopwatch
        self._counts = Counts()
        self._status_series = Series(VISION.name, {"model": engine.model})
        self._dealt_with: dict[bytes, None] = {}
        self._labels: set[str] = set()
        self._cameras: set[tuple[str, str]] = set()
        self._try_kept_at = self._held_until = timer()
        self._held: Taken | None = None

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """A batch for each picture, until the source ends or it is time to stop.

        A picture is let go of only when its batch has been taken, and so has been written.
        """
        status_at = self._timer()
        while not wait(0):
            try:
                yield from self._next(wait)
            except Stopping:
                break
            self._source.drain_errors(self._report.error)
            if self._timer() >= status_at:
                status_at = self._timer() + self._plan.status_seconds
                yield [self._status()]
            if self._source.ended:
                break
        yield [self._status()]

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def _next(self, wait: Wait) -> Iterator[list[Metric]]:
        """One picture of the source, and one of those that were kept."""
        due = self._kept_is_due()
        taken = self._take(0 if due else _LISTEN_SECONDS, wait)
        if taken is not None:
            metrics = self._deal_with(taken, wait)
            yield metrics or []
            if metrics is not None:
                self._source.done(taken)
        if due and self._kept is not None and (name := self._kept.next()) is not None:
            metrics = self._again(self._kept, name, wait)
            yield metrics or []
            if metrics is not None:
                self._kept.remove(name)

    def _take(self, seconds: float, wait: Wait) -> Taken | None:
        """The next of the source, which is held up by one that can be neither looked at nor kept."""
        if self._held is None:
            return self._source.take(seconds)
        if self._timer() < self._held_until:
            wait(seconds)
            return None
        taken, self._held = self._held, None
        return taken

    def _deal_with(self, taken: Taken, wait: Wait) -> list[Metric] | None:
        """The points of what was taken; None when it has to be tried again before anything else is taken."""
        key = sha256(taken.device.encode() + b"\n" + taken.payload).digest()
        if key in self._dealt_with:
            self._counts.repeated += 1
            return []
        try:
            metrics = self._look(taken, wait)
        except Failed as failure:
            self._fail(failure)
            if self._kept is not None and not self._keep(self._kept, taken):
                self._held, self._held_until = taken, self._timer() + _HELD_SECONDS
                return None
            metrics = []
        self._dealt_with[key] = None
        if len(self._dealt_with) > _REMEMBERED:
            del self._dealt_with[next(iter(self._dealt_with))]
        return metrics

    def _look(self, taken: Taken, wait: Wait) -> list[Metric]:
        """The points of one picture; none for what is no picture, which is counted."""
        start = self._stopwatch()
        try:
            picture = taken.read(taken.payload)
            series = self._host(taken.device, picture)
            found = self._ask(picture, wait)
        except (Refused, BadPicture) as error:
            self._counts.refused += 1
            self._report.error(str(error))
            return []
        counting = chosen(found, self._plan.threshold, self._plan.only)
        self._counts.add(empty=not counting, spent=self._stopwatch() - start)
        return list(self._points(picture, series, counting))

    def _ask(self, picture: Snapshot, wait: Wait) -> list[Detection]:
        try:
            return self._engine.look(picture.jpeg, wait)
        except (BadPicture, Failed, Stopping):
            raise
        except Exception as error:
            # One picture that an engine stumbles over must not be handed out again and again, with all behind it.
            raise Failed(f"the engine stumbles over a picture: {type(error).__name__}: {error}") from error

    def _host(self, device: str, picture: Snapshot) -> dict[str, str]:
        """The tags that say whose picture it is. Raises Refused for a strange device, and above a number of cameras."""
        if len(device) > _MAX_DEVICE_SIGNS or not device.isprintable():
            raise Refused(f"a topic names no device in printable text of at most {_MAX_DEVICE_SIGNS} signs")
        camera = (device, picture.camera)
        if camera not in self._cameras:
            if len(self._cameras) >= MAX_CAMERAS:
                raise Refused(f"pictures come from more than {MAX_CAMERAS} cameras; one of another is refused")
            self._cameras.add(camera)
        # Telegraf adds this machine's name where there is none.
        elsewhere = {"host": device} if device and device != self._device else {}
        return {"camera": picture.camera, **dict.fromkeys(picture.origin, "true"), **elsewhere}

    def _points(self, picture: Snapshot, tags: dict[str, str], found: list[Detection]) -> Iterator[Metric]:
        """A point for each, those of one label a nanosecond apart: at the same time they would be one point."""
        before: dict[str, int] = {}
        for each in found:
            label = self._label(each.label)
            number = before[label] = before.get(label, -1) + 1
            fields: dict[str, FieldValue] = {
                "event_id": picture.event_id,
                "confidence": round(min(1.0, max(0.0, float(each.confidence))), 4),
            }
            if each.box is not None:
                for name, value in each.box._asdict().items():
                    fields[f"box_{name}_percent"] = round(float(value), 2)
            series = Series(CAMERA_DETECTION.name, {**tags, "label": label, "model": self._engine.model})
            yield Metric(series, fields, picture.time_ns + number)

    def _label(self, text: str) -> str:
        label = "".join(sign for sign in text.strip() if sign.isprintable())[:_MAX_LABEL_SIGNS] or OTHER_LABEL
        if label not in self._labels:
            if len(self._labels) >= MAX_LABELS:
                self._report.error(f"the engine tells more than {MAX_LABELS} labels; others are called {OTHER_LABEL}")
                return OTHER_LABEL
            self._labels.add(label)
        return label

    def _fail(self, failure: Failed) -> None:
        self._counts.failed += 1
        self._report.error(str(failure))
        self._try_kept_at = self._timer() + self._plan.keep_retry_seconds

    def _keep(self, kept: RetryQueue, taken: Taken) -> bool:
        try:
            dropped = kept.add(taken.device.encode() + b"\n" + taken.payload)
        except OSError as error:
            self._report.error(f"a picture cannot be kept for later: {error.strerror}; see the setting keep_dir")
            return False
        self._drop(dropped, "there is no more room (keep_megabytes)")
        return True

    def _kept_is_due(self) -> bool:
        return (
            self._kept is not None
            and len(self._kept) > 0
            and self._timer() >= self._try_kept_at
            and self._engine.available is not False
        )

    def _again(self, kept: RetryQueue, name: str, wait: Wait) -> list[Metric] | None:
        """The points of one that was kept; None when it stays."""
        try:
            content = kept.read(name)
            if content is None:
                return None
            device, _, payload = content.partition(b"\n")
            return self._look(Taken(payload, device.decode("utf-8", "replace"), snapshot.read), wait)
        except Failed as failure:
            self._fail(failure)
        except OSError as error:
            self._fail(Failed(f"a kept picture cannot be read: {error.strerror}"))
        return None

    def _drop(self, number: int, reason: str) -> None:
        for _ in range(number):
            self._counts.dropped += 1
            self._report.error(f"a kept picture is thrown away: {reason}")

    def _status(self) -> Metric:
        fields = self._counts.take()
        if self._kept is not None:
            self._drop(self._kept.expire(), "it has waited for too long (keep_days)")
            fields["kept"] = len(self._kept)
            fields["kept_bytes"] = self._kept.bytes
        available = self._engine.available
        if available is not None:
            fields["breaker_open"] = not available
        return Metric(self._status_series, fields)


class Counts:
    """What is counted between one status and the next."""

    def __init__(self) -> None:
        self._clear()

    def add(self, *, empty: bool, spent: float) -> None:
        """Count a picture that was looked at."""
        self._pictures += 1
        self._empty += empty
        self._spent += spent

    def take(self) -> dict[str, FieldValue]:
        """The fields; counting begins anew."""
        fields: dict[str, FieldValue] = {
            "pictures": self._pictures,
            "empty": self._empty,
            "refused": self.refused,
            "failed": self.failed,
            "repeated": self.repeated,
            "dropped": self.dropped,
        }
        if self._pictures:
            fields["processing_seconds"] = round(self._spent / self._pictures, 6)
        self._clear()
        return fields

    def _clear(self) -> None:
        self._pictures = self._empty = 0
        self._spent = 0.0
        self.refused = self.failed = self.repeated = self.dropped = 0
