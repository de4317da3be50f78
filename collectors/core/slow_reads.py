"""Run reads that can take long, or forever, in threads outside the collector's main loop.

A file system whose server is down, a sensor that converts for a second or a program that hangs would delay a batch.
Each of them is a slow read: a batch requests it, emits its quick values, and includes the results that are ready. A
late result goes into a later batch, with the time of its arrival.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container, Hashable, Mapping

#: A read that took longer, in seconds, is slow: later batches do not wait for it.
SLOW_SECONDS = 0.25

#: Seconds without a result after which another thread continues with the remaining reads.
_STEP_SECONDS = 0.02

#: Called without arguments; its result or its exception is the answer.
Read = Callable[[], object]


class Answer:
    """The result of a read, or the exception that it raised.

    Args:
        seconds: how long the read took.
        time_ns: wall clock at its end.
        late: whether an earlier batch requested it.
    """

    __slots__ = ("late", "seconds", "time_ns", "value")

    def __init__(self, value: object, seconds: float, time_ns: int, *, late: bool = False) -> None:
        self.value = value
        self.seconds = seconds
        self.time_ns = time_ns
        self.late = late

    def time(self, now: int) -> int:
        """The time of the sample: that of the batch, or its own if it is slow or late."""
        return self.time_ns if self.late or self.seconds >= SLOW_SECONDS else now


class SlowReads:
    """Runs reads in threads, each read once at a time.

    While all reads are quick, one thread serves all batches. A read that blocks its thread does not delay other reads:
    another thread continues. A read that never ends keeps its thread, and is not started again.

    Args:
        clock_ns: wall clock.
        timer: monotonic seconds.
    """

    def __init__(self, clock_ns: Callable[[], int], timer: Callable[[], float]) -> None:
        self._clock_ns = clock_ns
        self._timer = timer
        lock = threading.Lock()
        self._todo = threading.Condition(lock)
        self._done = threading.Condition(lock)
        self._queue: deque[tuple[Hashable, Read]] = deque()
        self._since: dict[Hashable, float] = {}
        self._answers: dict[Hashable, Answer] = {}
        self._took: dict[Hashable, float] = {}
        self._fresh: set[Hashable] = set()
        self._idle = 0
        self._closed = False

    def request(self, reads: Mapping[Hashable, Read]) -> None:
        """Start each read that is not running yet, fast ones first."""
        with self._done:
            now = self._timer()
            # Forget reads that are no longer requested.
            self._took = {key: self._took[key] for key in reads if key in self._took}
            new = [key for key in reads if key not in self._since and key not in self._answers]
            new.sort(key=lambda key: self._took.get(key, 0.0))
            self._fresh = set(new)
            self._since.update(dict.fromkeys(new, now))
            self._queue.extend((key, reads[key]) for key in new)
            if self._queue:
                self._wake()

    def wait(self, seconds: float, *, slow: bool, keys: Container[Hashable] | None = None) -> bool:
        """Wait until the reads of the last request are done; False if the time is up before.

        Args:
            slow: also wait for reads that were slow last time.
            keys: wait only for these.
        """
        deadline = self._timer() + seconds
        with self._done:
            while awaited := [
                key
                for key in self._fresh
                if key in self._since
                and (keys is None or key in keys)
                and (slow or self._took.get(key, 0.0) < SLOW_SECONDS)
            ]:
                left = deadline - self._timer()
                if left <= 0:
                    return False
                waiting = len(self._since)
                self._done.wait(min(left, _STEP_SECONDS))
                if len(self._since) == waiting and self._queue:
                    self._wake()
            return not awaited

    def take(self) -> dict[Hashable, Answer]:
        """The answers since the last call."""
        with self._done:
            taken, self._answers = self._answers, {}
            for key, answer in taken.items():
                answer.late = key not in self._fresh
            return taken

    def waiting(self) -> dict[Hashable, float]:
        """Each pending read with its running time in seconds."""
        with self._done:
            now = self._timer()
            return {key: now - since for key, since in self._since.items()}

    def close(self) -> None:
        """End the idle threads; the others end with their read."""
        with self._done:
            self._closed = True
            self._queue.clear()
            self._todo.notify_all()

    def _wake(self) -> None:
        """Wake an idle thread, or start one. The caller holds the lock."""
        if self._idle:
            self._todo.notify()
        else:
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._done:
                while not self._queue:
                    if self._closed or self._idle:
                        return  # one idle thread is enough
                    self._idle += 1
                    self._todo.wait()
                    self._idle -= 1
                key, read = self._queue.popleft()
            start = self._timer()
            try:
                value = read()
            except Exception as error:  # noqa: BLE001 - it is the answer, which the collector reports
                value = error
            took = self._timer() - start
            with self._done:
                self._answers[key] = Answer(value, took, self._clock_ns())
                self._took[key] = took
                self._since.pop(key, None)
                self._done.notify_all()
