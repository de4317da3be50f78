"""A double of picamera2 with the subset that the camera's backend uses, with the same names and parameters.

tests/unit/test_picamera2_contract.py compares it with the package. Its cameras follow a script, one item per picture,
and everything happens in the waiting thread, so that the order of events is fixed.
"""

# ruff: noqa: ARG002 - parameters are those of the package, used here or not

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from fractions import Fraction
from typing import Any, ClassVar

import av
import numpy as np
from numpy.typing import NDArray

#: Rows of a picture are padded to a multiple of this many bytes.
_ALIGN = 64


class Clock:
    """Monotonic seconds, advanced only by the double."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class World:
    """The connected cameras, and their script.

    Args:
        script: for each picture its grey level; None for a timeout; or an exception.
        model: of every camera.
        controls: the controls that the camera supports.
    """

    def __init__(
        self,
        script: Iterable[int | Exception | None],
        model: str = "imx708",
        controls: tuple[str, ...] = ("FrameDurationLimits", "ExposureTime", "AnalogueGain", "ExposureValue"),
        cameras: int = 1,
    ) -> None:
        self.script: Iterator[int | Exception | None] = iter(script)
        self.model = model
        self.controls = controls
        self.cameras = cameras
        self.busy = False
        self.clock = Clock()
        self.opened: list[Picamera2] = []
        self.requests_out = 0


class Transform:
    """How pictures are turned."""

    def __init__(self, hflip: int = 0, vflip: int = 0) -> None:
        self.hflip = hflip
        self.vflip = vflip


class Job:
    """Something that was asked for."""

    def __init__(self) -> None:
        self.cancelled = False


class CompletedRequest:
    """One picture, in all streams."""

    def __init__(self, request: int, picam2: Picamera2) -> None:
        self.request = request
        self.picam2 = picam2
        self._released = False
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        picam2.world.requests_out += 1

    def make_array(self, name: str) -> NDArray[np.uint8]:
        """A copy of the planes of a stream, padding included."""
        return self._buffer(name).copy()

    def _buffer(self, name: str) -> NDArray[np.uint8]:
        """The planes of a stream, as the camera has filled them."""
        assert not self._released, "the picture was given back already"
        if name in self._buffers:
            return self._buffers[name]
        stream = self.picam2.camera_config[name]
        width, height = stream["size"]
        planes = np.full((height * 3 // 2, stream["stride"]), 128, np.uint8)
        planes[:height] = 255  # the content of the padding is undefined, and must not show in the picture
        planes[:height, :width] = self.request
        self._buffers[name] = planes
        return planes

    def get_metadata(self) -> dict[str, Any]:
        """The metadata of the picture from libcamera."""
        assert not self._released, "the picture was given back already"
        return {"SensorTimestamp": self.picam2.stamp, "ExposureTime": 20_000, "AnalogueGain": 2.5}

    def release(self) -> None:
        """Give the picture's memory back to the camera."""
        assert not self._released, "the picture was given back already"
        self._released = True
        self.picam2.world.requests_out -= 1


class MappedArray:
    """The planes of a stream in the camera's memory."""

    def __init__(self, request: CompletedRequest, stream: str, reshape: bool = True, write: bool = True) -> None:
        self._array = request._buffer(stream)

    def __enter__(self) -> MappedArray:
        """Map the memory."""
        return self

    def __exit__(self, exc_type: object, exc_value: object, exc_traceback: object) -> None:
        """Unmap it."""

    @property
    def array(self) -> NDArray[np.uint8]:
        """The planes, which may be changed."""
        return self._array


