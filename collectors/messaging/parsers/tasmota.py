"""Tasmota: ``tele/<device>/SENSOR``, ``STATE``, ``LWT`` and ``INFO1``.

A Zigbee bridge also publishes ``tele/<device>/<address>/SENSOR``.

Format: https://tasmota.github.io/docs/MQTT/ and the JSON of the firmware's drivers for sensors and meters.
"""

from __future__ import annotations

import re

from collectors.messaging.parsers.json_values import Object, Value, flatten, number, read_json
from collectors.messaging.parsers.message import Message
from collectors.messaging.parsers.native import add_status
from collectors.messaging.parsers.results import PayloadError
from collectors.messaging.parsers.timestamps import read_time

#: Fields of the energy meter. Reactive power is in var, apparent power in VA.
_ENERGY = {
    "Total": "energy_total_kilowatt_hours",
    "Yesterday": "energy_yesterday_kilowatt_hours",
    "Today": "energy_today_kilowatt_hours",
    "Period": "energy_period_watt_hours",
    "Power": "power_watts",
    "ApparentPower": "power_apparent_volt_amperes",
    "ReactivePower": "power_reactive_volt_amperes",
    "Factor": "power_factor",
    "Voltage": "voltage_volts",
    "Current": "current_amperes",
    "Frequency": "frequency_hertz",
}
_STATE = {
    "UptimeSec": "uptime_seconds",
    "Heap": "heap_kilobytes",
    "LoadAvg": "load_percent",
    "Vcc": "supply_volts",
    "MqttCount": "mqtt_connections",
    "Dimmer": "dimmer_percent",
    "Wifi_RSSI": "wifi_quality_percent",
    "Wifi_Signal": "wifi_signal_dbm",
    "Wifi_Channel": "wifi_channel",
    "Wifi_LinkCount": "wifi_connections",
}
_TEMPERATURES = {"Temperature": "temperature_raw_celsius", "DewPoint": "dew_point_celsius"}
#: Sensors inside the device's chip, which do not measure air.
_CHIPS = frozenset(("ESP32",))
_HPA = {"hPa": 1.0, "mmHg": 1.33322387415, "inHg": 33.86388640341}
_POWER = re.compile(r"POWER\d*\Z")
#: Words in names of temperatures, without trailing digits.
_TEMPERATURE_WORDS = frozenset(("temperature", "temp", "tmp", "objtmp", "ambtmp", "dewpoint", "feelslike"))
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


#: Longer names are rejected anyway.
_MAX_NAME = 256


def read_sensor(message: Message, text: str) -> None:
    """Read ``SENSOR``: a metric for each sensor, and one for the meter. Raises PayloadError."""
    document = _object(text)
    time_ns = _time(document)
    convert = _Units(document)
    loose: list[tuple[str, Value]] = []
    for key, value in document.items():
        if key in ("Time", "Epoch") or key.endswith("Unit"):
            continue
        try:
            if not isinstance(value, Object):
                loose += (
                    (_name(name), convert.any(name, _switch(each)))
                    for name, each in flatten(message, Object({key: value}))
                )
            elif key == "ZbReceived":
                for address, each in value.items():
                    if isinstance(each, Object):
                        each.pop("Device", None)
                        _read_one(message, address, each, convert, time_ns, f"zigbee-{address.lower()}")
            elif key == "ENERGY":
                _read_energy(message, value, time_ns)
            else:
                _read_one(message, key, value, convert, time_ns)
        except PayloadError as error:
            message.reject(error.reason, f"{key[:80]}: {error.text}")
    for key, several in document.repeated.items():
        _read_repeated(message, key, several, convert, time_ns)
    if loose:
        message.add("tasmota", loose, None, time_ns)
    elif not message.outcomes and not any(isinstance(value, Object) for value in document.values()):
        raise PayloadError("no_fields", "the message has no sensor")


def read_state(message: Message, text: str) -> None:
    """Read the measured and switched values of ``STATE``. Raises PayloadError."""
    document = _object(text)
    fields: list[tuple[str, Value]] = []
    for key, value in flatten(message, document):
        if key in _STATE:
            try:
                fields.append((_STATE[key], None if value is None else number(value)))
            except PayloadError as error:
                message.reject(error.reason, f"{key}: {error.text}")
        elif _POWER.match(key):
            fields.append((f"{key.lower()}_on", _switch(value)))
    if fields or not message.rejected:
        message.add("tasmota", fields, None, _time(document))


def read_information(message: Message, text: str) -> None:
    """Read the firmware version in ``INFO1``, which a device sends when it starts. Raises PayloadError."""
    information = _object(text)
    inner = information.get("Info1", information)
    version = inner.get("Version") if isinstance(inner, Object) else None
    if not isinstance(version, str):
        raise PayloadError("no_fields", "the message has no firmware version")
    add_status(message, "online", {"firmware": version})


def _object(text: str) -> Object:
    document = read_json(text)
    if not isinstance(document, Object):
        raise PayloadError("wrong_type", f"Tasmota sends JSON objects; this is {str(document)[:80]!r}")
    return document


def _time(document: Object) -> int | None:
    """The device's time, or None for the time of arrival.

    By default Tasmota sends its local time without a zone, which cannot be converted. The command ``Time 2`` adds the
    key Epoch, and ``Time 3`` sends the time as a number.
    """
    for key in ("Epoch", "Time"):
        value = document.get(key)
        if isinstance(value, (int, float)):
            return read_time(value)
    text = document.get("Time")
    try:
        return read_time(text) if isinstance(text, str) else None
    except PayloadError:
        return None


