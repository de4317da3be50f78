"""The real sense-emu library, driven through its own shared memory; and the real sense-hat as far as it goes here."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode_lines
from collectors.core.schema import COLLECTOR
from collectors.sensehat import MEASUREMENTS
from tests.bench.measure import Execd, environment
from tests.integration.conftest import errors_of
from tests.schema_check import violations

pytestmark = pytest.mark.usefixtures("emulator_alone")

#: Where the library has its files; it cannot be told another place.
SHARED = Path("/dev/shm")  # noqa: S108

FILES = ("humidity", "imu", "pid", "pressure", "screen")

needs_emulator = pytest.mark.skipif(
    importlib.util.find_spec("sense_emu") is None, reason="the package sense-emu is not installed"
)


def shared_files() -> set[Path]:
    return set(SHARED.glob("rpi-sense-emu-*"))


class Emulator:
    """What drives the emulated board: the library's own servers, and its lock.

    The noise of the servers is off, so that a test knows each value; the IMU's samples keep coming, since the
    library takes only those that are newer than the last.
    """

    def __init__(self) -> None:
        from sense_emu.humidity import HumidityServer
        from sense_emu.imu import IMUServer
        from sense_emu.lock import EmulatorLock
        from sense_emu.pressure import PressureServer

        self.yaw = 0.0
        self._lock: Any = EmulatorLock("tests")
        self._lock.acquire()
        self._humidity: Any = HumidityServer(simulate_noise=False)
        self._pressure: Any = PressureServer(simulate_noise=False)
        self._imu: Any = IMUServer(simulate_world=False)
        self._stopped = threading.Event()
        self._samples = threading.Thread(target=self._sample)
        self._samples.start()
        self.set()

    def set(self, humidity: float = 52.0, warm: float = 24.0, pressure: float = 1008.5) -> None:
        """Set the sensors' values; they reach the shared memory at once."""
        self._humidity.set_values(humidity, warm)
        self._pressure.set_values(pressure, warm - 2)

    def _sample(self) -> None:
        while not self._stopped.wait(0.002):
            turn = math.radians(self.yaw)
            field = (0.33 * math.cos(turn), -0.33 * math.sin(turn), 0.2)
            self._imu.set_imu_values((0, 0, 1), (0, 0, 0), field, (0, 0, self.yaw))

    def close(self) -> None:
        self._stopped.set()
        self._samples.join()
        for server in (self._humidity, self._pressure, self._imu):
            server.close()
        self._lock.release()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator for this test; skipped if another emulator is running."""
    from sense_emu.lock import EmulatorLock

    if EmulatorLock("tests").wait(0):
        pytest.skip("a Sense HAT emulator is running, and the test would move its board about")
    before = shared_files()
    try:
        made = Emulator()
    except FileExistsError:
        pytest.skip("a Sense HAT emulator has been started at this very moment")
    yield made
    made.close()
    for file in shared_files() - before:
        file.unlink()


def with_emulator(**extra: str) -> dict[str, str]:
    """The environment of a collector that waits for the samples of a test on a busy machine."""
    folder = Path(__file__).parents[1] / "doubles" / "patient_emulator"
    return environment(SENSETIG_SETTINGS=os.devnull, OPENBLAS_NUM_THREADS="1", **{"PYTHONPATH": str(folder), **extra})


def once(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "collectors", "sensehat", *arguments],
        capture_output=True,
        text=True,
        env=with_emulator(**extra),
        timeout=240,
        check=False,
    )


def by_series(text: str) -> dict[str, Metric]:
    metrics = list(decode_lines(text))
    assert [each for metric in metrics for each in violations(metric, (*MEASUREMENTS, COLLECTOR))] == []
    return {metric.series.tags.get("sensor", metric.series.measurement): metric for metric in metrics}


@needs_emulator
def test_the_emulated_board_is_read_through_the_real_library(emulator: Emulator) -> None:
    emulator.yaw = 90.0
    done = once("--backend", "emulator", "--device", "emulated")
    assert (done.returncode, done.stderr) == (0, "")
    found = by_series(done.stdout)
    assert set(found) == {"hts221", "lps25h", "imu", "collector"}
    assert found["hts221"].fields["humidity_raw_percent"] == pytest.approx(52.0, abs=0.01)
    assert found["hts221"].fields["temperature_raw_celsius"] == pytest.approx(24.0, abs=0.02)
    assert found["hts221"].fields["dew_point_celsius"] == pytest.approx(13.5, abs=0.1)
    assert found["lps25h"].fields["pressure_hpa"] == pytest.approx(1008.5, abs=0.01)
    assert found["lps25h"].fields["temperature_raw_celsius"] == pytest.approx(22.0, abs=0.01)
    assert found["imu"].fields["yaw_degrees"] == pytest.approx(90.0, abs=0.1)
    assert found["imu"].fields["heading_degrees"] == pytest.approx(90.0, abs=0.1)
    assert found["imu"].fields["acceleration_z_g"] == pytest.approx(1.0, abs=0.001)
    assert not [name for name in found["imu"].fields if name.startswith("gyro")]
    assert found["hts221"].series.tags == {"device": "emulated", "sensor": "hts221", "simulated": "true"}
    assert found["collector"].fields["errors"] == 0


@needs_emulator
def test_nothing_of_the_collector_stays_in_the_shared_memory(emulator: Emulator) -> None:
    del emulator
    assert once("--backend", "emulator").returncode == 0
    assert {file.name.removeprefix("rpi-sense-emu-") for file in shared_files()} == set(FILES)


@needs_emulator
def test_changes_in_the_emulator_are_in_the_next_batch(emulator: Emulator) -> None:
    settings = with_emulator(SENSETIG_SENSEHAT_BACKEND="emulator")
    with Execd("sensehat", env=settings) as collector:
        first = by_series(b"".join(collector.ask()).decode())
        emulator.set(humidity=70.0, warm=30.0, pressure=990.0)
        # The library keeps a humidity for 130 ms (sense_emu/RTIMU.py); batches are asked for until that is over.
        end = time.monotonic() + 60
        while True:
            later = by_series(b"".join(collector.ask()).decode())
            if later["hts221"].fields["humidity_raw_percent"] == pytest.approx(70.0, abs=0.01):
                break
            assert time.monotonic() < end, "the humidity stays"
    assert first["lps25h"].fields["pressure_hpa"] == pytest.approx(1008.5, abs=0.01)
    assert later["hts221"].fields["temperature_raw_celsius"] == pytest.approx(30.0, abs=0.02)
    assert later["lps25h"].fields["pressure_hpa"] == pytest.approx(990.0, abs=0.01)


@needs_emulator
def test_an_emulated_sensor_without_a_value_is_no_data_and_is_counted(emulator: Emulator) -> None:
    emulator.set(humidity=float("nan"))
    done = once("--backend", "emulator")
    found = by_series(done.stdout)
    assert set(found["hts221"].fields) == {"temperature_raw_celsius"}
    assert found["collector"].fields["errors"] == 1
    assert done.stderr.startswith("E! sensehat: hts221 returned no valid humidity_raw_percent")


@needs_emulator
def test_an_emulator_without_noise_repeats_itself_and_is_taken_as_stuck(emulator: Emulator) -> None:
    del emulator
    settings = with_emulator(SENSETIG_SENSEHAT_BACKEND="emulator", SENSETIG_SENSEHAT_STALE_AFTER="3")
    with Execd("sensehat", env=settings) as collector:
        batches = [by_series(b"".join(collector.ask()).decode()) for _ in range(4)]
    assert [set(batch) - {"collector"} for batch in batches] == [{"hts221", "lps25h", "imu"}] * 2 + [set()] * 2
    assert [batch["collector"].fields["errors"] for batch in batches] == [0, 0, 3, 3]


@needs_emulator
def test_without_an_emulator_a_sentence_says_so_and_no_window_is_opened(tmp_path: Path) -> None:
    from sense_emu.lock import EmulatorLock

    if EmulatorLock("tests").wait(0):
        pytest.skip("a Sense HAT emulator is running")
    started = tmp_path / "started"
    window = tmp_path / "sense_emu_gui"
    window.write_text(f"#!/bin/sh\ntouch {started}\n")
    window.chmod(0o755)
    before = shared_files()
    done = once("--backend", "emulator", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert done.stderr == (
        "E! sensehat: no Sense HAT emulator is running; start sense_emu_gui, or sense_play with a recording, and try "
        "again\n"
    )
    assert not started.exists()
    assert shared_files() == before


# --- the real sense-hat, without a board ---------------------------------------------------------------

#: The C extension of Raspberry Pi OS, as far as the library calls it: its sensors return the values written here.
RTIMU = """
class Settings:
    def __init__(self, path): pass

