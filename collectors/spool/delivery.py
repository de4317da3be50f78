"""The collector: a spool's lines in, metrics out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from collectors.core.api import Unavailable, Wait
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.line_protocol_parser import ParseError, decode
from collectors.spool import SPOOL
from collectors.spool.reader import Reader

#: Seconds between reports on the state of the spool, and checks of the folder.
REPORT_SECONDS = 10.0

#: Seconds between polls of the spool without a FIFO.
POLL_SECONDS = 1.0

#: Lines delivered within this time, in seconds, are committed together.
_GRAIN_SECONDS = 1.0

_REMOVED = "the spool was removed; a restart of this collector opens it again"


class Delivery:
    """Delivers a spool.

    Args:
        reader: the spool.
        name: its tag.
        redeliver_seconds: minimum age of a delivery before it is committed.
        once: end when there are no lines left, instead of waiting.
        report: receives errors that do not end the stream.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        reader: Reader,
        name: str,
        redeliver_seconds: float,
        once: bool,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._series = Series(SPOOL.name, {"spool": name})
        self._redeliver_seconds = redeliver_seconds
        self._once = once
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._deliveries: deque[tuple[float, int]] = deque()
        self._delivered = 0
        self._missing = 0
        self._damaged = 0

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Yield the lines as they arrive, and the state of the spool every :data:`REPORT_SECONDS`."""
        due = self._timer()
        if self._reader.notice:
            self._report.error(self._reader.notice)
        while True:
            state: list[Metric] = []
            try:
                self._reader.clear_notification()
                lines = self._reader.read()
                if self._timer() >= due:
                    due = self._timer() + REPORT_SECONDS
                    state = [self._state(lines)]
            except (FileNotFoundError, NotADirectoryError):
                raise Unavailable(_REMOVED) from None
            except OSError as error:
                raise Unavailable(f"the spool cannot be read any more: {error.strerror}") from None
            if state:
                yield state
            if lines:
                # The runner has written one batch when it requests the next.
                yield list(self._metrics(lines))
                self._note(len(lines))
            self._commit()
            if lines:
                if wait(0):
                    return
            elif self._once:
                if self._delivered:
                    yield [self._state([])]
                return
            elif wait(self._wait_seconds(due), self._reader.fifo):
                return

    def close(self) -> None:
        """Close the spool."""
        self._reader.close()

    def _metrics(self, lines: list[bytes]) -> Iterator[Metric]:
        for line in lines:
            try:
                yield decode(line.decode("utf-8", "replace"))
            except ParseError as error:
                self._report.error(f"the spool has a line that is not line protocol: {error}")

    def _state(self, at_hand: list[bytes]) -> Metric:
        """The state, before the current lines are delivered."""
        if self._reader.removed:
            raise Unavailable(_REMOVED)
        reader = self._reader
        waiting_lines, waiting_bytes = reader.waiting()
        dropped, self._missing = reader.missing - self._missing, reader.missing
        damaged, self._damaged = reader.damaged - self._damaged, reader.damaged
        if dropped:
            self._report.error(
                f"lines missing from the spool: {dropped}; it or the disk was full for a while, or a file is damaged"
            )
        if damaged:
            self._report.error(f"damaged records of the spool that were skipped: {damaged}")
        delivered, self._delivered = self._delivered, 0
        fields: dict[str, FieldValue] = {
            "waiting_lines": waiting_lines + len(at_hand),
            "waiting_bytes": waiting_bytes + sum(map(len, at_hand)),
            "delivered": delivered,
            "dropped": dropped,
        }
        return Metric(self._series, fields, self._clock_ns())

    def _note(self, lines: int) -> None:
        self._delivered += lines
        now = self._timer()
        if self._deliveries and now - self._deliveries[-1][0] < _GRAIN_SECONDS:
            now, _ = self._deliveries.pop()
        self._deliveries.append((now, self._reader.number))

    def _commit(self) -> None:
        """Commit lines whose delivery is old enough."""
        limit = self._redeliver_seconds + _GRAIN_SECONDS if self._redeliver_seconds else 0.0
        number = 0
        while self._deliveries and self._timer() - self._deliveries[0][0] >= limit:
            _, number = self._deliveries.popleft()
        try:
            self._reader.commit(number)
        except OSError as error:
            self._report.error(
                f"the position in the spool cannot be written: {error.strerror}; "
                "lines may be delivered again after a restart"
            )

    def _wait_seconds(self, due: float) -> float:
        """Seconds to wait for new lines; deliveries are committed when the state is reported."""
        seconds = max(0.0, due - self._timer())
        return seconds if self._reader.fifo is not None else min(seconds, POLL_SECONDS)
