"""The board's files and the firmware's answers, read into metrics."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Container, Hashable
from pathlib import Path

import pytest

from collectors import pi
from collectors.core.api import PAUSE, Context, NotApplicable, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.settings import Values
from collectors.core.slow_reads import SlowReads
from collectors.pi import board, files, firmware
from tests.golden import CASES
from tests.trees import plant

VCGENCMD = CASES / "pi" / "vcgencmd"
BOARDS = ("pi-3", "zero-2-w", "pi-4", "pi-5")


class Firmware:
    """Respond by the words of the command, and record the commands."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, words: tuple[str, ...]) -> str | None:
        self.asked.append(" ".join(words))
        return self.answers.get("_".join(words))


class Bench:
    """A board on a tree, with the errors that it told of and a clock that the test moves."""

    def __init__(self, tree: Path, ask: firmware.Ask, *, interval: float = 60.0, has_rails: bool = True) -> None:
        self.tree = tree
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.now = 1000.0
        self.firmware = firmware.Firmware(ask, interval=interval, timer=lambda: self.now, has_rails=has_rails)

    def collect(
        self,
        *,
        read: Callable[[str], str] = files.read_text,
        bit_rate: Callable[[str], int | None] = lambda _interface: None,
    ) -> dict[str, list[Metric]]:
        reader = board.Board(
            "Raspberry Pi",
            sys_root=str(self.tree / "sys"),
            proc_root=str(self.tree / "proc"),
            report=self.errors.append,
            note=self.notes.append,
            firmware=self.firmware,
            reads=SlowReads(lambda: 7, time.monotonic),
            once=True,
            bit_rate=bit_rate,
            read=read,
        )
        found: dict[str, list[Metric]] = {}
        for metric in reader.collect():
            if metric is PAUSE:
                continue
            known = found.setdefault(metric.series.measurement, [])
            if known and known[0].series == metric.series:  # as InfluxDB merges the firmware's answers
                known[0] = Metric(metric.series, {**known[0].fields, **metric.fields})
            else:
                known.append(metric)
        reader.close()
        return found


def tree_of(name: str, folder: Path) -> Path:
    return plant((CASES / "pi" / name / "tree.txt").read_text(encoding="utf-8"), folder)


@pytest.fixture
def pi_4(tmp_path: Path) -> Bench:
    return Bench(tree_of("pi-4", tmp_path), Firmware(get_throttled="throttled=0x80008\n"))


def context(folder: Path, errors: list[str], **settings: object) -> Context:
    values = Values({"sys_root": str(folder / "sys"), "proc_root": str(folder / "proc"), **settings})
    return Context(values, ErrorReporter("pi", errors.append), True, "host", lambda: 0)


# --- detection of a Pi --------------------------------------------------------------------------------


def test_a_machine_without_a_device_tree_has_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable):
        pi.create(context(tmp_path, []))


def test_another_maker_s_board_has_nothing_to_read(tmp_path: Path) -> None:
    plant(
        "sys/firmware/devicetree/base/model = Hardkernel ODROID-N2\\0\nsys/firmware/devicetree/base/compatible = x\n",
        tmp_path,
    )
    with pytest.raises(NotApplicable):
        pi.create(context(tmp_path, []))


def test_a_device_tree_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "sys/firmware/devicetree/base/model").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"the model of the board cannot be read: .*; check the rights of .*base$"):
        pi.create(context(tmp_path, []))


@pytest.mark.parametrize("name", BOARDS)
def test_each_board_is_read_without_an_error(name: str, tmp_path: Path) -> None:
    errors: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCGENCMD_ANSWERS", str(tmp_path / "answers"))
        (tmp_path / "answers").mkdir()
        vcgencmd = "no-such-command" if name == "zero-2-w" else str(VCGENCMD)
        collector = pi.create(context(tree_of(name, tmp_path), errors, vcgencmd=vcgencmd))
        metrics = [metric for metric in collector.collect() if metric is not PAUSE]
        collector.close()
    assert errors == []
    assert metrics[0].series.measurement == "pi"
    assert metrics[0].series.tags["model"].startswith("Raspberry Pi ")


