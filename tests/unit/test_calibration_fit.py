"""The curve through pairs, the compensation factor for the CPU's heat, and the uncertainty of both."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetig.calibration import CalibrateError, fit, heat, sources
from sensetig.calibration.pairs import Pair, Reference, Sample, matched, read_pairs, read_references

REAL = Path(__file__).resolve().parents[3] / "shared/data/sensehat/astro_pi_2015-08.csv.gz"

FIELD = "temperature_raw_celsius"


def made(curve: Callable[[float], float], count: int, noise: float, seed: int) -> list[Pair]:
    chance = random.Random(seed)
    raws = [10 + 25 * place / (count - 1) for place in range(count)]
    return [Pair(raw, curve(raw) + chance.gauss(0, noise)) for raw in raws]


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ([Pair(20, 19)], "offset"),
        ([Pair(20, 19), Pair(22, 21)], "offset"),
        ([Pair(20, 19), Pair(20, 21), Pair(20, 20)], "offset"),
        ([Pair(20, 19), Pair(30, 28)], "two_point"),
        ([Pair(20, 19), Pair(25, 24), Pair(30, 28)], "gain"),
    ],
)
def test_the_kind_follows_from_number_and_spread_of_the_pairs(pairs: list[Pair], kind: str) -> None:
    assert fit.choose(pairs, FIELD) == kind


def test_a_field_without_a_known_unit_takes_a_line_through_any_two_values() -> None:
    assert fit.choose([Pair(0.1, 1), Pair(0.2, 2)], "voltage") == "two_point"


def test_an_offset_is_the_mean_difference_with_the_means_uncertainty() -> None:
    result = fit.fit([Pair(20, 19), Pair(20, 19.2), Pair(21, 19.8), Pair(21, 20.0)], "offset")
    assert result.coefficients == pytest.approx((-1.0, 1.0))
    assert result.degrees_of_freedom == 3
    assert result.uncertainties == pytest.approx((np.std([-1, -0.8, -1.2, -1.0], ddof=1) / 2,))
    assert result.most == pytest.approx(0.2)


def test_a_line_and_its_uncertainty_are_those_of_the_textbook() -> None:
    raw = np.array([10.0, 15, 20, 25, 30, 35])
    reference = np.array([8.9, 14.2, 18.9, 24.3, 28.8, 34.1])
    result = fit.fit([Pair(*pair) for pair in zip(raw, reference, strict=True)], "gain")
    slope = ((raw - raw.mean()) * (reference - reference.mean())).sum() / ((raw - raw.mean()) ** 2).sum()
    start = reference.mean() - slope * raw.mean()
    variance = ((reference - start - slope * raw) ** 2).sum() / 4
    spread = ((raw - raw.mean()) ** 2).sum()
    assert result.coefficients == pytest.approx((start, slope))
    assert result.degrees_of_freedom == 4
    assert result.uncertainties == pytest.approx(
        (np.sqrt(variance * (1 / 6 + raw.mean() ** 2 / spread)), np.sqrt(variance / spread))
    )
    at = 50.0
    assert result.uncertainty_at(at) == pytest.approx(np.sqrt(variance * (1 / 6 + (at - raw.mean()) ** 2 / spread)))


def test_two_points_give_no_uncertainty() -> None:
    result = fit.fit([Pair(10, 9), Pair(30, 31)], "two_point")
    assert (result.degrees_of_freedom, result.uncertainties, result.uncertainty_at(20)) == (0, None, None)
    assert any("so it is unknown" in warning for warning in fit.warnings(result, FIELD))


@given(
    st.lists(st.integers(-50, 50), min_size=5, max_size=12, unique=True),
    st.tuples(st.floats(-5, 5), st.floats(0.9, 1.1), st.floats(-1e-3, 1e-3)),
)
def test_pairs_that_lie_on_a_parabola_give_it_back(raws: list[int], true: tuple[float, float, float]) -> None:
    pairs = [Pair(raw, true[0] + true[1] * raw + true[2] * raw**2) for raw in raws]
    result = fit.fit(pairs, "polynomial", 2)
    for pair in pairs:
        assert result.at(pair.raw) == pytest.approx(pair.reference, abs=1e-9)


def test_the_true_line_lies_within_the_stated_uncertainty_as_often_as_it_should() -> None:
    within = 0
    for seed in range(400):
        result = fit.fit(made(lambda raw: 0.95 * raw - 3, 12, 0.2, seed), "gain")
        uncertainties = result.uncertainties
        assert uncertainties is not None
        within += abs(result.coefficients[1] - 0.95) <= uncertainties[1]
    # One standard uncertainty with ten degrees of freedom holds 65.9 %; four deviations of 400 draws are 9.5 %.
    assert 0.56 < within / 400 < 0.76


@pytest.mark.parametrize(
    ("pairs", "kind", "degree", "said"),
    [
        ([Pair(20, 19)], "gain", 2, "needs as many pairs at different values, and there is 1"),
        ([Pair(20, 19), Pair(20, 18)], "gain", 2, "needs as many pairs at different values"),
        ([Pair(20, 19), Pair(25, 24)], "polynomial", 2, "this polynomial has 3 coefficients"),
        ([Pair(20, 19), Pair(25, 24), Pair(30, 29)], "two_point", 2, "has 2 pairs, and there are 3"),
        ([Pair(20, 19)], "polynomial", 0, "degree 0 is not possible"),
        ([Pair(20, 19)], "polynomial", 9, "degree 9 is not possible"),
        ([Pair(20, 30), Pair(30, 20)], "two_point", 2, "does not rise"),
        ([Pair(20, 20), Pair(30, 20)], "gain", 2, "does not rise"),
        ([Pair(20, 20), Pair(30, 40), Pair(31, 22)], "gain", 2, "no such curve follows the pairs"),
        ([Pair(20, 10), Pair(20, 20), Pair(20, 30)], "offset", 2, "no offset follows the pairs"),
        ([], "offset", 2, "there are 0"),
    ],
)
def test_nonsense_is_refused_with_the_reason(pairs: list[Pair], kind: str, degree: int, said: str) -> None:
    with pytest.raises(CalibrateError, match=said):
        fit.fit(pairs, kind, degree)


def test_a_pair_that_was_misread_is_pointed_at() -> None:
    pairs = made(lambda raw: raw - 4, 8, 0.05, 1)
    pairs[5] = pairs[5]._replace(reference=pairs[5].reference + 3)
    assert any(warning.startswith("pair 6 ") for warning in fit.warnings(fit.fit(pairs, "gain"), FIELD))
    assert not any("misread" in warning for warning in fit.warnings(fit.fit(made(abs, 8, 0.05, 1), "gain"), FIELD))


def test_pairs_that_repeat_each_other_count_as_fewer() -> None:
    chance = random.Random(3)
    error, wandering = 0.0, []
    for place in range(400):
        error = 0.95 * error + chance.gauss(0, 0.1)
        wandering.append(Pair(10 + place / 20, 10 + place / 20 + error))
    result = fit.fit(wandering, "gain")
    assert 5 < result.effective < 25
    assert any("count as" in warning for warning in fit.warnings(result, FIELD))
    assert fit.fit(made(abs, 400, 0.1, 1), "gain").effective > 300


def test_what_an_entry_keeps_of_many_pairs_is_their_number_not_themselves() -> None:
    assert "pairs" not in fit.keys(fit.fit(made(abs, 200, 0.1, 1), "gain"))
    assert len(fit.keys(fit.fit(made(abs, 5, 0.1, 1), "gain"))["pairs"]) == 5


def warmed(factor: float, noise: float, seed: int, count: int = 60, offset: float = 0.0) -> list[Pair]:
    """A Pi between idle and busy, with sensor readings that follow from the factor."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(count):
        air, cpu = chance.uniform(18, 24), chance.uniform(40, 70)
        raw = (cpu + factor * air) / (1 + factor)
        pairs.append(Pair(raw + offset, air + chance.gauss(0, noise), cpu))
    return pairs


