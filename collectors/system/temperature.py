"""``temp``: temperatures from the sensors of hwmon, or from the thermal zones if there are none."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from collectors.core.errors import ASLEEP
from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import read_optional, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping

    from collectors.core.slow_reads import Answer, Read

MEASUREMENT = Measurement(
    "temp",
    "Temperatures that the kernel reports.",
    (
        Tag("sensor", "The sensor's name and label, such as cpu_thermal or nvme_composite."),
        Tag(
            "device",
            "Distinguishes sensors of one name, such as nvme0, a 1-Wire id or 1-0048-temp2; absent from others.",
            optional=True,
        ),
    ),
    (Field("temp", float, "celsius", "The temperature.", -273.15, 1000),),
)

#: Types of a processor's thermal zone, the only source on a kernel without CONFIG_THERMAL_HWMON.
_CPU_ZONES = frozenset({"cpu-thermal", "cpu_thermal", "soc-thermal", "bcm2835_thermal"})


#: The kernel's chip names for those zones.
_CPU_CHIPS = frozenset({kind.replace("-", "_") for kind in _CPU_ZONES})


#: A DS18B20 that has lost its supply meanwhile gives this until it has converted (datasheet, power-on reset value).
_ONE_WIRE, _POWER_ON = "w1_slave_temp", 85.0

#: A reading so close to the one before, in degrees, is a measured one.
_NEAR = 10.0


class Sensor(NamedTuple):
    """One sensor.

    Args:
        name: its driver's name, with its label if it has one.
        path: the file with its temperature.
        device: distinguishes sensors of the same name; empty if there is no device.
    """

    name: str
    path: str
    device: str


def _list(folder: str, prefix: str, suffix: str = "") -> list[str]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if name.startswith(prefix) and name.endswith(suffix))


def hwmon_sensors(sys_root: str) -> Iterator[Sensor]:
    """Each sensor of a chip (kernel: Documentation/hwmon/sysfs-interface.rst).

    Old drivers have their files one folder deeper, which is read only if no other driver has any.
    """
    base = f"{sys_root}/class/hwmon"
    folders = [f"{base}/{name}" for name in _list(base, "hwmon")]
    found = [(folder, file) for folder in folders for file in _list(folder, "temp", "_input")]
    if not found:
        devices = [f"{folder}/device" for folder in folders]
        found = [(folder, file) for folder in devices for file in _list(folder, "temp", "_input")]
    for folder, file in found:
        name = read_optional(f"{folder}/name") or os.path.basename(os.path.realpath(f"{folder}/device"))
        label = read_optional(f"{folder}/{file.removesuffix('_input')}_label")
        if label:
            name = f"{name}_{label.lower().replace(' ', '_')}"
        yield Sensor(name, f"{folder}/{file}", "")


def _device(folder: str) -> str:
    """The device of a chip by a name that survives a restart: its serial number, its address on the bus, or its number.

    The kernel numbers chips and NVMe disks in order of discovery, which varies.
    """
    # With an old driver, the folder itself is the device.
    device = folder if os.path.basename(folder) == "device" else f"{folder}/device"
    serial = read_optional(f"{device}/serial")
    if serial:
        return serial
    return os.path.basename(os.path.realpath(device if os.path.isdir(device) else folder))


def zone_sensors(sys_root: str) -> Iterator[Sensor]:
    """Each thermal zone (kernel: Documentation/driver-api/thermal)."""
    base = f"{sys_root}/class/thermal"
    for zone in _list(base, "thermal_zone"):
        kind = read_optional(f"{base}/{zone}/type")
        if kind:
            yield Sensor(kind, f"{base}/{zone}/temp", "")


def find_sensors(sys_root: str) -> list[Sensor]:
    """All sensors of chips, and the processor's thermal zone if no chip covers it; all zones if there is no chip."""
    sensors = list(hwmon_sensors(sys_root))
    names = {sensor.name for sensor in sensors}
    if not sensors:
        sensors += zone_sensors(sys_root)
    elif not names & _CPU_CHIPS:
        sensors += (zone for zone in zone_sensors(sys_root) if zone.name in _CPU_ZONES)
    return sensors if len(names) == len(sensors) else _distinguish(sensors)


