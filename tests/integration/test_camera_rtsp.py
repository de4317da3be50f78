"""Streams from a real RTSP server, with the faults of cameras and networks."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from collectors.camera.backends import Backend, Frame, open_backend
from collectors.camera.collector import CameraCollector
from collectors.camera.settings import load_config
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.settings import Values
from tests.integration.rtsp import RtspServer, published, rtsp_server

#: No test waits longer than this for anything.
BOUND_SECONDS = 180.0


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    """One server for all tests that do not kill it."""
    with rtsp_server() as started:
        yield started


def opened(url: str, errors: list[str], **values: object) -> Backend:
    """The camera at that address."""
    given = {"source": url, "timeout_seconds": BOUND_SECONDS, "reconnect_seconds": 0.0, **values}
    return open_backend(Values(given), ErrorReporter("camera", errors.append), time.time_ns, time.monotonic)


def until(backend: Backend, done: Callable[[Frame], bool]) -> list[Frame]:
    """The frames up to the expected one."""
    end = time.monotonic() + BOUND_SECONDS
    seen: list[Frame] = []
    for frame in backend.frames(lambda _seconds: False):
        assert time.monotonic() < end, "the frame that the test waits for has not come"
        if frame is not None:
            seen.append(frame)
            if done(frame):
                return seen
    raise AssertionError("the stream has ended")


def said(url: str, **values: object) -> str:
    """The error for the camera at that address."""
    with pytest.raises(Unavailable) as caught:
        opened(url, [], **values)
    return str(caught.value)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_stream_arrives_whole_over_each_transport(server: RtspServer, transport: str) -> None:
    with published(server, f"whole-{transport}"):
        backend = opened(server.url(f"whole-{transport}"), [], rtsp_transport=transport)
        count = itertools.count(1)
        frames = until(backend, lambda _frame: next(count) == 20)
        backend.close()
    assert {frame.colour().shape for frame in frames} == {(240, 320, 3)}
    assert not frames[-1].damaged


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_stream_of_key_frames_alone_is_read(server: RtspServer, codec: str) -> None:
    with published(server, f"keys-{codec}", codec=codec, keys=1):
        backend = opened(server.url(f"keys-{codec}"), [])
        count = itertools.count(1)
        frames = until(backend, lambda _frame: next(count) == 10)
        backend.close()
    assert not any(frame.damaged for frame in frames)


def test_key_frame_that_is_far_away_is_named(server: RtspServer) -> None:
    with published(server, "rare-keys", keys=600):
        sentence = said(server.url("rare-keys"), timeout_seconds=5.0)
    assert "h264 packets arrived, and no key frame among them" in sentence
    assert "key frame interval" in sentence


def test_wrong_login_and_wrong_path_have_different_errors(server: RtspServer) -> None:
    with published(server, "private"):
        assert "answers with status 401; check the user and the password" in said(server.url("private", "cam:wrong@"))
        assert "answers with status 401;" in said(server.url("private"))
        backend = opened(server.url("private", "cam:secret@"), [])
        until(backend, lambda _frame: True)
        backend.close()
    assert "answers with status 404; check the path" in said(server.url("nothing-here"))


def test_sound_alone_is_named(server: RtspServer) -> None:
    with published(server, "sound", codec="pcm_mulaw"):
        assert "it sends audio, and no video;" in said(server.url("sound"))


def test_stream_is_reopened_after_the_server_was_killed() -> None:
    errors: list[str] = []
    with rtsp_server() as server:
        with published(server, "hall"):
            backend = opened(server.url("hall"), errors, reconnect_seconds=1.0)
            frames = backend.frames(lambda seconds: bool(threading.Event().wait(min(seconds, 0.05))))
            assert next(frame for frame in frames if frame is not None).colour().shape == (240, 320, 3)
            server.kill()
            assert next(frames for frame in frames if frame is None)
            _wait_for(frames, lambda: any("reconnecting" in each for each in errors))
        server.start()
        # The camera may have another size, and another codec, when it is back.
        with published(server, "hall", codec="libx265", size=(640, 480)):
            end = time.monotonic() + BOUND_SECONDS
            for frame in frames:
                assert time.monotonic() < end
                if frame is not None and frame.colour().shape == (480, 640, 3):
                    break
        backend.close()
    assert any("hall" not in each and "127.0.0.1" in each for each in errors)


def _wait_for(frames: Iterator[Frame | None], done: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND_SECONDS
    while not done():
        assert time.monotonic() < end
        next(frames)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_lost_packets_are_counted_and_are_no_event(server: RtspServer, codec: str) -> None:
    errors: list[str] = []
    values = Values(
        {
            "source": server.url(f"lossy-{codec}"),
            "rtsp_transport": "udp",
            "status_seconds": 1.0,
            "timeout_seconds": BOUND_SECONDS,
            "reconnect_seconds": 0.0,
            "thumbnail_width": 64,
        }
    )
    report = ErrorReporter("camera", errors.append)
    metrics: list[Metric] = []
    with published(server, f"lossy-{codec}", codec=codec, size=(640, 480)):
        backend = open_backend(values, report, time.time_ns, time.monotonic)
        collector = CameraCollector(
            backend, load_config(values), report, time.time_ns, timer=time.monotonic, stopwatch=time.perf_counter
        )
        end = time.monotonic() + BOUND_SECONDS
        server.lose(20)
        try:
            for batch in collector.stream(lambda _seconds: False):
                metrics.extend(batch)
                damaged = sum(int(each.fields["damaged"]) for each in metrics if "damaged" in each.fields)
                if damaged >= 30 or time.monotonic() > end:
                    break
        finally:
            server.lose(0)
            collector.close()
    assert damaged >= 30
    assert [each for each in metrics if each.series.measurement == "camera_event"] == []
    assert any("arrive damaged, and only large motion is detected in them" in each for each in errors)


@pytest.mark.parametrize("change", [("libx265", (320, 240)), ("libx264", (640, 480))], ids=["codec", "size"])
def test_other_codec_or_size_after_a_stream_was_away_is_followed(
    server: RtspServer, change: tuple[str, tuple[int, int]]
) -> None:
    codec, size = change
    path = f"changes-{codec}-{size[0]}"
    errors: list[str] = []
    with published(server, path):
        backend = opened(server.url(path), errors, reconnect_seconds=1.0, timeout_seconds=5.0)
        frames = backend.frames(lambda seconds: bool(threading.Event().wait(min(seconds, 0.05))))
        assert next(frame for frame in frames if frame is not None).colour().shape == (240, 320, 3)
    with published(server, path, codec=codec, size=size):
        end = time.monotonic() + BOUND_SECONDS
        expected = (size[1], size[0], 3)
        reopened = False
        for frame in frames:
            assert time.monotonic() < end
            reopened |= frame is None
            if frame is not None and reopened and frame.colour().shape == expected and not frame.damaged:
                break
        backend.close()
    assert any("reconnecting" in each for each in errors)
