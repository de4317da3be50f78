"""A network stream, read with PyAV."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping

import av
import numpy as np

from collectors.camera import settings
from collectors.camera.backends.decoding import Decoded, Video, open_video
from collectors.camera.backends.diagnosis import Finding, explain, finding
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.settings import Values

#: Options of FFmpeg that a user has set, in OpenCV's format: ``name;value|name;value``.
OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
#: Maximum analysis of a stream before its packets are read, in microseconds.
_ANALYSIS_MICROSECONDS = "2000000"
#: Maximum time to look for JPEGs in data that FFmpeg does not recognise, and to query the exact status of an error.
_LOOK_SECONDS = 5.0
_NO_IMAGE: Image = np.zeros((0, 0), np.uint8)


class StreamCapture:
    """An open stream, with the methods of OpenCV's captures.

    Args:
        video: the stream.
        first: its first picture.
    """

    def __init__(self, video: Video, first: Decoded) -> None:
        self._video = video
        self._grabbed: Decoded | None = first
        #: Reopens the stream differently, once, if its parts cannot be separated.
        self.open_again: Callable[[], Video | None] | None = None
        #: The reason why the stream ended, if FFmpeg reports one.
        self.reason = ""
        #: A function that returns the retrieved picture in colour, if it is grey.
        self.render: Callable[[], Image] | None = None
        #: Whether the grey levels of the retrieved picture run from 16 to 235.
        self.video_range = False
        #: What copies its planes, if they are YUV 4:2:0.
        self.render_planes: Callable[[], Image] | None = None

    @property
    def damaged(self) -> bool:
        """Whether a part of the grabbed picture was lost."""
        return self._grabbed is not None and self._grabbed.damaged

    @property
    def lost(self) -> bool:
        """Whether a part of the grabbed picture itself was lost, and not only of one that it is built on."""
        return self._grabbed is not None and self._grabbed.lost

    @property
    def failed(self) -> int:
        """Number of packets that could not be decoded."""
        return self._video.failed

    @property
    def in_parts(self) -> bool:
        """Whether it is JPEGs in parts with boundaries."""
        return self._video.container.format.name == "mpjpeg"

    def grab(self) -> bool:
        """Read the next packet, which may give no picture; False at the end."""
        try:
            self._grabbed = self._step()
        except (EOFError, av.FFmpegError, OSError) as error:
            self._grabbed = None
            if (
                isinstance(error, OSError)
                and error.errno not in (None, errno.EIO)
                and type(error).__name__ != "ExitError"
            ):
                self.reason = str(error.strerror)
            return False
        return True

    def _step(self) -> Decoded | None:
        try:
            return self._video.step()
        except av.InvalidDataError:
            again = None if self.open_again is None else self.open_again()
            if again is None:
                raise
        self.open_again = None
        self._video.close()
        self._video = again
        return again.step()

    def retrieve(self) -> tuple[bool, Image]:
        """The picture that was grabbed, if there is one."""
        found = None if self._grabbed is None else self._video.grey(self._grabbed.frame)
        if found is None:
            return False, _NO_IMAGE
        image, self.render, self.video_range, self.render_planes = found
        return True, image

    def release(self) -> None:
        """Close the stream."""
        self._video.close()


def open_stream(
    url: str, shown: str, values: Values, timer: Callable[[], float] = time.monotonic
) -> tuple[StreamCapture, Image]:
    """Open a stream, and wait for its first picture. Raises Unavailable with the finding."""
    timeout = values[settings.TIMEOUT_SECONDS]
    start = timer()
    options = {"analyzeduration": _ANALYSIS_MICROSECONDS}
    if url.lower().startswith("rtsp"):
        options["rtsp_transport"] = values[settings.RTSP_TRANSPORT]
    options.update(given_options(os.environ.get(OPTIONS_VARIABLE, "")))
    try:
        smooth = settings.uses_large_pictures(values)
        opened = open_video(url, shown, options=options, smooth=smooth, timeout=(timeout, timeout))
        found = _first_picture(opened, lambda: timer() - start < timeout)
    except (av.FFmpegError, OSError) as error:
        found = finding(url, error, min(_LOOK_SECONDS, timeout))
    if url.lower().startswith("http"):
        seconds = min(_LOOK_SECONDS, timeout)
        if isinstance(found, Finding) and (found.invalid or found.ended):
            found = _first_bare_jpeg(url, shown, options, seconds, found, timer)
        elif not isinstance(found, Finding) and found[0].in_parts:
            found[0].open_again = lambda: _bare_jpegs(url, shown, options, timeout)
    if isinstance(found, Finding):
        raise Unavailable(explain(shown, found, timer() - start, timeout))
    return found


def given_options(text: str) -> dict[str, str]:
    """Parse options of FFmpeg in OpenCV's format.

    >>> given_options("rtsp_transport;udp|max_delay;500000")
    {'rtsp_transport': 'udp', 'max_delay': '500000'}
    """
    pairs = (each.partition(";") for each in text.split("|"))
    return {name: value for name, separator, value in pairs if separator}


def _bare_jpegs(url: str, shown: str, options: Mapping[str, str], seconds: float) -> Video | None:
    """A stream of JPEGs with arbitrary data in between, such as lines with a wrong length; None if it cannot be opened.

    It is not analysed: FFmpeg assumes 25 pictures per second, and would wait for two seconds of those.
    """
    try:
        opened = open_video(
            url, shown, options={**options, "analyzeduration": "1"}, format="mjpeg", timeout=(seconds, seconds)
        )
    except (av.FFmpegError, OSError):
        return None
    return opened if isinstance(opened, Video) else None


def _first_bare_jpeg(
    url: str,
    shown: str,
    options: Mapping[str, str],
    seconds: float,
    before: Finding,
    timer: Callable[[], float],
) -> tuple[StreamCapture, Image] | Finding:
    """The first of those JPEGs, or the previous finding."""
    start = timer()
    opened = _bare_jpegs(url, shown, options, seconds)
    found = before if opened is None else _first_picture(opened, lambda: timer() - start < seconds)
    return before if isinstance(found, Finding) else found


def _first_picture(video: Video | tuple[str, ...], go_on: Callable[[], bool]) -> tuple[StreamCapture, Image] | Finding:
    """The first picture of a stream, or the finding instead."""
    if not isinstance(video, Video):
        return Finding(kinds=video)
    found = Finding(kinds=("video",), codec=video.stream.codec_context.name)
    try:
        # Packets that arrived during the analysis are there at once, and say more than a timeout.
        while go_on() or not video.packets:
            first = video.step()
            if first is not None:
                capture = StreamCapture(video, first)
                done, image = capture.retrieve()
                if done:
                    return capture, image
    except (EOFError, av.FFmpegError, OSError) as error:
        found = found._replace(ended=type(error).__name__ != "ExitError")
    found = found._replace(packets=video.packets, keys=video.keys)
    video.close()
    return found
