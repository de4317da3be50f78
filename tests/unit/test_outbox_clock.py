"""The outbox on a machine whose clock is wrong after boot; all clocks are injected."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.clock import STA_UNSYNC, ClockState
from sensetig.errors import OutboxError
from sensetig.outbox import clock as clock_module
from sensetig.outbox.clock import FILE, Clock, Source

_SECOND = 1_000_000_000

#: The right time of boot.
_BOOT = 1_764_000_000 * _SECOND


class Machine:
    """A machine whose wall clock is *error* nanoseconds off until it is set."""

    def __init__(self, folder: Path, error: int, *, boot: str = "first") -> None:
        self.folder = folder
        self.error = error
        self.boot = boot
        self.since_boot = 5 * _SECOND
        self.synchronised = False
        self.said: list[str] = []

    @property
    def now(self) -> int:
        return _BOOT + self.since_boot + self.error

    def clock(self, *, wait_seconds: float = 300, first: int = 0) -> Clock:
        source = Source(self.boot, lambda: self.since_boot, lambda: self.now, lambda: self.synchronised)
        return Clock(source, wait_seconds, str(self.folder), first, self.said.append)

    def line(self) -> bytes:
        """A line that is stamped now; its value is the true time."""
        return b"m v=%di %d" % (_BOOT + self.since_boot, self.now)

    def set_clock(self) -> None:
        self.error = 0
        self.synchronised = True


def is_right(line: bytes) -> bool:
    value, time = line.removeprefix(b"m v=").split(b"i ")
    return value == time


@pytest.mark.parametrize(
    "error", [-_BOOT, -3 * 86400 * _SECOND, -90 * _SECOND, 3600 * _SECOND], ids=["1970", "days", "seconds", "ahead"]
)
def test_points_from_before_the_synchronisation_get_the_right_time_in_order(tmp_path: Path, error: int) -> None:
    machine = Machine(tmp_path, error)
    clock = machine.clock()
    assert clock.holds
    held = []
    for number in range(4):
        machine.since_boot += 10 * _SECOND
        clock.observe(number)
        held.append(clock.correct([machine.line()], "ns")[0])
    late = machine.line()
    machine.since_boot += _SECOND
    machine.set_clock()
    clock.observe(4)
    assert not clock.holds
    assert clock.settled
    delivered = [clock.correct_batch(number, [line], "ns")[0] for number, line in enumerate(held)]
    delivered += clock.correct([late, machine.line()], "ns")
    assert all(map(is_right, delivered))
    assert delivered == sorted(delivered, key=lambda line: int(line.rsplit(b" ", 1)[1]))


def test_a_batch_that_was_corrected_when_it_came_is_not_corrected_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, -20 * _SECOND)
    clock = machine.clock()
    machine.since_boot += 60 * _SECOND
    line = machine.line()
    machine.set_clock()
    clock.observe(0)
    (corrected,) = clock.correct([line], "ns")
    assert is_right(corrected)
    assert clock.correct_batch(0, [corrected], "ns") == [corrected]


def test_points_of_the_boot_before_and_of_devices_with_the_right_time_keep_their_times(tmp_path: Path) -> None:
    machine = Machine(tmp_path, -86400 * _SECOND)
    clock = machine.clock(first=7)
    older = b"m v=1i %d" % (machine.now - 3600 * _SECOND)
    device = b"m v=1i %d" % (_BOOT + machine.since_boot)
    wrong = machine.line()
    machine.set_clock()
    clock.observe(8)
    assert clock.correct_batch(6, [wrong], "ns") == [wrong], "a batch from before this boot"
    corrected = clock.correct_batch(7, [older, device, wrong], "ns")
    assert corrected[:2] == [older, device]
    assert is_right(corrected[2])


def test_the_unit_of_a_time_is_kept(tmp_path: Path) -> None:
    machine = Machine(tmp_path, -_BOOT)
    clock = machine.clock()
    line = b"m v=1i %d" % (machine.now // _SECOND)
    machine.set_clock()
    clock.observe(1)
    assert clock.correct([line], "s") == [b"m v=1i %d" % (machine.now // _SECOND)]


def test_several_steps_add_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path, -_BOOT)
    clock = machine.clock()
    first = machine.line()
    machine.since_boot += 10 * _SECOND
    machine.error = -600 * _SECOND
    clock.observe(1)
    second = machine.line()
    machine.since_boot += 10 * _SECOND
    machine.set_clock()
    clock.observe(2)
    assert is_right(clock.correct_batch(0, [first], "ns")[0])
    assert is_right(clock.correct_batch(1, [second], "ns")[0])
    assert all(map(is_right, clock.correct([first, second], "ns")))


def test_a_machine_that_gets_no_time_delivers_after_the_wait_and_is_corrected_from_then_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path, -_BOOT)
    clock = machine.clock(wait_seconds=60)
    machine.since_boot = 61 * _SECOND
    clock.observe(0)
    assert not clock.holds
    line = machine.line()
    assert clock.correct([line], "ns") == [line]
    machine.since_boot = 3600 * _SECOND
    machine.set_clock()
    clock.observe(0)
    assert is_right(clock.correct([line], "ns")[0])


@pytest.mark.parametrize("kept", [True, False], ids=["step seen", "step missed"])
def test_an_outbox_that_is_killed_goes_on_in_the_same_boot(tmp_path: Path, kept: bool) -> None:
    machine = Machine(tmp_path, -_BOOT)
    clock = machine.clock(first=3)
    line = machine.line()
    machine.since_boot += _SECOND
    machine.set_clock()
    if kept:
        clock.observe(4)
    again = machine.clock(first=4)
    assert not again.holds
    assert is_right(again.correct_batch(3, [line], "ns")[0])
    assert is_right(again.correct([line], "ns")[0])


def test_another_boot_begins_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, -_BOOT)
    machine.clock(first=0)
    line = machine.line()
    later = Machine(tmp_path, 0, boot="second")
    later.synchronised = True
    assert later.clock(first=1).correct_batch(0, [line], "ns") == [line]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"boot_id": "first"}', b"\0" * 100])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    machine = Machine(tmp_path, -_BOOT)
    assert machine.clock().holds


def test_a_synchronised_clock_holds_nothing_and_is_not_corrected_when_it_is_set_by_hand(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 0)
    machine.synchronised = True
    clock = machine.clock()
    assert not clock.holds
    line = machine.line()
    machine.error = 3600 * _SECOND
    clock.observe(1)
    assert clock.correct([line], "ns") == [line]
    assert machine.said == []


def test_without_a_wait_there_is_nothing_to_do(tmp_path: Path) -> None:
    clock = Machine(tmp_path, -_BOOT).clock(wait_seconds=0)
    assert not clock.holds
    assert clock.settled


def _forbidden() -> Callable[[], ClockState]:
    def ask() -> ClockState:
        raise OSError(errno.EPERM, "Operation not permitted")

    return ask


@pytest.mark.parametrize(("made", "synchronised"), [([], True), (["."], False), ([".", "synchronized"], True)])
def test_where_the_kernel_may_not_be_asked_the_time_service_s_mark_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str], synchronised: bool
) -> None:
    monkeypatch.setattr("collectors.clock.kernel", _forbidden)
    monkeypatch.setattr(clock_module, "_has_hardware_clock", lambda: False)
    monkeypatch.setattr(clock_module, "TIMESYNC", str(tmp_path / "timesync"))
    for name in made:
        path = tmp_path / "timesync" / name
        path.mkdir() if name == "." else path.touch()
    assert clock_module.machine(str(tmp_path)).synchronised() is synchronised


@pytest.mark.parametrize(("ahead", "right"), [(-3600, True), (3600, False)], ids=["newer", "older"])
def test_a_hardware_clock_is_trusted_unless_the_outbox_has_seen_a_later_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int, right: bool
) -> None:
    monkeypatch.setattr("collectors.clock.kernel", lambda: lambda: ClockState(STA_UNSYNC, 0, 0))
    monkeypatch.setattr(clock_module, "_has_hardware_clock", lambda: True)
    (tmp_path / "state.json").touch()
    os.utime(tmp_path / "state.json", (time.time() + ahead,) * 2)
    assert clock_module.machine(str(tmp_path)).synchronised() is right


def test_a_boot_without_a_number_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "BOOT_ID", str(tmp_path / "none"))
    with pytest.raises(OutboxError, match=r"cannot be read from .*: No such file or directory; leave ProcSubset="):
        clock_module.machine(str(tmp_path))
