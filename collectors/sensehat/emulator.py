"""The desktop emulator of the Sense HAT, through the sense-emu library.

The program that drives the emulator (``sense_emu_gui``, ``sense_play``) holds its lock, and writes the sensors' values
to files in shared memory.
"""

from __future__ import annotations

import os

from collectors.core.api import Context, Unavailable
from collectors.sensehat import SYS_ROOT, thermal
from collectors.sensehat.hat import Board


def require_emulator(start: str = "sense_emu_gui") -> None:
    """Raise Unavailable if the library is missing or no emulator is running.

    The library starts the emulator's window if the lock is free, or waits for it forever, which does not suit a
    service; so check the lock first.

    Args:
        start: the program to start, for the message.
    """
    try:
        from sense_emu.lock import EmulatorLock
    except ImportError as error:
        raise Unavailable(
            f"the emulator's library cannot be imported ({error}); install it with: pip install 'sensetig[emulator]'"
        ) from None
    if not EmulatorLock("sensetig").wait(0):
        raise Unavailable(f"no Sense HAT emulator is running; start {start}, and try again")


def joystick_socket() -> str:
    """The socket that the library binds for the joystick, named by the process id, and never removes."""
    from sense_emu.stick import stick_address

    return os.path.join(os.path.dirname(stick_address()[2]), f"rpi-sense-emu-client-{os.getpid()}")


def open_source(context: Context) -> Board:
    """Open the emulated board. Raises Unavailable if the library is missing or no emulator is running."""
    require_emulator("sense_emu_gui, or sense_play with a recording")
    from sense_emu import SenseHat as Opened

    try:
        library = Opened()
    except OSError as error:
        raise Unavailable(
            f"the Sense HAT emulator cannot be opened: {error}; this user must be able to read and write its files "
            "rpi-sense-emu-* in /dev/shm"
        ) from None
    joystick = joystick_socket()

    def remove_joystick() -> None:
        if os.path.exists(joystick):
            os.unlink(joystick)

    return Board(
        library,
        None,
        thermal.cpu_zone(context.values[SYS_ROOT]),
        context.report.error,
        tags={"simulated": "true"},
        # Moved by hand, the emulator returns degrees per second (sense_emu/imu.py); playing a recording, the radians
        # that the library documents. The two cannot be distinguished, so its gyroscope is not read.
        gyro=False,
        on_close=remove_joystick,
    )
