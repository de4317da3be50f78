"""CSI camera (on the ribbon cable), through picamera2: small grey frames for detection, full size for photos and clips.

The main stream feeds the encoder, which always runs, into a buffer of the last few seconds; a small stream (YUV 4:2:0,
whose first plane is the grey image) feeds detection. Nothing is converted, and the camera keeps its mode for photos
and clips. A Pi up to 4 encodes in hardware; a Pi 5 has no encoder, and picamera2 uses libx264 under the same name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, NamedTuple

import cv2
import numpy as np

from collectors.camera import settings
from collectors.camera.backends import Frame
from collectors.camera.encoding import MP4_OPTIONS
from collectors.camera.masks import Polygon, parse_polygons
from collectors.camera.pixels import Image
from collectors.camera.upright import Blackener, turn, turn_planes
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values

#: Maximum time to wait for a frame between two checks for shutdown.
_POLL_SECONDS = 0.2
#: Number of frame buffers, for camera, encoder and detection together; each takes GPU memory.
_BUFFERS = 4
#: Interval of key frames, at which a clip can start.
_KEY_SECONDS = 1.0
#: AfMode of libcamera.
_MANUAL, _CONTINUOUS = 0, 2


class Model(NamedTuple):
    """Sizes for a camera model: the sensor mode with the full field of view, and photos and clips."""

    sensor: tuple[int, int]
    main: tuple[int, int]


#: By the beginning of the driver's name. The encoder of a Pi accepts up to 1920 x 1080 pixels.
MODELS = {
    "ov5647": Model((1296, 972), (1296, 972)),  # camera module 1
    "imx219": Model((1640, 1232), (1640, 1232)),  # camera module 2
    "imx708": Model((2304, 1296), (1920, 1080)),  # camera module 3
    "imx477": Model((2028, 1520), (1440, 1080)),  # HQ camera
    "imx500": Model((2028, 1520), (1440, 1080)),  # AI camera
    "imx296": Model((1456, 1088), (1456, 1088)),  # global shutter camera
}
#: Height for other cameras, at the aspect ratio of their sensor.
_DEFAULT_HEIGHT = 1080


class Library(NamedTuple):
    """The classes used of picamera2 and libcamera."""

    Picamera2: Any
    H264Encoder: Any
    CircularOutput2: Any
    PyavOutput: Any
    Transform: Any
    MappedArray: Any


def load() -> Library:
    """Import the library of the operating system. Raises Unavailable if it is not installed."""
    # The default log level reports every step; errors are enough.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        from libcamera import Transform
        from picamera2 import MappedArray, Picamera2
        from picamera2.encoders import H264Encoder
        from picamera2.outputs import CircularOutput2, PyavOutput
    except ImportError as error:
        raise Unavailable(
            f"the CSI camera needs picamera2 ({error}): install the package python3-picamera2, and create the virtual "
            "environment with --system-site-packages"
        ) from None
    return Library(Picamera2, H264Encoder, CircularOutput2, PyavOutput, Transform, MappedArray)


class CsiCamera:
    """One CSI camera.

    Args:
        library: picamera2.
        values: the collector's settings.
        report: receives unsupported settings.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.

    Raises:
        Unavailable: there is no such camera, or another program uses it.
    """

    tags: Mapping[str, str] = {}

    def __init__(
        self,
        library: Library,
        values: Values,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self._library = library
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._timeout = values[settings.TIMEOUT_SECONDS]
        self._frame_rate = values[settings.FRAME_RATE]
        self._timestamp_ns: int | None = None
        # The camera itself can rotate pictures by half a turn; a quarter is left to this program, and to video players.
        half = int(values[settings.UPSIDE_DOWN]) ^ int(settings.rotation(values) >= 180)
        self._flip, self._quarter = half, settings.rotation(values) % 180
        areas = parse_polygons(values[settings.PRIVACY_MASK])
        # In coordinates of the camera's picture, which is rotated afterwards.
        self._blackener = Blackener(turned_back(areas) if self._quarter else areas)
        self._still_requests: list[Future[Image]] = []
        self._still_lock = threading.Lock()
        self._circular: Any = None
        self._clip: tuple[str, list[Exception]] | None = None
        self.dropped = 0
        self.exposure_seconds: float | None = None
        self.gain: float | None = None
        number = values[settings.CAMERA_NUMBER]
        self._camera = camera = _open(library, number)
        try:
            model = str(camera.camera_properties.get("Model", "camera"))
            self.name = values[settings.NAME] or (model if number == 0 else f"{model}-{number}")
            self._configure(model, values)
            if areas:
                camera.pre_callback = self._blacken
            camera.start()
            if values[settings.MEDIA_DIR] is not None and values[settings.CLIPS]:
                self._start_encoder(values[settings.PRE_CAPTURE_SECONDS])
        except Exception as error:  # noqa: BLE001 - libcamera raises exceptions of any type
            camera.close()
            raise Unavailable(f"the CSI camera does not start: {_root_cause(error)}") from None

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Grey frames of the small stream. Raises Unavailable after too long without a frame."""
        camera = self._camera
        width, height = camera.stream_configuration("lores")["size"]
        last = self._timer()
        job = camera.capture_request(wait=False)
        try:
            while not wait(0):
                try:
                    request = camera.wait(job, timeout=_POLL_SECONDS)
                except TimeoutError:
                    self._check_timeout(last)
                    yield None
                    continue
                except CancelledError:
                    return
                except Exception as error:  # noqa: BLE001 - as above
                    raise Unavailable(f"the CSI camera is lost: {_root_cause(error)}") from None
                last = self._timer()
                # Request the next frame before this one is processed, so that none is missed in between.
                job = camera.capture_request(wait=False)
                planes = self._take(request)
                wide, high = width, height
                if self._quarter:
                    planes = turn_planes(planes, width, height, self._quarter)
                    wide, high = height, width
                yield Frame(np.ascontiguousarray(planes[:high, :wide]), last, self._clock_ns(), planes)
        finally:
            with contextlib.suppress(Exception):  # usually the frame has not arrived, and there is none to release
                camera.wait(job, timeout=0).release()

    def _blacken(self, request: Any) -> None:
        """Make private areas black in a frame that the camera has just filled, before it is encoded or copied."""
        for name in ("main", "lores"):
            width, height = self._camera.stream_configuration(name)["size"]
            with self._library.MappedArray(request, name) as mapped:
                self._blackener.blacken_planes(mapped.array, width, height)

    def _take(self, request: Any) -> Image:
        """Copy the planes of a frame, and release its buffer: the camera has only a few of them."""
        try:
            self._read_metadata(request.get_metadata())
            self._answer_still_requests(request)
            planes: Image = request.make_array("lores")
        finally:
            request.release()
        return planes

    def _check_timeout(self, last: float) -> None:
        if self._timer() - last > self._timeout:
            raise Unavailable(
                f"the CSI camera has delivered no frame for {self._timeout:g} s; "
                "check that its ribbon cable is seated at both ends"
            )

    def close(self) -> None:
        """Close the camera."""
        with self._still_lock:
            requests, self._still_requests = self._still_requests, []
        for each in requests:
            each.set_exception(Unavailable("the camera was closed"))
        camera = self._camera
        try:
            camera.cancel_all_and_flush()  # a pending request would never finish
            self._stop_encoder()
            camera.close()
        except Exception as error:  # noqa: BLE001 - closing a camera that was unplugged may fail in any way
            self._report.error(f"the CSI camera could not be closed: {_root_cause(error)}")

    def _stop_encoder(self) -> None:
        """Stop the encoder, which writes its buffer to the open clip and closes it."""
        if self._circular is not None:
            self._circular = None
            self._camera.stop_encoder()

    # --- stills ---

    def still(self) -> Image:
        """The next frame of the main stream, in colour; detection gets the same frame of the small stream."""
        future: Future[Image] = Future()
        with self._still_lock:
            self._still_requests.append(future)
        try:
            planes = future.result(timeout=self._timeout)
        except TimeoutError:
            raise Unavailable(f"the CSI camera has delivered no frame for {self._timeout:g} s") from None
        width, height = self._camera.stream_configuration("main")["size"]
        image = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)
        return turn(image[:height, :width], self._quarter)  # the encoder needs padded rows

    def _answer_still_requests(self, request: Any) -> None:
        with self._still_lock:
            requests, self._still_requests = self._still_requests, []
        if requests:
            planes = request.make_array("main")
            for each in requests:
                each.set_result(planes)

    # --- clips ---

    @property
    def buffer_seconds(self) -> float:
        """Length of the buffer: the time before its start that a clip includes, and the delay of writing it."""
        return 0.0 if self._circular is None else self._circular.buffer_duration_ms / 1000.0

    def begin_clip(self, path: str) -> None:
        """Start an MP4 file with the contents of the buffer. Raises OSError."""
        errors: list[Exception] = []
        output = self._library.PyavOutput(path, format="mp4", options=MP4_OPTIONS)
        output.error_callback = errors.append
        if self._circular is None:
            raise OSError(errno.EIO, "the camera's encoder is not running")
        self._circular.open_output(output)
        self._clip = path, errors

    def end_clip(self, *, last: bool = False) -> None:
        """Complete the file; the *last* one with the rest of the buffer. Raises OSError if it is incomplete."""
        if self._clip is None:
            raise OSError(errno.EIO, "the camera was lost before the clip started")
        (path, errors), self._clip = self._clip, None
        if last:
            self._stop_encoder()
        elif self._circular is not None:  # otherwise the camera was closed, and the file with it
            self._circular.close_output()
        if errors:
            error = errors[0]
            raise error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        # picamera2 reports no error when the end of the file cannot be written.
        with open(path, "rb") as file:
            for kind in (b"moov", b"mdat"):
                _box(file.fileno(), kind, 0)
        if self._quarter:
            show_turned(path)

    # --- configuration ---

    def _configure(self, model: str, values: Values) -> None:
        camera = self._camera
        known = next((MODELS[name] for name in MODELS if model.startswith(name)), None)
        wide, high = camera.sensor_resolution
        sensor, size = known or ((wide, high), (wide * _DEFAULT_HEIGHT // high, _DEFAULT_HEIGHT))
        size = values[settings.MAIN_WIDTH] or size[0], values[settings.MAIN_HEIGHT] or size[1]
        # Twice the size that detection needs: thumbnails and the images for vision benefit.
        small = min(2 * values[settings.DETECT_WIDTH], size[0])
        limit = round(1e6 / self._frame_rate)
        camera.configure(
            camera.create_video_configuration(
                main={"size": (size[0] & ~1, size[1] & ~1), "format": "YUV420"},
                lores={"size": (small & ~1, round(small * size[1] / size[0]) & ~1), "format": "YUV420"},
                raw=None,
                transform=self._library.Transform(hflip=self._flip, vflip=self._flip),
                buffer_count=_BUFFERS,
                controls={"FrameDurationLimits": (limit, limit), **self._controls(values)},
                display=None,
                encode="main",
                sensor={"output_size": sensor},
            )
        )

    def _controls(self, values: Values) -> dict[str, object]:
        """The controls for the configured focus and exposure that the camera supports."""
        supported = self._camera.camera_controls
        focus = values[settings.AUTOFOCUS]
        controls: dict[str, object] = {}
        if focus == "continuous" or (focus == "auto" and "AfMode" in supported):
            controls["AfMode"] = _CONTINUOUS
        elif focus == "off" and "AfMode" in supported:
            metres = values[settings.FOCUS_METRES]
            controls["AfMode"] = _MANUAL
            controls["LensPosition"] = 1.0 / metres if metres else 0.0
        if values[settings.EXPOSURE_VALUE]:
            controls["ExposureValue"] = values[settings.EXPOSURE_VALUE]
        if values[settings.EXPOSURE_SECONDS]:
            controls["ExposureTime"] = round(values[settings.EXPOSURE_SECONDS] * 1e6)
        if values[settings.GAIN]:
            controls["AnalogueGain"] = values[settings.GAIN]
        for name in sorted(controls.keys() - supported.keys()):
            self._report.error(f"this camera has no control {name}; the setting is ignored")
            del controls[name]
        return controls

    def _start_encoder(self, pre_seconds: float) -> None:
        # A clip starts at a key frame, up to one interval late, so the buffer is longer by that.
        self._circular = self._library.CircularOutput2(buffer_duration_ms=round(1000 * (pre_seconds + _KEY_SECONDS)))
        rate = max(1, round(self._frame_rate))
        encoder = self._library.H264Encoder(repeat=True, iperiod=max(1, round(rate * _KEY_SECONDS)), framerate=rate)
        self._camera.start_encoder(encoder, self._circular, name="main")

    def _read_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Count frames that were missed since the previous one, and store the exposure."""
        timestamp_ns = metadata.get("SensorTimestamp")
        if timestamp_ns is not None and self._timestamp_ns is not None:
            self.dropped += max(0, round((timestamp_ns - self._timestamp_ns) * self._frame_rate / 1e9) - 1)
        self._timestamp_ns = timestamp_ns
        if "ExposureTime" in metadata:
            self.exposure_seconds = metadata["ExposureTime"] / 1e6
        self.gain = metadata.get("AnalogueGain", self.gain)


def _open(library: Library, number: int) -> Any:
    found = library.Picamera2.global_camera_info()
    if number >= len(found):
        raise Unavailable(
            f"there is no CSI camera number {number}, libcamera lists {len(found) or 'none'}; check that its ribbon "
            "cable is seated at both ends, and the output of rpicam-hello --list-cameras"
        )
    try:
        return library.Picamera2(number)
    except Exception as error:  # noqa: BLE001 - as above
        reason = _root_cause(error)
        if os.strerror(errno.EBUSY).lower() in reason.lower() or "in use" in reason.lower():
            raise Unavailable(
                "another program has the CSI camera open, such as rpicam-vid, motion or another camera collector; "
                "stop it, since only one program can use a camera at a time"
            ) from None
        raise Unavailable(f"the CSI camera cannot be opened: {reason}") from None


def _root_cause(error: BaseException) -> str:
    """The first exception of the chain; picamera2 wraps it in exceptions without details."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def turned_back(areas: tuple[Polygon, ...]) -> tuple[Polygon, ...]:
    """Areas of an image that was turned by a quarter clockwise, in the image before that."""
    return tuple(tuple((down, 100.0 - across) for across, down in each) for each in areas)


def show_turned(path: str) -> None:
    """Make players show an MP4 file turned by a quarter clockwise (ISO/IEC 14496-12, 8.3.2). Raises OSError."""
    with open(path, "r+b") as file:
        at = 0
        for kind in (b"moov", b"trak", b"tkhd"):
            at = _box(file.fileno(), kind, at)
        version = os.pread(file.fileno(), 1, at)
        file.seek(at + (52 if version == b"\1" else 40))
        file.write(struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30))


def _box(descriptor: int, kind: bytes, start: int) -> int:
    """The position of the content of the first box of a kind, searched from *start*."""
    position, end = start, os.fstat(descriptor).st_size
    while position + 8 <= end:
        head = os.pread(descriptor, 16, position)
        size = int.from_bytes(head[:4], "big")
        wide = size == 1
        if wide:
            size = int.from_bytes(head[8:16], "big")
        if head[4:8] == kind and position + size <= end:
            return position + (16 if wide else 8)
        if size < 8:
            break
        position += size
    raise OSError(errno.EIO, "the end of the file could not be written; the disk may be full")
