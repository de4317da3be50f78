"""The joystick as an input device of the kernel, with the collector `joystick` as Telegraf runs it."""

from __future__ import annotations

import signal

from tests.lab.board import Board
from tests.lab.guest import Guest, Program
from tests.lab.machines import joystick, service


def test_a_press_and_a_held_direction_are_two_points_each(guest: Guest, board: Board) -> None:
    del board
    with joystick(guest) as stick, service(guest, "joystick", "--backend", "hat") as collector:
        assert collector.printed().own["up"] == 1
        for direction in ("up", "middle"):
            press(stick, direction)
        stick.write("1 left\n")
        stick.until("sent\n")
        # The kernel repeats a key after a quarter of a second, and 30 times a second from then on.
        guest.sh("sleep 1.5")
        stick.write("0 left\n")
        stick.until("sent\n")
        text = collector.program.until(r'^joystick,[^\n]*direction=left[^\n]*action="released"[^\n]*\n')
        done = collector.program.finish(signal.SIGTERM)
    lines = [line for line in text.splitlines() if line.startswith("joystick,")]
    assert ['action="pressed"' in line for line in lines] == [True, False] * 3
    assert [next(name for name in ("up", "middle", "left") if f"direction={name}" in line) for line in lines] == [
        "up", "up", "middle", "middle", "left", "left",
    ]  # fmt: skip
    held = float(lines[-1].split("held_seconds=")[1].split(",")[0].split()[0])
    assert held >= 1.5
    assert done.code == 0


def test_a_joystick_that_is_removed_is_reported_and_found_again(guest: Guest, board: Board) -> None:
    del board
    with joystick(guest) as first, service(guest, "joystick", "--backend", "hat") as collector:
        assert collector.printed().own["up"] == 1
        first.finish()
        assert collector.printed().own["up"] == 0
        with joystick(guest) as second:
            collector.program.until(r"^collector,[^\n]*up=1i[^\n]*\n")
            press(second, "down")
            collector.program.until(r'^joystick,[^\n]*direction=down[^\n]*action="released"')


def press(stick: Program, direction: str) -> None:
    """Press and release."""
    for value in (1, 0):
        stick.write(f"{value} {direction}\n")
        stick.until("sent\n")
