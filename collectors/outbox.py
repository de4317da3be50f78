"""The outbox between Telegraf and InfluxDB: waiting points, and points that were stored, refused or damaged.

It reads the folder of the outbox, so that it reports waiting points even while the outbox is not running. On a hub it
also reports the receiver, which forwards the points of other machines. docs/explanation/outbox.md describes both.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from collectors.core.api import Context, NotApplicable, Polled, Unavailable
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting

OUTBOX = Measurement(
    "outbox",
    "The durable queue between Telegraf and InfluxDB.",
    (),
    (
        Field("waiting_points", int, "", "Points on the disk that InfluxDB does not have yet.", 0),
        Field("waiting_bytes", int, "bytes", "Size of the waiting batches.", 0),
        Field("limit_bytes", int, "bytes", "Maximum size of the waiting batches.", 0),
        Field("oldest_seconds", float, "seconds", "Age of the oldest waiting batch; 0 where none waits.", 0),
        Field("reason", str, "", "Why points wait: the last error of InfluxDB. Empty while InfluxDB takes points."),
        Field("taken_points", int, "", "Points taken from Telegraf, in total.", 0),
        Field("stored_points", int, "", "Points that InfluxDB has stored, in total.", 0),
        Field("refused_points", int, "", "Points that InfluxDB refused for good, in total.", 0),
        Field("refused_type", int, "", "Of these, points with a field of another type than before.", 0),
        Field("refused_retention", int, "", "Of these, points older than the bucket keeps.", 0),
        Field("refused_syntax", int, "", "Of these, points that are not valid line protocol.", 0),
        Field("refused_device", int, "", "Of these, points that name another device.", 0),
        Field("damaged_points", int, "", "Points lost in damaged files, in total.", 0),
        Field("missing_batches", int, "", "Batches whose files disappeared, in total.", 0),
        Field("held_writes", int, "", "Writes answered with 503 because there was no room, in total.", 0),
    ),
)
RECEIVER = Measurement(
    "receiver",
    "The end of a hub that takes the points of other machines.",
    (),
    (
        Field("passed_writes", int, "", "Writes passed on to InfluxDB since the receiver started.", 0),
        Field("held_writes", int, "", "Writes answered with 503 since the receiver started.", 0),
        Field("holding", int, "", "1 while writes are held, else 0.", 0, 1),
        Field("reason", str, "", "Why writes are held: InfluxDB does not answer, or its disk has no room. Else empty."),
    ),
)

#: Outcomes of points: Telegraf's counts (telegraf.d/telegraf.conf) and the outbox's in one measurement. A lost point is
#: dropped, rejected, refused or damaged, and counted once.
DELIVERY = Measurement(
    "delivery",
    "Outcomes of the points after the collectors.",
    (Tag("stage", "telegraf or outbox: who counts."),),
    (
        Field("metrics_written", int, "", "Points that Telegraf has written since it started.", 0),
        Field("metrics_dropped", int, "", "Points that Telegraf's full buffer has dropped.", 0),
        Field("metrics_rejected", int, "", "Points that Telegraf has given up.", 0),
        Field("stored_points", int, "", "Points that InfluxDB has stored, in total.", 0),
        Field("refused_points", int, "", "Points that InfluxDB refused for good, in total.", 0),
        Field("damaged_points", int, "", "Points lost in damaged files, in total.", 0),
    ),
)
MEASUREMENTS = (OUTBOX, RECEIVER, DELIVERY)

FOLDER: Setting[str] = Setting("folder", str, "/var/lib/sensetig-outbox", "Folder of the outbox.")
RECEIVER_FOLDER: Setting[str] = Setting(
    "receiver_folder", str, "/var/lib/sensetig-receiver", "Folder of a hub's receiver."
)
SETTINGS: tuple[Setting[Any], ...] = (FOLDER, RECEIVER_FOLDER)

#: Totals in the state file; each is a field of the measurement.
TOTALS = (
    "taken_points",
    "stored_points",
    "refused_points",
    "refused_type",
    "refused_retention",
    "refused_syntax",
    "refused_device",
    "damaged_points",
    "missing_batches",
    "held_writes",
)
#: Further keys of the state file.
LIMIT, REASON = "limit_bytes", "reason"
STATE = "state.json"
DAMAGED = "damaged"
SUFFIX = ".batch"

_NAME = re.compile(r"([0-9]{12})-([0-9]{1,9})-([0-9]{1,19})\.batch")
_MAX_STATE_BYTES = 64 * 1024


#: The fields of `delivery` that count lost points.
LOSSES = ("metrics_dropped", "metrics_rejected", "refused_points", "damaged_points")

_DELIVERED = ("stored_points", "refused_points", "damaged_points")
_OUTBOX_STAGE = Series(DELIVERY.name, {"stage": "outbox"})


class Waiting(NamedTuple):
    """A waiting batch, as described by its file's name and size.

    Args:
        number: increases by 1 from batch to batch.
        points: number of points written.
        time_ns: time of the write, nanoseconds since 1970.
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
    """The waiting batches, oldest first. Raises OSError if the folder cannot be read."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # delivered in the meantime
            found.append(Waiting(int(match[1]), int(match[2]), int(match[3]), size))
    return sorted(found)


def read_state(folder: str) -> dict[str, int | str] | None:
    """The state file's values; empty if there is none yet, None if it is damaged. Raises OSError."""
    try:
        with open(os.path.join(folder, STATE), "rb") as file:
            state = json.loads(file.read(_MAX_STATE_BYTES))
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    if not isinstance(state, dict):
        return None
    if not all(type(value) is (str if key == REASON else int) for key, value in state.items()):
        return None
    return state


