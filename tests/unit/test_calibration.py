"""The calibration of one device: parsing its file, and applying it to values."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.telemetry.calibration import (
    CalibrationError,
    Curve,
    entries,
    file_name,
    output_field,
    read,
    time_ns,
)
from collectors.telemetry.curves import is_monotone, polynomial, two_point

HEAD = '[[calibration]]\nmeasurement = "environment"\nfield = "temperature_raw_celsius"\n'
DAY_NS = 86_400 * 10**9
NOVEMBER_NS = time_ns(date(2026, 11, 1), "here", "time")

readings = st.floats(-1000, 1000, allow_subnormal=False)


def entry(body: str, valid_from: str = "2026-11-01", head: str = HEAD) -> str:
    return f"{head}valid_from = {valid_from}\n{body}\n"


def only(text: str) -> Curve:
    (curve,) = read(text, "pi-1.toml")
    return curve


@pytest.mark.parametrize(
    ("body", "raw", "calibrated"),
    [
        ('kind = "offset"\noffset = -4.5', 20.0, 15.5),
        ('kind = "gain"\ngain = 2', 20.0, 40.0),
        ('kind = "gain"\ngain = 2\noffset = -1.5', 20.0, 38.5),
        ('kind = "gain"\ngain = 1\noffset = -1.5', 20.0, 18.5),
        ('kind = "two_point"\npairs = [[10, 9], [30, 31.0]]', 20.0, 20.0),
        ('kind = "polynomial"\ncoefficients = [1, 2]', 3.0, 7.0),
        ('kind = "polynomial"\ncoefficients = [1, 2, 3]', 3.0, 34.0),
        ('kind = "polynomial"\ncoefficients = [1, 2, 3, 4]', 3.0, 142.0),
    ],
)
def test_each_kind_of_curve_converts_as_declared(body: str, raw: float, calibrated: float) -> None:
    assert only(entry(body)).apply(raw) == calibrated


def test_a_curve_says_where_it_belongs_and_from_when_it_holds() -> None:
    curve = only(entry('sensor = "hts221"\nkind = "offset"\noffset = 1', "2026-11-01T12:00:00+02:00"))
    assert curve[:3] == ("environment", "temperature_raw_celsius", "hts221")
    assert curve.output == "temperature_calibrated_celsius"
    assert curve.valid_from_ns == NOVEMBER_NS + 10 * 3600 * 10**9


@pytest.mark.parametrize(
    "spelled",
    ["2026-11-01", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00", '"2026-11-01"', '"2026-11-01T01:00:00+01:00"'],
)
def test_a_time_is_utc_where_it_has_no_zone(spelled: str) -> None:
    assert only(entry('kind = "offset"\noffset = 1', spelled)).valid_from_ns == NOVEMBER_NS


def test_entries_of_one_output_follow_each_other_also_when_their_source_changes() -> None:
    compensated = HEAD.replace("_raw_", "_compensated_")
    text = entry('kind = "offset"\noffset = 2', "2026-11-03", compensated) + entry('kind = "offset"\noffset = 1')
    first, second = read(text, "pi-1.toml")
    assert first.field == "temperature_raw_celsius"
    assert (first.valid_from_ns, first.valid_until_ns) == (NOVEMBER_NS, NOVEMBER_NS + 2 * DAY_NS)
    assert second.field == "temperature_compensated_celsius"
    assert second.valid_until_ns > second.valid_from_ns == first.valid_until_ns


def test_an_end_leaves_the_time_after_it_without_a_curve() -> None:
    text = entry('kind = "offset"\noffset = 1') + entry('kind = "end"', "2026-11-02")
    assert only(text).valid_until_ns == NOVEMBER_NS + DAY_NS


def test_two_sensors_and_two_fields_are_calibrated_independently() -> None:
    pressure = '[[calibration]]\nmeasurement = "environment"\nfield = "pressure_hpa"\n'
    text = (
        entry('sensor = "hts221"\nkind = "offset"\noffset = 1')
        + entry('sensor = "lps25h"\nkind = "offset"\noffset = 2')
        + entry('kind = "offset"\noffset = 3', head=pressure)
    )
    assert [(curve.sensor, curve.output, curve.apply(0.0)) for curve in read(text, "x")] == [
        ("hts221", "temperature_calibrated_celsius", 1.0),
        ("lps25h", "temperature_calibrated_celsius", 2.0),
        (None, "pressure_calibrated_hpa", 3.0),
    ]


OFFSET = 'kind = "offset"\noffset = 1'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"expected entries, each under \[\[calibration\]\]"),
        ("calibration = 1", "expected entries"),
        ("calibration = []", "expected entries"),
        ("gain = 2", "unknown key 'gain'"),
        ("a = [", "is not valid TOML"),
        ("a = " + "[" * 9000, "is not valid TOML"),
        ("a = " + "9" * 5000, "is not valid TOML"),
        ("#" * 300_000, "characters at most"),
        ("device = 3\n" + entry(OFFSET), "device is 3"),
        (f"device = 0x{'f' * 4000}\n" + entry(OFFSET), "device is a number of thousands of digits; it must be a text"),
        (entry(f'kind = "offset"\noffset = 0x{"f" * 4000}'), "offset is a number of thousands of digits; it must be a"),
        (f"device = {'9' * 4000}\n" + entry(OFFSET), "device is 9{57}\\.\\.\\.; it must be a text"),
        (entry(OFFSET, "2026-02-30"), "is not valid TOML"),
        (entry(OFFSET, '"yesterday"'), "entry 1: valid_from is 'yesterday'"),
        (entry(OFFSET, "12"), "valid_from is 12; it must be a date or a time"),
        (entry(OFFSET, "1600-01-01"), "outside the years 1677 to 2262"),
        (HEAD + OFFSET, "entry 1: valid_from is missing"),
        (entry("offset = 1"), "kind is missing"),
        (entry('kind = "spline"'), "kind is 'spline'; it must be one of offset, gain, two_point, polynomial, end"),
        (entry('kind = "offset"'), "offset is missing, which an entry of the kind offset needs"),
        (entry('kind = "offset"\noffset = "1"'), "offset is '1'; it must be a finite number"),
        (entry('kind = "offset"\noffset = true'), "offset is True; it must be a finite number"),
        (entry('kind = "offset"\noffset = nan'), "offset is nan; it must be a finite number"),
        (entry('kind = "offset"\noffset = ' + "9" * 400), r"offset is 9{57}\.\.\.; it must be a finite number"),
        (entry('kind = "offset"\noffset = 1\ngain = 2'), "gain is no key of an entry of the kind offset"),
        (entry('kind = "offset"\noffset = 1\ncolour = 2'), "unknown key 'colour'"),
        (entry('kind = "gain"\ngain = 0'), "gain is 0, which would make every value the same"),
        (entry('kind = "gain"\ngain = -0.0'), "gain is 0"),
        (entry('kind = "gain"\ngain = inf'), "gain is inf; it must be a finite number"),
        (entry('kind = "two_point"\npairs = [[1, 2]]'), "pairs are 1"),
        (entry('kind = "two_point"\npairs = [[1, 2], [1, 3]]'), "both pairs have the uncalibrated value 1"),
        (entry('kind = "two_point"\npairs = [[1, 2], [3, 2]]'), "both pairs have the reference 2"),
        (entry('kind = "two_point"\npairs = [[1, 2], [3]]'), "it must be pairs such as"),
        (entry('kind = "two_point"\npairs = [[1, 2], [3, "x"]]'), "pairs is 'x'; it must be a finite number"),
        (entry('kind = "two_point"\npairs = [[1, -1e308], [1.1, 1e308]]'), "too far apart"),
        (entry('kind = "polynomial"\ncoefficients = [1]'), "coefficients are 1; a polynomial has 2 to 7"),
        (entry('kind = "polynomial"\ncoefficients = [1, 2, 3, 4, 5, 6, 7, 8]'), "coefficients are 8"),
        (entry('kind = "polynomial"\ncoefficients = [1, 0, 0]'), "all coefficients but the first are 0"),
        (entry('kind = "polynomial"\ncoefficients = 3'), "it must be numbers in brackets"),
        (entry('kind = "polynomial"\ncoefficients = [0, -2, 1]\nrange = [0, 3]'), "turns back within the range 0 to 3"),
        (entry(OFFSET + "\nrange = [3, 0]"), "the lowest and the highest"),
        (entry(OFFSET + '\nby = ["Ada"]'), "by is"),
        (entry(OFFSET + "\ndegrees_of_freedom = 1.5"), "degrees_of_freedom is 1.5"),
        (entry(OFFSET + '\nsensor = ""'), "sensor is ''"),
        (entry(OFFSET, head=HEAD.replace("_raw_", "_calibrated_")), "which is calibrated already"),
        (entry(OFFSET) + entry(OFFSET), "two sources for one value"),
        (entry(OFFSET) + entry(OFFSET, head=HEAD.replace("_raw_", "_compensated_")), "two sources for one value"),
        (entry(OFFSET) + entry(OFFSET + '\nsensor = "hts221"', "2026-12-01"), "one for any sensor at the same time"),
    ],
)
def test_an_error_is_one_sentence_with_the_file(text: str, said: str) -> None:
    with pytest.raises(CalibrationError, match=said) as caught:
        read(text, "/etc/pi-1.toml")
    assert str(caught.value).startswith("/etc/pi-1.toml")
    assert "\n" not in str(caught.value)


def test_a_sensor_may_have_its_own_entry_once_the_general_one_has_ended() -> None:
    text = entry(OFFSET) + entry('kind = "end"', "2026-11-02") + entry(OFFSET + '\nsensor = "hts221"', "2026-11-02")
    assert [curve.sensor for curve in read(text, "x")] == [None, "hts221"]


def test_a_file_copied_from_another_device_is_refused() -> None:
    with pytest.raises(CalibrationError, match="is the calibration of 'pi-2'"):
        read('device = "pi-2"\n' + entry(OFFSET), "pi-1.toml", "pi-1")


def test_an_entry_keeps_who_when_and_with_what() -> None:
    (found,) = entries(entry(OFFSET + '\nby = "Ada"\nreference = "PT100"\ncalibrated_at = 2026-11-01T10:00:00Z'), "x")
    assert (found.values["by"], found.values["reference"]) == ("Ada", "PT100")
    assert found.values["calibrated_at"] == datetime(2026, 11, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "output"),
    [
        ("humidity_raw_percent", "humidity_calibrated_percent"),
        ("gyro_x_radians_per_second", "gyro_x_calibrated_radians_per_second"),
        ("celsius", "celsius_calibrated"),
        ("flow_raw", "flow_calibrated"),
        ("raw", "raw_calibrated"),
        ("Temperature", "Temperature_calibrated"),
    ],
)
def test_the_output_is_added_next_to_its_source_with_the_same_unit(field: str, output: str) -> None:
    assert output_field(field) == output


@given(st.lists(st.text(max_size=300), min_size=2, max_size=2, unique=True))
def test_two_devices_never_share_a_file_and_none_leaves_the_folder(devices: list[str]) -> None:
    names = [file_name(device) for device in devices]
    assert names[0] != names[1]
    for name in names:
        assert name.isascii()
        assert len(name) < 220
        assert "/" not in name
        assert not name.startswith(".")


gaps = st.floats(1e-3, 1000) | st.floats(-1000, -1e-3)


@given(readings, readings, gaps, gaps)
def test_a_two_point_curve_passes_through_its_points(raw: float, true: float, gap: float, true_gap: float) -> None:
    curve = two_point([(raw, true), (raw + gap, true + true_gap)])
    assert curve(raw) == true
    assert curve(raw + gap) == pytest.approx(true + true_gap, abs=1e-9)


@given(st.lists(readings, min_size=2, max_size=7), st.floats(-100, 100))
def test_a_polynomial_is_what_exact_arithmetic_makes_it(coefficients: list[float], value: float) -> None:
    exact = sum(Fraction(each) * Fraction(value) ** power for power, each in enumerate(coefficients))
    size = sum(abs(each) * abs(value) ** power for power, each in enumerate(coefficients))
    assert abs(polynomial(tuple(coefficients))(value) - float(exact)) <= 1e-14 * size + 1e-300


@given(st.lists(st.integers(-40, 40).map(lambda place: place / 4), min_size=1, max_size=4, unique=True))
def test_a_polynomial_turns_back_exactly_where_its_slope_changes_sign(roots: list[float]) -> None:
    slope = [1.0]
    for root in roots:
        slope = [low - root * high for low, high in zip([0.0, *slope], [*slope, 0.0], strict=True)]
    coefficients = [0.0, *(each / power for power, each in enumerate(slope, 1))]
    ordered = sorted(roots)
    for root in ordered:
        assert not is_monotone(coefficients, root - 0.05, root + 0.05)
    for low, high in zip([-12.0, *ordered], [*ordered, 12.0], strict=True):
        assert is_monotone(coefficients, low + 1e-3, high - 1e-3)


def test_arithmetic_that_overflows_gives_no_exception() -> None:
    assert not math.isfinite(polynomial((0.0, 1e300, 1e300))(1e300))
