"""The collector: pictures from a backend in, metrics out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from collectors.camera.backends import Backend, Exposes, Frame
from collectors.camera.detector import Detection, Detector
from collectors.camera.events import Event, Events
from collectors.camera.measurements import CAMERA, CAMERA_EVENT
from collectors.camera.settings import Plan
from collectors.camera.switch import Switch
from collectors.camera.thumbnail import data_uri
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series

Wait = Callable[[float], bool]

#: After so long without a picture, as when the camera was lost, what has changed meanwhile is no motion.
_STALE_SECONDS = 30.0


class Companion(Protocol):
    """What goes along with the detection, such as the recording of clips: told of every picture and every event."""

    def see(self, frame: Frame, seen: Detection) -> None:
        """Take a picture and what was found in it, before the events that it brings about; nothing may wait here."""
        ...

    def event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Take the start or the end of an event; the fields that its point gets besides."""
        ...

    def close(self) -> None:
        """Finish what was begun."""
        ...


class Watch:
    """Watches one camera.

    Args:
        backend: gives the pictures.
        plan: what to do with them.
        report: takes what goes wrong without ending the stream.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds, the same that the backend's frames are timed by.
        stopwatch: seconds, for the time that processing takes.
        companions: what goes along, in this order; closed with the camera.
        detection: whether motion is looked for. While it is off, pictures are shown to the companions all the
            same; an event that was open has its end, and the background is learned anew afterwards.
    """

    def __init__(
        self,
        backend: Backend,
        plan: Plan,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        *,
        timer: Callable[[], float],
        stopwatch: Callable[[], float],
        companions: Sequence[Companion] = (),
        detection: Switch | None = None,
    ) -> None:
        self._detection = detection or Switch()
        self._companions = companions
        self._backend = backend
        self._plan = plan
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._stopwatch = stopwatch
        tags = {"camera": backend.name, **backend.tags}
        self._series = Series(CAMERA.name, tags)
        self._event_series = {kind: Series(CAMERA_EVENT.name, {**tags, "kind": kind}) for kind in ("start", "end")}
        self._events: Events[Frame] = Events(backend.name, plan.consecutive_frames, plan.event_gap_seconds)
        self._status = Status(backend.dropped, self._detection, backend if isinstance(backend, Exposes) else None)
        self._alarmed = Detection()

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """A batch for each picture, most of them empty, until the source ends or it is time to stop.

        An event that is open then gets its end. Raises Unavailable when the source is lost.
        """
        try:
            yield from self._watch(wait)
        except Exception:
            yield self._rest()  # what was seen until then is still to be told
            raise
        yield self._rest()

    def close(self) -> None:
        """Let go of the camera, and of what goes along with it."""
        for companion in self._companions:
            companion.close()
        self._backend.close()

    def _watch(self, wait: Wait) -> Iterator[list[Metric]]:
        left = self._plan.frames or None
        while True:
            # What comes after the end of a file was not seen from where the file begins.
            detector: Detector | None = None
            last: float | None = None
            for frame in self._backend.frames(wait):
                if frame is not None:
                    if last is not None and frame.seconds - last > _STALE_SECONDS:
                        detector = None
                    last = frame.seconds
                if not self._detection.on:
                    detector = None
                elif detector is None:
                    detector = Detector(self._plan.sensitivity)
                yield self._see(detector, frame)
                if frame is not None and left is not None:
                    left -= 1
                if left == 0 or wait(0):
                    return
            if not self._plan.repeat or wait(0):
                return
            yield self._ends()

    def _rest(self) -> list[Metric]:
        return [*self._ends(), *self._status.last(self._series, self._backend.dropped, self._clock_ns())]

    def _see(self, detector: Detector | None, frame: Frame | None) -> list[Metric]:
        """What one picture, or a while without one, brings about."""
        now = self._timer() if frame is None else frame.seconds
        time_ns = self._clock_ns() if frame is None else frame.time_ns
        metrics: list[Metric] = []
        if self._status.due(now, self._plan.status_seconds):
            metrics.append(self._status.take(self._series, now, self._backend.dropped, time_ns))
        if frame is None:
            return metrics
        start = self._stopwatch()
        if detector is None:
            metrics.extend(self._ends())
            seen = Detection()
        else:
            seen = detector.look(frame.image, frame.seconds)
        if seen.anew == "size":
            height, width = frame.image.shape[:2]
            self._report.error(f"the picture is now {width}x{height}; its background is learned anew")
        self._tell(seen)
        for companion in self._companions:
            companion.see(frame, seen)
        for event in self._events.follow(frame.seconds, frame.time_ns, seen, frame):
            metrics.append(self._metric(event))
        self._status.add(now, time_ns, seen, self._stopwatch() - start)
        return metrics

    def _tell(self, seen: Detection) -> None:
        """Count an alarm when it begins."""
        if seen.covered and not self._alarmed.covered:
            self._report.error(
                f"the picture of {self._backend.name} has been dark or without detail for "
                f"{self._plan.sensitivity.covered_seconds:g} s; see whether something covers the lens"
            )
        if seen.frozen and not self._alarmed.frozen:
            self._report.error(
                f"the picture of {self._backend.name} has been exactly the same for "
                f"{self._plan.sensitivity.frozen_seconds:g} s; the camera may hang, restart it"
            )
        self._alarmed = seen

    def _ends(self) -> list[Metric]:
        return [self._metric(event) for event in self._events.finish(interrupted=True)]

    def _metric(self, event: Event[Frame]) -> Metric:
        fields: dict[str, FieldValue] = {
            "event_id": event.event_id,
            "start_seconds": round(event.start_ns / 1e9, 6),
            "score": round(event.score, 2),
            "area_percent": round(event.area_percent, 3),
            "box_left_percent": round(event.box.left, 2),
            "box_top_percent": round(event.box.top, 2),
            "box_width_percent": round(event.box.width, 2),
            "box_height_percent": round(event.box.height, 2),
            "thumbnail": data_uri(event.picture.colour(), self._plan.thumbnail_width),
        }
        time_ns = event.start_ns
        if event.kind == "end":
            fields["duration_seconds"] = round(event.duration_seconds, 6)
            fields["frames"] = event.frames
            fields["interrupted"] = event.interrupted
            time_ns += round(event.duration_seconds * 1e9)
        for companion in self._companions:
            fields.update(companion.event(event))
        return Metric(self._event_series[event.kind], fields, time_ns)


