"""A video file, played at its recorded speed or at another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import av

from collectors.camera import settings
from collectors.camera.backends import Frame, without_password
from collectors.camera.backends.decoding import Decoded, Video, open_video
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values

#: Containers state their length, some only as an estimate; this share of it may be missing.
_MISSING_SHARE = 0.02
#: Maximum time between two frames of a file.
_MAX_JUMP_SECONDS = 3600.0
#: Frame rate of a file that does not state one.
_DEFAULT_FRAME_RATE = 25.0
#: A raw stream has no times. Opened with this frame rate, it shows whether its codec states another.
_UNLIKELY_FRAME_RATE = Fraction(9973, 997)
#: Playback waits for a gap that is longer than this, and logs that.
_LONG_GAP_SECONDS = 60.0


class Stated(NamedTuple):
    """Properties of a video that its container states; None for others.

    Args:
        frame_rate: frames per second.
        frames: number of frames.
        seconds: duration.
    """

    frame_rate: float | None
    frames: int | None
    seconds: float | None


class VideoFile:
    """A video file. Delivers every frame.

    Args:
        path: the file.
        values: the collector's settings.
        report: takes errors.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.

    Raises:
        Unavailable: there is no such file, or no frame can be read from it.
    """

    dropped = 0
    tags: Mapping[str, str] = {"replayed": "true"}

    def __init__(
        self,
        name: str,
        path: str,
        values: Values,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self.name = name
        self._path = path
        self._pace = values[settings.PACE]
        self._frame_rate = values[settings.FILE_FRAME_RATE]
        self._smooth = settings.uses_large_pictures(values)
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._opened: tuple[Video, Decoded] | None = self._open()

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame]:
        """The file from its beginning; times are the start time plus the position in the file."""
        video, first = self._opened or self._open()
        self._opened = None
        try:
            yield from self._play(video, first, wait)
        finally:
            video.close()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _play(self, video: Video, picture: Decoded | None, wait: Callable[[float], bool]) -> Iterator[Frame]:
        start, start_ns = self._timer(), self._clock_ns()
        stated = _stated(video)
        clock = FramePositions(self._rate(stated))
        pictures = video.pictures()
        count, skipped = 0, 0.0
        while picture is not None:
            before = clock.position
            position = clock.next(picture.seconds)
            if clock.skipped > skipped:
                self._report.error(
                    f"the times in {self._path} jump by {clock.skipped - skipped:.0f} s after {count} frames; "
                    "playback continues at once, without the time between"
                )
                skipped = clock.skipped
            elif self._pace and position - before > _LONG_GAP_SECONDS:
                self._report.note(
                    f"{self._path} has no frame for {position - before:.0f} s after {count} frames, which playback "
                    "waits for; pace = 0 does not wait"
                )
            if self._pace and wait(max(0.0, start + position / self._pace - self._timer())):
                return
            count += 1
            found = video.grey(picture.frame)
            if found is not None:
                time_ns = start_ns + round(position * 1e9)
                yield Frame(
                    found.image,
                    start + position,
                    time_ns,
                    damaged=picture.damaged,
                    inherited=not picture.lost,
                    render=found.render,
                    video_range=found.video_range,
                    render_planes=found.render_planes,
                )
            picture = next(pictures, None)
        self._check_end(stated, clock, count)

    def _rate(self, stated: Stated) -> float:
        """The frame rate of frames without a time."""
        if stated.frame_rate is not None:
            return stated.frame_rate
        if self._frame_rate:
            return self._frame_rate
        self._report.note(
            f"{self._path} does not state its frame rate, and {_DEFAULT_FRAME_RATE:g} frames per second are assumed; "
            "set file_frame_rate if it was recorded at another"
        )
        return _DEFAULT_FRAME_RATE

    def _check_end(self, stated: Stated, clock: FramePositions, count: int) -> None:
        """Report a file that ends before its stated end."""
        if stated.frames is not None:
            missing, of = (stated.frames - count) * clock.step, f" of {stated.frames}"
            if stated.frames - count <= max(2.0, _MISSING_SHARE * stated.frames):
                return
        else:
            if stated.seconds is None:
                return
            missing, of = stated.seconds - clock.total - clock.step, ""
            if missing <= max(2 * clock.longest, _MISSING_SHARE * stated.seconds):
                return
        self._report.error(
            f"{self._path} ends after {count}{of} frames, {missing:.1f} s before its stated end; "
            "it may be truncated or damaged, copy it again"
        )

    def _open(self) -> tuple[Video, Decoded]:
        shown = without_password(self._path)
        try:
            with open(self._path, "rb") as file:
                empty = not file.read(1)
        except FileNotFoundError:
            raise Unavailable(f"there is no video file {shown}; set source to an existing file") from None
        except IsADirectoryError:
            raise Unavailable(f"{shown} is a folder; set source to a video file") from None
        except OSError as error:
            raise Unavailable(f"the video file {shown} cannot be read: {error.strerror}") from None
        if empty:
            raise Unavailable(f"the video file {self._path} is empty; copy it again")
        try:
            video = open_video(f"file:{self._path}", shown, options={}, smooth=self._smooth)
            if isinstance(video, Video) and _is_raw(video):
                video.close()
                options = {"framerate": str(_UNLIKELY_FRAME_RATE)}
                video = open_video(f"file:{self._path}", shown, options=options, smooth=self._smooth)
        except (av.FFmpegError, OSError):
            video = ()
        if isinstance(video, Video):
            first = next(video.pictures(), None)
            if first is not None:
                return video, first
            video.close()
        raise Unavailable(f"{self._path} is damaged or not a video: no frame can be read from it")


def _is_raw(video: Video) -> bool:
    """Whether a file is a bare stream of a codec, which has no times."""
    return video.container.format.name in ("h264", "hevc", "m4v", "mjpeg", "mpegvideo", "obu", "av1", "vvc")


def _stated(video: Video) -> Stated:
    """The properties that the container states."""
    stream = video.stream
    if _is_raw(video):
        rate = stream.codec_context.framerate
        return Stated(None if not rate or rate == _UNLIKELY_FRAME_RATE else float(rate), None, None)
    average = stream.average_rate
    seconds: float | None = None
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif video.container.duration is not None and len(video.container.streams) == 1:
        seconds = video.container.duration / av.time_base
    return Stated(float(average) if average else _DEFAULT_FRAME_RATE, stream.frames or None, seconds)


class FramePositions:
    """Computes the position of each frame, in seconds since the first.

    Uses the container's own times while they increase, since a frame rate can vary; otherwise the stated frame rate.
    A jump of more than an hour is skipped: it comes from a clock that was set, or from parts that were joined.

    Args:
        frame_rate: as stated.
    """

    def __init__(self, frame_rate: float) -> None:
        sane = math.isfinite(frame_rate) and 0.1 <= frame_rate <= 1000
        #: Seconds between two frames at the stated frame rate, and the longest between two frames so far.
        self.step = self.longest = 1.0 / (frame_rate if sane else _DEFAULT_FRAME_RATE)
        #: Seconds of the container's times that were left out.
        self.skipped = 0.0
        #: The position of the latest frame.
        self.position = 0.0
        self._first: float | None = None
        self._started = False

    @property
    def total(self) -> float:
        """The position of the latest frame, in the container's own times."""
        return self.position + self.skipped

    def next(self, stated: float | None) -> float:
        """The position of the next frame, given the container's time for it, if it states one."""
        if not self._started:
            self._started, self._first = True, stated
            return 0.0
        position = self.position
        if stated is not None:
            self._first = stated - self.total - self.step if self._first is None else self._first
            position = round(stated - self._first - self.skipped, 6)
        if position - self.position > _MAX_JUMP_SECONDS:
            self.skipped += position - self.position - self.step
            position = self.position
        if position <= self.position:
            position = round(self.position + self.step, 6)
        self.longest = max(self.longest, position - self.position)
        self.position = position
        return position
