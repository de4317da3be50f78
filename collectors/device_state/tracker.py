"""Count messages in memory and write changed device states to the store at intervals.

Until a message is written to the store it is in memory only. After a crash it is counted when its sender redelivers it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.settings import Values
from collectors.device_state import model
from collectors.device_state.counting import Device, Pending, Seen, StatusMessage, delta_of, joined
from collectors.device_state.measurement import DEVICE_STATE, DEVICE_STORE, OFFLINE
from collectors.device_state.store import Change, Store, StoreError

#: Attempts to write a device that other workers write, too, and the waits between attempts, in seconds:
#: random(base, min(cap, base·2^attempt)).
ATTEMPTS, BASE_SECONDS, CAP_SECONDS = 10, 0.01, 1.0

#: Attempts to write when the worker ends, if the store fails; the waits between them, as above, and the time after
#: which no attempt begins, all in seconds.
END_ATTEMPTS, END_BASE_SECONDS, END_CAP_SECONDS, END_WITHIN_SECONDS = 6, 0.1, 1.0, 3.5

#: Interval between requests for the devices that other workers have seen, in seconds.
LIST_SECONDS = 600.0

#: Devices read and written together: many in one transaction, but few enough not to block other workers.
TOGETHER = 500


class Limits(NamedTuple):
    """Limits of the tracker.

    Args:
        seconds: interval between writes.
        pending: approximate maximum of messages in memory: the tracker then writes at once, and keeps only the number
            of those that it cannot write.
        devices: maximum of devices in memory.
    """

    seconds: float = 60.0
    pending: int = 50_000
    devices: int = 50_000


class Tracker:
    """The states of all devices of one worker.

    Args:
        store: keeps the states.
        rules: rules for merging and for the status.
        limits: limits of memory and time.
        own: facts about this machine, by its device name.
        complain: receives one sentence.
        clock_ns: wall clock, for the last flush.
        timer: monotonic seconds.
        sleep: waits between attempts, in seconds.
    """

    def __init__(
        self,
        store: Store,
        rules: model.Rules,
        limits: Limits,
        own: Mapping[str, Mapping[str, str]],
        complain: Callable[[str], None],
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._rules = rules
        self._limits = limits
        self._own = own
        self._complain = complain
        self._clock_ns = clock_ns
        self._timer = timer
        self._sleep = sleep
        # The counting fills these, and a flush starts by taking from them; everything below belongs to the flush.
        self._devices: WeakValueDictionary[str, Pending] = WeakValueDictionary()
        self._changed: dict[str, Pending] = {}
        self._statuses: dict[str, StatusMessage] = {}
        self._kept: dict[str, model.Delta] = {}
        self._deadlines: dict[str, int] = {}
        # Workers started together should not write together.
        self._next = timer() + limits.seconds * random.uniform(0.5, 1.0)
        self._list_at = timer()
        self._conflicts = self._unchecked = self._lost = 0

    def device(self, name: str, place: str = "environment") -> Device:
        """Return a handle that counts for a device; a device may have several.

        Args:
            place: key of its last values: the measurement, and tags that distinguish series.
        """
        pending = self._devices.get(name)
        if pending is None:
            pending = self._devices[name] = Pending(self._changed, name)
        return Device(pending, place)

    def status(self, name: str, fields: Mapping[str, FieldValue]) -> None:
        """Accept a status message of a device, or of the broker for it: ``status``, ``firmware``, ``bundle_version``.

        The order of arrival counts, because a device's clock may be wrong.
        """
        said = fields.get("status")
        known = self._statuses.get(name)
        if known is None and len(self._statuses) >= self._limits.devices:
            return
        about = {key: str(fields[key]) for key in ("firmware", "bundle_version") if fields.get(key)}
        gone = said == "offline" if said is not None else known.gone if known else None
        pending = self._changed.get(name)
        position = len(pending.identities) if pending else 0
        self._statuses[name] = StatusMessage(position, gone, {**(known.about if known else {}), **about})

    @property
    def waiting(self) -> int:
        """Number of messages counted since the last flush began."""
        return sum(len(pending.identities) for pending in self._changed.values())

    def due(self, now: float) -> bool:
        """Return whether a flush is due, by the clock (*now*: monotonic seconds) or because memory is full."""
        return now >= self._next or self.waiting >= self._limits.pending

    def take(self) -> dict[str, Seen]:
        """Return the counts for a flush and reset them. This must be quick, because lines wait for it."""
        self._next = self._timer() + self._limits.seconds
        statuses, taken = self._statuses, {}
        for name, pending in self._changed.items():
            taken[name] = pending.take(statuses.pop(name, None))
        for name, each in statuses.items():
            taken[name] = Seen(status=each)
        self._changed.clear()
        self._statuses = {}
        return taken

    def flush(self, now_ns: int, taken: Mapping[str, Seen] | None = None) -> list[Metric]:
        """Write the changes, and return the states written and a report on the store.

        If the store fails, the rest is kept for the next flush.

        Args:
            taken: the result of :meth:`take`; with it, the flush may run in a thread, one at a time.
        """
        metrics, error = self._flush(now_ns, self.take() if taken is None else taken)
        if error is not None:
            self._complain(f"{error}; what was counted is kept for the next attempt")
        return metrics

    def close(self, taken: Mapping[str, Seen] | None = None) -> list[Metric]:
        """Flush for the last time and close the store.

        If the store fails, retry a limited number of times, because no later flush writes these messages. The rest is
        reported, and counted as pending.
        """
        rest: Mapping[str, Seen] = self.take() if taken is None else taken
        metrics: list[Metric] = []
        error: StoreError | None = None

        def attempt() -> bool:
            nonlocal rest, error
            flushed, error = self._flush(self._clock_ns(), rest)
            rest = {}
            metrics.extend(flushed)
            return bool(self._kept)

        Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_attempt(END_ATTEMPTS) | stop_before_delay(END_WITHIN_SECONDS),
            wait=wait_random_exponential(multiplier=2 * END_BASE_SECONDS, max=END_CAP_SECONDS, min=END_BASE_SECONDS),
            sleep=self._sleep,
            retry_error_callback=lambda _: None,
        )(attempt)
        if error is not None:
            self._complain(str(error))
        if self._kept:
            messages, devices = self.unwritten
            self._complain(f"{messages} messages of {devices} devices end uncounted, since the store took none")
        self._store.close()
        return metrics

    @property
    def unwritten(self) -> tuple[int, int]:
        """Number of messages that are not in the store, and of their devices; any thread may read it."""
        kept = dict(self._kept)
        messages = sum(delta.messages for delta in kept.values()) + self.waiting
        return messages, len(kept.keys() | self._changed.keys())

    def report(self, now_ns: int) -> Metric:
        """Return the report on a store that does not answer."""
        return self._report(0, now_ns, 0.0)

    def _flush(self, now_ns: int, taken: Mapping[str, Seen]) -> tuple[list[Metric], StoreError | None]:
        """Write once; return the metrics, and the error of a store that failed."""
        start = self._timer()
        self._add(taken)
        deltas = self._kept
        overdue: dict[str, tuple[model.State, int]] = {}
        written: dict[str, tuple[model.State, int]] = {}
        failed: StoreError | None = None
        try:
            self._write(deltas, written, now_ns)
            self._remember(written, now_ns)
            overdue = self._overdue(now_ns)
            self._remember(overdue, now_ns)
        except StoreError as error:
            failed = error
        self._kept = {name: delta for name, delta in deltas.items() if name not in written}
        self._reduce()
        changed = {**written, **overdue}
        metrics = [self._metric(name, state, revision, now_ns) for name, (state, revision) in changed.items()]
        metrics.append(self._report(len(written), now_ns, self._timer() - start))
        return metrics, failed

    def _add(self, taken: Mapping[str, Seen]) -> None:
        """Add new counts to unwritten ones."""
        for name, seen in taken.items():
            delta = delta_of(seen)
            if name in self._own:
                delta = delta._replace(about=self._own[name])
            kept = self._kept.get(name)
            if kept is None and len(self._kept) >= self._limits.devices:
                self._lost += delta.messages
                continue
            self._kept[name] = joined(kept, delta) if kept else delta

    def _write(
        self, deltas: Mapping[str, model.Delta], written: dict[str, tuple[model.State, int]], now_ns: int
    ) -> None:
        """Write, and retry conflicts; *written* receives the states written, even if the store fails."""
        left = dict(deltas)

        def attempt() -> bool:
            names = list(left)
            for start in range(0, len(names), TOGETHER):
                done = self._once({name: left[name] for name in names[start : start + TOGETHER]}, now_ns)
                written.update(done)
                for name in done:
                    del left[name]
            self._conflicts += len(left)
            return bool(left)

        if not left:
            return
        try:
            Retrying(
                retry=retry_if_result(bool),
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_random_exponential(multiplier=2 * BASE_SECONDS, max=CAP_SECONDS, min=BASE_SECONDS),
                sleep=self._sleep,
            )(attempt)
        except RetryError:
            self._complain(
                f"the state of {len(left)} devices was not written in {ATTEMPTS} attempts, since other workers were "
                f"quicker each time ({next(iter(left))} is one); it is kept for the next"
            )

    def _once(self, deltas: Mapping[str, model.Delta], now_ns: int) -> dict[str, tuple[model.State, int]]:
        stored = self._store.read(list(deltas))
        states: dict[str, model.State] = {}
        changes: list[Change] = []
        for name, delta in deltas.items():
            known = stored.get(name)
            before = self._decoded(name, known.document) if known else model.EMPTY
            states[name] = model.merge(before, delta, now_ns, self._rules)
            changes.append(Change(name, model.encode(states[name]), known.revision if known else None))
        return {name: (states[name], revision) for name, revision in self._store.write(changes).items()}

    def _decoded(self, name: str, document: bytes) -> model.State:
        try:
            return model.decode(document)
        except model.DocumentError as error:
            self._complain(f"the stored state of {name} is damaged ({error}); its counting begins anew")
            return model.EMPTY

    def _overdue(self, now_ns: int) -> dict[str, tuple[model.State, int]]:
        """Write devices that became late or offline; only one of several workers writes each device."""
        if self._timer() >= self._list_at:
            for name in self._store.devices():
                if len(self._deadlines) >= self._limits.devices:
                    break
                self._deadlines.setdefault(name, 0)
            self._list_at = self._timer() + LIST_SECONDS
        names = [name for name, deadline in self._deadlines.items() if deadline <= now_ns]
        if not names:
            return {}
        overdue: dict[str, tuple[model.State, int]] = {}
        for start in range(0, len(names), TOGETHER):
            overdue.update(self._change_status(names[start : start + TOGETHER], now_ns))
        return overdue

    def _change_status(self, names: Sequence[str], now_ns: int) -> dict[str, tuple[model.State, int]]:
        states: dict[str, model.State] = {}
        changes: list[Change] = []
        for name, known in self._store.read(names).items():
            before = self._decoded(name, known.document)
            after = before._replace(status=model.status(before, now_ns, self._rules))
            if after.status == before.status:
                self._deadlines[name] = _deadline(before, self._rules, now_ns)
            else:
                states[name] = after
                changes.append(Change(name, model.encode(after), known.revision))
        written = self._store.write(changes) if changes else {}
        return {name: (states[name], revision) for name, revision in written.items()}

    def _remember(self, written: Mapping[str, tuple[model.State, int]], now_ns: int) -> None:
        for name, (state, _) in written.items():
            if name in self._deadlines or len(self._deadlines) < self._limits.devices:
                self._deadlines[name] = _deadline(state, self._rules, now_ns)

    def _reduce(self) -> None:
        """Limit memory: keep only the number of messages of the devices with the most."""
        waiting = sum(len(delta.identities) for delta in self._kept.values())
        for name in sorted(self._kept, key=lambda name: -len(self._kept[name].identities)):
            if waiting <= self._limits.pending:
                break
            delta = self._kept[name]
            waiting -= len(delta.identities)
            self._unchecked += len(delta.identities)
            self._kept[name] = delta._replace(identities=(), unchecked=delta.messages)

    def _metric(self, name: str, state: model.State, revision: int, now_ns: int) -> Metric:
        fields: dict[str, FieldValue] = {
            "messages": state.messages,
            "duplicates": state.duplicates,
            "age_seconds": max(0.0, (now_ns - state.seen_ns) / 1e9),
            "revision": revision,
            "status": state.status,
            "online": 0 if state.status == OFFLINE else 1,
        }
        if state.messages:
            fields["first_telemetry_seconds"] = state.first_ns / 1e9
            fields["last_telemetry_seconds"] = state.last_ns / 1e9
        if interval := model.interval_seconds(state, self._rules):
            fields["interval_seconds"] = interval
        if state.firmware:
            fields["firmware"] = state.firmware
        if state.bundle_version:
            fields["bundle_version"] = state.bundle_version
        return Metric(Series(DEVICE_STATE.name, {"device": name}), fields, now_ns)

    def _report(self, written: int, now_ns: int, seconds: float) -> Metric:
        fields: dict[str, FieldValue] = {
            "written": written,
            "conflicts": self._conflicts,
            "failures": len(self._kept),
            "pending_messages": sum(delta.messages for delta in self._kept.values()),
            "unchecked_messages": self._unchecked,
            "lost_messages": self._lost,
            "duration_seconds": seconds,
        }
        self._conflicts = self._unchecked = self._lost = 0
        return Metric(Series(DEVICE_STORE.name, {"store": self._store.kind}), fields, now_ns)


def _deadline(state: model.State, rules: model.Rules, now_ns: int) -> int:
    """Return when to check a device again, even if it is offline, because another worker may have heard from it."""
    deadline = model.deadline_ns(state, rules)
    return now_ns + int(LIST_SECONDS * 1e9) if deadline is None else deadline


def own_firmware(release: str, bootloader: str = "/sys/firmware/devicetree/base/chosen/bootloader/version") -> str:
    """Return this machine's kernel, and on a Pi the version of its bootloader from the device tree.

    Args:
        release: the kernel's release, as ``uname -r`` prints it.
        bootloader: the file with the version; if it is missing, only the kernel is returned.
    """
    try:
        with open(bootloader, encoding="utf-8", errors="replace") as file:
            version = file.read(64).strip("\0 \n")[:8]
    except OSError:  # not a Pi, or an old one
        version = ""
    return f"Linux {release}" + (f", bootloader {version}" if version else "")


def open_tracker(
    values: Values,
    host: str,
    complain: Callable[[str], None],
    clock_ns: Callable[[], int],
    timer: Callable[[], float],
) -> Tracker | None:
    """Create the tracker of the settings, or return None if no state is kept. The first flush opens the store.

    Args:
        values: settings, including those of :mod:`settings`.
        host: this machine's name as a device.

    Raises:
        Unavailable: a setting is wrong, or the file that it names is missing.
    """
    from collectors import __version__
    from collectors.device_state import settings

    store = _store(values, complain)
    if store is None:
        return None
    rules = model.Rules(
        values[settings.INTERVAL],
        values[settings.LATE],
        values[settings.OFFLINE],
        values[settings.SECONDS],
        values[settings.WINDOW],
        values[settings.WINDOW_SECONDS],
    )
    limits = Limits(values[settings.SECONDS], values[settings.PENDING], values[settings.DEVICES])
    own = {host: {"bundle_version": __version__, "firmware": own_firmware(os.uname().release)}}
    return Tracker(store, rules, limits, own, complain, clock_ns, timer)


def _store(values: Values, complain: Callable[[str], None]) -> Store | None:
    from collectors.device_state import settings

    place = values[settings.STATE]
    if place == "none":
        return None
    if "://" not in place:
        from collectors.device_state.sqlite import SqliteStore

        return SqliteStore(place, complain)
    from collectors.device_state.nats_kv import NatsStore, read_server

    server = read_server(
        place, values[settings.PASSWORD_FILE], values[settings.CREDENTIALS_FILE], values[settings.CA_FILE]
    )
    return NatsStore(server, values[settings.BUCKET], values[settings.REPLICAS], complain)
