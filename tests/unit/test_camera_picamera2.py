"""The ribbon cable's camera, on a double of picamera2 that its contract holds to the package."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from collectors.camera import MEASUREMENTS
from collectors.camera.backends import Frame, SupportsClips, SupportsStills, open_backend
from collectors.camera.backends.picamera2 import CsiCamera, Library
from collectors.camera.backends.reconnect import ReconnectingCsiCamera
from collectors.camera.collector import CameraCollector
from collectors.camera.detector import Detection
from collectors.camera.media import Media
from collectors.camera.settings import Config
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values
from tests.doubles import picamera2 as double
from tests.schema_check import violations
from tests.unit.camera_media_support import BASE_NS, MOVING, Usage, shown, sizes


class Bench:
    """A camera that follows a script."""

    def __init__(self, script: Iterable[int | Exception | None], values: dict[str, Any], **world: Any) -> None:
        self.errors: list[str] = []
        self.report = ErrorReporter("camera", self.errors.append)
        self.values = Values({"detect_width": 150, **values})

        class Camera(double.Picamera2):
            pass

        self.world = double.World(script, **world)
        double.Picamera2.world = Camera.world = self.world
        self.library = Library(
            Camera, double.H264Encoder, double.CircularOutput2, double.PyavOutput, double.Transform, double.MappedArray
        )
        self.ribbon = self.open()

    def open(self) -> CsiCamera:
        return CsiCamera(self.library, self.values, self.report, lambda: BASE_NS, self.world.clock)

    @property
    def config(self) -> dict[str, Any]:
        return self.world.opened[-1].camera_config


def bench(
    script: Iterable[int | Exception | None] = (), *, world: dict[str, Any] | None = None, **values: Any
) -> Bench:
    return Bench(script, values, **(world or {}))


def never(_seconds: float) -> bool:
    return False


def some(ribbon: CsiCamera, count: int) -> list[Frame | None]:
    frames = ribbon.frames(never)
    found = [next(frames) for _ in range(count)]
    frames.close()  # type: ignore[attr-defined]
    return found


def test_detection_frames_are_the_grey_plane_without_padding() -> None:
    made = bench([10, 20, 30])
    frames = [frame for frame in some(made.ribbon, 3) if frame is not None]
    assert [frame.image.shape for frame in frames] == [(168, 300)] * 3
    assert [set(np.unique(frame.image).tolist()) for frame in frames] == [{10}, {20}, {30}]
    assert [frame.seconds for frame in frames] == pytest.approx([1000.1, 1000.2, 1000.3])
    assert [frame.colour().shape for frame in frames] == [(168, 300, 3)] * 3
    assert [frame.colour().std() for frame in frames] == [0, 0, 0], "no padding"
    assert made.config["lores"]["stride"] == 320
    made.ribbon.close()
    assert made.world.opened[0].closed


@pytest.mark.parametrize(
    ("model", "sensor", "main"),
    [
        ("imx219", (1640, 1232), (1640, 1232)),
        ("imx708_wide_noir", (2304, 1296), (1920, 1080)),
        ("imx477", (2028, 1520), (1440, 1080)),
        ("ov5647", (1296, 972), (1296, 972)),
        ("some_other", (4608, 2592), (1920, 1080)),
    ],
)
def test_each_model_has_its_full_field_of_view_within_the_encoders_size(
    model: str, sensor: tuple[int, int], main: tuple[int, int]
) -> None:
    made = bench(world={"model": model})
    assert made.config["sensor"]["output_size"] == sensor
    assert made.config["main"] == {"size": main, "format": "YUV420", "stride": made.config["main"]["stride"]}
    assert made.ribbon.name == model


def test_size_of_photos_and_clips_is_configurable() -> None:
    made = bench(main_width=801, main_height=600, name="door")
    assert made.config["main"]["size"] == (800, 600)
    assert made.config["lores"]["size"] == (300, 224)
    assert made.ribbon.name == "door"


LENS = {"controls": ("FrameDurationLimits", "AfMode", "LensPosition", "ExposureValue", "ExposureTime", "AnalogueGain")}


@pytest.mark.parametrize(
    ("world", "values", "controls"),
    [
        ({}, {}, {}),
        (LENS, {}, {"AfMode": 2}),
        (LENS, {"autofocus": "off"}, {"AfMode": 0, "LensPosition": 0.0}),
        (LENS, {"autofocus": "off", "focus_metres": 2.0}, {"AfMode": 0, "LensPosition": 0.5}),
        ({}, {"exposure_seconds": 0.02, "gain": 4.0}, {"ExposureTime": 20_000, "AnalogueGain": 4.0}),
        ({}, {"exposure_value": -1.0}, {"ExposureValue": -1.0}),
    ],
)
def test_focus_and_exposure_follow_the_settings(
    world: dict[str, Any], values: dict[str, Any], controls: dict[str, object]
) -> None:
    made = bench(world=world, **values)
    assert made.config["controls"] == {"FrameDurationLimits": (100_000, 100_000), **controls}
    assert made.errors == []


def test_unsupported_controls_are_reported_and_ignored() -> None:
    made = bench(autofocus="continuous")
    assert made.errors == ["E! camera: this camera has no control AfMode; the setting is ignored"]
    assert "AfMode" not in made.config["controls"]


def test_upside_down_camera_is_rotated() -> None:
    turned = bench(upside_down=True).config["transform"]
    assert (turned.hflip, turned.vflip) == (1, 1)


def test_camera_on_its_side_is_turned_in_pictures_stills_and_clips(tmp_path: Path) -> None:
    areas = "0,0 100,0 100,25 0,25"  # the upper quarter of the turned picture
    values: dict[str, Any] = {"main_width": 320, "main_height": 240, "media_dir": str(tmp_path)}
    made = bench([200] * 60, rotate=90, privacy_mask=areas, pre_capture_seconds=1.0, **values)
    frames = made.ribbon.frames(never)
    frame = next(frames)
    assert frame is not None
    assert frame.image.shape[0] > frame.image.shape[1]
    high = frame.image.shape[0]
    assert set(np.unique(frame.image[: high // 4 - 1]).tolist()) == {16}
    assert set(np.unique(frame.image[high // 4 + 2 :]).tolist()) == {200}
    assert frame.colour()[: high // 4 - 2].max() == 0
    still: list[Any] = []
    thread = threading.Thread(target=lambda: still.append(made.ribbon.still()))
    thread.start()
    path = tmp_path / "clip.mp4"
    made.ribbon.begin_clip(str(path))
    for _ in range(40):
        next(frames)
    made.ribbon.end_clip()
    thread.join(60)
    made.ribbon.close()
    assert still[0].shape == (320, 240, 3)
    assert still[0][:78].max() == 0
    assert still[0][82:].min() > 150
    with av.open(str(path)) as container:
        shown = next(container.decode(video=0))
    assert shown.rotation == -90, "players turn it clockwise"
    assert shown.to_ndarray(format="gray")[:, :70].max() <= 20, "the left of the camera's own picture is its top"
    assert shown.to_ndarray(format="gray")[:, 90:].min() > 150


@pytest.mark.parametrize(
    ("upside_down", "rotate", "flip"), [(False, 180, 1), (True, 180, 0), (False, 270, 1), (True, 90, 1)]
)
def test_half_a_turn_is_left_to_the_camera(upside_down: bool, rotate: int, flip: int) -> None:
    made = bench([100], upside_down=upside_down, rotate=rotate)
    assert (made.config["transform"].hflip, made.config["transform"].vflip) == (flip, flip)
    made.ribbon.close()


def test_exposure_and_gain_of_the_newest_frame_are_known() -> None:
    made = bench([10])
    some(made.ribbon, 1)
    assert (made.ribbon.exposure_seconds, made.ribbon.gain) == (0.02, 2.5)


def test_missed_frames_are_counted_as_dropped() -> None:
    made = bench([10, 20, 30])
    frames = made.ribbon.frames(never)
    next(frames)
    made.world.opened[0].stamp += 300_000_000
    next(frames)
    next(frames)
    assert made.ribbon.dropped == 3


def test_photo_is_in_colour_and_full_size_while_detection_sees_the_same_frame() -> None:
    made = bench([10, 90, 30])
    frames = made.ribbon.frames(never)
    next(frames)
    taken: list[np.ndarray[Any, Any]] = []
    asker = threading.Thread(target=lambda: taken.append(made.ribbon.still()))
    asker.start()
    while not made.ribbon._still_requests:  # the thread asks before it waits, and nothing else can be seen of it
        assert asker.is_alive()
    seen = next(frames)
    asker.join(60)
    assert seen is not None
    assert int(seen.image[0, 0]) == 90
    assert taken[0].shape == (1080, 1920, 3)
    assert abs(int(taken[0][5, 5, 1]) - round((90 - 16) * 1.164)) <= 2
    assert taken[0].std() == 0, "no padding"


def test_photo_from_a_silent_camera_times_out() -> None:
    made = bench(timeout_seconds=1.0)
    with pytest.raises(Unavailable, match="has delivered no frame for 1 s"):
        made.ribbon.still()


def test_silent_camera_is_lost_after_the_timeout() -> None:
    made = bench([10, *[None] * 100], timeout_seconds=3.0)
    found: list[Frame | None] = []
    with pytest.raises(Unavailable, match="has delivered no frame for 3 s; check that its ribbon cable is seated"):
        found.extend(made.ribbon.frames(never))
    assert made.world.clock.now == pytest.approx(1000.1 + 3, abs=0.21)
    made.ribbon.close()


def test_camera_error_is_reported_with_its_cause() -> None:
    made = bench([RuntimeError("Camera frontend has timed out!")])
    with pytest.raises(Unavailable, match="is lost: RuntimeError: Camera frontend has timed out!"):
        next(made.ribbon.frames(never))


def test_missing_camera_is_reported_in_one_sentence() -> None:
    with pytest.raises(Unavailable, match="no CSI camera number 0, libcamera lists none; check that"):
        bench(world={"cameras": 0})
    with pytest.raises(Unavailable, match="no CSI camera number 2, libcamera lists 1"):
        bench(camera_number=2)


def test_camera_in_use_by_another_program_is_reported() -> None:
    made = bench()
    made.world.busy = True
    with pytest.raises(Unavailable, match="another program has the CSI camera open, such as rpicam-vid"):
        made.open()


def test_camera_that_cannot_be_configured_is_closed() -> None:
    with pytest.raises(Unavailable, match="does not start: RuntimeError: Control FrameDurationLimits is not"):
        bench(world={"controls": ()})
    assert double.Picamera2.world.opened[0].closed


def test_missing_picamera2_is_reported_with_the_package_name() -> None:
    try:
        import picamera2 as _  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("picamera2 is installed here")
    with pytest.raises(Unavailable, match=r"needs picamera2 .*: install the package python3-picamera2"):
        open_backend(Values({"backend": "picamera2"}), ErrorReporter("camera", print), lambda: BASE_NS, lambda: 0.0)


def test_picamera2_rejects_a_source() -> None:
    with pytest.raises(Unavailable, match=r"is picamera2 and the source is hall\.avi; remove one of the two"):
        open_backend(
            Values({"backend": "picamera2", "source": "hall.avi"}),
            ErrorReporter("c", print),
            lambda: BASE_NS,
            lambda: 0.0,
        )


# --- clips -------------------------------------------------------------------------------------------


def record(made: Bench) -> tuple[dict[str, object], Media]:
    """Media told of ten quiet seconds, two with motion and quiet again; the fields of the event's end."""
    from collectors.camera.events import EventTracker

    media = Media(made.ribbon, made.values, made.report, lambda: BASE_NS, lambda _: Usage())
    events: EventTracker[Frame] = EventTracker("front", 3, 5.0)
    fields: dict[str, object] = {}
    for number, frame in enumerate(made.ribbon.frames(never)):
        if frame is None:
            break
        seen = MOVING if 100 <= number < 120 else Detection()
        media.on_frame(frame, seen)
        for event in events.update(frame.seconds, BASE_NS, seen, frame):
            fields.update(media.on_event(event))
    return fields, media


