"""Screens that show frames: the frame buffer of the board or of the desktop emulator, or none.

The board's LED matrix is a frame buffer of the kernel, and the emulator's screen a file of the same format. Both are
written directly, because the board's Python library would also start every sensor and change its settings, which
belong to the process that reads the sensors.
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

#: The ioctl that resets the gamma of the matrix, and its two tables (rpisense-fb.h).
_RESET_GAMMA, _GAMMA_DEFAULT, _GAMMA_LOW = 61698, 0, 1

#: Offset of the gamma table in the emulator's screen file, after 64 pixels of two bytes.
_EMULATOR_GAMMA_AT = 128


class ScreenError(Exception):
    """The screen cannot be used; the message is one sentence with the remedy."""


class Screen(Protocol):
    """Shows frames."""

    simulated: bool
    """Whether it is not a real board."""

    def show(self, frame: Frame, /) -> None:
        """Show a frame until the next one. Raises ScreenError."""
        ...

    def close(self) -> None:
        """Close the screen; it keeps its frame."""
        ...


class FrameBuffer:
    """A frame buffer of 8 by 8 pixels: the board's, or the emulator's file.

    Args:
        path: the device or the file.
        gamma: sets the brightness of the open device.
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
                os.utime(self._descriptor)  # the emulator's window watches the modification time
        except OSError as error:
            raise ScreenError(self._failed(error)) from None

    def close(self) -> None:
        """Close the device."""
        os.close(self._descriptor)

    def _failed(self, error: OSError) -> str:
        return (
            f"the LED matrix {self._path} cannot be written: {error.strerror}; check that this user is in the group "
            "video"
        )


class NullScreen:
    """A screen without a board."""

    simulated = True

    def show(self, frame: Frame, /) -> None:
        """Discard the frame."""

    def close(self) -> None:
        """Do nothing: no device is open."""


def find(sys_root: str, dev_root: str) -> str | None:
    """The path of the frame buffer of the board's LED matrix, or None without a board."""
    for path in sorted(glob.glob(os.path.join(sys_root, "class", "graphics", "fb*", "name"))):
        with open(path, encoding="ascii", errors="replace") as file:
            if file.read().strip() == FRAME_BUFFER:
                return os.path.join(dev_root, os.path.basename(os.path.dirname(path)))
    return None


def open_screen(backend: str, *, low_light: bool, sys_root: str = "/sys", dev_root: str = "/dev") -> Screen:
    """Open the screen of a backend. A later call may find a board that is missing now.

    Raises:
        ScreenError: the screen is missing or cannot be opened.
    """
    if backend == "simulated":
        return NullScreen()
    if backend == "emulator":
        return _emulator(low_light)
    path = find(sys_root, dev_root)
    if path is None:
        raise ScreenError(
            "there is no Sense HAT on this machine, and so no LED matrix; to work without one, set led_backend to "
            "emulator or simulated"
        )
    preset = _GAMMA_LOW if low_light else _GAMMA_DEFAULT
    return FrameBuffer(path, lambda descriptor: _reset_gamma(descriptor, preset), simulated=False)


def _reset_gamma(descriptor: int, preset: int) -> None:
    fcntl.ioctl(descriptor, _RESET_GAMMA, preset)


def _emulator(low_light: bool) -> Screen:
    """The emulator's screen; the file may remain after the emulator has ended."""
    from collectors.core.api import Unavailable
    from collectors.sensehat.emulator import require_emulator

    try:
        require_emulator()
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
