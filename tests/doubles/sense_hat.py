"""A scriptable double of the sense-hat library.

A test sets its readings and inspects its calls; it returns the library's types, where the integer 0 means that a sensor
has no valid reading. A contract test compares its methods with the library's source.

>>> board = ScriptedHat(humidity=48.5)
>>> board.get_humidity()
48.5
>>> board.humidity = 0
>>> board.get_humidity()
0
>>> board.calls
['get_humidity', 'get_humidity']
>>> board.failures["get_pressure"] = OSError("Pressure Init Failed")
"""

from __future__ import annotations

from collections.abc import Mapping

_Axes = tuple[float, float, float]


class ScriptedColour:
    """The colour sensor: returns the given counts at the current gain."""

    def __init__(self, counts: tuple[int, int, int, int] = (210, 190, 140, 520)) -> None:
        self.counts = counts
        self.enabled = 0
        self.gain = 1
        self.integration_cycles = 1
        self.failure: Exception | None = None

    @property
    def colour_raw(self) -> tuple[int, int, int, int]:
        """Counts of red, green, blue and clear."""
        if self.failure is not None:
            raise self.failure
        return self.counts


class ScriptedHat:
    """The board: attributes are the sensors' readings, ``failures`` the exceptions that methods raise.

    Args:
        humidity, pressure: percent and hPa; 0 for no valid reading.
        temperature_humidity, temperature_pressure: degrees Celsius, as measured by the HTS221 and the LPS25H.
        attitude: pitch, roll, yaw in radians.
        acceleration, gyro, magnetic: x, y, z in g, radians per second and microtesla.
        colour: the colour sensor, or None for a board of the first edition.
    """

    def __init__(
        self,
        *,
        humidity: float = 45.25,
        temperature_humidity: float = 28.5,
        pressure: float = 1013.25,
        temperature_pressure: float = 26.5,
        attitude: _Axes = (0.01, -0.02, 1.5),
        acceleration: _Axes = (0.01, 0.02, 1.0),
        gyro: _Axes = (0.001, -0.002, 0.003),
        magnetic: _Axes = (18.0, -9.0, 44.0),
        colour: ScriptedColour | None = None,
    ) -> None:
        self.humidity = humidity
        self.temperature_humidity = temperature_humidity
        self.pressure = pressure
        self.temperature_pressure = temperature_pressure
        self.attitude = attitude
        self.acceleration = acceleration
        self.gyro = gyro
        self.magnetic = magnetic
        self.failures: dict[str, Exception] = {}
        self.calls: list[str] = []
        self._colour = colour

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failures:
            raise self.failures[name]

    def get_humidity(self) -> float:
        """Percent."""
        self._called("get_humidity")
        return self.humidity

    def get_temperature_from_humidity(self) -> float:
        """Degrees Celsius."""
        self._called("get_temperature_from_humidity")
        return self.temperature_humidity

    def get_pressure(self) -> float:
        """Millibars."""
        self._called("get_pressure")
        return self.pressure

    def get_temperature_from_pressure(self) -> float:
        """Degrees Celsius."""
        self._called("get_temperature_from_pressure")
        return self.temperature_pressure

    def get_orientation_radians(self) -> Mapping[str, float]:
        """Pitch, roll and yaw."""
        self._called("get_orientation_radians")
        return dict(zip(("pitch", "roll", "yaw"), self.attitude, strict=True))

    def get_accelerometer_raw(self) -> Mapping[str, float]:
        """In g."""
        self._called("get_accelerometer_raw")
        return dict(zip("xyz", self.acceleration, strict=True))

    def get_gyroscope_raw(self) -> Mapping[str, float]:
        """Radians per second."""
        self._called("get_gyroscope_raw")
        return dict(zip("xyz", self.gyro, strict=True))

    def get_compass_raw(self) -> Mapping[str, float]:
        """Microtesla."""
        self._called("get_compass_raw")
        return dict(zip("xyz", self.magnetic, strict=True))

    def has_colour_sensor(self) -> bool:
        """Whether there is one."""
        self._called("has_colour_sensor")
        return self._colour is not None

    @property
    def colour(self) -> ScriptedColour | None:
        """The colour sensor."""
        return self._colour