class RTHumidity:
    valid = 0
    def __init__(self, settings): pass
    def humidityInit(self): return True
    def humidityRead(self): return (self.valid, 45.5, self.valid, 28.25)

class RTPressure:
    def __init__(self, settings): pass
    def pressureInit(self): return True
    def pressureRead(self): return (1, 1013.5, 1, 0.0)

class RTIMU:
    def __init__(self, settings): pass
    def IMUInit(self): return True
    def IMUGetPollInterval(self): return 0
    def IMURead(self): return True
    def getIMUData(self):
        return dict(fusionPoseValid=True, fusionPose=(0.0, 0.5, -0.25), gyroValid=True, gyro=(0.0, 0.001, 0.0),
                    accelValid=True, accel=(0.0, 0.0, 1.0), compassValid=False, compass=(0.0, 0.0, 0.0))
    def setCompassEnable(self, on): print("IMU configured", flush=True)
    setGyroEnable = setAccelEnable = setCompassEnable
"""

#: Reads through the library's own methods; only its constructor, which wants the frame buffer, is gone round.
DRIVE = """
import RTIMU
from sense_hat import SenseHat
from collectors.sensehat.hat import RedirectedOutput, Board
hat = SenseHat.__new__(SenseHat)
hat._humidity, hat._pressure, hat._imu = RTIMU.RTHumidity(None), RTIMU.RTPressure(None), RTIMU.RTIMU(None)
hat._humidity_init = hat._pressure_init = hat._imu_init = False
hat._compass_enabled = hat._gyro_enabled = hat._accel_enabled = False
hat._last_orientation = dict(pitch=0, roll=0, yaw=0)
hat._last_compass_raw, hat._last_gyro_raw, hat._last_accel_raw = (dict(x=0, y=0, z=0) for _ in range(3))
assert not hat.has_colour_sensor()
slept = []
def sleep(seconds):
    slept.append(seconds)
    RTIMU.RTHumidity.valid = len(slept) >= 2
