"""The collector of the clock: it reports what the kernel returns, and nothing else."""

from __future__ import annotations

import errno
import os

import pytest

from collectors.clock import CLOCK, STA_UNSYNC, Clock, ClockState, kernel
from collectors.core.api import Unavailable
from tests.schema_check import violations


@pytest.mark.parametrize(("status", "synchronised"), [(0x2001, 1), (STA_UNSYNC, 0), (0x2001 | STA_UNSYNC, 0)])
def test_a_clock_is_synchronised_unless_the_kernel_says_that_it_is_not(status: int, synchronised: int) -> None:
    (metric,) = Clock(lambda: ClockState(status, 12_500, 100), lambda: 7).collect()
    assert metric.fields == {
        "synchronised": synchronised,
        "maximum_error_seconds": 0.0125,
        "estimated_error_seconds": 0.0001,
    }
    assert metric.time_ns == 7
    assert list(violations(metric, (CLOCK,))) == []


def test_a_kernel_that_does_not_tell_is_named() -> None:
    def refuse() -> ClockState:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with pytest.raises(Unavailable, match="adjtimex: Operation not permitted"):
        Clock(refuse, lambda: 0).collect()


def test_this_machine_s_kernel_tells() -> None:
    kept = kernel()()
    assert 0 <= kept.maximum_error <= 16_000_000
    assert kept.estimated_error >= 0
