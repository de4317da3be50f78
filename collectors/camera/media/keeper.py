"""What every way of recording has in common: a thread, snapshots, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from collectors.camera.backends import Frame
from collectors.camera.detector import Image
from collectors.camera.media.pictures import jpeg
from collectors.camera.media.store import MediaError, Store
from collectors.camera.media.worker import Worker

#: Snapshots that may wait to be written, each a whole picture.
_MOST_SNAPSHOTS = 8
#: At the end: until what waits has been written.
_CLOSE_SECONDS = 15.0


class Clip:
    """A clip that is asked for: where it goes, and how it fares."""

    def __init__(self, relative: str) -> None:
        self.relative = relative
        self.failed = False
        self.lost = 0
        self.parts = 0

    def part(self) -> str:
        """Where its next file goes: a clip is one file, unless the pictures change their size."""
        self.parts += 1
        return self.relative if self.parts == 1 else self.relative.replace(".mp4", f"-{self.parts}.mp4")


class Recording(Protocol):
    """How clips come about."""

    @property
    def pauses(self) -> bool:
        """Whether pictures may be left out in between."""
        ...

    @property
    def tail_seconds(self) -> float:
        """How long a clip has to be kept open beyond its last picture."""
        ...

    def take(self, frame: Frame, clip: Clip | None, since: float) -> None:
        """The next picture, the clip that it is for, and from when on the pictures before it are, too."""
        ...

    def end(self, clip: Clip, since: float, *, last: bool) -> None:
        """That was the last picture of the clip, to which those from that time on belong, too; or the last of all."""
        ...

    def ask(self, job: Callable[[], None]) -> bool:
        """Have something done in the thread, unless too much waits there already."""
        ...

    def keep(self, relative: str, image: Image) -> None:
        """Write a picture as a JPEG."""
        ...

    def close(self) -> None:
        """Finish what has been begun."""
        ...


class Keeper:
    """Writes snapshots in a thread of its own.

    Args:
        store: where files go.
        tell: takes the sentence of what went wrong; called from any thread.
        spare: see :class:`~collectors.camera.media.worker.Worker`.
        patient: whether what is to be done waits for its turn rather than be refused: for sources that are not live.
    """

    def __init__(
        self, store: Store, tell: Callable[[str], None], spare: Callable[[], bool], *, patient: bool = False
    ) -> None:
        self._store = store
        self._tell = tell
        self._patient = patient
        self._worker = Worker("media", tell, spare, spare_first=patient)

    def ask(self, job: Callable[[], None]) -> bool:
        """Have something done in the thread, unless too much waits there already."""
        return self._worker.put(job, most=_MOST_SNAPSHOTS, wait=self._patient)

    def keep(self, relative: str, image: Image) -> None:
        """Write a picture as a JPEG."""
        if not self.ask(lambda: self._write(relative, image)):
            self._tell(f"the snapshot {relative} is not kept: the disk or the processor is too slow")

    def close(self) -> None:
        """Finish what has been begun."""
        if self._worker.close(_CLOSE_SECONDS):
            self._finish()
        else:
            self._tell(f"media could not be written within {_CLOSE_SECONDS:g} s after the end")

    def _finish(self) -> None:
        """Give the file that is being written its name."""
        raise NotImplementedError

    def _write(self, relative: str, image: Image) -> None:
        try:
            self._store.write(relative, jpeg(image))
        except MediaError as error:
            self._tell(str(error))

    def _lost(self, clip: Clip, error: Exception) -> None:
        clip.failed = True
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._tell(f"the clip {clip.relative} is lost: {words}")
