"""The collector: frames from a backend in, metrics out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from collectors.camera.backends import Backend, Frame, SupportsExposure
from collectors.camera.detector import EPSILON_SECONDS, Detection
from collectors.camera.encoding import thumbnail_uri
from collectors.camera.events import Event, EventTracker
from collectors.camera.measurements import CAMERA, CAMERA_EVENT
from collectors.camera.schedule import Schedule
from collectors.camera.settings import Config, DetectorConfig
from collectors.camera.view import View
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series

Wait = Callable[[float], bool]

#: After this long without a frame, as when the camera was lost, changes are not motion: detection starts over.
_STALE_SECONDS = 30.0
#: Motion needs a few images in a row: if it cannot be seen in this share of the time, it is likely to be missed.
_BLIND_SHARE = 0.25
#: Damage is reported again after this long without any.
_DAMAGE_REPORT_SECONDS = 300.0


class DetectionSwitch:
    """Turns detection on and off. Reading and setting are atomic, so any thread may do either.

    Args:
        schedule: when detection is on; a command can only turn it off within these times.
    """

    __slots__ = ("_schedule", "active", "config", "on")

    def __init__(self, schedule: Schedule | None = None) -> None:
        #: Whether a command, or the lack of one, leaves detection on.
        self.on = True
        #: Settings of detection that replace those of the start.
        self.config: DetectorConfig | None = None
        #: Whether detection was on at the newest frame.
        self.active = True
        self._schedule = schedule or Schedule()

    def update(self, time_ns: int) -> bool:
        """Whether detection is on at this wall clock, nanoseconds since 1970."""
        self.active = self.on and self._schedule.active(time_ns)
        return self.active


class FrameListener(Protocol):
    """Receives every frame and every event, such as the recorder of clips."""

    def on_frame(self, frame: Frame, detection: Detection) -> None:
        """Handle a frame and its result, before the events that it starts or ends. Must not block."""
        ...

    def on_idle(self, seconds: float) -> None:
        """Handle a monotonic time without a frame, as while the camera is lost. Must not block."""
        ...

    def on_event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Handle the start or the end of an event; returns additional fields for its point."""
        ...

    def close(self) -> None:
        """Finish pending work."""
        ...


