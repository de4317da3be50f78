"""Where frames are shown: the board's frame buffer, the desktop emulator's, or nowhere.

The board's LED matrix is a frame buffer of the kernel's, and the emulator's screen a file of the same form. Both are
written directly: what the board's own library does beside, starting every sensor and rewriting its settings, belongs
to the process that reads the sensors.
"""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Callable
from typing import Protocol

from collectors.sensehat.hat import FRAME_BUFFER
from collectors.sensehat.led.rendering import Frame, packed

BACKENDS = ("auto", "hat", "emulator", "simulated")

#: The request that resets the matrix's gamma, with the two tables it can be reset to (rpisense-fb.h).
_RESET_GAMMA, _GAMMA_DEFAULT, _GAMMA_LOW = 61698, 0, 1

#: Where the emulator's screen file has its gamma, after 64 pixels of two bytes.
_EMULATOR_GAMMA_AT = 128


class ScreenError(Exception):
    """Nothing can be shown; the message says why in one sentence, and what to do."""


class Screen(Protocol):
    """Shows frames."""

    simulated: bool
    """Whether nobody can see it on a board."""

    def show(self, frame: Frame, /) -> None:
        """Show a frame until the next one. Raises ScreenError."""
        ...

    def close(self) -> None:
        """Let go of it; what is shown stays."""
        ...


class FrameBuffer:
    """A frame buffer of 8 by 8 pixels: the board's, or the emulator's file.

    Args:
        path: the device or the file.
        gamma: sets how bright it is, once it is open.
        simulated: whether it is the emulator's.

    Raises:
        ScreenError: it cannot be opened.
    """

    def __init__(self, path: str, gamma: Callable[[int], None], *, simulated: bool) -> None:
        self.simulated = simulated
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise ScreenError(self._failed(error)) from None
        try:
            gamma(self._descriptor)
        except OSError as error:
            self.close()
            raise ScreenError(self._failed(error)) from None

    def show(self, frame: Frame, /) -> None:
        """Show a frame, in one write."""
        try:
            os.pwrite(self._descriptor, packed(frame), 0)
            if self.simulated:
                os.utime(self._descriptor)  # by which the emulator's window sees that it has changed
        except OSError as error:
            raise ScreenError(self._failed(error)) from None

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def _failed(self, error: OSError) -> str:
        return (
            f"the LED matrix {self._path} cannot be written: {error.strerror}; check that this user is in the group "
            "video"
        )


class NullScreen:
    """A matrix that is not there."""

    simulated = True

    def show(self, frame: Frame, /) -> None:
        """Nothing is shown, and nothing kept."""

    def close(self) -> None:
        """Nothing is held."""


def find(sys_root: str, dev_root: str) -> str | None:
    """The frame buffer of the board's LED matrix, or None where there is no board."""
    for path in sorted(glob.glob(os.path.join(sys_root, "class", "graphics", "fb*", "name"))):
        with open(path, encoding="ascii", errors="replace") as file:
            if file.read().strip() == FRAME_BUFFER:
                return os.path.join(dev_root, os.path.basename(os.path.dirname(path)))
    return None


def open_screen(backend: str, *, low_light: bool, sys_root: str = "/sys", dev_root: str = "/dev") -> Screen:
    """The matrix of a backend; one that is not there now may be there at the next call.

    Raises:
        ScreenError: it is not there, or cannot be opened.
    """
    if backend == "simulated":
        return NullScreen()
    if backend == "emulator":
        return _emulator(low_light)
    path = find(sys_root, dev_root)
    if path is None:
        raise ScreenError(
            "there is no Sense HAT on this machine, so there is no LED matrix; to do without one, set the setting "
            "led_backend to emulator or simulated"
        )
    preset = _GAMMA_LOW if low_light else _GAMMA_DEFAULT
    return FrameBuffer(path, lambda descriptor: _reset_gamma(descriptor, preset), simulated=False)


def _reset_gamma(descriptor: int, preset: int) -> None:
    fcntl.ioctl(descriptor, _RESET_GAMMA, preset)


def _emulator(low_light: bool) -> Screen:
    """The emulator's screen; an emulator that has ended may have left its file."""
    from collectors.core.api import Unavailable
    from collectors.sensehat.emulator import require

    try:
        require()
    except Unavailable as error:
        raise ScreenError(str(error)) from None
    from sense_emu.screen import GAMMA_DEFAULT, GAMMA_LOW, init_screen, screen_filename

    table = bytes(GAMMA_LOW if low_light else GAMMA_DEFAULT)
    try:
        init_screen().close()
    except OSError as error:
        raise ScreenError(f"the emulator's screen cannot be opened: {error.strerror}") from None

    def gamma(descriptor: int) -> None:
        os.pwrite(descriptor, table, _EMULATOR_GAMMA_AT)

    return FrameBuffer(screen_filename(), gamma, simulated=True)
