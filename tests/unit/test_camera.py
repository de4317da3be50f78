"""The camera collector as a whole: pictures in, metrics out."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from collectors import camera
from collectors.camera import settings
from collectors.camera.backends import Frame
from collectors.camera.backends.simulated import Scene, SimulatedCamera
from collectors.camera.collector import CameraCollector
from collectors.camera.damage import DamagedView
from collectors.camera.encoding import MAX_THUMBNAIL_BYTES
from collectors.camera.settings import Config, DetectorConfig, load_config
from collectors.core.api import Context, Streaming, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.runner import Runner
from collectors.core.settings import Values
from tests.schema_check import violations

BASE_NS = 1_700_000_000_000_000_000
QUICK = Config(DetectorConfig(warm_up_seconds=0.5), event_gap_seconds=2.0, status_seconds=5.0)


def at(seconds: float) -> Frame | None:
    return Frame(SCENE.draw(seconds), 50.0 + seconds, BASE_NS + round(seconds * 1e9))


SCENE = Scene(1)


class Script:
    """A backend that returns scripted frames, and then may fail."""

    def __init__(self, frames: Callable[[], Iterator[Frame | None]], *, lost: str = "", dropped: int = 0) -> None:
        self.name = "door"
        self.tags: Mapping[str, str] = {}
        self.dropped = dropped
        self.closed = False
        self._frames = frames
        self._lost = lost

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        del wait
        yield from self._frames()
        if self._lost:
            raise Unavailable(self._lost)

    def close(self) -> None:
        self.closed = True


class Bench:
    """Run a collector on a backend, with its errors and a stopped clock."""

    def __init__(self, backend: Script | SimulatedCamera, what: Config = QUICK) -> None:
        self.errors: list[str] = []
        self.metrics: list[Metric] = []
        self.now = 50.0
        self.watch = CameraCollector(
            backend,
            what,
            ErrorReporter("camera", self.errors.append),
            lambda: BASE_NS + round((self.now - 50.0) * 1e9),
            timer=lambda: self.now,
            stopwatch=iter(itertools.count(0.0, 0.002)).__next__,
        )

    def run(self, wait: Callable[[float], bool] = lambda _seconds: False) -> list[Metric]:
        for batch in self.watch.stream(wait):
            self.metrics += batch
        return self.metrics

    def of(self, measurement: str) -> list[Metric]:
        return [metric for metric in self.metrics if metric.series.measurement == measurement]


def scene(first: float, last: float, rate: int = 10) -> Callable[[], Iterator[Frame | None]]:
    return lambda: (at(number / rate) for number in range(round(first * rate), round(last * rate)))


def test_visit_is_one_event_of_two_points_with_the_same_id() -> None:
    bench = Bench(Script(scene(0, 20)))
    bench.run()
    start, end = bench.of("camera_event")
    assert [each.series.tags for each in (start, end)] == [
        {"camera": "door", "kind": "start"},
        {"camera": "door", "kind": "end"},
    ]
    assert start.fields["event_id"] == end.fields["event_id"]
    visit = SCENE.visit(0)
    assert start.time_ns is not None
    assert end.time_ns is not None
    assert (start.time_ns - BASE_NS) / 1e9 == pytest.approx(visit.start_seconds, abs=1)
    assert (end.time_ns - BASE_NS) / 1e9 == pytest.approx(visit.end_seconds, abs=1)
    assert end.fields["duration_seconds"] == pytest.approx((end.time_ns - start.time_ns) / 1e9)
    assert end.fields["start_seconds"] == pytest.approx(start.time_ns / 1e9)
    assert end.fields["interrupted"] is False
    assert {"duration_seconds", "frames", "interrupted"} & set(start.fields) == set()


def test_every_frame_is_counted_in_one_status() -> None:
    bench = Bench(Script(scene(0, 13)))
    bench.run()
    statuses = bench.of("camera")
    assert [each.fields["frames"] for each in statuses] == [50, 50, 30]
    assert [each.fields["frames_per_second"] for each in statuses] == pytest.approx([10, 10, 10])
    assert [each.fields["dropped"] for each in statuses] == [0, 0, 0]
    assert [each.fields["processing_seconds"] for each in statuses] == pytest.approx([0.002] * 3)
    assert statuses[0].time_ns == BASE_NS + 5 * 10**9
    assert all(1 < float(each.fields["motion_percent"]) < 10 for each in statuses)


def test_final_status_does_not_overwrite_a_status_of_the_same_time() -> None:
    bench = Bench(Script(scene(0, 5.1)))
    bench.run()
    statuses = bench.of("camera")
    assert [each.fields["frames"] for each in statuses] == [50, 1]
    assert [each.time_ns for each in statuses] == [BASE_NS + 5 * 10**9, BASE_NS + 5 * 10**9 + 1]


def test_all_metrics_are_declared_and_thumbnails_are_small() -> None:
    bench = Bench(SimulatedCamera("s", seed=2, frame_rate=10, pace=0, clock_ns=lambda: BASE_NS, timer=lambda: 0.0))
    for batch in itertools.islice(bench.watch.stream(lambda _seconds: False), 600):
        bench.metrics += batch
    assert {metric.series.tags.get("simulated") for metric in bench.metrics} == {"true"}
    assert len(bench.of("camera_event")) == 4
    assert [each for metric in bench.metrics for each in violations(metric, camera.MEASUREMENTS)] == []
    for event in bench.of("camera_event"):
        thumbnail = event.fields["thumbnail"]
        assert isinstance(thumbnail, str)
        assert thumbnail.startswith("data:image/jpeg;base64,")
        assert len(thumbnail) <= MAX_THUMBNAIL_BYTES


def test_shutdown_ends_an_open_event() -> None:
    bench = Bench(Script(scene(0, 20)))
    asked = itertools.count()
    bench.run(lambda _seconds: next(asked) >= 65)
    start, end = bench.of("camera_event")
    assert (start.series.tags["kind"], end.series.tags["kind"]) == ("start", "end")
    assert end.fields["interrupted"] is True
    assert end.fields["duration_seconds"] == pytest.approx(6.5 - SCENE.visit(0).start_seconds, abs=1)
    assert sum(int(each.fields["frames"]) for each in bench.of("camera")) == 66


def test_lost_source_ends_event_and_stream() -> None:
    bench = Bench(Script(scene(0, 6.5), lost="/dev/video0 delivers no more frames"))
    with pytest.raises(Unavailable, match="/dev/video0 delivers no more frames"):
        bench.run()
    assert [each.series.tags["kind"] for each in bench.of("camera_event")] == ["start", "end"]
    assert sum(int(each.fields["frames"]) for each in bench.of("camera")) == 65


def test_lost_source_is_an_error_with_non_zero_status() -> None:
    bench = Bench(Script(scene(0, 2), lost="/dev/video0 delivers no more frames"))
    report = ErrorReporter("camera", bench.errors.append)
    written: list[bytes] = []
    runner = Runner("camera", bench.watch, report, written.append, lambda: BASE_NS, lambda: 0.0)
    assert runner.run_streaming(lambda *_: False) == 1
    assert bench.errors == ["E! camera: /dev/video0 delivers no more frames"]
    assert b"errors=1i,up=0i" in written[-1]


def test_unfinished_stream_can_be_dropped() -> None:
    stream = Bench(Script(scene(0, 20))).watch.stream(lambda _seconds: False)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


def test_frame_size_change_is_reported_and_collection_continues() -> None:
    def frames() -> Iterator[Frame | None]:
        for number in range(40):
            size = (240, 320, 3) if number < 20 else (120, 160, 3)
            yield Frame(np.full(size, 90, np.uint8), 50 + number / 10, BASE_NS + number * 10**8)

    bench = Bench(Script(frames))
    bench.run()
    assert bench.errors == ["E! camera: the frame size changed to 160x120; the background is learned again"]
    assert bench.of("camera_event") == []
    assert bench.of("camera")[-1].fields["frames"] == 40


def test_status_continues_without_frames() -> None:
    def frames() -> Iterator[Frame | None]:
        yield at(0.0)
        for _ in range(12):
            bench.now += 1.0
            yield None

    bench = Bench(Script(frames))
    bench.run()
    first, second = bench.of("camera")
    assert (first.fields["frames"], second.fields["frames"]) == (1, 0)
    assert second.fields["frames_per_second"] == 0
    assert {"motion_percent", "processing_seconds"} & set(second.fields) == set()


def test_event_ends_while_the_camera_is_away() -> None:
    ended: list[float] = []

    def frames() -> Iterator[Frame | None]:
        yield from scene(0, 6.5)()
        for number in range(40):
            bench.now = 56.4 + number / 10
            yield None
            if len(bench.of("camera_event")) == 2:
                ended.append(bench.now)

    bench = Bench(Script(frames))
    bench.run()
    start, end = bench.of("camera_event")
    assert (start.series.tags["kind"], end.series.tags["kind"]) == ("start", "end")
    assert end.fields["interrupted"] is True
    assert ended[0] <= 56.4 + QUICK.event_gap_seconds + 0.2


def test_listeners_learn_of_times_without_a_frame() -> None:
    idle: list[float] = []

    class Listener:
        def on_frame(self, frame: Frame, detection: object) -> None:
            """Nothing: see the next one."""

        def on_idle(self, seconds: float) -> None:
            idle.append(seconds)

        def on_event(self, event: object) -> Mapping[str, Any]:
            del event
            return {}

        def close(self) -> None:
            """Nothing is open."""

    backend = Script(lambda: iter((at(0.0), None, None)))
    report = ErrorReporter("camera", lambda _: None)
    watch = CameraCollector(
        backend, QUICK, report, lambda: BASE_NS, timer=lambda: 61.0, stopwatch=lambda: 0.0, listeners=[Listener()]
    )
    list(watch.stream(lambda _seconds: False))
    assert idle == [61.0, 61.0]


def test_same_frames_give_the_same_events_whatever_the_clock_shows() -> None:
    images = [SCENE.draw(number / 10) for number in range(130)]
    found = set()
    for run in range(50):
        start = 1000.0 * run + run / 7
        frames = [Frame(image, start + number / 10, BASE_NS + number * 10**8) for number, image in enumerate(images)]
        bench = Bench(Script(lambda frames=frames: iter(frames)))  # type: ignore[misc]
        events = [each for each in bench.run() if each.series.measurement == "camera_event"]
        assert len(events) == 2
        found.add(repr([(each.time_ns, sorted(each.fields.items())) for each in events]))
    assert len(found) == 1


def test_status_counts_dropped_frames_since_the_last_one() -> None:
    def frames() -> Iterator[Frame | None]:
        for number in range(120):
            backend.dropped += number % 2
            yield at(number / 10)

    backend = Script(frames, dropped=7)
    bench = Bench(backend)
    bench.run()
    assert [each.fields["dropped"] for each in bench.of("camera")] == [25, 25, 10]


def test_repeated_file_learns_a_new_background_each_time() -> None:
    runs = itertools.count()

    def frames() -> Iterator[Frame | None]:
        offset = next(runs) * 8.0
        for number in range(80):
            frame = at(number / 10)
            assert frame is not None
            yield frame._replace(seconds=frame.seconds + offset, time_ns=frame.time_ns + round(offset * 1e9))

    bench = Bench(Script(frames), QUICK._replace(repeat=True, frames=200))
    bench.run()
    assert sum(int(each.fields["frames"]) for each in bench.of("camera")) == 200
    kinds = [(each.series.tags["kind"], each.fields.get("interrupted")) for each in bench.of("camera_event")]
    assert kinds == [("start", None), ("end", True)] * 2


def test_ends_after_the_configured_number_of_frames() -> None:
    bench = Bench(Script(scene(0, 20)), QUICK._replace(frames=33))
    bench.run()
    assert [each.fields["frames"] for each in bench.of("camera")] == [33]


def test_source_without_frames_emits_nothing() -> None:
    assert Bench(Script(lambda: iter(()))).run() == []


def test_close_closes_the_backend() -> None:
    backend = Script(lambda: iter(()))
    Bench(backend).watch.close()
    assert backend.closed


def test_settings_reach_the_configuration() -> None:
    values: dict[str, Any] = {
        "detect_width": 160,
        "min_area_percent": 2.0,
        "consecutive_frames": 5,
        "event_gap_seconds": 3.0,
        "repeat": True,
    }
    made = load_config(Values(values))
    assert (made.detector.detect_width, made.detector.min_area_percent) == (160, 2.0)
    assert (made.consecutive_frames, made.event_gap_seconds, made.repeat) == (5, 3.0, True)
    assert load_config(Values({})) == Config()


def test_every_configuration_field_is_read_from_the_setting_of_that_name() -> None:
    names = {setting.name for setting in camera.SETTINGS}
    assert set(DetectorConfig._fields) <= names
    assert set(Config._fields) - {"detector"} <= names
    given = {name: setting_value(name) for name in (*DetectorConfig._fields, *Config._fields) if name != "detector"}
    loaded = load_config(Values(given))
    for config in (loaded.detector, loaded._replace(detector=DetectorConfig())):
        differing = {name for name, value in config._asdict().items() if value != type(config)._field_defaults[name]}
        assert differing == set(config._fields) - {"detector"}


def setting_value(name: str) -> object:
    """A valid value that differs from the default."""
    setting = next(each for each in camera.SETTINGS if each.name == name)
    if name == "mask":
        return "0,0 50,0 50,30"
    if name == "schedule":
        return "mon-fri 18:00-07:00"
    return not setting.default if setting.kind is bool else setting.kind(setting.default + 1)


def test_damaged_frames_are_counted_and_are_no_motion() -> None:
    def frames() -> Iterator[Frame | None]:
        for number in range(200):
            frame = at(number / 10)
            assert frame is not None
            if 20 <= number < 160:  # a visit; half of each picture is lost
                image = frame.image.copy()
                image[:, 160:] = 10 * (number % 20)
                frame = frame._replace(image=image, damaged=True)
            yield frame

    bench = Bench(Script(frames))
    bench.run()
    assert bench.of("camera_event") == []
    assert sum(int(each.fields["damaged"]) for each in bench.of("camera")) == 140
    assert sum(int(each.fields["frames"]) for each in bench.of("camera")) == 200
    assert bench.errors == [
        "E! camera: frames of door arrive damaged, and only large motion is detected in them; "
        "check the file, or the network to the camera and that rtsp_transport is tcp"
    ]


def test_event_ends_though_only_damaged_frames_follow() -> None:
    visit = SCENE.visit(0)
    cut = (visit.start_seconds + visit.end_seconds) / 2

    def frames() -> Iterator[Frame | None]:
        for number in range(300):
            frame = at(number / 10)
            assert frame is not None
            yield frame._replace(damaged=number / 10 > cut)

    bench = Bench(Script(frames))
    bench.run()
    start, end = bench.of("camera_event")
    assert start.fields["event_id"] == end.fields["event_id"]
    assert end.fields["interrupted"] is True
    assert float(end.fields["duration_seconds"]) <= cut


def test_person_is_seen_in_images_that_are_built_on_damaged_ones() -> None:
    visit = SCENE.visit(0)

    def frames(fresh: Callable[[int], bool]) -> Callable[[], Iterator[Frame | None]]:
        def play() -> Iterator[Frame | None]:
            for number in range(300):
                frame = at(number / 10)
                assert frame is not None
                yield frame._replace(damaged=number >= 10, inherited=not fresh(number))

        return play

    bench = Bench(Script(frames(lambda number: number % 12 == 0)))
    bench.run()
    start, end = bench.of("camera_event")
    found = float(start.fields["start_seconds"]) - BASE_NS / 1e9
    assert visit.start_seconds <= found <= visit.start_seconds + 4
    assert float(end.fields["duration_seconds"]) > 0.5 * (visit.end_seconds - visit.start_seconds)
    bench = Bench(Script(frames(lambda _: True)))
    bench.run()
    assert bench.of("camera_event") == []


@pytest.mark.parametrize("moving", [6, 11])
def test_brief_motion_in_damaged_images_is_none(moving: int) -> None:
    view = DamagedView(DetectorConfig(warm_up_seconds=0.5))
    image = np.full((120, 160), 90, np.uint8)
    seen = []
    for number in range(60):
        shown = image.copy()
        if 20 <= number < 20 + moving:
            shown[40:80, 5 * (number - 20) : 5 * (number - 20) + 40] = 200
        seen.append(view.detect(shown, number / 10, video_range=False).moving)
    assert not any(seen)


def test_schedule_turns_detection_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    # The scene begins on a Tuesday at 22:13:20.
    bench = Bench(Script(scene(0, 20)), load_config(Values({"schedule": "tue 08:00-22:00", "status_seconds": 5.0})))
    bench.run()
    assert bench.of("camera_event") == []
    assert {each.fields["detection"] for each in bench.of("camera")} == {False}
    bench = Bench(Script(scene(0, 20)), load_config(Values({"schedule": "tue 22:00-08:00", "status_seconds": 5.0})))
    bench.run()
    assert len(bench.of("camera_event")) == 2
    monkeypatch.undo()
    time.tzset()


def test_settings_are_collected_from_their_declarations() -> None:
    assert len({setting.name for setting in camera.SETTINGS}) == len(camera.SETTINGS)
    assert {settings.BACKEND, settings.MASK, settings.MEDIA_DIR, settings.CONTROL_PORT} <= set(camera.SETTINGS)
    assert camera.SETTINGS[-1] is settings.PUBLISH_QUEUE


def test_every_setting_accepts_its_default() -> None:
    for setting in camera.SETTINGS:
        if setting.default is not None:
            assert setting.check(setting.default) == setting.default


def test_create_returns_a_streaming_collector() -> None:
    values = Values({"backend": "simulated", "pace": 0.0})
    made = camera.create(Context(values, ErrorReporter("camera", print), True, "here", lambda: BASE_NS))
    assert isinstance(made, Streaming)
    made.close()


def test_listing_the_collector_imports_neither_numpy_nor_opencv() -> None:
    program = "import sys; import collectors.camera; print({'numpy', 'cv2', 'dataclasses'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
