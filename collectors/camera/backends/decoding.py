"""Pictures from FFmpeg through PyAV: what files and streams share.

FFmpeg hands out pictures that have lost a part, conceals it with an earlier picture, and builds further pictures on
them. All of these are marked as damaged, so that damage is never taken for motion.

Its decoders mark some of these pictures; of packets that never came, and of pictures that are missing as a whole, only
its log says so.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from collectors.camera.detector import Image
from collectors.camera.upright import turn
from collectors.core.api import Unavailable
from collectors.core.jpeg import MAX_PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Formats whose first plane is the brightness, a byte for each pixel.
_PLANAR = frozenset(
    ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "nv12", "nv21", "gray", "yuv411p", "yuv440p")
)
#: Brightness in video runs from 16 to 235.
_VIDEO_RANGE = 255.0 / 219.0


av.logging.set_level(av.logging.WARNING)
av.logging.set_skip_repeated(False)
# Of FFmpeg's log, only the messages below are used; the collector reports errors itself.
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False

#: FFmpeg's messages about lost packets, lost pictures, and parts of a picture that it conceals.
_LOSS = re.compile(
    "RTP: missed|bad cseq|Frame num gap|Missing reference picture|Could not find ref with POC|concealing"
    "|error while decoding MB|Packet corrupt"
)
#: Damage lasts until a key frame, or for this many pictures: some encoders renew the picture in parts instead.
_MAX_DAMAGED = 250


class Decoded(NamedTuple):
    """A picture of FFmpeg.

    Args:
        frame: the picture.
        damaged: whether a part of it was lost, or of a picture that it is built on.
        seconds: the container's time; None if it states none.
    """

    frame: VideoFrame
    damaged: bool
    seconds: float | None


class Video:
    """The first video of an open container.

    Args:
        container: the file or stream.
        stream: its video.
        shown: the source, for messages.

    Raises:
        Unavailable: its pictures are too large to decode.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, shown: str) -> None:
        self.container = container
        self.stream = stream
        #: Number of packets with data, of those with a key frame, and of those that could not be decoded.
        self.packets = self.keys = self.failed = 0
        context = stream.codec_context
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
        # With more threads FFmpeg neither conceals lost parts of a picture nor says so, or delays pictures.
        context.thread_count = 1
        self._packets = container.demux(stream)
        self._waiting: deque[Decoded] = deque()
        self._lost = False
        self._damaged_left = 0
        self._reformatter = VideoReformatter()
        self._reformatting = threading.Lock()
        if context.width * context.height > MAX_PIXELS:
            container.close()
            raise Unavailable(
                f"{shown} has frames of {context.width}x{context.height}, above {MAX_PIXELS} pixels; "
                "lower its resolution"
            )

    def step(self) -> Decoded | None:
        """The next picture, or None if the next packet gave none. Raises EOFError at the end, or FFmpegError."""
        if not self._waiting:
            self._decode()
        return self._waiting.popleft() if self._waiting else None

    def pictures(self) -> Iterator[Decoded]:
        """The pictures until the end, or until the rest cannot be read."""
        while True:
            try:
                found = self.step()
            except (EOFError, av.FFmpegError, OSError):
                return
            if found is not None:
                yield found

    def grey(self, frame: VideoFrame) -> tuple[Image, Callable[[], Image] | None] | None:
        """A picture's brightness, and a function that returns it in colour; None for one that is too large.

        FFmpeg decodes brightness and colour into separate planes, so that brightness alone needs no conversion. For
        other formats, the first is the picture in colour, and the second is None.
        """
        image = None if getattr(frame, "rotation", 0) else _brightness(frame)
        if image is None:
            whole = self.image(frame)
            return None if whole is None else (whole, None)
        return image, lambda: self._colour(frame)

    def _colour(self, frame: VideoFrame) -> Image:
        image = self.image(frame)
        assert image is not None, "its brightness had the same size"
        return image

    def image(self, frame: VideoFrame) -> Image | None:
        """A picture as blue, green and red, upright; None for one that is too large."""
        if not 0 < frame.width * frame.height <= MAX_PIXELS:
            return None
        with self._reformatting:
            converted = self._reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC)
            image = np.asarray(converted.to_ndarray(), np.uint8)
        # The file's rotation is counterclockwise.
        return turn(image, round(-getattr(frame, "rotation", 0) / 90) % 4 * 90)

    def close(self) -> None:
        """Close the container."""
        self.container.close()

    def _decode(self) -> None:
        with av.logging.Capture() as messages:
            try:
                frames = self._next_frames()
            finally:
                self._lost |= any(_LOSS.search(message) for _, _, message in messages)
        for frame in frames:
            self._waiting.append(Decoded(frame, self._is_damaged(frame), self._seconds(frame)))

    def _next_frames(self) -> list[VideoFrame]:
        packet = next(self._packets, None)
        if packet is None:
            raise EOFError
        self.packets += bool(packet.size)
        self.keys += bool(packet.size) and packet.is_keyframe
        self._lost |= packet.is_corrupt
        try:
            return packet.decode()
        except EOFError:
            raise
        except av.FFmpegError:
            self.failed += 1
            self._lost = True
            return []

    def _seconds(self, frame: VideoFrame) -> float | None:
        # AVI states no time at which to show a picture, only the order of its packets.
        ticks = frame.dts if frame.pts is None or self.container.format.name == "avi" else frame.pts
        return None if ticks is None or frame.time_base is None else float(ticks * frame.time_base)

    def _is_damaged(self, frame: VideoFrame) -> bool:
        if frame.is_corrupt or self._lost:
            self._damaged_left = _MAX_DAMAGED
        elif frame.key_frame or self._damaged_left == 0:
            self._damaged_left = 0
            return False
        self._lost = False
        self._damaged_left -= 1
        return True


def _brightness(frame: VideoFrame) -> Image | None:
    """The plane of brightness, from 0 to 255; None for a picture that is too large, or has no such plane."""
    name = frame.format.name
    if name not in _PLANAR or not 0 < frame.width * frame.height <= MAX_PIXELS:
        return None
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)[: frame.height * plane.line_size]
    image: Image = rows.reshape(frame.height, plane.line_size)[:, : frame.width]
    if name.startswith("yuvj") or name == "gray" or frame.color_range == ColorRange.JPEG:
        return image
    # Video leaves a margin below and above.
    return np.asarray(cv2.addWeighted(image, _VIDEO_RANGE, image, 0.0, -16.0 * _VIDEO_RANGE), np.uint8)


def open_video(url: str, shown: str, *, options: Mapping[str, str], **arguments: object) -> Video | tuple[str, ...]:
    """Open a container; the kinds of its streams if it has no video.

    Args:
        url: as FFmpeg takes it.
        shown: the source, for messages.
        options: FFmpeg's.
        arguments: of ``av.open``.

    Raises:
        av.FFmpegError: it cannot be opened.
        Unavailable: its pictures are too large to decode.
    """
    with av.logging.Capture():  # of the analysis, nothing is used
        opened = av.open(url, options=dict(options), **arguments)  # type: ignore[call-overload]
    container = cast("InputContainer", opened)
    if container.streams.video:
        return Video(container, container.streams.video[0], shown)
    kinds = tuple(stream.type for stream in container.streams)
    container.close()
    return kinds
