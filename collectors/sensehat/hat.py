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
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Protocol, TypeVar

from collectors.core.api import Context, Unavailable
from collectors.sensehat import COLOUR_CYCLES, COLOUR_GAIN, SYS_ROOT, i2c, thermal
from collectors.sensehat.readings import INVALID, Attitude, Reading, Vector, shortest
from collectors.sensehat.sensors import ColourSensor, LibrarySensors, Sensors, prepare_colour

#: Name of the frame buffer of the board's LED matrix, which identifies the board to the library as well.
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

    A sensor that gives no valid value, or is reported as stuck, is started again before the next reading.

    Args:
        library: the opened board.
        colour: its colour sensor; None if it has none.
        zone: the folder of the CPU's thermal zone, or None.
        on_error: receives a message for each failed value; the others are still read.
        tags: tags of its lines, in addition to device and sensor.
        gyro: whether to read the gyroscope.
        on_close: called at the end.
        sensors: of a real board; None for the emulator, whose sensors cannot fail.
        sleep: sleeps for a number of seconds.
    """

    tags: Mapping[str, str]

    def __init__(
        self,
        library: Library,
        colour: ColourSensor | None,
        zone: str | None,
        on_error: Callable[[str], None],
        *,
        tags: Mapping[str, str] | None = None,
        gyro: bool = True,
        on_close: Callable[[], None] | None = None,
        sensors: Sensors | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.tags = tags or {}
        self._library = library
        self._colour = colour
        self._zone = zone
        self._on_error = on_error
        self._gyro = gyro
        self._on_close = on_close
        self._sensors = sensors
        self._sleep = sleep
        self._failed: set[str] = set()
        self._imu_answers = True
        self._temperatures: dict[str, float | None] = {}

    def wait_until_ready(self) -> None:
        """Start all sensors, and wait until they give valid values.

        The magnetic field settles with the samples that the library reads, a few milliseconds each;
        humidity and pressure take at most another half second.
        """
        # The first reading reports a sensor that does not start.
        with suppress(OSError):
            self._prepare_imu()
            for _ in range(SETTLING_SAMPLES):
                before = self._imu_time()
                self._library.get_compass_raw()
                # A bus that hangs takes seconds for each sample.
                if before is not None and self._imu_time() == before:
                    break
        with suppress(OSError):
            for _ in range(MAX_READY_CHECKS):
                if self._library.get_humidity() and self._library.get_pressure():
                    return
                self._sleep(READY_CHECK_SECONDS)

    def restart(self, sensor: str, /) -> None:
        """Start a sensor again before the next reading."""
        self._failed.add(sensor)

    def read(self) -> Iterator[Reading]:
        """One reading; values that fail are None."""
        with RedirectedOutput() if self._sensors else nullcontext():
            reading = self._read()
        yield reading

    def _read(self) -> Reading:
        self._restart_failed()
        library, colour = self._library, self._colour
        self._imu_answers = True
        reading = Reading(
            humidity=self._part("humidity", "hts221", lambda: _valid(library.get_humidity())),
            temperature_humidity=self._part(
                "temperature of the HTS221", "hts221", lambda: _valid(library.get_temperature_from_humidity())
            ),
            pressure=self._part("pressure", "lps25h", lambda: _valid(library.get_pressure())),
            temperature_pressure=self._part(
                "temperature of the LPS25H", "lps25h", lambda: _valid(library.get_temperature_from_pressure())
            ),
            attitude=self._imu_part("orientation", self._orientation),
            acceleration=self._imu_part("acceleration", lambda: _vector(library.get_accelerometer_raw())),
            gyro=self._imu_part("gyroscope", lambda: _vector(library.get_gyroscope_raw())) if self._gyro else None,
            magnetic=self._imu_part("magnetic field", lambda: _vector(library.get_compass_raw())),
            colour=None if colour is None else self._part("colour", "", colour.read),
        )
        if self._repeats_while_switched_off("HTS221", "hts221", reading.temperature_humidity):
            reading = reading._replace(humidity=None, temperature_humidity=None)
        if self._repeats_while_switched_off("LPS25H", "lps25h", reading.temperature_pressure):
            reading = reading._replace(pressure=None, temperature_pressure=None)
        zone = self._zone
        if zone is not None:
            cpu = self._part("temperature of the CPU", "", lambda: thermal.read_celsius(zone))
            reading = reading._replace(temperature_cpu=cpu)
        return reading

    def _part(self, name: str, sensor: str, read: Callable[[], T]) -> T | None:
        try:
            value = read()
        except Exception as error:  # noqa: BLE001 - the library raises exceptions of any type, and one value must not stop the others
            self._on_error(f"the {name} cannot be read: {type(error).__name__}: {error}")
            value = None
        if sensor and (value is None or value is INVALID):
            self._failed.add(sensor)
        return value

    def _imu_part(self, name: str, read: Callable[[], T]) -> T | None:
        """The same for the IMU; after the first value without an answer, the others are not requested."""
        if not self._imu_answers:
            return None
        before = self._imu_time()
        value = self._part(name, "lsm9ds1", read)
        if before is None or (value is not None and self._imu_time() != before):
            return value
        self._imu_answers = False
        self._failed.add("lsm9ds1")
        if value is not None:
            self._on_error("the IMU does not answer; check the board's seat on the header")
        return None

    def _orientation(self) -> Attitude:
        self._prepare_imu()
        return _attitude(self._library.get_orientation_radians())

    def _prepare_imu(self) -> None:
        if self._sensors is not None:
            self._sensors.prepare_imu()

    def _repeats_while_switched_off(self, name: str, sensor: str, temperature: float | None) -> bool:
        """Whether a sensor is switched off, as after an interruption of its power, and the library repeats its values.

        The library reads a sensor's temperature last, so that only a batch whose temperature is that of the batch
        before can have old values: only then is the sensor asked.
        """
        before, self._temperatures[sensor] = self._temperatures.get(sensor), temperature
        sensors = self._sensors
        if sensors is None or temperature is None or temperature != before:
            return False
        switched_off = self._part(f"state of the {name}", sensor, lambda: sensors.is_switched_off(sensor))
        if switched_off:
            self._failed.add(sensor)
            self._on_error(
                f"the {name} is switched off, as after an interruption of its power, and is started again; check the "
                "board's seat on the header"
            )
        return switched_off is not False

    def _imu_time(self) -> int | None:
        return None if self._sensors is None else self._sensors.imu_time()

    def _restart_failed(self) -> None:
        """Start the sensors that have failed, and wait until they have converted."""
        failed, self._failed = self._failed, set()
        if self._sensors is None:
            return
        library = self._library
        reads: dict[str, Callable[[], object]] = {
            "hts221": library.get_humidity,
            "lps25h": library.get_pressure,
            "lsm9ds1": self._orientation,
        }
        answered = False
        for sensor in sorted(failed):
            self._sensors.restart(sensor)
            # The reading that follows reports a sensor that does not start.
            with suppress(OSError):
                answered |= bool(reads[sensor]())
        if answered:
            self._sleep(2 * READY_CHECK_SECONDS)

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
            bus = i2c.Bus(library._imu_settings.I2CBus)
            board = Board(
                library,
                colour,
                thermal.cpu_zone(values[SYS_ROOT]),
                context.report.error,
                sensors=LibrarySensors(library, bus),
                on_close=bus.close,
            )
            board.wait_until_ready()
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"the Sense HAT cannot be opened: {error}; check that it sits on the header, that I2C is enabled "
            "(sudo raspi-config nonint do_i2c 0), and that this user is in the groups i2c, input and video"
        ) from None
    return board
