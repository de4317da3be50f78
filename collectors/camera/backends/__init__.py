"""Where pictures come from, behind one small interface."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from collectors.camera import backend_settings, settings
from collectors.camera.detector import Image
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values


class Frame(NamedTuple):
    """A picture and when it was taken.

    Args:
        image: grey, or blue, green and red; nobody writes into it, neither the backend nor who gets it.
        seconds: monotonic time, for durations.
        time_ns: wall clock, nanoseconds since 1970, for the points.
        planes: where the image is only the grey of a picture with colours, all of it: YUV 4:2:0, each plane below
            the other, rows perhaps longer than the picture is wide.
    """

    image: Image
    seconds: float
    time_ns: int
    planes: Image | None = None

    def colour(self) -> Image:
        """The picture for people to look at: in colour, where it has any."""
        if self.planes is None:
            return self.image
        import cv2

        height, width = self.image.shape[:2]
        return np.ascontiguousarray(cv2.cvtColor(self.planes, cv2.COLOR_YUV2BGR_I420)[:height, :width])


class Backend(Protocol):
    """A source of pictures. It has been opened when it is made, and raises Unavailable where that fails."""

    @property
    def name(self) -> str:
        """What the camera is called: the tag."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags that say where pictures that no camera sees at the moment come from."""
        ...

    @property
    def dropped(self) -> int:
        """Pictures that nobody took in time, since it was opened."""
        ...

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """Pictures in the order of their times; None after a while without one.

        Ends with the source, or soon after *wait* has answered True. Raises Unavailable when the source is
        lost. A file and a scene begin anew with each call.

        Args:
            wait: pauses for so many seconds, and answers True as soon as it is time to stop.
        """
        ...

    def close(self) -> None:
        """Let go of the source."""
        ...


@runtime_checkable
class Stills(Protocol):
    """A backend whose pictures for detection are smaller than what the camera can give."""

    def still(self) -> Image:
        """The picture of this moment in colour and full size, while the others go on; from any thread.

        Raises Unavailable when the camera gives none.
        """
        ...


@runtime_checkable
class Encodes(Protocol):
    """A backend that encodes video by itself, and always has the last few seconds of it."""

    @property
    def before_seconds(self) -> float:
        """How much of the time before it a clip begins with, and by how much a clip is written late."""
        ...

    def begin_clip(self, path: str) -> None:
        """Begin an MP4 file. Raises OSError, or Unavailable when the camera gives no video."""
        ...

    def end_clip(self, *, last: bool = False) -> None:
        """Finish it; the *last* of all with what is still to be written. Raises OSError when it is not whole."""
        ...


@runtime_checkable
class Exposes(Protocol):
    """A backend that knows how the newest picture was exposed."""

    @property
    def exposure_seconds(self) -> float | None:
        """For how long; None before the first picture."""
        ...

    @property
    def gain(self) -> float | None:
        """By how much its signal was amplified; None before the first picture."""
        ...


#: Drivers whose devices are parts of a camera that only libcamera puts together, or no camera at all.
_NOT_BY_THEMSELVES = ("unicam", "rp1-cfe", "bcm2835-isp", "bcm2835-codec", "pispbe", "rpivid", "rpi-hevc-dec")
_LIBCAMERA = ("unicam", "rp1-cfe")

_CHOICES = (
    "name a video file, a device or a URL with SENSETIG_CAMERA_SOURCE, "
    "or ask for a simulated scene with SENSETIG_CAMERA_BACKEND=simulated"
)


def open_backend(
    values: Values,
    report: ErrorReporter,
    clock_ns: Callable[[], int],
    timer: Callable[[], float],
) -> Backend:
    """The backend that the settings ask for. Raises Unavailable, naming the choices, where there is none."""
    source = values[settings.SOURCE]
    if values[settings.BACKEND] == "simulated":
        if source is not None:
            raise Unavailable(
                f"the backend is simulated and the source is {without_password(source)}; leave one of the two out"
            )
        from collectors.camera.backends.simulated import SCRIPTS, Simulated

        return Simulated(
            values[settings.NAME] or "simulated",
            seed=values[settings.SEED],
            script=SCRIPTS[values[settings.SCENE]],
            frame_rate=values[settings.FRAME_RATE],
            pace=values[settings.PACE],
            clock_ns=clock_ns,
            timer=timer,
        )
    backend = values[settings.BACKEND]
    if backend == "picamera2" and source is not None:
        raise Unavailable(
            f"the backend is picamera2 and the source is {without_password(source)}; leave one of them out"
        )
    sys_root = values[settings.SYS_ROOT]
    if source is not None:
        return _open_source(lambda: source, values, report, clock_ns, timer)
    if backend == "picamera2" or (backend == "auto" and find_device(sys_root) is None):
        return _open_ribbon(values, report, clock_ns, timer)
    # A camera that is plugged in again may have another number.
    return _open_source(lambda: find_device(sys_root, ribbon=False) or "", values, report, clock_ns, timer)


def _open_ribbon(
    values: Values, report: ErrorReporter, clock_ns: Callable[[], int], timer: Callable[[], float]
) -> Backend:
    from collectors.camera.backends import picamera2
    from collectors.camera.backends.reconnect import ReconnectingRibbon

    library = picamera2.load()

    def reopen() -> Backend:
        return picamera2.Ribbon(library, values, report, clock_ns, timer)

    most = values[backend_settings.RECONNECT_SECONDS]
    return ReconnectingRibbon(reopen(), reopen, report, most) if most else reopen()


def _open_source(
    find: Callable[[], str],
    values: Values,
    report: ErrorReporter,
    clock_ns: Callable[[], int],
    timer: Callable[[], float],
) -> Backend:
    from collectors.camera.backends import opencv
    from collectors.camera.backends.reconnect import Reconnecting

    def reopen() -> Backend:
        return opencv.open_source(find(), values, report, clock_ns, timer)

    most = values[backend_settings.RECONNECT_SECONDS]
    first = reopen()
    return Reconnecting(first, reopen, report, most) if most and isinstance(first, opencv.Live) else first


def find_device(sys_root: str, *, ribbon: bool = True) -> str | None:
    """The camera to take: None for the one on the ribbon cable, or else the first that Video4Linux has.

    Args:
        sys_root: where sysfs is.
        ribbon: whether the ribbon cable's camera may be taken.

    Raises:
        Unavailable: there is none; it names the choices.
    """
    root = os.path.join(sys_root, "class/video4linux")
    try:
        nodes = sorted((each for each in os.listdir(root) if re.fullmatch(r"video\d+", each)), key=lambda n: int(n[5:]))
    except FileNotFoundError:
        nodes = []
    drivers = {node: os.path.basename(os.path.realpath(os.path.join(root, node, "device/driver"))) for node in nodes}
    if ribbon and any(driver in _LIBCAMERA for driver in drivers.values()):
        return None
    for node, driver in drivers.items():
        # A USB camera has a second node, for metadata; its index tells.
        if driver not in _NOT_BY_THEMSELVES and _read(os.path.join(root, node, "index")) in ("0", ""):
            return f"/dev/{node}"
    raise Unavailable(f"no camera is connected; {_CHOICES}")


def without_password(source: str) -> str:
    """A URL without its user and password, for messages; any other text as it is."""
    return re.sub(r"(?<=://)[^/@]*@", "", source)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
