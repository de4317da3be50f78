"""Frames from OpenCV: a video file, a Video4Linux device, or a network stream."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import stat
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from collectors.camera import settings
from collectors.camera.backends import Backend, Frame, parse_address, without_password
from collectors.camera.backends.diagnosis import explain, look
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.jpeg import MAX_PIXELS
from collectors.core.native import NativeThread
from collectors.core.settings import Values

#: URL schemes that FFmpeg may open; it supports others that read files or start programs.
SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "udp", "tcp")

#: Maximum time to wait for a frame between two checks for shutdown.
_POLL_SECONDS = 0.2
#: Maximum time for a device to return from a call that waits for its next frame.
_CLOSE_SECONDS = 0.5
#: Maximum number of frames that wait to be processed; more would only add delay.
_MAX_WAITING = 4
#: Containers state their number of frames, some only as duration times frame rate; this share of both may be missing.
_MISSING_SHARE = 0.02
#: Video4Linux: requesting zero buffers changes nothing, and fails while another program holds buffers.
_VIDIOC_REQBUFS, _VIDEO_CAPTURE, _MEMORY_MAPPED = 0xC0145608, 1, 1
#: Maximum time between two frames of a file.
_MAX_JUMP_SECONDS = 3600.0
#: Frame rate of a file that does not state one.
_DEFAULT_FRAME_RATE = 25.0


def open_source(
    source: str, values: Values, report: ErrorReporter, clock_ns: Callable[[], int], timer: Callable[[], float]
) -> Backend:
    """Open a file, a device or a URL. Raises Unavailable if it delivers no frame."""
    # One thread is enough for small frames, and leaves the other cores to other work.
    cv2.setNumThreads(1)
    address = parse_address(source)
    if address is not None:
        scheme, name, shown = address
        if scheme not in SCHEMES:
            raise Unavailable(f"a source cannot be {scheme}://; it must be a file, a device or {', '.join(SCHEMES)}://")
        return LiveSource(
            values[settings.NAME] or name, shown, _open_url(source, shown, values), values, clock_ns, timer
        )
    if source.isdigit() or source.startswith("/dev/"):
        path = f"/dev/video{source}" if source.isdigit() else source
        name = values[settings.NAME] or os.path.basename(path)
        return LiveSource(name, path, _open_device(path, values), values, clock_ns, timer)
    name = values[settings.NAME] or os.path.splitext(os.path.basename(source))[0]
    return VideoFile(name, source, values[settings.PACE], report, clock_ns, timer)


class VideoFile:
    """A video file, played at its recorded speed or another. Delivers every frame."""

    dropped = 0
    tags: Mapping[str, str] = {"replayed": "true"}

    def __init__(
        self,
        name: str,
        path: str,
        pace: float,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self.name = name
        self._path = path
        self._pace = pace
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._opened: tuple[Any, Image] | None = self._open()

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame]:
        """The file from its beginning; times are the start time plus the position in the file."""
        capture, image = self._opened or self._open()
        self._opened = None
        try:
            yield from self._play(capture, image, wait)
        finally:
            capture.release()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened[0].release()
            self._opened = None

    def _play(self, capture: Any, image: Image | None, wait: Callable[[float], bool]) -> Iterator[Frame]:
        start, start_ns = self._timer(), self._clock_ns()
        clock = FramePositions(capture.get(cv2.CAP_PROP_FPS))
        stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        count, skipped = 0, 0.0
        while image is not None:
            position = clock.next(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0)
            if clock.skipped > skipped:
                self._report.error(
                    f"the times in {self._path} jump by {clock.skipped - skipped:.0f} s after {count} frames; "
                    "playback continues at once, without the time between"
                )
                skipped = clock.skipped
            if self._pace and wait(max(0.0, start + position / self._pace - self._timer())):
                return
            count += 1
            yield Frame(image, start + position, start_ns + round(position * 1e9))
            image = _read(capture)
        duration = stated * clock.step
        missing = duration - clock.total - clock.step
        # Where the frame rate varies, the number of frames is no more than an estimate, and the times tell.
        if stated - count > max(2.0, _MISSING_SHARE * stated) and missing > max(
            2 * clock.step, _MISSING_SHARE * duration
        ):
            self._report.error(
                f"{self._path} ends after {count} of {stated:.0f} frames, {missing:.1f} s before its stated end; "
                "it may be truncated or damaged, copy it again"
            )

    def _open(self) -> tuple[Any, Image]:
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
        capture = cv2.VideoCapture(self._path, cv2.CAP_FFMPEG)
        _check_size(capture, self._path)
        image = _read(capture)
        if image is None:
            capture.release()
            raise Unavailable(f"{self._path} is damaged or not a video: no frame can be read from it")
        return capture, image


class FramePositions:
    """Computes the position of each frame, in seconds since the first.

    Uses the container's own times while they increase, since a frame rate can vary; otherwise the stated frame rate.
    A jump of more than an hour is left out: it comes from a clock that was set, or from parts that were joined.

    Args:
        frame_rate: as stated.
    """

    def __init__(self, frame_rate: float) -> None:
        sane = math.isfinite(frame_rate) and 0.1 <= frame_rate <= 1000
        #: Seconds between two frames at the stated frame rate.
        self.step = 1.0 / (frame_rate if sane else _DEFAULT_FRAME_RATE)
        #: Seconds of the container's times that were left out.
        self.skipped = 0.0
        self._first: float | None = None
        self._position = -self.step

    @property
    def total(self) -> float:
        """The position of the latest frame, in the container's own times."""
        return self._position + self.skipped

    def next(self, stated: float) -> float:
        """The position of the next frame, given the container's time for it."""
        if self._first is None:
            self._first = stated
            self._position = 0.0
            return 0.0
        position = round(stated - self._first - self.skipped, 6)
        if position - self._position > _MAX_JUMP_SECONDS:
            self.skipped += position - self._position - self.step
            position = self._position
        self._position = position if position > self._position else round(self._position + self.step, 6)
        return self._position


