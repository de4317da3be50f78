"""Pictures into an MP4 file, H.264 by PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av

from collectors.camera.media.pictures import Packed, unpack
from collectors.core.api import Unavailable

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_TICKS = 90_000
#: How the pixels of all pictures are laid out.
_FORMAT = "yuv420p"
#: A player can begin at every key frame, so there is one every so many seconds.
_KEY_SECONDS = 2.0
#: Where nothing was recorded for longer, as between two motions of one event, the clip goes on after this long.
LONGEST_GAP_SECONDS = 1.0
#: Constant quality, not constant size: a still picture costs next to nothing. Without latency no pictures wait in
#: the encoder, which saves 10 MB at 640x480; with it, superfast would take the same time and space.
_LIBX264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "25"}


def require(name: str) -> None:
    """Raise Unavailable, with those there are, unless PyAV's FFmpeg has a video encoder of that name for our pictures.

    Whether the machine has the hardware that an encoder is for only shows when it is used.
    """
    if _encoder(name) is None:
        found = (_encoder(each) for each in av.codecs_available)
        there = sorted({each.name for each in found if each is not None and each.canonical_name == "h264"})
        raise Unavailable(
            f"PyAV's FFmpeg has no video encoder {name!r} that takes {_FORMAT} pictures; "
            f"set clip_encoder to one of: {', '.join(there) or 'none, since it has none for H.264'}"
        )


def _encoder(name: str) -> av.Codec | None:
    try:
        codec = av.Codec(name, "w")
    except ValueError:  # FFmpeg has none of that name
        return None
    if codec.type != "video":
        return None
    formats = codec.video_formats
    return codec if not formats or any(each.name == _FORMAT for each in formats) else None


class Encoder:
    """One file being written. Its methods raise OSError when the disk is full, and ValueError for a bad encoder.

    Args:
        path: the file.
        name: FFmpeg's name of the encoder.
        width, height: of the pictures, in pixels.
        frame_rate: pictures a second, about; each has its own time all the same.
    """

    def __init__(self, path: str, name: str, width: int, height: int, frame_rate: float) -> None:
        self._longest = max(LONGEST_GAP_SECONDS, 2.0 / frame_rate)
        self._at: float | None = None
        self._ticks = 0
        self._container = av.open(path, "w", format="mp4")
        try:
            rate = Fraction(frame_rate).limit_denominator(1000)
            options = _LIBX264 if name == "libx264" else {}
            self._stream = cast("VideoStream", self._container.add_stream(name, rate=rate, options=options))
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = _FORMAT
            context = self._stream.codec_context
            context.time_base = Fraction(1, _TICKS)
            context.gop_size = max(1, round(_KEY_SECONDS * frame_rate))
            context.thread_count = 1  # a Pi has other things to do, and each thread takes pictures of its own
            context.open()
        except (av.FFmpegError, ValueError) as error:
            self._container.close()
            raise ValueError(f"the encoder {name} cannot be used ({error}); set clip_encoder to another") from None

    def add(self, packed: Packed, seconds: float) -> None:
        """The next picture and its monotonic time."""
        if self._at is not None:
            self._ticks += max(1, round(_TICKS * min(seconds - self._at, self._longest)))
        self._at = seconds
        frame = av.VideoFrame.from_ndarray(unpack(packed), format=_FORMAT)
        frame.pts = self._ticks
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is still to be written."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
