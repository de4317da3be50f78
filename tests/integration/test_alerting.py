"""Each alert rule on the real InfluxDB: healthy, over its threshold, and back, next to a device that stays healthy."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest

from grafana.alerting.rules import RULES
from sensetig.alerts.evaluate import at_windows, firing, outcomes
from sensetig.cli.retire import retired_lines
from tests.integration.alerting import Outcome, about, committed, evaluated, reader, write
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

COMMITTED = committed()

#: The lines that a device writes at a time, without a timestamp, or None. The second argument is the time in seconds
#: since its state last changed.
Writes = Callable[[str, int], str | None]


class Story(NamedTuple):
    """The lines of a healthy device and of an unhealthy one; each writes every *step* seconds."""

    well: Writes
    ill: Writes
    value: float
    step: int = 10
    phase: int = 1800
    tag: str = "host"


def line(measurement: str, fields: str, more: str = "") -> Writes:
    """A line of a machine, the same at all times."""
    return lambda name, _: f"{measurement},host={name},site=alerting{more} {fields}"


def device_line(measurement: str, fields: str, more: str = "") -> Writes:
    """A line of a device behind a hub."""
    return lambda name, _: f"{measurement},device={name},host=hub,site=alerting{more} {fields}"


def silence(_name: str, _elapsed: int) -> None:
    """Nothing is written."""


def growing(measurement: str, tags: str, field: str, pace: int, start: int) -> Writes:
    """A counter that grows by *pace* per second."""
    return lambda name, elapsed: f"{measurement},host={name},site=alerting{tags} {field}={start + pace * elapsed}i"


def unit(name: str, active: int, sub: int, entered: int) -> Writes:
    """Telegraf's metric for the state of a service in systemd."""
    fields = f"active_code={active}i,sub_code={sub}i,active_enter_timestamp_us={entered}i"
    return line("systemd_units", fields, f",name={name}.service")


_BOOTED = 1_700_000_000_000_000
_DISK, _CAMERA, _OUTPUT = ",path=/,mode=rw,fstype=ext4,device=x", ",camera=hall", ",output=influxdb_v2"

