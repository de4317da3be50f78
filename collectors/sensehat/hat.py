"""The board, through the sense-hat library; the emulator's library has the same methods.

Only methods that do not disturb the fusion of the orientation are used: ``get_compass``, ``get_gyroscope`` and
``get_accelerometer`` switch sensors off and on. A contract test compares this module with the library's source.
"""

from __future__ import annotations

import glob
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, TypeVar

from collectors.core.api import Context, Unavailable
from collectors.sensehat import COLOUR_CYCLES, COLOUR_GAIN, SYS_ROOT, thermal
from collectors.sensehat.readings import INVALID, Attitude, Colour, Reading, Vector, shortest

#: Name of the frame buffer of the board's LED matrix, by which the library finds the board as well.
FRAME_BUFFER = "RPi-Sense FB"

#: A new process reads no valid values for 40 to 80 ms, until the sensors have converted once. Wait for that at the
#: start, in steps of the HTS221's conversions at 12.5 Hz.
MAX_READY_CHECKS, READY_CHECK_SECONDS = 6, 0.08

#: RTIMULib averages the magnetic field: each sample counts a fifth (its COMPASS_ALPHA), and the average
#: starts at 0: after the five samples of a first batch it is at 67 percent, after these within 0.1 percent, even if the
#: first ones come before the magnetometer has converted.
SETTLING_SAMPLES = 40

#: Decimal places of angles, which are converted from radians.
ANGLE_DIGITS = 4

T = TypeVar("T")


class Library(Protocol):
    """The methods used of ``sense_hat.SenseHat``, with the library's arguments and results.

    The integer 0 is an invalid value; a valid one is a float.
    """

    def get_humidity(self) -> float:
        """Relative humidity, percent."""
        ...

    def get_temperature_from_humidity(self) -> float:
        """Degrees Celsius."""
        ...

    def get_pressure(self) -> float:
        """Millibars, which are hPa."""
        ...

    def get_temperature_from_pressure(self) -> float:
        """Degrees Celsius."""
        ...

    def get_orientation_radians(self) -> Mapping[str, float]:
        """``pitch``, ``roll`` and ``yaw``, -pi to pi."""
        ...

    def get_accelerometer_raw(self) -> Mapping[str, float]:
        """``x``, ``y`` and ``z``, in g."""
        ...

    def get_gyroscope_raw(self) -> Mapping[str, float]:
        """``x``, ``y`` and ``z``, radians per second."""
        ...

    def get_compass_raw(self) -> Mapping[str, float]:
        """``x``, ``y`` and ``z``, microtesla."""
        ...


class LibraryWithColour(Library, Protocol):
    """The colour sensor, which the emulator's library does not have."""

    def has_colour_sensor(self) -> bool:
        """Whether the board has one; otherwise ``colour`` prints a warning to stdout."""
        ...

    @property
    def colour(self) -> Any:
        """The sensor: ``gain`` and ``integration_cycles`` to set, ``colour_raw`` to read four counts."""
        ...


def is_present(sys_root: str) -> bool:
    """Whether the kernel has detected a Sense HAT."""
    for path in glob.glob(os.path.join(sys_root, "class", "graphics", "fb*", "name")):
        with open(path, encoding="ascii", errors="replace") as file:
            if file.read().strip() == FRAME_BUFFER:
                return True
    return False


