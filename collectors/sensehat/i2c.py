"""Registers of chips on an I²C bus, through the kernel's i2c-dev.

RTIMULib uses the same device with the same calls, and so takes the same permissions.
"""

from __future__ import annotations

import fcntl
import os

#: Selects a chip (linux/i2c-dev.h). It fails if a driver of the kernel has the chip, as it does for RTIMULib.
I2C_SLAVE = 0x0703


class Bus:
    """An open bus.

    Args:
        number: of the bus; 1 on the header of a Raspberry Pi.

    Raises:
        OSError: if the bus cannot be opened.
    """

    def __init__(self, number: int) -> None:
        self._descriptor = os.open(f"/dev/i2c-{number}", os.O_RDWR | os.O_CLOEXEC)

    def read(self, chip: int, register: int) -> int:
        """A register's byte. Raises OSError if the chip at this address does not answer."""
        fcntl.ioctl(self._descriptor, I2C_SLAVE, chip)
        os.write(self._descriptor, bytes((register,)))
        return os.read(self._descriptor, 1)[0]

    def write(self, chip: int, register: int, value: int) -> None:
        """Set a register's byte. Raises OSError if the chip at this address does not answer."""
        fcntl.ioctl(self._descriptor, I2C_SLAVE, chip)
        os.write(self._descriptor, bytes((register, value)))

    def close(self) -> None:
        """Close the bus."""
        os.close(self._descriptor)
