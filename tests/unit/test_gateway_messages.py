"""Messages through the gateway: every good part leaves it, and no point that InfluxDB would refuse."""

from __future__ import annotations

import base64
import json
from itertools import permutations
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode
from collectors.core.registry import catalogue, load
from collectors.messaging.parsers import read_message
from collectors.messaging.parsers.vocabulary import DEVICE_MEASUREMENTS, HUB_MEASUREMENTS, vocabulary
from collectors.telemetry.allowance import Allowance, Bounds
from collectors.telemetry.gateway_store import GatewayStore
from tests.unit.telemetry_support import NOW, SECOND, Stage

DAY = 86_400 * SECOND


def line(topic: str, content: Any, time_ns: int = NOW, more: str = "") -> str:
    payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    value = base64.b64encode(payload).decode()
    return f'mqtt_message,host=hub,site=home,topic={topic} value="{value}"{more} {time_ns}'


def refused(metrics: list[Metric]) -> list[tuple[str, str, str]]:
    return [
        (metric.series.tags["reason"], metric.series.tags.get("device", ""), metric.series.tags.get("topic", ""))
        for metric in metrics
        if metric.series.measurement == "telemetry_rejected"
    ]


def kept(metrics: list[Metric]) -> list[dict[str, Any]]:
    return [dict(metric.fields) for metric in metrics if metric.series.measurement != "telemetry_rejected"]


@pytest.mark.parametrize("name", ["room", "tasmota", "energy", "environment"])
@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (12, "clock_behind"),
        (1_200_000_000, "clock_behind"),
        (4_100_000_000, "clock_ahead"),
        (NOW // 10**9 - 31 * 86400, "clock_behind"),
    ],
)
def test_an_impossible_time_is_refused_for_every_measurement(name: str, time: int, reason: str) -> None:
    topic = f"sensetig/esp1/telemetry/{name}"
    out = Stage().metrics(line(topic, {"power_watts": 1, "time": time}))
    assert refused(out) == [(reason, "esp1", topic)]
    assert kept(out) == []
    assert out[0].series.tags["measurement"] == name
    assert out[0].time_ns == NOW


@pytest.mark.parametrize("days", [14, -31])
def test_a_time_that_only_a_wrong_hub_would_refuse_is_kept_until_the_hub_is_synchronised(days: int) -> None:
    stage = Stage()
    stage.synchronised = False
    at = NOW // 10**9 + days * 86400
    assert kept(stage.metrics(line("sensetig/esp1/telemetry/room", {"power_watts": 1, "time": at}))) != []
    stage.synchronised = True
    assert kept(stage.metrics(line("sensetig/esp1/telemetry/room", {"power_watts": 1, "time": at}))) == []


def test_a_maker_s_clock_that_was_never_set_is_refused_with_its_device() -> None:
    out = Stage().metrics(
        line("tele/plug/SENSOR", '{"Time":"1970-01-01T00:00:08","Epoch":8,"ENERGY":{"Total":1.5,"Power":4}}')
    )
    assert refused(out) == [("clock_behind", "plug", "tele/plug/SENSOR")]


VALUES: tuple[Any, ...] = (1, 2.5, True, "LOCK")
NAMES = ("lock", "lock_text", "lock_bool", "lock_number", "on", "value", "sensor", "power_on", "red")


@pytest.mark.parametrize(
    "topic",
    [
        "zigbee2mqtt/{}",
        "tele/{}/SENSOR",
        "sensetig/{}/telemetry/soil",
        "sensetig/{}/telemetry/colour",
        "esphome/{}/light/l/state",
    ],
)
def test_no_order_of_arrival_gives_a_field_two_types(topic: str) -> None:
    types: dict[str, set[type]] = {}
    tags: set[str] = set()
    for number, (name, value) in enumerate((name, value) for name in NAMES for value in VALUES):
        for outcome in read_message(topic.format(f"d{number}"), json.dumps({name: value}).encode(), NOW):
            if isinstance(outcome, Metric):
                tags |= outcome.series.tags.keys()
                for field, stored in outcome.fields.items():
                    types.setdefault(field, set()).add(type(stored))
    assert [field for field, kinds in types.items() if len(kinds) > 1] == []
    assert types.keys() & tags == set()