class RedirectedOutput:
    """Redirects one file descriptor to another while the context is active, including output of C code.

    RTIMULib, if built without HAL_QUIET, reports its settings file and the sensors that it starts on stdout
    (RTIMULib/RTIMUHal.h), which is reserved for lines.
    """

    def __init__(self, descriptor: int = 1, other: int = 2) -> None:
        self._descriptor = descriptor
        self._other = other
        self._saved = -1

    def __enter__(self) -> None:
        self._saved = os.dup(self._descriptor)
        os.dup2(self._other, self._descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.dup2(self._saved, self._descriptor)
        os.close(self._saved)


class Board:
    """A board, real or emulated, as a source of readings.

    Args:
        library: the opened board.
        colour: its colour sensor; None if it has none.
        zone: the folder of the CPU's thermal zone, or None.
        on_error: takes a message for each value that fails; the others are still read.
        tags: tags of its lines, in addition to device and sensor.
        gyro: whether to read the gyroscope.
        on_close: called at the end.
    """

    tags: Mapping[str, str]

    def __init__(
        self,
        library: Library,
        colour: Any,
        zone: str | None,
        on_error: Callable[[str], None],
        *,
        tags: Mapping[str, str] | None = None,
        gyro: bool = True,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.tags = tags or {}
        self._library = library
        self._colour = colour
        self._zone = zone
        self._on_error = on_error
        self._gyro = gyro
        self._on_close = on_close

    def wait_until_ready(self, sleep: Callable[[float], None]) -> None:
        """Start all sensors, and wait until they give valid values.

        The magnetic field settles with the samples that the library reads, each of which takes it a few milliseconds;
        humidity and pressure take at most another half second.
        """
        # The first reading reports a sensor that does not start.
        with suppress(OSError):
            for _ in range(SETTLING_SAMPLES):
                self._library.get_compass_raw()
        with suppress(OSError):
            for _ in range(MAX_READY_CHECKS):
                if self._library.get_humidity() and self._library.get_pressure():
                    return
                sleep(READY_CHECK_SECONDS)

    def read(self) -> Iterator[Reading]:
        """One reading; values that fail are None."""
        library = self._library
        reading = Reading(
            humidity=self._part("humidity", lambda: _valid(library.get_humidity())),
            temperature_humidity=self._part(
                "temperature of the HTS221", lambda: _valid(library.get_temperature_from_humidity())
            ),
            pressure=self._part("pressure", lambda: _valid(library.get_pressure())),
            temperature_pressure=self._part(
                "temperature of the LPS25H", lambda: _valid(library.get_temperature_from_pressure())
            ),
            attitude=self._part("orientation", lambda: _attitude(library.get_orientation_radians())),
            acceleration=self._part("acceleration", lambda: _vector(library.get_accelerometer_raw())),
            gyro=self._part("gyroscope", lambda: _vector(library.get_gyroscope_raw())) if self._gyro else None,
            magnetic=self._part("magnetic field", lambda: _vector(library.get_compass_raw())),
            colour=None if self._colour is None else self._part("colour", self._read_colour),
        )
        zone = self._zone
        if zone is not None:
            cpu = self._part("temperature of the CPU", lambda: thermal.read_celsius(zone))
            reading = reading._replace(temperature_cpu=cpu)
        yield reading

    def _part(self, name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - the library raises exceptions of any type, and one value must not stop the others
            self._on_error(f"the {name} cannot be read: {type(error).__name__}: {error}")
            return None

    def _read_colour(self) -> Colour:
        red, green, blue, clear = self._colour.colour_raw
        return Colour(red, green, blue, clear, self._colour.gain)

    def close(self) -> None:
        """Call ``on_close``; the library itself has nothing to close."""
        if self._on_close is not None:
            self._on_close()


def _valid(value: float) -> float:
    """The value without a tail of single precision; the library's integer 0 means that it is invalid."""
    return INVALID if type(value) is int and value == 0 else shortest(float(value))


def _vector(axes: Mapping[str, float]) -> Vector:
    return Vector(*(_valid(axes[axis]) for axis in "xyz"))


def _attitude(axes: Mapping[str, float]) -> Attitude:
    """Degrees from 0 to 360, like the library's ``get_orientation``."""
    return Attitude(
        *(_turn(round(math.degrees(_valid(axes[axis])), ANGLE_DIGITS)) for axis in ("pitch", "roll", "yaw"))
    )


def _turn(degrees: float) -> float:
    return degrees + 360 if degrees < 0 else degrees


def prepare_colour(library: LibraryWithColour, gain: int, cycles: int, on_error: Callable[[str], None]) -> Any:
    """Set up the board's colour sensor; None if it has none, or if that fails, which is reported."""
    if not library.has_colour_sensor():
        return None
    sensor = library.colour
    try:
        sensor.gain = gain
        sensor.integration_cycles = cycles
    except Exception as error:  # noqa: BLE001 - see Board._part; the other sensors are read without it
        on_error(f"the colour sensor rejects gain {gain} and {cycles} cycles, and is not read: {error}")
        return None
    return sensor


def open_source(context: Context) -> Board:
    """Open the board of this machine. Raises Unavailable if the library is missing or cannot open it."""
    try:
        from sense_hat import SenseHat as Opened
    except ImportError as error:
        raise Unavailable(
            f"the Sense HAT's library cannot be imported ({error}); install it with: sudo apt install sense-hat, and "
            "create the virtual environment with --system-site-packages, since pip cannot install its part RTIMU"
        ) from None
    values = context.values
    try:
        with RedirectedOutput():
            library = Opened()
            colour = prepare_colour(library, values[COLOUR_GAIN], values[COLOUR_CYCLES], context.report.error)
            board = Board(library, colour, thermal.cpu_zone(values[SYS_ROOT]), context.report.error)
            board.wait_until_ready(time.sleep)
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"the Sense HAT cannot be opened: {error}; check that it sits on the header, that I2C is enabled "
            "(sudo raspi-config nonint do_i2c 0), and that this user is in the groups i2c, input and video"
        ) from None
    return board