class CameraCollector:
    """Collects from one camera.

    Args:
        backend: delivers the frames.
        config: how to process them.
        report: takes errors that do not end the stream.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds, the clock of the backend's frames.
        stopwatch: seconds, to measure processing time.
        listeners: called in this order, and closed with the camera.
        detection: whether to detect motion. While it is off, listeners still receive frames; an open event ends, and
            the background is learned again afterwards.
    """

    def __init__(
        self,
        backend: Backend,
        config: Config,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        *,
        timer: Callable[[], float],
        stopwatch: Callable[[], float],
        listeners: Sequence[FrameListener] = (),
        detection: DetectionSwitch | None = None,
    ) -> None:
        self._detection = detection or DetectionSwitch(Schedule(config.schedule))
        self._listeners = listeners
        self._backend = backend
        self._config = config
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._stopwatch = stopwatch
        tags = {"camera": backend.name, **backend.tags}
        self._series = Series(CAMERA.name, tags)
        self._event_series = {kind: Series(CAMERA_EVENT.name, {**tags, "kind": kind}) for kind in ("start", "end")}
        self._events: EventTracker[Frame] = EventTracker(
            backend.name, config.consecutive_frames, config.event_gap_seconds
        )
        exposure = backend if isinstance(backend, SupportsExposure) else None
        self._status = StatusCounter(backend.dropped, self._detection, exposure)
        self._last = Detection()
        self._blind = False
        self._damaged_at: float | None = None

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """A batch for each frame, most of them empty, until the source ends or ``wait`` says to stop.

        An open event then ends. Raises Unavailable when the source is lost.
        """
        try:
            yield from self._stream(wait)
        except Exception:
            yield self._final_metrics()  # report the metrics collected before the failure
            raise
        yield self._final_metrics()

    def close(self) -> None:
        """Close the listeners and the camera."""
        for listener in self._listeners:
            listener.close()
        self._backend.close()

    def _stream(self, wait: Wait) -> Iterator[list[Metric]]:
        remaining = self._config.frames or None
        while True:
            # When a file restarts, its end is not a background for its beginning.
            view: View | None = None
            config = self._detection.config
            last: float | None = None
            for frame in self._backend.frames(wait):
                if frame is not None:
                    if last is not None and frame.seconds - last > _STALE_SECONDS + EPSILON_SECONDS:
                        view = None
                    last = frame.seconds
                if not self._detection.update(self._clock_ns() if frame is None else frame.time_ns):
                    view = None
                elif view is None or config is not self._detection.config:
                    config = self._detection.config
                    view = View(self._config._replace(detector=config or self._config.detector))
                yield self._process(view, frame)
                if frame is not None and remaining is not None:
                    remaining -= 1
                if remaining == 0 or wait(0):
                    return
            if not self._config.repeat or wait(0):
                return
            yield self._end_event()

    def _final_metrics(self) -> list[Metric]:
        return [*self._end_event(), *self._status.final(self._series, self._backend.dropped, self._clock_ns())]

    def _process(self, view: View | None, frame: Frame | None) -> list[Metric]:
        """The metrics of a frame, or of a period without one."""
        now = self._timer() if frame is None else frame.seconds
        time_ns = self._clock_ns() if frame is None else frame.time_ns
        metrics: list[Metric] = []
        if self._status.due(now, self._config.status_seconds):
            self._report_blindness(now)
            metrics.append(self._status.take(self._series, now, self._backend.dropped, time_ns))
        if frame is None:
            ended = self._events.finish(interrupted=True) if view is None else self._events.idle(now)
            metrics.extend(self._metric(event) for event in ended)
            for listener in self._listeners:
                listener.on_idle(now)
            return metrics
        start = self._stopwatch()
        if view is None:
            metrics.extend(self._end_event())
            detection = Detection()
        else:
            detection = view.detect(frame)
        self._report_damage(frame)
        if detection.reset_reason == "size":
            height, width = frame.image.shape[:2]
            self._report.error(f"the frame size changed to {width}x{height}; the background is learned again")
        if not frame.damaged:
            self._report_alarms(detection)
        for listener in self._listeners:
            listener.on_frame(frame, detection)
        if frame.damaged and not detection.moving:
            ended = self._events.idle(frame.seconds)
        else:
            ended = self._events.update(frame.seconds, frame.time_ns, detection, frame)
        for event in ended:
            metrics.append(self._metric(event))
        self._status.add(now, time_ns, None if frame.damaged else detection, self._stopwatch() - start)
        return metrics

    def _report_damage(self, frame: Frame) -> None:
        """Report damaged frames once, until there has been none for some time."""
        if frame.damaged:
            if self._damaged_at is None:
                self._report.error(
                    f"frames of {self._backend.name} arrive damaged, and only large motion is detected in them; "
                    "check the file, or the network to the camera and that rtsp_transport is tcp"
                )
            self._damaged_at = frame.seconds
        elif self._damaged_at is not None and frame.seconds - self._damaged_at >= _DAMAGE_REPORT_SECONDS:
            self._damaged_at = None

    def _report_alarms(self, detection: Detection) -> None:
        """Report an alarm when it starts."""
        if detection.covered and not self._last.covered:
            self._report.error(
                f"the image of {self._backend.name} has been dark or without detail for "
                f"{self._config.detector.covered_seconds:g} s; check whether something covers the lens"
            )
        if detection.frozen and not self._last.frozen:
            self._report.error(
                f"the image of {self._backend.name} has been identical for "
                f"{self._config.detector.frozen_seconds:g} s; the camera may hang, restart it"
            )
        self._last = detection

    def _report_blindness(self, now: float) -> None:
        """Report when changes of the whole image have hidden motion too often since the last status."""
        blind = self._status.is_blinded(now)
        if blind and not self._blind:
            self._report.error(
                f"the image of {self._backend.name} as a whole changes so often that motion cannot be detected; "
                "check for a flickering light or a camera that is not fixed"
            )
        self._blind = blind

    def _end_event(self) -> list[Metric]:
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
            "thumbnail": thumbnail_uri(event.picture.colour(), self._config.thumbnail_width),
        }
        time_ns = event.start_ns
        if event.kind == "end":
            # The clock of the frames has fewer digits the longer the machine is up.
            duration = round(event.duration_seconds, 6)
            fields["duration_seconds"] = duration
            fields["frames"] = event.frames
            fields["interrupted"] = event.interrupted
            time_ns += round(duration * 1e9)
        for listener in self._listeners:
            fields.update(listener.on_event(event))
        return Metric(self._event_series[event.kind], fields, time_ns)