def test_clip_from_the_encoder_includes_the_time_before_and_after(tmp_path: Path) -> None:
    script = [10 + number for number in range(220)]
    made = bench([*script, None], media_dir=str(tmp_path), pre_capture_seconds=2.0, post_capture_seconds=1.0)
    fields, media = record(made)
    media.close()
    made.ribbon.close()
    assert made.errors == []
    clip = tmp_path / str(fields["clip_path"])
    assert sizes(clip) == {(1920, 1080)}
    # Brightness is 10 at the beginning and one more each tenth of a second; H.264 has black at 16 and white at 235.
    levels = [(told * 10 + 10) / 1.164 + 16 for _, told in shown(clip)]
    began, ended = (levels[0] - 10) / 10, (levels[-1] - 10) / 10
    assert 7.0 <= began <= 8.1, "two seconds before the motion, or up to one more"
    assert ended >= 12.7, "one second after it, or the pause until the event had ended"
    assert (tmp_path / str(fields["snapshot_path"])).stat().st_size > 1000


def test_backend_supports_stills_and_clips() -> None:
    made = bench()
    assert isinstance(made.ribbon, SupportsStills)
    assert isinstance(made.ribbon, SupportsClips)
    again = ReconnectingCsiCamera(made.ribbon, made.open, made.report, 60.0)
    assert isinstance(again, SupportsStills)
    assert isinstance(again, SupportsClips)


