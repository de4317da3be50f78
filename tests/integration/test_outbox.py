"""The outbox between the real Telegraf and the real InfluxDB."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import urllib3
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from collectors.outbox import read_totals, scan
from sensetig.demo.testbed import ports
from tests.integration.conftest import InfluxDB, prepared

_TELEGRAF = """\
[agent]
  interval = "1s"
  flush_interval = "1s"
  skip_processors_after_aggregators = true
  omit_hostname = true
[[inputs.execd]]
  command = ["{python}", "-u", "{source}"]
  signal = "none"
  data_format = "influx"
[[outputs.influxdb_v2]]
  urls = ["unix://{socket}"]
  organization = "sensetig"
  bucket = "raw"
  token = "unused"
  startup_error_behavior = "retry"
"""

# Twenty points a second, numbered, and the number of the last one in a file. It ends when Telegraf closes its input,
# and not before Telegraf has read everything: of a process that ends, it may lose lines that are still in the pipe.
_SOURCE = """\
import itertools, os, select, sys, time
for number in itertools.count(int(open({count!r}).read() or 0) if os.path.exists({count!r}) else 0):
    print(f"{name} number={{number}}i,text=\\"a,b c\\" {{time.time_ns()}}", flush=True)
    open({count!r}, "w").write(str(number + 1))
    if select.select([sys.stdin], [], [], 0.05)[0]:
        break
