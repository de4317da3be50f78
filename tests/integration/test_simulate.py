"""Simulated devices on every route; the stored values are compared with the sent values one by one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest
import urllib3
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig import bundle
from sensetig.demo.testbed import processes
from sensetig.simulator.device import BROKEN, Device
from sensetig.simulator.drive import Plan, slots
from sensetig.simulator.profile import load
from sensetig.simulator.run import TOKEN_VARIABLE
from sensetig.simulator.sources import World
from sensetig.simulator.transports.nats import CONSUMER, STREAM
from tests.integration import mosquitto
from tests.integration.conftest import InfluxDB
from tests.integration.nats import Nats
from tests.integration.nats import nats_server as nats_server

pytestmark = pytest.mark.engines

TELEGRAF = bundle.root() / "telegraf"

#: Time limit for awaited events, in seconds.
SECONDS = 300.0

#: One value: device, sensor, field, time.
Place = tuple[str, str, str, int]


class Sent(NamedTuple):
    """A simulation that has ended: its report, and what its manifest says, each value once."""

    report: dict[str, Any]
    values: dict[Place, Any]
    status: int
    said: str

    @property
    def total(self) -> dict[str, Any]:
        total: dict[str, Any] = self.report["total"]
        return total


def simulate(folder: Path, *options: str, **variables: str) -> Sent:
    """Run `sensetig simulate` as fast as it goes."""
    report, manifest = folder / "report.json", folder / "manifest.jsonl"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "sensetig", "simulate", "--speed", "0", "--wait", "60", "--drain", "200"),
            *("--json", str(report), "--manifest", str(manifest), *options),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=SECONDS,
        check=False,
    )
    if not report.is_file():
        pytest.fail(f"no report (status {ran.returncode}): {ran.stderr}", pytrace=False)
    values: dict[Place, Any] = {}
    for line in manifest.read_text().splitlines():
        entry = json.loads(line)
        for field, value in entry["fields"].items():
            place = (entry["device"], entry["tags"].get("sensor", ""), field, entry["time"])
            assert values.setdefault(place, value) == value
    return Sent(json.loads(report.read_text()), values, ran.returncode, ran.stdout + ran.stderr)


def rows(influxdb: InfluxDB, query: str) -> list[dict[str, Any]]:
    answer = urllib3.request(
        "GET",
        f"{influxdb.url}/query",
        fields={"db": "raw", "q": query, "epoch": "ns"},
        headers={"Authorization": f"Token {influxdb.read_token}"},
    )
    assert answer.status == 200, answer.data
    series = answer.json()["results"][0].get("series", [])
    return [dict(zip(each["columns"], row, strict=True)) for each in series for row in each["values"]]


def stored(influxdb: InfluxDB, site: str, measurements: Sequence[str] = ("environment",)) -> dict[Place, Any]:
    """The values that the bucket holds for a site."""
    found: dict[Place, Any] = {}
    for measurement in measurements:
        tags = {"time", "device", "sensor", "simulated", "replayed", "site", "host"}
        for row in rows(influxdb, f"SELECT * FROM {measurement} WHERE site = '{site}'"):  # noqa: S608
            for field, value in row.items():
                if field not in tags and value is not None:
                    found[row["device"], row.get("sensor") or "", field, row["time"]] = value
    return found


def await_that(condition: Callable[[], bool], log: Path | None = None) -> None:
    """Wait until *condition* answers True."""
    outcome = Retrying(
        retry=retry_if_result(lambda met: not met),
        stop=stop_after_delay(SECONDS),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda _: False,
    )(condition)
    assert outcome, log.read_text()[-3000:] if log else "it did not happen in time"


@contextmanager
def worker(
    telegraf: Path, influxdb: InfluxDB, folder: Path, hub: str, ready: str, **environment: str
) -> Iterator[processes.Identity]:
    """A Telegraf with the processor and one of telegraf/hub, that listens when this begins."""
    folder.mkdir(exist_ok=True)
    log = folder / "telegraf.log"
    files = ["telegraf.conf", "telegraf.d/telegraf.conf", "telegraf.d/telemetry.conf", f"hub/{hub}.conf"]
    identity = processes.start(
        "Telegraf",
        [telegraf, *(word for file in files for word in ("--config", TELEGRAF / file))],
        log=log,
        folder=bundle.root(),
        environment={
            "SENSETIG_PYTHON": sys.executable,
            "SENSETIG_SETTINGS": os.devnull,
            "SENSETIG_INFLUXDB_URL": influxdb.url,
            "SENSETIG_TELEGRAF_TOKEN": influxdb.write_token,
            "SENSETIG_FLUSH_INTERVAL": "1s",
            "SENSETIG_INTERVAL": "1s",
            "SENSETIG_MQTT_PASSWORD": "word",
            "SENSETIG_TELEMETRY_STATE": str(folder / "state.db"),
            "SENSETIG_TELEMETRY_CALIBRATIONS": str(folder / "calibrations"),
            **environment,
        },
    )
    try:
        await_that(lambda: ready in log.read_text(), log)
        yield identity
    finally:
        processes.stop([identity])


@contextmanager
def gateway(folder: Path) -> Iterator[mosquitto.Mosquitto]:
    """The broker as shipped, except that it accepts anonymous clients."""
    acl = folder / "everybody.acl"
    acl.write_text("topic readwrite sensetig/#\nuser telegraf\ntopic read sensetig/#\n")
    acl.chmod(0o600)
    # Simulated devices have no names at the broker that could be their client ids.
    changes = {"allow_anonymous": "true", "acl_file": str(acl), "use_username_as_clientid": "false"}
    with mosquitto.shipped(folder, {"telegraf": "word"}, changes) as broker:
        yield broker


def profile(folder: Path, text: str) -> str:
    path = folder / "profile.toml"
    path.write_text(text)
    return str(path)


#: Faults of every kind that leave the clock right, since InfluxDB keeps nothing of 1970.
FAULTS = """
measurements = ["environment", "imu", "colour"]
[calibration]
temperature_celsius = { offset = 1, gain = 0.02 }
[clock]
offset_seconds = 1
[dropout]
probability = 0.05
[stuck]
probability = 0.02
seconds = 30
[spike]
probability = 0.03
temperature_celsius = 80
pressure_hpa = 600
[offline]
probability = 0.03
seconds = 60
lost = 0.3
[late]
probability = 0.05
seconds = 25
[duplicate]
probability = 0.1
"""


def test_the_report_matches_the_data_in_influxdb(influxdb: InfluxDB, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(influxdb.write_token)
    token.chmod(0o600)
    sent = simulate(
        tmp_path,
        *("--to", influxdb.url, "--token-file", str(token), "--site", "straight", "--devices", "20"),
        *("--messages", "30", "--profile", profile(tmp_path, FAULTS)),
    )
    assert (sent.status, sent.total["unacknowledged"]) == (0, 0), sent.said
    arrived = stored(influxdb, "straight", ("environment", "imu", "colour"))
    assert arrived == sent.values
    assert len(arrived) == sent.total["fields"]
    assert sent.total["acknowledged"] == sent.total["messages"]
    faults = Counter(fault["kind"] for fault in sent.report["faults"])
    assert faults == sent.total["faults"]
    assert {"dropout", "stuck", "spike", "offline", "lost", "late", "duplicate"} <= set(faults)
    for fault in sent.report["faults"]:
        place = (fault["device"], fault.get("sensor", ""), fault.get("field", ""), fault["time_ns"])
        if fault["kind"] == "dropout":
            assert place not in arrived


def _compared(influxdb: InfluxDB, site: str, sent: Sent, log: Path) -> None:
    """Each value that was sent is stored as it was, or refused with its value; nothing else is there."""

    def arrived() -> dict[Place, Any]:
        return {place: value for place, value in stored(influxdb, site).items() if "_calibrated_" not in place[2]}

    def missing() -> Counter[tuple[str, str, int, Any]]:
        here = arrived()
        # A rejected value has no sensor, and its time may have been shifted by a nanosecond to stay unique.
        return Counter(
            (device, field, time // 1000, value)
            for (device, _, field, time), value in sent.values.items()
            if (device, _, field, time) not in here
        )

    def told() -> Counter[tuple[str, str, int, Any]]:
        found = rows(influxdb, f"SELECT * FROM telemetry_rejected WHERE site = '{site}'")  # noqa: S608
        return Counter(
            (row["device"], row["field"], row["time"] // 1000, row["value"]) for row in found if row["field"]
        )

    def complete() -> bool:
        refused, lacking = told(), missing()
        # A message that came twice is refused once: both refusals are one point.
        return refused == lacking

    await_that(complete, log)
    here, lacking = arrived(), missing()
    assert {place: sent.values.get(place) for place in here} == here
    assert lacking
    assert len(here) + lacking.total() == sent.total["fields"]


def _states(influxdb: InfluxDB, device: str) -> tuple[int, int]:
    found = rows(influxdb, f"SELECT last(messages), duplicates FROM device_state WHERE device = '{device}'")  # noqa: S608
    return (found[0]["last"], found[0]["duplicates"]) if found else (0, 0)


#: Faults for the gateway: spikes that the validation rejects, and repeated, late or broken messages.
GATEWAY = """
[spike]
probability = 0.05
temperature_celsius = 80
pressure_hpa = 600
[offline]
probability = 0.02
seconds = 60
[late]
probability = 0.05
seconds = 25
[duplicate]
probability = 0.2
[truncated_json]
probability = 0.05
[wrong_type]
probability = 0.05
[too_large]
probability = 0.02
"""


def test_through_mosquitto_and_telegraf_all_messages_arrive_or_are_rejected(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    log = tmp_path / "hub" / "telegraf.log"
    with (
        gateway(tmp_path) as broker,
        worker(
            telegraf,
            influxdb,
            tmp_path / "hub",
            "gateway",
            "subscribed at the broker",
            SENSETIG_MQTT_SERVER=broker.url.replace("mqtt", "tcp"),
        ),
    ):
        sent = simulate(
            tmp_path,
            *("--to", broker.url, "--site", "gateway", "--devices", "10", "--messages", "40"),
            *("--profile", profile(tmp_path, GATEWAY)),
        )
        assert (sent.status, sent.total["unacknowledged"]) == (0, 0), sent.said
        assert sent.total["acknowledged"] == sent.total["messages"]
        _compared(influxdb, "gateway", sent, log)

        def broken() -> dict[str, int]:
            # Broken text carries no site tag; the device names in the reasons are unique to this test.
            found = rows(influxdb, "SELECT * FROM telemetry_rejected WHERE topic =~ /sensetig.sim-/")
            return dict(Counter(row["reason"] for row in found if row["reason"] in BROKEN))

        wanted = {kind: count for kind, count in sent.total["faults"].items() if kind in BROKEN}
        assert set(wanted) == set(BROKEN)
        await_that(lambda: broken() == wanted, log)


def test_a_message_that_comes_twice_is_counted_once_in_the_state_of_its_device(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    with (
        gateway(tmp_path) as broker,
        worker(
            telegraf,
            influxdb,
            tmp_path / "hub",
            "gateway",
            "subscribed at the broker",
            SENSETIG_MQTT_SERVER=broker.url.replace("mqtt", "tcp"),
            SENSETIG_TELEMETRY_STATE_SECONDS="1",
        ),
    ):
        sent = simulate(
            tmp_path,
            *("--to", broker.url, "--site", "twice", "--devices", "1", "--messages", "50", "--seed", "4"),
            *("--profile", profile(tmp_path, "[duplicate]\nprobability = 0.3\n")),
        )
        assert sent.status == 0, sent.said
        assert sent.total["duplicate"] > 5
        # Two points a message, of two sensors.
        await_that(
            lambda: _states(influxdb, "sim-0001") == (sent.total["points"], 2 * sent.total["duplicate"]),
            tmp_path / "hub" / "telegraf.log",
        )


def test_a_calibration_with_the_inverse_takes_the_error_out_again(
    telegraf: Path, influxdb: InfluxDB, tmp_path: Path
) -> None:
    errors = "[calibration]\ntemperature_celsius = { offset = 2, gain = 0.05 }\n"
    chosen = profile(tmp_path, errors)
    device = Device(1, 7, load(chosen), 0, {})
    entries = [
        '[[calibration]]\nmeasurement = "environment"\n'
        f'field = "{error.field}"\nsensor = "{error.sensor}"\nvalid_from = 2020-01-01T00:00:00Z\nkind = "gain"\n'
        f"gain = {1 / error.gain!r}\noffset = {-error.offset / error.gain!r}\n"
        for error in device.character.calibration
        if error.field == "temperature_raw_celsius"
    ]
    assert all(error.offset or error.gain != 1 for error in device.character.calibration[::2])
    (tmp_path / "hub" / "calibrations").mkdir(parents=True)
    (tmp_path / "hub" / "calibrations" / "sim-0001.toml").write_text("\n".join(entries))
    with (
        gateway(tmp_path) as broker,
        worker(
            telegraf,
            influxdb,
            tmp_path / "hub",
            "gateway",
            "subscribed at the broker",
            SENSETIG_MQTT_SERVER=broker.url.replace("mqtt", "tcp"),
        ),
    ):
        sent = simulate(
            tmp_path,
            *("--to", broker.url, "--site", "inverse", "--devices", "1", "--messages", "12", "--seed", "7"),
            *("--profile", chosen),
        )
        assert sent.status == 0, sent.said
        calibrated: dict[Place, float] = {}

        def complete() -> bool:
            found = stored(influxdb, "inverse").items()
            calibrated.update({place: value for place, value in found if place[2] == "temperature_calibrated_celsius"})
            return len(calibrated) == 24

        await_that(complete, tmp_path / "hub" / "telegraf.log")
    world = World()
    plan = Plan(sent.report["how"]["start_ns"], 10_000_000_000, 12, 0)
    for slot in slots(plan, [device]):
        true = world.reading(device, slot.tick, slot.now_ns)
        for sensor, value in (("hts221", true.temperature_humidity), ("lps25h", true.temperature_pressure)):
            place = ("sim-0001", sensor, "temperature_calibrated_celsius", slot.now_ns)
            assert calibrated[place] == pytest.approx(value, abs=1e-5)


async def _unconfirmed(url: str) -> int:
    """Messages of the stream that no worker has confirmed."""
    client = await nats.connect(url)
    try:
        info = await client.jetstream().consumer_info(STREAM, CONSUMER)
        return int(info.num_ack_pending or 0) + int(info.num_pending or 0)
    finally:
        await client.close()


def test_through_jetstream_and_two_workers_all_messages_arrive_or_are_rejected(
    telegraf: Path, influxdb: InfluxDB, nats_server: Nats, tmp_path: Path
) -> None:
    # The stream comes first: a worker that finds none does not run.
    first = simulate(
        tmp_path,
        "--to",
        nats_server.url,
        "--make-stream",
        "--stream-bytes",
        "50000000",
        "--site",
        "stream",
        "--messages",
        "1",
    )
    assert first.status == 0, first.said
    ready = "subscribed to telegraf of the stream"
    # Each of two workers sees only part of the messages, so a rate of change differs between them. With range checks
    # alone their verdicts agree: every spike is outside these limits.
    limits = tmp_path / "limits.toml"
    limits.write_text(
        "[environment.temperature_raw_celsius]\nlow = -20\nhigh = 70\nstep = 1000\n"
        "[environment.pressure_hpa]\nlow = 700\nhigh = 1200\nstep = 1000\n"
    )
    environment = {"SENSETIG_NATS_SERVER": nats_server.url, "SENSETIG_TELEMETRY_LIMITS": str(limits)}
    with (
        worker(telegraf, influxdb, tmp_path / "one", "nats", ready, **environment),
        worker(telegraf, influxdb, tmp_path / "two", "nats", ready, **environment),
    ):
        sent = simulate(
            tmp_path,
            *("--to", nats_server.url, "--site", "workers", "--devices", "10", "--messages", "40"),
            *("--profile", profile(tmp_path, GATEWAY)),
        )
        assert (sent.status, sent.total["unacknowledged"]) == (0, 0), sent.said
        _compared(influxdb, "workers", sent, tmp_path / "one" / "telegraf.log")
        # Nothing is left with the workers: each message was confirmed when InfluxDB had it.
        await_that(lambda: asyncio.run(_unconfirmed(nats_server.url)) == 0, tmp_path / "one" / "telegraf.log")


def test_the_astro_pis_recording_reaches_influxdb_as_it_is(
    influxdb: InfluxDB, recordings: Path, tmp_path: Path
) -> None:
    path = recordings / "sensehat" / "astro_pi_2015-08.csv.gz"
    sent = simulate(
        tmp_path,
        *("--to", influxdb.url, "--devices", "2", "--messages", "200", "--profile", "perfect", "--site", "orbit"),
        *("--recording", str(path)),
        **{TOKEN_VARIABLE: influxdb.write_token},
    )
    assert (sent.status, sent.total["points"]) == (0, 2 * 200 * 2), sent.said
    assert stored(influxdb, "orbit") == sent.values
    assert {row["replayed"] for row in rows(influxdb, "SELECT * FROM environment WHERE site = 'orbit'")} == {"true"}


def test_a_restart_of_the_broker_loses_no_message(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with mosquitto.running(tmp_path) as broker:
        running = subprocess.Popen(
            [
                *(sys.executable, "-m", "sensetig", "simulate", "--to", broker.url, "--devices", "5"),
                *(
                    "--interval",
                    "0.05",
                    "--drain",
                    "200",
                    "--json",
                    str(report),
                    "--manifest",
                    str(tmp_path / "manifest"),
                ),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            await_that(lambda: (tmp_path / "manifest").is_file() and (tmp_path / "manifest").stat().st_size > 20_000)
            broker.stop()
            size = (tmp_path / "manifest").stat().st_size
            await_that(lambda: (tmp_path / "manifest").stat().st_size > size + 20_000)
            broker.start()
            running.send_signal(signal.SIGINT)
            said, _ = running.communicate(timeout=SECONDS)
        finally:
            running.kill()
    content = json.loads(report.read_text())
    assert running.returncode == 0, said
    assert content["interrupted"]
    assert content["total"]["acknowledged"] == content["total"]["messages"] > 100


def _refused(*options: str, **variables: str) -> str:
    """The one sentence that a simulation ends with."""
    ran = subprocess.run(
        [sys.executable, "-m", "sensetig", "simulate", "--messages", "1", "--speed", "0", "--wait", "30", *options],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode not in (0, None)
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    return ran.stderr.splitlines()[-1]


def test_a_broker_that_refuses_the_user_is_reported_in_one_sentence(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong")
    secret.chmod(0o600)
    with mosquitto.running(tmp_path, open_to_all=False) as broker:
        url = broker.url.replace("//", "//somebody@")
        said = _refused("--to", url, "--password-file", str(secret))
    assert said == f"Error: the broker 127.0.0.1:{broker.port} refuses the connection: Not authorized"


def test_a_token_that_influxdb_refuses_is_reported_once_and_nothing_counts_as_sent(
    influxdb: InfluxDB, tmp_path: Path
) -> None:
    options = ("--to", influxdb.url, "--messages", "2", "--site", "refused")
    sent = simulate(tmp_path, *options, **{TOKEN_VARIABLE: "wrong"})
    assert sent.status == 1
    assert sent.total["acknowledged"] == 0
    assert sent.total["unacknowledged"] == sent.total["messages"] == 6
    (reason,) = sent.report["reasons"]
    assert "refuses this token: it may not write to the bucket 'raw' (status 401)" in reason
    assert stored(influxdb, "refused") == {}


def test_a_missing_stream_is_reported_in_one_sentence(nats_server: Nats, tmp_path: Path) -> None:
    from tests.integration.nats import running

    del nats_server
    with running(tmp_path / "empty") as server:
        said = _refused("--to", server.url)
    assert said.endswith("has no stream that takes sensetig.*.telemetry; make it, or let --make-stream make it")


def test_a_user_that_nats_refuses_is_reported_in_one_sentence(tmp_path: Path) -> None:
    from tests.integration.nats import running

    secret = tmp_path / "secret"
    secret.write_text("wrong")
    secret.chmod(0o600)
    with running(tmp_path / "closed", 'authorization { user: "known", password: "right" }') as server:
        said = _refused("--to", server.url.replace("//", "//known@"), "--password-file", str(secret))
    assert said.endswith("refuses this user; check the user in --to and --password-file")