@given(st.permutations(range(4)), st.sampled_from(NAMES))
def test_the_name_of_a_field_depends_on_nothing_that_came_before(order: list[int], name: str) -> None:
    def names(value: Any) -> list[list[str]]:
        found = read_message("zigbee2mqtt/d", json.dumps({name: value}).encode(), NOW)
        return [list(each.fields) for each in found if isinstance(each, Metric)]

    assert {place: names(VALUES[place]) for place in order} == {place: names(VALUES[place]) for place in range(4)}


def test_values_of_both_kinds_are_kept_under_names_that_differ() -> None:
    for order in permutations(["LOCK", False]):
        out = Stage().metrics(
            *(line(f"zigbee2mqtt/t{number}", {"child_lock": each, "battery": 9}) for number, each in enumerate(order))
        )
        assert {key for fields in kept(out) for key in fields} == {"child_lock_text", "child_lock_bool", "battery"}
        assert refused(out) == []


def test_a_declared_field_of_another_kind_is_refused_alone() -> None:
    out = Stage().metrics(line("sensetig/hall/telemetry/energy", {"power_watts": "much", "voltage_volts": 230}))
    assert kept(out) == [{"voltage_volts": 230.0}]
    assert refused(out) == [("wrong_type", "hall", "sensetig/hall/telemetry/energy")]


def test_integers_are_floats_unless_they_are_declared() -> None:
    out = Stage().metrics(line("sensetig/hall/telemetry", "soil moisture=3i\ncolour red=4i,lux=2i"))
    assert next({key: type(value) for key, value in fields.items()} for fields in kept(out)) == {"moisture": float}
    assert type(kept(out)[1]["red"]) is int


@pytest.mark.parametrize("name", ["mem", "cpu", "collector", "outbox", "internal_write", "systemd_units", "kernel"])
def test_a_device_writes_no_measurement_of_a_machine(name: str) -> None:
    topic = f"sensetig/plug/telemetry/{name}"
    out = Stage().metrics(line(topic, {"used_percent": 1.0}))
    assert refused(out) == [("reserved_measurement", "plug", topic)]
    assert kept(out) == []


def test_a_machine_of_the_settings_writes_all_that_it_collects() -> None:
    out = Stage().metrics(line("sensetig/pi-3/telemetry/mem", f"mem,host=pi-3 used_percent=40 {NOW}"))
    assert kept(out) == [{"used_percent": 40.0}]
    assert dict(out[0].series.tags) == {"device": "pi-3", "host": "pi-3", "site": "home"}


def test_every_measurement_that_a_collector_declares_is_a_device_s_a_machine_s_or_the_hub_s() -> None:
    for name in catalogue():
        module = load(name)
        assert module is not None
        for measurement in module.MEASUREMENTS:
            sorts = (
                measurement.name in DEVICE_MEASUREMENTS,
                measurement.name in HUB_MEASUREMENTS,
                vocabulary().is_machines(measurement.name),
            )
            assert sum(sorts) == 1, measurement.name


def test_host_is_the_device_and_never_the_hub() -> None:
    out = Stage().metrics(line("zigbee2mqtt/lamp", {"linkquality": 1, "host": "hub"}))
    assert out[0].series.tags["host"] == "lamp"
    assert dict(out[0].fields) == {"linkquality": 1.0, "host_text": "hub"}


def test_a_sensor_among_the_fields_is_the_tag() -> None:
    out = Stage().metrics(
        line("sensetig/hall/telemetry/environment", {"temperature_raw_celsius": 21.5, "sensor": "bme280"})
    )
    assert out[0].series.tags["sensor"] == "bme280"
    assert kept(out) == [{"temperature_raw_celsius": 21.5}]


@pytest.mark.parametrize("tag", ["temperature_raw_celsius", "topic"])
def test_a_tag_has_no_name_that_means_something_else(tag: str) -> None:
    content = {"pressure_hpa": 1000, "tags": {tag: "x"}}
    out = Stage().metrics(line("sensetig/hall/telemetry/environment", content))
    assert [reason for reason, _, _ in refused(out)] == ["reserved_name"]


def test_new_fields_of_a_device_beyond_the_bound_of_a_day_are_refused_and_counted() -> None:
    stage = Stage(bounds=Bounds(fields=5, series=5))
    topic = "sensetig/bad/telemetry/m"
    out = stage.metrics(line(topic, {f"f{number}": 1 for number in range(8)}))
    assert [len(fields) for fields in kept(out)] == [5]
    assert refused(out) == [("too_many_names", "bad", topic)]
    assert out[0].fields["count"] == 3
    # Known names go on, also from others; and a new day is a new allowance.
    assert refused(stage.metrics(line("sensetig/good/telemetry/m", {"f0": 2}))) == []
    stage.now += DAY
    assert refused(stage.metrics(line(topic, {"f7": 1}, stage.now))) == []


