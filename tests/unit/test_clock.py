"""The collector of the clock: it reports only the values that the kernel returns."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.clock import CLOCK, STA_UNSYNC, Clock, ClockState, kernel, own_clock
from collectors.core.api import Unavailable
from collectors.core.line_protocol_parser import decode
from tests.schema_check import violations

ROOT = Path(__file__).resolve().parents[2]

#: Exit status of the filter where it cannot be set.
SKIP = 77

#: Forbids the system calls of systemd's @clock with EPERM, then runs a command (seccomp(2), linux/filter.h).
FILTER = """
import ctypes, errno, os, platform, struct, sys
calls = {"x86_64": (159, 305, 227, 164), "aarch64": (171, 266, 112, 170)}.get(platform.machine())
libc = ctypes.CDLL(None, use_errno=True)
if calls is None:
    sys.exit(77)
rules = [(0x20, 0, 0, 0)]
for number in calls:
    rules += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
rules.append((0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(("status", "synchronised"), [(0x2001, 1), (STA_UNSYNC, 0), (0x2001 | STA_UNSYNC, 0)])
def test_a_clock_is_synchronised_unless_the_kernel_says_that_it_is_not(status: int, synchronised: int) -> None:
    (metric,) = Clock(lambda: ClockState(status, 12_500, 100), lambda: False, lambda: 7).collect()
    assert metric.fields == {
        "synchronised": synchronised,
        "maximum_error_seconds": 0.0125,
        "estimated_error_seconds": 0.0001,
    }
    assert metric.time_ns == 7
    assert list(violations(metric, (CLOCK,))) == []


def test_a_kernel_without_clock_state_is_reported() -> None:
    def fail() -> ClockState:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with pytest.raises(Unavailable, match="adjtimex: Invalid argument"):
        Clock(fail, lambda: True, lambda: 0).collect()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
@pytest.mark.parametrize("noted", [True, False])
def test_where_the_kernel_refuses_the_note_of_the_time_service_counts(number: int, noted: bool) -> None:
    def refuse() -> ClockState:
        raise OSError(number, os.strerror(number))

    (metric,) = Clock(refuse, lambda: noted, lambda: 7).collect()
    assert metric.fields == {"synchronised": int(noted)}
    assert list(violations(metric, (CLOCK,))) == []


def test_under_the_filter_of_a_service_the_state_is_reported_without_an_error(tmp_path: Path) -> None:
    """The filter is the one that ProtectClock and SystemCallFilter=~@privileged put over a service."""
    run = tmp_path / "run"
    lines = []
    for noted in (False, True):
        if noted:
            (run / "systemd/timesync").mkdir(parents=True)
            (run / "systemd/timesync/synchronized").touch()
        command = [sys.executable, "-c", FILTER, sys.executable, "-m", "collectors", "clock", "--run-root", str(run)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
        if done.returncode == SKIP:
            pytest.skip("this system has no seccomp filter for its processor")
        assert (done.returncode, done.stderr) == (0, "")
        lines += done.stdout.splitlines()
    clocks = [dict(decode(line).fields) for line in lines if line.startswith("clock ")]
    reports = [decode(line).fields for line in lines if line.startswith("collector,")]
    assert clocks == [{"synchronised": 0}, {"synchronised": 1}]
    assert [(fields["up"], fields["errors"]) for fields in reports] == [(1, 0), (1, 0)]


def test_other_collectors_learn_whether_this_machine_s_clock_is_synchronised(tmp_path: Path) -> None:
    """With a kernel that answers its word counts; under the filter the note of the time service does."""
    assert own_clock(str(tmp_path))() == (not kernel()().status & STA_UNSYNC)
    (tmp_path / "noted/systemd/timesync").mkdir(parents=True)
    (tmp_path / "noted/systemd/timesync/synchronized").touch()
    for folder, synchronised in (("noted", True), ("none", False)):
        program = f"from collectors.clock import own_clock; print(own_clock({str(tmp_path / folder)!r})())"
        command = [sys.executable, "-c", FILTER, sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
        if done.returncode == SKIP:
            pytest.skip("this system has no seccomp filter for its processor")
        assert (done.stdout.strip(), done.stderr) == (str(synchronised), "")


def test_this_machine_s_kernel_reports_its_clock() -> None:
    kept = kernel()()
    assert 0 <= kept.maximum_error <= 16_000_000
    assert kept.estimated_error >= 0