def _distinguish(sensors: list[Sensor]) -> list[Sensor]:
    """Add the device to sensors with equal names, and more details if that is equal as well.

    Cheap disks have equal serial numbers: their bus address is added then, and the channel of a chip's sensors.
    """
    names = Counter(sensor.name for sensor in sensors)
    told = [
        sensor._replace(device=_device(os.path.dirname(sensor.path))) if names[sensor.name] > 1 else sensor
        for sensor in sensors
    ]
    for more in (_channel, _place):
        counts = Counter((sensor.name, sensor.device) for sensor in told)
        told = [
            sensor._replace(device=f"{sensor.device}-{more(sensor.path)}")
            if sensor.device and counts[sensor.name, sensor.device] > 1
            else sensor
            for sensor in told
        ]
    return told


def _channel(path: str) -> str:
    return os.path.basename(path).removesuffix("_input")


def _place(path: str) -> str:
    """The address of the device on its bus, such as 0000:01:00.0; the chip's number if it has no device."""
    folder = os.path.dirname(path)
    device = os.path.realpath(f"{folder}/device")
    if not os.path.isdir(device):
        return os.path.basename(folder)
    parent = os.path.realpath(f"{device}/device")
    return os.path.basename(parent if os.path.isdir(parent) else device)


def read_millidegrees(path: str) -> float | None:
    """Degrees Celsius, or None from a sleeping sensor, or one whose driver reports a fault: its value is invalid then.

    Raises OSError if the sensor does not respond, ValueError if the answer is not a number.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            content = os.read(descriptor, 64)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in ASLEEP:
            return None
        raise OSError(error.errno, error.strerror, path) from None
    if path.endswith("_input") and read_optional(f"{path.removesuffix('_input')}_fault") == "1":
        return None
    try:
        return int(content) / 1000
    except ValueError:
        raise ValueError(f"{path} has {content!r} where thousandths of a degree were expected") from None


class Temp:
    """Reads ``temp``.

    Args:
        sys_root: where sysfs is.
        patience: seconds after which a sensor counts as not responding.
        error: receives a sentence for each failing sensor.
        note: receives a sentence for each sensor with an invalid value.
    """

    name = MEASUREMENT.name

    def __init__(
        self, sys_root: str, patience: float, error: Callable[[str], None], note: Callable[[str], None]
    ) -> None:
        self._root = sys_root
        self.patience = patience
        self._error = error
        self._note = note
        self._series: dict[Sensor, Series] = {}
        self._last: dict[Sensor, float] = {}

    def _has_restarted(self, sensor: Sensor, degrees: float) -> bool:
        """Whether a reading is the one of a 1-Wire sensor that has just started."""
        if not sensor.name.startswith(_ONE_WIRE):
            return False
        last = self._last.get(sensor)
        if degrees == _POWER_ON and (last is None or abs(last - degrees) > _NEAR):
            return True
        self._last[sensor] = degrees
        return False

    def reads(self) -> dict[Hashable, Read]:
        """A read of each sensor. No sensors at all is not an error: a virtual machine has none."""
        return {sensor: partial(read_millidegrees, sensor.path) for sensor in find_sensors(self._root)}

    def metrics(self, answers: Mapping[Hashable, Answer], late: Collection[Hashable], now: int) -> Iterator[Metric]:
        """A sample of each sensor that has responded.

        Args:
            late: sensors without an answer in time.
        """
        for sensor in late:
            assert isinstance(sensor, Sensor)
            self._error(f"temp: {sensor.path} does not answer, and has no sample in this batch")
        for sensor, answer in answers.items():
            assert isinstance(sensor, Sensor)
            if isinstance(answer.value, Exception):
                self._error(f"temp: {sentence(answer.value)}")
            elif isinstance(answer.value, float) and not MEASUREMENT.field("temp").admits(answer.value):
                # The firmware of a computer without that sensor reports 0 kelvins or less.
                self._note(
                    f"temp: {sensor.path} gives {answer.value:g} degrees, which is no temperature; it is left out"
                )
            elif isinstance(answer.value, float) and self._has_restarted(sensor, answer.value):
                self._error(
                    f"temp: {sensor.path} gives 85 degrees, as after a loss of its supply; the value is left out"
                )
            elif isinstance(answer.value, float):
                series = self._series.get(sensor)
                if series is None:
                    tags = {"sensor": sensor.name, "device": sensor.device}
                    series = self._series[sensor] = Series("temp", tags)
                yield Metric(series, {"temp": answer.value}, answer.time(now))
