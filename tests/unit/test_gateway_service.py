"""The gateway: a message is acknowledged when InfluxDB has its points, and never before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.device_state.nats_kv import Server
from collectors.gateway import settings
from collectors.gateway.mqtt import MqttSource
from collectors.gateway.nats import NatsSource, stored
from collectors.gateway.service import MAX_LINES, STATE_SECONDS, Gateway, Stages
from collectors.gateway.source import Inbox, Incoming, Waiting
from collectors.gateway.writer import Refused, Unreachable
from collectors.messaging.broker import Broker
from collectors.messaging.session import Message

NOW = 1_796_000_000_000_000_000


def incoming(number: int) -> Incoming:
    return Incoming("sensetig/hall/telemetry/m", b"{}", NOW + number, None, number)


class Source:
    def __init__(self) -> None:
        self.inbox = Inbox()
        self.descriptor = self.inbox.descriptor
        self.acknowledged: list[object] = []
        self.backlog: Waiting | None = None
        self.held = 0

    def start(self) -> None:
        pass

    def take(self) -> list[Incoming]:
        return self.inbox.take()

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        self.acknowledged += [each.handle for each in messages]

    def hold(self, messages: Sequence[Incoming]) -> None:
        self.held = len(messages)

    def waiting(self) -> Waiting | None:
        return self.backlog

    def errors(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


class Pipeline:
    """Makes a fixed number of lines of each message."""

    def __init__(self, log: list[str], lines: int) -> None:
        self._log = log
        self._lines = lines

    def take(self, message: Metric) -> list[str]:
        return [f"m,device=hall n={number} {message.time_ns}" for number in range(self._lines)]

    def flush(self) -> None:
        self._log.append("flush")

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class Hub:
    """A gateway, its source, its database, and a clock."""

    def __init__(self, *, lines: int = 1, live: bool = False, flush_seconds: float = 10) -> None:
        self.times: list[float] = []
        self.source = Source()
        self.log: list[str] = []
        self.written: list[list[str]] = []
        self.failures: list[Exception] = []
        self.refused: list[str] = []
        self.said: list[str] = []
        self.report = ErrorReporter("gateway", self.said.append)
        self.waits = False
        self.now = 0.0
        self.states: list[str] = []
        stages = Stages(Pipeline(self.log, lines), self._states, list, self._reject, {"host": "hub"})
        self.gateway = Gateway(
            self.source,
            stages,
            self._write,
            lambda: None,
            lambda: self.waits,
            flush_seconds=flush_seconds,
            live=live,
            report=self.report,
            clock_ns=lambda: NOW + round(self.now * 1e9),
            timer=lambda: self.now,
        )

    def _states(self) -> list[str]:
        states, self.states = self.states, []
        return states

    def _reject(self, reason: str, time_ns: int, text: str) -> str:
        return f'telemetry_rejected,reason={reason} text="{text}" {time_ns}'

    def _write(self, lines: Sequence[str]) -> list[Refused]:
        self.log.append("write")
        if self.failures:
            raise self.failures.pop(0)
        self.written.append(list(lines))
        self.times.append(self.now)
        return [Refused(line, "a reason") for line in lines if line in self.refused]

    def run(self, arrivals: dict[float, list[int]], until: float) -> list[Metric]:
        """Run on a clock that jumps from event to event."""
        left = sorted(arrivals.items())
        out: list[Metric] = []

        def wait(seconds: float, _descriptor: int | None = None, /) -> bool:
            end = self.now + seconds
            if left and left[0][0] <= end:
                self.now, numbers = left.pop(0)
                for number in numbers:
                    self.source.inbox.put(incoming(number))
            else:
                self.now = end
            return self.now >= until

        for batch in self.gateway.stream(wait):
            out += batch
        return out


def test_messages_are_acknowledged_once_their_points_are_written() -> None:
    hub = Hub()
    hub.run({1.0: [1, 2], 2.0: [3]}, 12)
    assert hub.source.acknowledged == [1, 2, 3]
    assert [len(lines) for lines in hub.written] == [3]


def test_while_influxdb_is_away_nothing_is_acknowledged_and_attempts_back_off() -> None:
    hub = Hub()
    hub.failures = [Unreachable("away") for _ in range(10)]
    hub.run({1.0: [1]}, 25)  # at 11, 12, 14, 18 s, and twice at the end
    assert hub.source.acknowledged == []
    assert len(hub.failures) == 4
    assert hub.written == []
    assert hub.said == ["E! gateway: away"]
    assert hub.report.take() == 1, "an outage is one error"
    hub.failures = []
    hub.run({}, 50)
    assert hub.source.acknowledged == [1]


def test_a_message_is_written_soon_after_it_arrived_and_nothing_is_written_without_one() -> None:
    hub = Hub(flush_seconds=0.25)
    hub.run({100.0: [1], 100.1: [2], 200.0: [3]}, 300)
    assert [len(lines) for lines in hub.written] == [2, 1]
    assert hub.times == [pytest.approx(100.25, abs=0.05), pytest.approx(200.25, abs=0.05)]


def test_while_points_wait_in_the_outbox_there_are_fewer_writes() -> None:
    hub = Hub(flush_seconds=0.25)
    hub.waits = True
    hub.run({100.0: [1], 100.1: [2], 109.0: [3], 120.0: [4]}, 300)
    assert [len(lines) for lines in hub.written] == [3, 1]
    assert hub.times == [pytest.approx(110, abs=0.05), pytest.approx(130, abs=0.05)]


def test_device_states_alone_wait_for_more_of_them() -> None:
    hub = Hub(flush_seconds=0.25)
    hub.states = ["device_state,device=hall messages=1i 1"]
    hub.run({}, STATE_SECONDS - 1)
    assert hub.times == [pytest.approx(STATE_SECONDS - 1)]  # at the end
    hub = Hub(flush_seconds=0.25)
    hub.states = ["device_state,device=hall messages=1i 1"]
    hub.run({}, 60)
    assert hub.times == [pytest.approx(STATE_SECONDS)]


def test_what_recognises_a_message_is_on_the_disk_before_its_points_are_written() -> None:
    hub = Hub()
    hub.run({1.0: [1]}, 12)
    assert hub.log.index("flush") < hub.log.index("write")


def test_a_full_batch_is_written_before_its_time() -> None:
    hub = Hub(lines=MAX_LINES // 2)
    hub.run({1.0: [1, 2, 3]}, 5)
    assert [len(lines) for lines in hub.written] == [MAX_LINES, MAX_LINES // 2]
    assert hub.source.acknowledged == [1, 2, 3]


def test_a_message_that_fails_half_way_is_acknowledged_as_a_whole_or_not_at_all() -> None:
    hub = Hub(lines=MAX_LINES)
    hub.run({1.0: [1, 2]}, 3)
    assert [len(lines) for lines in hub.written] == [MAX_LINES, MAX_LINES]
    hub = Hub(lines=MAX_LINES)
    hub.source.inbox.put(incoming(1))
    hub.source.inbox.put(incoming(2))
    hub.failures = [Unreachable("away")]
    hub.run({}, 0.5)
    assert hub.source.acknowledged in ([], [1, 2])


def test_a_point_that_influxdb_refuses_costs_that_point_and_is_counted() -> None:
    hub = Hub(lines=2)
    hub.refused = [f"m,device=hall n=1 {NOW + 1}"]
    hub.run({1.0: [1]}, 12)
    assert hub.source.acknowledged == [1]
    [rejected] = hub.written[1]
    assert rejected.startswith("telemetry_rejected,reason=refused_by_influxdb ")
    assert rejected.endswith(f" {NOW + 1}")
    assert any("a reason" in sentence for sentence in hub.said)


def test_the_age_of_the_oldest_message_and_the_number_received_are_reported() -> None:
    hub = Hub()
    hub.failures = [Unreachable("away") for _ in range(50)]
    found = hub.run({1.0: [1, 2]}, 31)
    states = [metric.fields for metric in found if metric.series.measurement == "mqtt_gateway"]
    assert states[0] == {"unconfirmed_messages": 0, "unconfirmed_seconds": 0.0}
    assert states[2]["unconfirmed_messages"] == 2
    assert states[2]["unconfirmed_seconds"] == pytest.approx(20, abs=0.1)
    hub.failures = []
    found = hub.run({}, 60)
    assert [metric.fields for metric in found if metric.series.measurement == "mqtt_receipt"] == [{"received": 2}]


def test_the_backlog_is_the_one_that_the_server_reports() -> None:
    hub = Hub()
    hub.source.backlog = Waiting(7, NOW - 5_000_000_000)
    [state] = [metric.fields for metric in hub.run({}, 0.5)[:1]]
    assert state == {"unconfirmed_messages": 7, "unconfirmed_seconds": 5.0}


def test_live_points_are_printed_as_they_arrive_with_a_tag() -> None:
    hub = Hub(live=True)
    found = [metric for metric in hub.run({1.0: [1]}, 3) if metric.series.measurement == "m"]
    assert [(metric.series.tags["ingest"], metric.time_ns) for metric in found] == [("gateway", NOW + 1)]


def test_device_states_are_written_with_the_points() -> None:
    hub = Hub()
    hub.states = ["device_state,device=hall messages=1i 1"]
    hub.run({1.0: [1]}, 12)
    assert hub.written[0][0].startswith("device_state")


def test_the_messages_that_wait_are_prolonged() -> None:
    hub = Hub()
    hub.run({1.0: [1, 2]}, 5)
    assert hub.source.held == 2


def test_two_messages_of_one_moment_have_two_times(monkeypatch: pytest.MonkeyPatch) -> None:
    source = MqttSource(Broker("127.0.0.1", 1, False), "id", ("a",), print)
    monkeypatch.setattr("collectors.gateway.mqtt.time.time_ns", lambda: NOW)
    for number in (1, 2):
        source._receive(Message("a", b"x", False, number))
    assert [each.time_ns for each in source.take()] == [NOW, NOW + 1]


def test_the_deletion_of_a_retained_message_is_no_message() -> None:
    source = MqttSource(Broker("127.0.0.1", 1, False), "id", ("a",), print)
    source._receive(Message("a", b"", True))
    assert source.take() == []


def test_each_error_of_an_outage_of_nats_is_reported_once() -> None:
    async def lose_the_server() -> list[str]:
        for _ in range(20):
            await source._met(ConnectionRefusedError("Connect call failed"))
        await source._met(ConnectionError("unexpected EOF"))
        return source.errors()

    source = NatsSource(Server("127.0.0.1", 1, False), "sensetig", "telegraf", print)
    assert asyncio.run(lose_the_server()) == [
        "NATS at 127.0.0.1:1: Connect call failed",
        "NATS at 127.0.0.1:1: unexpected EOF",
    ]
    source.close()


def test_the_time_in_the_stream_is_read_to_the_nanosecond() -> None:
    assert stored("$JS.ACK.s.c.1.42.40.1796000000123456789.3") == (42, 1796000000123456789)
    assert stored("$JS.ACK.hub.account.s.c.1.42.40.1796000000123456789.3.x") == (42, 1796000000123456789)
    with pytest.raises(ValueError, match="_INBOX"):
        stored("_INBOX.x")


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10.0), ("500ms", 0.5), (" 1.5s ", 1.5), ("2m", 120.0)])
def test_a_flush_interval_is_written_as_in_telegraf(text: str, seconds: float) -> None:
    assert settings.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "11m", "-1s", "1h", "9" * 400 + "s", "s"])
def test_another_flush_interval_is_refused(text: str) -> None:
    with pytest.raises(Unavailable, match="flush_interval is"):
        settings.seconds(text)


def test_topics_of_makers_are_added_to_the_bundle_s() -> None:
    assert settings.topics("") == ("sensetig/+/telemetry/#", "sensetig/+/status")
    assert "tele/+/SENSOR" in settings.topics(" Tasmota, zigbee2mqtt,tasmota")
    with pytest.raises(Unavailable, match="makers has 'shelly'; known are tasmota, zigbee2mqtt, esphome"):
        settings.topics("shelly")


def test_a_secret_may_be_a_credential_of_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mqtt_password").write_text("from systemd\n")
    (tmp_path / "mqtt_password").chmod(0o400)
    (tmp_path / "other").write_text("from a file\n")
    (tmp_path / "other").chmod(0o600)
    monkeypatch.setenv("SENSETIG_MQTT_PASSWORD", "@{systemd:mqtt_password}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert settings.secret("SENSETIG_MQTT_PASSWORD", None, "password_file") == "from systemd"
    assert settings.secret("SENSETIG_MQTT_PASSWORD", os.fspath(tmp_path / "other"), "password_file") == "from a file"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(Unavailable, match="names a credential of systemd"):
        settings.secret("SENSETIG_MQTT_PASSWORD", None, "password_file")
    monkeypatch.setenv("SENSETIG_MQTT_PASSWORD", "plain")
    assert settings.secret("SENSETIG_MQTT_PASSWORD", None, "password_file") == "plain"
