"""Sources of frames, behind one small interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from collectors.camera import settings
from collectors.camera.detector import Image
from collectors.camera.devices import find_device
from collectors.camera.masks import parse_polygons
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values


class Frame(NamedTuple):
    """An image and the time it was taken.

    Args:
        image: grey, or blue, green and red; read-only, for the backend as well.
        seconds: monotonic time, for durations.
        time_ns: wall clock, nanoseconds since 1970, for the points.
        planes: if the image is only the grey plane of a colour image, all planes: YUV 4:2:0, one below the other,
            in rows that may be longer than the image is wide.
        damaged: whether a part of it, or of an image that it is built on, was lost on its way, so that what differs
            may be no motion.
        inherited: whether, if it is damaged, nothing of this very image was lost.
        render: if the image is only the grey of a colour image without planes, makes the colour image; may be called
            from any thread.
        video_range: whether the grey levels of the image run from 16 to 235, as those of video do.
        render_planes: copies the planes of the colour image as YUV 4:2:0, one below the other without padding, which
            costs less than the colour image; may be called from any thread.
    """

    image: Image
    seconds: float
    time_ns: int
    planes: Image | None = None
    damaged: bool = False
    inherited: bool = False
    render: Callable[[], Image] | None = None
    video_range: bool = False
    render_planes: Callable[[], Image] | None = None

    def colour(self) -> Image:
        """The image in colour, if it has any."""
        if self.render is not None:
            return self.render()
        if self.planes is None:
            return self.image
        import cv2

        height, width = self.image.shape[:2]
        return np.ascontiguousarray(cv2.cvtColor(self.planes, cv2.COLOR_YUV2BGR_I420)[:height, :width])


class Backend(Protocol):
    """A source of frames. Creating it opens the source, and raises Unavailable if that fails."""

    @property
    def name(self) -> str:
        """Name of the camera: the tag."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of frames that do not come from a live camera."""
        ...

    @property
    def dropped(self) -> int:
        """Number of frames dropped since the source was opened."""
        ...

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Frames in the order of their times; None after a while without one.

        Ends with the source, or soon after *wait* returns True. Raises Unavailable when the source is lost. Each
        call restarts a file or a scene.

        Args:
            wait: sleeps for this many seconds; returns True on shutdown.
        """
        ...

    def close(self) -> None:
        """Close the source."""
        ...


@runtime_checkable
class SupportsStills(Protocol):
    """A backend whose frames for detection are smaller than the camera's full size."""

    def still(self) -> Image:
        """Take an image in colour and full size while detection continues; may be called from any thread.

        Raises Unavailable if the camera delivers none.
        """
        ...


@runtime_checkable
class SupportsClips(Protocol):
    """A backend that encodes video itself, and buffers the last few seconds of it."""

    @property
    def buffer_seconds(self) -> float:
        """Length of the buffer: the time before its start that a clip includes, and the delay of writing it."""
        ...

    def begin_clip(self, path: str) -> None:
        """Start an MP4 file. Raises OSError, or Unavailable if the camera delivers no video."""
        ...

    def end_clip(self, *, last: bool = False) -> None:
        """Complete the file; the *last* one with the rest of the buffer. Raises OSError if it is incomplete."""
        ...


@runtime_checkable
class SupportsExposure(Protocol):
    """A backend that knows the exposure of the newest frame."""

    @property
    def exposure_seconds(self) -> float | None:
        """Exposure time; None before the first frame."""
        ...

    @property
    def gain(self) -> float | None:
        """Gain; None before the first frame."""
        ...


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def open_backend(
    values: Values,
    report: ErrorReporter,
    clock_ns: Callable[[], int],
    timer: Callable[[], float],
) -> Backend:
    """Open the configured backend. Raises Unavailable, with the choices, if there is none."""
    # An invalid setting must not leave a camera open.
    settings.rotation(values)
    parse_polygons(values[settings.PRIVACY_MASK])
    source = values[settings.SOURCE]
    if values[settings.BACKEND] == "simulated":
        if source is not None:
            raise Unavailable(
                f"the backend is simulated and the source is {without_password(source)}; remove one of the two"
            )
        from collectors.camera.backends.simulated import SCRIPTS, SimulatedCamera

        simulated = SimulatedCamera(
            values[settings.NAME] or "simulated",
            seed=values[settings.SEED],
            script=SCRIPTS[values[settings.SCENE]],
            frame_rate=values[settings.FRAME_RATE],
            pace=values[settings.PACE],
            clock_ns=clock_ns,
            timer=timer,
        )
        return _prepared(simulated, values)
    backend = values[settings.BACKEND]
    if backend == "picamera2" and source is not None:
        raise Unavailable(
            f"the backend is picamera2 and the source is {without_password(source)}; remove one of the two"
        )
    sys_root = values[settings.SYS_ROOT]
    if source is not None:
        return _prepared(_open_source(lambda: source, values, report, clock_ns, timer), values)
    if backend == "picamera2" or (backend == "auto" and find_device(sys_root) is None):
        return _open_csi_camera(values, report, clock_ns, timer)
    # A camera that is plugged in again may get another number.
    found = _open_source(lambda: find_device(sys_root, csi=False) or "", values, report, clock_ns, timer)
    return _prepared(found, values)