def test_new_series_of_a_device_beyond_the_bound_of_a_day_are_refused() -> None:
    stage = Stage(bounds=Bounds(fields=5, series=3))
    lines = [
        line("sensetig/bad/telemetry/m", {"a": 1, "tags": {"n": f"{number}"}}, NOW + number) for number in range(6)
    ]
    out = stage.metrics(*lines)
    assert len(kept(out)) == 3
    assert [reason for reason, _, _ in refused(out)] == ["too_many_names"] * 3


def test_new_names_of_all_devices_beyond_the_bound_of_a_day_are_refused() -> None:
    stage = Stage(bounds=Bounds(fields=5, series=5, all_fields=8, all_series=100))
    out = stage.metrics(
        *(line(f"sensetig/d{device}/telemetry/m", {f"f{device}_{n}": 1 for n in range(4)}) for device in range(4))
    )
    assert sum(len(fields) for fields in kept(out)) == 8
    assert sum(int(metric.fields["count"]) for metric in out if "count" in metric.fields) == 8


def test_declared_fields_are_no_new_names() -> None:
    stage = Stage(bounds=Bounds(fields=1, series=5))
    fields = {field: 1.0 for field, kind in vocabulary().kinds("energy").items() if kind is float}
    out = stage.metrics(line("sensetig/hall/telemetry/energy", fields))
    assert len(kept(out)[0]) == len(fields)


def test_known_names_and_counts_of_the_day_outlast_a_restart(tmp_path: Any) -> None:
    path = str(tmp_path / "gateway.db")
    metric = decode("m,device=bad a=1,b=1 5")
    store = GatewayStore(path, pytest.fail)
    before = Allowance(Bounds(fields=2, series=1), lambda _: {}, store)
    assert before.admit("bad", metric.series, metric.fields, NOW) == (True, [])
    store.close()
    store = GatewayStore(path, pytest.fail)
    after = Allowance(Bounds(fields=2, series=1), lambda _: {}, store)
    assert after.admit("bad", metric.series, metric.fields, NOW) == (True, [])
    assert after.admit("bad", metric.series, {"a": 1.0, "c": 1.0}, NOW) == (True, ["c"])
    assert after.admit("bad", decode("n,device=bad a=1 5").series, {}, NOW) == (False, [])
    store.close()


def test_a_machine_s_thumbnail_is_a_small_jpeg_or_refused() -> None:
    done, image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    assert done
    good = "data:image/jpeg;base64," + base64.b64encode(image.tobytes()).decode()
    topic = "sensetig/pi-1/telemetry/camera_event"
    others = ("http://192.0.2.1/x.jpg", "javascript:alert(1)", good + "A" * 70_000, good[:60], "data:image/svg+xml,x")
    for text in (good, *others):
        out = Stage().metrics(line(topic, {"thumbnail": text, "area_percent": 3.0, "tags": {"camera": "door"}}))
        fields = kept(out)[0]
        assert fields.pop("thumbnail", "") == (text if text == good else "")
        assert fields == {"area_percent": 3.0}
        assert [reason for reason, _, _ in refused(out)] in (([],) if text == good else (["bad_image"], ["too_large"]))


def test_a_message_that_comes_again_is_refused_at_the_same_times() -> None:
    content = [{"temperature_raw_celsius": "warm", "a": 1}, 7, {"temperature_raw_celsius": 900, "time": NOW // 10**9}]
    stage = Stage()
    topic = "sensetig/hall/telemetry/environment"
    more = ",packet=7i,resumed=true,repeated={},connected_ns={}i"
    first = stage.metrics(line(topic, content, NOW, more.format("false", 1)))
    again = stage.metrics(line(topic, content, NOW + 60 * SECOND, more.format("true", 2)))
    points = [(metric.series, metric.time_ns) for metric in first]
    assert len(set(points)) == len(points)
    assert [(metric.series, metric.time_ns) for metric in again] == points


def test_one_message_makes_few_refusals_that_count_all() -> None:
    out = Stage().metrics(line("zigbee2mqtt/bad", {f"k{number}": [] for number in range(250)}))
    assert len(out) < 40
    assert sum(int(metric.fields["count"]) for metric in out) == 250
