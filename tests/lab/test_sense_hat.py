"""The collector `sensehat` with sense-hat and RTIMULib on a simulated I²C bus."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from collectors.sensehat.orientation import heading
from collectors.sensehat.psychrometrics import dew_point
from collectors.sensehat.readings import Vector
from tests.lab.board import ACCELEROMETER, HTS221, LPS25H, MAGNETOMETER, MEASURED, TCS3400, Board
from tests.lab.guest import Guest, Program
from tests.lab.machines import Batch, Service, once, python, service

#: The measurement and the tag of each chip's points, and its fields.
FIELDS = {
    HTS221: ("hts221", ("temperature_raw_celsius", "humidity_raw_percent")),
    LPS25H: ("lps25h", ("temperature_raw_celsius", "pressure_hpa")),
    TCS3400: ("", ("red", "green", "blue", "clear")),
    ACCELEROMETER: ("", ("acceleration_x_g", "gyro_x_radians_per_second", "magnetic_x_microtesla")),
    MAGNETOMETER: ("", ("magnetic_x_microtesla",)),
}

#: The bus of a Raspberry Pi gives up a transfer after a second.
TIMEOUT_MILLISECONDS = 1000

#: Number of transfers in a batch whose transfers all time out, each after a second: far below the watchdog's 120 s.
MAX_TRANSFERS = 40

#: A chip that responds again costs one batch to be restarted.
MAX_BATCHES = 3


def read(batch: Batch) -> dict[str, float]:
    """The numbers of a batch by field; those of the two thermometers by sensor."""
    found: dict[str, float] = {}
    for point in batch.points:
        sensor = point.series.tags.get("sensor")
        for name, value in point.fields.items():
            found[f"{sensor}_{name}" if sensor else name] = float(value)
    return found


def names(chip: int) -> set[str]:
    """The names in :func:`read` of a chip's fields."""
    sensor, fields = FIELDS[chip]
    return {f"{sensor}_{name}" if sensor else name for name in fields}


