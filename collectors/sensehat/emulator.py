"""The desktop emulator of the Sense HAT, through the sense-emu library.

Whatever drives the emulator (``sense_emu_gui``, ``sense_play``) holds its lock and writes what the sensors are
to sense into files in shared memory.
"""

from __future__ import annotations

import os

from collectors.core.api import Context, Unavailable
from collectors.sensehat import SYS_ROOT, thermal
from collectors.sensehat.hat import Board


def require(start: str = "sense_emu_gui") -> None:
    """Raise Unavailable when the library is missing or no emulator runs.

    The library itself would start the emulator's window when it finds the lock free, or wait for one for ever, which no
    service wants; so the lock is looked at first.

    Args:
        start: what would be started, for the sentence.
    """
    try:
        from sense_emu.lock import EmulatorLock
    except ImportError as error:
        raise Unavailable(
            f"the emulator's library is not to be had ({error}); install it with: pip install 'sensetig[emulator]'"
        ) from None
    if not EmulatorLock("sensetig").wait(0):
        raise Unavailable(f"no Sense HAT emulator is running; start {start}, and try again")


def joystick_socket() -> str:
    """The socket that the library binds for the joystick, by the number of the process, and never removes."""
    from sense_emu.stick import stick_address

    return os.path.join(os.path.dirname(stick_address()[2]), f"rpi-sense-emu-client-{os.getpid()}")


def open_source(context: Context) -> Board:
    """The emulated board. Raises Unavailable when the library is missing or no emulator runs."""
    require("sense_emu_gui, or sense_play with a recording")
    from sense_emu import SenseHat as Opened

    try:
        library = Opened()
    except OSError as error:
        raise Unavailable(
            f"the Sense HAT emulator cannot be opened: {error}; its files are rpi-sense-emu-* in /dev/shm, and must "
            "be readable and writable for this user"
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
        # Moved by hand, the emulator answers in degrees a second (sense_emu/imu.py); playing a recording, in the
        # radians that the library documents. Which it is cannot be told, so its gyroscope is left out.
        gyro=False,
        at_close=remove_joystick,
    )
