"""Helpers for the tests of the camera's media: a backend, pictures with times, and clips read back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from collectors.camera.backends import Frame
from collectors.camera.detector import Box, Detection
from collectors.camera.events import Event, event_id
from collectors.camera.media import Media
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values

#: 2026-11-21 08:00 UTC
BASE_NS = 1_795_248_000 * 10**9
#: Grey levels per second, so that a picture encodes its time, even after H.264.
SLOPE = 10.0

MOVING = Detection(moving=True, area_percent=2.0, score=3.0, box=Box(1, 2, 3, 4))
STILL = Detection()


class Usage(NamedTuple):
    """The sizes of a disk."""

    total: int = 10**12
    free: int = 10**12 // 2


class Source:
    """A backend with a name only; the test passes pictures to the media directly."""

    name = "Front Door"
    dropped = 0

    def __init__(self, tags: Mapping[str, str]) -> None:
        self.tags = tags

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:  # noqa: ARG002
        """None: see the class."""
        return iter(())

    def close(self) -> None:
        """Nothing is open."""


def picture(seconds: float, size: tuple[int, int] = (160, 120)) -> Frame:
    """A picture that shows its time as its brightness."""
    image = np.full((size[1], size[0], 3), min(255, round(10 + SLOPE * seconds)), np.uint8)
    return Frame(image, 100.0 + seconds, BASE_NS + round(seconds * 1e9))


class Bench:
    """Media in a folder, which receive pictures and events as from the collector."""

    def __init__(self, root: Path | None, usage: Callable[[str], Usage] = lambda _: Usage(), **values: object) -> None:
        self.errors: list[str] = []
        self.now_ns = BASE_NS
        self.report = ErrorReporter("camera", self.errors.append)
        self.root = root
        if root is not None:
            values = {"media_dir": str(root), **values}
        # A source that is not live waits for the encoder, so that a busy machine loses no picture of a test.
        self.media = Media(Source({"simulated": "true"}), Values(values), self.report, lambda: self.now_ns, usage)

    def show(self, begin: float, end: float, seen: Detection = STILL, size: tuple[int, int] = (160, 120)) -> Frame:
        """Ten pictures a second from one time until another; the last of them."""
        frame = picture(begin, size)
        for number in range(round(begin * 10), round(end * 10)):
            frame = picture(number / 10, size)
            self.now_ns = frame.time_ns
            self.media.on_frame(frame, seen)
        return frame

    def event(self, kind: str, start: float, duration: float, frame: Frame) -> dict[str, object]:
        """Report an event; return the fields that its point gets."""
        start_ns = BASE_NS + round(start * 1e9)
        identity = event_id(start_ns, Source.name)
        box = Box(1, 2, 3, 4)
        event = Event(kind, identity, start_ns, duration, 3.0, 2.0, box, 9, False, frame)
        return dict(self.media.on_event(event))

    def await_writing(self) -> None:
        """Wait until everything reported so far has been written to disk."""
        done = threading.Event()
        assert self.media.root
        assert self.media._recorder is not None
        assert self.media._recorder.submit(done.set)
        done.wait()

    def files(self) -> list[str]:
        """All files below the root, temporary ones too."""
        assert self.root is not None
        found = (path for path in self.root.rglob("*") if path.is_file() and path.name != ".lock")
        return sorted(str(path.relative_to(self.root)) for path in found)


def shown(path: Path) -> list[tuple[float, float]]:
    """For each picture of a clip: its time in the clip, and the time encoded in its brightness."""
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        found = []
        for frame in container.decode(video=0):
            assert frame.time is not None
            found.append((round(frame.time, 3), (float(frame.to_ndarray(format="bgr24").mean()) - 10) / SLOPE))
        return found


def sizes(path: Path) -> set[tuple[int, int]]:
    """The sizes of the pictures of a clip."""
    with av.open(str(path)) as container:
        return {(frame.width, frame.height) for frame in container.decode(video=0)}


def boxes(path: Path) -> list[str]:
    """The kinds of the outermost boxes of an MP4 file, in their order."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        found.append(data[at + 4 : at + 8].decode("ascii"))
        at += int.from_bytes(data[at : at + 4], "big")
    assert at == len(data)
    return found