STORIES = {
    "device-silent": Story(line("system", "uptime=1i"), silence, 0),
    "name-clash": Story(
        line("system", "uptime=1i,boot_number=7i"),
        lambda name, elapsed: f"system,host={name},site=alerting uptime=1i,boot_number={7 + elapsed // 10 % 2}i",
        90,
    ),
    "downstream-silent": Story(
        device_line("device_state", "online=1i"), device_line("device_state", "online=0i"), 0, 60, tag="device"
    ),
    "processor-hot": Story(
        line("temp", "temp=55", ",sensor=cpu_thermal"), line("temp", "temp=84.2", ",sensor=cpu_thermal"), 84.2
    ),
    "environment-out-of-limits": Story(
        device_line("environment", "temperature_raw_celsius=44,temperature_compensated_celsius=22"),
        device_line("environment", "temperature_raw_celsius=52,temperature_compensated_celsius=41.5"),
        41.5,
        tag="device",
    ),
    "under-voltage": Story(line("pi", "under_voltage=false"), line("pi", "under_voltage=true"), 31),
    "throttled": Story(line("pi", "throttled=false"), line("pi", "throttled=true"), 31),
    "disk-nearly-full": Story(line("disk", "used_percent=40", _DISK), line("disk", "used_percent=90.5", _DISK), 90.5),
    "disk-full-in-a-day": Story(
        line("disk", "free=100000000i", _DISK),
        # At the end of 7 hours 16 % is left. Of the last hour, the points that are 5 minutes apart show 55.
        growing("disk", _DISK, "free", -3334, 100_000_000),
        1652.06,
        step=300,
        phase=7 * 3600,
    ),
    "sd-card-worn": Story(
        line("sd_card", "life_used_percent=10", ",device=mmcblk0"),
        line("sd_card", "life_used_percent=90", ",device=mmcblk0"),
        90,
        step=60,
        phase=2 * 3600,
    ),
    "sd-card-end-of-life": Story(
        line("sd_card", "pre_eol=1i", ",device=mmcblk0"),
        line("sd_card", "pre_eol=2i", ",device=mmcblk0"),
        2,
        step=60,
        phase=2 * 3600,
    ),
    "memory-full": Story(line("mem", "used_percent=30"), line("mem", "used_percent=96"), 96),
    "service-down": Story(
        unit("telegraf", 0, 0, _BOOTED),
        unit("telegraf", 3, 12, _BOOTED),
        3,
    ),
    "clock-unsynchronised": Story(line("clock", "synchronised=1i"), line("clock", "synchronised=0i"), 0, 60),
    "camera-covered": Story(
        line("camera", "covered=false,frozen=false", _CAMERA), line("camera", "covered=true,frozen=false", _CAMERA), 13
    ),
    "camera-frozen": Story(
        line("camera", "covered=false,frozen=false", _CAMERA), line("camera", "covered=false,frozen=true", _CAMERA), 13
    ),
    "person-seen": Story(
        line("camera_detection", "confidence=0.9", f"{_CAMERA},label=dog,model=x"),
        line("camera_detection", "confidence=0.9", f"{_CAMERA},label=person,model=x"),
        30,
    ),
    "gateway-stalled": Story(
        line("mqtt_gateway", "unconfirmed_seconds=2,unconfirmed_messages=3i"),
        line("mqtt_gateway", "unconfirmed_seconds=75,unconfirmed_messages=300i"),
        75,
    ),
    "gateway-new-names": Story(
        device_line("telemetry_rejected", "count=3i", ",reason=list_value"),
        device_line("telemetry_rejected", "count=3i", ",reason=too_many_names"),
        270,
        tag="device",
    ),
    "telemetry-rejected": Story(
        silence, device_line("telemetry_rejected", "count=3i", ",reason=stuck"), 270, tag="device"
    ),
    "collector-down": Story(
        line("collector", "up=1i,errors=0i", ",collector=pi"), line("collector", "up=0i,errors=0i", ",collector=pi"), 0
    ),
    "collector-errors": Story(
        line("collector", "up=1i,errors=0i", ",collector=pi"),
        line("collector", "up=1i,errors=2i", ",collector=pi"),
        182,
    ),
    "collector-hung": Story(
        line("collector", "up=1i,errors=0i", ",collector=pi"),
        line("collector", "up=0i,errors=1i,hangs=1i", ",collector=pi"),
        61,
        step=60,
        phase=2 * 3600,
    ),
    "buffer-growing": Story(
        line("internal_write", "buffer_size=20i,buffer_limit=1000i", _OUTPUT),
        line("internal_write", "buffer_size=400i,buffer_limit=1000i", _OUTPUT),
        40,
    ),
    "points-lost": Story(
        line("delivery", "metrics_dropped=0i", ",stage=telegraf"),
        growing("delivery", ",stage=telegraf", "metrics_dropped", 2, 0),
        1800,
    ),
    "outbox-waiting": Story(line("outbox", "oldest_seconds=3"), line("outbox", "oldest_seconds=1200"), 1200),
    "outbox-nearly-full": Story(
        line("outbox", "waiting_bytes=10i,limit_bytes=1000i"),
        line("outbox", "waiting_bytes=900i,limit_bytes=1000i"),
        90,
    ),
    "outbox-damaged": Story(
        line("outbox", "damaged_points=0i,missing_batches=0i"),
        growing("outbox", "", "damaged_points", 2, 0),
        7200,
        step=60,
        phase=2 * 3600,
    ),
    "spool-dropped": Story(
        line("spool", "dropped=0i", ",spool=camera"), line("spool", "dropped=2i", ",spool=camera"), 180
    ),
    "writes-held": Story(line("receiver", "holding=0i"), line("receiver", "holding=1i"), 1),
}


class Times(NamedTuple):
    """When a story's device was last well, had been ill for a phase, and had been well again for one."""

    before: int
    ill: int
    after: int


def told(story: Story, influxdb: InfluxDB, key: str) -> Times:
    """Write a story, which ends now, of two devices that fall ill together and of one that stays well."""
    after = int(time.time()) // 10 * 10
    times = Times(after - 2 * story.phase, after - story.phase, after)
    lines = []
    for moment in range(times.before - story.phase + story.step, after + 1, story.step):
        unwell = times.before < moment <= times.ill
        for name in (f"{key}-a", f"{key}-b", f"{key}-well"):
            writes = story.ill if unwell and not name.endswith("-well") else story.well
            if (text := writes(name, moment - times.before if unwell else 0)) is not None:
                lines.append(f"{text} {moment}")
    write(influxdb, lines)
    return times


def of(outcomes: list[Outcome], key: str, tag: str) -> dict[str, Outcome]:
    """The outcomes for the devices of one story, by the suffix of their names."""
    mine = [each for each in outcomes if each.labels.get(tag, "").startswith(f"{key}-")]
    found = {each.labels[tag].removeprefix(f"{key}-"): each for each in mine}
    assert len(found) == len(mine), f"a device is judged twice: {mine}"
    return found


def test_every_rule_has_its_story() -> None:
    assert set(STORIES) == {rule.key for rule in RULES}