def expected(**other: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """The value and its tolerance of each field on the board; noise is 3 counts."""
    measured = {**MEASURED, **other}
    celsius, humidity, pressure = (
        measured[name][0] / divisor for name, divisor in (("temperature", 1000), ("humidity", 1000), ("pressure", 100))
    )
    # RTIMULib turns the axes of the chip into those of the board.
    ax, ay, az = (value / 1000 for value in measured["acceleration"])
    mx, my, mz = (value / 1000 for value in measured["magnetic"])
    acceleration, magnetic = Vector(-ax, -ay, az), Vector(-mx, my, -mz)
    clear, red, green, blue = measured["colour"]
    found = {
        "hts221_temperature_raw_celsius": (celsius, 0.1),
        "hts221_humidity_raw_percent": (humidity, 0.1),
        "hts221_dew_point_celsius": (dew_point(celsius, humidity), 0.2),
        "lps25h_temperature_raw_celsius": (celsius, 0.1),
        "lps25h_pressure_hpa": (pressure, 0.1),
        "heading_degrees": (heading(acceleration, magnetic), 2.0),
        "red": (red, 0),
        "green": (green, 0),
        "blue": (blue, 0),
        "clear": (clear, 0),
    }
    for axis, g, tesla in zip("xyz", acceleration, magnetic, strict=True):
        found[f"acceleration_{axis}_g"] = (g, 0.01)
        found[f"gyro_{axis}_radians_per_second"] = (0.0, 0.05)  # RTIMULib subtracts its estimate of the bias
        found[f"magnetic_{axis}_microtesla"] = (tesla, max(0.3, 0.02 * abs(tesla)))
    return found


def wrong(batch: Batch) -> dict[str, tuple[float | None, float]]:
    """Each value that is missing or differs from the measured one, with that."""
    found = read(batch)
    return {
        name: (found.get(name), value)
        for name, (value, tolerance) in expected().items()
        if name not in found or not math.isclose(found[name], value, rel_tol=0, abs_tol=tolerance)
    }


def assert_measured(batch: Batch) -> None:
    """The batch has every value that the board measures, and no error."""
    assert wrong(batch) == {}
    assert (batch.own["errors"], batch.own["up"]) == (0, 1), batch


@pytest.fixture(scope="module")
def collector(guest: Guest, board: Board, joystick: Program) -> Iterator[Service]:
    """The collector as a service, which all tests share: the start of a process takes most of the time."""
    del joystick
    board.plug()
    with service(guest, "sensehat") as started:
        yield started


@pytest.fixture
def running(board: Board, collector: Service) -> Service:
    """The same on a healthy board."""
    board.plug()
    recovered(collector)
    assert_measured(collector.batch())
    return collector


def recovered(collector: Service) -> Batch:
    """The first batch without an error, at most the third."""
    for _ in range(MAX_BATCHES):
        batch = collector.batch()
        if batch.own["errors"] == 0:
            return batch
    raise AssertionError(batch)


def test_the_first_batch_of_a_process_has_every_value(guest: Guest, board: Board, joystick: Program) -> None:
    del board, joystick
    batch, done = once(guest, "sensehat")
    assert_measured(batch)
    assert done.stderr == ""
    assert {point.series.tags["device"] for point in batch.points} == {"lab"}


def test_values_follow_the_sensors(board: Board, running: Service) -> None:
    changed = {
        "humidity": (81_500,),
        "temperature": (-4_000,),
        "pressure": (87_000,),
        "acceleration": (0, 0, -1_000),
        "colour": (65_535, 3, 4, 5),
    }
    for name, values in changed.items():
        board.measure(name, *values)
    running.batch()  # a conversion may have begun before the change
    batch = running.batch()
    found, wanted = read(batch), expected(**changed)
    for name in ("hts221_humidity_raw_percent", "hts221_temperature_raw_celsius", "lps25h_pressure_hpa", "clear"):
        assert found[name] == pytest.approx(wanted[name][0], abs=wanted[name][1]), name
    assert found["acceleration_z_g"] == pytest.approx(-1, abs=0.01)
    assert batch.own["errors"] == 0


@pytest.mark.parametrize("chip", [HTS221, LPS25H, TCS3400, MAGNETOMETER], ids=hex)
def test_a_chip_that_never_answers_costs_its_own_values_only(
    guest: Guest, board: Board, joystick: Program, chip: int
) -> None:
    del joystick
    board.absent(chip)
    batch, done = once(guest, "sensehat")
    found = read(batch)
    # A magnetometer that RTIMULib cannot start takes the rest of the IMU with it.
    lost = names(chip) | (names(ACCELEROMETER) if chip == MAGNETOMETER else set())
    assert not lost & found.keys()
    for other in FIELDS:
        if not names(other) & lost:
            assert names(other) <= found.keys()
    assert batch.own["up"] == 1
    # sense-hat takes a board without the colour sensor for one of the first edition.
    assert bool(batch.own["errors"]) == bool(done.stderr) == (chip != TCS3400)


@pytest.mark.parametrize("chip", FIELDS, ids=hex)
def test_a_chip_that_loses_contact_delivers_no_old_values_and_comes_back(
    board: Board, running: Service, chip: int
) -> None:
    board.absent(chip)
    batch = running.batch()
    assert not names(chip) & read(batch).keys()
    assert batch.own["errors"]
    assert batch.own["up"] == 1
    board.absent()
    recovered(running)
    assert_measured(running.batch())


@pytest.mark.parametrize("chip", [HTS221, LPS25H, TCS3400, ACCELEROMETER], ids=hex)
def test_a_chip_that_loses_power_is_started_again(board: Board, running: Service, chip: int) -> None:
    for each in (MAGNETOMETER, ACCELEROMETER) if chip == ACCELEROMETER else (chip,):
        board.reset(each)  # accelerometer and magnetometer are one chip
    batch = running.batch()
    assert not names(chip) & read(batch).keys()
    assert batch.own["errors"] == 1
    recovered(running)
    assert_measured(running.batch())


def test_the_bytes_of_an_axis_are_of_one_conversion(board: Board, running: Service) -> None:
    board.convert_at_each_transfer(on=True)
    for _ in range(MAX_BATCHES):
        assert_measured(running.batch())


def test_another_program_that_opens_the_board_spoils_no_value(guest: Guest, board: Board, running: Service) -> None:
    board.convert_at_each_transfer(on=True)
    python(guest, "from sense_hat import SenseHat\nSenseHat().get_orientation()")
    assert wrong(running.batch()).keys() <= names(TCS3400)  # the library changes the settings of the colour sensor
    recovered(running)
    assert_measured(running.batch())


def test_a_bus_that_hangs_costs_a_bounded_time_and_comes_back(board: Board, running: Service) -> None:
    board.hang(TIMEOUT_MILLISECONDS)
    before = board.transfers()
    batch = running.batch()
    assert batch.points == []
    assert batch.own["errors"]
    assert board.transfers() - before <= MAX_TRANSFERS
    board.hang(0)
    recovered(running)
    assert_measured(running.batch())


def test_a_board_that_is_missing_at_the_start_is_found_later(guest: Guest, board: Board, joystick: Program) -> None:
    del joystick
    board.unplug()
    with service(guest, "sensehat", "--backend", "hat") as started:
        first = started.printed()
        assert first.own["up"] == 0
        assert "RPi-Sense FB" in str(first.own["reason"])
        board.plug()
        started.request_until_up()
