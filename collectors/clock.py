"""Whether the machine's clock is synchronised, as its kernel knows.

adjtimex(2) returns the state that the time service (systemd-timesyncd, chrony, ntpd) has set; no request goes to the
network. A Pi has no hardware clock: until it is synchronised its points carry wrong times.

A sandbox may deny adjtimex(2), even for reading (ProtectClock of systemd, a container without CAP_SYS_TIME). The clock
then counts as synchronised if systemd-timesyncd has reported so; otherwise the state is unknown, which timedatectl
reports as "no" under the same conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from collectors.core.api import Context, Polled, Unavailable
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.core.settings import Setting

CLOCK = Measurement(
    "clock",
    "State of the machine's clock.",
    (),
    (
        Field(
            "synchronised",
            int,
            "",
            "1 while the clock is synchronised, 0 while it is not known to be; a number, so that aggregates have its "
            "maximum.",
            0,
            1,
        ),
        Field(
            "maximum_error_seconds",
            float,
            "seconds",
            "Maximum error of the clock; up to 16; absent where the kernel may not be queried.",
            0,
        ),
        Field(
            "estimated_error_seconds",
            float,
            "seconds",
            "Estimated error of the clock; absent where the kernel may not be queried.",
            0,
        ),
    ),
)
MEASUREMENTS = (CLOCK,)
RUN_ROOT = Setting("run_root", str, "/run", "Where systemd-timesyncd notes that it has synchronised the clock.")
SETTINGS = (RUN_ROOT,)

#: Bit of the status (adjtimex(2)): the clock is not synchronised.
STA_UNSYNC = 0x0040


class ClockState(NamedTuple):
    """State of the kernel's clock: the bits of its status, and its errors in microseconds."""

    status: int
    maximum_error: int
    estimated_error: int


class Clock:
    """Queries the kernel for each batch.

    Args:
        ask: queries the kernel. Raises OSError.
        noted: whether the time service has recorded a synchronisation since boot.
        clock_ns: wall clock, the time of the point.
    """

    def __init__(self, ask: Callable[[], ClockState], noted: Callable[[], bool], clock_ns: Callable[[], int]) -> None:
        self._ask = ask
        self._noted = noted
        self._clock_ns = clock_ns
        self._series = Series(CLOCK.name)

    def collect(self) -> list[Metric]:
        """One point. Raises Unavailable if the kernel does not answer."""
        fields: dict[str, FieldValue]
        try:
            state = self._ask()
        except PermissionError:
            fields = {"synchronised": int(self._noted())}
        except OSError as error:
            raise Unavailable(
                f"the kernel does not report the state of its clock: adjtimex: {error.strerror}"
            ) from None
        else:
            fields = {
                "synchronised": 0 if state.status & STA_UNSYNC else 1,
                "maximum_error_seconds": state.maximum_error / 1e6,
                "estimated_error_seconds": state.estimated_error / 1e6,
            }
        return [Metric(self._series, fields, self._clock_ns())]

    def close(self) -> None:
        """Do nothing: the collector holds no resources."""


def own_clock(run_root: str = RUN_ROOT.default) -> Callable[[], bool]:
    """Return a query for others: whether this machine's clock is known to be synchronised."""
    import os

    def noted() -> bool:
        return os.path.exists(_note(run_root))

    try:
        ask = kernel()
    except Unavailable:
        return noted

    def synchronised() -> bool:
        try:
            return not ask().status & STA_UNSYNC
        except OSError:
            return noted()

    return synchronised


def _note(run_root: str) -> str:
    return f"{run_root}/systemd/timesync/synchronized"


def kernel() -> Callable[[], ClockState]:
    """Return a query of the kernel, which changes nothing. Raises Unavailable if there is no such call."""
    import ctypes
    import os

    class Timex(ctypes.Structure):
        # struct timex of <sys/timex.h>; the kernel also writes the rest, after the status.
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("frequency", ctypes.c_long),
            ("maximum_error", ctypes.c_long),
            ("estimated_error", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 256),
        )

    try:
        call: Any = ctypes.CDLL(None, use_errno=True).adjtimex
    except AttributeError:
        raise Unavailable(
            "the kernel has no adjtimex, which reports the state of the clock; switch clock off"
        ) from None

    def ask() -> ClockState:
        timex = Timex()
        if call(ctypes.byref(timex)) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return ClockState(timex.status, timex.maximum_error, timex.estimated_error)

    return ask


def create(context: Context) -> Polled:
    """Return the collector. Raises Unavailable if the kernel cannot be queried."""
    import os

    noted = _note(context.values[RUN_ROOT])
    return Clock(kernel(), lambda: os.path.exists(noted), context.clock_ns)
