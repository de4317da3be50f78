"""The hours of detection, in local time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from collectors.camera.collector import DetectionSwitch
from collectors.camera.schedule import Schedule, parse_schedule
from collectors.core.api import Unavailable

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def active(schedule: str, moment: str, fold: int = 0) -> bool:
    local = datetime.fromisoformat(moment).replace(tzinfo=BERLIN, fold=fold)
    return Schedule(parse_schedule(schedule)).active(int(local.timestamp()) * 10**9)


NIGHTS = "mon-fri 18:00-07:00"


@pytest.mark.parametrize(
    ("schedule", "moment", "expected"),
    [
        # 2026-11-23 is a Monday.
        (NIGHTS, "2026-11-23T17:59:59", False),
        (NIGHTS, "2026-11-23T18:00:00", True),
        (NIGHTS, "2026-11-23T23:59:59", True),
        (NIGHTS, "2026-11-24T00:00:00", True),
        (NIGHTS, "2026-11-24T06:59:59", True),
        (NIGHTS, "2026-11-24T07:00:00", False),
        (NIGHTS, "2026-11-23T03:00:00", False),  # the night that began on Sunday
        (NIGHTS, "2026-11-28T03:00:00", True),  # the night that began on Friday
        (NIGHTS, "2026-11-28T20:00:00", False),
        ("sat,sun", "2026-11-28T00:00:00", True),
        ("sat,sun", "2026-11-29T23:59:59", True),
        ("sat,sun", "2026-11-30T00:00:00", False),
        ("sun 20:00-06:00", "2026-11-30T05:59:00", True),
        ("fri-mon", "2026-11-29T12:00:00", True),
        ("fri-mon", "2026-11-24T12:00:00", False),
        ("08:30-12:00", "2026-11-25T08:30:00", True),
        ("08:30-12:00", "2026-11-25T12:00:00", False),
        ("mon-fri 18:00-07:00; sat, sun", "2026-11-29T12:00:00", True),
        ("Monday 9:00-24:00", "2026-11-23T23:59:00", True),
        ("Monday 9:00-24:00", "2026-11-24T00:00:00", False),
        ("", "2026-11-24T12:00:00", True),
    ],
)
def test_detection_follows_the_days_and_hours(schedule: str, moment: str, expected: bool) -> None:
    assert active(schedule, moment) is expected


def test_hours_are_those_of_the_clock_when_it_is_put_forward_and_back() -> None:
    night = "22:00-06:00"
    # On 2026-03-29 the hour from 02:00 is left out, and on 2026-10-25 it comes twice.
    assert [active(night, f"2026-03-29T{hour}") for hour in ("01:59", "03:00", "05:59", "06:00")] == [
        True,
        True,
        True,
        False,
    ]
    assert [active("02:00-03:00", "2026-10-25T02:30", fold) for fold in (0, 1)] == [True, True]
    assert [active("02:30-02:45", f"2026-03-29T{hour}") for hour in ("01:59", "03:00")] == [False, False]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 7), ("2026-10-24", 9), ("2026-11-23", 8)])
def test_night_of_a_change_of_the_clock_is_an_hour_shorter_or_longer(day: str, hours: int) -> None:
    schedule = Schedule(parse_schedule("22:00-06:00"))
    begin = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=BERLIN)
    start = int(begin.timestamp())
    minutes = [schedule.active((start + 60 * minute) * 10**9) for minute in range(20 * 60)]
    assert sum(minutes) == hours * 60
    assert timedelta(minutes=minutes.index(True)) == timedelta(hours=10)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mon-fry 18:00-07:00", "instead of a day; write it as mon-fri 18:00-07:00"),
        ("someday", "has 'someday' instead of a day"),
        ("mon 18-07", "instead of a day"),
        ("mon 18:00", "has '18:00' instead of hours"),
        ("mon 25:00-07:00", "hours outside of a day"),
        ("mon 18:60-07:00", "hours outside of a day"),
        ("mon 18:00-18:00", "begins and ends at the same time"),
        ("mon 24:00-07:00", "hours outside of a day"),
        ("mon,, 18:00-19:00", "instead of a day"),
        ("١٨:٠٠-١٩:٠٠", "instead of hours"),
    ],
)
def test_wrong_schedule_is_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence):
        parse_schedule(text)


def test_command_turns_detection_off_within_the_schedule_and_not_on_outside_of_it() -> None:
    switch = DetectionSwitch(Schedule(parse_schedule("mon 18:00-20:00")))
    times = [datetime(2026, 11, 23, hour, 30, tzinfo=BERLIN).timestamp() for hour in (17, 18, 20)]
    assert [switch.update(int(each) * 10**9) for each in times] == [False, True, False]
    switch.on = False
    assert [switch.update(int(each) * 10**9) for each in times] == [False, False, False]
    switch.on = True
    assert [switch.update(int(each) * 10**9) for each in times] == [False, True, False]
    assert not switch.active
