"""Parsing of messages of Tasmota, zigbee2mqtt, ESPHome and Home Assistant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.core.line_protocol import Metric, Series
from collectors.core.measurements import ENVIRONMENT
from collectors.messaging.parsers import MEASUREMENTS, Rejection, read_message
from collectors.messaging.parsers.measurements import ENERGY
from tests.schema_check import violations

NOW = 1_800_000_000_000_000_000


def read(topic: str, content: Any) -> list[Metric | Rejection]:
    payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    return read_message(topic, payload, NOW)


def metric(measurement: str, time_ns: int = NOW, tags: dict[str, str] | None = None, **fields: Any) -> Metric:
    return Metric(Series(measurement, {"device": "plug", **(tags or {})}), fields, time_ns)


def reasons(found: list[Metric | Rejection]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Rejection)]


def test_tasmota_sensors_become_environment_with_their_names() -> None:
    content = (
        '{"Time":"2026-11-21T10:59:46","BME280":{"Temperature":21.4,"Humidity":43.1,"DewPoint":8.4,"Pressure":1012.3},'
        '"SHT3X-0x44":{"Temperature":20.9,"Humidity":44.5,"DewPoint":8.4},'
        '"AM2301":{"Temperature":null,"Humidity":null,"DewPoint":null},"PressureUnit":"hPa","TempUnit":"C"}'
    )
    found = read("tele/plug/SENSOR", content)
    assert found == [
        metric(
            "environment",
            tags={"sensor": "bme280"},
            temperature_raw_celsius=21.4,
            humidity_raw_percent=43.1,
            dew_point_celsius=8.4,
            pressure_hpa=1012.3,
        ),
        metric(
            "environment",
            tags={"sensor": "sht3x-0x44"},
            temperature_raw_celsius=20.9,
            humidity_raw_percent=44.5,
            dew_point_celsius=8.4,
        ),
    ]
    for each in found:
        assert isinstance(each, Metric)
        assert list(violations(each, (ENVIRONMENT,))) == []


def test_tasmota_one_wire_thermometers_are_identified_by_their_serial_number() -> None:
    found = read(
        "tele/plug/SENSOR",
        '{"Time":"2026-11-21T10:59:46","DS18B20-1":{"Id":"01131B123456","Temperature":20.6},'
        '"DS18B20-2":{"Id":"01131BABCDEF","Temperature":4.0},"TempUnit":"C"}',
    )
    assert found == [
        metric("environment", tags={"sensor": "ds18b20-01131b123456"}, temperature_raw_celsius=20.6),
        metric("environment", tags={"sensor": "ds18b20-01131babcdef"}, temperature_raw_celsius=4.0),
    ]


def test_tasmota_units_are_converted() -> None:
    [found] = read(
        "tele/plug/SENSOR",
        '{"BMP280":{"Temperature":212,"Pressure":760},"PressureUnit":"mmHg","TempUnit":"F"}',
    )
    assert isinstance(found, Metric)
    assert found.fields["temperature_raw_celsius"] == pytest.approx(100)
    assert found.fields["pressure_hpa"] == pytest.approx(1013.25, abs=0.001)
    refused = read("tele/plug/SENSOR", '{"BMP280":{"Temperature":293,"Pressure":760},"TempUnit":"K"}')
    assert reasons(refused) == ["unknown_unit"]
    assert refused[1:] == [metric("environment", tags={"sensor": "bmp280"}, pressure_hpa=760.0)]


def test_the_tasmota_meter_becomes_energy() -> None:
    content = (
        '{"Time":"2026-11-21T10:59:46","Epoch":1795258786,"ENERGY":{"TotalStartTime":"2026-01-01T00:00:00",'
        '"Total":3.185,"Yesterday":0.058,"Today":0.127,"Period":1,"Power":42,"ApparentPower":50,"ReactivePower":27,'
        '"Factor":0.84,"Voltage":234,"Current":0.214}}'
    )
    [found] = read("tele/plug/SENSOR", content)
    assert found == metric(
        "energy",
        1_795_258_786_000_000_000,
        energy_total_kilowatt_hours=3.185,
        energy_yesterday_kilowatt_hours=0.058,
        energy_today_kilowatt_hours=0.127,
        energy_period_watt_hours=1.0,
        power_watts=42.0,
        power_apparent_volt_amperes=50.0,
        power_reactive_volt_amperes=27.0,
        power_factor=0.84,
        voltage_volts=234.0,
        current_amperes=0.214,
    )
    assert isinstance(found, Metric)
    assert list(violations(found, (ENERGY,))) == []


def test_each_channel_of_a_meter_becomes_a_metric() -> None:
    assert read("tele/plug/SENSOR", {"ENERGY": {"Total": 3, "Power": [1, 2]}}) == [
        metric("energy", energy_total_kilowatt_hours=3.0),
        metric("energy", tags={"channel": "1"}, power_watts=1.0),
        metric("energy", tags={"channel": "2"}, power_watts=2.0),
    ]


def test_the_tariffs_of_a_meter_are_not_channels() -> None:
    content = {"ENERGY": {"Total": 711.5, "TotalTariff": [97, 614.5], "ExportTariff": [0, "x"], "Power": 734}}
    found = read("tele/plug/SENSOR", content)
    assert reasons(found) == ["wrong_type"]
    assert found[1:] == [
        metric(
            "energy", energy_total_kilowatt_hours=711.5, total_tariff_1=97.0, total_tariff_2=614.5, power_watts=734.0
        )
    ]


def test_the_temperature_of_tasmotas_chip_is_not_that_of_the_air() -> None:
    content = {"BME280": {"Temperature": 70.7}, "ESP32": {"Temperature": 106, "HallEffect": 3}, "TempUnit": "F"}
    bme280, chip = read("tele/plug/SENSOR", content)
    assert isinstance(bme280, Metric)
    assert isinstance(chip, Metric)
    assert bme280.series.measurement == "environment"
    assert chip.series.measurement == "tasmota"
    assert chip.fields == {"chip_celsius": pytest.approx(41.11, abs=0.01), "hall_effect": 3.0}


def test_other_tasmota_values_keep_their_names() -> None:
    content = {"Switch1": "ON", "ANALOG": {"A0": 512}, "CCS811": {"eCO2": 400, "TVOC": 2}, "Time": "x"}
    assert read("tele/plug/SENSOR", content) == [
        metric("tasmota", tags={"sensor": "analog"}, a0=512.0),
        metric("tasmota", tags={"sensor": "ccs811"}, e_co2=400.0, tvoc=2.0),
        metric("tasmota", switch1_bool=True),
    ]


def test_tasmota_state_becomes_its_measured_and_switched_values() -> None:
    content = (
        '{"Time":"2026-11-21T10:59:46+01:00","Uptime":"0T00:15:11","UptimeSec":911,"Heap":25,"SleepMode":"Dynamic",'
        '"Sleep":50,"LoadAvg":19,"MqttCount":1,"POWER":"ON","POWER2":"OFF","Wifi":{"AP":1,"SSId":"home",'
        '"BSSId":"AA:BB:CC:DD:EE:FF","Channel":6,"Mode":"11n","RSSI":84,"Signal":-58,"LinkCount":1}}'
    )
    assert read("tele/plug/STATE", content) == [
        metric(
            "tasmota",
            1_795_255_186_000_000_000,
            uptime_seconds=911.0,
            heap_kilobytes=25.0,
            load_percent=19.0,
            mqtt_connections=1.0,
            power_on=True,
            power2_on=False,
            wifi_channel=6.0,
            wifi_quality_percent=84.0,
            wifi_signal_dbm=-58.0,
            wifi_connections=1.0,
        )
    ]


def test_tasmota_last_will_and_firmware_become_device_status() -> None:
    assert read("tele/plug/LWT", "Offline") == [metric("device_status", status="offline")]
    information = '{"Info1":{"Module":"Generic","Version":"14.2.0(tasmota)","FallbackTopic":"cmnd/x/"}}'
    [found] = read("tele/plug/INFO1", information)
    assert found == metric("device_status", status="online", firmware="14.2.0(tasmota)")
    assert isinstance(found, Metric)
    assert list(violations(found, MEASUREMENTS)) == []


@pytest.mark.parametrize(
    ("topic", "content", "reason"),
    [
        ("tele/plug/SENSOR", '{"BME280":{"Temperature":21.4', "truncated_json"),
        ("tele/plug/SENSOR", "[]", "wrong_type"),
        ("tele/plug/SENSOR", '{"Time":"2026-11-21T10:59:46"}', "no_fields"),
        ("tele/plug/SENSOR", '{"BME280":{"Temperature":"warm"}}', "wrong_type"),
        ("tele/plug/SENSOR", '{"ENERGY":{"Power":"much"}}', "wrong_type"),
        ("tele/plug/SENSOR", '{"ENERGY":{"Power":1,"Power":2}}', "duplicate_key"),
        ("tele/plug/STATE", '{"UptimeSec":"long"}', "wrong_type"),
        ("tele/plug/LWT", "Perhaps", "bad_status"),
        ("tele/plug/INFO1", '{"Info1":{}}', "no_fields"),
        ("tele/plug/RESULT", "{}", "unknown_topic"),
        ("zigbee2mqtt/bridge", "{}", "unknown_topic"),
        ("zigbee2mqtt/plug", "21", "wrong_type"),
        ("zigbee2mqtt/plug", '{"temperature":"warm"}', "wrong_type"),
        ("zigbee2mqtt/plug", "{}", "no_fields"),
        ("esphome/plug/sensor/temperature/state", "nan", "not_finite"),
        ("esphome/plug/sensor/temperature/state", "warm", "wrong_type"),
    ],
)
def test_invalid_messages_are_rejected(topic: str, content: str, reason: str) -> None:
    found = read(topic, content)
    assert reasons(found) == [reason]
    assert [each for each in found if isinstance(each, Metric)] == []


def test_zigbee2mqtt_becomes_environment_and_its_other_values() -> None:
    content = (
        '{"battery":97,"humidity":51.2,"last_seen":"2026-11-21T10:59:46+01:00","linkquality":120,"pressure":1009.4,'
        '"temperature":21.37,"voltage":2995,"contact":true,"update":{"state":"idle","installed_version":3}}'
    )
    assert read("zigbee2mqtt/plug", content) == [
        metric(
            "environment",
            1_795_255_186_000_000_000,
            {"sensor": "zigbee"},
            temperature_raw_celsius=21.37,
            humidity_raw_percent=51.2,
            pressure_hpa=1009.4,
        ),
        metric(
            "zigbee2mqtt",
            1_795_255_186_000_000_000,
            battery=97.0,
            linkquality=120.0,
            voltage=2995.0,
            contact_bool=True,
            update_state_text="idle",
            update_installed_version=3.0,
        ),
    ]
    assert read("zigbee2mqtt/plug/availability", '{"state":"offline"}') == [metric("device_status", status="offline")]


def test_esphome_sensors_become_environment_by_their_names() -> None:
    assert read("esphome/plug/sensor/bme280_temperature/state", "21.5") == [
        metric("environment", tags={"sensor": "bme280"}, temperature_raw_celsius=21.5)
    ]
    assert read("esphome/plug/sensor/humidity/state", "40") == [
        metric("environment", tags={"sensor": "esphome"}, humidity_raw_percent=40.0)
    ]
    assert read("esphome/plug/sensor/wifi_signal/state", "-61") == [
        metric("esphome", tags={"component": "sensor", "name": "wifi_signal"}, value=-61.0)
    ]
    assert read("esphome/plug/binary_sensor/door/state", "ON") == [
        metric("esphome", tags={"component": "binary_sensor", "name": "door"}, on=True)
    ]
    assert read("esphome/plug/status", "online") == [metric("device_status", status="online")]


def test_home_assistant_states_are_numbers_switches_or_texts_and_unknown_is_missing_data() -> None:
    tags = {"component": "sensor"}
    assert read("homeassistant/sensor/plug/state", "21.5") == [metric("homeassistant", tags=tags, value=21.5)]
    assert read("homeassistant/sensor/plug/state", "off") == [metric("homeassistant", tags=tags, on=False)]
    assert read("homeassistant/sensor/plug/state", '"dry"') == [metric("homeassistant", tags=tags, text="dry")]
    assert read("homeassistant/sensor/plug/state", "unavailable") == []
