"""Replays a recording: its rows as they fall due, at the recorded pace or faster, or all at once with their own times.

See :mod:`collectors.sensehat.table` for the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from collectors.core.api import Context, Unavailable
from collectors.core.line_protocol import Metric
from collectors.sensehat import PACE, RECORDING, REPEAT
from collectors.sensehat.collector import lines_of
from collectors.sensehat.readings import Reading
from collectors.sensehat.table import Row, Table

TAGS = {"replayed": "true"}

#: Rows of one gather; after a long sleep of the machine, what is due comes in several.
MOST_ROWS = 1000

#: Rows of one batch of an import.
IMPORT_ROWS = 500


class Schedule:
    """When each row is due: the first at once, each other as long after it as it was recorded after it.

    A row that was recorded at the same time as the one before it, or earlier, has no place in the order.

    Args:
        pace: recorded seconds to a second.
        start_ns: when the first row is due.
    """

    def __init__(self, pace: float, start_ns: int) -> None:
        self._pace = pace
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._last_ns: int | None = None
        self._step_ns = 0

    def due(self, recorded_ns: int) -> int | None:
        """When the row is due, in nanoseconds since 1970; None where its time does not follow the one before."""
        if self._last_ns is not None:
            step_ns = recorded_ns - self._last_ns
            if step_ns <= 0:
                return None
            self._elapsed_ns += step_ns
            self._step_ns = step_ns
        self._last_ns = recorded_ns
        return self._start_ns + round(self._elapsed_ns / self._pace)

    def begin_again(self) -> None:
        """The next row is the first of the recording again, one step after the last."""
        self._last_ns = None
        self._elapsed_ns += self._step_ns or 1_000_000_000


class Replay:
    """Rows as they fall due.

    A row is stamped with the time at which it is due, so that several that are due at one gather remain several
    points; with pace 0 each gather takes one row and stamps it with now.
    """

    tags = TAGS

    def __init__(self, context: Context, say: Callable[[str], None] | None = None) -> None:
        self._path = recording_of(context)
        self._refuse = context.report.error
        self._say = say or _say
        self._pace = context.values[PACE]
        self._repeat = context.values[REPEAT]
        self._clock_ns = context.clock_ns
        self._schedule: Schedule | None = None
        self._waiting: tuple[Row, int] | None = None
        self._ended = False
        self._table = Table(self._path, self._refuse)
        self._rows = self._table.rows()

    def read(self) -> Iterator[Reading]:
        """The rows that are due now."""
        if self._pace == 0:
            row = self._next()
            if row is not None:
                yield row.reading
            return
        now_ns = self._clock_ns()
        if self._schedule is None:
            self._schedule = Schedule(self._pace, now_ns)
        for _ in range(MOST_ROWS):
            waiting = self._waiting or self._next_due(self._schedule)
            self._waiting = waiting
            if waiting is None or waiting[1] > now_ns:
                return
            self._waiting = None
            row, due_ns = waiting
            yield row.reading._replace(time_ns=due_ns)

    def _next_due(self, schedule: Schedule) -> tuple[Row, int] | None:
        while (row := self._next(schedule)) is not None:
            due_ns = schedule.due(row.time_ns)
            if due_ns is not None:
                return row, due_ns
            self._refuse(
                f"{self._path}, line {row.line}: time_stamp: expected a time after that of the row before; "
                "the row is passed over"
            )
        return None

    def _next(self, schedule: Schedule | None = None) -> Row | None:
        """The next row, at the end the first again where the recording is repeated; None when there is no more."""
        if self._ended:
            return None
        row = next(self._rows, None)
        if row is None and self._repeat:
            self._table.close()
            self._table = Table(self._path, self._refuse)
            self._rows = self._table.rows()
            row = next(self._rows, None)
            if schedule is not None:
                schedule.begin_again()
        if row is None:
            self._ended = True
            self._say(f"{self._path}: the recording is at its end, so there is no more data; see the setting repeat")
        return row

    def close(self) -> None:
        """Close the file."""
        self._table.close()


class Import:
    """A whole recording at once, each row with its own time: to import it, not to replay it."""

    def __init__(self, context: Context) -> None:
        self._table = Table(recording_of(context), context.report.error)
        self._lines = lines_of(context, TAGS)

    def stream(self, wait: Callable[[float], bool]) -> Iterator[list[Metric]]:
        """Batches of lines to the end of the recording."""
        batch: list[Metric] = []
        for number, row in enumerate(self._table.rows(), 1):
            batch.extend(self._lines.of(row.reading, row.time_ns))
            if number % IMPORT_ROWS == 0:
                yield batch
                batch = []
                if wait(0):
                    return
        yield batch

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def recording_of(context: Context) -> str:
    """The file that the settings name. Raises Unavailable where they name none."""
    path = context.values[RECORDING]
    if not path:
        raise Unavailable(
            "the backend recording needs a file: set SENSETIG_SENSEHAT_RECORDING to a CSV or CSV.gz of readings"
        )
    return path


def _say(sentence: str) -> None:
    print(f"I! sensehat: {sentence}", file=sys.stderr, flush=True)
