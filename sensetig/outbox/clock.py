"""Corrects the times of points that were stamped before the clock was correct.

A Pi without a battery clock starts with the time of its last shutdown, or in 1970, until it is synchronised over the
network. The outbox holds points until then, for a limited time after boot. The clock since boot (CLOCK_BOOTTIME) runs
steadily, so the change in its offset to the wall clock is the error of times before the synchronisation.
"""

from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from collectors.core.files import write_atomic
from sensetig.errors import OutboxError
from sensetig.outbox.lines import PRECISIONS

#: The file that preserves the steps across a restart of the outbox.
FILE = "clock.json"

#: Minimum size of a step that counts as a correction, in nanoseconds.
MIN_STEP_NS = 1_000_000_000

#: Maximum number of steps kept; a clock that is set more often before synchronisation is set manually.
MAX_STEPS = 16

#: The folder of systemd-timesyncd, with the file ``synchronized`` once it has set the clock.
TIMESYNC = "/run/systemd/timesync"

#: A random number that the kernel generates at each boot.
BOOT_ID = "/proc/sys/kernel/random/boot_id"

_MAX_FILE_BYTES = 64 * 1024


class Source(NamedTuple):
    """The clocks of the machine.

    Args:
        boot_id: differs between boots.
        boottime_ns: nanoseconds since boot.
        realtime_ns: wall clock, nanoseconds since 1970.
        synchronised: whether the wall clock is correct.
    """

    boot_id: str
    boottime_ns: Callable[[], int]
    realtime_ns: Callable[[], int]
    synchronised: Callable[[], bool]


class Step(NamedTuple):
    """A correction of the clock.

    Args:
        offset_ns: wall clock minus time since boot, before the step.
        delta_ns: change of the wall clock.
        boottime_ns: time of its detection, since boot.
        before: the number of the first batch received afterwards.
    """

    offset_ns: int
    delta_ns: int
    boottime_ns: int
    before: int

    def covers(self, time_ns: int) -> bool:
        """Whether a time in this boot may have been stamped before this step."""
        return self.offset_ns <= time_ns <= self.offset_ns + self.boottime_ns


class Trusted:
    """A clock that is always correct."""

    holds = False

    def observe(self, next_number: int) -> None:
        """Do nothing: the clock does not step."""

    def correct(self, lines: Sequence[bytes], precision: str) -> list[bytes]:
        """Return the lines unchanged."""
        del precision
        return list(lines)

    def correct_batch(self, number: int, lines: Sequence[bytes], precision: str) -> list[bytes]:
        """Return the lines unchanged."""
        del number, precision
        return list(lines)


