"""The LED matrix as a frame buffer of the kernel."""

from __future__ import annotations

import pytest

from collectors.sensehat.led.rendering import bar, packed, solid
from tests.lab.board import Board
from tests.lab.guest import Guest, Program
from tests.lab.machines import python

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