board = Board(hat, None, None, lambda sentence: print("refused:", sentence), sleep=sleep)
with RedirectedOutput():
    board.wait_until_ready()
print(slept)
print(*next(board.read()), sep="\\n")
RTIMU.RTHumidity.valid = 0
print(*next(board.read())[:2], sep="\\n")
"""


@pytest.fixture
def with_rtimu(tmp_path: Path) -> dict[str, str]:
    if importlib.util.find_spec("sense_hat") is None:
        pytest.skip("the package sense-hat is not installed")
    (tmp_path / "RTIMU.py").write_text(RTIMU)
    return environment(
        PYTHONPATH=str(tmp_path), OPENBLAS_NUM_THREADS="1", HOME=str(tmp_path), SENSETIG_SETTINGS=os.devnull
    )


def test_the_real_librarys_methods_return_the_types_that_the_backend_expects(with_rtimu: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVE], capture_output=True, text=True, env=with_rtimu, timeout=240, check=True
    )
    assert done.stdout.splitlines() == [
        "[0.08, 0.08]",
        "45.5",
        "28.25",
        "1013.5",
        "0.0",  # a measured freezing point, and not the integer of an invalid reading
        "None",
        "Attitude(pitch=28.6479, roll=0.0, yaw=345.6761)",
        "Vector(x=0.0, y=0.0, z=1.0)",
        "Vector(x=0.0, y=0.001, z=0.0)",
        "Vector(x=nan, y=nan, z=nan)",
        "None",
        "None",
        "nan",
        "nan",
    ]
    assert done.stderr.splitlines() == ["IMU configured"] * 3, "it is configured at the start, and never by a reading"


def test_a_board_that_cannot_be_opened_is_reported_with_the_librarys_error_and_a_hint(
    with_rtimu: dict[str, str],
) -> None:
    if any(Path("/sys/class/graphics").glob("fb*")):
        pytest.skip("this machine has a frame buffer, so the library may say something else")
    done = subprocess.run(
        [sys.executable, "-m", "collectors", "sensehat", "--backend", "hat"],
        capture_output=True,
        text=True,
        env=with_rtimu,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "E! sensehat: the Sense HAT cannot be opened: Cannot detect RPi-Sense FB device; check that it sits"
    )


# --- through the real Telegraf ---------------------------------------------------------------------------

CONFIGURATION = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.{plugin}]]
  {command}
  environment = ["SENSETIG_SENSEHAT_BACKEND=simulated", "SENSETIG_SETTINGS=/dev/null"]
  {more}
  data_format = "influx"
[[outputs.file]]
  files = ["stdout"]
  data_format = "influx"
"""


@pytest.mark.engines
@pytest.mark.parametrize(
    ("plugin", "command", "more"),
    [
        ("execd", 'command = ["{python}", "-m", "collectors", "sensehat", "--execd"]', 'signal = "STDIN"'),
        ("exec", 'commands = [["{python}", "-m", "collectors", "sensehat"]]', 'timeout = "120s"'),
    ],
)
def test_telegraf_accepts_the_collectors_output(
    telegraf: Path, tmp_path: Path, plugin: str, command: str, more: str
) -> None:
    file = tmp_path / "telegraf.conf"
    file.write_text(CONFIGURATION.format(plugin=plugin, command=command.format(python=sys.executable), more=more))
    process = subprocess.Popen(
        [telegraf, "--config", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    watchdog = threading.Timer(240, process.kill)
    watchdog.start()
    found: dict[str, Metric] = {}
    try:
        for line in process.stdout:
            found.update(by_series(line))
            if len(found) == 5:
                break
    finally:
        watchdog.cancel()
        process.terminate()
        _, said = process.communicate(timeout=120)
    assert set(found) == {"hts221", "lps25h", "imu", "colour", "collector"}, said
    assert found["hts221"].series.tags["simulated"] == "true"
    assert errors_of(said) == []
