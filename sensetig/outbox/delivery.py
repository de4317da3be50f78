"""Delivers batches to InfluxDB: directly while InfluxDB responds, otherwise from the disk.

A point that InfluxDB rejects permanently is found by bisecting its batch, and counted with InfluxDB's reason.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential_jitter,
)

from sensetig.outbox.batch import Block, Destination, joined
from sensetig.outbox.clock import Trusted
from sensetig.outbox.store import Batch, Full, Store
from sensetig.outbox.upstream import Refused, Unreachable

#: Seconds between attempts while InfluxDB accepts no points: doubled from the first value to the second.
RETRY_SECONDS = (1.0, 60.0)

#: Maximum duration of one delivery step beyond its pause, in seconds. A thread that exceeds it is hung.
GRACE_SECONDS = 60.0

#: Limits of waiting batches combined in one request to speed up the delivery of a backlog: points, and bytes on
#: disk.
MAX_POINTS, MAX_BYTES = 5000, 512 * 1024

#: Seconds between saves of the totals during direct delivery; more frequent ones would wear an SD card.
SAVE_SECONDS = 60.0


#: Seconds between checks of the clock while points wait for it.
HELD_SECONDS = 1.0


class Sender(Protocol):
    """See :class:`sensetig.outbox.upstream.Upstream`."""

    def send(self, destination: Destination, lines: Sequence[bytes]) -> Refused | None: ...


class Outcome(NamedTuple):
    """The result of one delivery.

    Args:
        stored: points stored by InfluxDB.
        refused: each rejected point with InfluxDB's reason.
    """

    stored: int
    refused: list[tuple[bytes, str]]


def deliver(
    send: Callable[[Destination, Sequence[bytes]], Refused | None], destination: Destination, lines: Sequence[bytes]
) -> Outcome:
    """Write points, and isolate those that InfluxDB rejects.

    InfluxDB stores the valid points of a request with an invalid one (422), or none of them (400), and does not
    identify the invalid ones. Sending a point again is harmless: equal measurement, tags and time identify the same
    point.

    Raises:
        Unreachable: temporarily, the points cannot be stored; some may be.
    """
    stored = 0
    refused: list[tuple[bytes, str]] = []
    parts = [lines] if lines else []
    while parts:
        part = parts.pop()
        answer = send(destination, part)
        if answer is None:
            stored += len(part)
        elif len(part) == 1 or answer.dropped == len(part):
            refused += [(line, answer.reason) for line in part]
        else:
            half = len(part) // 2
            parts += [part[half:], part[:half]]
    return Outcome(stored, refused)


#: Phrases in InfluxDB's reasons -> the total of points rejected for that reason.
_KINDS = (
    ("type conflict", "refused_type"),
    ("retention", "refused_retention"),
    ("unable to parse", "refused_syntax"),
    ("another device", "refused_device"),
)


def kind_of(reason: str) -> str:
    """The total for points rejected for a reason; empty if there is none."""
    return next((total for words, total in _KINDS if words in reason), "")


class Delivery:
    """Accept points, and deliver them to InfluxDB.

    Args:
        store: holds waiting points.
        sender: InfluxDB.
        on_refused: receives each rejected point and the reason.
        on_failure: called when delivery has ended because of an internal error; the process must end.
        log: receives one sentence.
        destination: overrides the destination that each writer names, or None. Points that wait for a mistyped bucket
            then go to the right one when the setting is corrected.
        timer: monotonic seconds.
        clock: holds points while it is wrong, and corrects their times.
    """

    def __init__(
        self,
        store: Store,
        sender: Sender,
        on_refused: Callable[[bytes, str], None],
        on_failure: Callable[[], None],
        log: Callable[[str], None],
        destination: Destination | None = None,
        timer: Callable[[], float] = time.monotonic,
        clock: Trusted | None = None,
    ) -> None:
        self._clock = clock or Trusted()
        self._on_failure = on_failure
        self._destination = destination
        self._timer = timer
        self._due = timer() + GRACE_SECONDS
        self._stored_at: float | None = None
        self._store = store
        self._sender = sender
        self._on_refused = on_refused
        self._log = log
        # Guards the store. Deliveries do not hold it, so that points are accepted while older ones are delivered.
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._reachable = True
        # Batches to deliver individually, because a combined delivery failed.
        self._alone = 0
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Start to deliver waiting batches."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End after the current request. Waiting batches stay on disk."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def take(self, destination: Destination, lines: list[bytes]) -> bool:
        """Accept points. When this returns, they are stored in InfluxDB or durable on this disk.

        Returns:
            whether they wait on disk.

        Raises:
            Full: there is no space, and InfluxDB does not accept them immediately.
        """
        with self._lock:
            self._clock.observe(self._store.next_number)
        # Without a waiting batch, as on a full disk, no other code checks whether InfluxDB is back.
        if (self._reachable or not self._store.waiting) and not self._clock.holds:
            try:
                # Isolating rejected points takes more requests than Telegraf waits for; it is done from the disk.
                if self._send(destination, self._clock.correct(lines, destination.precision)) is None:
                    self._up()
                    with self._lock:
                        self._store.count({"taken_points": len(lines), "stored_points": len(lines)})
                    return False
            except Unreachable as error:
                self._down(error)
        with self._lock:
            # A step of the clock that is detected later finds this batch by its number.
            self._clock.observe(self._store.next_number)
            try:
                self._store.add(destination, self._clock.correct(lines, destination.precision))
            except Full:
                self._store.count({"held_writes": 1})
                raise
        self._wake.set()
        return True

    @property
    def is_alive(self) -> bool:
        """Whether the delivery makes progress, or pauses as intended."""
        return self._thread.is_alive() and self._timer() < self._due

    def seconds_since_stored(self) -> float:
        """Seconds since InfluxDB last accepted points from this process."""
        return float("inf") if self._stored_at is None else self._timer() - self._stored_at

    def _send(self, destination: Destination, lines: Sequence[bytes]) -> Refused | None:
        refused = self._sender.send(self._destination or destination, lines)
        self._stored_at = self._timer()
        return refused

    def _allow(self, seconds: float) -> None:
        """Set the time limit for the delivery thread's next report."""
        self._due = self._timer() + seconds + GRACE_SECONDS

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._allow(SAVE_SECONDS)
                self._wake.wait(HELD_SECONDS if self._clock.holds else SAVE_SECONDS)
                self._wake.clear()
                self._attempt(self._save)
                while not self._stop.is_set() and self._attempt(self._deliver_oldest):
                    pass
        except BaseException:
            # Without this thread, points would accumulate; the process ends, and systemd restarts it.
            self._on_failure()
            raise

    def _attempt(self, step: Callable[[], bool]) -> bool:
        """Repeat a step while InfluxDB or the disk fails; return its result, or False on shutdown."""
        attempts = Retrying(
            retry=retry_if_exception_type((Unreachable, OSError)),
            wait=_wait,
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=self._before_sleep,
            retry_error_callback=lambda _: False,
        )
        return bool(attempts(step))

    def _save(self) -> bool:
        with self._lock:
            self._store.save()
        return True

    def _save_if_possible(self) -> None:
        """Save the totals during an outage. A failing disk is reported by the step that needs it."""
        with contextlib.suppress(OSError):
            self._save()

    def _deliver_oldest(self) -> bool:
        """Deliver and remove the oldest batches; False if none is waiting."""
        bounds = (0, 0) if self._alone else (MAX_POINTS, MAX_BYTES)
        with self._lock:
            self._clock.observe(self._store.next_number)
            waiting = [] if self._clock.holds else self._store.oldest(*bounds)
        batches = [self._store.read(each) for each in waiting]
        if len(batches) > 1:
            self._deliver_together(batches)
        elif batches:
            self._deliver_alone(batches[0])
            self._alone = max(0, self._alone - 1)
        return bool(batches)

    def _deliver_together(self, batches: Sequence[Batch]) -> None:
        """Deliver batches in one request per destination.

        If that fails, they are delivered individually, which isolates a rejected point, and works on a slow network.
        """
        self._alone = len(batches)
        for to, lines in joined(self._corrected(batches)):
            if self._step(to, lines) is not None:
                return
            self._up()
        self._alone = 0
        for batch in batches:
            with self._lock:
                self._store.remove(batch, {"stored_points": batch.points})

    def _corrected(self, batches: Sequence[Batch]) -> list[Block]:
        return [
            Block(to, self._clock.correct_batch(batch.waiting.number, lines, to.precision))
            for batch in batches
            for to, lines in batch.blocks
        ]

    def _deliver_alone(self, batch: Batch) -> None:
        """Deliver a batch, isolate its rejected points, and count both."""
        outcomes = [deliver(self._step, to, lines) for to, lines in self._corrected([batch])]
        if batch.blocks:
            self._up()
        refused = [one for outcome in outcomes for one in outcome.refused]
        for line, reason in refused:
            self._on_refused(line, reason)
        counts = Counter(kind_of(reason) for _, reason in refused)
        counts["refused_points"] = len(refused)
        counts["stored_points"] = sum(each.stored for each in outcomes)
        with self._lock:
            self._store.remove(batch, counts)

    def _step(self, destination: Destination, lines: Sequence[bytes]) -> Refused | None:
        self._allow(0)
        return self._send(destination, lines)

    def _before_sleep(self, state: RetryCallState) -> None:
        self._allow(state.next_action.sleep if state.next_action is not None else 0)
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, Unreachable):
            self._down(error)
            self._save_if_possible()
        elif state.attempt_number == 1:
            self._log(f"the outbox's disk fails: {error}; trying again")

    def _down(self, error: Unreachable) -> None:
        with self._lock:
            self._store.explain(str(error))
        if self._reachable:
            self._log(f"{error}; points wait on this disk")
        self._reachable = False

    def _up(self) -> None:
        if not self._reachable:
            self._log("InfluxDB takes points again")
            with self._lock:
                self._store.explain("")
        self._reachable = True


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: at least as long as the server requests."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, Unreachable) else 0.0
    return max(asked, wait_exponential_jitter(initial=RETRY_SECONDS[0], max=RETRY_SECONDS[1])(state))
