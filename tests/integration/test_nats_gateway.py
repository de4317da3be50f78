"""Workers behind NATS JetStream: a message that another worker gets is the same point, and counted once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import urllib3

from tests.integration import nats
from tests.integration.conftest import InfluxDB
from tests.integration.gateway import until

pytestmark = pytest.mark.engines

#: The consumer gives a message to another worker this long after the first has given no sign, in seconds.
ACK_WAIT = 2.0

T = TypeVar("T")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nats.Nats]:
    with nats.running(tmp_path_factory.mktemp("nats")) as running:
        yield running


def on(server: nats.Nats, work: Callable[[Any, Any], Awaitable[T]]) -> T:
    """Do something with a client of the server and its JetStream."""
    import nats as library

    async def connected() -> T:
        client = await library.connect(server.url)
        try:
            return await work(client, client.jetstream())
        finally:
            await client.close()

    return asyncio.run(connected())


def make(server: nats.Nats, stream: str, ack_wait: float = ACK_WAIT) -> None:
    """Make a stream and its consumer; of one that is there, the consumer begins again."""

    async def made(_client: Any, jetstream: Any) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig
        from nats.js.errors import NotFoundError

        await jetstream.add_stream(name=stream, subjects=[f"sensetig.{stream}.>"])
        with suppress(NotFoundError):
            await jetstream.delete_consumer(stream, "telegraf")
        await jetstream.add_consumer(
            stream,
            ConsumerConfig(
                durable_name="telegraf",
                deliver_group="telegraf",
                deliver_subject=f"_deliver.{stream}",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ack_wait,
                max_ack_pending=20_000,
            ),
        )

    on(server, made)


def publish(server: nats.Nats, subject: str, payloads: list[bytes]) -> None:
    async def published(_client: Any, jetstream: Any) -> None:
        for each in payloads:
            await jetstream.publish(subject, each)

    on(server, published)


def consumer(server: nats.Nats, stream: str) -> Any:
    async def info(_client: Any, jetstream: Any) -> Any:
        return await jetstream.consumer_info(stream, "telegraf")

    return on(server, info)


def stored_times(server: nats.Nats, stream: str, count: int) -> list[float]:
    """When the stream stored its messages, in seconds since 1970."""

    async def times(_client: Any, jetstream: Any) -> list[float]:
        return [(await jetstream.get_msg(stream, seq)).time.timestamp() for seq in range(1, count + 1)]

    return on(server, times)


@contextmanager
def worker(
    server: nats.Nats, influxdb: InfluxDB, folder: Path, stream: str, flush: str
) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(exist_ok=True)
    (folder / "sensetig.toml").write_text("", encoding="utf-8")
    environment = {
        **os.environ,
        "SENSETIG_SETTINGS": str(folder / "sensetig.toml"),
        "SENSETIG_TELEMETRY_STATE": str(folder / "state.sqlite"),
        "SENSETIG_TELEGRAF_TOKEN": influxdb.write_token,
        "SENSETIG_GATEWAY_INFLUXDB_URL": influxdb.url,
        "SENSETIG_GATEWAY_URL": server.url,
        "SENSETIG_GATEWAY_STREAM": stream,
        "SENSETIG_GATEWAY_FLUSH_INTERVAL": flush,
    }
    with (folder / "out").open("ab") as out, (folder / "err").open("ab") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "collectors", "gateway", "--execd"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            env=environment,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(240)


def rows(influxdb: InfluxDB, measurement: str, where: str) -> list[Mapping[str, Any]]:
    query = f'SELECT * FROM "{measurement}" WHERE {where}'  # noqa: S608
    answer = urllib3.request(
        "GET",
        f"{influxdb.url}/query",
        fields={"db": influxdb.raw, "q": query, "epoch": "ns"},
        headers={"Authorization": f"Token {influxdb.read_token}"},
    ).json()
    return [
        {key: value for key, value in zip(series["columns"], row, strict=True) if value is not None}
        for series in answer["results"][0].get("series", [])
        for row in series["values"]
    ]


def points(influxdb: InfluxDB, device: str) -> list[list[Mapping[str, Any]]]:
    """Readings and refusals of a device."""
    return [rows(influxdb, name, f"device = '{device}'") for name in (f"{device}_reading", "telemetry_rejected")]


def test_the_messages_of_a_killed_worker_are_the_same_points_from_another(
    server: nats.Nats, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """Equal readings without a time, and broken messages: each is one point, at the time of the stream."""
    stream, topic = "killed", "sensetig.killed.telemetry.killed_reading"
    make(server, stream)
    with ExitStack() as stack:
        first = stack.enter_context(worker(server, influxdb, tmp_path / "first", stream, "1s"))
        publish(server, topic, [b'{"n": 1}', b'{"n": 1}', b"\xff", b"\xff", b'{"n": 1'])
        until(lambda: len(rows(influxdb, "killed_reading", "device = 'killed'")) == 2)
        points = sorted(row["time"] for row in rows(influxdb, "killed_reading", "device = 'killed'"))
        times = stored_times(server, stream, 2)
        assert [time / 1e9 for time in points] == pytest.approx(times, abs=1e-5)
        first.kill()
        first.wait(240)
        # A worker that writes at its leisure has these, and is killed before.
        slow = stack.enter_context(worker(server, influxdb, tmp_path / "slow", stream, "10m"))
        publish(server, topic, [b'{"n": 2}', b'{"n": 2}', b'{"n": 2'])
        until(lambda: consumer(server, stream).num_ack_pending == 3)
        assert consumer(server, stream).num_pending == 0
        slow.kill()
        slow.wait(240)
        stack.enter_context(worker(server, influxdb, tmp_path / "second", stream, "200ms"))
        until(lambda: consumer(server, stream).ack_floor.stream_seq == 8)
        readings = rows(influxdb, "killed_reading", "device = 'killed'")
        assert sorted(row["n"] for row in readings) == [1, 1, 2, 2]
        assert sorted(row["time"] / 1e9 for row in readings)[2:] == pytest.approx(
            stored_times(server, stream, 7)[5:], abs=1e-5
        )
        refused = rows(influxdb, "telemetry_rejected", "device = 'killed'")
        assert sorted(row["reason"] for row in refused) == ["not_utf8", "not_utf8", "truncated_json", "truncated_json"]


def test_points_that_are_written_before_a_kill_and_again_after_it_are_the_same(
    server: nats.Nats, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """As after a kill between the answer of the database and the acknowledgement."""
    stream, topic = "again", "sensetig.again.telemetry.again_reading"
    make(server, stream)
    publish(server, topic, [b'{"n": 1}', b'{"n": 1}', b"broken"])
    with worker(server, influxdb, tmp_path / "one", stream, "200ms"):
        until(lambda: consumer(server, stream).ack_floor.stream_seq == 3)
    before = points(influxdb, "again")
    make(server, stream)
    with worker(server, influxdb, tmp_path / "two", stream, "200ms"):
        until(lambda: consumer(server, stream).ack_floor.stream_seq == 3)
    after = points(influxdb, "again")
    assert after == before
    assert [len(each) for each in after] == [2, 1]


def test_a_worker_that_waits_for_influxdb_keeps_its_messages(
    server: nats.Nats, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """It asks for more time; what waits, and for how long, is reported in the meantime."""
    stream, topic = "away", "sensetig.away.telemetry.away_reading"
    make(server, stream, 10)
    publish(server, topic, [b'{"n": 1}'])
    away = influxdb._replace(url="http://127.0.0.1:1")
    with worker(server, away, tmp_path / "away", stream, "200ms"):

        def reported() -> list[str]:
            lines = (tmp_path / "away" / "out").read_text().splitlines()
            return [line for line in lines if line.startswith("mqtt_gateway ") and "unconfirmed_messages=1i" in line]

        def seconds(line: str) -> float:
            return float(line.partition("unconfirmed_seconds=")[2].split(" ")[0].split(",")[0])

        # Longer than the consumer's wait: another worker would have got the message in between.
        until(lambda: any(seconds(line) > 12 for line in reported()), 240)
        assert consumer(server, stream).num_redelivered == 0
    assert "messages wait at the broker" in (tmp_path / "away" / "err").read_text()


def test_a_stream_that_is_not_there_is_reported_and_found_later(
    server: nats.Nats, influxdb: InfluxDB, tmp_path: Path
) -> None:
    stream = "late"
    with worker(server, influxdb, tmp_path, stream, "200ms"):
        until(lambda: "gives no messages of its consumer telegraf" in (tmp_path / "err").read_text())
        make(server, stream)
        publish(server, "sensetig.late.telemetry.late_reading", [json.dumps({"n": 1}).encode()])
        until(lambda: len(rows(influxdb, "late_reading", "device = 'late'")) == 1)
