"""The agent under the real Telegraf: points asked for reach InfluxDB, settings are reloaded, lines are published."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from tests.bench.measure import environment
from tests.integration import mosquitto
from tests.integration.conftest import InfluxDB
from tests.integration.mqtt_support import BOUND_SECONDS, Peer, settings
from tests.integration.test_mqtt_agent import broker as broker
from tests.integration.test_mqtt_agent import peer as peer

pytestmark = pytest.mark.engines

ROOT = Path(__file__).resolve().parents[2]

AGENT = """
[agent]
  interval = "1s"
  flush_interval = "300ms"
  hostname = "{host}"
"""

INFLUXDB = """
[[outputs.influxdb_v2]]
  urls = ["{url}"]
  organization = "{org}"
  bucket = "{bucket}"
  token = "{token}"
"""


@contextmanager
def telegraf_running(
    program: Path, configuration: Path, log: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A Telegraf that runs, and is stopped at the end."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [program, "--config", configuration],
            stdout=said,
            stderr=said,
            env=environment(SENSETIG_PYTHON=sys.executable, **variables),
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(BOUND_SECONDS)
            raise


def query(influxdb: InfluxDB, text: str) -> str:
    """What InfluxDB answers to InfluxQL, as CSV."""
    answer = urllib3.request(
        "GET",
        f"{influxdb.url}/query",
        fields={"db": influxdb.raw, "q": text},
        headers={"Authorization": f"Token {influxdb.read_token}", "Accept": "application/csv"},
        timeout=60,
    )
    assert answer.status == 200, answer.data
    return answer.data.decode()


def test_collected_points_reach_influxdb(
    telegraf: Path, influxdb: InfluxDB, broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    host = "collect-now"
    configuration = tmp_path / "telegraf.conf"
    output = INFLUXDB.format(url=influxdb.url, org=influxdb.org, bucket=influxdb.raw, token=influxdb.write_token)
    snippet = (ROOT / "telegraf" / "telegraf.d" / "mqtt.conf").read_text(encoding="utf-8")
    configuration.write_text(AGENT.format(host=host) + output + snippet, encoding="utf-8")
    variables = {**settings(broker.port, tmp_path), "SENSETIG_SETTINGS": os.devnull}
    with telegraf_running(telegraf, configuration, tmp_path / "log", **variables):
        peer.status("online")
        asked = time.time_ns()
        answer = peer.ask("collect_now", collectors=["system"])
        assert answer["status"] == "ok", answer
        end = time.monotonic() + BOUND_SECONDS
        text = f"SELECT used_percent FROM mem WHERE host = '{host}' AND time >= {asked}"  # noqa: S608 - both are the test's own
        while host not in (found := query(influxdb, text + " GROUP BY host")):
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert len(found.strip().splitlines()) == 2, "asked for once, it is there once"
    assert peer.status("offline")


def test_a_reload_applies_new_settings_and_refuses_wrong_ones(
    telegraf: Path, broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    configuration, toml, out = tmp_path / "telegraf.conf", tmp_path / "sensetig.toml", tmp_path / "out"
    snippet = (ROOT / "telegraf" / "telegraf.d" / "mqtt.conf").read_text(encoding="utf-8")
    output = f'[[outputs.file]]\n  files = ["{out}"]\n  data_format = "influx"\n'
    sound = AGENT.format(host="pi") + output + snippet
    configuration.write_text(sound, encoding="utf-8")
    toml.write_text('[mqtt]\nfirmware = "first"\n', encoding="utf-8")
    variables = {**settings(broker.port, tmp_path), "SENSETIG_SETTINGS": str(toml)}
    with telegraf_running(telegraf, configuration, tmp_path / "log", **variables) as process:
        assert peer.status("online")["firmware"] == "first"

        toml.write_text('[mqtt]\nfirmware = "second"\n[sensehat]\nstale_after = -1\n', encoding="utf-8")
        answer = peer.ask("reload_settings")
        assert answer["status"] == "refused"
        assert f"{toml}, line 4: [sensehat] stale_after is -1; it must be" in answer["message"]

        toml.write_text('[mqtt]\nfirmware = "third"\n', encoding="utf-8")
        unknown = "nonsense"
        configuration.write_text(f"{sound}[[inputs.{unknown}]]\n", encoding="utf-8")
        answer = peer.ask("reload_settings")
        assert answer["status"] == "refused"
        assert "Telegraf's configuration is invalid: " in answer["message"]
        assert unknown in answer["message"]
        assert peer.ask("ping")["status"] == "ok"
        assert process.poll() is None

        configuration.write_text(sound, encoding="utf-8")
        answer = peer.ask("reload_settings")
        assert (answer["status"], "Telegraf reloads" in answer["message"]) == ("ok", True)
        assert peer.status("offline")["firmware"] == "first"
        assert peer.status("online")["firmware"] == "third"
        assert process.poll() is None
        assert peer.ask("ping")["status"] == "ok"


def test_telegraf_publishes_and_buffers_while_the_broker_is_away(
    telegraf: Path, broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    configuration, lines = tmp_path / "telegraf.conf", tmp_path / "lines"
    snippet = (ROOT / "telegraf" / "alternatives" / "mqtt.conf").read_text(encoding="utf-8")
    tail = f'[[inputs.execd]]\n  command = ["tail", "-F", "-n", "+1", "{lines}"]\n  data_format = "influx"\n'
    configuration.write_text(AGENT.format(host="pi") + snippet + tail, encoding="utf-8")
    lines.touch()
    variables = {**settings(broker.port, tmp_path, status_seconds="60"), "SENSETIG_SETTINGS": os.devnull}
    wanted = {f"count,host=pi value={number} {1_700_000_000_000_000_000 + number}" for number in range(600)}
    ordered = sorted(wanted)
    with telegraf_running(telegraf, configuration, tmp_path / "log", **variables):
        peer.status("online")
        with lines.open("a") as file:
            file.write("".join(line.replace(",host=pi", "") + "\n" for line in ordered[:300]))
        found = {line for line in peer.lines(300) if line.startswith("count")}
        broker.stop()
        with lines.open("a") as file:
            file.write("".join(line.replace(",host=pi", "") + "\n" for line in ordered[300:]))
        broker.start()
        peer.there()
        # The status may come before, amid or after the lines.
        status = "unknown"
        while found != wanted or status != "online":
            got = peer.await_message(lambda got: got.topic.startswith("sensetig/pi/"))
            if got.topic == "sensetig/pi/status":
                status = got.content["status"]
            else:
                found.update(line for line in got.payload.decode().splitlines() if line.startswith("count"))
    peer.status("offline")
