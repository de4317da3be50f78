"""The camera on the ribbon cable, by picamera2: small grey pictures to look at, large ones to keep, video encoded.

A main stream goes to the encoder, which always runs, into a buffer of the last few seconds; a small stream
(YUV 4:2:0, whose first plane is the picture in grey) goes to the detection. Nothing is converted, and the
camera never changes its mode, for a photo or a clip. A Pi up to 4 encodes in hardware; a Pi 5 has no encoder,
and picamera2 takes libx264 under the same name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, NamedTuple

import cv2
import numpy as np

from collectors.camera import backend_settings, media_settings, settings
from collectors.camera.backends import Frame
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values

#: How long to look out for a picture before it is time to see whether to stop.
_LOOK_SECONDS = 0.2
#: Pictures that the camera may be working on, encoder and detection included; each takes memory of the GPU's.
_BUFFERS = 4
#: A clip can only begin with a key frame; there is one every so many seconds.
_KEY_SECONDS = 1.0
#: AfMode of libcamera.
_MANUAL, _CONTINUOUS = 0, 2


class Model(NamedTuple):
    """How a camera is best used: the sensor's mode with the whole field of view, and the size of photos and clips."""

    sensor: tuple[int, int]
    main: tuple[int, int]


#: By the beginning of the name that the driver gives. The encoder of a Pi takes up to 1920 x 1080 pixels.
MODELS = {
    "ov5647": Model((1296, 972), (1296, 972)),  # camera module 1
    "imx219": Model((1640, 1232), (1640, 1232)),  # camera module 2
    "imx708": Model((2304, 1296), (1920, 1080)),  # camera module 3
    "imx477": Model((2028, 1520), (1440, 1080)),  # HQ camera
    "imx500": Model((2028, 1520), (1440, 1080)),  # AI camera
    "imx296": Model((1456, 1088), (1456, 1088)),  # global shutter camera
}
#: Of other cameras, with the shape of their own pictures.
_USUAL_HEIGHT = 1080


class Library(NamedTuple):
    """What is used of picamera2 and libcamera."""

    Picamera2: Any
    H264Encoder: Any
    CircularOutput2: Any
    PyavOutput: Any
    Transform: Any


def load() -> Library:
    """The library, as the operating system has it. Raises Unavailable where it has not."""
    # It tells all that it does; what goes wrong is enough.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        from libcamera import Transform
        from picamera2 import Picamera2
        from picamera2.encoders import H264Encoder
        from picamera2.outputs import CircularOutput2, PyavOutput
    except ImportError as error:
        raise Unavailable(
            f"the camera on the ribbon cable needs picamera2 ({error}): install the package python3-picamera2, and "
            "make the virtual environment with --system-site-packages"
        ) from None
    return Library(Picamera2, H264Encoder, CircularOutput2, PyavOutput, Transform)


