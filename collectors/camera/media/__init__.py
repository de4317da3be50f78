"""What the camera keeps: the best snapshot of each event, clips with what came before the motion, and photos.

A companion of the detection, which never waits for it: a thread encodes and writes. Without ``media_dir``
nothing is kept, no thread runs, and the newest picture is all that there is.

:meth:`Media.snapshot_jpeg`, :meth:`Media.photo` and :meth:`Media.video` may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collectors.camera.backends import Backend, Frame
from collectors.camera.detector import Detection
from collectors.camera.events import Event
from collectors.camera.media.store import MediaError
from collectors.metric import FieldValue
from collectors.report import Report
from collectors.settings import Values

__all__ = ["Media", "MediaError"]


class Media:
    """The media of one camera: a companion of its detection, and what its control asks for.

    Args:
        backend: the camera.
        values: the collector's settings.
        report: takes what goes wrong; it is told only from the detection's own calls.
        clock_ns: wall clock, nanoseconds since 1970.

    Raises:
        Unavailable: ``media_dir`` cannot be used, or PyAV is missing.
    """

    def __init__(self, backend: Backend, values: Values, report: Report, clock_ns: Callable[[], int]) -> None:
        raise NotImplementedError

    @property
    def root(self) -> str:
        """The folder that the paths are relative to; empty where nothing is kept."""
        raise NotImplementedError

    @property
    def recording(self) -> bool:
        """Whether a clip is being recorded, of an event or asked for."""
        raise NotImplementedError

    def snapshot_jpeg(self) -> bytes:
        """The newest picture, encoded once however often it is asked for. Raises MediaError before the first."""
        raise NotImplementedError

    def photo(self) -> str:
        """Keep a picture in the camera's full size, while detection goes on.

        Returns its path below the root; the file is there. Raises MediaError when it cannot be had or kept.
        """
        raise NotImplementedError

    def video(self, seconds: float) -> str:
        """Begin a clip, with the time before it, that ends so many seconds from now.

        Returns its path below the root at once; the file appears, whole, a moment after the clip has ended.
        There is one clip at a time: while one is recorded, of an event or asked for, it is made to last at least
        so long, and its path is returned.

        Raises MediaError when it cannot be kept, and ValueError when the seconds are not from 0 to
        ``clip_seconds_most``.
        """
        raise NotImplementedError

    def see(self, frame: Frame, seen: Detection) -> None:
        """Take a picture and what was found in it."""
        raise NotImplementedError

    def event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Take the start or the end of an event; the paths of its media at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish the clip that is being recorded."""
        raise NotImplementedError
