"""Read the board's files into metrics."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from collectors.core.api import PAUSE
from collectors.core.errors import ASLEEP
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Measurement
from collectors.core.slow_reads import Answer, SlowReads
from collectors.pi import PI, PI_RAIL, SD_CARD, WIFI, readings
from collectors.pi.firmware import TIMEOUT_SECONDS, Answers, Firmware

T = TypeVar("T")


def read_text(path: str) -> str:
    """A small file of the kernel. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 16384).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def bit_rate(interface: str) -> int | None:
    """Transmit bit rate of a wireless interface in bits per second; None if its driver reports none.

    SIOCGIWRATE of the wireless extensions needs neither privileges nor a process; its successor nl80211 would need a
    netlink library for this one number.
    """
    import fcntl
    import socket
    import struct

    request = struct.pack("16s16x", interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            answer = fcntl.ioctl(channel, 0x8B21, request)
        except OSError:
            return None  # not connected, or a driver without wireless extensions
    rate: int = struct.unpack_from("i", answer, 16)[0]
    return rate if rate > 0 else None


class Board:
    """Finds all files again for each batch, because modules and interfaces come and go.

    Args:
        model: the tag of the board's own measurements.
        sys_root, proc_root: the paths of sysfs and procfs.
        report: receives a sentence for each failed reading.
        firmware: provides the values that the kernel lacks.
        reads: runs the queries of the firmware, which may hang.
        once: whether there is no later batch for a late answer.
        bit_rate: returns the bit rate of an interface, or None.
        read: returns a file's text, or raises OSError.
    """

    def __init__(
        self,
        model: str,
        *,
        sys_root: str,
        proc_root: str,
        report: Callable[[str], None],
        firmware: Firmware,
        reads: SlowReads,
        once: bool,
        bit_rate: Callable[[str], int | None],
        read: Callable[[str], str] = read_text,
    ) -> None:
        self._model = model
        self._series = Series(PI.name, {"model": model})
        self._sys = sys_root
        self._proc = proc_root
        self._report = report
        self._firmware = firmware
        self._reads = reads
        self._once = once
        self._outstanding = False
        self._devices: dict[str, str] = {}
        self._found: list[tuple[str, str, list[str]]] = []
        self._bit_rate = bit_rate
        self._read_text = read

    def collect(self) -> Iterator[Metric]:
        """The current metrics of the board, its rails, its cards and its wireless interfaces."""
        fields = self._board()
        fans = self._fans()
        if fans:
            fields |= fans.pop(0)[1]
        asked = self._firmware.is_due()
        if asked:
            self._reads.request({"firmware": partial(self._firmware.answers, volts_known="core_volts" in fields)})
        if fields:
            yield Metric(self._series, fields)
        for name, more in fans:
            yield Metric(Series(PI.name, {"model": self._model, "fan": name}), more)
        yield from self._cards()
        yield from self._wireless()
        if asked and not self._reads.wait(_QUICK_SECONDS, slow=self._once):
            yield PAUSE
            self._reads.wait(_PATIENCE_SECONDS if self._once else _WAIT_SECONDS, slow=self._once)
        if asked or self._outstanding:
            for answer in self._reads.take().values():
                yield from self._answers(answer, fields)
            waiting = self._reads.waiting()
            self._outstanding = bool(waiting)
            if waiting and (self._once or max(waiting.values()) >= _PATIENCE_SECONDS):
                self._report("vcgencmd does not answer, and the values of the firmware are missing")

    def close(self) -> None:
        """End the idle thread of the queries."""
        self._reads.close()

    # --- reading --------------------------------------------------------------------------------

    def _read(self, path: str, parse: Callable[[str], T]) -> T | None:
        """The parsed content of a file; None after an error, which is reported with the file's name."""
        try:
            text = self._read_text(path)
        except OSError as error:
            if error.errno not in ASLEEP:
                self._report(f"{path} cannot be read: {error.strerror or error}")
            return None
        try:
            return parse(text)
        except ValueError:
            self._report(f"{path} holds {' '.join(text.split())[:80]!r}, which is no reading")
            return None

    def _names(self, folder: str) -> list[str]:
        """The sorted names in a folder; empty if there is no such folder, because boards differ."""
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._report(f"{folder} cannot be listed: {error.strerror or error}")
            return []

    def _take(
        self,
        fields: dict[str, FieldValue],
        measurement: Measurement,
        name: str,
        path: str,
        parse: Callable[[str], FieldValue | None],
    ) -> None:
        """Read one field from a file; None from the parser means no data."""
        value = self._read(path, parse)
        if value is not None:
            self._put(fields, measurement, name, value, path)

    def _put(
        self, fields: dict[str, FieldValue], measurement: Measurement, name: str, value: FieldValue, source: str
    ) -> None:
        """Store a value that its declaration admits, and report any other."""
        field = measurement.field(name)
        if field.admits(value):
            fields[name] = value
        else:
            self._report(f"{source} gives {name} {value}; it is valid from {field.low} to {field.high}")

    # --- the board ------------------------------------------------------------------------------

    def _chips(self) -> Iterator[tuple[str, str, list[str]]]:
        """Each hwmon chip: its driver's name for it, its folder and its files."""
        hwmon = f"{self._sys}/class/hwmon"
        for entry in self._names(hwmon):
            folder = f"{hwmon}/{entry}"
            name = self._read(f"{folder}/name", str.strip)
            if name is not None:
                yield name, folder, self._names(folder)

    def _board(self) -> dict[str, FieldValue]:
        fields: dict[str, FieldValue] = {}
        self._found = list(self._chips())
        for chip, folder, present in self._found:
            if chip in _CHIPS:
                _CHIPS[chip](self, folder, present, fields)
        if not any(chip in _PROCESSORS for chip, _, _ in self._found):
            self._zone(fields)
        cpufreq = f"{self._sys}/devices/system/cpu/cpu0/cpufreq"
        present = self._names(cpufreq)
        for name, file in (("cpu_clock_hertz", "scaling_cur_freq"), ("cpu_clock_max_hertz", "cpuinfo_max_freq")):
            if file in present:
                self._take(fields, PI, name, f"{cpufreq}/{file}", lambda text: readings.whole_number(text) * 1000)
        return fields

    def _zone(self, fields: dict[str, FieldValue]) -> None:
        """The processor's temperature from its thermal zone, on a kernel without an hwmon chip for it."""
        from collectors.sensehat.thermal import cpu_zone

        try:
            zone = cpu_zone(self._sys)
        except OSError as error:
            self._report(f"the thermal zones cannot be read: {error}")
            return
        if zone is not None:
            self._take(fields, PI, "cpu_celsius", f"{zone}/temp", _thousandths)

    def _supply(self, folder: str, present: list[str], fields: dict[str, FieldValue]) -> None:
        """``rpi_volt``: the alarm of the supply, which holds for the two seconds between the kernel's polls.

        A newer kernel also has voltages, each with a label (drivers/hwmon/raspberrypi-hwmon.c). get_throttled in the
        same folder has the firmware's latest answer. Its upper bits are not used, because the kernel clears them in the
        firmware at each poll.
        """
        throttled = f"{folder}/device/../get_throttled"
        if os.path.exists(throttled):
            bits = self._read(throttled, lambda text: int(text, 16))
            if bits is not None:
                fields.update(readings.throttled_now(bits))
        if "in0_lcrit_alarm" in present:
            self._take(fields, PI, "under_voltage", f"{folder}/in0_lcrit_alarm", readings.flag)
        for label in present:
            if label.endswith("_label") and self._read(f"{folder}/{label}", str.strip) == "core":
                file = f"{folder}/{label.removesuffix('_label')}_input"
                self._take(fields, PI, "core_volts", file, _thousandths)

    def _processor(self, folder: str, present: list[str], fields: dict[str, FieldValue]) -> None:
        if "temp1_input" in present:
            self._take(fields, PI, "cpu_celsius", f"{folder}/temp1_input", _thousandths)

    def _rp1(self, folder: str, present: list[str], fields: dict[str, FieldValue]) -> None:
        """``rp1_adc``: its temperature. Its four voltages have no labels."""
        if "temp1_input" in present:
            self._take(fields, PI, "rp1_celsius", f"{folder}/temp1_input", _thousandths)

    def _fans(self) -> list[tuple[str, dict[str, FieldValue]]]:
        """Each fan with a reading, whatever its driver: the board's own connector first, with a stable name."""
        fans = []
        for chip, folder, present in self._found:
            channels = {
                match[1] or match[2]
                for file in present
                if file.startswith(("fan", "pwm")) and (match := _FAN.fullmatch(file))
            }
            if not channels:
                continue
            device = self._devices.get(folder)
            if device is None:
                device = os.path.basename(os.path.realpath(f"{folder}/device" if "device" in present else folder))
                self._devices[folder] = device
            for channel in sorted(channels):
                fields: dict[str, FieldValue] = {}
                if f"fan{channel}_input" in present:
                    self._take(fields, PI, "fan_rpm", f"{folder}/fan{channel}_input", readings.whole_number)
                if f"pwm{channel}" in present:
                    # hwmon controls a fan with values from 0 to 255.
                    self._take(fields, PI, "fan_percent", f"{folder}/pwm{channel}", lambda text: int(text) * 100 / 255)
                if fields:
                    fans.append((chip not in _OWN_FANS, f"{device}-fan{channel}", fields))
        fans.sort(key=lambda fan: fan[:2])
        return [(name, fields) for _, name, fields in fans]

    def _answers(self, answer: Answer, known: Mapping[str, FieldValue]) -> Iterator[Metric]:
        """The firmware's answers, with their rails.

        Args:
            known: fields of the board that the kernel provides.
        """
        said = answer.value
        if not isinstance(said, Answers):
            self._report(f"vcgencmd failed: {said}")
            return
        for error in said.errors:
            self._report(error)
        # A slow answer has its own time.
        time_ns = answer.time(0) or None
        fields: dict[str, FieldValue] = {}
        if said.bits is not None:
            fields.update(readings.throttled_since_boot(said.bits))
            fields.update((name, held) for name, held in readings.throttled_now(said.bits).items() if name not in known)
        if said.core_clock_hertz is not None:
            self._put(fields, PI, "core_clock_hertz", round(said.core_clock_hertz), "vcgencmd measure_clock core")
        if said.core_volts is not None:
            self._put(fields, PI, "core_volts", said.core_volts, "vcgencmd measure_volts core")
        metrics: list[Metric] = []
        total: float | None = None
        for rail in said.rails:
            if rail.name in _BOARD_RAILS and rail.volts is not None:
                self._put(fields, PI, _BOARD_RAILS[rail.name], rail.volts, "vcgencmd pmic_read_adc")
                continue
            kept: dict[str, FieldValue] = {}
            for name, value in (("volts", rail.volts), ("amperes", rail.amperes)):
                if value is not None:
                    self._put(kept, PI_RAIL, name, value, f"vcgencmd pmic_read_adc {rail.name}")
            if len(kept) == 2:
                watts = (rail.volts or 0.0) * (rail.amperes or 0.0)
                kept["watts"] = watts
                total = (total or 0.0) + watts
            if kept:
                metrics.append(Metric(Series(PI_RAIL.name, {"model": self._model, "rail": rail.name}), kept, time_ns))
        if total is not None:
            self._put(fields, PI, "rails_watts", total, "vcgencmd pmic_read_adc")
        if fields:
            yield Metric(self._series, fields, time_ns)
        yield from metrics

    # --- cards and Wi-Fi ------------------------------------------------------------------------

    def _cards(self) -> Iterator[Metric]:
        block = f"{self._sys}/block"
        for name in self._names(block):
            # mmcblk0boot0 and mmcblk0rpmb are parts of the eMMC in their names.
            if not (name.startswith("mmcblk") and name.removeprefix("mmcblk").isdecimal()):
                continue
            card = f"{block}/{name}/device"
            present = self._names(card)
            tags = {"device": name}
            for tag in ("type", "name"):
                if tag in present:
                    tags[tag] = self._read(f"{card}/{tag}", str.strip) or ""
            fields: dict[str, FieldValue] = {}
            self._take(fields, SD_CARD, "written_bytes", f"{block}/{name}/stat", readings.bytes_written)
            if "life_time" in present:
                self._take(fields, SD_CARD, "life_used_percent", f"{card}/life_time", readings.life_used_percent)
            if "pre_eol_info" in present:
                self._take(fields, SD_CARD, "pre_eol", f"{card}/pre_eol_info", readings.pre_eol)
            if fields:
                yield Metric(Series(SD_CARD.name, tags), fields)

    def _wireless(self) -> Iterator[Metric]:
        path = f"{self._proc}/net/wireless"
        if not os.path.exists(path):
            return

        def refuse(line: str) -> None:
            self._report(f"{path} holds {' '.join(line.split())[:80]!r}, which is no reading")

        for link in self._read(path, lambda text: readings.wireless(text, refuse)) or []:
            fields: dict[str, FieldValue] = {}
            if link.signal_dbm is not None:
                fields["signal_dbm"] = link.signal_dbm
            self._put(fields, WIFI, "quality", link.quality, path)
            fields["quality_max"] = link.quality_max
            rate = self._bit_rate(link.interface)
            if rate is not None:
                fields["bit_rate_bits_per_second"] = rate
            yield Metric(Series(WIFI.name, {"interface": link.interface}), fields)


def _thousandths(text: str) -> float:
    """A value that hwmon reports in thousandths of its unit.

    https://docs.kernel.org/hwmon/sysfs-interface.html
    """
    return readings.whole_number(text) / 1000


_Reader = Callable[[Board, str, list[str], dict[str, FieldValue]], None]

#: The reader of each hwmon device, by its driver's name for it.
_CHIPS: dict[str | None, _Reader] = {
    "rpi_volt": Board._supply,
    "cpu_thermal": Board._processor,
    "bcm2835_thermal": Board._processor,
    "rp1_adc": Board._rp1,
}

#: Those that belong to the processor.
_PROCESSORS = ("cpu_thermal", "bcm2835_thermal")

#: Drivers of a fan at the board's own connector, or at one of its pins.
_OWN_FANS = ("pwmfan", "gpio_fan")

#: The files of a fan: its speed, and its PWM value.
_FAN = re.compile(r"fan(\d+)_input|pwm(\d+)")

#: Seconds that a batch waits for the firmware before it emits the rest.
_QUICK_SECONDS = 0.1

#: Seconds that a batch then waits if a later batch can include the answer.
_WAIT_SECONDS = 5.0

#: Seconds after which vcgencmd counts as not responding; it is killed before, which may fail as well.
_PATIENCE_SECONDS = 2 * TIMEOUT_SECONDS

#: Rails without a current, which are fields of the board.
_BOARD_RAILS = {"ext5v": "input_volts", "batt": "battery_volts"}
