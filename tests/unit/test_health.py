"""The verdict on each device as points: its sentence, the time since when it holds, and omitted devices."""

from __future__ import annotations

from typing import Any

import pytest

from collectors.core.line_protocol import encode
from collectors.core.line_protocol_parser import decode
from sensetig.fleet.devices import Device, Judged, Limits, judge
from sensetig.fleet.health import DEVICE_HEALTH, levels, metrics, verdict
from sensetig.influxdb.client import Client, Series

NOW_NS = 1_790_000_000_000_000_000
WELL = Device("pi-a", 3.0, 45.0, 12.0, 40.0, False, False, False, False, memory_percent=30.0, site="home")


def judged(**changed: Any) -> Judged:
    return judge(WELL._replace(**changed), Limits())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "● pi-a: all is well"),
        ({"temperature_celsius": 66.0}, "▲ pi-a: 1 thing to check: hot, 66 °C"),
        (
            {"under_voltage": True, "disk_percent": 93.4, "cpu_percent": 97.0},
            "✖ pi-a: 2 things to act on and 1 to check: under-voltage, disk 93 % full, processor 97 % busy",
        ),
        ({"failing": ("camera",)}, "✖ pi-a: 1 thing to act on: collectors failing: camera"),
        (
            {"down": tuple("abcdefg")},
            "✖ pi-a: 1 thing to act on: services down: a, b, c, d, e and 2 more",
        ),
        ({"memory_percent": 90.0}, "✖ pi-a: 1 thing to act on: memory 90 % in use"),
        ({"age_seconds": 700.0}, "✖ pi-a: silent for 12\u202fmin"),
        (
            {"age_seconds": 700.0, "under_voltage": True, "disk_percent": 95.0},
            "✖ pi-a: silent for 12\u202fmin; before that: under-voltage, disk 95 % full",
        ),
        ({"age_seconds": 90.0}, "▲ pi-a: 1 thing to check: late, silent for 2\u202fmin"),
    ],
)
def test_the_verdict_names_what_to_act_on_first_and_the_values(changed: dict[str, Any], sentence: str) -> None:
    assert verdict(judged(**changed)) == sentence


def test_a_device_that_is_not_online_has_no_values_of_now() -> None:
    online, late, silent = metrics([judged(), judged(age_seconds=90.0), judged(age_seconds=9000.0)], {}, NOW_NS)
    assert online.fields["cpu_percent"] == 12.0
    assert online.fields["under_voltage"] is False
    assert {"cpu_percent", "disk_percent", "under_voltage"}.isdisjoint({*late.fields, *silent.fields})
    assert silent.fields["seen_seconds"] == NOW_NS / 1e9 - 9000


def test_a_value_that_a_device_does_not_report_is_left_out() -> None:
    (point,) = metrics([judge(Device("bare", 1.0), Limits())], {}, NOW_NS)
    assert {"cpu_percent", "throttled", "site"}.isdisjoint({*point.fields, *point.series.tags})


def test_a_level_holds_since_it_changed() -> None:
    now = NOW_NS / 1e9
    before = {"pi-a": (0, 1000.0), "pi-b": (2, 2000.0)}
    points = metrics([judged(), judged(name="pi-b"), judged(name="new")], before, NOW_NS)
    assert [point.fields["since_seconds"] for point in points] == [1000.0, now, now]


def test_every_field_and_tag_is_declared_and_the_line_survives_a_parser() -> None:
    (point,) = metrics([judged(name='a "b", c=d', under_voltage=True)], {}, NOW_NS)
    assert set(point.fields) == {field.name for field in DEVICE_HEALTH.fields}
    assert set(point.series.tags) - {"site"} == {tag.name for tag in DEVICE_HEALTH.tags}
    line = encode(point)
    assert line is not None
    read = decode(line)
    assert (read.series.tags["device"], read.fields) == ('a "b", c=d', point.fields)


def test_levels_come_from_the_newest_points(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [
        Series({"device": "pi-a"}, ["time", "last", "since_seconds"], [[1, 2, 50.5]]),
        Series({"device": "old"}, ["time", "last", "since_seconds"], [[1, 1, None]]),
    ]
    client = Client("http://127.0.0.1:1")
    monkeypatch.setattr(client, "query_all", lambda _: [answer])
    assert levels(client) == {"pi-a": (2, 50.5)}
