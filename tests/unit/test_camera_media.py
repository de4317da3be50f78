"""The camera's media: the pictures in a clip, the paths of files, and a full disk."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from collectors.camera.encoding import PackedFrame
from collectors.camera.media import Media, MediaError
from collectors.camera.media.recorder import Clip
from collectors.camera.media.software import SoftwareRecorder
from collectors.camera.media.store import Store
from collectors.core.api import Unavailable
from tests.unit.camera_media_support import BASE_NS, MOVING, Bench, Usage, boxes, picture, shown, sizes

EVENT = "2026/11/21/20261121T080005.000000Z-front-door"


def visit(bench: Bench, until: float = 12.0) -> dict[str, object]:
    """Five quiet seconds, two with motion, and quiet again; the fields of the end point."""
    bench.show(0, 5)
    frame = bench.show(5, 5.3, MOVING)
    assert bench.event("start", 5, 0.2, frame) == {}
    best = bench.show(5.3, 7, MOVING)
    bench.show(7, until)
    return bench.event("end", 5, 1.9, best)


def test_clip_includes_the_time_before_and_after_the_motion(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pre_capture_seconds=2.0, post_capture_seconds=1.0)
    assert visit(bench) == {"snapshot_path": f"{EVENT}.jpg", "clip_path": f"{EVENT}.mp4"}
    bench.media.close()
    found = shown(tmp_path / f"{EVENT}.mp4")
    times = [time for time, _ in found]
    assert times == pytest.approx([number / 10 for number in range(len(found))], abs=0.001)
    assert [told for _, told in found] == pytest.approx([3 + time for time in times], abs=0.25)
    assert [found[0][1], found[-1][1]] == pytest.approx([3, 7.9], abs=0.15)
    assert bench.errors == []
    assert bench.files() == [f"{EVENT}.jpg", f"{EVENT}.mp4"]


def test_index_of_a_clip_comes_before_its_pictures(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    visit(bench)
    bench.media.close()
    found = boxes(tmp_path / f"{EVENT}.mp4")
    assert found.index("moov") < found.index("mdat")


def test_snapshot_is_the_best_image_in_full_size(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    visit(bench)
    bench.media.close()
    image = cv2.imread(str(tmp_path / f"{EVENT}.jpg"))
    assert image is not None
    assert image.shape == (120, 160, 3)
    assert float(image.mean()) == pytest.approx(10 + 69, abs=2)


def test_clip_omits_the_pause_between_two_motions_of_one_event(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, pre_capture_seconds=1.0, post_capture_seconds=1.0)
    bench.show(0, 2)
    frame = bench.show(2, 2.3, MOVING)
    bench.event("start", 2, 0.2, frame)
    bench.show(2.3, 10)
    best = bench.show(10, 11, MOVING)
    bench.show(11, 13)
    bench.event("end", 2, 8.9, best)
    bench.media.close()
    found = shown(next(tmp_path.rglob("*.mp4")))
    assert [told for _, told in found if 3.5 < told < 8.8] == []
    assert found[0][1] == pytest.approx(1, abs=0.15)
    assert found[-1][1] == pytest.approx(11.9, abs=0.2)
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(found)) == pytest.approx(1.0, abs=0.01)


def test_clip_length_is_limited(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pre_capture_seconds=1.0, clip_seconds_most=3.0)
    bench.show(0, 2)
    bench.event("start", 2, 0.2, bench.show(2, 2.3, MOVING))
    best = bench.show(2.3, 20, MOVING)
    assert not bench.media.recording
    fields = bench.event("end", 2, 18, best)
    bench.media.close()
    found = shown(tmp_path / str(fields["clip_path"]))
    assert found[-1][0] == pytest.approx(3.0, abs=0.3)


def test_interrupted_event_has_its_media(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.show(0, 2)
    bench.event("start", 2, 0.2, bench.show(2, 2.3, MOVING))
    fields = bench.event("end", 2, 1.0, bench.show(2.3, 3, MOVING))
    bench.media.close()
    assert set(bench.files()) == {fields["snapshot_path"], fields["clip_path"]}


def test_media_of_an_event_are_complete_though_no_frame_follows(tmp_path: Path) -> None:
    bench = Bench(tmp_path, event_gap_seconds=10.0, post_capture_seconds=60.0)
    bench.show(0, 2)
    bench.event("start", 2, 0.2, bench.show(2, 2.3, MOVING))
    best = bench.show(2.3, 3, MOVING)
    bench.media.on_idle(100 + 12.8)
    assert bench.media.recording
    fields = bench.event("end", 2, 1.0, best)
    bench.media.on_idle(100 + 12.9)
    assert not bench.media.recording
    bench.await_writing()
    # Nothing is closed yet: the same files would remain after a power cut.
    assert bench.files() == [fields["snapshot_path"], fields["clip_path"]]
    assert shown(tmp_path / str(fields["clip_path"]))[-1][1] == pytest.approx(2.9, abs=0.15)
    bench.media.close()
    assert bench.errors == []


def test_requested_clip_is_complete_though_no_frame_follows(tmp_path: Path) -> None:
    bench = Bench(tmp_path, event_gap_seconds=10.0)
    bench.show(0, 2)
    relative = bench.media.video(5.0)
    bench.show(2, 3)
    bench.media.on_idle(100 + 6.8)
    assert bench.media.recording
    bench.media.on_idle(100 + 7.0)
    assert not bench.media.recording
    bench.await_writing()
    assert bench.files() == [relative]
    bench.media.close()


def test_event_that_starts_with_the_last_frame_has_its_clip(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.show(0, 2)
    last = bench.show(2, 2.3, MOVING)
    bench.event("start", 2, 0.2, last)
    fields = bench.event("end", 2, 0.2, last)
    bench.media.close()
    assert shown(tmp_path / str(fields["clip_path"]))[-1][1] == pytest.approx(2.2, abs=0.15)
    assert bench.errors == []


def test_size_change_starts_a_new_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pre_capture_seconds=1.0)
    bench.show(0, 2)
    bench.event("start", 2, 0.2, bench.show(2, 2.3, MOVING))
    bench.show(2.3, 3, MOVING)
    best = bench.show(3, 4, MOVING, size=(200, 151))
    fields = bench.event("end", 2, 2, best)
    bench.media.close()
    first = str(fields["clip_path"])
    second = first.replace(".mp4", "-2.mp4")
    assert sizes(tmp_path / first) == {(160, 120)}
    assert sizes(tmp_path / second) == {(200, 150)}
    assert bench.errors == []


def test_frames_too_large_for_the_buffer_are_packed_as_jpeg_and_recorded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pre_capture_seconds=5.0, pre_capture_megabytes=1)
    bench.show(0, 5)
    bench.event("start", 5, 0.2, bench.show(5, 5.3, MOVING))
    fields = bench.event("end", 5, 2, bench.show(5.3, 7, MOVING))
    bench.media.close()
    found = shown(tmp_path / str(fields["clip_path"]))
    assert len(found) == 70
    assert [told for _, told in found] == pytest.approx([time for time, _ in found], abs=0.3)


def test_old_media_are_deleted_though_nothing_is_recorded(tmp_path: Path) -> None:
    old = tmp_path / "2026" / "11" / "20" / "20261120T080000.000000Z-front-door.jpg"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    bench = Bench(tmp_path, media_days=2, clips=False)
    bench.show(0, 1)
    bench.now_ns = BASE_NS + 2 * 86_400 * 10**9
    bench.media.on_idle(100.0 + 2 * 86_400)  # a camera that is lost, even
    bench.media.close()
    assert not old.exists()
    assert bench.errors == []


def test_clips_can_be_disabled(tmp_path: Path) -> None:
    bench = Bench(tmp_path, clips=False)
    assert visit(bench) == {"snapshot_path": f"{EVENT}.jpg"}
    with pytest.raises(MediaError, match="clips are not stored"):
        bench.media.video(1)
    bench.media.close()
    assert bench.files() == [f"{EVENT}.jpg"]


@pytest.mark.parametrize("name", ["nosuch", "", "aac", "libx264rgb"])
def test_unsupported_encoder_is_reported_at_the_start_with_the_choices(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unavailable, match=f"no video encoder '{name}' for .* frames; set clip_encoder to .*libx264"):
        Bench(tmp_path, clip_encoder=name)
    Bench(tmp_path, clip_encoder=name, clips=False).media.close()


@pytest.mark.skipif(bool(list(Path("/dev").glob("video*"))), reason="this machine may have the hardware encoder")
def test_encoder_without_hardware_is_reported_once_and_the_event_continues(tmp_path: Path) -> None:
    name = "h264_v4l2m2m"
    if name not in av.codecs_available:
        pytest.skip(f"FFmpeg is built without {name}")
    bench = Bench(tmp_path, clip_encoder=name)
    visit(bench)
    bench.media.close()
    (error,) = bench.errors
    assert f"is lost: the encoder {name} cannot be used" in error
    assert bench.files() == [f"{EVENT}.jpg"]


def test_recording_continues_when_another_day_is_removed(tmp_path: Path) -> None:
    old = tmp_path / "2026/11/01"
    old.mkdir(parents=True)
    (old / "20261101T080004.000000Z-front-door.jpg").write_bytes(b"x")  # too old after four seconds
    bench = Bench(tmp_path, media_days=20)
    bench.show(0, 5)
    bench.event("start", 5, 0.2, bench.show(5, 5.3, MOVING))
    shutil.rmtree(old)
    photo = bench.media.photo()
    fields = bench.event("end", 5, 2, bench.show(5.3, 7, MOVING))
    bench.media.close()
    assert bench.errors == []
    assert set(bench.files()) == {photo, fields["snapshot_path"], fields["clip_path"]}


class SlowFilm:
    """A file that takes no picture until it is let to."""

    def __init__(self, go: threading.Event, begun: threading.Event) -> None:
        self.seconds: list[float] = []
        self.go = go
        self.begun = begun

    def add(self, packed: PackedFrame, seconds: float) -> None:  # noqa: ARG002 - only the time matters
        self.begun.set()
        assert self.go.wait(60)
        self.seconds.append(seconds)

    def close(self) -> None:
        """There is nothing to close."""


def test_live_camera_does_not_wait_for_the_encoder_and_counts_lost_frames(tmp_path: Path) -> None:
    go, begun = threading.Event(), threading.Event()
    film = SlowFilm(go, begun)

    def open_film(path: str, _width: int, _height: int) -> SlowFilm:
        Path(path).touch()
        return film

    told: list[str] = []
    store = Store(str(tmp_path), max_bytes=10**9, max_days=9, clock_ns=lambda: BASE_NS, disk_usage=lambda _: Usage())
    recorder = SoftwareRecorder(
        store, open_film, told.append, pre_seconds=1.0, frame_rate=10, max_bytes=40 * 28_800, block=False
    )
    clip = Clip("2026/11/21/20261121T080000.000000Z-door.mp4")
    recorder.record(picture(0), clip, 0.0)
    assert begun.wait(60)
    for number in range(1, 300):
        recorder.record(picture(number / 10), clip, 0.0)
    assert recorder.buffered_bytes <= 40 * 28_800
    recorder.end(clip, float("inf"), last=True)
    go.set()
    recorder.close()
    assert film.seconds[0] == 100.0
    assert film.seconds == sorted(film.seconds)
    assert len(film.seconds) + recorder.dropped == 300
    assert told == [
        f"{recorder.dropped} frames are missing in {clip.relative}; they came faster than they could be encoded"
    ]
    assert (tmp_path / clip.relative).exists()


def test_buffer_is_bounded_and_drops_the_oldest_frames(tmp_path: Path) -> None:
    go, held = threading.Event(), threading.Event()
    go.set()
    film = SlowFilm(go, threading.Event())

    def open_film(path: str, _width: int, _height: int) -> SlowFilm:
        Path(path).touch()
        return film

    def hold() -> None:
        held.set()
        assert release.wait(60)

    release = threading.Event()
    told: list[str] = []
    store = Store(str(tmp_path), max_bytes=10**9, max_days=9, clock_ns=lambda: BASE_NS, disk_usage=lambda _: Usage())
    recorder = SoftwareRecorder(
        store, open_film, told.append, pre_seconds=0.1, frame_rate=10, max_bytes=80_000, block=False
    )
    clip = Clip("2026/11/21/20261121T080000.000000Z-door.mp4")
    assert recorder.submit(hold)
    assert held.wait(60)
    for number in range(6):
        recorder.record(picture(number / 10), clip, 0.0)
    recorder.end(clip, float("inf"), last=True)
    release.set()
    recorder.close()
    # All six were there before one could be encoded, and two of them, 28,800 bytes each, have room.
    assert film.seconds == pytest.approx([100.4, 100.5])
    assert told == [f"4 frames are missing in {clip.relative}; they came faster than they could be encoded"]


# --- what control asks for ---------------------------------------------------------------------------


def test_without_a_folder_only_the_newest_frame_is_available() -> None:
    bench = Bench(None)
    with pytest.raises(MediaError, match="has delivered no frame yet"):
        bench.media.snapshot_jpeg()
    assert visit(bench) == {}
    image = cv2.imdecode(np.frombuffer(bench.media.snapshot_jpeg(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert float(image.mean()) == pytest.approx(10 + 119, abs=2)
    assert (bench.media.root, bench.media.recording) == ("", False)
    for ask in (bench.media.photo, lambda: bench.media.video(1)):
        with pytest.raises(MediaError, match="set media_dir"):
            ask()
    bench.media.close()


def test_newest_frame_is_encoded_once() -> None:
    bench = Bench(None)
    bench.show(0, 1)
    assert bench.media.snapshot_jpeg() is bench.media.snapshot_jpeg()


def test_photo_exists_when_its_path_is_returned(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.show(0, 1)
    path = bench.media.photo()
    assert path == "2026/11/21/20261121T080000.900000Z-front-door-photo.jpg"
    assert cv2.imread(str(tmp_path / path)) is not None
    bench.media.close()


def test_requested_video_includes_the_time_before_and_ends_by_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pre_capture_seconds=1.0)
    bench.show(0, 4)
    path = bench.media.video(2)
    assert bench.media.recording
    assert bench.media.video(1.5) == path, "one at a time"
    bench.show(4, 8)
    assert not bench.media.recording
    bench.media.close()
    found = shown(tmp_path / path)
    assert [found[0][1], found[-1][1]] == pytest.approx([2.9, 5.9], abs=0.15)
    assert path.endswith("Z-front-door-video.mp4")


def test_event_during_a_video_shares_its_clip(tmp_path: Path) -> None:
    bench = Bench(tmp_path, post_capture_seconds=1.0)
    bench.show(0, 4)
    path = bench.media.video(2)
    assert visit(bench, until=12)["clip_path"] == path
    bench.media.close()
    assert bench.files() == sorted([path, f"{EVENT}.jpg"])


@pytest.mark.parametrize("seconds", [0.0, -1.0, 121.0, float("nan")])
def test_invalid_video_length_is_rejected(tmp_path: Path, seconds: float) -> None:
    bench = Bench(tmp_path)
    bench.show(0, 1)
    with pytest.raises(ValueError, match="must be more than 0 and at most 120 s"):
        bench.media.video(seconds)
    bench.media.close()


# --- the disk ----------------------------------------------------------------------------------------


def test_full_disk_is_reported_and_detection_continues(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda _: Usage(free=10**12 // 25))
    visit(bench)
    with pytest.raises(MediaError, match="is full except for 5%"):
        bench.media.photo()
    with pytest.raises(MediaError, match="is full except for 5%"):
        bench.media.video(1)
    bench.media.close()
    assert bench.files() == []
    assert any("the clip" in error and "is full except for 5%" in error for error in bench.errors)


def test_disk_that_fills_up_during_a_clip_loses_only_that_clip(tmp_path: Path) -> None:
    free = 10**12 // 2
    bench = Bench(tmp_path, lambda _: Usage(free=free))
    bench.show(0, 2)
    bench.event("start", 2, 0.2, bench.show(2, 4, MOVING))
    bench.show(4, 5, MOVING)
    free = 10**10
    best = bench.show(5, 9, MOVING)
    free = 10**12 // 2
    fields = bench.event("end", 2, 6, best)
    bench.media.close()
    assert bench.files() == [fields["snapshot_path"]]
    (error,) = bench.errors
    assert "the clip 2026/11/21/20261121T080002.000000Z-front-door.mp4 is lost: the disk of" in error


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def noise(bench: Bench, begin: float, end: float) -> None:
    """Pictures that do not get small."""
    generator = np.random.default_rng(1)
    for number in range(round(begin * 10), round(end * 10)):
        frame = picture(number / 10)
        image = generator.integers(0, 255, (240, 320, 3), np.uint8)
        bench.media.on_frame(frame._replace(image=image), MOVING)


def test_real_full_disk_loses_only_that_clip(small_disk: Path) -> None:
    # It is asked as seldom as never, so that the disk is what refuses.
    bench = Bench(small_disk, lambda _: Usage())
    noise(bench, 0, 2)
    bench.event("start", 2, 0.2, picture(2))
    noise(bench, 2, 12)
    bench.event("end", 2, 9, picture(12))
    bench.media.close()
    assert [name for name in bench.files() if not name.endswith(".jpg")] == []
    assert any(f"is lost: {os.strerror(errno.ENOSPC)}" in error for error in bench.errors), bench.errors


def test_two_cameras_cannot_share_a_folder(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    with pytest.raises(Unavailable, match=r"another camera stores its media in .*; give each its own folder"):
        Bench(tmp_path)
    first.media.close()
    Bench(tmp_path).media.close()


def test_media_is_a_frame_listener(tmp_path: Path) -> None:
    from collectors.camera.collector import FrameListener

    media: FrameListener = Bench(tmp_path).media
    assert isinstance(media, Media)
    media.close()
