"""The thread that encodes and writes, so that detection waits for neither."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]


class Worker:
    """Does jobs in their order, and in between what else there is to do.

    Args:
        name: the thread's.
        tell: takes the sentence of a job that failed; called from the thread.
        spare: does a little of what else there is, and answers whether anything was left to do.
        spare_first: whether that goes before the next job, rather than waiting until there is none.
    """

    def __init__(
        self,
        name: str,
        tell: Callable[[str], None],
        spare: Callable[[], bool] = lambda: False,
        *,
        spare_first: bool = False,
    ) -> None:
        self._tell = tell
        self._spare = spare
        self._spare_first = spare_first
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job, *, most: int | None = None, wait: bool = False) -> bool:
        """Have a job done.

        Args:
            job: what to do.
            most: how many jobs may wait, this one included; no limit without it.
            wait: until there is room, rather than refusing.

        Returns:
            Whether it was taken.
        """
        with self._changed:
            if wait and most is not None:
                self._changed.wait_for(lambda: len(self._jobs) < most or self._closing)
            if self._closing or (most is not None and len(self._jobs) >= most):
                return False
            self._jobs.append(job)
            self._changed.notify_all()
        return True

    def close(self, seconds: float) -> bool:
        """Have everything done, and end; False when it has not been done within so many seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        more = False
        while True:
            if self._spare_first and more:
                more = self._try(self._spare)
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
                more = self._try(self._spare)

    def _try(self, do: Job) -> bool:
        try:
            return bool(do())
        except Exception as error:  # noqa: BLE001 - whatever one picture meets, the next is tried, and it is counted
            self._tell(f"{type(error).__name__}: {error}")
            return True
