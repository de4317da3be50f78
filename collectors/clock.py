"""Whether the machine's clock is synchronised, as its kernel knows.

Asked of adjtimex(2), which hears it from whatever keeps the clock (systemd-timesyncd, chrony, ntpd); nobody on the
network is asked. A Pi has no clock of its own: until it is synchronised its points carry wrong times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from collectors.core.api import Context, Polled, Unavailable
from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement

CLOCK = Measurement(
    "clock",
    "The machine's clock, as its kernel keeps it.",
    (),
    (
        Field(
            "synchronised",
            int,
            "",
            "1 while the clock is synchronised, 0 while it is not; a number, so that its greatest of a time is known.",
            0,
            1,
        ),
        Field("maximum_error_seconds", float, "seconds", "By how much the clock may be wrong at most; up to 16.", 0),
        Field("estimated_error_seconds", float, "seconds", "By how much the clock is thought to be wrong.", 0),
    ),
)
MEASUREMENTS = (CLOCK,)
SETTINGS = ()

#: Bit of the status (adjtimex(2)): the clock is not synchronised.
STA_UNSYNC = 0x0040


class Kept(NamedTuple):
    """What the kernel says of its clock: the bits of its status, and its errors in microseconds."""

    status: int
    maximum_error: int
    estimated_error: int


class Clock:
    """Asks for each batch.

    Args:
        ask: the kernel. Raises OSError.
        clock_ns: wall clock, the time of the point.
    """

    def __init__(self, ask: Callable[[], Kept], clock_ns: Callable[[], int]) -> None:
        self._ask = ask
        self._clock_ns = clock_ns
        self._series = Series(CLOCK.name)

    def collect(self) -> list[Metric]:
        """One point. Raises Unavailable when the kernel does not tell."""
        try:
            kept = self._ask()
        except OSError as error:
            raise Unavailable(f"the kernel does not tell how its clock is kept: adjtimex: {error.strerror}") from None
        return [
            Metric(
                self._series,
                {
                    "synchronised": 0 if kept.status & STA_UNSYNC else 1,
                    "maximum_error_seconds": kept.maximum_error / 1e6,
                    "estimated_error_seconds": kept.estimated_error / 1e6,
                },
                self._clock_ns(),
            )
        ]

    def close(self) -> None:
        """Nothing is held."""


def kernel() -> Callable[[], Kept]:
    """Asks this machine's kernel, and changes nothing. Raises Unavailable where there is no such call."""
    import ctypes
    import os

    class Timex(ctypes.Structure):
        # struct timex of <sys/timex.h>; what comes after the status is not read, but written by the kernel.
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
            "there is no adjtimex, by which Linux tells how its clock is kept; switch clock off"
        ) from None

    def ask() -> Kept:
        told = Timex()
        if call(ctypes.byref(told)) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return Kept(told.status, told.maximum_error, told.estimated_error)

    return ask


def create(context: Context) -> Polled:
    """The collector. Raises Unavailable where the machine cannot be asked."""
    return Clock(kernel(), context.clock_ns)