class Ribbon:
    """One camera on a ribbon cable.

    Args:
        library: picamera2.
        values: the collector's settings.
        report: takes what the camera cannot do.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.

    Raises:
        Unavailable: there is no such camera, or another program has it.
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
        self._stamp: int | None = None
        self._asked: list[Future[Image]] = []
        self._asking = threading.Lock()
        self._circular: Any = None
        self._clip: tuple[str, list[Exception]] | None = None
        self.dropped = 0
        self.exposure_seconds: float | None = None
        self.gain: float | None = None
        number = values[backend_settings.CAMERA_NUMBER]
        self._camera = camera = _open(library, number)
        try:
            model = str(camera.camera_properties.get("Model", "camera"))
            self.name = values[settings.NAME] or (model if number == 0 else f"{model}-{number}")
            self._configure(model, values)
            camera.start()
            if values[media_settings.MEDIA_DIR] is not None and values[media_settings.CLIPS]:
                self._start_encoder(values[media_settings.PRE_CAPTURE_SECONDS])
        except Exception as error:  # noqa: BLE001 - libcamera raises what it likes
            camera.close()
            raise Unavailable(f"the camera on the ribbon cable does not start: {_innermost(error)}") from None

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Grey pictures of the small stream. Raises Unavailable when none comes for too long."""
        camera = self._camera
        width, height = camera.stream_configuration("lores")["size"]
        heard = self._timer()
        job = camera.capture_request(wait=False)
        try:
            while not wait(0):
                try:
                    request = camera.wait(job, timeout=_LOOK_SECONDS)
                except TimeoutError:
                    self._see_to_silence(heard)
                    yield None
                    continue
                except CancelledError:
                    return
                except Exception as error:  # noqa: BLE001 - as above
                    raise Unavailable(f"the camera on the ribbon cable is lost: {_innermost(error)}") from None
                heard = self._timer()
                # The next one is asked for before this one is looked at, so that none is missed meanwhile.
                job = camera.capture_request(wait=False)
                planes = self._take(request)
                yield Frame(np.ascontiguousarray(planes[:height, :width]), heard, self._clock_ns(), planes)
        finally:
            with contextlib.suppress(Exception):  # mostly it has not come, and then there is none to give back
                camera.wait(job, timeout=0).release()

    def _take(self, request: Any) -> Image:
        """What is wanted of a picture, which is then given back: the camera has only a few of them."""
        try:
            self._note(request.get_metadata())
            self._answer(request)
            planes: Image = request.make_array("lores")
        finally:
            request.release()
        return planes

    def _see_to_silence(self, heard: float) -> None:
        if self._timer() - heard > self._timeout:
            raise Unavailable(
                f"the camera on the ribbon cable has given no picture for {self._timeout:g} s; "
                "see that the cable is seated at both ends"
            )

    def close(self) -> None:
        """Let go of the camera."""
        with self._asking:
            asked, self._asked = self._asked, []
        for each in asked:
            each.set_exception(Unavailable("the camera was closed"))
        camera = self._camera
        try:
            camera.cancel_all_and_flush()  # a picture that is still waited for would never come
            self._stop_encoder()
            camera.close()
        except Exception as error:  # noqa: BLE001 - a camera that was torn out cannot be closed in good order
            self._report.error(f"the camera on the ribbon cable could not be closed: {_innermost(error)}")

    def _stop_encoder(self) -> None:
        """Encode no more; what is in the buffer goes into the clip that is open, and that is closed."""
        if self._circular is not None:
            self._circular = None
            self._camera.stop_encoder()

    # --- stills ---

    def still(self) -> Image:
        """The next picture of the main stream, in colour; detection gets the same one in small."""
        future: Future[Image] = Future()
        with self._asking:
            self._asked.append(future)
        try:
            planes = future.result(timeout=self._timeout)
        except TimeoutError:
            raise Unavailable(f"the camera on the ribbon cable has given no picture for {self._timeout:g} s") from None
        width, height = self._camera.stream_configuration("main")["size"]
        image = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)
        return image[:height, :width]  # rows are padded for the encoder's sake

    def _answer(self, request: Any) -> None:
        with self._asking:
            asked, self._asked = self._asked, []
        if asked:
            planes = request.make_array("main")
            for each in asked:
                each.set_result(planes)

    # --- clips ---

    @property
    def before_seconds(self) -> float:
        """How much of the time before it a clip begins with, and by how much a clip is written late."""
        return 0.0 if self._circular is None else self._circular.buffer_duration_ms / 1000.0

    def begin_clip(self, path: str) -> None:
        """Begin an MP4 file with what is in the buffer. Raises OSError."""
        failed: list[Exception] = []
        output = self._library.PyavOutput(path, format="mp4")
        output.error_callback = failed.append
        if self._circular is None:
            raise OSError(errno.EIO, "the camera encodes nothing")
        self._circular.open_output(output)
        self._clip = path, failed

    def end_clip(self, *, last: bool = False) -> None:
        """Finish it; the *last* of all with what is still in the buffer. Raises OSError when it is not whole."""
        if self._clip is None:
            raise OSError(errno.EIO, "the camera was lost before the clip began")
        (path, failed), self._clip = self._clip, None
        if last:
            self._stop_encoder()
        elif self._circular is not None:  # otherwise the camera was closed, and the file with it
            self._circular.close_output()
        if failed:
            error = failed[0]
            raise error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        # picamera2 says nothing when the end of the file cannot be written.
        with open(path, "rb") as file:
            if not _is_whole(file.fileno()):
                raise OSError(errno.EIO, "the end of the file could not be written; the disk may be full")

    # --- setting up ---

    def _configure(self, model: str, values: Values) -> None:
        camera = self._camera
        known = next((MODELS[name] for name in MODELS if model.startswith(name)), None)
        wide, high = camera.sensor_resolution
        sensor, size = known or ((wide, high), (wide * _USUAL_HEIGHT // high, _USUAL_HEIGHT))
        size = values[backend_settings.MAIN_WIDTH] or size[0], values[backend_settings.MAIN_HEIGHT] or size[1]
        # Twice what detection needs, which halves it at once: thumbnails and the snapshots for vision gain by it.
        small = min(2 * values[settings.DETECT_WIDTH], size[0])
        limit = round(1e6 / self._frame_rate)
        flip = int(values[backend_settings.UPSIDE_DOWN])
        camera.configure(
            camera.create_video_configuration(
                main={"size": (size[0] & ~1, size[1] & ~1), "format": "YUV420"},
                lores={"size": (small & ~1, round(small * size[1] / size[0]) & ~1), "format": "YUV420"},
                raw=None,
                transform=self._library.Transform(hflip=flip, vflip=flip),
                buffer_count=_BUFFERS,
                controls={"FrameDurationLimits": (limit, limit), **self._controls(values)},
                display=None,
                encode="main",
                sensor={"output_size": sensor},
            )
        )

    def _controls(self, values: Values) -> dict[str, object]:
        """Focus and exposure as the settings ask for, as far as the camera can."""
        able = self._camera.camera_controls
        focus = values[backend_settings.AUTOFOCUS]
        asked: dict[str, object] = {}
        if focus == "continuous" or (focus == "auto" and "AfMode" in able):
            asked["AfMode"] = _CONTINUOUS
        elif focus == "off" and "AfMode" in able:
            metres = values[backend_settings.FOCUS_METRES]
            asked["AfMode"] = _MANUAL
            asked["LensPosition"] = 1.0 / metres if metres else 0.0
        if values[backend_settings.EXPOSURE_VALUE]:
            asked["ExposureValue"] = values[backend_settings.EXPOSURE_VALUE]
        if values[backend_settings.EXPOSURE_SECONDS]:
            asked["ExposureTime"] = round(values[backend_settings.EXPOSURE_SECONDS] * 1e6)
        if values[backend_settings.GAIN]:
            asked["AnalogueGain"] = values[backend_settings.GAIN]
        for name in sorted(asked.keys() - able.keys()):
            self._report.error(f"this camera has no control {name}; it is left as it is")
            del asked[name]
        return asked

    def _start_encoder(self, pre_seconds: float) -> None:
        # Up to one second is lost until the first key frame, so the buffer is longer by that.
        self._circular = self._library.CircularOutput2(buffer_duration_ms=round(1000 * (pre_seconds + _KEY_SECONDS)))
        rate = max(1, round(self._frame_rate))
        encoder = self._library.H264Encoder(repeat=True, iperiod=max(1, round(rate * _KEY_SECONDS)), framerate=rate)
        self._camera.start_encoder(encoder, self._circular, name="main")

    def _note(self, metadata: Mapping[str, Any]) -> None:
        """Count the pictures that came between, and keep what the exposure was."""
        stamp = metadata.get("SensorTimestamp")
        if stamp is not None and self._stamp is not None:
            self.dropped += max(0, round((stamp - self._stamp) * self._frame_rate / 1e9) - 1)
        self._stamp = stamp
        if "ExposureTime" in metadata:
            self.exposure_seconds = metadata["ExposureTime"] / 1e6
        self.gain = metadata.get("AnalogueGain", self.gain)


def _open(library: Library, number: int) -> Any:
    found = library.Picamera2.global_camera_info()
    if number >= len(found):
        have = f"libcamera lists {len(found)}" if found else "libcamera lists none"
        raise Unavailable(
            f"there is no camera number {number} on a ribbon cable, {have}; "
            "see that the cable is seated at both ends, and what rpicam-hello --list-cameras says"
        )
    try:
        return library.Picamera2(number)
    except Exception as error:  # noqa: BLE001 - as above
        words = _innermost(error)
        if os.strerror(errno.EBUSY).lower() in words.lower() or "in use" in words.lower():
            raise Unavailable(
                "another program has the camera on the ribbon cable open, such as rpicam-vid, motion or another "
                "camera collector; stop that one, since a camera belongs to one program at a time"
            ) from None
        raise Unavailable(f"the camera on the ribbon cable cannot be opened: {words}") from None


def _innermost(error: BaseException) -> str:
    """What was said where it went wrong; picamera2 wraps that in sentences that only say that it did."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _is_whole(descriptor: int) -> bool:
    """Whether an MP4 file has its index, which is written last."""
    position, end = 0, os.fstat(descriptor).st_size
    while position + 8 <= end:
        head = os.pread(descriptor, 16, position)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if kind == b"moov":
            return position + size <= end
        if size < 8:
            return False
        position += size
    return False
