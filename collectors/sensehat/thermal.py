"""The CPU's temperature, from the thermal zones of sysfs.

https://docs.kernel.org/driver-api/thermal/sysfs-api.html: ``type`` names a zone, ``temp`` is in thousandths
of a degree Celsius.
"""

from __future__ import annotations

import os

#: Types of the CPU's zone: on a Pi with mainline and with Raspberry Pi kernels, and on a PC.
_CPU_TYPES = ("cpu-thermal", "cpu_thermal", "bcm2835_thermal", "soc-thermal", "x86_pkg_temp")


def cpu_zone(sys_root: str) -> str | None:
    """The folder of the CPU's zone; None if there is none."""
    folder = os.path.join(sys_root, "class", "thermal")
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith("thermal_zone"))
    except FileNotFoundError:
        return None
    found: dict[str, str] = {}
    for name in names:
        path = os.path.join(folder, name)
        with open(os.path.join(path, "type"), encoding="ascii", errors="replace") as file:
            found.setdefault(file.read().strip(), path)
    return next((found[kind] for kind in _CPU_TYPES if kind in found), None)


def read_celsius(zone: str) -> float:
    """The temperature of a zone. Raises OSError or ValueError."""
    with open(os.path.join(zone, "temp"), encoding="ascii") as file:
        return int(file.read()) / 1000