class Picamera2:
    """A camera. ``world`` is the test's scenario."""

    world: ClassVar[World]

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        """The connected cameras."""
        return [{"Model": Picamera2.world.model, "Num": number} for number in range(Picamera2.world.cameras)]

    def __init__(
        self, camera_num: int = 0, verbose_console: object = None, tuning: object = None, allocator: object = None
    ) -> None:
        if self.world.busy:
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.camera_num = camera_num
        self.camera_config: dict[str, Any] = {}
        self.sensor_resolution = (4608, 2592)
        self.stamp = 10**12
        self.closed = self.started = False
        self.pre_callback: Any = None
        self._encoders: list[H264Encoder] = []
        self.world.opened.append(self)

    @property
    def camera_properties(self) -> dict[str, Any]:
        """The properties of the camera."""
        return {"Model": self.world.model}

    @property
    def camera_controls(self) -> dict[str, tuple[Any, Any, Any]]:
        """The supported controls: minimum, maximum, default."""
        return dict.fromkeys(self.world.controls, (0, 1, 0))

    def create_video_configuration(
        self,
        main: Mapping[str, Any] = {},
        lores: Mapping[str, Any] | None = None,
        raw: Mapping[str, Any] | None = {},
        transform: Transform | None = None,
        colour_space: object = None,
        buffer_count: int = 6,
        controls: Mapping[str, Any] = {},
        display: str | None = "main",
        encode: str | None = "main",
        queue: bool = True,
        sensor: Mapping[str, Any] = {},
        use_case: str = "video",
    ) -> dict[str, Any]:
        """What to hand to :meth:`configure`."""
        assert lores is not None
        for stream in (main, lores):
            assert all(side % 2 == 0 for side in stream["size"]), "sides are even"
        unknown = sorted(set(controls) - set(self.world.controls))
        if unknown:
            raise RuntimeError(f"Control {unknown[0]} is not advertised by libcamera")
        return {
            "main": dict(main),
            "lores": dict(lores),
            "transform": transform,
            "controls": dict(controls),
            "sensor": dict(sensor),
            "encode": encode,
            "buffer_count": buffer_count,
        }

    def configure(self, camera_config: dict[str, Any] | None = None) -> None:
        """Set up the streams."""
        assert camera_config is not None
        assert not self.started
        for name in ("main", "lores"):
            stream = camera_config[name]
            stream["stride"] = -(-stream["size"][0] // _ALIGN) * _ALIGN
        self.camera_config = camera_config

    def stream_configuration(self, name: str = "main") -> dict[str, Any]:
        """How a stream was set up."""
        config: dict[str, Any] = self.camera_config[name]
        return config

    def start(self, config: object = None, show_preview: bool = False) -> None:
        """Begin to take pictures."""
        self.started = True

    def start_encoder(
        self, encoder: Any = None, output: Any = None, pts: object = None, quality: object = None, name: object = None
    ) -> None:
        """Encode every picture from now on."""
        stream = self.camera_config[str(name)]
        encoder.output = [output]
        encoder.begin(*stream["size"])
        self._encoders.append(encoder)

    def stop_encoder(self, encoders: object = None) -> None:
        """Encode no more."""
        for encoder in self._encoders:
            encoder.end()
        self._encoders = []

    def capture_request(self, wait: object = None, signal_function: object = None, flush: object = None) -> Job:
        """Ask for the next picture."""
        assert wait is False
        assert self.started
        return Job()

    def wait(self, job: Job, timeout: float | None = None) -> CompletedRequest:
        """The picture that was asked for."""
        if job.cancelled:
            raise CancelledError
        if timeout == 0:
            raise TimeoutError
        item = next(self.world.script, None)
        step = self.camera_config["controls"]["FrameDurationLimits"][0] / 1e6
        if item is None:
            assert timeout is not None
            self.world.clock.now += timeout
            raise TimeoutError
        if isinstance(item, Exception):
            raise item
        self.world.clock.now += step
        self.stamp += round(step * 1e9)
        request = CompletedRequest(item, self)
        if self.pre_callback is not None:
            self.pre_callback(request)
        for encoder in self._encoders:
            encoder.encode_picture(request.make_array("main"), self.stamp // 1000)
        return request

    def cancel_all_and_flush(self) -> None:
        """Cancel all requests."""

    def close(self) -> None:
        """Close the camera."""
        assert self.world.requests_out == 0, "a picture was never given back"
        self.closed = True


class H264Encoder:
    """An encoder, here by libx264."""

    def __init__(
        self,
        bitrate: int | None = None,
        repeat: bool = True,
        iperiod: int | None = None,
        framerate: int | None = None,
        enable_sps_framerate: bool = False,
        qp: int | None = None,
        profile: str | None = None,
    ) -> None:
        self.output: list[Any] = []
        self.iperiod = iperiod or 30
        self._first: int | None = None

    def begin(self, width: int, height: int) -> None:
        """Start, as the camera does it."""
        self._context = av.CodecContext.create("libx264", "w")
        assert isinstance(self._context, av.VideoCodecContext)
        self._context.width, self._context.height, self._context.pix_fmt = width, height, "yuv420p"
        self._context.time_base = Fraction(1, 1_000_000)
        self._context.gop_size = self.iperiod
        self._context.options = {"preset": "ultrafast", "tune": "zerolatency"}
        self._size = width, height
        for output in self.output:
            output.start()
            output._add_stream("video", "h264", width=width, height=height)

    def encode_picture(self, planes: NDArray[np.uint8], microseconds: int) -> None:
        """Encode a picture, and pass the result on."""
        width, height = self._size
        if self._first is None:
            self._first = microseconds
        plain = np.full((height * 3 // 2, width), 128, np.uint8)
        plain[:height] = planes[:height, :width]
        frame = av.VideoFrame.from_ndarray(plain, format="yuv420p")
        frame.pts = microseconds - self._first
        frame.time_base = Fraction(1, 1_000_000)
        assert isinstance(self._context, av.VideoCodecContext)
        for packet in self._context.encode(frame):
            for output in self.output:
                output.outputframe(bytes(packet), packet.is_keyframe, packet.pts, None, False)

    def end(self) -> None:
        """Stop, as the camera does it."""
        for output in self.output:
            output.stop()


class PyavOutput:
    """A file of encoded pictures."""

    def __init__(self, output_name: str, format: str | None = None, pts: object = None, options: object = None) -> None:
        self._path = output_name
        self._format = format
        self._options: Any = options
        self.error_callback: Any = None
        self._container: Any = None

    def start(self) -> None:
        """Open the file."""
        self._container = av.open(self._path, "w", format=self._format, options=self._options)

    def stop(self) -> None:
        """Close it; what goes wrong then is nowhere told, as in the package itself."""
        if self._container is not None:
            with contextlib.suppress(OSError):
                self._container.close()
            self._container = None

    def _add_stream(self, encoder_stream: str, codec_name: str, **kwargs: Any) -> None:
        self._stream = self._container.add_stream(codec_name, **kwargs)

    def outputframe(
        self,
        frame: bytes,
        keyframe: bool = True,
        timestamp: int | None = None,
        packet: object = None,
        audio: bool = False,
    ) -> None:
        """Write one packet; an error is reported to the callback, and ends the file."""
        if self._container is None:
            return
        made = av.Packet(frame)
        made.dts = made.pts = timestamp
        made.time_base = Fraction(1, 1_000_000)
        made.is_keyframe = keyframe
        made.stream = self._stream
        try:
            self._container.mux(made)
        except OSError as error:
            self.stop()
            self.error_callback(error)


class CircularOutput2:
    """The last few seconds; what leaves them goes to the file that is open, if one is."""

    def __init__(self, pts: object = None, buffer_duration_ms: int = 5000) -> None:
        self.buffer_duration_ms = buffer_duration_ms
        self._buffer: deque[tuple[bytes, bool, int]] = deque()
        self._output: Any = None
        self._streams: list[tuple[str, str, dict[str, Any]]] = []
        self._offset: int | None = None

    def _add_stream(self, encoder_stream: str, codec_name: str, **kwargs: Any) -> None:
        self._streams.append((encoder_stream, codec_name, kwargs))

    def start(self) -> None:
        """Begin to keep."""

    def open_output(self, output: Any) -> None:
        """Begin a file."""
        if self._output is not None:
            raise RuntimeError("Underlying output must be closed first")
        output.start()
        for stream, codec, kwargs in self._streams:
            output._add_stream(stream, codec, **kwargs)
        self._output, self._offset = output, None

    def close_output(self) -> None:
        """Close the file without writing the buffered packets."""
        if self._output is None:
            raise RuntimeError("No underlying output has been opened")
        output, self._output = self._output, None
        output.stop()

    def outputframe(
        self, frame: bytes, keyframe: bool = True, timestamp: int = 0, packet: object = None, audio: bool = False
    ) -> None:
        """Keep one."""
        self._buffer.append((frame, keyframe, timestamp))
        while timestamp - self._buffer[0][2] >= self.buffer_duration_ms * 1000:
            self._write(*self._buffer.popleft())

    def stop(self) -> None:
        """Stop buffering, and write the buffered packets to the file."""
        while self._buffer:
            self._write(*self._buffer.popleft())
        if self._output is not None:
            self.close_output()

    def _write(self, frame: bytes, keyframe: bool, timestamp: int) -> None:
        if self._output is None:
            return
        if self._offset is None and keyframe:
            self._offset = timestamp
        if self._offset is not None:
            self._output.outputframe(frame, keyframe, timestamp - self._offset, None, False)
