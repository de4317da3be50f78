"""The hwmon chips: their measurements, and the fans that they control."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue
from collectors.pi import PI, readings
from collectors.pi.files import Files

#: The processor's chips.
_PROCESSORS = ("cpu_thermal", "bcm2835_thermal")

#: Drivers of a fan at the board's own connector, or at one of its pins.
_OWN_FANS = ("pwmfan", "gpio_fan")

#: The files of a fan: its speed, and its PWM value.
_FAN = re.compile(r"fan(\d+)_input|pwm(\d+)")


class Chip(NamedTuple):
    """One chip: its driver's name for it, its folder and its files."""

    name: str
    folder: str
    present: tuple[str, ...]


class Reading(NamedTuple):
    """The readings of a chip.

    Args:
        fields: fields of the board.
        fans: fields of each fan, by channel.
        errors: a sentence for each failed reading.
    """

    fields: Mapping[str, FieldValue]
    fans: Mapping[str, Mapping[str, FieldValue]]
    errors: Sequence[str]


def find(sys_root: str, files: Files) -> list[Chip]:
    """All chips, in the kernel's order."""
    hwmon = f"{sys_root}/class/hwmon"
    chips = []
    for entry in files.names(hwmon):
        folder = f"{hwmon}/{entry}"
        name = files.read(f"{folder}/name", str.strip)
        if name is not None:
            chips.append(Chip(name, folder, tuple(files.names(folder))))
    return chips


def is_quick(chip: Chip) -> bool:
    """Whether a chip is the board's own, and responds at once; one on the I2C bus can take seconds, or hang."""
    return chip.name in _READERS or chip.name in _OWN_FANS


def is_read(chip: Chip) -> bool:
    """Whether a chip has any relevant reading."""
    return chip.name in _READERS or bool(_channels(chip))


def has_processor(chips: Sequence[Chip]) -> bool:
    """Whether one of the chips provides the processor's temperature."""
    return any(chip.name in _PROCESSORS for chip in chips)


def has_core_volts(chips: Sequence[Chip], files: Files) -> bool:
    """Whether one of the chips provides the core's voltage."""
    return any(chip.name == "rpi_volt" and _core(chip, files) is not None for chip in chips)


def name_fans(chips: Sequence[Chip]) -> dict[tuple[str, str], str]:
    """The tag of each fan, by its chip's folder and its channel; empty for the board's own fan, or the only one.

    It depends on the existing fans, not on which of them respond.
    """
    found = []
    for chip in chips:
        channels = _channels(chip)
        if channels:
            device = os.path.basename(
                os.path.realpath(f"{chip.folder}/device" if "device" in chip.present else chip.folder)
            )
            found += [(chip.name not in _OWN_FANS, f"{device}-fan{each}", chip.folder, each) for each in channels]
    found.sort()
    return {(folder, channel): name if place else "" for place, (_, name, folder, channel) in enumerate(found)}


def read(chip: Chip, read_text: Callable[[str], str]) -> Reading:
    """Read a chip."""
    errors: list[str] = []
    files = Files(read_text, errors.append)
    fields: dict[str, FieldValue] = {}
    if chip.name in _READERS:
        _READERS[chip.name](chip, files, fields)
    fans = {channel: _fan(chip, channel, files) for channel in _channels(chip)}
    return Reading(fields, fans, errors)


def _channels(chip: Chip) -> list[str]:
    found = (_FAN.fullmatch(file) for file in chip.present if file.startswith(("fan", "pwm")))
    return sorted({match[1] or match[2] for match in found if match})


def _fan(chip: Chip, channel: str, files: Files) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {}
    if f"fan{channel}_input" in chip.present:
        files.take(fields, PI, "fan_rpm", f"{chip.folder}/fan{channel}_input", readings.whole_number)
    if f"pwm{channel}" in chip.present:
        # hwmon controls a fan with values from 0 to 255.
        files.take(fields, PI, "fan_percent", f"{chip.folder}/pwm{channel}", lambda text: int(text) * 100 / 255)
    return fields


def _supply(chip: Chip, files: Files, fields: dict[str, FieldValue]) -> None:
    """``rpi_volt``: the alarm of the supply, which holds for the two seconds between the kernel's polls.

    A newer kernel also has voltages, each with a label (drivers/hwmon/raspberrypi-hwmon.c). get_throttled in the same
    folder has the firmware's latest answer. Its upper bits are not used, because the kernel clears them in the firmware
    at each poll.
    """
    throttled = f"{chip.folder}/device/../get_throttled"
    if os.path.exists(throttled):
        bits = files.read(throttled, lambda text: int(text, 16))
        if bits is not None:
            fields.update(readings.throttled_now(bits))
    if "in0_lcrit_alarm" in chip.present:
        files.take(fields, PI, "under_voltage", f"{chip.folder}/in0_lcrit_alarm", readings.flag)
    core = _core(chip, files)
    if core is not None:
        files.take(fields, PI, "core_volts", core, readings.thousandths)


def _core(chip: Chip, files: Files) -> str | None:
    """The file with the core's voltage."""
    for label in chip.present:
        if label.endswith("_label") and files.read(f"{chip.folder}/{label}", str.strip) == "core":
            return f"{chip.folder}/{label.removesuffix('_label')}_input"
    return None


def _processor(chip: Chip, files: Files, fields: dict[str, FieldValue]) -> None:
    if "temp1_input" in chip.present:
        files.take(fields, PI, "cpu_celsius", f"{chip.folder}/temp1_input", readings.thousandths)


def _rp1(chip: Chip, files: Files, fields: dict[str, FieldValue]) -> None:
    """``rp1_adc``: its temperature. Its four voltages have no labels."""
    if "temp1_input" in chip.present:
        files.take(fields, PI, "rp1_celsius", f"{chip.folder}/temp1_input", readings.thousandths)


#: The reader of each chip with readings of the board.
_READERS: dict[str, Callable[[Chip, Files, dict[str, FieldValue]], None]] = {
    "rpi_volt": _supply,
    **dict.fromkeys(_PROCESSORS, _processor),
    "rp1_adc": _rp1,
}
