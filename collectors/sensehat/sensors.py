"""The sensors of a real board, beyond the methods of the sense-hat library.

Addresses and registers: HTS221 (DocID026333), LPS25H (DocID023722), LSM9DS1 (DocID025715).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from collectors.sensehat.readings import Colour

#: The attributes of the library for each sensor: RTIMULib's object, the flag that it has been started, and the method
#: for its type. A contract test compares them with the source.
PARTS = {
    "hts221": ("_humidity", "_humidity_init", "humidityType"),
    "lps25h": ("_pressure", "_pressure_init", "pressureType"),
    "lsm9ds1": ("_imu", "_imu_init", "IMUType"),
}

#: Types up to this one are no sensor: RTIMULib had found none when its object was made (RTIMULibDefs.h).
NO_SENSOR = 1

#: Address of the sensors that have CTRL_REG1, whose highest bit is clear while a sensor is switched off.
ADDRESSES = {"hts221": 0x5F, "lps25h": 0x5C}
CTRL_REG1, SWITCHED_ON = 0x20, 0x80

#: Block data update of the LSM9DS1: address, register and value for CTRL_REG8 of accelerometer and gyroscope, with
#: IF_ADD_INC as after power-on, and CTRL_REG5_M of the magnetometer. RTIMULib leaves the bit clear, and reads the two
#: bytes of an axis in two transfers: after a conversion in between they are of two values, 256 counts apart.
BLOCK_DATA_UPDATE = ((0x6A, 0x22, 0x44), (0x1C, 0x24, 0x40))


class Registers(Protocol):
    """A bus with the board's chips, see :class:`~collectors.sensehat.i2c.Bus`."""

    def read(self, chip: int, register: int) -> int:
        """A register's byte. Raises OSError."""
        ...

    def write(self, chip: int, register: int, value: int) -> None:
        """Set a register's byte. Raises OSError."""
        ...


class Sensors(Protocol):
    """The state of a real board's sensors beyond the methods of the library."""

    def imu_time(self) -> int:
        """Time of the IMU's newest sample. Without an answer, the library repeats the sample before."""
        ...

    def prepare_imu(self) -> None:
        """Let the library start the IMU, unless it has, and keep the two bytes of a value together."""
        ...

    def is_switched_off(self, sensor: str, /) -> bool:
        """Whether the HTS221 or LPS25H does not convert; the library repeats its last values. Raises OSError."""
        ...

    def restart(self, sensor: str, /) -> None:
        """Let the library start a sensor with its next reading: its settings are lost if its power was interrupted."""
        ...


class LibrarySensors:
    """The sensors of the opened library.

    Args:
        library: ``sense_hat.SenseHat``.
        registers: the bus that RTIMULib uses.
    """

    def __init__(self, library: Any, registers: Registers) -> None:
        self._library = library
        self._registers = registers

    def imu_time(self) -> int:
        """See :class:`Sensors`."""
        time_us: int = self._library._imu.getIMUData()["timestamp"]
        return time_us

    def prepare_imu(self) -> None:
        """See :class:`Sensors`.

        The registers are written for each batch, in two transfers; its samples take 150. RTIMULib clears the registers
        when it starts the IMU, and so does another program that uses the library.
        """
        self._library._init_imu()
        # The reading that follows reports an IMU that does not answer.
        with suppress(OSError):
            for chip, register, value in BLOCK_DATA_UPDATE:
                self._registers.write(chip, register, value)

    def is_switched_off(self, sensor: str, /) -> bool:
        """See :class:`Sensors`."""
        return not self._registers.read(ADDRESSES[sensor], CTRL_REG1) & SWITCHED_ON

    def restart(self, sensor: str, /) -> None:
        """See :class:`Sensors`."""
        name, started, kind = PARTS[sensor]
        part = getattr(self._library, name)
        if getattr(part, kind)() <= NO_SENSOR:
            # It looks for the sensor only when it is made.
            setattr(self._library, name, type(part)(self._library._imu_settings))
        setattr(self._library, started, False)


class SettingsLost(Exception):
    """A sensor does not have the settings that it was started with."""


class ColourSensor:
    """The colour sensor with its settings.

    Args:
        sensor: the library's.
        gain, cycles: its settings.

    Raises:
        Exception: the library's, if it rejects the settings or the sensor does not answer.
    """

    def __init__(self, sensor: Any, gain: int, cycles: int) -> None:
        self._sensor = sensor
        self._gain = gain
        self._cycles = cycles
        self._start()

    def read(self) -> Colour:
        """The counts. Raises SettingsLost, or the library's exceptions."""
        gain, cycles = self._sensor.gain, self._sensor.integration_cycles
        if (gain, cycles) != (self._gain, self._cycles):
            self._start()
            raise SettingsLost("the sensor had lost its settings and was started again; check the board's seat")
        red, green, blue, clear = self._sensor.colour_raw
        return Colour(red, green, blue, clear, gain)

    def _start(self) -> None:
        self._sensor.enabled = 1
        self._sensor.gain = self._gain
        self._sensor.integration_cycles = self._cycles


class LibraryWithColour(Protocol):
    """The board's second edition; the emulator's library does not have the colour sensor."""

    def has_colour_sensor(self) -> bool:
        """Whether the board has one; otherwise ``colour`` prints a warning to stdout."""
        ...

    @property
    def colour(self) -> Any:
        """The sensor: ``enabled``, ``gain`` and ``integration_cycles`` to set, ``colour_raw`` to read four counts."""
        ...


def prepare_colour(
    library: LibraryWithColour, gain: int, cycles: int, on_error: Callable[[str], None]
) -> ColourSensor | None:
    """Set up the board's colour sensor; None if it has none, or if that fails, which is reported."""
    if not library.has_colour_sensor():
        return None
    try:
        return ColourSensor(library.colour, gain, cycles)
    except Exception as error:  # noqa: BLE001 - see Board._part; the other sensors are read without it
        on_error(f"the colour sensor rejects gain {gain} and {cycles} cycles, and is not read: {error}")
        return None
