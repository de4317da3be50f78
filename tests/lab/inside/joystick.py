"""The joystick of a Sense HAT as an input device of the kernel: ``1 up`` on standard input presses, ``0 up`` releases.

It exists until standard input ends. Like the driver of the board, rpisense-js.c, it lets the kernel repeat a key that
is held. The first line of output is written once the device exists.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

NAME = b"Raspberry Pi Sense HAT Joystick"
KEYS = {"up": 103, "left": 105, "right": 106, "down": 108, "middle": 28}

#: linux/input-event-codes.h and linux/uinput.h.
EV_SYN, EV_KEY, EV_REP = 0, 1, 20
UI_DEV_CREATE, UI_DEV_DESTROY, UI_DEV_SETUP = 0x5501, 0x5502, 0x405C5503
UI_SET_EVBIT, UI_SET_KEYBIT = 0x40045564, 0x40045565
BUS_I2C = 0x18


def main() -> None:
    """Create the device, and pass on events."""
    device = os.open("/dev/uinput", os.O_WRONLY)
    for kind in (EV_KEY, EV_REP):
        fcntl.ioctl(device, UI_SET_EVBIT, kind)
    for key in KEYS.values():
        fcntl.ioctl(device, UI_SET_KEYBIT, key)
    fcntl.ioctl(device, UI_DEV_SETUP, struct.pack("HHHH80sI", BUS_I2C, 1, 1, 1, NAME, 0))
    fcntl.ioctl(device, UI_DEV_CREATE)
    print("created", flush=True)
    for line in sys.stdin:
        value, direction = line.split()
        os.write(device, struct.pack("llHHi", 0, 0, EV_KEY, KEYS[direction], int(value)))
        os.write(device, struct.pack("llHHi", 0, 0, EV_SYN, 0, 0))
        print("sent", flush=True)
    fcntl.ioctl(device, UI_DEV_DESTROY)


if __name__ == "__main__":
    main()