@pytest.mark.parametrize("factor", [0.8, 1.6, 2.5])
def test_the_factor_that_made_the_readings_is_found_within_its_stated_uncertainty(factor: float) -> None:
    within = 0
    for seed in range(200):
        found = heat.find_factor(warmed(factor, 0.2, seed))
        assert found.uncertainty is not None
        assert found.factor == pytest.approx(factor, abs=5 * found.uncertainty)
        within += abs(found.factor - factor) <= found.uncertainty
    # 68 % of them by one standard uncertainty; four standard deviations of 200 draws are 13 %.
    assert 0.55 < within / 200 < 0.81


def test_the_astro_pi_with_a_made_up_room_gives_its_factor_back() -> None:
    if not REAL.is_file():
        pytest.skip("no recordings: ../shared/data/sensehat is not there")
    place = sources.Place("astro", "environment", FIELD, "hts221")
    samples = [sample for sample in sources.recorded(str(REAL), place, lambda _: None) if sample.cpu is not None][::60]
    chance = random.Random(1)
    pairs = [
        Pair(sample.raw, sample.raw - (float(sample.cpu or 0) - sample.raw) / 1.7 + chance.gauss(0, 0.1), sample.cpu)
        for sample in samples
    ]
    assert len(pairs) > 300
    found = heat.find_factor(pairs)
    assert found.uncertainty is not None
    assert found.factor == pytest.approx(1.7, abs=3 * found.uncertainty)
    assert found.uncertainty < 0.01


