"""The board through its library: a scripted double, held against the library's own source."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import math
import os
from pathlib import Path

import pytest

from collectors.core.api import Polled, Unavailable
from collectors.sensehat import create, thermal
from collectors.sensehat.collector import SenseHatCollector
from collectors.sensehat.hat import Board, Library, RedirectedOutput, is_present
from collectors.sensehat.sensors import PARTS, LibrarySensors, LibraryWithColour, prepare_colour
from tests.doubles.sense_hat import ScriptedColour, ScriptedHat
from tests.unit.sensehat_support import Bench, fields


def collector(bench: Bench, hat: ScriptedHat, zone: str | None = None) -> SenseHatCollector:
    colour = prepare_colour(hat, 16, 64, bench.report.error)
    return SenseHatCollector(bench.context, Board(hat, colour, zone, bench.report.error))


def sys_tree(root: Path, *, cpu: str | None = None, frame_buffer: str | None = None) -> str:
    """A small sysfs."""
    for number, kind in enumerate(("gpu-thermal", "cpu-thermal")):
        zone = root / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{cpu}\n" if cpu is not None and kind == "cpu-thermal" else "99000\n")
    if frame_buffer is not None:
        folder = root / "class/graphics/fb0"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{frame_buffer}\n")
    return str(root)


# --- the library's interface, from its source -------------------------------------------------------


def library_class(module: str, file: str, name: str) -> ast.ClassDef:
    """A class of an installed library, without importing it: the import needs RTIMU, which only the OS provides."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {module} is not installed, so its source cannot be read")
    source = Path(spec.submodule_search_locations[0], file).read_text(encoding="utf-8")
    return next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)


def members(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


LIBRARIES = [("sense_hat", "sense_hat.py"), ("sense_emu", "sense_hat.py")]


@pytest.mark.parametrize(("module", "file"), LIBRARIES)
def test_every_method_used_exists_in_the_library_without_arguments(module: str, file: str) -> None:
    found = members(library_class(module, file, "SenseHat"))
    for name in public(Library):
        assert name in found, f"{module}.SenseHat has no {name}"
        assert [argument.arg for argument in found[name].args.args] == ["self"]


def test_colour_sensor_is_used_as_the_library_defines_it() -> None:
    found = members(library_class("sense_hat", "sense_hat.py", "SenseHat"))
    assert public(LibraryWithColour) <= set(found)
    sensor = library_class("sense_hat", "colour.py", "ColourSensor")
    settable = {
        node.name
        for node in sensor.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in node.decorator_list)
    }
    assert {"enabled", "gain", "integration_cycles"} <= settable
    assert "colour_raw" in members(sensor)


