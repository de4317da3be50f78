"""The telemetry pipeline: passing, calibrating and rejecting lines without losing any."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.core.line_protocol_parser import ParseError, decode
from collectors.telemetry.measurements import REJECTED
from tests.schema_check import violations
from tests.unit.telemetry_support import EARLIEST, NOW, SECOND, Stage, offset, reading, rejected

# --- what passes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "cpu,cpu=cpu-total usage_idle=98.2 1781600000000000000",
        'log message="a, \\"quoted\\" text\nover two lines" 1781600000000000000',
        "odd\\ name,tag=a\\,b value=1i",
        "cpu usage_idle=1\r",
        'latin,name=\udce9 text="\udcff" 5',
    ],
)
def test_a_line_of_another_measurement_passes_byte_for_byte(line: str) -> None:
    assert Stage().run(line) == [line]


@pytest.mark.parametrize("more", ["", ",note=\"a 'quoted' text\"", ",humidity_raw_percent=45.1", ",count=3i,flag=true"])
def test_a_line_with_nothing_wrong_goes_out_as_it_came(more: str) -> None:
    stage = Stage()
    lines = [reading(20 + number / 10, number, more=more) for number in range(3)]
    assert stage.run(*lines) == lines


def test_a_string_with_a_line_break_goes_out_as_it_came() -> None:
    line = reading(20, more=',note="first\nsecond"')
    assert Stage().run(line) == [line]


def test_blank_lines_and_comments_are_left_out() -> None:
    assert Stage().run("", "  ", "# environment a=1") == []


def test_a_line_without_a_time_gets_that_of_its_arrival() -> None:
    out = Stage().metrics("environment,device=pi temperature_raw_celsius=20")
    assert [metric.time_ns for metric in out] == [NOW]


@pytest.mark.parametrize("before", [[], [reading(20, -10), reading(20.5, -5)]])
def test_a_line_whose_calibration_fails_passes_unchanged_and_is_reported(before: list[str]) -> None:
    def fail(value: float) -> float:
        raise RuntimeError(f"no curve for {value}")

    broken = offset(1.0, since_ns=NOW - 86400 * SECOND)._replace(apply=fail)
    stage = Stage(curves={"pi": (broken,)})
    good = reading(21, device="other")
    assert stage.run(*before, reading(20, 1), good, reading(20, 2)) == [*before, reading(20, 1), good, reading(20, 2)]
    assert [sentence for sentence in stage.said if "RuntimeError: no curve for 20.0" in sentence] == stage.said
    assert len(stage.said) == 2


# --- calibration ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [(0,), (0, 10, 20)])
def test_the_calibrated_field_is_added_next_to_its_source(seconds: Sequence[float]) -> None:
    stage = Stage(curves={"pi": (offset(-4.0),)})
    out = stage.metrics(*(reading(29.5, at) for at in seconds))
    assert [dict(metric.fields) for metric in out] == [
        {"temperature_raw_celsius": 29.5, "temperature_calibrated_celsius": 25.5} for _ in seconds
    ]


def test_a_calibration_is_for_its_device_and_its_sensor() -> None:
    stage = Stage(curves={"pi": (offset(1.0, sensor="hts221"),)})
    out = stage.metrics(reading(20), reading(20, sensor="lps25h"), reading(20, device="other"))
    assert ["temperature_calibrated_celsius" in metric.fields for metric in out] == [True, False, False]


def test_each_sample_gets_the_calibration_that_held_when_it_was_taken() -> None:
    start = NOW - 86400 * SECOND
    curves = (
        offset(1.0, since_ns=start + 10 * SECOND, until_ns=start + 20 * SECOND),
        offset(
            2.0,
            field="temperature_compensated_celsius",
            since_ns=start + 20 * SECOND,
            until_ns=start + 30 * SECOND,
        ),
    )
    stage = Stage(curves={"pi": curves})
    more = ",temperature_compensated_celsius=10"
    out = stage.metrics(*(reading(20, at, more=more) for at in (5, 10, 19, 20, 29, 30, 15, 25, 6)))
    assert [metric.fields.get("temperature_calibrated_celsius") for metric in out] == [
        *(None, 21.0, 21.0, 12.0, 12.0, None),
        *(21.0, 12.0, None),
    ]


def test_a_calibration_that_changes_is_used_from_the_next_tick_on() -> None:
    stage = Stage(curves={"pi": (offset(1.0),)})
    stage.run(reading(20, 0), reading(20, 1))
    stage.calibrations.curves["pi"] = (offset(2.0),)
    stage.pipeline.tick()
    out = stage.metrics(reading(20, 2), reading(20, 3))
    assert [metric.fields["temperature_calibrated_celsius"] for metric in out] == [22.0, 22.0]
    assert stage.calibrations.asked == ["pi", "pi"]


def test_a_value_that_was_calibrated_before_keeps_that_calibration() -> None:
    stage = Stage(curves={"pi": (offset(1.0),)})
    out = stage.metrics(*(reading(20, at, more=",temperature_calibrated_celsius=19") for at in (0, 1)))
    assert [metric.fields["temperature_calibrated_celsius"] for metric in out] == [19.0, 19.0]


@pytest.mark.parametrize("before", [[], [reading(20, -10), reading(20.5, -5)]])
def test_a_calibration_that_overflows_is_refused_and_counted(before: list[str]) -> None:
    curve = offset(0.0)._replace(apply=lambda value: value * (1e308 if value > 21 else 1.0))
    stage = Stage(curves={"pi": (curve,)})
    stage.run(*before)
    out = stage.metrics(reading(22, 0))
    assert rejected(out) == [("not_a_number", "temperature_calibrated_celsius", 22.0)]
    assert dict(out[-1].fields) == {"temperature_raw_celsius": 22.0}


def test_a_calibrated_value_beyond_its_range_is_refused_alone() -> None:
    stage = Stage(curves={"pi": (offset(70.0),)})
    out = stage.metrics(reading(29, 0), reading(29.5, 1))
    assert rejected(out) == [
        ("out_of_range", "temperature_calibrated_celsius", 99.0),
        ("out_of_range", "temperature_calibrated_celsius", 99.5),
    ]
    assert [metric.fields.get("temperature_raw_celsius") for metric in out] == [None, 29.0, None, 29.5]


# --- validation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "sensor", "low", "high"),
    [
        ("temperature_raw_celsius", "unheard_of", -40, 80),
        ("temperature_raw_celsius", "hts221", -40, 80),
        ("temperature_raw_celsius", "lps25h", -30, 80),
        ("temperature_raw_celsius", "DHT11", -20, 60),
        ("temperature_cpu_celsius", "hts221", -40, 125),
        ("humidity_raw_percent", "hts221", 0, 100),
        ("humidity_raw_percent", "dht11", 5, 95),
        ("pressure_hpa", "unheard_of", 600, 1600),
        ("pressure_hpa", "lps25h", 600, 1260),
        ("dew_point_celsius", "hts221", -80, 100),
    ],
)
def test_a_value_within_its_range_is_taken_and_one_beyond_is_refused(
    field: str, sensor: str, low: float, high: float
) -> None:
    for value, taken in ((low, True), (high, True), (low - 0.01, False), (high + 0.01, False)):
        stage = Stage()
        line = f"environment,device=pi,sensor={sensor} {field}={value} {NOW}"
        out = stage.metrics(line)
        if taken:
            assert dict(out[0].fields) == {field: value}
        else:
            assert rejected(out) == [("out_of_range", field, value)]
            assert len(out) == 1


def test_a_refused_field_leaves_and_the_others_stay() -> None:
    out = Stage().metrics(reading(20), reading(200, 10, more=",humidity_raw_percent=45.5"))
    assert rejected(out) == [("out_of_range", "temperature_raw_celsius", 200.0)]
    assert dict(out[-1].fields) == {"humidity_raw_percent": 45.5}
    refusal = next(metric for metric in out if metric.series.measurement == "telemetry_rejected")
    assert refusal.time_ns == out[-1].time_ns
    assert dict(refusal.series.tags) == {
        "device": "pi",
        "measurement": "environment",
        "field": "temperature_raw_celsius",
        "reason": "out_of_range",
        "host": "pi",
    }
    assert list(violations(refusal, (REJECTED,))) == []


def test_fields_computed_from_a_rejected_value_are_rejected_too() -> None:
    stage = Stage(curves={"pi": (offset(1.0, field="temperature_compensated_celsius"),)})
    more = ",temperature_compensated_celsius=20,dew_point_celsius=5,humidity_raw_percent=40,pressure_hpa=1000"
    out = stage.metrics(reading(200, more=more))
    assert sorted(rejected(out)) == [
        ("out_of_range", "temperature_raw_celsius", 200.0),
        ("source_refused", "dew_point_celsius", 5.0),
        ("source_refused", "temperature_compensated_celsius", 20.0),
    ]
    assert dict(out[-1].fields) == {"humidity_raw_percent": 40.0, "pressure_hpa": 1000.0}


def test_a_calibrated_value_in_the_line_goes_with_its_refused_source() -> None:
    out = Stage().metrics(reading(200, more=",temperature_calibrated_celsius=20,humidity_raw_percent=40"))
    assert ("source_refused", "temperature_calibrated_celsius", 20.0) in rejected(out)
    assert dict(out[-1].fields) == {"humidity_raw_percent": 40.0}


@pytest.mark.parametrize("more", ["", ',note="text"'])
def test_a_spike_is_rejected_and_later_readings_are_accepted(more: str) -> None:
    out = Stage().metrics(*(reading(value, 5 * at, more=more) for at, value in enumerate((20, 20.1, 55, 20.2))))
    assert rejected(out) == [("rate_of_change", "temperature_raw_celsius", 55.0)]
    taken = [metric.fields.get("temperature_raw_celsius") for metric in out]
    assert [value for value in taken if value is not None] == [20.0, 20.1, 20.2]


def test_a_real_step_is_taken_once_enough_readings_agree() -> None:
    out = Stage().metrics(*(reading(value, 5 * at) for at, value in enumerate((20, 50, 50.1, 50.2, 50.1))))
    assert [value for _, _, value in rejected(out)] == [50.0, 50.1]
    assert [metric.fields.get("temperature_raw_celsius") for metric in out][-2:] == [50.2, 50.1]


def test_spikes_that_do_not_agree_never_make_a_step() -> None:
    values = (20, 70, -30, 70, -30, 70, 20.1)
    out = Stage().metrics(*(reading(value, 5 * at) for at, value in enumerate(values)))
    assert [value for _, _, value in rejected(out)] == [70.0, -30.0, 70.0, -30.0, 70.0]


def test_much_may_change_in_a_long_silence() -> None:
    assert rejected(Stage().metrics(reading(20, 0), reading(50, 3600))) == []


def test_a_stuck_sensor_is_refused_until_it_moves() -> None:
    file = {"environment": {"temperature_raw_celsius": {"stuck_after": 4}}}
    values = (20, 21, 21, 21, 21, 21, 21.5, 21.5)
    out = Stage(file=file).metrics(*(reading(value, 10 * at) for at, value in enumerate(values)))
    assert rejected(out) == [("stuck", "temperature_raw_celsius", 21.0)] * 2
    assert [m.fields.get("temperature_raw_celsius") for m in out if m.series.measurement == "environment"] == [
        *(20.0, 21.0, 21.0, 21.0, 21.5, 21.5),
    ]


def test_a_sensor_at_the_end_of_its_range_is_not_stuck() -> None:
    file = {"environment": {"humidity_raw_percent": {"stuck_after": 3}}}
    lines = [f"environment,device=pi humidity_raw_percent=100 {NOW - (9 - at) * SECOND}" for at in range(9)]
    assert Stage(file=file).run(*lines) == lines


@pytest.mark.parametrize("more", ["", ',note="text"'])
def test_a_spike_that_comes_again_is_refused_again(more: str) -> None:
    values = [(20, 0), (20.1, 5), (55, 10), (55, 10), (55, 10), (55, 10)]
    stage = Stage()
    out = stage.metrics(*(reading(value, at, more=more) for value, at in values))
    assert rejected(out) == [("rate_of_change", "temperature_raw_celsius", 55.0)] * 4
    # The same holds after later readings, because a redelivered one may come late.
    out = stage.metrics(*(reading(value, at, more=more) for value, at in [(20.2, 15), (20.3, 20), (55, 10), (20.1, 5)]))
    assert rejected(out) == [("rate_of_change", "temperature_raw_celsius", 55.0)]
    assert [m.fields.get("temperature_raw_celsius") for m in out if m.series.measurement == "environment"] == (
        [20.2, 20.3, 20.1] if not more else [20.2, 20.3, None, 20.1]
    )


def test_readings_of_a_step_agree_only_where_they_are_of_different_times() -> None:
    first, second, third = reading(50, 5), reading(50.1, 10), reading(50.2, 15)
    lines = [reading(20, 0), first, first, second, second, third, third, first, second, reading(50.3, 20)]
    out = Stage().metrics(*lines)
    # Each comes twice or more, and has the same fate each time.
    assert [value for _, _, value in rejected(out)] == [50.0, 50.0, 50.1, 50.1, 50.0, 50.1]
    taken = [metric.fields.get("temperature_raw_celsius") for metric in out]
    assert [value for value in taken if value is not None] == [20.0, 50.2, 50.2, 50.3]


def test_a_time_that_comes_again_with_another_value_is_held_against_the_reading_before() -> None:
    out = Stage().metrics(reading(20, 0), reading(20.1, 5), reading(55, 5), reading(20.2, 5))
    assert rejected(out) == [("rate_of_change", "temperature_raw_celsius", 55.0)]
    taken = [metric.fields.get("temperature_raw_celsius") for metric in out]
    assert [value for value in taken if value is not None] == [20.0, 20.1, 20.2]


@pytest.mark.parametrize("more", ["", ',note="text"'])
def test_a_reading_that_comes_again_does_not_make_a_sensor_stuck(more: str) -> None:
    file = {"environment": {"temperature_raw_celsius": {"stuck_after": 3}}}
    times = [0, 10, 10, 10, 0, 20, 20, 10, 0]
    out = Stage(file=file).metrics(*(reading(21, at, more=more) for at in times))
    assert rejected(out) == [("stuck", "temperature_raw_celsius", 21.0)] * 2
    taken = [metric.time_ns for metric in out if "temperature_raw_celsius" in metric.fields]
    first = NOW - 86400 * SECOND
    assert taken == [first + at * SECOND for at in (0, 10, 10, 10, 0, 10, 0)]


def test_fields_of_one_series_and_time_in_separate_lines_are_all_checked() -> None:
    head = "environment,device=pi,sensor=hts221"
    values = [(20, 45), (20.1, 45.2), (55, 45.1), (20.2, 95)]
    out = Stage().metrics(
        *(
            f"{head} {field} {NOW - (9 - at) * SECOND}"
            for at, (temperature, humidity) in enumerate(values)
            for field in (f"temperature_raw_celsius={temperature}", f"humidity_raw_percent={humidity}")
        )
    )
    assert rejected(out) == [
        ("rate_of_change", "temperature_raw_celsius", 55.0),
        ("rate_of_change", "humidity_raw_percent", 95.0),
    ]


def test_late_and_repeated_batches_are_no_error_and_leave_the_newest_reading_alone() -> None:
    lines = [reading(20, 1000), reading(60, 10), reading(61, 20), reading(20, 1000), reading(20.5, 1010)]
    stage = Stage()
    assert stage.run(*lines) == lines
    assert rejected(stage.metrics(reading(60, 1020))) == [("rate_of_change", "temperature_raw_celsius", 60.0)]


def test_a_whole_number_is_the_float_that_it_spells() -> None:
    out = Stage(names=("environment", "colour")).metrics(
        f"environment,device=pi temperature_raw_celsius=21i {NOW}", f"colour,device=pi red=12,gain=4i {NOW}"
    )
    assert [dict(metric.fields) for metric in out] == [{"temperature_raw_celsius": 21.0}, {"red": 12, "gain": 4}]
    assert [type(value) for metric in out for value in metric.fields.values()] == [float, int, int]


@pytest.mark.parametrize(("spelled", "kept"), [('"warm"', "warm"), ("true", "True")])
def test_a_value_of_a_wrong_type_is_refused_with_its_text(spelled: str, kept: str) -> None:
    out = Stage().metrics(f"environment,device=pi temperature_raw_celsius={spelled},humidity_raw_percent=4 {NOW}")
    assert rejected(out) == [("wrong_type", "temperature_raw_celsius", kept)]
    assert dict(out[-1].fields) == {"humidity_raw_percent": 4.0}


@pytest.mark.parametrize(
    ("time_ns", "reason"),
    [(0, "clock_behind"), (EARLIEST - 1, "clock_behind"), (NOW + 601 * SECOND, "clock_ahead")],
)
@pytest.mark.parametrize("known", [False, True])
def test_a_clock_that_cannot_be_right_is_refused_at_the_time_of_arrival(time_ns: int, reason: str, known: bool) -> None:
    stage = Stage()
    line = f"environment,device=pi temperature_raw_celsius=20 {time_ns}"
    if known:
        stage.run(f"environment,device=pi temperature_raw_celsius=20 {NOW}")
    out = stage.metrics(line)
    assert [metric.series.tags["reason"] for metric in out] == [reason]
    assert [metric.time_ns for metric in out] == [NOW]
    assert str(time_ns) in str(out[0].fields["text"])
    assert len(stage.tracker.messages) == known


@pytest.mark.parametrize("days", [1, 14, 400, 3000])
def test_a_hub_whose_clock_is_not_synchronised_keeps_times_ahead_of_it(days: int) -> None:
    stage = Stage()
    line = f"environment,device=pi temperature_raw_celsius=20 {NOW + days * 86400 * SECOND}"
    stage.synchronised = False
    assert stage.run(line) == [line]
    stage.synchronised = True
    assert rejected(stage.metrics(line)) != []


def test_a_time_beyond_any_error_of_the_hub_s_clock_is_refused_before_it_is_synchronised() -> None:
    stage = Stage()
    stage.synchronised = False
    (metric,) = stage.metrics(f"environment,device=pi temperature_raw_celsius=20 {NOW + 11 * 365 * 86400 * SECOND}")
    assert metric.series.tags["reason"] == "clock_ahead"


@pytest.mark.parametrize("time_ns", [EARLIEST, NOW - 5 * 86400 * SECOND, NOW + 600 * SECOND])
def test_a_batch_that_is_days_late_and_a_clock_a_little_ahead_are_taken(time_ns: int) -> None:
    line = f"environment,device=pi temperature_raw_celsius=20 {time_ns}"
    assert Stage().run(line, line) == [line, line]


def test_only_the_devices_of_the_settings_are_taken() -> None:
    stage = Stage(devices=("pi-*", "hall"), max_names=2)
    names = ("pi-1", "hall", "intruder", "second", "third")
    out = stage.metrics(*(reading(20, device=name) for name in names))
    assert [metric.series.tags["device"] for metric in out] == ["pi-1", "hall", "intruder", "second", "other"]
    assert [metric.series.tags.get("reason") for metric in out] == [None, None, *["unknown_device"] * 3]
    assert [message[0] for message in stage.tracker.messages] == ["pi-1", "hall"]


@pytest.mark.parametrize(
    "line",
    ["environment", "environment ", "environment temperature_raw_celsius=", "environment a=1,,b=2 5", "garbage", "a b"],
)
def test_invalid_line_protocol_is_counted(line: str) -> None:
    out = Stage().metrics(line)
    assert [metric.series.tags["reason"] for metric in out] == ["not_line_protocol"]
    assert out[0].fields["count"] == 1


def test_refusals_at_one_time_stay_as_many_points_as_they_are() -> None:
    stage = Stage()
    lines = [reading(200, 1, sensor=sensor) for sensor in ("hts221", "lps25h", "bme280")] * 3
    points = {(metric.series, metric.time_ns) for metric in stage.metrics(*lines, "environment", "environment")}
    assert len(points) == 11
    assert stage.rejections.count == 11


# --- the state of devices ---------------------------------------------------------------------------


def test_a_message_is_a_line_and_is_counted_with_its_accepted_fields() -> None:
    stage = Stage(curves={"pi": (offset(1.0),)})
    stage.run(reading(20, 0), reading(20.5, 10), reading(200, 20, more=",humidity_raw_percent=40"))
    assert [(name, place, values) for name, place, _, _, values in stage.tracker.messages] == [
        ("pi", "environment/hts221", {"temperature_raw_celsius": 20.0, "temperature_calibrated_celsius": 21.0}),
        ("pi", "environment/hts221", {"temperature_raw_celsius": 20.5, "temperature_calibrated_celsius": 21.5}),
        ("pi", "environment/hts221", {"humidity_raw_percent": 40.0}),
    ]


def test_a_message_has_the_same_identity_in_every_process_and_on_both_paths() -> None:
    first, second = Stage(), Stage()
    first.run(reading(20, 0), reading(21, 1), reading(20, 0), reading(20, 0, sensor="lps25h"))
    second.run(reading(21, 1), reading(22, 0, more=',note="text"'))
    identities = [message[2] for message in first.tracker.messages]
    assert identities[0] == identities[2]
    assert len(set(identities)) == 3
    assert [message[2] for message in second.tracker.messages] == [identities[1], identities[0]]
    assert all(0 <= identity < 2**64 for identity in identities)


def test_a_device_s_own_word_on_its_state_is_no_message_of_its_telemetry() -> None:
    stage = Stage()
    line = f'device_status,device=pi status="offline",firmware="1.2" {NOW}'
    assert stage.run(line) == [line]
    assert stage.tracker.told == [("pi", {"status": "offline", "firmware": "1.2"})]
    assert stage.tracker.messages == []


def test_the_series_that_are_remembered_are_bounded_and_those_in_use_stay() -> None:
    stage = Stage(max_series=10)
    for number in range(100):
        stage.run(reading(20 + number / 100, number, device="kept"), reading(20, device=f"passing-{number}"))
        assert stage.pipeline.series <= 10
    assert rejected(stage.metrics(reading(70, 100, device="kept"))) == [
        ("rate_of_change", "temperature_raw_celsius", 70.0)
    ]


# --- messages ---------------------------------------------------------------------------------------


def _message(topic: str, payload: bytes) -> str:
    return f'mqtt_message,host=hub,site=home,topic={topic} value="{base64.b64encode(payload).decode()}" {NOW}'


def test_a_message_goes_the_way_of_a_line_with_its_device_as_its_host() -> None:
    stage = Stage(curves={"hall": (offset(1.0),)})
    out = stage.metrics(_message("sensetig/hall/telemetry/environment", b'{"temperature_raw_celsius": 21}'))
    assert [dict(metric.fields) for metric in out] == [
        {"temperature_raw_celsius": 21.0, "temperature_calibrated_celsius": 22.0}
    ]
    assert dict(out[0].series.tags) == {"device": "hall", "host": "hall", "site": "home"}
    assert out[0].time_ns == NOW


def test_a_broken_message_is_refused_with_its_topic_and_a_further_topic_is_other() -> None:
    stage = Stage(max_names=1)
    out = stage.metrics(
        _message("sensetig/hall/telemetry/environment", b'{"temperature_raw'),
        _message("no/scheme", b"1"),
        _message("sensetig/hall/telemetry/environment", b'{"temperature_raw_celsius": 22}'),
    )
    assert [(metric.series.tags.get("reason"), metric.series.tags.get("topic")) for metric in out] == [
        ("truncated_json", "sensetig/hall/telemetry/environment"),
        ("unknown_topic", "other"),
        (None, None),
    ]


# --- both paths -------------------------------------------------------------------------------------

_VALUES = st.one_of(
    st.floats(-60, 120).map(repr),
    st.integers(15, 30).map(str),
    st.integers(15, 30).map(lambda number: f"{number}i"),
    st.sampled_from(["20", "20.5", "99999", "nan", "inf", "-inf", "1_0", "+5", "5.", ".5", "1e1", "0x1", "", '"a b"']),
    st.sampled_from(["true", "1=2", "٣", " 5", "\t5", "1e400", "-0"]),
)
_FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "temperature_raw_celsius",
                "temperature_compensated_celsius",
                "temperature_calibrated_celsius",
                "humidity_raw_percent",
                "pressure_hpa",
                "compensation_factor",
                "elsewhere",
            ]
        ),
        _VALUES,
    ),
    min_size=1,
    max_size=4,
)
_LINES = st.builds(
    lambda tags, fields, time, end: (
        f"environment{tags} {','.join(f'{key}={value}' for key, value in fields)}{time}{end}"
    ),
    st.sampled_from([",device=pi,sensor=hts221", ",device=pi", ",sensor=lps25h,device=pi", ",device=a\\ b", ""]),
    _FIELDS,
    st.one_of(
        st.integers(-5, 40).map(lambda at: f" {NOW + at * SECOND}"),
        st.sampled_from(["", " 0", " -5", " x", f" {2**63}", f" {NOW + 700 * SECOND}", f"  {NOW}", " 1 2"]),
    ),
    st.sampled_from(["", "", "", "\r", " "]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_LINES, max_size=12))
def test_the_fast_path_has_the_outcome_of_the_exact_one(lines: list[str]) -> None:
    curves = {"pi": (offset(1.5, until_ns=NOW + 20 * SECOND), offset(2.0, since_ns=NOW + 20 * SECOND))}
    file = {"environment": {"humidity_raw_percent": {"stuck_after": 3}}}
    fast, exact = Stage(curves=curves, file=file), Stage(curves=curves, file=file)
    assert fast.metrics(*lines) == [metric for line in lines for metric in _exactly(exact, line)]
    assert fast.tracker.messages == exact.tracker.messages
    assert fast.rejections.count == exact.rejections.count


def _exactly(stage: Stage, line: str) -> list[object]:
    out: list[str] = []
    stage.pipeline.run((), plain=True)
    stage.pipeline.exact(line, out)
    return [decode(each) for each in out]


@given(st.lists(_LINES, max_size=8))
def test_every_value_that_comes_in_goes_out_or_is_refused(lines: list[str]) -> None:
    stage = Stage()
    expected = 0
    for line in lines:
        try:
            expected += len(decode(line).fields)
        except ParseError:
            expected += 1
    found = 0
    for line in lines:
        out = stage.metrics(line)
        whole = [metric for metric in out if "reason" in metric.series.tags and "field" not in metric.series.tags]
        if whole and whole[0].series.tags["reason"] != "not_line_protocol":
            found += len(decode(line).fields)
        else:
            found += sum(1 if "reason" in metric.series.tags else len(metric.fields) for metric in out)
    assert found == expected


@pytest.mark.parametrize("site", ["living\\ room", "Zürich", "a\\,b\\=c\\ d"])
def test_a_known_series_is_as_quick_with_special_signs_in_its_tags(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(curves={"pi": (offset(-4),)})

    def line(number: int, more: str = "") -> str:
        head = f"environment,device=pi,host=pi,sensor=hts221,site={site}"
        return f"{head} temperature_raw_celsius={20.5 + number}{more} {NOW - SECOND * (9 - number)}"

    assert stage.run(line(0)) == [line(0, ",temperature_calibrated_celsius=16.5")]
    read_fully: list[str] = []
    monkeypatch.setattr(stage.pipeline, "exact", lambda text, _: read_fully.append(text))
    out = stage.run(line(1), line(2))
    assert out == [line(number, f",temperature_calibrated_celsius={16.5 + number}") for number in (1, 2)]
    assert read_fully == []


def test_a_whole_number_of_a_message_is_the_integer_that_is_declared() -> None:
    stage = Stage()
    payload = base64.b64encode(b'{"red": 3, "level": 2, "other": 1}').decode()
    (metric,) = stage.metrics(f'mqtt_message,topic=sensetig/pi/telemetry/colour value="{payload}" {NOW}')
    assert {name: (type(value), value) for name, value in metric.fields.items()} == {
        "red": (int, 3),
        "level": (float, 2.0),
        "other": (float, 1.0),
    }