def test_a_sensor_offset_is_distinguished_from_the_cpus_heat() -> None:
    found = heat.find_factor(warmed(1.6, 0.1, 1, offset=1.0))
    assert found.own is not None
    assert found.own.error == pytest.approx(1.0, abs=4 * found.own.uncertainty)
    assert found.own.factor == pytest.approx(1.6, abs=0.02)
    said = heat.warnings(found)
    assert any("the sensor itself seems" in warning for warning in said)
    assert not any("itself seems" in warning for warning in heat.warnings(heat.find_factor(warmed(1.6, 0.1, 1))))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([Pair(25, 20)], "the CPU's temperature is missing"),
        ([], "the CPU's temperature is missing"),
        ([Pair(25, 27, 40)], "the CPU must warm the sensor"),
        ([Pair(25, 20, 25)], "the CPU must warm the sensor"),
        ([Pair(25, 24.99, 60)], "no case gives one beyond"),
        ([Pair(30, 20, 50), Pair(30, 29.5, 50), Pair(30, 12, 50)], "no factor follows the readings"),
    ],
)
def test_readings_without_a_factor_are_refused_with_the_reason(pairs: list[Pair], said: str) -> None:
    with pytest.raises(CalibrateError, match=said):
        heat.find_factor(pairs)


def test_a_reference_makes_a_pair_with_the_mean_of_the_samples_around_it() -> None:
    samples = [Sample(second * 10**9, float(second), 40.0) for second in (70, 60, 50, 200)]
    pairs = matched(samples, [Reference(60 * 10**9, 5.0), Reference(500 * 10**9, 6.0)], 10)
    assert pairs == [Pair(60.0, 5.0, 40.0)]


def test_tables_are_read_by_the_names_of_their_columns() -> None:
    assert read_pairs("note,reference,raw\nkitchen,19,20.5\n\n,20, 21\n", "x") == [Pair(20.5, 19.0), Pair(21.0, 20.0)]
    assert read_pairs("\ufeffraw,cpu,reference\n20,50,19\n", "x") == [Pair(20.0, 19.0, 50.0)]
    assert read_references("time,reference\n1970-01-01 00:01:00,19\n", "x") == [Reference(60 * 10**9, 19.0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected the columns raw, reference"),
        ("raw;reference\n1;2\n", "line 1: expected the columns"),
        ("raw,raw,reference\n1,2,3\n", "line 1: expected the columns"),
        ("raw,reference\n", "has no row"),
        ("raw,reference\n1\n", "line 2: expected 2 cells, and got 1"),
        ("raw,reference\n1,2\n1,warm\n", "line 3: reference is 'warm'"),
        ("raw,reference\n1,nan\n", "must be a finite number"),
        ('raw,reference\n"1,2\n', "expected cells between commas"),
    ],
)
def test_an_error_in_a_table_names_its_line(text: str, said: str) -> None:
    with pytest.raises(CalibrateError, match=f"pairs.csv.*{said}"):
        read_pairs(text, "pairs.csv")
    with pytest.raises(CalibrateError, match="line 2: time is 'noon'"):
        read_references("time,reference\nnoon,19\n", "x")