@pytest.mark.parametrize("names", PARTS.values(), ids=PARTS)
def test_the_library_has_the_attributes_used_to_restart_a_sensor(names: tuple[str, str, str]) -> None:
    library = library_class("sense_hat", "sense_hat.py", "SenseHat")
    part, started, _ = names
    assigned = {
        ast.unparse(target): ast.unparse(node.value)
        for node in members(library)["__init__"].body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    assert assigned[f"self.{started}"] == "False"
    assert assigned[f"self.{part}"].endswith("(self._imu_settings)")
    initialise = members(library)[started.removesuffix("_init").join(("_init", ""))]
    assert ast.unparse(initialise.body[-1]).startswith(f"if not self.{started}:")


def test_double_has_only_public_methods_of_the_library() -> None:
    used = public(Library) | public(LibraryWithColour)
    assert used == public(ScriptedHat) & used
    hat = set(members(library_class("sense_hat", "sense_hat.py", "SenseHat")))
    assert public(ScriptedHat) <= hat
    for name in public(Library):
        assert list(inspect.signature(getattr(ScriptedHat, name)).parameters) == ["self"]
    sensor = set(members(library_class("sense_hat", "colour.py", "ColourSensor")))
    assert {name for name in vars(ScriptedColour()) if name not in ("counts", "failure")} <= sensor
    assert public(ScriptedColour) <= sensor


@pytest.mark.parametrize(("module", "file"), LIBRARIES)
def test_library_marks_invalid_values_with_the_integer_0(module: str, file: str) -> None:
    methods = members(library_class(module, file, "SenseHat"))
    for name in ("get_humidity", "get_temperature_from_humidity", "get_pressure", "get_temperature_from_pressure"):
        initial = next(node for node in methods[name].body if isinstance(node, ast.Assign))
        assert isinstance(initial.value, ast.Constant)
        assert type(initial.value.value) is int
        assert initial.value.value == 0


@pytest.mark.parametrize(("module", "file"), LIBRARIES)
def test_no_method_used_reconfigures_the_fusion(module: str, file: str) -> None:
    methods = members(library_class(module, file, "SenseHat"))
    for name in public(Library):
        called = {
            node.func.attr
            for node in ast.walk(methods[name])
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert "set_imu_config" not in called


# --- reading -----------------------------------------------------------------------------------------


def test_second_edition_board_gives_all_four_lines(tmp_path: Path) -> None:
    bench = Bench()
    zone = thermal.cpu_zone(sys_tree(tmp_path, cpu="47734"))
    hat = ScriptedHat(
        colour=ScriptedColour((210, 190, 140, 520)), acceleration=(0.0, 0.0, 1.0), magnetic=(0.0, -20.0, 45.0)
    )
    made = collector(bench, hat, zone)
    assert isinstance(made, Polled)
    metrics = list(made.collect())
    made.close()
    assert fields(metrics, "environment", "hts221")["temperature_cpu_celsius"] == 47.734
    assert fields(metrics, "environment", "lps25h")["pressure_hpa"] == 1013.25
    assert fields(metrics, "imu")["heading_degrees"] == 90.0
    assert fields(metrics, "imu")["roll_degrees"] == pytest.approx(360 - math.degrees(0.02))
    assert fields(metrics, "colour") == {"red": 210, "green": 190, "blue": 140, "clear": 520, "gain": 16}
    assert {metric.series.tags["device"] for metric in metrics} == {"pi-1"}
    assert bench.report.errors == 0


def test_each_value_is_read_once_per_reading() -> None:
    hat = ScriptedHat()
    list(collector(Bench(), hat).collect())
    assert sorted(hat.calls) == sorted([*public(Library), "has_colour_sensor"])


def test_first_edition_board_has_no_colour_and_no_error() -> None:
    bench = Bench()
    metrics = list(collector(bench, ScriptedHat()).collect())
    assert fields(metrics, "colour") == {}
    assert bench.report.errors == 0


def test_zero_of_a_new_process_is_invalid_and_a_measured_zero_is_valid() -> None:
    bench = Bench()
    metrics = list(collector(bench, ScriptedHat(temperature_humidity=0, temperature_pressure=0.0)).collect())
    assert "temperature_raw_celsius" not in fields(metrics, "environment", "hts221")
    assert fields(metrics, "environment", "lps25h")["temperature_raw_celsius"] == 0.0
    assert bench.report.errors == 1


def test_values_of_single_precision_have_no_tails() -> None:
    hat = ScriptedHat(
        temperature_humidity=25.040000915527344, pressure=1013.249755859375, acceleration=(0.0, 0.0, 0.9800000190734863)
    )
    metrics = list(collector(Bench(), hat).collect())
    assert fields(metrics, "environment", "lps25h")["pressure_hpa"] == 1013.24976
    assert fields(metrics, "environment", "hts221")["temperature_raw_celsius"] == 25.04
    assert fields(metrics, "imu")["acceleration_z_g"] == 0.98


def test_imu_that_was_never_read_gives_no_line() -> None:
    bench = Bench()
    nothing = (0, 0, 0)
    hat = ScriptedHat(attitude=nothing, acceleration=nothing, gyro=nothing, magnetic=nothing)
    assert fields(collector(bench, hat).collect(), "imu") == {}
    assert bench.report.errors == 12


@pytest.mark.parametrize(
    ("method", "sensor", "gone"),
    [
        ("get_humidity", "hts221", "humidity_raw_percent"),
        ("get_pressure", "lps25h", "pressure_hpa"),
        ("get_temperature_from_pressure", "lps25h", "temperature_raw_celsius"),
    ],
)
def test_failed_value_is_counted_and_the_others_are_read(method: str, sensor: str, gone: str) -> None:
    bench = Bench()
    hat = ScriptedHat()
    hat.failures[method] = OSError(121, "Remote I/O error")
    metrics = list(collector(bench, hat).collect())
    assert gone not in fields(metrics, "environment", sensor)
    assert len(metrics) == 3
    assert len(fields(metrics, "imu")) == 13
    assert bench.report.errors == 1
    assert "Remote I/O error" in bench.errors[0]


def test_failing_colour_sensor_stops_nothing_else() -> None:
    bench = Bench()
    sensor = ScriptedColour()
    made = collector(bench, ScriptedHat(colour=sensor))
    assert fields(made.collect(), "colour") != {}
    sensor.failure = OSError(121, "Remote I/O error")
    metrics = list(made.collect())
    assert fields(metrics, "colour") == {}
    assert len(metrics) == 3
    assert bench.errors == ["E! sensehat: the colour cannot be read: OSError: [Errno 121] Remote I/O error"]


def test_colour_sensor_that_rejects_the_gain_is_reported_and_not_read() -> None:
    class WithoutGain(ScriptedColour):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "gain" and value == 64:
                raise ValueError("Cannot set gain to 64")
            super().__setattr__(name, value)

    bench = Bench()
    assert prepare_colour(ScriptedHat(colour=WithoutGain()), 64, 64, bench.report.error) is None
    assert bench.errors == [
        "E! sensehat: the colour sensor rejects gain 64 and 64 cycles, and is not read: Cannot set gain to 64"
    ]


def test_start_waits_until_the_board_has_converted() -> None:
    hat = ScriptedHat(humidity=0, pressure=0)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        hat.humidity, hat.pressure = 45.0, 1013.0

    Board(hat, None, None, Bench().report.error, sleep=sleep).wait_until_ready()
    assert slept == [0.08]


def test_magnetic_field_of_the_first_batch_has_settled() -> None:
    class Averaging(ScriptedHat):
        """RTIMULib's average: each sample of the IMU counts a fifth."""

        average = 0.0

        def _called(self, name: str) -> None:
            super()._called(name)
            if name in ("get_compass_raw", "get_orientation_radians", "get_accelerometer_raw", "get_gyroscope_raw"):
                self.average += (50.0 - self.average) / 5
                self.magnetic = (self.average, 0.0, 0.0)

    hat = Averaging()
    bench = Bench()
    board = Board(hat, None, None, bench.report.error)
    board.wait_until_ready()
    line = fields(SenseHatCollector(bench.context, board).collect(), "imu")
    assert line["magnetic_x_microtesla"] == pytest.approx(50.0, rel=0.001)


def test_board_whose_imu_does_not_start_waits_for_the_other_sensors() -> None:
    hat = ScriptedHat(humidity=0)
    hat.failures["get_compass_raw"] = OSError("IMU Init Failed")
    slept: list[float] = []
    Board(hat, None, None, Bench().report.error, sleep=slept.append).wait_until_ready()
    assert len(slept) == 6


def test_start_waits_at_most_half_a_second() -> None:
    slept: list[float] = []
    Board(ScriptedHat(humidity=0), None, None, Bench().report.error, sleep=slept.append).wait_until_ready()
    assert sum(slept) == pytest.approx(0.48)


def test_sensor_that_does_not_start_is_reported_by_the_first_reading() -> None:
    bench = Bench()
    hat = ScriptedHat()
    hat.failures["get_humidity"] = OSError("Humidity Init Failed")
    board = Board(hat, None, None, bench.report.error, sleep=lambda _: pytest.fail("there is nothing to wait for"))
    board.wait_until_ready()
    assert fields(SenseHatCollector(bench.context, board).collect(), "environment", "lps25h") != {}
    assert bench.errors == ["E! sensehat: the humidity cannot be read: OSError: Humidity Init Failed"]


def test_board_that_repeats_its_readings_is_stuck() -> None:
    bench = Bench(stale_after=3)
    made = collector(bench, ScriptedHat())
    assert [len(list(made.collect())) for _ in range(4)] == [3, 3, 0, 0]
    assert bench.report.errors == 6
    assert len(bench.errors) == 3


class ScriptedSensors:
    """The sensors of a scripted board.

    Args:
        hat: its library; an IMU in ``silent`` has no new sample, as RTIMULib repeats the one before.
    """

    def __init__(self, hat: ScriptedHat) -> None:
        self._hat = hat
        self.silent = False
        self.off: set[str] = set()
        self.asked: list[str] = []
        self.restarted: list[str] = []
        self._time = 0

    def imu_time(self) -> int:
        if not self.silent:
            self._time += 1
        return self._time

    def prepare_imu(self) -> None:
        self._hat.calls.append("prepare_imu")

    def is_switched_off(self, sensor: str, /) -> bool:
        self.asked.append(sensor)
        if isinstance(failure := self._hat.failures.get("is_switched_off"), OSError):
            raise failure
        return sensor in self.off

    def restart(self, sensor: str, /) -> None:
        self.restarted.append(sensor)
        self.off.discard(sensor)


def real_board(hat: ScriptedHat, bench: Bench) -> tuple[SenseHatCollector, ScriptedSensors]:
    sensors = ScriptedSensors(hat)
    colour = prepare_colour(hat, 16, 64, bench.report.error)
    board = Board(hat, colour, None, bench.report.error, sensors=sensors, sleep=lambda _: None)
    return SenseHatCollector(bench.context, board), sensors


def test_imu_without_an_answer_gives_no_old_values_and_is_asked_once() -> None:
    bench, hat = Bench(), ScriptedHat()
    made, sensors = real_board(hat, bench)
    assert len(fields(made.collect(), "imu")) == 13
    sensors.silent = True
    hat.calls.clear()
    metrics = list(made.collect())
    assert fields(metrics, "imu") == {}
    assert fields(metrics, "environment", "lps25h") != {}
    assert [call for call in hat.calls if call.endswith(("_raw", "_radians"))] == ["get_orientation_radians"]
    assert bench.errors == ["E! sensehat: the IMU does not answer; check the board's seat on the header"]
    sensors.silent = False
    assert len(fields(made.collect(), "imu")) == 13
    assert sensors.restarted == ["lsm9ds1"]
    assert bench.report.errors == 1


@pytest.mark.parametrize(
    ("method", "value", "sensor"), [("humidity", 0, "hts221"), ("pressure", 0, "lps25h"), ("pressure", None, "lps25h")]
)
def test_sensor_without_a_valid_value_is_started_again(method: str, value: int | None, sensor: str) -> None:
    bench, hat = Bench(), ScriptedHat()
    made, sensors = real_board(hat, bench)
    if value is None:
        hat.failures[f"get_{method}"] = OSError("Pressure Init Failed")
    else:
        setattr(hat, method, value)
    list(made.collect())
    assert sensors.restarted == []
    list(made.collect())
    assert sensors.restarted == [sensor]
    hat.failures.clear()
    setattr(hat, method, 50.0 if method == "humidity" else 1000.0)
    list(made.collect())
    list(made.collect())
    assert sensors.restarted == [sensor, sensor]
    assert bench.report.errors == 2


def test_stuck_sensor_is_started_again() -> None:
    bench, hat = Bench(stale_after=3), ScriptedHat()
    made, sensors = real_board(hat, bench)
    for _ in range(4):
        hat.humidity += 0.5
        hat.acceleration = (0.01, hat.acceleration[1] + 0.01, 1.0)
        list(made.collect())
    assert sensors.restarted == ["lps25h"]


@pytest.mark.parametrize(
    ("sensor", "name", "temperature"),
    [("hts221", "HTS221", "temperature_humidity"), ("lps25h", "LPS25H", "temperature_pressure")],
)
def test_sensor_that_lost_its_power_gives_no_old_value_and_is_started_again(
    sensor: str, name: str, temperature: str
) -> None:
    bench, hat = Bench(), ScriptedHat()
    made, sensors = real_board(hat, bench)
    assert fields(made.collect(), "environment", sensor) != {}
    sensors.off.add(sensor)
    metrics = list(made.collect())
    assert fields(metrics, "environment", sensor) == {}
    assert len(fields(metrics, "imu")) == 13
    assert bench.errors == [
        f"E! sensehat: the {name} is switched off, as after an interruption of its power, and is started again; check "
        "the board's seat on the header"
    ]
    setattr(hat, temperature, 20.0)
    assert fields(made.collect(), "environment", sensor)["temperature_raw_celsius"] == 20.0
    assert sensors.restarted == [sensor]
    assert bench.report.errors == 1


def test_a_sensor_is_asked_for_its_state_only_if_its_temperature_repeats() -> None:
    bench, hat = Bench(), ScriptedHat()
    made, sensors = real_board(hat, bench)
    for number in range(5):
        hat.temperature_humidity = 20.0 + number
        hat.temperature_pressure = 20.0 + number // 4
        list(made.collect())
    assert sensors.asked == ["lps25h"] * 3
    assert bench.report.errors == 0


def test_a_sensor_whose_state_cannot_be_read_gives_no_value_that_may_be_old() -> None:
    bench, hat = Bench(), ScriptedHat()
    made, sensors = real_board(hat, bench)
    list(made.collect())
    hat.temperature_pressure += 1
    hat.failures["is_switched_off"] = OSError(121, "Remote I/O error")
    metrics = list(made.collect())
    assert fields(metrics, "environment", "hts221") == {}
    assert fields(metrics, "environment", "lps25h") != {}
    assert bench.errors == [
        "E! sensehat: the state of the HTS221 cannot be read: OSError: [Errno 121] Remote I/O error"
    ]
    list(made.collect())
    assert sensors.restarted == ["hts221"]


def test_imu_is_prepared_before_its_samples_at_the_start_and_in_each_batch() -> None:
    hat = ScriptedHat()
    sensors = ScriptedSensors(hat)
    board = Board(hat, None, None, Bench().report.error, sensors=sensors, sleep=lambda _: None)
    board.wait_until_ready()
    assert hat.calls[:2] == ["prepare_imu", "get_compass_raw"]
    hat.calls.clear()
    list(board.read())
    board.restart("lsm9ds1")
    list(board.read())
    of_imu = [call for call in hat.calls if call == "prepare_imu" or call.endswith(("_raw", "_radians"))]
    batch = ["prepare_imu", "get_orientation_radians", "get_accelerometer_raw", "get_gyroscope_raw", "get_compass_raw"]
    assert of_imu == [*batch, "prepare_imu", "get_orientation_radians", *batch]


class Chips:
    """The registers of chips on a bus; a transfer raises ``failure``."""

    def __init__(self) -> None:
        self.registers: dict[tuple[int, int], int] = {}
        self.failure: OSError | None = None

    def read(self, chip: int, register: int) -> int:
        if self.failure is not None:
            raise self.failure
        return self.registers[chip, register]

    def write(self, chip: int, register: int, value: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.registers[chip, register] = value


def test_block_data_update_is_set_after_the_library_has_started_the_imu() -> None:
    class Opened:
        def _init_imu(self) -> None:
            chips.registers[0x6A, 0x22] = 0x80

    chips = Chips()
    sensors = LibrarySensors(Opened(), chips)
    sensors.prepare_imu()
    assert chips.registers == {(0x6A, 0x22): 0x44, (0x1C, 0x24): 0x40}
    chips.failure = OSError(121, "Remote I/O error")
    sensors.prepare_imu()  # the reading that follows reports it


def test_a_sensor_is_switched_off_while_the_highest_bit_of_its_control_register_is_clear() -> None:
    chips = Chips()
    chips.registers = {(0x5F, 0x20): 0x87, (0x5C, 0x20): 0xC4}
    sensors = LibrarySensors(object(), chips)
    assert not sensors.is_switched_off("hts221")
    assert not sensors.is_switched_off("lps25h")
    chips.registers = {(0x5F, 0x20): 0, (0x5C, 0x20): 0x44}
    assert sensors.is_switched_off("hts221")
    assert sensors.is_switched_off("lps25h")


def test_settling_ends_with_the_first_sample_without_an_answer() -> None:
    hat = ScriptedHat()
    sensors = ScriptedSensors(hat)
    sensors.silent = True
    Board(hat, None, None, Bench().report.error, sensors=sensors, sleep=lambda _: None).wait_until_ready()
    assert hat.calls.count("get_compass_raw") == 1


def test_colour_sensor_that_lost_its_settings_is_started_again() -> None:
    bench, sensor = Bench(), ScriptedColour()
    made, _ = real_board(ScriptedHat(colour=sensor), bench)
    assert fields(made.collect(), "colour")["gain"] == 16
    sensor.gain, sensor.integration_cycles, sensor.enabled, sensor.counts = 1, 1, 0, (0, 0, 0, 0)
    assert fields(made.collect(), "colour") == {}
    assert (sensor.gain, sensor.integration_cycles, sensor.enabled) == (16, 64, 1)
    assert fields(made.collect(), "colour") != {}
    assert bench.report.errors == 1


def test_library_looks_for_a_sensor_again_that_it_did_not_find() -> None:
    class Part:
        def __init__(self, kind: int) -> None:
            self.kind = kind

        def pressureType(self) -> int:
            return self.kind

    class Opened:
        _imu_settings = 7
        _pressure_init = True

        def __init__(self, part: Part) -> None:
            self._pressure = part

    known = Opened(Part(3))
    LibrarySensors(known, Chips()).restart("lps25h")
    assert (known._pressure.kind, known._pressure_init) == (3, False)
    missing = Opened(Part(0))
    LibrarySensors(missing, Chips()).restart("lps25h")
    assert (missing._pressure.kind, missing._pressure_init) == (7, False)


# --- finding it --------------------------------------------------------------------------------------


def test_board_is_found_by_the_name_of_its_frame_buffer(tmp_path: Path) -> None:
    assert is_present(sys_tree(tmp_path / "hat", frame_buffer="RPi-Sense FB"))
    assert not is_present(sys_tree(tmp_path / "screen", frame_buffer="vc4drmfb"))
    assert not is_present(sys_tree(tmp_path / "none"))


def test_auto_without_a_board_names_the_choices_and_does_not_simulate(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as raised:
        create(Bench(sys_root=sys_tree(tmp_path)).context)
    for word in ("no Sense HAT", "SENSETIG_SENSEHAT_BACKEND", "hat", "emulator", "recording", "simulated"):
        assert word in str(raised.value)


def test_missing_library_is_reported_with_how_to_install_it(tmp_path: Path) -> None:
    if importlib.util.find_spec("RTIMU") is not None:
        pytest.skip("RTIMU is installed, so the library can be had")
    with pytest.raises(Unavailable, match="sudo apt install sense-hat"):
        create(Bench(sys_root=sys_tree(tmp_path, frame_buffer="RPi-Sense FB")).context)


@pytest.mark.parametrize("kind", ["cpu-thermal", "cpu_thermal", "x86_pkg_temp"])
def test_cpu_is_found_among_the_thermal_zones(tmp_path: Path, kind: str) -> None:
    for number, name in enumerate(("nvme", kind, "gpu-thermal")):
        zone = tmp_path / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{name}\n")
        (zone / "temp").write_text(f"{number}1234\n")
    zone_of_cpu = thermal.cpu_zone(str(tmp_path))
    assert zone_of_cpu is not None
    assert thermal.read_celsius(zone_of_cpu) == 11.234


def test_without_thermal_zones_there_is_no_cpu_temperature(tmp_path: Path) -> None:
    assert thermal.cpu_zone(str(tmp_path)) is None


def test_unreadable_thermal_zone_is_counted_and_the_board_is_read(tmp_path: Path) -> None:
    bench = Bench()
    zone = thermal.cpu_zone(sys_tree(tmp_path, cpu="not a number"))
    line = fields(collector(bench, ScriptedHat(), zone).collect(), "environment", "hts221")
    assert "temperature_cpu_celsius" not in line
    assert line["temperature_raw_celsius"] == 28.5
    assert bench.report.errors == 1


def test_library_output_does_not_reach_the_lines(tmp_path: Path) -> None:
    with (tmp_path / "lines").open("wb") as lines, (tmp_path / "aside").open("wb") as aside:
        with RedirectedOutput(lines.fileno(), aside.fileno()):
            os.write(lines.fileno(), b"Settings file RTIMULib.ini loaded\n")
        os.write(lines.fileno(), b"environment t=1\n")
    assert (tmp_path / "lines").read_text() == "environment t=1\n"
    assert (tmp_path / "aside").read_text() == "Settings file RTIMULib.ini loaded\n"
