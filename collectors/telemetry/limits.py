"""Limits of a value: its range, its rate of change, and how often it may repeat.

The limits of a field come from four sources, each overriding the previous one: the declaration of its measurement, the
defaults for the environment, those narrowed to the sensor's range, and the operator's file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from collectors.core.schema import Measurement

#: No bound: the maximum of a float, so an infinite value exceeds it.
UNBOUND = 1.7976931348623157e308

#: A number of equal readings that no field reaches.
NEVER = 1 << 62


class Limits(NamedTuple):
    """The limits of one field.

    Args:
        kind: float, int, bool or str, as declared; None without a declaration.
        low, high: the inclusive range.
        step: a change up to this much between consecutive readings is accepted, however short the time between them.
        rate_per_second: a larger change is accepted if it is at most this much per second.
        agree: number of consecutive readings that confirm a change of any size by agreeing with each other.
        stuck_after: number of equal consecutive readings after which further ones are rejected.
        sources: fields of the same line that this one was computed from; it is rejected with any of them.
    """

    kind: type | None = None
    low: float = -UNBOUND
    high: float = UNBOUND
    step: float = UNBOUND
    rate_per_second: float = 0.0
    agree: int = 3
    stuck_after: int = NEVER
    sources: tuple[str, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether judging a reading requires the earlier ones."""
        return self.step < UNBOUND or self.stuck_after < NEVER


class LimitsError(ValueError):
    """A file of limits is invalid; the message names place, value and expected value."""


# The air that people live and work in, with a margin: -40 to 80 °C, 600 hPa (4,200 m above sea level) to 1600 hPa. A
# faster change is a faulty reading: a door that opens in winter changes a thermometer by less than a degree per second,
# and a lift changes the pressure by about 1 hPa per second.
_TEMPERATURE: Mapping[str, Any] = {"low": -40.0, "high": 80.0, "step": 5.0, "rate_per_second": 1.0}
_HUMIDITY: Mapping[str, Any] = {"low": 0.0, "high": 100.0, "step": 20.0, "rate_per_second": 5.0}
_PRESSURE: Mapping[str, Any] = {"low": 600.0, "high": 1600.0, "step": 5.0, "rate_per_second": 1.0}

_RAW = {
    "temperature_raw_celsius": _TEMPERATURE,
    "humidity_raw_percent": _HUMIDITY,
    "pressure_hpa": _PRESSURE,
}
_COMPUTED: Mapping[str, Mapping[str, Any]] = {
    "temperature_compensated_celsius": {"low": -40.0, "high": 80.0, "sources": ("temperature_raw_celsius",)},
    "temperature_calibrated_celsius": {"low": -40.0, "high": 80.0},
    "humidity_compensated_percent": {"sources": ("humidity_raw_percent", "temperature_raw_celsius")},
    "dew_point_celsius": {"sources": ("humidity_raw_percent", "temperature_raw_celsius")},
    "pressure_calibrated_hpa": {"low": 600.0, "high": 1600.0},
}

#: By measurement and field, in addition to the declarations. The CPU is warmer than air, and keeps its declared range.
DEFAULTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"environment": {**_RAW, **_COMPUTED}}


class Sensor(NamedTuple):
    """Range of a sensor, from its data sheet: degrees Celsius, percent, hPa.

    Args:
        stuck_temperature, stuck_humidity, stuck_pressure: number of consecutive equal readings that never occurs in
            air. Only for a sensor with noise in its last digits; one that rounds may repeat a value all night.
    """

    temperature: tuple[float, float] = (-40.0, 80.0)
    humidity: tuple[float, float] = (0.0, 100.0)
    pressure: tuple[float, float] = (600.0, 1600.0)
    stuck_temperature: int = NEVER
    stuck_humidity: int = NEVER
    stuck_pressure: int = NEVER


# HTS221: ST DocID026333. LPS25H: ST DocID023722; at rest, its temperature had 76 consecutive equal readings, at one
# reading per 10 s and two digits. LPS22HB: ST DocID027083. BME280, BMP280, BMP180, BMP388: Bosch. DHT11, DHT22: Aosong.
# SHT3x, SHT4x, SCD4x: Sensirion. DS18B20: Maxim; its 85 °C after power-on is beyond the general range anyway.
SENSORS: Mapping[str, Sensor] = {
    "hts221": Sensor((-40, 120), stuck_temperature=360, stuck_humidity=60),
    "lps25h": Sensor((-30, 105), pressure=(260, 1260), stuck_temperature=720, stuck_pressure=60),
    "lps22hb": Sensor((-40, 85), pressure=(260, 1260)),
    "bme280": Sensor((-40, 85), pressure=(300, 1100)),
    "bme680": Sensor((-40, 85), pressure=(300, 1100)),
    "bmp180": Sensor((-40, 85), pressure=(300, 1100)),
    "bmp280": Sensor((-40, 85), pressure=(300, 1100)),
    "bmp388": Sensor((-40, 85), pressure=(300, 1250)),
    "dht11": Sensor((-20, 60), (5, 95)),
    "dht22": Sensor((-40, 80), (0, 100)),
    "am2301": Sensor((-40, 80), (0, 100)),
    "ds18b20": Sensor((-55, 125)),
    "sht3x": Sensor((-40, 125)),
    "sht4x": Sensor((-40, 125)),
    "sht30": Sensor((-40, 125)),
    "sht31": Sensor((-40, 125)),
    "sht40": Sensor((-40, 125)),
    "si7021": Sensor((-40, 125)),
    "htu21": Sensor((-40, 125)),
    "scd40": Sensor((-10, 60)),
    "scd41": Sensor((-10, 60)),
}

