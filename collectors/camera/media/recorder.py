"""What all recorders share: a thread that encodes and writes, snapshots, and the orderly end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from collectors.camera.backends import Frame
from collectors.camera.detector import Image
from collectors.camera.encoding import jpeg
from collectors.camera.media.store import MediaError, Store

#: Maximum number of jobs that wait in the thread, such as snapshots, each with a whole image.
_MAX_JOBS = 8
#: Maximum time to finish pending work at the end.
_CLOSE_SECONDS = 15.0

Job = Callable[[], object]


class Worker:
    """A thread that runs jobs in order, and background work in between.

    Args:
        name: of the thread.
        on_error: takes the message of a failed job; called from the thread.
        background: does one step of other work; returns whether work is left.
        background_first: whether background work goes before the next job instead of waiting until no job is left.
    """

    def __init__(
        self,
        name: str,
        on_error: Callable[[str], None],
        background: Callable[[], bool] = lambda: False,
        *,
        background_first: bool = False,
    ) -> None:
        self._on_error = on_error
        self._background = background
        self._background_first = background_first
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job, *, max_jobs: int | None = None, block: bool = False) -> bool:
        """Queue a job.

        Args:
            job: the job.
            max_jobs: maximum length of the queue, this job included; unlimited by default.
            block: whether to wait for room instead of rejecting the job.

        Returns:
            Whether the job was accepted.
        """
        with self._changed:
            if block and max_jobs is not None:
                self._changed.wait_for(lambda: len(self._jobs) < max_jobs or self._closing)
            if self._closing or (max_jobs is not None and len(self._jobs) >= max_jobs):
                return False
            self._jobs.append(job)
            self._changed.notify_all()
        return True

    def close(self, seconds: float) -> bool:
        """Finish all work and end the thread; returns whether it ended within *seconds*."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        more = False
        while True:
            if self._background_first and more:
                more = self._try(self._background)
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or more or self._closing)  # noqa: B023 - called at once
                job = self._jobs.popleft() if self._jobs else None
                self._changed.notify_all()
                if job is None and not more:
                    return
            if job is not None:
                self._try(job)
                more = True
            else:
                more = self._try(self._background)

    def _try(self, job: Job) -> bool:
        try:
            return bool(job())
        except Exception as error:  # noqa: BLE001 - a failed frame is counted, and the next one is processed
            self._on_error(f"{type(error).__name__}: {error}")
            return True


class Clip:
    """A requested clip: its path and its state."""

    def __init__(self, relative: str) -> None:
        self.relative = relative
        self.failed = False
        self.lost = 0
        self.parts = 0

    def next_part(self) -> str:
        """The path of its next file: a clip is one file, unless the frames change their size."""
        self.parts += 1
        return self.relative if self.parts == 1 else self.relative.replace(".mp4", f"-{self.parts}.mp4")


class Recorder:
    """Records clips and writes snapshots in a thread.

    Args:
        store: holds the files.
        on_error: takes error messages; called from any thread.
        background: see :class:`Worker`.
        block: whether work waits for room instead of being rejected: for sources that are not live.
    """

    #: Whether frames may be left out within a clip.
    pauses: bool
    #: How long a clip must stay open beyond its last frame.
    tail_seconds: float

    def __init__(
        self, store: Store, on_error: Callable[[str], None], background: Callable[[], bool], *, block: bool = False
    ) -> None:
        self._store = store
        self._on_error = on_error
        self._block = block
        self._worker = Worker("media", on_error, background, background_first=block)

    def record(self, frame: Frame, clip: Clip | None, since: float) -> None:
        """Handle the next frame; it belongs to *clip*, as do earlier frames from the time *since* on."""
        raise NotImplementedError

    def end(self, clip: Clip, since: float, *, last: bool) -> None:
        """End a clip that includes earlier frames from the time *since* on; *last* if no frames follow at all."""
        raise NotImplementedError

    def submit(self, job: Callable[[], None]) -> bool:
        """Run a job in the thread; returns False if too many jobs are waiting."""
        return self._worker.put(job, max_jobs=_MAX_JOBS, block=self._block)

    def write_snapshot(self, relative: str, image: Image) -> None:
        """Write an image as a JPEG."""
        if not self.submit(lambda: self._write(relative, image)):
            self._on_error(f"the snapshot {relative} was dropped: the disk or the processor is too slow")

    def close(self) -> None:
        """Finish pending work."""
        if self._worker.close(_CLOSE_SECONDS):
            self._finish()
        else:
            self._on_error(f"media could not be written within {_CLOSE_SECONDS:g} s after the end")

    def _finish(self) -> None:
        """Complete the file that is being written."""
        raise NotImplementedError

    def _write(self, relative: str, image: Image) -> None:
        try:
            self._store.write(relative, jpeg(image))
        except MediaError as error:
            self._on_error(str(error))

    def _fail_clip(self, clip: Clip, error: Exception) -> None:
        clip.failed = True
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._on_error(f"the clip {clip.relative} is lost: {reason}")
