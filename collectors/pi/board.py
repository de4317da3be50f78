"""Read the board's files into metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial

from collectors.core.api import PAUSE
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.slow_reads import Answer, Read, SlowReads
from collectors.pi import PI, PI_RAIL, SD_CARD, WIFI, chips, readings
from collectors.pi.chips import Chip, Reading
from collectors.pi.files import Files, read_text
from collectors.pi.firmware import TIMEOUT_SECONDS, Answers, Firmware


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
        note: receives a sentence for each reading that this board does not have.
        firmware: provides the values that the kernel lacks.
        reads: reads chips and queries the firmware, because each may hang.
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
        note: Callable[[str], None],
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
        self._note = note
        self._firmware = firmware
        self._reads = reads
        self._once = once
        self._fans: dict[tuple[str, str], str] = {}
        self._bit_rate = bit_rate
        self._read_text = read
        self._files = Files(read, report)

    def collect(self) -> Iterator[Metric]:
        """The current metrics of the board, its rails, its cards and its wireless interfaces."""
        found = [chip for chip in chips.find(self._sys, self._files) if chips.is_read(chip)]
        self._fans = chips.name_fans(found)
        reads: dict[Hashable, Read] = {
            chip.folder: partial(chips.read, chip, self._read_text) for chip in found if not chips.is_quick(chip)
        }
        others = set(reads)
        if self._firmware.is_due():
            known = chips.has_core_volts(found, self._files)
            reads[_FIRMWARE] = partial(self._firmware.answers, volts_known=known)
        if reads:
            self._reads.request(reads)
        quick = {chip.folder: (chips.read(chip, self._read_text), 0) for chip in found if chips.is_quick(chip)}
        if others:
            self._reads.wait(_QUICK_SECONDS, slow=self._once, keys=others)
        answers = self._reads.take()
        fields, more = self._chips({**quick, **self._readings(answers)}, self._processor(found))
        if fields:
            yield Metric(self._series, fields)
        yield from more
        yield from self._cards()
        yield from self._wireless()
        if self._reads.waiting() and not self._reads.wait(_QUICK_SECONDS, slow=self._once):
            yield PAUSE
            self._reads.wait(_PATIENCE_SECONDS if self._once else _WAIT_SECONDS, slow=self._once)
        answers = {key: answer for key, answer in answers.items() if key == _FIRMWARE} | self._reads.take()
        late, more = self._chips(self._readings(answers), {})
        if late:
            yield Metric(self._series, late)
        yield from more
        if _FIRMWARE in answers:
            yield from self._answers(answers[_FIRMWARE], fields)
        for key, seconds in self._reads.waiting().items():
            if self._once or seconds >= _PATIENCE_SECONDS:
                self._report(
                    "vcgencmd does not answer, and the values of the firmware are missing"
                    if key == _FIRMWARE
                    else f"{key} does not answer, and its readings are missing"
                )

    def close(self) -> None:
        """End the idle thread of the queries."""
        self._reads.close()

    # --- the board ------------------------------------------------------------------------------

    def _processor(self, found: Sequence[Chip]) -> dict[str, FieldValue]:
        """The processor's clocks, and its temperature on a kernel that has it only in a thermal zone."""
        fields: dict[str, FieldValue] = {}
        if not chips.has_processor(found):
            self._zone(fields)
        cpufreq = f"{self._sys}/devices/system/cpu/cpu0/cpufreq"
        present = self._files.names(cpufreq)
        for name, file in (("cpu_clock_hertz", "scaling_cur_freq"), ("cpu_clock_max_hertz", "cpuinfo_max_freq")):
            if file in present:
                self._files.take(fields, PI, name, f"{cpufreq}/{file}", lambda text: readings.whole_number(text) * 1000)
        return fields

    def _zone(self, fields: dict[str, FieldValue]) -> None:
        from collectors.sensehat.thermal import cpu_zone

        try:
            zone = cpu_zone(self._sys)
        except OSError as error:
            self._report(f"the thermal zones cannot be read: {error}")
            return
        if zone is not None:
            self._files.take(fields, PI, "cpu_celsius", f"{zone}/temp", readings.thousandths)

    def _readings(self, answers: Mapping[Hashable, Answer]) -> dict[str, tuple[Reading, int]]:
        """The readings of chips among the answers, each with its time; 0 for the time of the batch."""
        found = {}
        for folder, answer in answers.items():
            if isinstance(answer.value, Reading):
                found[str(folder)] = answer.value, answer.time(0)
            elif folder != _FIRMWARE:
                self._report(f"{folder} cannot be read: {answer.value}")
        return found

    def _chips(
        self, found: Mapping[str, tuple[Reading, int]], more: Mapping[str, FieldValue]
    ) -> tuple[dict[str, FieldValue], list[Metric]]:
        """The board's fields from fast chips, and the samples of further fans and of slow chips.

        Args:
            found: readings by their chip's folder, with their times.
            more: fields that no chip provides.
        """
        fields: dict[str, FieldValue] = {}
        fans: dict[str, Mapping[str, FieldValue]] = {}
        slow: list[Metric] = []
        for folder, (reading, time_ns) in found.items():
            for error in reading.errors:
                self._report(error)
            named = {
                self._fans[folder, channel]: got
                for channel, got in reading.fans.items()
                if got and (folder, channel) in self._fans  # it may have disappeared
            }
            if not time_ns:
                fields.update(reading.fields)
                fans |= named
                continue
            own = {**reading.fields, **named.pop("", {})}
            slow += [Metric(self._series, own, time_ns)] if own else []
            slow += [Metric(self._series_of(name), got, time_ns) for name, got in named.items()]
        fields.update(more)
        fields.update(fans.pop("", {}))
        return fields, [*(Metric(self._series_of(name), fans[name]) for name in sorted(fans)), *slow]

    def _series_of(self, fan: str) -> Series:
        return Series(PI.name, {"model": self._model, "fan": fan})

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
        for query in said.unknown:
            self._note(f"{query} is left out, since this firmware does not know it")
        # A slow answer has its own time.
        time_ns = answer.time(0) or None
        fields: dict[str, FieldValue] = {}
        if said.bits is not None:
            fields.update(readings.throttled_since_boot(said.bits))
            fields.update((name, held) for name, held in readings.throttled_now(said.bits).items() if name not in known)
        if said.core_clock_hertz is not None:
            self._files.put(fields, PI, "core_clock_hertz", round(said.core_clock_hertz), "vcgencmd measure_clock core")
        if said.core_volts is not None:
            self._files.put(fields, PI, "core_volts", said.core_volts, "vcgencmd measure_volts core")
        metrics: list[Metric] = []
        total: float | None = None
        for rail in said.rails:
            if rail.name in _BOARD_RAILS and rail.volts is not None:
                self._files.put(fields, PI, _BOARD_RAILS[rail.name], rail.volts, "vcgencmd pmic_read_adc")
                continue
            kept: dict[str, FieldValue] = {}
            for name, value in (("volts", rail.volts), ("amperes", rail.amperes)):
                if value is not None:
                    self._files.put(kept, PI_RAIL, name, value, f"vcgencmd pmic_read_adc {rail.name}")
            if len(kept) == 2:
                watts = round((rail.volts or 0.0) * (rail.amperes or 0.0), _WATT_DIGITS)
                kept["watts"] = watts
                total = (total or 0.0) + watts
            if kept:
                metrics.append(Metric(Series(PI_RAIL.name, {"model": self._model, "rail": rail.name}), kept, time_ns))
        if total is not None:
            self._files.put(fields, PI, "rails_watts", round(total, _WATT_DIGITS), "vcgencmd pmic_read_adc")
        if fields:
            yield Metric(self._series, fields, time_ns)
        yield from metrics

    # --- cards and Wi-Fi ------------------------------------------------------------------------

    def _cards(self) -> Iterator[Metric]:
        block = f"{self._sys}/block"
        for name in self._files.names(block):
            # mmcblk0boot0 and mmcblk0rpmb are parts of the eMMC in their names.
            if not (name.startswith("mmcblk") and name.removeprefix("mmcblk").isdecimal()):
                continue
            card = f"{block}/{name}/device"
            present = self._files.names(card)
            tags = {"device": name}
            for tag in ("type", "name"):
                if tag in present:
                    tags[tag] = self._files.read(f"{card}/{tag}", str.strip) or ""
            fields: dict[str, FieldValue] = {}
            self._files.take(fields, SD_CARD, "written_bytes", f"{block}/{name}/stat", readings.bytes_written)
            if "life_time" in present:
                self._files.take(fields, SD_CARD, "life_used_percent", f"{card}/life_time", readings.life_used_percent)
            if "pre_eol_info" in present:
                self._files.take(fields, SD_CARD, "pre_eol", f"{card}/pre_eol_info", readings.pre_eol)
            if fields:
                yield Metric(Series(SD_CARD.name, tags), fields)

    def _wireless(self) -> Iterator[Metric]:
        path = f"{self._proc}/net/wireless"
        if not os.path.exists(path):
            return

        def refuse(line: str) -> None:
            self._report(f"{path} holds {' '.join(line.split())[:80]!r}, which is not a reading")

        for link in self._files.read(path, lambda text: readings.wireless(text, refuse)) or []:
            fields: dict[str, FieldValue] = {}
            if link.signal_dbm is not None:
                fields["signal_dbm"] = link.signal_dbm
            self._files.put(fields, WIFI, "quality", link.quality, path)
            fields["quality_max"] = link.quality_max
            rate = self._bit_rate(link.interface)
            if rate is not None:
                fields["bit_rate_bits_per_second"] = rate
            yield Metric(Series(WIFI.name, {"interface": link.interface}), fields)


#: The key of the firmware among the reads; the others are the folders of chips.
_FIRMWARE = "firmware"

#: Seconds that a batch waits for chips, or for the firmware, before it emits the rest.
_QUICK_SECONDS = 0.1

#: Seconds that a batch then waits if a later batch can include the answer.
_WAIT_SECONDS = 5.0

#: Seconds after which a source counts as not responding; vcgencmd is killed before, which may fail as well.
_PATIENCE_SECONDS = 2 * TIMEOUT_SECONDS

#: Decimal places of a power, without the tail of its binary product.
_WATT_DIGITS = 9

#: Rails without a current, which are fields of the board.
_BOARD_RAILS = {"ext5v": "input_volts", "batt": "battery_volts"}
