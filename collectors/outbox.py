"""The outbox between Telegraf and InfluxDB: points that wait, and points that were stored, refused or damaged.

It reads the folder of the outbox, so that it reports waiting points also while the outbox does not run.
docs/outbox.md describes the outbox.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from collectors.core.api import Context, NotApplicable, Polled, Unavailable
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.core.settings import Setting

OUTBOX = Measurement(
    "outbox",
    "The durable queue between Telegraf and InfluxDB.",
    (),
    (
        Field("waiting_points", int, "", "Points on the disk that InfluxDB does not have yet.", 0),
        Field("waiting_bytes", int, "bytes", "Size of the waiting batches.", 0),
        Field("oldest_seconds", float, "seconds", "Age of the oldest waiting batch; 0 where none waits.", 0),
        Field("stored_points", int, "", "Points that InfluxDB has stored, in total.", 0),
        Field("refused_points", int, "", "Points that InfluxDB refused for good, in total.", 0),
        Field("damaged_points", int, "", "Points lost in damaged files, in total.", 0),
        Field("missing_batches", int, "", "Batches whose files disappeared, in total.", 0),
        Field("held_writes", int, "", "Writes answered with 503 because there was no room, in total.", 0),
    ),
)
MEASUREMENTS = (OUTBOX,)

FOLDER: Setting[str] = Setting("folder", str, "/var/lib/sensetig-outbox", "Folder of the outbox.")
SETTINGS: tuple[Setting[Any], ...] = (FOLDER,)

#: Totals in the state file; each is a field of the measurement.
TOTALS = ("stored_points", "refused_points", "damaged_points", "missing_batches", "held_writes")
STATE = "state.json"
DAMAGED = "damaged"
SUFFIX = ".batch"

_NAME = re.compile(r"([0-9]{12})-([0-9]{1,9})-([0-9]{1,19})\.batch")
_MAX_STATE_BYTES = 64 * 1024


class Waiting(NamedTuple):
    """A waiting batch, as its file's name and size describe it.

    Args:
        number: rises by 1 from batch to batch.
        points: points it was written with.
        time_ns: when it was written, nanoseconds since 1970.
        size: bytes.
    """

    number: int
    points: int
    time_ns: int
    size: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.number:012d}-{self.points}-{self.time_ns}{SUFFIX}"


def scan(folder: str) -> list[Waiting]:
    """The waiting batches, the oldest first. Raises OSError where the folder cannot be read."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # delivered meanwhile
            found.append(Waiting(int(match[1]), int(match[2]), int(match[3]), size))
    return sorted(found)


def read_totals(folder: str) -> dict[str, int] | None:
    """The state file's numbers; empty where there is none yet, None where it is damaged. Raises OSError."""
    try:
        with open(os.path.join(folder, STATE), "rb") as file:
            state = json.loads(file.read(_MAX_STATE_BYTES))
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    if not isinstance(state, dict) or not all(type(value) is int for value in state.values()):
        return None
    return state


class Outbox:
    """Reports what waits in a folder, and the totals.

    Args:
        folder: of the outbox.
        clock_ns: wall clock, nanoseconds since 1970.
        refuse: counts an error.
    """

    def __init__(self, folder: str, clock_ns: Callable[[], int], refuse: Callable[[str], None]) -> None:
        self._folder = folder
        self._clock_ns = clock_ns
        self._refuse = refuse

    def collect(self) -> Iterable[Metric]:
        """One point. Raises Unavailable where the folder cannot be read."""
        try:
            waiting = scan(self._folder)
            totals = read_totals(self._folder)
        except OSError as error:
            raise Unavailable(f"the outbox in {self._folder} cannot be read: {error.strerror}") from None
        now = self._clock_ns()
        oldest = min((each.time_ns for each in waiting), default=now)
        fields: dict[str, FieldValue | None] = {
            "waiting_points": sum(each.points for each in waiting),
            "waiting_bytes": sum(each.size for each in waiting),
            "oldest_seconds": max(0, now - oldest) / 1e9,
        }
        if totals is None:
            self._refuse(f"{os.path.join(self._folder, STATE)} is damaged; the totals are left out")
        else:
            fields.update({name: totals[name] for name in TOTALS if name in totals})
        yield Metric(Series(OUTBOX.name, {}), {key: value for key, value in fields.items() if value is not None}, now)

    def close(self) -> None:
        """Nothing is held."""


def create(context: Context) -> Polled:
    """The collector. Raises NotApplicable where this machine has no outbox."""
    folder = context.values[FOLDER]
    if not os.path.isdir(folder):
        raise NotApplicable(f"there is no outbox in {folder}")
    return Outbox(folder, context.clock_ns, context.report.error)
