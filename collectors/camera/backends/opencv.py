"""Frames by their source: a Video4Linux device, read with OpenCV, a network stream, or a video file."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import cv2
import numpy as np

from collectors.camera import settings
from collectors.camera.backends import Backend, Frame, parse_address
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
#: Video4Linux: requesting zero buffers changes nothing, and fails while another program holds buffers.
_VIDIOC_REQBUFS, _VIDEO_CAPTURE, _MEMORY_MAPPED = 0xC0145608, 1, 1


def open_source(
    source: str, values: Values, report: ErrorReporter, clock_ns: Callable[[], int], timer: Callable[[], float]
) -> Backend:
    """Open a file, a device or a URL. Raises Unavailable if it delivers no frame."""
    # One thread is sufficient for small frames, and leaves the other cores free.
    cv2.setNumThreads(1)
    address = parse_address(source)
    if address is not None:
        scheme, name, shown = address
        if scheme not in SCHEMES:
            raise Unavailable(f"a source cannot be {scheme}://; it must be a file, a device or {', '.join(SCHEMES)}://")
        from collectors.camera.backends.stream import open_stream  # PyAV is not needed for a device

        opened = open_stream(source, shown, values)
        return LiveSource(values[settings.NAME] or name, shown, opened, values, clock_ns, timer)
    if source.isdigit() or source.startswith("/dev/"):
        path = f"/dev/video{source}" if source.isdigit() else source
        name = values[settings.NAME] or os.path.basename(path)
        return LiveSource(name, path, _open_device(path, values), values, clock_ns, timer)
    from collectors.camera.backends.video_file import VideoFile

    name = values[settings.NAME] or os.path.splitext(os.path.basename(source))[0]
    return VideoFile(name, source, values, report, clock_ns, timer)


class Capture(Protocol):
    """An open device or stream, as OpenCV has it."""

    @property
    def damaged(self) -> bool:
        """Whether a part of the grabbed picture was lost."""
        ...

    @property
    def lost(self) -> bool:
        """Whether a part of the grabbed picture itself was lost, and not only of one that it is built on."""
        ...

    @property
    def failed(self) -> int:
        """Number of packets that could not be decoded."""
        ...

    @property
    def reason(self) -> str:
        """The reason why it ended, if known."""
        ...

    @property
    def render(self) -> Callable[[], Image] | None:
        """A function that returns the retrieved picture in colour, if it is grey."""
        ...

    @property
    def video_range(self) -> bool:
        """Whether the grey levels of the retrieved picture run from 16 to 235."""
        ...

    @property
    def render_planes(self) -> Callable[[], Image] | None:
        """What copies the planes of the retrieved picture, if they are YUV 4:2:0."""
        ...

    def grab(self) -> bool:
        """Wait for the next packet or picture; False at the end."""
        ...

    def retrieve(self) -> tuple[bool, Image]:
        """The picture that was grabbed, if there is one."""
        ...

    def release(self) -> None:
        """Close it."""
        ...


class DeviceCapture:
    """A device that OpenCV has opened; it delivers whole pictures or none."""

    damaged, lost, failed, reason = False, False, 0, ""
    render = render_planes = None
    video_range = False

    def __init__(self, capture: Any) -> None:
        self._capture = capture

    def grab(self) -> bool:
        """Wait for the next picture; False at the end."""
        return bool(self._capture.grab())

    def retrieve(self) -> tuple[bool, Image]:
        """The picture that was grabbed."""
        found, image = self._capture.retrieve()
        return bool(found) and _is_image(image), image

    def release(self) -> None:
        """Close the device."""
        self._capture.release()


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
        opened: tuple[Capture, Image],
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
        #: How many packets could not be decoded when the newest frame arrived.
        self._failed_before = self._capture.failed
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
                reason = self._capture.reason
                why = f": {reason}" if reason else "; it has ended, or was disconnected"
                raise Unavailable(f"{self._shown} delivers no more frames{why}")
            elif self._timer() - last > self._timeout:
                failed = self._capture.failed - self._failed_before
                why = f"; {failed} packets arrived that cannot be decoded" if failed else ""
                raise Unavailable(f"{self._shown} has delivered no frame for {self._timeout:g} s{why}")
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
        capture = self._capture
        self._put(self._frame(self._first, before, damaged=capture.damaged, lost=capture.lost))
        damaged = lost = False
        # A stream arrives in bursts, so unused frames may be taken later, up to the length of the queue.
        credit = float(_MAX_WAITING)
        while not self._closing and self._capture.grab():
            now = self._timer()
            damaged |= self._capture.damaged
            lost |= self._capture.lost
            credit = min(credit + (now - before) * self._frame_rate, float(_MAX_WAITING))
            before = now
            if credit < 1.0:
                continue
            found, image = self._capture.retrieve()
            if found:
                credit -= 1.0
                # The damage of a skipped picture shows in those after it.
                self._put(self._frame(image, now, damaged=damaged, lost=lost))
                damaged = lost = False
        with self._changed:
            self._over = True
            self._changed.notify()

    def _frame(self, image: Image, seconds: float, *, damaged: bool, lost: bool) -> Frame:
        capture = self._capture
        return Frame(
            image,
            seconds,
            self._clock_ns(),
            damaged=damaged,
            inherited=not lost,
            render=capture.render,
            video_range=capture.video_range,
            render_planes=capture.render_planes,
        )

    def _put(self, frame: Frame) -> None:
        with self._changed:
            if len(self._waiting) >= _MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(frame)
            self._failed_before = self._capture.failed
            self._changed.notify()


def _open_device(path: str, values: Values) -> tuple[DeviceCapture, Image]:
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
        capture.set(what, value)  # a camera ignores unsupported settings
    image = _read(capture)
    if image is None:
        capture.release()
        raise Unavailable(f"{path} delivers no frame; it is not a camera, or another program has it open")
    return DeviceCapture(capture), image


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


def _is_image(image: object) -> bool:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3):
        return False
    height, width = image.shape[:2]
    return bool(0 < height * width <= MAX_PIXELS)
