"""Pictures from FFmpeg through PyAV: what files and streams share.

FFmpeg hands out pictures that have lost a part, conceals it with an earlier picture, and builds further pictures on
them. All of these are marked as damaged, so that damage is never taken for motion.

Its decoders mark some of these pictures; of packets that never came, and of pictures that are missing as a whole, only
its log says so.
"""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import numpy as np
from av.video.plane import VideoPlane
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
#: Of these, the ones whose brightness runs from 0 to 255 by definition; in others, it may run from 16 to 235.
_FULL_RANGE = frozenset(("yuvj420p", "yuvj422p", "yuvj444p", "gray"))
_JPEG_RANGE = int(ColorRange.JPEG)
#: FFmpeg's messages about lost packets, lost pictures, and parts of a picture that it conceals.
_LOSS = re.compile(
    "RTP: missed|bad cseq|Frame num gap|Missing reference picture|Could not find ref with POC|concealing"
    "|error while decoding MB|Packet corrupt"
)


class _LossLog(logging.Handler):
    """Records the threads whose FFmpeg messages report a loss; without messages it costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the thread of a message about a loss."""
        if _LOSS.search(record.getMessage()):
            self._threads.add(threading.get_ident())

    def take(self) -> bool:
        """Whether a loss was logged in this thread since the last call."""
        if not self._threads or (thread := threading.get_ident()) not in self._threads:
            return False
        self._threads.remove(thread)
        return True


_losses = _LossLog()
av.logging.set_level(av.logging.WARNING)
av.logging.set_skip_repeated(False)
# Nothing else of FFmpeg's log is used; the collector reports errors itself.
logging.getLogger("libav").addHandler(_losses)
logging.getLogger("libav").propagate = False

#: Key frames are far apart beyond this; the number of entries of an index that are considered.
_FAR_SECONDS, _MAX_ENTRIES = 6.0, 2000
#: Damage lasts until a key frame, or for this many pictures: some encoders renew the picture in parts instead.
_MAX_DAMAGED = 250


class Decoded(NamedTuple):
    """A picture of FFmpeg.

    Args:
        frame: the picture.
        damaged: whether a part of it was lost, or of a picture that it is built on.
        seconds: the container's time; None if it states none.
        lost: whether a part of this very picture was lost.
    """

    frame: VideoFrame
    damaged: bool
    seconds: float | None
    lost: bool


class Picture(NamedTuple):
    """The image of a frame, with the means to obtain its colours.

    Args:
        image: the brightness, or blue, green and red.
        render: makes the picture in colour of the brightness; None if it is in colour.
        video_range: whether grey levels run from 16 to 235.
        render_planes: copies the planes as YUV 4:2:0; None if they have another form.
    """

    image: Image
    render: Callable[[], Image] | None = None
    video_range: bool = False
    render_planes: Callable[[], Image] | None = None


class Video:
    """The first video of an open container.

    Args:
        container: the file or stream.
        stream: its video.
        shown: the source, for messages.
        smooth: whether the edges of blocks are smoothed, which a sixth of decoding goes into. They are in any case if
            the file states key frames that are far apart: until the next one, each picture deviates a little more.

    Raises:
        Unavailable: its pictures are too large to decode.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, shown: str, *, smooth: bool = True) -> None:
        self.container = container
        self.stream = stream
        #: Number of packets with data, of those with a key frame, and of those that could not be decoded.
        self.packets = self.keys = self.failed = 0
        context = stream.codec_context
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
        if not smooth and not _keys_are_far_apart(container, stream):
            context.options = {**context.options, "skip_loop_filter": "nokey"}
        # With more threads FFmpeg neither conceals lost parts of a picture nor says so, or delays pictures.
        context.thread_count = 1
        self._packets = container.demux(stream)
        # AVI states no time at which to show a picture, only the order of its packets.
        self._in_order = container.format.name == "avi"
        self._unit = stream.time_base
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

    def grey(self, frame: VideoFrame) -> Picture | None:
        """A picture's brightness, or the picture in colour; None for one that is too large.

        FFmpeg decodes brightness and colour into separate planes, so brightness needs no conversion.
        """
        name = frame.format.name
        width, height = frame.width, frame.height
        if name not in _PLANAR or not 0 < width * height <= MAX_PIXELS or frame.rotation:
            whole = self.image(frame)
            return None if whole is None else Picture(whole)
        plane = VideoPlane(frame, 0)
        # The plane keeps the frame alive, and the array the plane.
        image: Image = np.ndarray((height, width), np.uint8, memoryview(plane), strides=(plane.line_size, 1))
        full = name in _FULL_RANGE or frame.color_range == _JPEG_RANGE
        # Clips are encoded from planes of even sizes and this range.
        plain = name == "yuv420p" and not full and not (width | height) & 1
        return Picture(image, lambda: self._colour(frame), not full, frame.to_ndarray if plain else None)

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
        try:
            frames = self._next_frames()
        finally:
            self._lost |= _losses.take()
        for frame in frames:
            lost, self._lost = self._lost or frame.is_corrupt, False
            self._waiting.append(Decoded(frame, self._is_damaged(frame, lost), self._seconds(frame), lost))

    def _next_frames(self) -> list[VideoFrame]:
        try:
            packet = next(self._packets, None)
        except IndexError:
            # A damaged file may announce further streams; at its end, PyAV searches for them and fails.
            self._packets = iter(())
            return self.stream.codec_context.decode(None)
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
        ticks = frame.dts if self._in_order or frame.pts is None else frame.pts
        unit = self._unit
        return None if ticks is None or unit is None else ticks * unit.numerator / unit.denominator

    def _is_damaged(self, frame: VideoFrame, lost: bool) -> bool:
        if lost:
            self._damaged_left = _MAX_DAMAGED
        elif frame.key_frame or self._damaged_left == 0:
            self._damaged_left = 0
            return False
        self._damaged_left -= 1
        return True


def _keys_are_far_apart(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the beginning of a file's index has two key frames far apart; False if there is no index."""
    entries = list(itertools.islice(stream.index_entries, _MAX_ENTRIES))
    if not entries or stream.time_base is None:
        return False
    times = [float(each.timestamp * stream.time_base) for each in entries if each.is_keyframe]
    times.append(float(entries[-1].timestamp * stream.time_base))
    if container.duration is not None and len(entries) < _MAX_ENTRIES:
        times.append(times[0] + container.duration / av.time_base)  # an index may have nothing but key frames
    return max(late - early for early, late in itertools.pairwise(times)) > _FAR_SECONDS


def open_video(
    url: str, shown: str, *, options: Mapping[str, str], smooth: bool = True, **arguments: object
) -> Video | tuple[str, ...]:
    """Open a container; the kinds of its streams if it has no video.

    Args:
        url: as FFmpeg takes it.
        shown: the source, for messages.
        options: FFmpeg's.
        smooth: see :class:`Video`.
        arguments: of ``av.open``.

    Raises:
        av.FFmpegError: it cannot be opened.
        Unavailable: its pictures are too large to decode.
    """
    try:
        opened = av.open(url, options=dict(options), **arguments)  # type: ignore[call-overload]
    finally:
        _losses.take()  # the analysis begins anywhere
    container = cast("InputContainer", opened)
    if container.streams.video:
        return Video(container, container.streams.video[0], shown, smooth=smooth)
    kinds = tuple(stream.type for stream in container.streams)
    container.close()
    return kinds