class Clock(Trusted):
    """Decides whether points are held, and corrects their times.

    Args:
        source: the machine's clocks.
        wait_seconds: maximum time after boot to hold points; 0 to hold none.
        folder: of the outbox.
        first: the number of the next batch. Batches before it were written before this boot, or by an outbox that was
            killed in this boot and whose file is loaded.
        log: receives one sentence.
    """

    def __init__(
        self, source: Source, wait_seconds: float, folder: str, first: int, log: Callable[[str], None]
    ) -> None:
        self._source = source
        self._wait_ns = int(wait_seconds * 1e9)
        self._path = os.path.join(folder, FILE)
        self._log = log
        self._first = first
        self._steps: list[Step] = []
        self._offset_ns = source.realtime_ns() - source.boottime_ns()
        self._right = wait_seconds <= 0 or source.synchronised()
        self._resume()
        if self.holds:
            self._log(
                "the clock is not synchronised yet; points wait until it is, so that their times can be corrected"
            )
            self._save()

    @property
    def holds(self) -> bool:  # type: ignore[override]  # read only, as there
        """Whether points wait for the clock."""
        return not self._right and self._source.boottime_ns() < self._wait_ns

    @property
    def settled(self) -> bool:
        """Whether the clock is correct, so that observation can end."""
        return self._right

    def observe(self, next_number: int) -> None:
        """Detect a step of the clock, and whether it is now correct.

        Args:
            next_number: the number of the next batch.
        """
        if self._right:
            return
        right = self._source.synchronised()
        boottime = self._source.boottime_ns()
        offset = self._source.realtime_ns() - boottime
        delta = offset - self._offset_ns
        if abs(delta) >= MIN_STEP_NS:
            self._steps = [*self._steps, Step(self._offset_ns, delta, boottime, next_number)][-MAX_STEPS:]
            self._log(f"the clock was {delta / 1e9:+.1f} s off; times of points from before are corrected")
        self._offset_ns = offset
        self._right = right
        if right or abs(delta) >= MIN_STEP_NS:
            self._save()

    def correct(self, lines: Sequence[bytes], precision: str) -> list[bytes]:
        """Correct the times of new lines that were stamped before a step.

        After a step back, times from before and after overlap. Times in the future are from before.
        """
        now = self._source.realtime_ns()
        return _shifted(
            lines, precision, self._steps, lambda step, when: step.covers(when) and (step.delta_ns > 0 or when > now)
        )

    def correct_batch(self, number: int, lines: Sequence[bytes], precision: str) -> list[bytes]:
        """Correct the lines of a stored batch likewise. Steps before its arrival were applied on arrival."""
        steps = [] if number < self._first else [each for each in self._steps if number < each.before]
        return _shifted(lines, precision, steps, Step.covers)

    def _resume(self) -> None:
        """Resume the state of an outbox that was killed in the same boot."""
        try:
            with open(self._path, "rb") as file:
                kept = json.loads(file.read(_MAX_FILE_BYTES))
            if kept["boot_id"] != self._source.boot_id:
                return
            first, offset = int(kept["first"]), int(kept["offset_ns"])
            steps = [Step(*map(int, each)) for each in kept["steps"]]
        except (OSError, ValueError, KeyError, TypeError):
            return
        number, self._first, self._steps = self._first, first, steps
        if self._wait_ns and kept.get("right") is not True:
            # A step that happened while no outbox ran is detected now.
            self._offset_ns, self._right = offset, False
            self.observe(number)

    def _save(self) -> None:
        state = {
            "boot_id": self._source.boot_id,
            "first": self._first,
            "offset_ns": self._offset_ns,
            "right": self._right,
            "steps": self._steps,
        }
        try:
            write_atomic(self._path, json.dumps(state) + "\n", 0o640)
        except OSError as error:
            self._log(f"{self._path} cannot be written: {error.strerror or error}; a restart would forget the clock")


def _shifted(
    lines: Sequence[bytes], precision: str, steps: Sequence[Step], covers: Callable[[Step, int], bool]
) -> list[bytes]:
    if not steps:
        return list(lines)
    unit = PRECISIONS[precision]
    found = []
    for line in lines:
        head, _, digits = line.rpartition(b" ")
        before = after = int(digits) * unit
        for step in steps:
            if covers(step, after):
                after += step.delta_ns
        found.append(line if after == before else b"%b %d" % (head, after // unit))
    return found


def machine(folder: str) -> Source:
    """The clocks of this machine.

    Args:
        folder: of the outbox; the clock cannot be behind its newest time.

    Raises:
        OutboxError: the boot cannot be identified.
    """
    from collectors.clock import STA_UNSYNC, kernel
    from collectors.core.api import Unavailable

    try:
        ask = kernel()
    except Unavailable:
        ask = None
    hardware = _has_hardware_clock() and time.time() >= _newest(folder)

    def synchronised() -> bool:
        if ask is None or hardware:
            return True
        try:
            return not ask().status & STA_UNSYNC
        except OSError:
            # The sandbox of a service may deny the query; the mark of the time service is still visible.
            return not os.path.isdir(TIMESYNC) or os.path.exists(os.path.join(TIMESYNC, "synchronized"))

    try:
        with open(BOOT_ID) as file:
            boot_id = file.read().strip()
    except OSError as error:
        raise OutboxError(
            f"the number of this boot cannot be read from {BOOT_ID}: {error.strerror}; leave ProcSubset= out of "
            "the service's unit"
        ) from None
    return Source(boot_id, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns, synchronised)


def _has_hardware_clock() -> bool:
    """Whether the kernel has set the clock from a hardware clock."""
    for path in glob.glob("/sys/class/rtc/rtc*/hctosys"):
        try:
            with open(path) as file:
                if file.read().strip() == "1":
                    return True
        except OSError:
            continue
    return False


def _newest(folder: str) -> float:
    """The latest modification time of the outbox's files, in seconds since 1970."""
    try:
        with os.scandir(folder) as entries:
            return max((entry.stat(follow_symlinks=False).st_mtime for entry in entries), default=0.0)
    except OSError:
        return 0.0