_OF_SENSOR = {
    "temperature_raw_celsius": ("temperature", "stuck_temperature"),
    "humidity_raw_percent": ("humidity", "stuck_humidity"),
    "pressure_hpa": ("pressure", "stuck_pressure"),
}

_NUMBERS, _COUNTS = ("low", "high", "step", "rate_per_second"), ("agree", "stuck_after")
_KEYS = _NUMBERS + _COUNTS

#: Maximum number of characters of a line in the operator's file.
_MAX_LINE = 4096


_Entry = TypeVar("_Entry")


def _of_sensor(entries: Mapping[str, _Entry], sensor: str | None) -> _Entry | None:
    """The entry for a sensor, by its full name or without its address or serial number.

    >>> _of_sensor({"ds18b20": "any", "ds18b20-3c01d0756612": "this"}, "DS18B20-3c01d0756699")
    'any'
    """
    if not sensor:
        return None
    by_name = {name.lower(): entry for name, entry in entries.items()} if sensor not in entries else entries
    for name in (sensor, sensor.lower(), sensor.lower().partition("-")[0]):
        if name in by_name:
            return by_name[name]
    return None


class LimitTable:
    """The limits of all fields.

    Args:
        declared: the declarations of the validated measurements.
        file: the operator's file, from :func:`read`.
    """

    def __init__(self, declared: Iterable[Measurement] = (), file: Mapping[str, Any] | None = None) -> None:
        self._declared = {measurement.name: measurement for measurement in declared}
        self._file = file or {}

    def get(self, measurement: str, field: str, sensor: str | None, device: str) -> Limits:
        """The limits of a field of a sensor of a device."""
        limits = self._built_in(measurement, field, sensor)
        table = self._file.get(measurement, {}).get(field)
        if table is None:
            return limits
        own = {key: value for key, value in table.items() if key in _KEYS}
        own.update(_of_sensor(table.get("sensor", {}), sensor) or {})
        own.update(table.get("device", {}).get(device, {}))
        if own.get("stuck_after") == 0:
            own["stuck_after"] = NEVER
        return limits._replace(**own)

    def _built_in(self, measurement: str, field: str, sensor: str | None) -> Limits:
        limits = Limits()
        declared = self._declared.get(measurement)
        if declared is not None and field in (each.name for each in declared.fields):
            one = declared.field(field)
            limits = limits._replace(
                kind=one.kind,
                low=-UNBOUND if one.low is None else float(one.low),
                high=UNBOUND if one.high is None else float(one.high),
            )
        default = DEFAULTS.get(measurement, {}).get(field)
        if default is not None:
            limits = limits._replace(**default)
        known = _of_sensor(SENSORS, sensor)
        if default is not None and known is not None and field in _OF_SENSOR:
            quantity, stuck = _OF_SENSOR[field]
            low, high = getattr(known, quantity)
            limits = limits._replace(
                low=max(limits.low, low), high=min(limits.high, high), stuck_after=getattr(known, stuck)
            )
        return limits


def read(text: str, where: str) -> Mapping[str, Any]:
    """Parse and validate the operator's file of limits: tables by measurement and field.

    ::

        [environment.temperature_raw_celsius]
        high = 60
        [environment.temperature_raw_celsius.device.greenhouse]
        high = 75

    Raises:
        LimitsError: one sentence.
    """
    import tomllib

    # The standard library's parser takes quadratic time for one long dotted key.
    longest = max((len(line) for line in text.split("\n")), default=0)
    if longest > _MAX_LINE:
        raise LimitsError(f"{where} has a line of {longest} characters; the maximum is {_MAX_LINE}")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LimitsError(f"{where} is not valid TOML: {error}") from None
    for measurement, fields in document.items():
        for field, table in _tables(fields, f"{where}, [{measurement}]"):
            place = f"{where}, [{measurement}.{field}]"
            _check({key: value for key, value in table.items() if key not in ("sensor", "device")}, place)
            for kind in ("sensor", "device"):
                for name, own in _tables(table.get(kind, {}), f"{place} {kind}"):
                    _check({**{key: table[key] for key in _KEYS if key in table}, **own}, f"{place} {kind} {name!r}")
    return document


def _tables(value: object, place: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise LimitsError(
            f"{place}: expected tables, such as [environment.pressure_hpa], and in them {', '.join(_KEYS)}"
        )
    return value.items()


def _check(table: Mapping[str, Any], place: str) -> None:
    for key, value in table.items():
        if key not in _KEYS:
            raise LimitsError(f"{place}: unknown key {key!r}; there are {', '.join(_KEYS)}, sensor and device")
        if key in _COUNTS:
            least = 1 if key == "agree" else 0
            if type(value) is not int or value < least:
                raise LimitsError(f"{place}: {key} is {value!r}; it must be a whole number of at least {least}")
        elif type(value) not in (int, float) or not abs(value) <= UNBOUND:
            raise LimitsError(f"{place}: {key} is {value!r}; it must be a finite number")
        elif key in ("step", "rate_per_second") and value < 0:
            raise LimitsError(f"{place}: {key} is {value!r}; it must be at least 0")
    if table.get("stuck_after") == 1:
        raise LimitsError(f"{place}: stuck_after is 1, which would refuse every reading; give 0 for never, or more")
    if "low" in table and "high" in table and table["low"] > table["high"]:
        raise LimitsError(f"{place}: low is {table['low']} and high {table['high']}, so that nothing is left")
