"""Dew point, humidity at another temperature, CPU heat, and the heading."""

from __future__ import annotations

import csv
import doctest
import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.sensehat import orientation, psychrometrics
from collectors.sensehat.orientation import heading
from collectors.sensehat.psychrometrics import (
    dew_point,
    factor_from_reference,
    humidity_at,
    saturation_vapour_pressure,
    without_cpu_heat,
)
from collectors.sensehat.readings import Vector
from tests.doubles import sense_hat

RECORDING = Path(__file__).resolve().parents[3] / "shared/data/sensehat/astro_pi_2015-08.csv.gz"

celsius = st.floats(-30, 60)
percent = st.floats(1, 100)


@pytest.mark.parametrize("module", [psychrometrics, orientation, sense_hat])
def test_docstring_examples(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize(
    ("temperature", "hpa"),
    # Goff-Gratch values of the Smithsonian Meteorological Tables, which the formula follows within 0.3 %.
    [(0.0, 6.1078), (10.0, 12.272), (20.0, 23.373), (30.0, 42.430), (40.0, 73.777)],
)
def test_saturation_vapour_pressure_matches_the_tables(temperature: float, hpa: float) -> None:
    assert saturation_vapour_pressure(temperature) == pytest.approx(hpa, rel=0.003)


@given(celsius)
def test_saturated_air_is_at_its_dew_point(temperature: float) -> None:
    assert dew_point(temperature, 100) == pytest.approx(temperature, abs=1e-9)


def test_a_trace_of_vapour_has_a_dew_point() -> None:
    assert dew_point(0.0, math.ulp(0.0)) < -200


@given(celsius, percent, celsius)
def test_warming_does_not_change_the_dew_point(temperature: float, humidity: float, other: float) -> None:
    point = dew_point(temperature, humidity)
    assert dew_point(other, humidity_at(other, point)) == pytest.approx(point, abs=1e-6)


@given(celsius, percent)
def test_warming_lowers_the_relative_humidity(temperature: float, humidity: float) -> None:
    assert humidity_at(temperature + 5, dew_point(temperature, humidity)) < humidity


@pytest.mark.parametrize("humidity", [0.0, -1.0, math.nan])
def test_dry_air_has_no_dew_point(humidity: float) -> None:
    with pytest.raises(ValueError, match="has no dew point; it must be above 0"):
        dew_point(20.0, humidity)


@given(st.floats(10, 35), st.floats(1, 15), st.floats(1, 40))
def test_factor_from_a_reference_returns_the_reference(reference: float, above: float, further: float) -> None:
    raw, cpu = reference + above, reference + above + further
    factor = factor_from_reference(raw, cpu, reference)
    assert without_cpu_heat(raw, cpu, factor) == pytest.approx(reference)


@pytest.mark.parametrize(("raw", "cpu", "reference"), [(25, 24, 20), (20, 45, 25), (25, 25, 20)])
def test_contradictory_readings_give_no_factor(raw: float, cpu: float, reference: float) -> None:
    with pytest.raises(ValueError, match="must be warmer than the sensor"):
        factor_from_reference(raw, cpu, reference)


@given(st.floats(0, 359.9), st.floats(-80, 80), st.floats(-180, 180))
def test_heading_does_not_depend_on_tilt(yaw: float, pitch: float, roll: float) -> None:
    psi, theta, phi = (math.radians(angle) for angle in (yaw, pitch, roll))
    north, east = 20 * math.cos(psi), -20 * math.sin(psi)
    x, down = north * math.cos(theta) - 45 * math.sin(theta), north * math.sin(theta) + 45 * math.cos(theta)
    magnetic = Vector(x, east * math.cos(phi) + down * math.sin(phi), down * math.cos(phi) - east * math.sin(phi))
    gravity = Vector(-math.sin(theta), math.sin(phi) * math.cos(theta), math.cos(phi) * math.cos(theta))
    difference = (heading(gravity, magnetic) - yaw + 180) % 360 - 180
    assert abs(difference) < 1e-6


def test_without_gravity_or_perpendicular_field_there_is_no_heading() -> None:
    with pytest.raises(ValueError, match="an acceleration of exactly 0"):
        heading(Vector(0, 0, 0), Vector(1, 2, 3))
    with pytest.raises(ValueError, match="no component perpendicular to gravity"):
        heading(Vector(0, 0, 1), Vector(0, 0, 45))


def test_heading_matches_the_yaw_of_a_real_boards_fusion() -> None:
    if not RECORDING.is_file():
        pytest.skip(f"no recording: {RECORDING.name} is not in shared/data beside the project")
    differences = []
    with gzip.open(RECORDING, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if float(row["accel_z"]) < 0.9:
                continue  # stood on its side, where yaw and roll are one turn
            axes = {name: Vector(*(float(row[f"{name}_{axis}"]) for axis in "xyz")) for name in ("accel", "mag")}
            difference = heading(axes["accel"], axes["mag"]) - float(row["yaw"])
            differences.append(abs((difference + 180) % 360 - 180))
    differences.sort()
    assert len(differences) == 3901
    assert differences[len(differences) * 9 // 10] < 0.12
