"""Parsing of the project's own scheme, and of any bytes on any topic."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.line_protocol_parser import decode
from collectors.messaging.parsers import Bounds, Rejection, read_encoded, read_message
from collectors.messaging.parsers.results import REASONS
from tests.golden import ROOT

NOW = 1_800_000_000_000_000_000
TELEMETRY = "sensetig/hall/telemetry"
ENVIRONMENT = "sensetig/hall/telemetry/environment"


def read(topic: str, content: Any, **bounds: int) -> list[Metric | Rejection]:
    payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    return read_message(topic, payload, NOW, Bounds(**bounds))


def metrics(found: list[Metric | Rejection]) -> list[Metric]:
    assert not [each for each in found if isinstance(each, Rejection)], found
    return [each for each in found if isinstance(each, Metric)]


def reasons(found: list[Metric | Rejection]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Rejection)]


def environment(time_ns: int = NOW, tags: dict[str, str] | None = None, **fields: Any) -> Metric:
    return Metric(Series("environment", {"device": "hall", **(tags or {})}), fields, time_ns)


def test_a_json_object_becomes_a_metric_of_the_topics_measurement_and_device() -> None:
    content = {"temperature_raw_celsius": 21, "ok": True, "note": "dry", "tags": {"sensor": "bme280", "site": "north"}}
    assert metrics(read(ENVIRONMENT, content)) == [
        environment(
            tags={"sensor": "bme280", "site": "north"}, temperature_raw_celsius=21.0, ok_bool=True, note_text="dry"
        )
    ]


def test_json_numbers_are_floats_so_that_a_field_never_changes_its_type() -> None:
    [found] = metrics(read(ENVIRONMENT, {"a": 21, "b": 21.0}))
    assert [type(value) for value in found.fields.values()] == [float, float]


def test_nested_objects_are_flattened_and_null_is_missing_data() -> None:
    assert metrics(read(ENVIRONMENT, {"outer": {"a": 1, "b": {"c": 2}}, "gone": None})) == [
        environment(outer_a=1.0, outer_b_c=2.0)
    ]
    assert read(ENVIRONMENT, {"gone": None}) == []


def test_fields_may_be_in_the_key_fields() -> None:
    assert metrics(read(TELEMETRY, {"measurement": "environment", "fields": {"a": 1}, "time": 5})) == [
        environment(5_000_000_000, a=1.0)
    ]


def test_a_list_is_a_batch_and_one_bad_element_does_not_affect_the_others() -> None:
    found = read(ENVIRONMENT, [{"time": 1, "a": 1}, 7, {"time": "noon", "a": 2}, {"time": 3, "a": 3}])
    assert [each for each in found if isinstance(each, Metric)] == [
        environment(1_000_000_000, a=1.0),
        environment(3_000_000_000, a=3.0),
    ]
    assert reasons(found) == ["wrong_type", "unreadable_time"]
    assert all("element" in each.text for each in found if isinstance(each, Rejection))


def test_a_second_element_without_a_time_is_rejected() -> None:
    found = read(ENVIRONMENT, [{"a": 1}, {"a": 2}])
    assert [each for each in found if isinstance(each, Metric)] == [environment(a=1.0)]
    assert reasons(found) == ["no_time"]


def test_lines_keep_their_times_and_tags_and_their_integers_are_floats() -> None:
    text = "# comment\nenvironment,sensor=a t=1i,u=2 7\r\n\nenvironment,sensor=b,device=hall,host=hall u=3\n"
    for topic in (TELEMETRY, ENVIRONMENT):
        assert metrics(read(topic, text)) == [
            environment(7, {"sensor": "a"}, t=1.0, u=2.0),
            environment(tags={"sensor": "b"}, u=3.0),
        ]


def test_one_invalid_line_does_not_affect_the_others() -> None:
    found = read(TELEMETRY, "environment a=1 7\nenvironment a=\nenvironment a=3 9")
    assert len(found) == 3
    assert reasons(found) == ["not_line_protocol"]


@pytest.mark.parametrize(
    "content",
    [
        "environment,device=cellar t=1",
        "environment,host=cellar t=1",
        {"t": 1, "tags": {"device": "cellar"}},
        {"t": 1, "host": "cellar"},
        {"t": 1, "device": "cellar"},
    ],
)
def test_data_of_another_device_is_rejected(content: Any) -> None:
    assert reasons(read(ENVIRONMENT, content)) == ["foreign_device"]


@pytest.mark.parametrize(
    ("time", "nanoseconds"),
    [
        ("2026-11-21T10:00:00Z", 1_795_255_200_000_000_000),
        ("2026-11-21 11:00:00.123456789+01:00", 1_795_255_200_123_456_789),
        (1_795_255_200, 1_795_255_200_000_000_000),
        (1_795_255_200.25, 1_795_255_200_250_000_000),
        (1_795_255_200_123, 1_795_255_200_123_000_000),
        (1_795_255_200_123_456, 1_795_255_200_123_456_000),
        (1_795_255_200_123_456_789, 1_795_255_200_123_456_789),
        ("1795255200123", 1_795_255_200_123_000_000),
        ("1795255200.25", 1_795_255_200_250_000_000),
        (0, 0),
        ("5", 5_000_000_000),
        (None, NOW),
        # A local time without its zone: the time of arrival.
        ("2026-11-21T10:00:00", NOW),
        ("2026-11-30 08:19:29", NOW),
        ("2026-11-30 08:19:29.123456", NOW),
    ],
)
def test_the_unit_of_a_time_follows_from_its_format_and_size(time: Any, nanoseconds: int) -> None:
    assert metrics(read(ENVIRONMENT, {"a": 1, "time": time})) == [environment(nanoseconds, a=1.0)]


@pytest.mark.parametrize(
    "time",
    ["2026-13-21T10:00:00", "2026-13-21T10:00:00Z", "2026-11-21T10:00:60Z", "", "N/A", True, [], {}, 10**19, -1e300],
)
def test_an_unreadable_time_rejects_its_metric(time: Any) -> None:
    assert reasons(read(ENVIRONMENT, {"a": 1, "time": time})) == ["unreadable_time"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b" \0\n", "empty"),
        (b"\xff\xfe", "not_utf8"),
        (b'{"a": 1', "truncated_json"),
        (b'{"a": ', "truncated_json"),
        (b'{"a": tr', "truncated_json"),
        (b'{"a": "x', "truncated_json"),
        (b'{"a": 1.', "truncated_json"),
        (b'{"a": "\\u00', "truncated_json"),
        (b'[{"a": 1},', "truncated_json"),
        (b"{a: 1}", "not_json"),
        (b'{"a": 1} x', "not_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a_b": 1, "a": {"b": 2}}', "duplicate_key"),
        (b'{"a": NaN}', "not_finite"),
        (b'{"a": -Infinity}', "not_finite"),
        (b'{"a": 1e999}', "not_finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not_finite"),
        (b'{"a": [1]}', "wrong_type"),
        (b"[7]", "wrong_type"),
        (b'{"a": 1, "tags": 1}', "wrong_type"),
        (b'{"a": 1, "tags": {"floor": 1}}', "wrong_type"),
        (b'{"a": 1, "fields": 1}', "wrong_type"),
        (b"{}", "no_fields"),
        (b"[]", "no_fields"),
        (b"# only a comment", "no_fields"),
        (b'{"": 1}', "bad_name"),
        (b'{"a": {"b": 1}, "_c": 1, "fields": {"time": 1}}', "bad_name"),
        (b'{"a": 1, "measurement": "imu"}', "wrong_measurement"),
        (b"imu a=1", "wrong_measurement"),
        (b"21.5", "not_line_protocol"),
        (b"environment a=99999999999999999999u", "not_line_protocol"),
        (b"environment a=18446744073709551615u", "not_finite"),
        (b"environment a=1 9223372036854775807", "unreadable_time"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 50_000, "too_deep"),
        (b'{"a": "' + b"x" * 70_000 + b'"}', "too_large"),
        (b"x" * 1_000_000, "too_large"),
    ],
)
def test_each_rejection_has_a_reason_and_a_text(payload: bytes, reason: str) -> None:
    found = read_message(ENVIRONMENT, payload, NOW)
    assert set(reasons(found)) == {reason}
    for each in found:
        if isinstance(each, Rejection):
            assert (each.topic, each.device) == (ENVIRONMENT, "hall")
            assert each.text


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("sensetig/hall/telemetry/a/b", "unknown_topic"),
        ("sensetig/hall/command/ping", "unknown_topic"),
        ("weather/outside", "unknown_topic"),
        ("", "unknown_topic"),
        ("sensetig//telemetry/environment", "bad_device"),
        ("sensetig/ hall/telemetry/environment", "bad_device"),
        ("sensetig/ha\\ll/telemetry/environment", "bad_device"),
        ("sensetig/" + "x" * 65 + "/telemetry/environment", "bad_device"),
        ("sensetig/hall/telemetry/device_state", "reserved_measurement"),
        ("sensetig/hall/telemetry/_internal", "bad_name"),
        ("sensetig/hall/telemetry/", "bad_name"),
    ],
)
def test_a_topic_outside_the_scheme_is_rejected(topic: str, reason: str) -> None:
    assert reasons(read(topic, {"a": 1})) == [reason]


def test_a_measurement_of_the_hub_is_rejected() -> None:
    assert reasons(read(TELEMETRY, 'device_status status="online"')) == ["reserved_measurement"]


def test_the_limits_are_parameters() -> None:
    batch = [{"time": each, "a": 1, "b": 2} for each in range(4)]
    assert len(metrics(read(ENVIRONMENT, batch, metrics=4))) == 4
    assert reasons(read(ENVIRONMENT, batch, metrics=3)) == ["too_many"]
    assert reasons(read(TELEMETRY, "environment a=1\nenvironment a=2", metrics=1)) == ["too_many"]
    assert reasons(read(ENVIRONMENT, batch[0], fields=1)) == ["too_many"]
    assert reasons(read(ENVIRONMENT, {"a": 1, "tags": {f"t{each}": "x" for each in range(33)}})) == ["too_many"]
    assert reasons(read(ENVIRONMENT, {"a": {"b": 1}}, depth=0)) == ["too_deep"]
    assert reasons(read(ENVIRONMENT, {"a": 1}, payload_bytes=7)) == ["too_large"]


def test_one_invalid_field_does_not_affect_the_others() -> None:
    found = read_message(ENVIRONMENT, b'{"a": NaN, "b": 1, "c": []}', NOW)
    assert [each for each in found if isinstance(each, Metric)] == [environment(b=1.0)]
    assert sorted(reasons(found)) == ["not_finite", "wrong_type"]


@pytest.mark.parametrize("payload", [b"online", b"Online\n", b'{"status": "online"}', b'{"state": "online"}'])
def test_a_status_becomes_device_status(payload: bytes) -> None:
    [found] = metrics(read_message("sensetig/hall/status", payload, NOW))
    assert found == Metric(Series("device_status", {"device": "hall"}), {"status": "online"}, NOW)


def test_a_status_may_have_versions_and_a_time() -> None:
    content = {"status": "offline", "bundle_version": "1.2.0", "firmware": "7", "time": 9}
    [found] = metrics(read("sensetig/hall/status", content))
    assert found.fields == {"status": "offline", "bundle_version": "1.2.0", "firmware": "7"}
    assert found.time_ns == 9_000_000_000


@pytest.mark.parametrize("payload", [b"maybe", b'{"status": 1}', b"{}", b"21"])
def test_another_status_is_rejected(payload: bytes) -> None:
    assert reasons(read_message("sensetig/hall/status", payload, NOW)) == ["bad_status"]


def test_base64_is_decoded_and_other_text_is_rejected() -> None:
    payload = b'{"a": 1}'
    assert read_encoded(ENVIRONMENT, base64.b64encode(payload).decode(), NOW) == [environment(a=1.0)]
    assert reasons(read_encoded(ENVIRONMENT, "{not base64}", NOW)) == ["not_base64"]
    assert reasons(read_encoded(ENVIRONMENT, "ä", NOW)) == ["not_base64"]


def test_the_documentation_names_every_reason() -> None:
    text = (ROOT / "docs" / "reference" / "mqtt-payloads.md").read_text(encoding="utf-8")
    section = text.partition("## Refusals")[2].partition("defines them")[0]
    assert set(re.findall(r"`([a-z0-9_]+)`", section)) - {"telemetry_rejected"} == set(REASONS)


LEVELS = st.one_of(
    st.sampled_from(
        [
            "sensetig",
            "tele",
            "zigbee2mqtt",
            "esphome",
            "homeassistant",
            "hall",
            "telemetry",
            "status",
            "sensor",
            "environment",
            "SENSOR",
            "STATE",
            "LWT",
            "INFO1",
            "availability",
            "state",
            "ENERGY",
            "temperature",
        ]
    ),
    st.text(max_size=12),
)
KEYS = st.one_of(
    st.sampled_from(
        [
            "time",
            "tags",
            "fields",
            "measurement",
            "device",
            "host",
            "site",
            "Time",
            "Epoch",
            "ENERGY",
            "Power",
            "Id",
            "Temperature",
            "Humidity",
            "Pressure",
            "TempUnit",
            "PressureUnit",
            "last_seen",
            "temperature",
            "status",
            "Wifi",
            "RSSI",
            "UptimeSec",
            "POWER1",
            "Info1",
            "Version",
            "DS18B20-1",
        ]
    ),
    st.text(max_size=8),
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    st.tuples(DOCUMENTS.map(json.dumps), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]].encode()),
    st.lists(
        st.sampled_from(["environment,a=b c=1 5", 'x y="z\\', "m f=1i", "#", "m,t= f=1", "é ü=t"]), max_size=4
    ).map(lambda lines: "\n".join(lines).encode()),
    st.sampled_from([b"ON", b"nan", b"21.5", b"online", b"Offline", b"unavailable", b"1_0"]),
)
TOPICS = st.one_of(
    st.lists(LEVELS, max_size=6).map("/".join),
    st.sampled_from(
        [
            TELEMETRY,
            ENVIRONMENT,
            "sensetig/hall/status",
            "tele/plug/SENSOR",
            "tele/plug/STATE",
            "tele/plug/LWT",
            "tele/plug/INFO1",
            "zigbee2mqtt/lamp",
            "zigbee2mqtt/lamp/availability",
            "esphome/node/sensor/a_b/state",
            "esphome/node/binary_sensor/door/state",
            "homeassistant/light/lamp/state",
        ]
    ),
)


@given(topic=TOPICS, payload=PAYLOADS)
@example(topic=ENVIRONMENT, payload=b'{"a\\ud800": "\\ud800", "tags": {"\\ud800": "\\ud800"}}')
@example(topic=ENVIRONMENT, payload=b'{"a": 1, "tags": {"time": "x"}}')
def test_any_bytes_on_any_topic_become_valid_metrics_or_rejections(topic: str, payload: bytes) -> None:
    for each in read_message(topic, payload, NOW):
        if isinstance(each, Rejection):
            assert each.reason in REASONS
            assert each.text
            each.text.encode()
        else:
            complaints: list[str] = []
            line = encode(each, complaints.append)
            assert "\n" not in line
            assert complaints == []
            again = decode(line)
            assert again.series == each.series
            assert again.fields.keys() == each.fields.keys()
            assert again.time_ns == each.time_ns
            assert all(not isinstance(value, float) or math.isfinite(value) for value in again.fields.values())
            assert each.series.tags["device"] in topic
