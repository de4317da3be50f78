"""A network stream, read with PyAV."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

import av
import numpy as np

from collectors.camera import settings
from collectors.camera.backends.decoding import Decoded, Video, open_video
from collectors.camera.backends.diagnosis import Finding, explain, finding
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.settings import Values

#: Options of FFmpeg that a person has set, as OpenCV takes them: ``name;value|name;value``.
OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
#: Maximum analysis of a stream before its packets are read, in microseconds.
_ANALYSIS_MICROSECONDS = "2000000"
#: Maximum time to look for JPEGs in what FFmpeg takes for no stream, and to ask for the exact status of an error.
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
        #: Why the stream ended, if FFmpeg says so.
        self.reason = ""
        #: What makes the retrieved picture in colour, if it is grey.
        self.render: Callable[[], Image] | None = None
        #: Whether the grey levels of the retrieved picture run from 16 to 235.
        self.video_range = False

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

    def grab(self) -> bool:
        """Read the next packet, which may give no picture; False at the end."""
        try:
            self._grabbed = self._video.step()
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

    def retrieve(self) -> tuple[bool, Image]:
        """The picture that was grabbed, if there is one."""
        found = None if self._grabbed is None else self._video.grey(self._grabbed.frame)
        if found is None:
            return False, _NO_IMAGE
        image, self.render, self.video_range = found
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
    if isinstance(found, Finding) and (found.invalid or found.ended) and url.lower().startswith("http"):
        found = _bare_jpegs(url, shown, options, min(_LOOK_SECONDS, timeout), found, timer)
    if isinstance(found, Finding):
        raise Unavailable(explain(shown, found, timer() - start, timeout))
    return found


def given_options(text: str) -> dict[str, str]:
    """Options of FFmpeg as OpenCV takes them.

    >>> given_options("rtsp_transport;udp|max_delay;500000")
    {'rtsp_transport': 'udp', 'max_delay': '500000'}
    """
    pairs = (each.partition(";") for each in text.split("|"))
    return {name: value for name, separator, value in pairs if separator}


def _bare_jpegs(
    url: str,
    shown: str,
    options: dict[str, str],
    seconds: float,
    before: Finding,
    timer: Callable[[], float],
) -> tuple[StreamCapture, Image] | Finding:
    """A stream of JPEGs between which anything may be, such as one without its first boundary."""
    start = timer()
    try:
        opened = open_video(url, shown, options=options, format="mjpeg", timeout=(seconds, seconds))
        found = _first_picture(opened, lambda: timer() - start < seconds)
    except (av.FFmpegError, OSError):
        return before
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