def test_clip_with_an_unwritable_end_is_an_error(tmp_path: Path) -> None:
    made = bench([10] * 30, media_dir=str(tmp_path), pre_capture_seconds=0.0)
    path = tmp_path / "clip.mp4"
    frames = made.ribbon.frames(never)
    for _ in range(15):
        next(frames)
    made.ribbon.begin_clip(str(path))
    for _ in range(10):
        next(frames)
    output = made.ribbon._circular._output
    stop = output.stop

    def cut() -> None:
        stop()
        path.write_bytes(path.read_bytes()[:-100])

    output.stop = cut
    with pytest.raises(OSError, match="the end of the file could not be written"):
        made.ribbon.end_clip()


def test_clip_that_the_disk_rejects_is_an_error() -> None:
    made = bench([10] * 30, media_dir="/nowhere", pre_capture_seconds=0.0)
    made.ribbon.begin_clip("/nowhere/clip.mp4")
    some(made.ribbon, 25)
    with pytest.raises(OSError, match="No such file"):
        made.ribbon.end_clip()


def test_clip_interrupted_by_shutdown_is_complete_until_then(tmp_path: Path) -> None:
    made = bench([10 + number for number in range(60)], media_dir=str(tmp_path), pre_capture_seconds=1.0)
    media = Media(made.ribbon, made.values, made.report, lambda: BASE_NS, lambda _: Usage())
    frames = made.ribbon.frames(never)
    for number in range(60):
        frame = next(frames)
        assert frame is not None
        media.on_frame(frame, Detection())
        if number == 30:
            path = media.video(60)
        if number == 35:
            settle(media)
    media.close()
    made.ribbon.close()
    levels = [round((told * 10 + 10) / 1.164 + 16) for _, told in shown(tmp_path / path)]
    assert levels[-1] == pytest.approx(69, abs=2)
    assert made.errors == []


