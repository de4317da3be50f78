"""``temp``: temperatures from the sensors of hwmon, or from the thermal zones where there are none."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import read_text, sentence

MEASUREMENT = Measurement(
    "temp",
    "Temperatures that the kernel reports.",
    (Tag("sensor", "The sensor's name and label, such as cpu_thermal or nvme_composite."),),
    (Field("temp", float, "celsius", "The temperature.", -273.15, 1000),),
)

#: Errors of a driver whose device sleeps or is off: there is no reading, and no fault.
_ASLEEP = frozenset({errno.EAGAIN, errno.ENODATA, errno.ENXIO, errno.ENODEV})


def _list(folder: str, prefix: str, suffix: str = "") -> list[str]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if name.startswith(prefix) and name.endswith(suffix))


def hwmon_sensors(sys_root: str) -> Iterator[tuple[str, str]]:
    """Each sensor's name and the file with its temperature (kernel: Documentation/hwmon/sysfs-interface.rst).

    Old drivers have their files one folder further down, which is read only where no other driver has any.
    """
    base = f"{sys_root}/class/hwmon"
    folders = [f"{base}/{name}" for name in _list(base, "hwmon")]
    found = [(folder, file) for folder in folders for file in _list(folder, "temp", "_input")]
    if not found:
        devices = [f"{folder}/device" for folder in folders]
        found = [(folder, file) for folder in devices for file in _list(folder, "temp", "_input")]
    for folder, file in found:
        name = read_text(f"{folder}/name") or os.path.basename(os.path.realpath(f"{folder}/device"))
        label = read_text(f"{folder}/{file.removesuffix('_input')}_label")
        yield f"{name}_{label.lower().replace(' ', '_')}" if label else name, f"{folder}/{file}"


def zone_sensors(sys_root: str) -> Iterator[tuple[str, str]]:
    """Each thermal zone's type and the file with its temperature (kernel: Documentation/driver-api/thermal)."""
    base = f"{sys_root}/class/thermal"
    for zone in _list(base, "thermal_zone"):
        kind = read_text(f"{base}/{zone}/type")
        if kind:
            yield kind, f"{base}/{zone}/temp"


def read_millidegrees(path: str) -> float | None:
    """Degrees Celsius, or None from a sensor that sleeps; never waits for one to wake.

    Raises OSError where the sensor does not answer, ValueError where the answer is not a number.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            content = os.read(descriptor, 64)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _ASLEEP:
            return None
        raise OSError(error.errno, error.strerror, path) from None
    try:
        return int(content) / 1000
    except ValueError:
        raise ValueError(f"{path} has {content!r} where thousandths of a degree were expected") from None


class Temp:
    """Reads ``temp``."""

    name = MEASUREMENT.name
    compares = False

    def __init__(self, sys_root: str, error: Callable[[str], None]) -> None:
        self._root = sys_root
        self._error = error
        self._series: dict[str, Series] = {}

    def read(self, now: int) -> list[Metric]:
        """One sample of each sensor that answers. None at all is no error: a virtual machine has none."""
        return self._sample(hwmon_sensors(self._root), now) or self._sample(zone_sensors(self._root), now)

    def _sample(self, sensors: Iterator[tuple[str, str]], now: int) -> list[Metric]:
        metrics = []
        for name, path in sensors:
            try:
                value = read_millidegrees(path)
            except (OSError, ValueError) as error:
                self._error(f"temp: {sentence(error)}")
                continue
            if value is None:
                continue
            series = self._series.get(name)
            if series is None:
                series = self._series[name] = Series("temp", {"sensor": name})
            metrics.append(Metric(series, {"temp": value}, now))
        return metrics
