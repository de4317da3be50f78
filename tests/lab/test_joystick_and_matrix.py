"""The joystick as an input device of the kernel, and the LED matrix as a frame buffer."""

from __future__ import annotations

import signal

import pytest

from collectors.sensehat.led.rendering import bar, packed, solid
from tests.lab.board import Board
from tests.lab.guest import Guest, Program
from tests.lab.machines import python, service

_SHOW = """
from collectors.sensehat.led import rendering, screens
screen = screens.open_screen("auto", low_light={low_light})
screen.show({frame})
screen.close()
assert not screen.simulated
"""


def shown(guest: Guest) -> bytes:
    """The pixels of the matrix."""
    path = guest.sh("grep -l 'RPi-Sense FB' /sys/class/graphics/fb*/name").split("/")[-2]
    return bytes.fromhex(guest.sh(f"od -An -v -tx1 -N128 /dev/{path}"))


@pytest.mark.parametrize(
    ("frame", "pixels"),
    [("rendering.solid((255, 128, 0))", solid((255, 128, 0))), ("rendering.bar(21, 0, 40)", bar(21, 0, 40))],
)
def test_the_frame_buffer_has_the_frame_that_was_shown(
    guest: Guest, board: Board, frame: str, pixels: tuple[tuple[int, int, int], ...]
) -> None:
    del board
    python(guest, _SHOW.format(frame=frame, low_light=False))
    assert shown(guest) == packed(pixels)
    python(guest, _SHOW.format(frame="rendering.OFF", low_light=True))
    assert shown(guest) == bytes(128)


def test_the_librarys_own_pixels_are_those_of_the_matrix(guest: Guest, board: Board, joystick: Program) -> None:
    del board, joystick
    program = _SHOW.format(frame="rendering.solid((248, 252, 0))", low_light=False) + (
        "from sense_hat import SenseHat\nassert SenseHat().get_pixels() == [[248, 252, 0]] * 64\n"
    )
    python(guest, program)


def test_a_press_and_a_held_direction_are_two_points_each(guest: Guest, board: Board, joystick: Program) -> None:
    del board
    with service(guest, "joystick", environ={"SENSETIG_JOYSTICK_BACKEND": "hat"}) as collector:
        assert collector.printed().own["up"] == 1
        for direction in ("up", "middle"):
            press(joystick, direction)
        # The kernel repeats a key after a quarter of a second, and 30 times a second from then on.
        joystick.write("1 left\n")
        joystick.until("sent\n")
        guest.sh("sleep 1.5")
        joystick.write("0 left\n")
        joystick.until("sent\n")
        text = collector.program.until(r'^joystick,[^\n]*direction=left[^\n]*action="released"[^\n]*\n')
        done = collector.program.finish(signal.SIGTERM)
    lines = [line for line in text.splitlines() if line.startswith("joystick,")]
    found = [tuple(part in line for part in ('action="pressed"', 'action="released"')) for line in lines]
    assert found == [(True, False), (False, True)] * 3
    assert [next(name for name in ("up", "middle", "left") if f"direction={name}" in line) for line in lines] == [
        "up", "up", "middle", "middle", "left", "left",
    ]  # fmt: skip
    held = float(lines[-1].split("held_seconds=")[1].split(",")[0].split()[0])
    assert held >= 1.5
    assert done.code == 0


def press(joystick: Program, direction: str) -> None:
    """Press and release."""
    for value in (1, 0):
        joystick.write(f"{value} {direction}\n")
        joystick.until("sent\n")


def test_a_joystick_that_is_removed_is_reported_and_found_again(guest: Guest, board: Board) -> None:
    del board
    helper = ("/usr/bin/python3", "/opt/sensetig/inside/joystick.py")
    guest.sh("modprobe uinput")
    with guest.started(*helper) as first:
        first.until("created\n")
        collector = guest.started(
            "/usr/bin/python3", "-m", "collectors", "joystick", "--execd", "--backend", "hat",
            environ={"PYTHONPATH": "/opt/sensetig", "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        with collector as program:
            program.until(r"^collector,[^\n]*up=1i")
            first.finish()
            program.until(r"^collector,[^\n]*up=0i[^\n]*\n")
            with guest.started(*helper) as second:
                second.until("created\n")
                program.until(r"^collector,[^\n]*up=1i[^\n]*\n")
                press(second, "down")
                program.until(r'^joystick,[^\n]*direction=down[^\n]*action="released"')
