"""The times of a recording's rows: finds odd ones, and keeps rows with equal times apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from collectors.sensehat.csv_recording import Row

_SECOND_NS = 1_000_000_000

#: A time further than this from its neighbours comes from a wrong clock.
JUMP_NS = 3600 * _SECOND_NS
#: Maximum distance of the first row from the second one; beyond it, the first row's clock was wrong.
FIRST_JUMP_NS = 24 * JUMP_NS
#: Maximum number of consecutive wrong rows that are recognised by the rows after them.
AHEAD = 16
#: Offset between rows with equal times, in their order: InfluxDB keeps one point per time.
APART_NS = 1_000_000
#: Rows of a time that comes again after the clock was set back are this far from the earlier ones.
_AGAIN_NS = 1_000


class Timed(NamedTuple):
    """A row with a time that no row before it has.

    Args:
        row: the row.
        time_ns: nanoseconds since 1970.
        step_ns: nanoseconds since the previous row; negative where the clock was set back.
    """

    row: Row
    time_ns: int
    step_ns: int


class Timeline:
    """The rows with their times.

    Args:
        rows: rows in the order of the file, and None for each invalid line.
        path: the file, for messages.
        on_error: receives a message for each row that is left out, and when the clock was set back.
    """

    def __init__(self, rows: Iterator[Row | None], path: str, on_error: Callable[[str], None]) -> None:
        self._rows = rows
        self._path = path
        self._on_error = on_error
        self._ahead: deque[Row] = deque()
        self._said: dict[str, str] = {}

    def __iter__(self) -> Iterator[Timed | None]:
        """The rows, and None for each omitted one, so that the caller can pause and resume."""
        last: int | None = None
        previous = latest = backwards = 0
        while True:
            yield from self._look(1)
            if not self._ahead:
                return
            row = self._ahead.popleft()
            time_ns = row.time_ns
            if (yield from self._is_odd(last, time_ns)):
                self._report(row, "is far from the times around it; the row is skipped")
                yield None
                continue
            step_ns = 0 if last is None else time_ns - last
            if step_ns < 0:
                backwards += 1
                self._report(
                    row, "is before that of the previous row; if the times are local ones, see the setting time_zone"
                )
            # Where the clock was set back, the times of earlier rows may come a second time.
            emitted = time_ns + (backwards * _AGAIN_NS if time_ns <= latest else 0)
            if last is not None and step_ns >= 0 and emitted <= previous:
                emitted = previous + APART_NS
            previous, latest, last = emitted, max(latest, time_ns), time_ns
            yield Timed(row, emitted, step_ns)

    def _report(self, row: Row, fault: str) -> None:
        """Report a fault of a time; of many, the first one again, which is logged once and counted each time."""
        self._on_error(self._said.setdefault(fault, f"{self._path}, line {row.line}: time_stamp {fault}"))

    def _look(self, count: int) -> Generator[None]:
        """Read until this many rows are known, or all."""
        while len(self._ahead) < count:
            try:
                row = next(self._rows)
            except StopIteration:
                return
            if row is None:
                yield None
            else:
                self._ahead.append(row)

    def _is_odd(self, last: int | None, time_ns: int) -> Generator[None, None, bool]:
        """Whether the rows that follow continue from the previous row rather than from this one."""
        if last is None:
            yield from self._look(1)
            back = bool(self._ahead) and time_ns - self._ahead[0].time_ns > FIRST_JUMP_NS
            return back and not (yield from self._continues(time_ns))
        return abs(time_ns - last) > JUMP_NS and (yield from self._continues(last))

    def _continues(self, time_ns: int) -> Generator[None, None, bool]:
        """Whether one of the next rows follows this time."""
        for count in range(1, AHEAD + 1):
            yield from self._look(count)
            if len(self._ahead) < count:
                return False
            if 0 <= self._ahead[count - 1].time_ns - time_ns <= JUMP_NS:
                return True
        return False