def _prepared(camera: Backend, values: Values) -> Backend:
    """The camera with rotated pictures and private areas, if configured."""
    degrees, areas = settings.rotation(values), parse_polygons(values[settings.PRIVACY_MASK])
    if not degrees and not areas:
        return camera
    from collectors.camera.backends.prepared import PreparedCamera
    from collectors.camera.upright import Blackener

    return PreparedCamera(camera, degrees, Blackener(areas))


def _open_csi_camera(
    values: Values, report: ErrorReporter, clock_ns: Callable[[], int], timer: Callable[[], float]
) -> Backend:
    from collectors.camera.backends import picamera2
    from collectors.camera.backends.reconnect import ReconnectingCsiCamera

    library = picamera2.load()

    def reopen() -> Backend:
        return picamera2.CsiCamera(library, values, report, clock_ns, timer)

    max_delay = values[settings.RECONNECT_SECONDS]
    return ReconnectingCsiCamera(reopen(), reopen, report, max_delay) if max_delay else reopen()


def _open_source(
    find: Callable[[], str],
    values: Values,
    report: ErrorReporter,
    clock_ns: Callable[[], int],
    timer: Callable[[], float],
) -> Backend:
    from collectors.camera.backends import opencv
    from collectors.camera.backends.reconnect import ReconnectingCamera

    def reopen() -> Backend:
        return opencv.open_source(find(), values, report, clock_ns, timer)

    max_delay = values[settings.RECONNECT_SECONDS]
    first = reopen()
    if max_delay and isinstance(first, opencv.LiveSource):
        return ReconnectingCamera(first, reopen, report, max_delay)
    return first


class Address(NamedTuple):
    """What may be shown of a URL.

    Args:
        scheme: in lowercase.
        name: the host, without brackets: the default name of the camera; the scheme if there is no host.
        shown: scheme, host and port, for messages. User, password, path and query are left out: cameras take
            passwords in each of them.
    """

    scheme: str
    name: str
    shown: str


def parse_address(source: str) -> Address | None:
    """The parts of a URL; None for a file or a device. Raises Unavailable for a URL that is not valid."""
    scheme, separator, rest = source.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return None
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    scheme = scheme.lower()
    try:
        url = parse_url(source)
    except LocationParseError:
        raise Unavailable(
            f"the source {scheme}://… is not a valid URL; percent-encode special characters in the user and the "
            "password, such as %2F for a slash"
        ) from None
    host = (url.host or "").strip("[]")
    # A slash in a password ends the part with the host, so that a part of the password is taken for it.
    if "@" in rest.lstrip("/")[len(re.split(r"[/?#\\]", rest, maxsplit=1)[0]) :]:
        return Address(scheme, host or scheme, f"{scheme}://…")
    path = "/" if url.path == "/" and not url.query else "/…" if url.path or url.query else ""
    port = "" if url.port is None else f":{url.port}"
    return Address(scheme, host or scheme, f"{scheme}://{url.host or ''}{port}{path}")


def without_password(source: str) -> str:
    """A source for messages: of a URL only scheme, host and port; a file or a device unchanged.

    A text that looks like a URL without its scheme is shortened, too.
    """
    try:
        address = parse_address(source)
    except Unavailable:
        return f"{source.partition('://')[0].lower()}://…"
    if address is not None:
        return address.shown
    return "…" if re.search(r":.*@", source, re.DOTALL) else source
