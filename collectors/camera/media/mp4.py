"""Writes frames to an MP4 file, H.264 encoded by PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av

from collectors.camera.encoding import MP4_OPTIONS, PackedFrame, unpack
from collectors.core.api import Unavailable

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_TICKS = 90_000
#: Pixel format of all frames.
_FORMAT = "yuv420p"
#: Interval of key frames, at which a player can start.
_KEY_SECONDS = 2.0
#: A longer gap between two frames, as between two motions of one event, is shortened to this.
MAX_GAP_SECONDS = 1.0
#: Constant quality rather than constant size: a still scene costs next to nothing. Without latency, no frames wait in
#: the encoder, which saves 10 MB at 640x480; with it, superfast would need the same time and space.
_LIBX264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "25"}


def require_encoder(name: str) -> None:
    """Raise Unavailable, with the choices, unless PyAV's FFmpeg has a video encoder of that name for our frames.

    Whether the machine has the hardware of an encoder only shows when it is used.
    """
    if _encoder(name) is None:
        found = (_encoder(each) for each in av.codecs_available)
        available = sorted({each.name for each in found if each is not None and each.canonical_name == "h264"})
        raise Unavailable(
            f"PyAV's FFmpeg has no video encoder {name!r} for {_FORMAT} frames; "
            f"set clip_encoder to one of: {', '.join(available) or 'none, since it has none for H.264'}"
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


class Mp4Writer:
    """An open MP4 file. Its methods raise OSError when the disk is full, and ValueError for an unusable encoder.

    Args:
        path: the file.
        name: FFmpeg's name of the encoder.
        width, height: of the frames, in pixels.
        frame_rate: approximate frames per second; each frame has its own time.
    """

    def __init__(self, path: str, name: str, width: int, height: int, frame_rate: float) -> None:
        self._max_gap = max(MAX_GAP_SECONDS, 2.0 / frame_rate)
        self._last: float | None = None
        self._ticks = 0
        self._container = av.open(path, "w", format="mp4", container_options=MP4_OPTIONS)
        try:
            rate = Fraction(frame_rate).limit_denominator(1000)
            options = _LIBX264 if name == "libx264" else {}
            self._stream = cast("VideoStream", self._container.add_stream(name, rate=rate, options=options))
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = _FORMAT
            context = self._stream.codec_context
            context.time_base = Fraction(1, _TICKS)
            context.gop_size = max(1, round(_KEY_SECONDS * frame_rate))
            context.thread_count = 1  # leave the other cores to the Pi's other work; each thread also holds frames
            context.open()
        except (av.FFmpegError, ValueError) as error:
            self._container.close()
            raise ValueError(f"the encoder {name} cannot be used ({error}); set clip_encoder to another") from None

    def add(self, packed: PackedFrame, seconds: float) -> None:
        """Encode the next frame, taken at a monotonic time."""
        if self._last is not None:
            self._ticks += max(1, round(_TICKS * min(seconds - self._last, self._max_gap)))
        self._last = seconds
        frame = av.VideoFrame.from_ndarray(unpack(packed), format=_FORMAT)
        frame.pts = self._ticks
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the file."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
