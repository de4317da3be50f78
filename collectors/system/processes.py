"""``processes``: number of processes, in total and by state."""

from __future__ import annotations

import os
from collections.abc import Callable

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement

#: State in /proc/PID/stat (proc_pid_stat(5)) -> field.
_STATES = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "blocked",
    b"Z": "zombies",
    b"X": "dead",
    b"x": "dead",
    b"T": "stopped",
    b"t": "stopped",
    b"W": "paging",
    b"I": "idle",
    b"P": "parked",
}

#: Position of the number of threads, counted from the state.
_THREADS = 17

MEASUREMENT = Measurement(
    "processes",
    "Number of processes, all and by state.",
    (),
    (
        Field("total", int, "", "Processes, the kernel's own included.", 0),
        Field("total_threads", int, "", "Threads of all processes.", 0),
        Field("running", int, "", "Running or ready to run.", 0),
        Field("sleeping", int, "", "Waiting for an event.", 0),
        Field("blocked", int, "", "Waiting for a disk, uninterruptible.", 0),
        Field("idle", int, "", "Threads of the kernel with nothing to do.", 0),
        Field("stopped", int, "", "Stopped by a signal or by a debugger.", 0),
        Field("zombies", int, "", "Ended, but not yet reaped by their parent.", 0),
        Field("dead", int, "", "Being removed.", 0),
        Field("paging", int, "", "Paging, on kernels before 2.6.", 0),
        Field("unknown", int, "", "In a state that the kernel did not have when this was written.", 0),
        Field("parked", int, "", "Threads of the kernel set aside; absent while there are none.", 0),
    ),
)

_EMPTY = {field.name: 0 for field in MEASUREMENT.fields if field.name != "parked"}


def count(proc_root: str, refuse: Callable[[str], None], hidden: Callable[[], None]) -> dict[str, int]:
    """The fields of ``processes``. A process that ends in the meantime is not counted.

    Most of a batch's time is spent here, because the kernel has one file per process. The files are therefore opened
    relative to an open /proc, which saves the path lookup, and read with one call each.

    Args:
        refuse: receives a sentence for each file in another format.
        hidden: called if the processes of other users are hidden.

    Raises OSError if the list of processes cannot be read.
    """
    fields = dict(_EMPTY)
    open_, read, close = os.open, os.read, os.close
    states: dict[bytes, int] = {}
    total = threads = 0
    first, others = False, True
    root = open_(proc_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(root):
            if not name.isdecimal():
                continue
            try:
                descriptor = open_(name + "/stat", 0, dir_fd=root)
            except (FileNotFoundError, ProcessLookupError):
                continue
            except PermissionError:
                others = False  # /proc is mounted with hidepid=1
                continue
            if name == "1":
                first = True
            try:
                content = read(descriptor, 4096)
            except ProcessLookupError:
                continue
            finally:
                close(descriptor)
            # A program's name may contain brackets and spaces: only the part after the last bracket is reliable.
            words = content[content.rfind(b")") + 1 :].split(None, _THREADS + 1)
            try:
                threads += int(words[_THREADS])
            except (IndexError, ValueError):
                refuse(f"{proc_root}/{name}/stat has {content[:80]!r}, which has no threads")
                continue
            state = words[0]
            states[state] = states.get(state, 0) + 1
            total += 1
    finally:
        close(root)
    if not others or not first:  # with hidepid=2, the first process is not listed either
        hidden()
    for state, number in states.items():
        field = _STATES.get(state, "unknown")
        fields[field] = fields.get(field, 0) + number
    fields["total"] = total
    fields["total_threads"] = threads
    return fields


class Processes:
    """Reads ``processes``."""

    name = MEASUREMENT.name
    compares = False

    def __init__(self, proc_root: str, error: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._root = proc_root
        self._error = error
        self._note = note
        self._series = Series("processes")

    def read(self, now: int) -> list[Metric]:
        """One sample."""
        return [Metric(self._series, count(self._root, self._refuse, self._hidden), now)]

    def _refuse(self, refused: str) -> None:
        self._error(f"processes: {refused}")

    def _hidden(self) -> None:
        self._note(
            f"processes: only those of this user are counted, since {self._root} hides the others (its mount option "
            "hidepid)"
        )
