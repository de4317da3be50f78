"""The account of a simulation: each message sent, acknowledged or failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from sensetig.simulator.device import BROKEN, Fault, Message, Status

#: Maximum number of undelivered messages recorded individually; further ones are only counted.
_KEPT_UNSENT = 10_000


class DeviceStats:
    """Statistics of one device.

    ``points`` and ``fields`` are those of its telemetry and late messages, each counted once: the expected content of
    the receiver. Messages are ``telemetry + late + duplicate + broken``.
    """

    __slots__ = (
        "acknowledged",
        "broken",
        "duplicate",
        "fields",
        "late",
        "points",
        "readings",
        "statuses",
        "telemetry",
        "unacknowledged",
    )

    def __init__(self) -> None:
        self.telemetry = self.late = self.duplicate = self.broken = self.statuses = 0
        self.readings = self.points = self.fields = 0
        self.acknowledged = self.unacknowledged = 0

    @property
    def messages(self) -> int:
        """All messages except online and offline status."""
        return self.telemetry + self.late + self.duplicate + self.broken

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {"messages": self.messages, **{name: getattr(self, name) for name in self.__slots__}}


class Unsent(NamedTuple):
    """An unacknowledged message, and the reason if known."""

    device: str
    kind: str
    times_ns: tuple[int, ...]
    reason: str


class SendLog:
    """Counts messages by device and in total.

    Args:
        devices: their names.
        manifest: receives a line for each sent point, or None.
        faults: receives a line for each fault, or None: they may exceed the memory.
    """

    def __init__(self, devices: Iterable[str], manifest: IO[str] | None = None, faults: IO[str] | None = None) -> None:
        self.devices = {name: DeviceStats() for name in devices}
        self._faults: dict[str, Counter[str]] = {name: Counter() for name in self.devices}
        self.unsent: list[Unsent] = []
        self.trouble: Counter[str] = Counter()
        self._waiting: dict[int, Message | Status] = {}
        self._tickets = 0
        self._manifest = manifest
        self._fault_lines = faults

    @property
    def waiting(self) -> int:
        """Number of messages sent but not yet acknowledged."""
        return len(self._waiting)

    @property
    def ended(self) -> int:
        """Number of messages acknowledged or rejected."""
        return self._tickets - len(self._waiting)

    def fault(self, fault: Fault) -> None:
        """Record a fault."""
        self._faults[fault.device][fault.kind] += 1
        if self._fault_lines is not None:
            self._fault_lines.write(json.dumps({key: value for key, value in fault._asdict().items() if value}) + "\n")

    def sent(self, message: Message | Status) -> int:
        """Record a message as sent; return the ticket for its outcome."""
        stats = self.devices[message.device]
        if isinstance(message, Status):
            stats.statuses += 1
        elif message.kind in BROKEN:
            stats.broken += 1
        else:
            setattr(stats, message.kind, getattr(stats, message.kind) + 1)
            if message.kind != "duplicate":
                stats.readings += message.readings
                stats.points += len(message.metrics)
                stats.fields += sum(len(metric.fields) for metric in message.metrics)
            if self._manifest is not None:
                self._list(message, self._manifest)
        self._tickets += 1
        self._waiting[self._tickets] = message
        return self._tickets

    def acknowledged(self, ticket: int) -> None:
        """Record an acknowledgement. A second one for the same ticket is ignored."""
        message = self._waiting.pop(ticket, None)
        if message is not None and isinstance(message, Message):
            self.devices[message.device].acknowledged += 1

    def failed(self, ticket: int, reason: str) -> None:
        """Record a rejection or a lost connection."""
        message = self._waiting.pop(ticket, None)
        if message is None:
            return
        self.trouble[reason] += 1
        self.devices[message.device].unacknowledged += 1
        if len(self.unsent) < _KEPT_UNSENT:
            kind, times = (
                (message.kind, tuple(dict.fromkeys(metric.time_ns or 0 for metric in message.metrics)))
                if isinstance(message, Message)
                else ("status", ())
            )
            self.unsent.append(Unsent(message.device, kind, times, reason))

    def abandon(self, reason: str) -> None:
        """Record that all pending messages will stay unacknowledged."""
        for ticket in list(self._waiting):
            self.failed(ticket, reason)

    def total(self) -> dict[str, int]:
        """The counts of all devices together."""
        sums: Counter[str] = Counter()
        for stats in self.devices.values():
            sums.update(stats.as_dict())
        return {name: sums[name] for name in DeviceStats().as_dict()}

    def faults_of(self, device: str | None = None) -> dict[str, int]:
        """Faults by kind, of a device or of all."""
        counts: Counter[str] = Counter()
        for each in self._faults.values() if device is None else (self._faults[device],):
            counts.update(each)
        return dict(sorted(counts.items()))

    def _list(self, message: Message, manifest: IO[str]) -> None:
        for metric in message.metrics:
            entry = {
                "device": message.device,
                "kind": message.kind,
                "measurement": metric.series.measurement,
                "tags": dict(metric.series.tags),
                "time": metric.time_ns,
                "fields": dict(metric.fields),
            }
            manifest.write(json.dumps(entry, separators=(",", ":")) + "\n")


def fault_entries(file: IO[str]) -> Iterator[dict[str, object]]:
    """The faults that a send log has written, in order."""
    file.seek(0)
    for line in file:
        yield json.loads(line)