@pytest.mark.parametrize("key", STORIES)
def test_a_rule_fires_for_the_devices_that_are_ill_and_ends_when_they_are_well(key: str, influxdb: InfluxDB) -> None:
    story, rule = STORIES[key], COMMITTED[f"sensetig-{key}"]
    times = told(story, influxdb, key)

    before = of(evaluated(rule, influxdb, times.before), key, story.tag)
    during = of(evaluated(rule, influxdb, times.ill), key, story.tag)
    valued = of(evaluated(about(rule, story.value), influxdb, times.ill), key, story.tag)
    after = of(evaluated(rule, influxdb, times.after), key, story.tag)

    assert not any(outcome.fires for outcome in before.values())
    assert {name for name, outcome in during.items() if outcome.fires} == {"a", "b"}
    assert {name for name, outcome in valued.items() if outcome.fires} == {"a", "b"}, "the number is another"
    assert not any(outcome.fires for outcome in after.values())
    if story.well is not silence:
        assert set(before) == set(during) == set(after) == {"a", "b", "well"}, "one that is well answers, too"
    assert all(outcome.labels["site"] == "alerting" for outcome in during.values())


def test_the_cold_is_out_of_limits_too(influxdb: InfluxDB) -> None:
    now = int(time.time())
    write(
        influxdb,
        [f"environment,device=frost-a,host=hub,site=alerting temperature_raw_celsius=-4 {now - n}" for n in range(60)],
    )
    rule = COMMITTED["sensetig-environment-out-of-limits"]
    for each in (rule, about(rule, -4)):
        (found,) = of(evaluated(each, influxdb, now), "frost", "device").values()
        assert found.fires


def test_a_vanished_device_is_reported_while_its_points_are_retained(influxdb: InfluxDB) -> None:
    now = int(time.time())
    rule = COMMITTED["sensetig-device-silent"]
    write(influxdb, [f"system,host=gone-{days}d,site=alerting uptime=1i {now - days * 86400}" for days in (1, 29)])
    assert {name: each.fires for name, each in of(evaluated(rule, influxdb, now), "gone", "host").items()} == {
        "1d": True,
        "29d": True,
    }


def test_a_machine_with_a_long_interval_is_silent_after_ten_of_them(influxdb: InfluxDB) -> None:
    now, rule = int(time.time()), COMMITTED["sensetig-device-silent"]
    ages = {"early": 21_500, "over": 21_700}
    write(
        influxdb,
        [
            f"system,host=slow-{name},site=alerting uptime=1i,interval_seconds=900 {now - age}"
            for name, age in ages.items()
        ],
    )
    found = of(evaluated(rule, influxdb, now), "slow", "host")
    assert {name: each.fires for name, each in found.items()} == {"early": False, "over": True}


def test_a_machine_that_restarts_is_no_second_machine(influxdb: InfluxDB) -> None:
    now, rule = int(time.time()), COMMITTED["sensetig-name-clash"]
    write(
        influxdb,
        [
            f"system,host=again-a,site=alerting uptime=1i,boot_number={ago // 300}i {now - ago}"
            for ago in range(0, 900, 10)
        ],
    )
    (found,) = of(evaluated(rule, influxdb, now), "again", "host").values()
    assert not found.fires


@pytest.mark.parametrize(
    ("key", "tag", "gone"),
    [
        ("device-silent", "host", "system,host={},site=alerting uptime=1i"),
        ("downstream-silent", "device", "device_state,device={},host=hub,site=alerting online=0i"),
    ],
)
def test_a_retired_device_is_not_silent_and_is_again_when_it_is_taken_back(
    key: str, tag: str, gone: str, influxdb: InfluxDB
) -> None:
    now = int(time.time())
    rule, names = COMMITTED[f"sensetig-{key}"], ("old-a", "old-b")
    write(influxdb, [f"{gone.format(name)} {now - 3600}" for name in names])

    write(influxdb, retired_lines("old-a", {(tag, "alerting")}, retired=True, seconds=now - 60))
    assert {n: each.fires for n, each in of(evaluated(rule, influxdb, now), "old", tag).items()} == {
        "a": False,
        "b": True,
    }

    write(influxdb, retired_lines("old-a", {(tag, "alerting")}, retired=False, seconds=now - 30))
    back = of(evaluated(rule, influxdb, now), "old", tag)
    assert {name: each.fires for name, each in back.items()} == {"a": True, "b": True}


def test_a_database_without_a_point_sets_nothing_off(influxdb: InfluxDB) -> None:
    before_all = 1_000_000_000
    for rule in COMMITTED.values():
        (nothing,) = outcomes(reader(influxdb).query_all, rule, [before_all * 1000])
        assert nothing == {}
        assert firing(rule, [before_all * 1000], [nothing]) == []