def test_only_a_board_with_a_measuring_chip_is_asked_for_its_rails(tmp_path: Path) -> None:
    for name, asked in (("pi-4", False), ("pi-5", True)):
        folder = tmp_path / name
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VCGENCMD_ANSWERS", str(folder / "answers"))
            list(pi.create(context(tree_of(name, folder), [], vcgencmd=str(VCGENCMD))).collect())
        assert ("pmic_read_adc" in (folder / "answers" / "asked").read_text().splitlines()) is asked


# --- the board --------------------------------------------------------------------------------------


def test_the_alarm_of_the_supply_prevails_over_the_older_word_of_the_firmware(pi_4: Bench) -> None:
    alarm = pi_4.tree / "sys/class/hwmon/hwmon1/in0_lcrit_alarm"
    alarm.write_text("1\n")
    (pi_4.tree / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("0\n")
    assert pi_4.collect()["pi"][0].fields["under_voltage"] is True


def test_the_kernel_s_upper_bits_are_not_taken_for_since_boot(pi_4: Bench) -> None:
    bench = Bench(pi_4.tree, Firmware())
    (pi_4.tree / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("f0000\n")
    fields = bench.collect()["pi"][0].fields
    assert not any(fields[name] for name in pi.readings.THROTTLED_BITS)
    assert not any(name.endswith("_since_boot") for name in fields)


def test_the_firmware_reports_limits_that_the_kernel_does_not(pi_4: Bench) -> None:
    shutil.rmtree(pi_4.tree / "sys/devices/platform/soc")
    (pi_4.tree / "sys/class/hwmon/hwmon1").unlink()
    fields = pi_4.collect()["pi"][0].fields
    assert fields["soft_temperature_limit"] is True
    assert fields["under_voltage"] is False


def test_a_core_voltage_of_the_kernel_saves_the_question(pi_4: Bench) -> None:
    ask = Firmware()
    plant("in0_label = core\\n\nin0_input = 860\\n\n", pi_4.tree / "sys/class/hwmon/hwmon1")
    fields = Bench(pi_4.tree, ask).collect()["pi"][0].fields
    assert fields["core_volts"] == 0.86
    assert "measure_volts core" not in ask.asked


def test_a_board_on_another_path_of_the_bus_is_found_by_the_name_of_its_driver(tmp_path: Path) -> None:
    text = (CASES / "pi" / "pi-5" / "tree.txt").read_text(encoding="utf-8")
    moved = text.replace("platform/soc/soc:firmware", "platform/soc@107c000000/soc@107c000000:firmware")
    bench = Bench(plant(moved, tmp_path), Firmware())
    assert bench.collect()["pi"][0].fields["throttled"] is False
    assert bench.errors == []


def test_a_stopped_fan_has_speed_zero(pi_4: Bench) -> None:
    (pi_4.tree / "sys/class/hwmon/hwmon2/fan1_input").write_text("0\n")
    assert pi_4.collect()["pi"][0].fields["fan_rpm"] == 0


def fan(tree: Path, number: int, name: str, device: str, **files: str) -> None:
    folder = tree / f"sys/class/hwmon/hwmon{number}"
    (tree / "sys/devices" / device).mkdir(parents=True)
    folder.mkdir(parents=True)
    (folder / "device").symlink_to(tree / "sys/devices" / device)
    (folder / "name").write_text(f"{name}\n")
    for file, text in files.items():
        (folder / file).write_text(text)


@pytest.mark.parametrize("name", ["emc2305", "emc2301", "rpi_poe_fan", "nct7802", "argon_fan"])
def test_a_fan_is_read_whatever_drives_it(name: str, tmp_path: Path) -> None:
    fan(tmp_path, 2, name, "10-002f", fan1_input="1160\n", pwm1="64\n", fan1_fault="0\n", pwm1_enable="1\n")
    (metric,) = Bench(tmp_path, Firmware()).collect()["pi"]
    assert metric.fields == {"fan_rpm": 1160, "fan_percent": pytest.approx(25.1, abs=0.01)}
    assert "fan" not in metric.series.tags


def test_two_fans_are_distinguished_and_that_of_the_board_comes_first(tmp_path: Path) -> None:
    fan(tmp_path, 1, "emc2305", "10-002f", fan1_input="1160\n", fan2_input="2000\n", pwm2="255\n")
    fan(tmp_path, 3, "pwmfan", "cooling_fan", fan1_input="3000\n", pwm1="0\n")
    found = {
        metric.series.tags.get("fan"): dict(metric.fields) for metric in Bench(tmp_path, Firmware()).collect()["pi"]
    }
    assert found == {
        None: {"fan_rpm": 3000, "fan_percent": 0.0},
        "10-002f-fan1": {"fan_rpm": 1160},
        "10-002f-fan2": {"fan_rpm": 2000, "fan_percent": 100.0},
    }


def test_a_fan_that_is_switched_off_has_no_reading_and_no_error(tmp_path: Path) -> None:
    def read(path: str) -> str:
        if path.endswith("fan1_input"):
            raise OSError(errno.ENODATA, "No data available")
        return files.read_text(path)

    fan(tmp_path, 2, "pwmfan", "cooling_fan", fan1_input="0\n", pwm1="0\n")
    bench = Bench(tmp_path, Firmware())
    (metric,) = bench.collect(read=read)["pi"]
    assert metric.fields == {"fan_percent": 0.0}
    assert bench.errors == []


@pytest.mark.parametrize("kind", ["cpu-thermal", "cpu_thermal", "bcm2835_thermal", "soc-thermal"])
def test_a_thermal_zone_without_hwmon_has_the_processor_s_temperature(kind: str, tmp_path: Path) -> None:
    plant(
        "sys/class/thermal/thermal_zone0/type = gpu-thermal\\n\n"
        "sys/class/thermal/thermal_zone0/temp = 40000\\n\n"
        f"sys/class/thermal/thermal_zone1/type = {kind}\\n\n"
        "sys/class/thermal/thermal_zone1/temp = 51234\\n\n",
        tmp_path,
    )
    bench = Bench(tmp_path, Firmware())
    assert bench.collect()["pi"][0].fields == {"cpu_celsius": 51.234}
    assert bench.errors == []


def test_a_board_without_any_reading_emits_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Firmware())
    assert bench.collect() == {}
    assert bench.errors == []


# --- the firmware -----------------------------------------------------------------------------------


def test_the_firmware_is_asked_again_only_when_it_is_due(pi_4: Bench) -> None:
    first = pi_4.collect()["pi"][0].fields
    pi_4.now += 59.9
    between = pi_4.collect()["pi"][0].fields
    pi_4.now += 0.1
    again = pi_4.collect()["pi"][0].fields
    held = ["throttled_since_boot" in fields for fields in (first, between, again)]
    assert held == [True, False, True]


def test_an_interval_of_zero_asks_the_firmware_nothing(pi_4: Bench) -> None:
    ask = Firmware()
    Bench(pi_4.tree, ask, interval=0).collect()
    assert ask.asked == []


def test_a_missing_vcgencmd_is_no_error_by_its_name_and_one_by_its_path(tmp_path: Path) -> None:
    assert firmware.vcgencmd("a-command-that-is-not-installed")(("get_throttled",)) is None
    with pytest.raises(FileNotFoundError):
        firmware.vcgencmd(str(tmp_path / "vcgencmd"))(("get_throttled",))


def test_a_vcgencmd_without_access_to_its_device_is_reported_with_its_output(tmp_path: Path, pi_4: Bench) -> None:
    command = tmp_path / "refusing"
    command.write_text("#!/bin/sh\necho 'Can not open /dev/vcio' >&2\nexit 255\n")
    command.chmod(0o755)
    bench = Bench(pi_4.tree, firmware.vcgencmd(str(command)), has_rails=False)
    assert "cpu_celsius" in bench.collect()["pi"][0].fields
    assert bench.errors == [
        f"vcgencmd {words} failed: Can not open /dev/vcio; is the user in the group video?"
        for words in ("get_throttled", "measure_clock core", "measure_volts core")
    ]


def test_an_answer_of_another_form_is_an_error_with_the_answer(pi_4: Bench) -> None:
    bench = Bench(pi_4.tree, Firmware(get_throttled="throttled=many\n", pmic_read_adc="VDD_CORE_A current(7)=?\n"))
    bench.collect()
    assert bench.errors == [
        "vcgencmd get_throttled answered 'throttled=many', which is not what it answers",
        "vcgencmd pmic_read_adc answered 'VDD_CORE_A current(7)=?', which is not what it answers",
    ]


ADC = """\
     3V7_WL_SW_A current(0)=0.00487990A
       3V3_SYS_A current(1)=0.5A
     3V7_WL_SW_V volt(8)=3.69480000V
       3V3_SYS_V volt(9)=3.0V
         EXT5V_V volt(24)=5.12000000V
          BATT_V volt(25)=0.00512820V
"""


@pytest.mark.parametrize(
    "line", ["DIE_TEMP temp(26)=45.1C", "nonsense", "VDD_CORE_A current(7)=nanA", "VDD_CORE_W power(7)=1.0W"]
)
def test_an_invalid_line_is_an_error_and_the_rails_are_read(line: str, pi_4: Bench) -> None:
    bench = Bench(pi_4.tree, Firmware(pmic_read_adc=ADC + f"   {line}\n"))
    found = bench.collect()
    assert [metric.series.tags["rail"] for metric in found["pi_rail"]] == ["3v7_wl_sw", "3v3_sys"]
    fields = found["pi"][0].fields
    assert (fields["input_volts"], fields["battery_volts"]) == (5.12, 0.0051282)
    assert fields["rails_watts"] == pytest.approx(1.5 + 0.0048799 * 3.6948)
    assert bench.errors == [f"vcgencmd pmic_read_adc answered a line {line!r}, which is no rail"]


@pytest.mark.parametrize("current", ["-0.00097598", "-1e-3", "31.0"])
def test_a_current_beyond_its_range_costs_itself(current: str, pi_4: Bench) -> None:
    bench = Bench(pi_4.tree, Firmware(pmic_read_adc=ADC.replace("current(1)=0.5", f"current(1)={current}")))
    found = bench.collect()
    assert [dict(metric.fields) for metric in found["pi_rail"]][1] == {"volts": 3.0}
    assert found["pi"][0].fields["rails_watts"] == pytest.approx(0.0048799 * 3.6948)
    assert len(bench.errors) == 1


def test_a_firmware_that_hangs_is_asked_once_and_the_board_is_read(pi_4: Bench) -> None:
    asked: list[tuple[str, ...]] = []

    def hang(words: tuple[str, ...]) -> str:
        asked.append(words)
        raise TimeoutError("no answer within 5 s")

    bench = Bench(pi_4.tree, hang)
    assert "cpu_celsius" in bench.collect()["pi"][0].fields
    assert asked == [("get_throttled",)]
    assert bench.errors == ["vcgencmd get_throttled failed: no answer within 5 s"]


def test_the_board_is_written_before_the_firmware_answers(pi_4: Bench) -> None:
    answer = threading.Event()

    def ask(_words: tuple[str, ...]) -> str:
        answer.wait(60)
        return "throttled=0x0\n"

    bench = Bench(pi_4.tree, ask)
    reader = board.Board(
        "Raspberry Pi",
        sys_root=str(pi_4.tree / "sys"),
        proc_root=str(pi_4.tree / "proc"),
        report=bench.errors.append,
        note=bench.notes.append,
        firmware=bench.firmware,
        reads=SlowReads(lambda: 7, time.monotonic),
        once=False,
        bit_rate=lambda _interface: None,
    )
    batch = iter(reader.collect())
    first = [next(batch)]
    while first[-1] is not PAUSE:
        first.append(next(batch))
    assert {metric.series.measurement for metric in first[:-1]} >= {"pi", "sd_card"}
    answer.set()
    late = list(batch)
    while not late:  # it comes with a later batch, which reads the board, too
        late = [metric for metric in reader.collect() if "throttled_since_boot" in metric.fields]
    assert any("throttled_since_boot" in metric.fields for metric in late)
    reader.close()


def test_a_fan_on_a_bus_that_hangs_delays_nothing_else_and_keeps_its_name(pi_4: Bench) -> None:
    fan(pi_4.tree, 7, "emc2305", "10-002f", fan1_input="1160\n", fan2_input="2000\n")
    answer = threading.Event()

    def read(path: str) -> str:
        if path.endswith("hwmon7/fan1_input"):
            answer.wait(60)
        return files.read_text(path)

    reader = board.Board(
        "Raspberry Pi",
        sys_root=str(pi_4.tree / "sys"),
        proc_root=str(pi_4.tree / "proc"),
        report=pi_4.errors.append,
        note=pi_4.notes.append,
        firmware=firmware.Firmware(Firmware(), interval=0, timer=lambda: 0.0, has_rails=False),
        reads=SlowReads(lambda: 7, time.monotonic),
        once=False,
        bit_rate=lambda _interface: None,
        read=read,
    )
    batch = iter(reader.collect())
    first = [next(batch)]
    while first[-1] is not PAUSE:
        first.append(next(batch))
    assert {metric.series.measurement for metric in first[:-1]} >= {"pi", "sd_card"}
    assert "cpu_celsius" in first[0].fields
    assert "fan" not in first[0].series.tags
    answer.set()
    late = list(batch)
    while not late:
        late = [metric for metric in reader.collect() if "fan" in metric.series.tags]
    assert {metric.series.tags["fan"]: metric.fields["fan_rpm"] for metric in late} == {
        "10-002f-fan1": 1160,
        "10-002f-fan2": 2000,
    }
    assert pi_4.errors == []
    reader.close()


def test_a_fan_that_never_answers_is_counted_with_its_chip(tmp_path: Path) -> None:
    fan(tmp_path, 2, "emc2305", "10-002f", fan1_input="1160\n")
    end = threading.Event()

    class Hung(SlowReads):
        def waiting(self) -> dict[Hashable, float]:
            return dict.fromkeys(super().waiting(), 11.0)

        def wait(self, seconds: float, *, slow: bool, keys: Container[Hashable] | None = None) -> bool:
            return super().wait(min(seconds, 0.0), slow=slow, keys=keys)

    errors: list[str] = []
    reader = board.Board(
        "Raspberry Pi",
        sys_root=str(tmp_path / "sys"),
        proc_root=str(tmp_path / "proc"),
        report=errors.append,
        note=errors.append,
        firmware=firmware.Firmware(Firmware(), interval=0, timer=lambda: 0.0, has_rails=False),
        reads=Hung(lambda: 7, time.monotonic),
        once=False,
        bit_rate=lambda _interface: None,
        read=lambda path: files.read_text(path) if path.endswith("/name") or end.wait(60) else "",
    )
    assert [metric for metric in reader.collect() if metric is not PAUSE] == []
    assert errors == [f"{tmp_path}/sys/class/hwmon/hwmon2 does not answer, and its readings are missing"]
    end.set()
    reader.close()


@pytest.mark.parametrize("status", [0, 1, 255])
def test_a_query_that_the_firmware_does_not_know_is_noted_and_no_error(status: int, tmp_path: Path) -> None:
    command = tmp_path / "old"
    command.write_text(f"#!/bin/sh\necho 'error=1 error_msg=\"Command not registered\"'\nexit {status}\n")
    command.chmod(0o755)
    bench = Bench(tmp_path, firmware.vcgencmd(str(command)))
    assert bench.collect() == {}
    assert bench.errors == []
    assert bench.notes[-1] == "vcgencmd pmic_read_adc is left out, since this firmware does not know it"
    assert len(bench.notes) == 4


#: What vcgencmd answers on boards of several ages.
ANSWERS = {
    "Pi 1": ("throttled=0x0", "frequency(1)=250000000", "volt=1.2000V", (250_000_000, 1.2)),
    "Pi 3": ("throttled=0x50005", "frequency(1)=400000000", "volt=1.3250V", (400_000_000, 1.325)),
    "Pi 4": ("throttled=0x80000\n", "frequency(1)=500000992\n", "volt=0.8563V\n", (500_000_992, 0.8563)),
    "Pi 5": ("throttled=0x0\r\n", "frequency(0)=910007424\r\n", "volt=0.7203V\r\n", (910_007_424, 0.7203)),
    "a clock without a number": ("throttled=0xE0000", "frequency=333000000", "volt=1V", (333_000_000, 1.0)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_of_every_board_are_read(name: str, tmp_path: Path) -> None:
    throttled, clock, volts, expected = ANSWERS[name]
    ask = Firmware(get_throttled=throttled, measure_clock_core=clock, measure_volts_core=volts)
    bench = Bench(tmp_path, ask, has_rails=False)
    fields = bench.collect()["pi"][0].fields
    assert (fields["core_clock_hertz"], fields["core_volts"]) == expected
    assert bench.errors == []


def test_a_rail_without_a_voltage_has_no_power_and_is_not_in_the_sum(pi_4: Bench) -> None:
    adc = "A_A current(0)=2.0A\nA_V volt(8)=3.0V\nB_A current(1)=5.0A\nEXT5V_V volt(24)=5.1V\n"
    found = Bench(pi_4.tree, Firmware(pmic_read_adc=adc)).collect()
    assert [dict(metric.fields) for metric in found["pi_rail"]] == [
        {"volts": 3.0, "amperes": 2.0, "watts": 6.0},
        {"amperes": 5.0},
    ]
    assert found["pi"][0].fields["rails_watts"] == 6.0
    assert found["pi"][0].fields["input_volts"] == 5.1


# --- cards ------------------------------------------------------------------------------------------


def test_an_emmc_reports_its_wear_and_its_boot_partitions_are_not_cards(pi_4: Bench) -> None:
    plant("life_time = 0x01 0x03\\n\npre_eol_info = 0x02\\n\n", pi_4.tree / "sys/block/mmcblk0/device")
    plant("mmcblk0boot0/stat = 0 0 0 0 0 0 0\\n\nsda/stat = 0 0 0 0 0 0 9\\n\n", pi_4.tree / "sys/block")
    (card,) = pi_4.collect()["sd_card"]
    assert card.fields["life_used_percent"] == 20.0
    assert card.fields["pre_eol"] == 2


@pytest.mark.parametrize(("text", "used"), [("0x00 0x00", None), ("0x01 0x00", 0.0), ("0x0b 0x01", 100.0)])
def test_the_worse_estimate_of_an_emmc_counts_and_an_undefined_one_is_no_data(text: str, used: float | None) -> None:
    assert pi.readings.life_used_percent(text) == used


@pytest.mark.parametrize("text", ["", "0x01", "0x0c 0x01", "one two"])
def test_a_life_time_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller gives the words
        pi.readings.life_used_percent(text)


def test_a_machine_without_a_card_emits_no_card(pi_4: Bench) -> None:
    shutil.rmtree(pi_4.tree / "sys/block")
    assert "sd_card" not in pi_4.collect()
    assert pi_4.errors == []


# --- Wi-Fi ------------------------------------------------------------------------------------------

HEAD = (
    "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
    " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
)


def wireless(*rows: str) -> list[tuple[str, int, int, float | None]]:
    links = pi.readings.wireless(HEAD + "".join(f"{row}\n" for row in rows), pytest.fail)
    return [tuple(link) for link in links]  # type: ignore[misc]


def test_a_connected_interface_has_its_signal_and_its_quality() -> None:
    assert wireless("wlan0: 0000   51.  -59.  -256   0 0 0 0 0 0") == [("wlan0", 51, 70, -59.0)]


def test_an_interface_without_a_network_is_no_data() -> None:
    assert wireless("wlan0: 0000    0     0     0    0 0 0 0 0 0") == []


def test_a_level_without_a_unit_is_no_signal_strength() -> None:
    assert wireless(" wlan0: 0000  100.   95.    0.  0 0 0 0 0 0") == [("wlan0", 100, 100, None)]
    assert wireless(" wlan0: 0000  51.  -256.  -256. 0 0 0 0 0 0")[0][3] is None


@pytest.mark.parametrize("line", ["wlan0 up", "wlan1: 0001 FF 00 00", "wlan1:", "wlan1: 0000 41. strong. -256."])
def test_a_line_of_another_form_is_an_error_and_the_others_are_read(line: str, pi_4: Bench) -> None:
    path = pi_4.tree / "proc/net/wireless"
    path.write_text(HEAD + line + "\n wlan0: 0000   41.  -69.  -256        0      0      0     23      0        0\n")
    (link,) = pi_4.collect()["wifi"]
    assert (link.series.tags["interface"], link.fields["signal_dbm"]) == ("wlan0", -69.0)
    assert pi_4.errors == [f"{path} holds {line!r}, which is not a reading"]


@pytest.mark.parametrize(
    ("row", "interface", "signal"),
    [
        ("wlan0: 0000   70.  -40.  -256        0      0      0      0      0        0", "wlan0", -40.0),
        ("wlp1s0u1u2: 0000   51.  -59.  -256   0 0 0 0 0 0", "wlp1s0u1u2", -59.0),
        ("wlan0:0000   51.  -59.  -256.  0 0 0 0 0 0", "wlan0", -59.0),  # a longer name leaves no space
        ("wlxb827eb123456: 00fe   51.  -59.  -95.  0 0 0 0 0 0", "wlxb827eb123456", -59.0),
        ("wlan0.1:1: 0000   51.  -59.  -256   0 0 0 0 0 0", "wlan0.1:1", -59.0),
        ("wl|an: 0000   51.  -59.  -256   0 0 0 0 0 0", "wl|an", -59.0),
    ],
)
def test_the_rows_of_other_drivers_are_read(row: str, interface: str, signal: float) -> None:
    ((name, _, _, dbm),) = wireless(row)
    assert (name, dbm) == (interface, signal)


def test_the_bit_rate_is_asked_for_each_connected_interface(pi_4: Bench) -> None:
    (pi_4.tree / "proc/net/wireless").write_text(HEAD + "wlan0: 0000   51.  -59.  -256   0 0 0 0 0 0\n")
    asked: list[str] = []

    def rate(interface: str) -> int:
        asked.append(interface)
        return 72_200_000

    assert pi_4.collect(bit_rate=rate)["wifi"][0].fields["bit_rate_bits_per_second"] == 72_200_000
    assert asked == ["wlan0"]


def test_an_interface_that_is_not_wireless_has_no_bit_rate() -> None:
    assert board.bit_rate("lo") is None


# --- broken content ---------------------------------------------------------------------------------


def test_a_file_that_vanishes_between_list_and_read_is_an_error_with_its_name(pi_4: Bench) -> None:
    def read(path: str) -> str:
        if path.endswith("hwmon0/temp1_input"):
            os.unlink(path)
        return files.read_text(path)

    fields = pi_4.collect(read=read)["pi"][0].fields
    assert "cpu_celsius" not in fields
    assert fields["fan_rpm"] == 5000
    assert pi_4.errors == [f"{pi_4.tree}/sys/class/hwmon/hwmon0/temp1_input cannot be read: No such file or directory"]


def test_a_sensor_that_fails_to_read_is_an_error_with_its_name(pi_4: Bench) -> None:
    def read(path: str) -> str:
        if path.endswith("fan1_input"):
            raise OSError(5, "Input/output error")
        return files.read_text(path)

    assert "fan_rpm" not in pi_4.collect(read=read)["pi"][0].fields
    assert pi_4.errors == [f"{pi_4.tree}/sys/class/hwmon/hwmon2/fan1_input cannot be read: Input/output error"]


@pytest.mark.parametrize("content", ["", "warm\n", "0x10\n", "1e3\n", "\0", "12 13\n"])
def test_a_non_numeric_text_is_an_error_and_the_rest_is_emitted(content: str, pi_4: Bench) -> None:
    (pi_4.tree / "sys/class/hwmon/hwmon0/temp1_input").write_text(content)
    found = pi_4.collect()
    assert "cpu_celsius" not in found["pi"][0].fields
    assert found["sd_card"]
    assert len(pi_4.errors) == 1
    assert "hwmon0/temp1_input holds " in pi_4.errors[0]


def test_a_value_beyond_its_range_is_an_error_and_no_data(pi_4: Bench) -> None:
    (pi_4.tree / "sys/class/hwmon/hwmon2/pwm1").write_text("256\n")
    assert "fan_percent" not in pi_4.collect()["pi"][0].fields
    assert pi_4.errors[0].endswith("hwmon2/pwm1 gives fan_percent 100.3921568627451; it is valid from 0 to 100")


# --- as a process -----------------------------------------------------------------------------------


def test_on_another_machine_it_waits_for_the_end_of_its_input() -> None:
    command = [sys.executable, "-m", "collectors", "pi", "--execd", "--sys-root", "no-such-folder"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.count(b"\n")) == (0, b"", 1)
    assert err.startswith(b"I! pi: nothing to read: this machine is not a Raspberry Pi")