class StatusCounter:
    """Counts frames and their results between two status points.

    Args:
        dropped: number of frames that the backend has dropped so far.
        detection: whether motion is detected.
        exposure: reports the exposure of frames, if the camera supports it.
    """

    def __init__(self, dropped: int, detection: DetectionSwitch, exposure: SupportsExposure | None) -> None:
        self._detection = detection
        self._exposure = exposure
        self._since: float | None = None
        self._last_frame = 0.0
        self._last_frame_ns: int | None = None
        self._last_status_ns: int | None = None
        self._dropped = dropped
        self._frames = self._damaged = 0
        self._last = Detection()
        self._max_changed = self._max_shift = self._processing = self._blind_seconds = 0.0
        self._resets = 0

    def due(self, now: float, interval: float) -> bool:
        """Whether the next status is due."""
        if self._since is None:
            self._since = self._last_frame = now
        return now - self._since >= interval - EPSILON_SECONDS

    def add(self, now: float, time_ns: int, detection: Detection | None, seconds: float) -> None:
        """Count a frame, which took *seconds* to process; without a detection, a damaged one."""
        if detection is None or detection.blind:
            self._blind_seconds += now - self._last_frame
        self._last_frame, self._last_frame_ns = now, time_ns
        self._frames += 1
        self._processing += seconds
        if detection is None:
            self._damaged += 1
            return
        self._resets += detection.reset_reason in ("light", "moved")
        self._last = detection
        self._max_changed = max(self._max_changed, detection.changed_percent)
        self._max_shift = max(self._max_shift, detection.shift_percent)

    def is_blinded(self, now: float) -> bool:
        """Whether the background had to be replaced so often that motion is likely to be missed."""
        assert self._since is not None
        return self._resets > 1 and self._blind_seconds > _BLIND_SHARE * (now - self._since)

    def take(self, series: Series, now: float, dropped: int, time_ns: int) -> Metric:
        """The status now; resets the counters."""
        assert self._since is not None
        return self._metric(series, self._frames / (now - self._since), now, dropped, time_ns)

    def final(self, series: Series, dropped: int, clock_ns: int) -> Iterator[Metric]:
        """The status at the end, timed at the last frame; nothing if nothing was counted.

        If the previous status has the time of that frame already, this one is a nanosecond later, so that it does
        not overwrite it.
        """
        if self._since is None or (not self._frames and dropped == self._dropped):
            return
        elapsed = self._last_frame - self._since
        # The time after the last frame is unknown, so the period has one interval less than frames.
        rate = (self._frames - 1) / elapsed if elapsed > 0 and self._frames > 1 else None
        time_ns = self._last_frame_ns or clock_ns
        if self._last_status_ns is not None:
            time_ns = max(time_ns, self._last_status_ns + 1)
        yield self._metric(series, rate, self._last_frame, dropped, time_ns)

    def _metric(self, series: Series, rate: float | None, now: float, dropped: int, time_ns: int) -> Metric:
        fields: dict[str, FieldValue] = {"frames": self._frames, "dropped": dropped - self._dropped}
        fields["damaged"] = self._damaged
        fields["detection"] = self._detection.active
        if rate is not None:
            fields["frames_per_second"] = round(rate, 3)
        if self._frames:
            fields["motion_percent"] = round(self._max_changed, 3)
            fields["processing_seconds"] = round(self._processing / self._frames, 7)
            fields["blind_seconds"] = round(self._blind_seconds, 3)
            fields["brightness_percent"] = round(self._last.brightness_percent, 2)
            fields["covered"] = self._last.covered
            fields["frozen"] = self._last.frozen
            fields["shake_percent"] = round(self._max_shift, 3)
            if self._exposure is not None and self._exposure.exposure_seconds is not None:
                fields["exposure_seconds"] = self._exposure.exposure_seconds
            if self._exposure is not None and self._exposure.gain is not None:
                fields["gain"] = round(self._exposure.gain, 3)
        self._since, self._dropped, self._last_status_ns = now, dropped, time_ns
        self._frames = self._damaged = self._resets = 0
        self._max_changed = self._max_shift = self._processing = self._blind_seconds = 0.0
        return Metric(series, fields, time_ns)
