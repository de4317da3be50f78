"""Replays a recording: rows as they become due, at the recorded pace or faster, or all at once with their own times.

See :mod:`collectors.sensehat.csv_recording` for the file format.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from collectors.core.api import Context, Unavailable
from collectors.core.line_protocol import Metric
from collectors.sensehat import PACE, RECORDING, REPEAT
from collectors.sensehat.collector import make_line_builder
from collectors.sensehat.csv_recording import CsvRecording, Row
from collectors.sensehat.readings import Reading

TAGS = {"replayed": "true"}

#: Maximum number of rows per reading; after the machine was suspended, the due rows take several readings.
MAX_ROWS = 1000

#: Rows per batch of an import.
IMPORT_ROWS = 500


class Schedule:
    """Computes when each row is due: the first at once, the others after their recorded interval divided by the pace.

    A row that was not recorded later than the previous one is invalid.

    Args:
        pace: recorded seconds per second.
        start_ns: when the first row is due, in nanoseconds since 1970.
    """

    def __init__(self, pace: float, start_ns: int) -> None:
        self._pace = pace
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._last_ns: int | None = None
        self._step_ns = 0

    def due(self, recorded_ns: int) -> int | None:
        """When the row is due, in nanoseconds since 1970; None if its time is not after that of the previous row."""
        if self._last_ns is not None:
            step_ns = recorded_ns - self._last_ns
            if step_ns <= 0:
                return None
            self._elapsed_ns += step_ns
            self._step_ns = step_ns
        self._last_ns = recorded_ns
        return self._start_ns + round(self._elapsed_ns / self._pace)

    def restart(self) -> None:
        """Restart the recording: its first row is due one interval after the last."""
        self._last_ns = None
        self._elapsed_ns += self._step_ns or 1_000_000_000


class Replay:
    """Returns rows as they become due.

    A row gets the time at which it is due, so that several rows of one reading remain several points; with pace 0, each
    reading returns one row with the current time.
    """

    tags = TAGS

    def __init__(self, context: Context, log: Callable[[str], None] | None = None) -> None:
        self._path = recording_path(context)
        self._on_error = context.report.error
        self._log = log or _log
        self._pace = context.values[PACE]
        self._repeat = context.values[REPEAT]
        self._clock_ns = context.clock_ns
        self._schedule: Schedule | None = None
        self._waiting: tuple[Row, int] | None = None
        self._ended = False
        self._table = CsvRecording(self._path, self._on_error)
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
        for _ in range(MAX_ROWS):
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
            self._on_error(
                f"{self._path}, line {row.line}: time_stamp: expected a time after that of the previous row; "
                "the row is skipped"
            )
        return None

    def _next(self, schedule: Schedule | None = None) -> Row | None:
        """The next row; at the end the first one if the recording is repeated, otherwise None."""
        if self._ended:
            return None
        row = next(self._rows, None)
        if row is None and self._repeat:
            self._table.close()
            self._table = CsvRecording(self._path, self._on_error)
            self._rows = self._table.rows()
            row = next(self._rows, None)
            if schedule is not None:
                schedule.restart()
        if row is None:
            self._ended = True
            self._log(f"{self._path}: the recording has ended, so there is no more data; see the setting repeat")
        return row

    def close(self) -> None:
        """Close the file."""
        self._table.close()


class RecordingImport:
    """Emits a whole recording at once, each row with its own time."""

    def __init__(self, context: Context) -> None:
        self._table = CsvRecording(recording_path(context), context.report.error)
        self._lines = make_line_builder(context, TAGS)

    def stream(self, wait: Callable[[float], bool]) -> Iterator[list[Metric]]:
        """Batches of lines to the end of the recording."""
        batch: list[Metric] = []
        for number, row in enumerate(self._table.rows(), 1):
            batch.extend(self._lines.build(row.reading, row.time_ns))
            if number % IMPORT_ROWS == 0:
                yield batch
                batch = []
                if wait(0):
                    return
        yield batch

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def recording_path(context: Context) -> str:
    """The configured file. Raises Unavailable if none is set."""
    path = context.values[RECORDING]
    if not path:
        raise Unavailable(
            "the backend recording needs a file: set SENSETIG_SENSEHAT_RECORDING to a CSV or CSV.gz of readings"
        )
    return path


def _log(message: str) -> None:
    print(f"I! sensehat: {message}", file=sys.stderr, flush=True)