def _name(key: str) -> str:
    """The field for a Tasmota name: ``eCO2`` becomes ``e_co2``, ``CarbonDioxide`` becomes ``carbon_dioxide``."""
    return _WORDS.sub("_", key[:_MAX_NAME]).strip("_").lower()


def _switch(value: Value) -> Value:
    return value == "ON" if value in ("ON", "OFF") else value


class _Units:
    """Conversion from the units that a device declares; the defaults are Celsius and hPa."""

    def __init__(self, document: Object) -> None:
        self._temperature = document.get("TempUnit", "C")
        self._pressure = document.get("PressureUnit", "hPa")

    def any(self, name: str, value: Value) -> Value:
        """Convert a value to Celsius if its name is that of a temperature."""
        if self._temperature == "C" or type(value) is not float:
            return value
        words = (word.rstrip("0123456789") for word in _name(name).replace("dew_point", "dewpoint").split("_"))
        return self.celsius(value) if any(word in _TEMPERATURE_WORDS for word in words) else value

    @property
    def unit(self) -> list[tuple[str, Value]]:
        """The unit of temperatures if it is not Celsius, because unknown values may be temperatures, too."""
        return [] if self._temperature == "C" else [("temp_unit", str(self._temperature)[:20])]

    def celsius(self, value: float) -> float:
        if self._temperature == "F":
            return (value - 32.0) / 1.8
        if self._temperature != "C":
            raise PayloadError("unknown_unit", f"a temperature in {str(self._temperature)[:20]!r}; known are C and F")
        return value

    def hpa(self, value: float) -> float:
        factor = _HPA.get(str(self._pressure))
        if factor is None:
            raise PayloadError(
                "unknown_unit", f"a pressure in {str(self._pressure)[:20]!r}; known are {', '.join(_HPA)}"
            )
        return value * factor


def _read_repeated(message: Message, key: str, several: list[object], units: _Units, time_ns: int | None) -> None:
    """Add sensors that share one key but have different identities, such as thermometers without aliases."""
    sensors = [each for each in several if isinstance(each, Object) and isinstance(each.get("Id"), str)]
    if len({str(each["Id"]).lower() for each in sensors}) < len(several):
        message.reject("duplicate_key", f"the key {key[:80]!r} has several values in one object")
        return
    for each in sensors:
        try:
            _read_one(message, key, each, units, time_ns)
        except PayloadError as error:
            message.reject(error.reason, f"{key[:80]}: {error.text}")


def _read_one(
    message: Message, key: str, found: Object, units: _Units, time_ns: int | None, sensor: str | None = None
) -> None:
    """Add one sensor: quantities of `environment` go there, the others to `tasmota`, all with the tag `sensor`."""
    values = dict(flatten(message, found))
    identity = values.pop("Id", None)
    if sensor is None:
        sensor = key.lower()
        if isinstance(identity, str) and identity:
            # DS18B20-1 and -2 may swap when a third is wired; the serial number of a chip does not change. Only the
            # drivers of these thermometers omit the name.
            sensor = f"{sensor.partition('-')[0] or 'ds18b20'}-{identity.lower()}"
    tags = {"sensor": sensor[:64] or "unnamed"}
    environment: list[tuple[str, Value]] = []
    others: list[tuple[str, Value]] = []
    for name, value in values.items():
        try:
            if key in _CHIPS and name == "Temperature":
                others.append(("chip_celsius", None if value is None else units.celsius(number(value))))
            elif name in _TEMPERATURES:
                environment.append((_TEMPERATURES[name], None if value is None else units.celsius(number(value))))
            elif name == "Humidity":
                environment.append(("humidity_raw_percent", None if value is None else number(value)))
            elif name == "Pressure":
                environment.append(("pressure_hpa", None if value is None else units.hpa(number(value))))
            elif name == "SeaPressure":
                others.append(("sea_pressure_hpa", None if value is None else units.hpa(number(value))))
            else:
                others.append((_name(name), units.any(name, _switch(value))))
        except PayloadError as error:
            message.reject(error.reason, f"{key[:80]} {name[:80]}: {error.text}")
    if environment:
        message.add("environment", environment, tags, time_ns)
    if others:
        message.add("tasmota", others if key in _CHIPS else [*others, *units.unit], tags, time_ns)


def _read_energy(message: Message, found: Object, time_ns: int | None) -> None:
    """Add the meter. With several channels, a value is a list, and each channel becomes a metric with a tag.

    A list of tariffs is not a list of channels: each tariff becomes a field.
    """
    whole: list[tuple[str, Value]] = []
    channels: dict[int, list[tuple[str, Value]]] = {}
    for key in found.repeated:
        message.reject("duplicate_key", f"ENERGY {key[:80]} has several values")
    for key, value in found.items():
        if key == "TotalStartTime" or value is None:
            continue
        field = _ENERGY.get(key, _name(key))
        try:
            if isinstance(value, list) and key.endswith("Tariff"):
                whole += [(f"{field}_{tariff}", number(each)) for tariff, each in enumerate(value[:16], 1)]
            elif isinstance(value, list):
                for channel, each in enumerate(value[:16], 1):
                    channels.setdefault(channel, []).append((field, number(each)))
            else:
                whole.append((field, number(value)))
        except PayloadError as error:
            message.reject(error.reason, f"ENERGY {key[:80]}: {error.text}")
    if whole:
        message.add("energy", whole, None, time_ns)
    for channel, fields in channels.items():
        message.add("energy", fields, {"channel": str(channel)}, time_ns)