class LiveSource:
    """A device or a network stream.

    A thread reads the frames, so that slow processing delays none of them: frames that are not processed in time are
    dropped, oldest first, and counted. Frames beyond the configured frame rate are skipped without decoding.
    """

    tags: Mapping[str, str] = {}

    def __init__(
        self,
        name: str,
        shown: str,
        opened: tuple[Any, Image],
        values: Values,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self.name = name
        self.dropped = 0
        self._shown = shown
        self._capture, self._first = opened
        self._timeout = values[settings.TIMEOUT_SECONDS]
        self._frame_rate = values[settings.FRAME_RATE]
        self._clock_ns = clock_ns
        self._timer = timer
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closing = self._over = False
        self._thread: threading.Thread | None = None

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Frames as they arrive. Raises Unavailable at the end of the source, or after too long without a frame."""
        if self._thread is None:
            self._thread = NativeThread(self._grab, f"camera {self.name}")
            self._thread.start()
        last = self._timer()
        while not wait(0):
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._over, timeout=_POLL_SECONDS)
                frame = self._waiting.popleft() if self._waiting else None
                over = self._over
            if frame is not None:
                last = self._timer()
            elif over:
                raise Unavailable(f"{self._shown} delivers no more frames; it has ended, or was disconnected")
            elif self._timer() - last > self._timeout:
                raise Unavailable(f"{self._shown} has delivered no frame for {self._timeout:g} s")
            yield frame

    def close(self) -> None:
        """Close the camera."""
        self._closing = True
        if self._thread is not None:
            self._thread.join(timeout=_CLOSE_SECONDS)
            if self._thread.is_alive():
                return  # blocked in the driver; it closes the device with the next frame or with the process
        self._capture.release()

    def _grab(self) -> None:
        before = self._timer()
        self._put(Frame(self._first, before, self._clock_ns()))
        # A stream arrives in bursts, so unused frames may be taken later, up to the length of the queue.
        credit = float(_MAX_WAITING)
        while not self._closing and self._capture.grab():
            now = self._timer()
            credit = min(credit + (now - before) * self._frame_rate, float(_MAX_WAITING))
            before = now
            if credit < 1.0:
                continue
            credit -= 1.0
            found, image = self._capture.retrieve()
            if found and _is_image(image):
                self._put(Frame(image, now, self._clock_ns()))
        with self._changed:
            self._over = True
            self._changed.notify()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            if len(self._waiting) >= _MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(frame)
            self._changed.notify()


def _open_url(url: str, shown: str, values: Values) -> tuple[Any, Image]:
    timeout, transport = values[settings.TIMEOUT_SECONDS], values[settings.RTSP_TRANSPORT]
    if transport != settings.RTSP_TRANSPORT.default:
        # OpenCV reads FFmpeg's options from nowhere else. Options that the user has set stay.
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", f"rtsp_transport;{transport}")
    milliseconds = int(1000 * timeout)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    start = time.monotonic()
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    _check_size(capture, shown)
    image = _read(capture)
    if image is None:
        capture.release()
        waited = time.monotonic() - start
        raise Unavailable(explain(shown, look(url, transport, timeout), waited, timeout))
    return capture, image


def _open_device(path: str, values: Values) -> tuple[Any, Image]:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISCHR(mode):
            raise Unavailable(f"{path} is not a camera; set source to a device such as /dev/video0")
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Unavailable(f"there is no device {path}; connect the camera, or set source to another") from None
    except PermissionError:
        raise Unavailable(f"this user may not open {path}; add the user to the group video") from None
    except OSError as error:
        raise Unavailable(
            _busy(path) if error.errno == errno.EBUSY else f"the device {path} cannot be opened: {error.strerror}"
        ) from None
    try:
        if is_busy(descriptor):
            raise Unavailable(_busy(path))
    finally:
        os.close(descriptor)
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    for what, value in (
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, values[settings.WIDTH]),
        (cv2.CAP_PROP_FRAME_HEIGHT, values[settings.HEIGHT]),
        (cv2.CAP_PROP_FPS, values[settings.FRAME_RATE]),
    ):
        capture.set(what, value)  # a camera ignores what it does not support
    image = _read(capture)
    if image is None:
        capture.release()
        raise Unavailable(f"{path} delivers no frame; it is no camera, or another program has it open")
    return capture, image


def is_busy(descriptor: int, ioctl: Callable[[int, int, bytes], object] = fcntl.ioctl) -> bool:
    """Whether another program captures from a device: several may open it, but only one gets its buffers."""
    try:
        ioctl(descriptor, _VIDIOC_REQBUFS, struct.pack("=5I", 0, _VIDEO_CAPTURE, _MEMORY_MAPPED, 0, 0))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _busy(path: str) -> str:
    return (
        f"another program has {path} open, such as motion or another camera collector; "
        "stop it, since only one program can use a camera at a time"
    )


def _read(capture: Any) -> Image | None:
    found, image = capture.read()
    return image if found and _is_image(image) else None


def _check_size(capture: Any, shown: str) -> None:
    """Raise Unavailable for a video whose header announces frames that are too large to decode."""
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        capture.release()
        raise Unavailable(f"{shown} has frames of {width}x{height}, above {MAX_PIXELS} pixels; lower its resolution")


def _is_image(image: object) -> bool:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3):
        return False
    height, width = image.shape[:2]
    return bool(0 < height * width <= MAX_PIXELS)