class Status:
    """What is counted between one status and the next.

    Args:
        dropped: what the backend had dropped at the beginning.
        detection: whether motion is looked for.
        exposes: tells how pictures are exposed, where the camera does.
    """

    def __init__(self, dropped: int, detection: Switch, exposes: Exposes | None) -> None:
        self._detection = detection
        self._exposes = exposes
        self._since: float | None = None
        self._seen = 0.0
        self._seen_ns: int | None = None
        self._told_ns: int | None = None
        self._dropped = dropped
        self._frames = 0
        self._last = Detection()
        self._changed = self._shaken = self._spent = 0.0

    def due(self, now: float, every: float) -> bool:
        """Whether it is time for a status."""
        if self._since is None:
            self._since = self._seen = now
        # Times of frames are sums of parts of a second, and miss a whole one by a hair.
        return now - self._since >= every - 1e-6

    def add(self, now: float, time_ns: int, seen: Detection, spent: float) -> None:
        """Count a picture."""
        self._seen, self._seen_ns = now, time_ns
        self._frames += 1
        self._last = seen
        self._changed = max(self._changed, seen.changed_percent)
        self._shaken = max(self._shaken, seen.shift_percent)
        self._spent += spent

    def take(self, series: Series, now: float, dropped: int, time_ns: int) -> Metric:
        """The status now; counting begins anew."""
        assert self._since is not None
        return self._metric(series, self._frames / (now - self._since), now, dropped, time_ns)

    def last(self, series: Series, dropped: int, clock_ns: int) -> Iterator[Metric]:
        """What is left at the end, timed at the last picture; nothing where nothing has been counted.

        A status that was due at that very picture has its time already, and would be written over: the last one
        then comes a nanosecond later.
        """
        if self._since is None or (not self._frames and dropped == self._dropped):
            return
        elapsed = self._seen - self._since
        # The time after the last picture is not known, so one interval less than there were pictures has passed.
        rate = (self._frames - 1) / elapsed if elapsed > 0 and self._frames > 1 else None
        time_ns = self._seen_ns or clock_ns
        if self._told_ns is not None:
            time_ns = max(time_ns, self._told_ns + 1)
        yield self._metric(series, rate, self._seen, dropped, time_ns)

    def _metric(self, series: Series, rate: float | None, now: float, dropped: int, time_ns: int) -> Metric:
        fields: dict[str, FieldValue] = {"frames": self._frames, "dropped": dropped - self._dropped}
        fields["detection"] = self._detection.on
        if rate is not None:
            fields["frames_per_second"] = round(rate, 3)
        if self._frames:
            fields["motion_percent"] = round(self._changed, 3)
            fields["processing_seconds"] = round(self._spent / self._frames, 7)
            fields["brightness_percent"] = round(self._last.brightness_percent, 2)
            fields["covered"] = self._last.covered
            fields["frozen"] = self._last.frozen
            fields["shake_percent"] = round(self._shaken, 3)
            if self._exposes is not None and self._exposes.exposure_seconds is not None:
                fields["exposure_seconds"] = self._exposes.exposure_seconds
            if self._exposes is not None and self._exposes.gain is not None:
                fields["gain"] = round(self._exposes.gain, 3)
        self._since, self._dropped, self._told_ns = now, dropped, time_ns
        self._frames = 0
        self._changed = self._shaken = self._spent = 0.0
        return Metric(series, fields, time_ns)
