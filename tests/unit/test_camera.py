"""The camera collector as a whole: pictures in, metrics out."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from collectors import camera
from collectors.camera.backends import Frame
from collectors.camera.backends.simulated import Scene, Simulated
from collectors.camera.settings import Plan, Sensitivity, plan
from collectors.camera.thumbnail import MAX_BYTES
from collectors.camera.watch import Watch
from collectors.core.api import Context, Streaming, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.runner import Runner
from collectors.core.settings import Values
from tests.schema_check import violations

BASE_NS = 1_700_000_000_000_000_000
QUICK = Plan(Sensitivity(warm_up_seconds=0.5), event_gap_seconds=2.0, status_seconds=5.0)


def at(seconds: float) -> Frame | None:
    return Frame(SCENE.draw(seconds), 50.0 + seconds, BASE_NS + round(seconds * 1e9))


SCENE = Scene(1)


class Script:
    """A backend that gives what it was told to, and then may break."""

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
    """Runs a collector on a backend, with its errors and a clock that stands."""

    def __init__(self, backend: Script | Simulated, what: Plan = QUICK) -> None:
        self.errors: list[str] = []
        self.metrics: list[Metric] = []
        self.now = 50.0
        self.watch = Watch(
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


def test_a_visit_is_one_event_of_two_points_with_the_same_id() -> None:
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


def test_every_frame_is_accounted_for_in_one_status_or_another() -> None:
    bench = Bench(Script(scene(0, 13)))
    bench.run()
    statuses = bench.of("camera")
    assert [each.fields["frames"] for each in statuses] == [50, 50, 30]
    assert [each.fields["frames_per_second"] for each in statuses] == pytest.approx([10, 10, 10])
    assert [each.fields["dropped"] for each in statuses] == [0, 0, 0]
    assert [each.fields["processing_seconds"] for each in statuses] == pytest.approx([0.002] * 3)
    assert statuses[0].time_ns == BASE_NS + 5 * 10**9
    assert all(1 < float(each.fields["motion_percent"]) < 10 for each in statuses)


def test_the_last_status_is_a_point_of_its_own_also_where_one_was_due_at_the_last_picture() -> None:
    bench = Bench(Script(scene(0, 5.1)))
    bench.run()
    statuses = bench.of("camera")
    assert [each.fields["frames"] for each in statuses] == [50, 1]
    assert [each.time_ns for each in statuses] == [BASE_NS + 5 * 10**9, BASE_NS + 5 * 10**9 + 1]


def test_everything_emitted_is_declared_and_thumbnails_are_small() -> None:
    bench = Bench(Simulated("s", seed=2, frame_rate=10, pace=0, clock_ns=lambda: BASE_NS, timer=lambda: 0.0))
    for batch in itertools.islice(bench.watch.stream(lambda _seconds: False), 600):
        bench.metrics += batch
    assert {metric.series.tags.get("simulated") for metric in bench.metrics} == {"true"}
    assert len(bench.of("camera_event")) == 4
    assert [each for metric in bench.metrics for each in violations(metric, camera.MEASUREMENTS)] == []
    for event in bench.of("camera_event"):
        thumbnail = event.fields["thumbnail"]
        assert isinstance(thumbnail, str)
        assert thumbnail.startswith("data:image/jpeg;base64,")
        assert len(thumbnail) <= MAX_BYTES


def test_an_event_that_is_cut_short_by_the_stop_gets_its_end() -> None:
    bench = Bench(Script(scene(0, 20)))
    asked = itertools.count()
    bench.run(lambda _seconds: next(asked) >= 65)
    start, end = bench.of("camera_event")
    assert (start.series.tags["kind"], end.series.tags["kind"]) == ("start", "end")
    assert end.fields["interrupted"] is True
    assert end.fields["duration_seconds"] == pytest.approx(6.5 - SCENE.visit(0).start_seconds, abs=1)
    assert sum(int(each.fields["frames"]) for each in bench.of("camera")) == 66


def test_a_lost_source_ends_the_event_and_the_stream() -> None:
    bench = Bench(Script(scene(0, 6.5), lost="/dev/video0 gives no more pictures"))
    with pytest.raises(Unavailable, match="/dev/video0 gives no more pictures"):
        bench.run()
    assert [each.series.tags["kind"] for each in bench.of("camera_event")] == ["start", "end"]
    assert sum(int(each.fields["frames"]) for each in bench.of("camera")) == 65


def test_a_lost_source_is_an_error_and_a_non_zero_status() -> None:
    bench = Bench(Script(scene(0, 2), lost="/dev/video0 gives no more pictures"))
    report = ErrorReporter("camera", bench.errors.append)
    written: list[bytes] = []
    runner = Runner("camera", bench.watch, report, written.append, lambda: BASE_NS, lambda: 0.0)
    assert runner.run_streaming(lambda *_: False) == 1
    assert bench.errors == ["E! camera: /dev/video0 gives no more pictures"]
    assert b"errors=1i,up=0i" in written[-1]


def test_a_stream_that_nobody_follows_to_its_end_can_be_dropped() -> None:
    stream = Bench(Script(scene(0, 20))).watch.stream(lambda _seconds: False)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


def test_another_size_of_the_picture_is_counted_and_the_run_goes_on() -> None:
    def frames() -> Iterator[Frame | None]:
        for number in range(40):
            size = (240, 320, 3) if number < 20 else (120, 160, 3)
            yield Frame(np.full(size, 90, np.uint8), 50 + number / 10, BASE_NS + number * 10**8)

    bench = Bench(Script(frames))
    bench.run()
    assert bench.errors == ["E! camera: the picture is now 160x120; its background is learned anew"]
    assert bench.of("camera_event") == []
    assert bench.of("camera")[-1].fields["frames"] == 40


def test_a_camera_that_gives_nothing_has_a_status_that_says_so() -> None:
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


def test_dropped_pictures_are_counted_since_the_last_status() -> None:
    def frames() -> Iterator[Frame | None]:
        for number in range(120):
            backend.dropped += number % 2
            yield at(number / 10)

    backend = Script(frames, dropped=7)
    bench = Bench(backend)
    bench.run()
    assert [each.fields["dropped"] for each in bench.of("camera")] == [25, 25, 10]


def test_a_file_that_repeats_begins_a_background_of_its_own_each_time() -> None:
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


def test_it_ends_after_the_frames_that_it_was_asked_for() -> None:
    bench = Bench(Script(scene(0, 20)), QUICK._replace(frames=33))
    bench.run()
    assert [each.fields["frames"] for each in bench.of("camera")] == [33]


def test_a_source_that_gives_nothing_at_all_emits_nothing() -> None:
    assert Bench(Script(lambda: iter(()))).run() == []


def test_closing_lets_go_of_the_backend() -> None:
    backend = Script(lambda: iter(()))
    Bench(backend).watch.close()
    assert backend.closed


def test_settings_reach_the_plan() -> None:
    values: dict[str, Any] = {
        "detect_width": 160,
        "min_area_percent": 2.0,
        "consecutive_frames": 5,
        "event_gap_seconds": 3.0,
        "repeat": True,
    }
    made = plan(Values(values))
    assert (made.sensitivity.width, made.sensitivity.min_area_percent) == (160, 2.0)
    assert (made.consecutive_frames, made.event_gap_seconds, made.repeat) == (5, 3.0, True)
    assert plan(Values({})) == Plan()


def test_every_setting_has_a_default_that_it_admits_itself() -> None:
    for setting in camera.SETTINGS:
        if setting.default is not None:
            assert setting.check(setting.default) == setting.default


def test_create_gives_a_streaming_collector() -> None:
    values = Values({"backend": "simulated", "pace": 0.0})
    made = camera.create(Context(values, ErrorReporter("camera", print), True, "here", lambda: BASE_NS))
    assert isinstance(made, Streaming)
    made.close()


def test_listing_the_collector_imports_neither_numpy_nor_opencv() -> None:
    program = "import sys; import collectors.camera; print({'numpy', 'cv2', 'dataclasses'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