def read_totals(folder: str) -> dict[str, int] | None:
    """The numbers in the state file; empty if there is none yet, None if it is damaged. Raises OSError."""
    state = read_state(folder)
    return None if state is None else {key: value for key, value in state.items() if isinstance(value, int)}


class Outbox:
    """Report the contents of a folder, the totals, and the points forwarded by a receiver.

    Args:
        folder: of the outbox, or None if there is no outbox.
        receiver_folder: of the receiver, or None if there is no receiver.
        clock_ns: wall clock, nanoseconds since 1970.
        refuse: counts an error.
    """

    def __init__(
        self,
        folder: str | None,
        receiver_folder: str | None,
        clock_ns: Callable[[], int],
        refuse: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._receiver_folder = receiver_folder
        self._clock_ns = clock_ns
        self._refuse = refuse

    def collect(self) -> Iterable[Metric]:
        """One point for each. Raises Unavailable if a folder cannot be read."""
        now = self._clock_ns()
        if self._folder is not None:
            metric = self._outbox(self._folder, now)
            yield metric
            counts = {name: metric.fields[name] for name in _DELIVERED if name in metric.fields}
            if counts:
                yield Metric(_OUTBOX_STAGE, counts, now)
        if self._receiver_folder is not None:
            state = self._state(self._receiver_folder)
            if state:
                fields = {**state, "holding": int(bool(state.get(REASON)))}
                names = {field.name for field in RECEIVER.fields}
                yield Metric(Series(RECEIVER.name, {}), {key: fields[key] for key in fields if key in names}, now)

    def _outbox(self, folder: str, now: int) -> Metric:
        try:
            waiting = scan(folder)
        except OSError as error:
            raise Unavailable(f"the outbox in {folder} cannot be read: {error.strerror}") from None
        oldest = min((each.time_ns for each in waiting), default=now)
        fields: dict[str, FieldValue] = {
            "waiting_points": sum(each.points for each in waiting),
            "waiting_bytes": sum(each.size for each in waiting),
            "oldest_seconds": max(0, now - oldest) / 1e9,
        }
        state = self._state(folder)
        fields.update({name: state[name] for name in (*TOTALS, LIMIT, REASON) if name in state})
        return Metric(Series(OUTBOX.name, {}), fields, now)

    def _state(self, folder: str) -> dict[str, int | str]:
        try:
            state = read_state(folder)
        except OSError as error:
            raise Unavailable(f"{os.path.join(folder, STATE)} cannot be read: {error.strerror}") from None
        if state is None:
            self._refuse(f"{os.path.join(folder, STATE)} is damaged; the totals are left out")
            return {}
        return state

    def close(self) -> None:
        """Do nothing: the collector holds no resources."""


def create(context: Context) -> Polled:
    """The collector. Raises NotApplicable if this machine has no outbox."""
    folder, receiver_folder = (
        path if os.path.isdir(path) else None for path in (context.values[FOLDER], context.values[RECEIVER_FOLDER])
    )
    if folder is None and receiver_folder is None:
        raise NotApplicable(f"there is no outbox in {context.values[FOLDER]}")
    return Outbox(folder, receiver_folder, context.clock_ns, context.report.error)