def settle(media: Media) -> None:
    """Wait until the thread has done all that it was given."""
    done = threading.Event()
    assert media._recorder is not None
    assert media._recorder.submit(done.set)
    assert done.wait(60)


def test_clip_during_which_the_camera_is_lost_is_kept_until_then(tmp_path: Path) -> None:
    script: list[int | Exception | None] = [*[50] * 40, RuntimeError("the cable is out"), *[90] * 40]
    made = bench(script, media_dir=str(tmp_path), pre_capture_seconds=1.0, post_capture_seconds=1.0)
    again = ReconnectingCsiCamera(made.ribbon, made.open, made.report, 0.02)
    media = Media(again, made.values, made.report, lambda: BASE_NS, lambda _: Usage())
    count, path = 0, ""
    for frame in again.frames(threading.Event().wait):
        if frame is None:
            continue
        media.on_frame(frame, Detection())
        count += 1
        if count == 30:
            path = media.video(2)
        if count == 31:
            settle(media)
        if count == 80:
            break
    media.close()
    again.close()
    levels = {round(((told * 10 + 10) / 1.164 + 16) / 10) for _, told in shown(tmp_path / path)}
    assert levels == {5}, "the pictures before the loss, and none after it"


def test_status_includes_the_exposure() -> None:
    made = bench([10] * 30)
    watch = CameraCollector(
        made.ribbon,
        Config(frames=25, status_seconds=1.0),
        made.report,
        lambda: BASE_NS,
        timer=made.world.clock,
        stopwatch=lambda: 0.0,
    )
    metrics = [metric for batch in watch.stream(never) for metric in batch]
    watch.close()
    assert {(metric.fields["exposure_seconds"], metric.fields["gain"]) for metric in metrics} == {(0.02, 2.5)}
    assert [each for metric in metrics for each in violations(metric, MEASUREMENTS)] == []


def test_camera_that_cannot_be_closed_is_reported_and_reopened() -> None:
    made = bench([10, RuntimeError("the cable is out"), 20])
    first = made.world.opened[0]

    def close() -> None:
        raise RuntimeError("Failed to release camera")

    first.close = close  # type: ignore[method-assign]
    again = ReconnectingCsiCamera(made.ribbon, made.open, made.report, 0.02)
    frames = (frame for frame in again.frames(threading.Event().wait) if frame is not None)
    assert [int(next(frames).image[0, 0]) for _ in range(2)] == [10, 20]
    assert any("could not be closed: RuntimeError: Failed to release camera" in error for error in made.errors)
    frames.close()
    again.close()


# --- reconnecting -------------------------------------------------------------------------------------


def test_lost_camera_is_reopened() -> None:
    made = bench([10, RuntimeError("the cable is out"), 20, 30])
    again = ReconnectingCsiCamera(made.ribbon, made.open, made.report, 0.05)
    frames: Iterator[Frame | None] = again.frames(threading.Event().wait)
    levels: list[int] = []
    while len(levels) < 3:
        frame = next(frames)
        if frame is not None:
            levels.append(int(frame.image[0, 0]))
    assert levels == [10, 20, 30]
    assert [camera.closed for camera in made.world.opened] == [True, False]
    (error,) = made.errors
    assert "the cable is out; reconnecting" in error
    again.close()
    assert made.world.opened[1].closed
