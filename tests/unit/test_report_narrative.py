"""The words of a report: they follow from the facts, and say "no data" if there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from grafana.alerting.rules import RULES
from sensetig.errors import ReportError
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.report import narrative
from sensetig.report.alerts import Alert, together
from sensetig.report.narrative import (
    PLAIN,
    Sentence,
    as_text,
    fired,
    summary,
    urgent,
    verdict,
    when,
    with_alerts,
    zone,
)  # fmt: skip
from sensetig.report.numbers import duration, number
from sensetig.report.period import Period, moment, period
from sensetig.report.stats import QUANTITIES, Disk, Flag, Spread, Stats

BEGIN = datetime(2026, 11, 14, tzinfo=UTC)
WEEK = Period(BEGIN, BEGIN + timedelta(days=7), "raw", 1800)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GIB = 1024**3

NOTHING = Stats(None, None, None, (), None, (), (), {}, {}, None, None, ())


def facts(**values: object) -> Stats:
    """Stats of a device that was there all week, with these values."""
    there = Stats("system", WEEK.begin_ms, WEEK.end_ms, (), 0, (), (), {}, {"system": 0}, None, None, ())
    return there._replace(**values)  # type: ignore[arg-type]


def texts(given: Stats, span: Period = WEEK) -> str:
    return "\n".join(f"{each.level}: {each.text}" for each in summary(given, span, "pi"))


def plain(text: str) -> str:
    """The text with ordinary spaces."""
    return text.replace("\u202f", " ")


def at(**since: float) -> int:
    return WEEK.begin_ms + int(timedelta(**since).total_seconds() * 1000)


def test_without_data_the_summary_says_so_and_nothing_else() -> None:
    (only,) = summary(NOTHING, WEEK, "pi")
    assert only.level == ACT
    assert "No data of pi" in only.text
    assert "0" not in only.text.replace("2026-11-14 00:00", "").replace("2026-11-21 00:00", "")


def test_a_gap_is_reported_with_its_length_share_and_begin() -> None:
    told = plain(texts(facts(outages=((at(days=2, hours=2), at(days=2, hours=5)),))))
    assert "look: One gap in the data, of 3 h (1.79% of the period), from Mon 16 Nov 02:00." in told


def test_a_device_that_is_still_silent_needs_action() -> None:
    told = plain(texts(facts(outages=((at(days=1), at(days=1, hours=1)), (at(days=6, hours=23), WEEK.end_ms)))))
    assert "act: 2 gaps in the data, 2 h in all" in told
    assert "Nothing has come since Fri 20 Nov 23:00." in told


def test_the_time_before_a_device_existed_is_no_gap() -> None:
    told = plain(texts(facts(first_ms=at(days=6), is_new=True)))
    assert "plain: The device is new: its first data is from Fri 20 Nov 00:00." in told
    assert "good: Data came without a gap" in told
    gap = plain(texts(facts(first_ms=at(days=6), is_new=True, outages=((at(days=6, hours=6), at(days=6, hours=9)),))))
    assert "act: One gap in the data, of 3 h (12.5% of the time since its first data), from Fri 20 Nov 06:00." in gap


def test_no_gap_and_no_restart_is_good() -> None:
    told = texts(facts())
    assert "good: Data came without a gap of more than 2\u202fmin." in told
    assert "good: The device did not restart." in told


def test_what_restarted_says_how_often() -> None:
    assert "look: The device restarted once." in texts(facts(restarts=1))
    assert "look: The device restarted 3 times." in texts(facts(restarts=3))


def test_a_range_is_reported_with_its_times_and_compared_with_the_previous_period() -> None:
    spread = Spread(QUANTITIES[0], 18.84, at(days=3), 21.1, 23.3, at(days=4), 20.0)
    told = plain(texts(facts(spreads=(spread,))))
    assert (
        "plain: Room temperature: from 18.8 °C (Tue 17 Nov 00:00) to 23.3 °C (Wed 18 Nov 00:00), 21.1 °C on average; "
        "1.1 °C more than in the period before."
    ) in told


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (None, "The period before has too little data to compare with"),
        (21.12, "as in the period before"),
        (23.1, "2.0 °C less than in the period before"),
    ],
)
def test_the_period_before_is_compared_only_where_it_has_data(before: float | None, said: str) -> None:
    spread = Spread(QUANTITIES[0], 18.0, at(days=3), 21.1, 23.3, at(days=4), before)
    assert said in plain(texts(facts(spreads=(spread,))))


@pytest.mark.parametrize(("most", "level"), [(50.0, GOOD), (66.0, LOOK), (81.0, ACT)])
def test_the_hottest_sensor_is_judged_by_the_dashboards_steps(most: float, level: str) -> None:
    hottest = next(each for each in QUANTITIES if each.measurement == "temp")
    spread = Spread(hottest, 30.0, at(days=1), 40.0, most, at(days=2), None)
    assert f"{level}: The hottest sensor of the device reached {most:.1f} °C" in plain(texts(facts(spreads=(spread,))))


@pytest.mark.parametrize(("mean", "level"), [(89.0, PLAIN), (90.0, LOOK), (100.0, LOOK)])
def test_a_processor_that_was_busy_throughout_is_worth_a_look_and_a_peak_is_not(mean: float, level: str) -> None:
    cpu = next(each for each in QUANTITIES if each.measurement == "cpu")
    spread = Spread(cpu, 2.0, at(days=1), mean, 100.0, at(days=2), None)
    assert f"{level}: CPU use: from" in plain(texts(facts(spreads=(spread,))))


def test_an_unchanged_value_is_stated_once() -> None:
    cpu = next(each for each in QUANTITIES if each.measurement == "cpu")
    spread = Spread(cpu, 99.96, at(days=1), 99.98, 100.0, at(days=2), None)
    assert "look: CPU use: 100.0% throughout." in plain(texts(facts(spreads=(spread,))))


def test_an_hour_of_under_voltage_is_one_thing_with_what_follows_from_it_and_its_alerts() -> None:
    flags = {
        "under_voltage": Flag(1000, 12, at(days=4), True),
        "throttled": Flag(1000, 12, at(days=4), True),
        "frequency_capped": Flag(1000, 8, at(days=4), True),
        "soft_temperature_limit": Flag(1000, 0, None, False),
    }
    alerts = (
        Alert("Under-voltage", "", "warning", at(days=4), at(days=4, hours=1), False, "sensetig-under-voltage"),
        Alert("Throttled", "", "warning", at(days=4), at(days=4, hours=1), False, "sensetig-throttled"),
    )
    sentences = with_alerts(summary(facts(flags=flags), WEEK, "pi"), together(alerts), WEEK)
    (only,) = urgent(sentences)
    assert verdict(sentences) == (ACT, "1 thing to act on")
    assert plain(only.text) == (
        "Under-voltage in 12 of 1000 readings (1.2%), last on Wed 18 Nov 00:00; use the supply made for the board, and "
        "a short, thick cable. Throttling in 12 of 1000 readings (1.2%). A capped clock in 8 of 1000 readings (0.8%). "
        "The alert Throttled fired once. The alert Under-voltage fired once."
    )


def test_heat_and_a_weak_supply_are_two_things() -> None:
    flags = {
        "under_voltage": Flag(1000, 12, at(days=4), True),
        "soft_temperature_limit": Flag(1000, 3, at(days=5), True),
    }
    hottest = next(each for each in QUANTITIES if each.measurement == "temp")
    spread = Spread(hottest, 30.0, at(days=1), 40.0, 83.0, at(days=2), None)
    found = urgent(summary(facts(flags=flags, spreads=(spread,)), WEEK, "pi"))
    assert [each.level for each in found] == [ACT, ACT]
    assert "reached 83.0" in found[0].text
    assert "soft heat limit" in found[0].text


def test_the_alert_of_a_disk_belongs_to_that_disk() -> None:
    disks = (Disk("/", GIB, GIB, 95.0, 0), Disk("/data", GIB, GIB, 85.0, 0))
    alert = Alert("Disk nearly full", "/data", "critical", at(days=4), at(days=5), True, "sensetig-disk-nearly-full")
    found = urgent(with_alerts(summary(facts(disks=disks), WEEK, "pi"), together((alert,)), WEEK))
    assert [(each.level, plain(each.text)) for each in found] == [
        (ACT, "/ is 95% full."),
        (ACT, "/data is 85% full. The alert Disk nearly full fired once."),
    ]


def test_an_alert_not_covered_by_the_summary_is_listed_separately() -> None:
    alert = Alert("Clock unsynchronised", "", "warning", at(days=4), at(days=5), False, "sensetig-clock-unsynchronised")
    (only,) = urgent(with_alerts(summary(facts(), WEEK, "pi"), together((alert,)), WEEK))
    assert only.heading == "Alert"


def test_every_rule_whose_alerts_the_summary_knows_exists() -> None:
    assert set(narrative._MATTERS) <= {rule.uid for rule in RULES}


def test_under_voltage_is_reported_as_a_share_of_readings() -> None:
    told = plain(texts(facts(flags={"under_voltage": Flag(1000, 12, at(days=4), True)})))
    assert "act: Under-voltage in 12 of 1000 readings (1.2%), last on Wed 18 Nov 00:00" in told


def test_events_between_readings_are_reported_as_such() -> None:
    told = texts(facts(flags={"throttled": Flag(1000, 0, None, True)}))
    assert "look: Throttling was not seen in any reading, but has happened since the device started." in told


def test_a_device_without_supply_data_is_not_reported_as_healthy() -> None:
    told = texts(facts())
    assert "No data on the power supply" in told
    assert "Under-voltage" not in told


def test_a_disk_that_fills_up_says_when() -> None:
    disk = Disk("/", 10 * GIB, 24 * GIB, 80.0, 7 * 86400)
    told = plain(texts(facts(disks=(disk,))))
    assert "act: / is 80% full; usage grew by 14 GiB, and at that rate it is full in 3 days." not in told
    assert "look: / is 80% full; usage grew by 14 GiB, and at that rate it is full in 3 days." in told


def test_minutes_of_data_give_no_forecast_for_weeks() -> None:
    told = texts(facts(disks=(Disk("/", 10 * GIB, 11 * GIB, 50.0, 600),)))
    assert "full in" not in told


def test_rejected_readings_are_reported_by_collector_the_most_first() -> None:
    told = texts(facts(errors={"camera": 2, "pi": 0, "sensehat": 7}))
    assert "look: Failed readings by collector: sensehat 7, camera 2." in told


def test_without_validation_no_rejections_are_reported() -> None:
    assert "validation" not in texts(facts())
    assert "look: The validation refused 3 values." in texts(facts(rejected=3))


def test_a_camera_that_saw_nothing_differs_from_no_camera() -> None:
    assert "No data of a camera." in texts(facts())
    assert "The camera reported, and saw no motion." in texts(facts(events=0))
    assert "1 motion event began." in plain(texts(facts(events=1)))


def test_simulated_data_is_never_passed_off_as_measured() -> None:
    assert "Some of what is shown is simulated, and was not measured." in texts(facts(origins=("simulated",)))


def test_the_verdict_counts_what_to_act_on_and_what_to_look_at() -> None:
    given = [Sentence("a", "b", level) for level in (ACT, LOOK, LOOK, GOOD, PLAIN)]
    assert verdict(given) == (ACT, plain("1 thing to act on and 2 to check"))
    assert verdict(given[1:]) == (LOOK, "2 things to check")
    assert verdict(given[3:]) == (GOOD, "Nothing to act on or to check")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "celsius", "0 °C"),
        (-3.25, "celsius", "−3.25 °C"),
        (3.2 * GIB, "bytes", "3.2 GiB"),
        (950_000.0, "bps", "950 kbit/s"),
        (0.0021, "short", "0.0021"),
        (99.96, "percent", "100%"),
        (12.0, "suffix:µT", "12 µT"),
        (90.0, "s", "2 min"),
        (0.0123, "s", "12.3 ms"),
        (float("nan"), "percent", "no data"),
    ],
)
def test_a_number_is_written_with_its_unit(value: float, unit: str, text: str) -> None:
    assert plain(number(value, unit)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (59.0, "59 s"), (3600 * 3.5, "3 h 30 min"), (86400.0 * 7, "7 d"), (86400.0 + 3600, "1 d 1 h")],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert plain(duration(seconds)) == text


# --- periods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-14", datetime(2026, 11, 14, tzinfo=UTC)),
        ("2026-11-14T08:00", datetime(2026, 11, 14, 8, tzinfo=UTC)),
        ("2026-11-14T08:00+02:00", datetime(2026, 11, 14, 6, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 14, 12, tzinfo=UTC)),
        ("90m", datetime(2026, 11, 21, 10, 30, tzinfo=UTC)),
        ("today", datetime(2026, 11, 21, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 11, 20, tzinfo=UTC)),
        ("now", NOW),
    ],
)
def test_a_time_can_be_given_in_many_forms(text: str, time: datetime) -> None:
    assert moment(text, NOW) == time


@pytest.mark.parametrize("text", ["", "monday", "2026-13-01", "2026-02-30", "7", "d", "99999999999w", "14.11.2026"])
def test_an_invalid_time_is_rejected_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"7d \(ago"):
        moment(text, NOW)


def test_a_period_that_is_the_wrong_way_round_or_has_not_begun_is_refused() -> None:
    with pytest.raises(ReportError, match="swap --from and --to"):
        period(NOW, BEGIN, NOW, raw_kept_days=30)
    with pytest.raises(ReportError, match="has not begun"):
        period(NOW + timedelta(days=1), NOW + timedelta(days=2), NOW, raw_kept_days=30)


@pytest.mark.parametrize(
    ("days_ago", "days", "bucket"), [(7, 7, "raw"), (14, 14, "raw"), (15, 15, "hourly"), (40, 2, "hourly")]
)
def test_long_periods_and_old_ones_are_read_by_the_hour(days_ago: int, days: int, bucket: str) -> None:
    begin = NOW - timedelta(days=days_ago)
    span = period(begin, begin + timedelta(days=days), NOW, raw_kept_days=30)
    assert span.bucket == bucket
    assert span.step >= (3600 if bucket == "hourly" else 10)
    assert span.seconds / span.step <= 340


def test_an_end_in_the_future_is_now() -> None:
    assert period(BEGIN, NOW + timedelta(days=3), NOW, raw_kept_days=30).end == NOW


def test_times_are_in_the_period_s_zone() -> None:
    east = timezone(timedelta(hours=5, minutes=30), "IST")
    span = WEEK._replace(begin=BEGIN.astimezone(east), end=WEEK.end.astimezone(east))
    assert when(at(days=1), span) == "Sun 15 Nov 05:30"
    assert zone(span) == "IST (UTC+05:30)"
    assert zone(WEEK) == "UTC"


ALERTS = (
    Alert("Person seen", "door", "info", at(hours=1), at(hours=1, minutes=5), False),
    Alert("Disk nearly full", "/", "critical", at(hours=2), at(hours=3), False),
    Alert("Disk nearly full", "/", "critical", at(days=6, hours=23), WEEK.end_ms, True),
    Alert("Under-voltage", "", "warning", at(days=2), at(days=2), False),
)


def test_the_alerts_of_one_rule_and_thing_are_one_sentence_the_gravest_first() -> None:
    told = [(each.level, plain(each.text)) for each in fired(together(ALERTS), WEEK)]
    assert told == [
        (ACT, "Disk nearly full (/) fired 2 times, last on Fri 20 Nov 23:00, for 2 h in all; it still does."),
        (LOOK, "Under-voltage fired once, on Mon 16 Nov 00:00, for less than a minute."),
        (PLAIN, "Person seen (door) fired once, on Sat 14 Nov 01:00, for 5 min."),
    ]


def test_what_needs_a_hand_comes_before_what_needs_a_look_and_nothing_else_is_urgent() -> None:
    given = [Sentence("a", level, level) for level in (LOOK, PLAIN, ACT, GOOD, ACT)]
    assert [each.level for each in urgent(given)] == [ACT, ACT, LOOK]


def test_the_mail_matches_the_page() -> None:
    sentences = [*summary(facts(errors={"sensehat": 2}), WEEK, "pi"), *fired(together(ALERTS), WEEK)]
    text = as_text("pi", WEEK, sentences)
    assert text.startswith("pi, 2026-11-14 00:00 to 2026-11-21 00:00 (UTC)\n1 thing to act on and 2 to check.\n")
    act, look, rest = (text.index(each) for each in ("To act on", "To check", "The device did not restart."))
    assert act < text.index("- Alert: Disk nearly full (/) fired 2 times") < look
    assert look < text.index("- Readings: Failed readings by collector: sensehat 2.") < rest
    assert all(plain(each.text) in text for each in sentences)