time.sleep(3)
"""


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    Retrying(retry=retry_if_result(lambda met: not met), stop=stop_after_delay(seconds), wait=wait_fixed(0.1))(
        condition
    )


class House:
    """Telegraf, the outbox and an address of InfluxDB, each started and killed at will."""

    def __init__(self, folder: Path, telegraf: Path, url: str, token: str, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.name = name
        self.outbox_folder = folder / "outbox"
        self.socket = folder / "write.sock"
        self._telegraf = telegraf
        self.url = url
        (folder / "token").write_text(token)
        (folder / "token").chmod(0o600)
        source = folder / "source.py"
        source.write_text(_SOURCE.format(count=str(folder / "count"), name=name))
        (folder / "telegraf.conf").write_text(
            _TELEGRAF.format(python=sys.executable, source=source, socket=self.socket)
        )

    @contextmanager
    def outbox(self, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [
            sys.executable, "-m", "sensetig", "outbox", "--folder", str(self.outbox_folder), "--url", self.url,
            "--listen", f"unix:{self.socket}", "--token-file", str(self.folder / "token"), *options,
        ]  # fmt: skip
        with (
            (self.folder / "outbox.log").open("ab") as log,
            subprocess.Popen(command, stderr=log, env={**os.environ, **environment}) as process,
        ):
            try:
                until(lambda: process.poll() is not None or self.answers(), 120)
                yield process
            finally:
                process.kill()

    @contextmanager
    def telegraf(self) -> Iterator[subprocess.Popen[bytes]]:
        with (
            (self.folder / "telegraf.log").open("ab") as log,
            subprocess.Popen(
                [self._telegraf, "--config", self.folder / "telegraf.conf"], stdout=log, stderr=log
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                process.wait(120)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
        return True

    @property
    def printed(self) -> int:
        """Points that the source has printed."""
        try:
            return int((self.folder / "count").read_text() or 0)
        except FileNotFoundError:
            return 0

    @property
    def waiting(self) -> int:
        return sum(each.points for each in scan(str(self.outbox_folder)))

    @property
    def log(self) -> str:
        return (self.folder / "outbox.log").read_text()


def asked(url: str, token: str, query: str) -> list[list[Any]]:
    answer = urllib3.request(
        "GET", f"{url}/query", fields={"db": "raw", "q": query, "epoch": "ns"},
        headers={"Authorization": f"Token {token}"}, timeout=60, retries=False,
    )  # fmt: skip
    series = answer.json()["results"][0].get("series", [])
    return series[0]["values"] if series else []


def numbers(influxdb: InfluxDB, name: str) -> list[int]:
    """The numbers that InfluxDB has, in the order of their times."""
    query = f"SELECT number FROM {name}"  # noqa: S608 - the name is the test's own
    return [row[1] for row in asked(influxdb.url, influxdb.read_token, query)]


def test_points_survive_an_outage_and_a_killed_outbox_each_once(telegraf: Path, influxd: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        influxdb = stack.enter_context(prepared(influxd, tmp_path / "hub"))
        house = House(tmp_path, telegraf, influxdb.url, influxdb.write_token, "outlived")
        outbox = stack.enter_context(house.outbox())
        agent = stack.enter_context(house.telegraf())
        until(lambda: len(numbers(influxdb, "outlived")) > 20)
        assert house.waiting == 0, "points go straight through"

        hub = _pid_listening(influxdb.url)
        os.kill(hub, signal.SIGSTOP)
        until(lambda: house.waiting > 60)
        outbox.kill()
        outbox.wait(60)
        before = house.waiting
        again = stack.enter_context(house.outbox())
        assert house.waiting >= before
        until(lambda: house.waiting > before + 20)
        os.kill(hub, signal.SIGCONT)
        until(lambda: house.waiting == 0)
        agent.terminate()
        agent.wait(120)
        printed = house.printed
        until(lambda: len(numbers(influxdb, "outlived")) >= printed - 1)
        found = numbers(influxdb, "outlived")
        assert sorted(found) == sorted(set(found)), "no point is there twice"
        assert set(range(printed - 1)) <= set(found)
        again.send_signal(signal.SIGTERM)
        assert again.wait(120) == 0


def _pid_listening(url: str) -> int:
    port = int(url.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            assert connection.pid is not None
            return connection.pid
    raise AssertionError(url)


def write(house: House, lines: str, bucket: str = "raw") -> int:
    """Write to the outbox as Telegraf does; the status."""

    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(house.socket))

    connection = Connection("outbox")
    connection.request("POST", f"/api/v2/write?org=sensetig&bucket={bucket}&precision=ns", body=lines.encode())
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_bad_point_costs_that_point_alone_and_is_counted_with_influxdb_s_reason(
    influxdb: InfluxDB, telegraf: Path, tmp_path: Path
) -> None:
    house = House(tmp_path, telegraf, influxdb.url, influxdb.write_token, "unused")
    now = time.time_ns()
    with house.outbox():
        assert write(house, f"conflict,d=a v=1 {now}") == 204
        until(lambda: len(asked(influxdb.url, influxdb.read_token, "SELECT v FROM conflict")) == 1)
        lines = [f"conflict,d=b v={number} {now + number}" for number in range(1000)]
        lines[17] = f'conflict,d=c v="text" {now}'
        lines[500] = f"conflict,d=d v=1 {now - 400 * 86400 * 10**9}"  # before the bucket's retention
        lines[900] = "conflict,d=e v= "  # no line protocol
        assert write(house, "\n".join(lines)) == 204
        until(lambda: house.waiting == 0)
        assert len(asked(influxdb.url, influxdb.read_token, "SELECT v FROM conflict WHERE d = 'b'")) == 997
        totals = read_totals(str(house.outbox_folder))
        assert totals is not None
        assert (totals["refused_points"], totals["damaged_points"]) == (3, 0)
        refused = [json.loads(line) for line in (house.outbox_folder / "refused.jsonl").read_text().splitlines()]
        reasons = {each["point"].split(",")[1].split()[0]: each["reason"] for each in refused}
        assert set(reasons) == {"d=c", "d=d", "d=e"}
        assert "type conflict" in reasons["d=c"]
        assert "retention" in reasons["d=d"]
        assert "unable to parse" in reasons["d=e"]


def test_a_wrong_token_loses_nothing(influxdb: InfluxDB, telegraf: Path, tmp_path: Path) -> None:
    house = House(tmp_path, telegraf, influxdb.url, influxdb.read_token, "unused")
    now = time.time_ns()
    with house.outbox():
        for number in range(5):
            assert write(house, f"wrong_token v={number} {now + number}") == 204
        until(lambda: "status 40" in house.log)
        assert house.waiting == 5
    (tmp_path / "token").write_text(influxdb.write_token)
    with house.outbox():
        until(lambda: house.waiting == 0)
    assert len(asked(influxdb.url, influxdb.read_token, "SELECT v FROM wrong_token")) == 5


def test_a_missing_bucket_loses_nothing(influxdb: InfluxDB, telegraf: Path, tmp_path: Path) -> None:
    house = House(tmp_path, telegraf, influxdb.url, influxdb.operator_token, "unused")
    bucket = f"late{time.time_ns()}"
    with house.outbox():
        assert write(house, f"late v=1 {time.time_ns()}", bucket) == 204
        until(lambda: "status 404" in house.log)
        assert house.waiting == 1
        headers = {"Authorization": f"Token {influxdb.operator_token}"}
        organisations = urllib3.request("GET", f"{influxdb.url}/api/v2/orgs", headers=headers).json()["orgs"]
        body = {"name": bucket, "orgID": organisations[0]["id"], "retentionRules": []}
        made = urllib3.request("POST", f"{influxdb.url}/api/v2/buckets", json=body, headers=headers)
        assert made.status == 201
        until(lambda: house.waiting == 0)
    totals = read_totals(str(house.outbox_folder))
    assert totals is not None
    assert totals["stored_points"] == 1


def test_without_room_points_wait_in_telegraf_and_none_is_lost(
    influxdb: InfluxDB, telegraf: Path, tmp_path: Path
) -> None:
    house = House(tmp_path, telegraf, f"http://127.0.0.1:{ports.any_free()}", influxdb.write_token, "held")
    with house.telegraf() as agent:
        with house.outbox("--reserve-megabytes", "1000000"):
            until(lambda: "503" in (tmp_path / "telegraf.log").read_text())
            assert house.waiting == 0
        house.url = influxdb.url
        with house.outbox():
            until(lambda: len(numbers(influxdb, "held")) > 20)
            agent.terminate()
            agent.wait(120)
            printed = house.printed
            until(lambda: set(range(printed - 1)) <= set(numbers(influxdb, "held")))