@pytest.mark.parametrize(
    ("is_so", "active", "sub", "entered", "fires"),
    [
        ("a service that runs", 0, 0, _BOOTED, False),
        ("a service that was stopped", 2, 1, _BOOTED, True),
        ("a service that hangs when it ends", 5, 8, _BOOTED, True),
        ("a service that fails and is started again", 4, 13, 0, True),
        ("a service that has not been up yet", 4, 3, 0, False),
        ("a job between its runs", 2, 1, 0, False),
        ("a job that works for long", 4, 3, 0, False),
        ("a job that has failed", 3, 12, 0, True),
        ("a job that has ended well and remains", 0, 4, _BOOTED, False),
    ],
)
def test_a_service_is_down_when_it_failed_or_stopped_and_not_when_a_job_has_ended_well(
    is_so: str, active: int, sub: int, entered: int, fires: bool, influxdb: InfluxDB
) -> None:
    now, rule = int(time.time()), COMMITTED["sensetig-service-down"]
    key = f"unit{active}{sub}{bool(entered)}"
    told = unit("x", active, sub, entered)
    write(influxdb, [f"{told(f'{key}-a', 0)} {moment}" for moment in range(now - 600, now + 1, 30)])
    (found,) = of(evaluated(rule, influxdb, now), key, "host").values()
    assert found.fires is fires, is_so


def test_a_failed_job_alerts_at_once_until_it_succeeds(influxdb: InfluxDB) -> None:
    now, rule = int(time.time()), COMMITTED["sensetig-service-down"]
    idle, failed = unit("backup", 2, 1, 0), unit("backup", 3, 12, 0)
    lines = [f"{idle('job-a', 0)} {now - ago}" for ago in range(1200, 900, -30)]
    lines += [f"{failed('job-a', 0)} {now - ago}" for ago in range(900, 600, -30)]
    lines += [f"{idle('job-a', 0)} {now - ago}" for ago in range(600, -30, -30)]
    write(influxdb, lines)
    states = {ago: of(evaluated(rule, influxdb, now - ago), "job", "host")["a"].fires for ago in (930, 870, 570, 270)}
    assert states == {930: False, 870: True, 570: True, 270: False}


def test_one_large_copy_is_no_disk_that_fills(influxdb: InfluxDB) -> None:
    now = int(time.time())
    rule = COMMITTED["sensetig-disk-full-in-a-day"]
    # Half of the free space was taken at once, two hours ago.
    write(
        influxdb,
        [
            f"disk,host=copy-a,site=alerting{_DISK} free={100 if ago > 7200 else 50}i {now - ago}"
            for ago in range(0, 6 * 3600, 300)
        ],
    )
    (found,) = of(evaluated(rule, influxdb, now), "copy", "host").values()
    assert not found.fires


def test_dropped_live_points_are_not_counted_as_lost(influxdb: InfluxDB) -> None:
    now = int(time.time())
    write(
        influxdb,
        [
            f"internal_write,host=live-a,site=alerting,output=http metrics_dropped={100 - ago}i,buffer_size=100i,"
            f"buffer_limit=100i {now - ago}"
            for ago in range(100)
        ],
    )
    for key in ("points-lost", "buffer-growing"):
        assert of(evaluated(COMMITTED[f"sensetig-{key}"], influxdb, now), "live", "host") == {}


#: Rules that are asked look by look: they compare points, or look back over two lengths of time.
ONE_BY_ONE = {"device-silent", "name-clash", "downstream-silent", "disk-full-in-a-day", "points-lost", "outbox-damaged"}


@pytest.mark.parametrize("key", STORIES)
def test_one_query_for_all_windows_agrees_with_single_queries(key: str, influxdb: InfluxDB) -> None:
    story, rule = STORIES[key], COMMITTED[f"sensetig-{key}"]
    name = f"windows-{key}"
    times = told(story, influxdb, name)
    ask = reader(influxdb).query_all
    windows = at_windows(ask, rule, times.before * 1000, times.after * 1000) or {}
    assert (not windows) == (key in ONE_BY_ONE)
    ends = list(windows)
    # A window has no point of the very moment that it begins at, which an evaluation alone has. Where it begins in the
    # illness and ends after it, that one point may decide: of two errors each, six are too many and five are not.
    for end in [end for begin, end in pairwise(ends) if not begin <= times.ill * 1000 < end][-20:]:
        outcome = windows[end]
        (alone,) = outcomes(ask, rule, [end])
        mine = [{labels: state for labels, state in each.items() if name in str(labels)} for each in (outcome, alone)]
        # A device that wrote nothing in a window is not there, and well where its 0 comes from farther back.
        assert {labels for labels, state in mine[0].items() if state} == {
            labels for labels, state in mine[1].items() if state
        }
        assert set(mine[0]) <= set(mine[1])
