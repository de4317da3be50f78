"""Replays a recording: rows as they become due, at the recorded pace or faster, or all at once with their own times.

See :mod:`collectors.sensehat.csv_recording` for the file format, and :mod:`collectors.sensehat.timeline` for its times.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from collectors.core.api import Context, Unavailable
from collectors.core.line_protocol import Metric
from collectors.sensehat import COLUMNS, PACE, RECORDING, REPEAT, TIME_FORMAT, TIME_ZONE
from collectors.sensehat.collector import make_line_builder
from collectors.sensehat.csv_recording import CsvRecording, Form, Row
from collectors.sensehat.readings import Reading
from collectors.sensehat.timeline import APART_NS, JUMP_NS, Timed, Timeline

TAGS = {"replayed": "true"}

#: Maximum number of rows per reading; after the machine was suspended, the due rows take several readings.
MAX_ROWS = 1000

#: Maximum number of invalid lines per reading; a file with nothing else takes several readings.
MAX_REFUSED = 20_000

#: Maximum drift of the wall clock before the times of rows follow it.
MAX_DRIFT_NS = 1_000_000_000

#: Rows per batch of an import.
IMPORT_ROWS = 500


class Schedule:
    """Computes when each row is due: the first at once, the others after their recorded interval divided by the pace.

    An interval that is negative or longer than an hour is replaced by the last one that is not.

    Args:
        pace: recorded seconds per second.
        start_ns: when the first row is due, in nanoseconds of the caller's clock.
    """

    def __init__(self, pace: float, start_ns: int) -> None:
        self._pace = pace
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._same = -1
        self._step_ns = 1_000_000_000
        self._due_ns = start_ns - 1

    def due(self, step_ns: int) -> int:
        """When the row that was recorded *step_ns* after the previous one is due; never when another one is."""
        if 0 < step_ns <= JUMP_NS:
            self._step_ns = step_ns
        self._same = self._same + 1 if step_ns == 0 else 0
        if step_ns:
            self._elapsed_ns += self._step_ns
        recorded_ns = self._elapsed_ns + self._same * APART_NS
        self._due_ns = max(self._start_ns + round(recorded_ns / self._pace), self._due_ns + 1)
        return self._due_ns

    def restart(self) -> None:
        """Restart the recording: its first row is due one interval after the last."""
        self._elapsed_ns += self._step_ns
        self._same = -1


class Replay:
    """Returns rows as they become due.

    A row gets the time at which it is due, so that several rows of one reading remain several points; with pace 0, each
    reading returns one row with the current time. Corrections of the wall clock change the times, and not the pace.
    """

    tags = TAGS

    def __init__(self, context: Context, log: Callable[[str], None] | None = None) -> None:
        self._path = recording_path(context)
        self._form = recording_form(context)
        self._on_error = context.report.error
        self._note = context.report.note
        self._has_gap = False
        self._log = log or _log
        self._pace = context.values[PACE]
        self._repeat = context.values[REPEAT]
        self._clock_ns = context.clock_ns
        self._monotonic_ns = context.monotonic_ns
        self._ahead_ns: int | None = None
        self._schedule: Schedule | None = None
        self._waiting: tuple[Row, int] | None = None
        self._ended = False
        self._left = 0
        self._open()

    def _open(self) -> None:
        self._table = CsvRecording(self._path, self._on_error, self._form, on_repeat=self._on_error)
        self._has_rows = self._at_end = False
        steps = self._table.steps()
        # With pace 0, times do not matter.
        self._rows = iter(Timeline(steps, self._path, self._on_error)) if self._pace else _without_times(steps)

    def read(self) -> Iterator[Reading]:
        """The rows that are due now."""
        self._left = MAX_REFUSED
        if self._pace == 0:
            timed = self._next()
            if timed is not None:
                yield timed.row.reading
            return
        now_ns = self._monotonic_ns()
        ahead_ns = self._wall_ahead(now_ns)
        for _ in range(MAX_ROWS):
            waiting = self._waiting or self._next_due(now_ns)
            self._waiting = waiting
            if waiting is None or waiting[1] > now_ns:
                return
            self._waiting = None
            row, due_ns = waiting
            yield row.reading._replace(time_ns=due_ns + ahead_ns)

    def _wall_ahead(self, now_ns: int) -> int:
        """How far the wall clock is ahead of the monotonic one; small corrections would only unsteady the times."""
        ahead_ns = self._clock_ns() - now_ns
        if self._ahead_ns is None or abs(ahead_ns - self._ahead_ns) > MAX_DRIFT_NS:
            self._ahead_ns = ahead_ns
        return self._ahead_ns

    def _next_due(self, now_ns: int) -> tuple[Row, int] | None:
        timed = self._next(self._schedule)
        if timed is None:
            return None
        if self._schedule is None:
            self._schedule = Schedule(self._pace, now_ns)
        if timed.step_ns > JUMP_NS and not self._has_gap:
            self._has_gap = True
            self._note(
                f"{self._path}, line {timed.row.line}: gaps of more than an hour, such as before this row, pass in one "
                "interval"
            )
        return timed.row, self._schedule.due(timed.step_ns)

    def _next(self, schedule: Schedule | None = None) -> Timed | None:
        """The next row; at the end the first one if the recording is repeated.

        None at the end, and when this reading has met the maximum number of invalid lines.
        """
        timed = self._seek()
        if self._at_end and self._has_rows and self._repeat:
            self._table.close()
            self._open()
            timed = self._seek()
            if schedule is not None:
                schedule.restart()
        if self._at_end and not self._ended:
            self._ended = True
            self._log(f"{self._path}: the recording has ended, so there is no more data; see the setting repeat")
        return timed

    def _seek(self) -> Timed | None:
        """The next row of this pass through the file."""
        while self._left > 0:
            try:
                timed = next(self._rows)
            except StopIteration:
                self._at_end = True
                return None
            if timed is not None:
                self._has_rows = True
                return timed
            self._left -= 1
        return None

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def _without_times(steps: Iterator[Row | None]) -> Iterator[Timed | None]:
    return (None if row is None else Timed(row, row.time_ns, 0) for row in steps)


class RecordingImport:
    """Emits a whole recording at once, each row with its own time."""

    def __init__(self, context: Context) -> None:
        path = recording_path(context)
        error = context.report.error
        self._table = CsvRecording(path, error, recording_form(context), on_repeat=error)
        self._timeline = Timeline(self._table.steps(), path, error)
        self._lines = make_line_builder(context, TAGS)

    def stream(self, wait: Callable[[float], bool]) -> Iterator[list[Metric]]:
        """Batches of lines to the end of the recording."""
        batch: list[Metric] = []
        rows = refused = 0
        for timed in self._timeline:
            if timed is None:
                refused += 1
            else:
                rows += 1
                batch.extend(self._lines.build(timed.row.reading, timed.time_ns))
            if rows >= IMPORT_ROWS or refused >= MAX_REFUSED:
                yield batch
                batch = []
                rows = refused = 0
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


def recording_form(context: Context) -> Form:
    """The recording's format from the settings. Raises Unavailable for an invalid one."""
    values = context.values
    try:
        return Form.parse(values[COLUMNS], values[TIME_ZONE], values[TIME_FORMAT])
    except ValueError as error:
        raise Unavailable(f"a setting of the recording is wrong: {error}") from None


def _log(message: str) -> None:
    print(f"I! sensehat: {message}", file=sys.stderr, flush=True)
