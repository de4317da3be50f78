"""The camera as a service with a spool, and Telegraf with the spool's snippet, both stopped and killed at will.

Every line that the service has written must be in InfluxDB as one point, as it was written. The spool itself is the
account: its segments are kept here, since they are never full, and its lines are numbered without a gap.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import urllib3

from collectors.core.line_protocol import FieldValue
from collectors.core.line_protocol_parser import decode
from collectors.spool.record import Record, decode_position
from collectors.spool.record import decode as decode_records
from tests.integration.conftest import InfluxDB

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "telegraf" / "telegraf.conf"
SNIPPET = ROOT / "telegraf" / "alternatives" / "camera-spool.conf"

#: Writes the metrics to a file in Telegraf's order, in addition to InfluxDB.
PASSED_ON = """
[[outputs.file]]
  files = ["{file}"]
  data_format = "influx"
"""

#: How old a delivery must be not to be repeated: well above the time that Telegraf and InfluxDB take for a batch.
REDELIVER_SECONDS = 30

#: The tags that Telegraf adds.
ADDED = {"host", "site"}

Point = tuple[str, frozenset[tuple[str, str]], int]


class House:
    """One spool, its writer, and the Telegraf that delivers it."""

    def __init__(self, telegraf: Path, influxdb: InfluxDB, folder: Path, host: str) -> None:
        self.spool = folder / "spool"
        self.host = host
        self._telegraf = telegraf
        self._influxdb = influxdb
        self._folder = folder
        self._lives = itertools.count(1)
        self._running: list[subprocess.Popen[bytes]] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
        self._environment = {
            **clean,
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "SENSETIG_SETTINGS": os.devnull,
            "SENSETIG_PYTHON": sys.executable,
            "SENSETIG_HOST": host,
            "SENSETIG_FLUSH_INTERVAL": "300ms",
            "SENSETIG_INFLUXDB_URL": influxdb.url,
            "SENSETIG_ORGANISATION": influxdb.org,
            "SENSETIG_TELEGRAF_TOKEN": influxdb.write_token,
            "SENSETIG_SPOOL_DIRECTORY": str(self.spool),
            "SENSETIG_SPOOL_REDELIVER_SECONDS": str(REDELIVER_SECONDS),
        }

    def service(self) -> subprocess.Popen[bytes]:
        """The camera as its unit runs it, on a scene that is played faster."""
        options = ("--backend", "simulated", "--name", "hall", "--pace", "4", "--event-gap-seconds", "2")
        return self._start(
            [
                sys.executable,
                "-m",
                "collectors",
                "camera",
                "--spool",
                str(self.spool),
                *options,
                "--status-seconds",
                "1",
            ],
            "service.log",
        )

    def telegraf(self) -> subprocess.Popen[bytes]:
        """Telegraf with the bundle's own configuration and the spool's snippet."""
        life = next(self._lives)
        besides = self._folder / f"besides-{life}.conf"
        besides.write_text(PASSED_ON.format(file=self._folder / f"passed-on-{life:03}.lines"), encoding="utf-8")
        configuration = [word for file in (AGENT, SNIPPET, besides) for word in ("--config", str(file))]
        return self._start([str(self._telegraf), *configuration], "telegraf.log")

    def until(self, reached: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
        """Wait for something to have happened; fails with the logs when it does not."""
        limit = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > limit:
                pytest.fail(f"it has not come to that: {what}\n{self.logs()[-4000:]}")
            time.sleep(0.03)

    def _start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self._folder / log).open("ab") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        """End a process as its service manager, or the kernel, would."""
        assert process.poll() is None, "it has ended by itself"
        process.send_signal(how)
        process.wait(120)
        self._running.remove(process)

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(120)

    def records(self) -> list[Record]:
        """Everything that was ever written to the spool."""
        data = b"".join(path.read_bytes() for path in sorted(self.spool.glob("*.lines")))
        return decode_records(data).records

    def delivered(self) -> int | None:
        """The position that the reader has recorded."""
        return decode_position((self.spool / "position").read_bytes())

    def events(self) -> list[Record]:
        """Starts and ends, alternating unless the service was killed in between."""
        return [record for record in self.records() if record.line.startswith(b"camera_event,")]

    def points(self) -> dict[Point, dict[str, FieldValue]]:
        """What InfluxDB has of the camera."""
        found: dict[Point, dict[str, FieldValue]] = {}
        for measurement in ("camera", "camera_event", "collector"):
            for series in self._ask(f'SELECT * FROM "{measurement}" WHERE "host" = \'{self.host}\' GROUP BY *'):  # noqa: S608
                tags = frozenset(item for item in series["tags"].items() if item[1] and item[0] not in ADDED)
                if ("collector", "spool") in tags:
                    continue
                for row in series["values"]:
                    fields = dict(zip(series["columns"][1:], row[1:], strict=True))
                    key = (measurement, tags, row[0])
                    assert key not in found
                    found[key] = {name: value for name, value in fields.items() if value is not None}
        return found

    def lost(self) -> int:
        """The lines that the spool's collector says were lost."""
        (series,) = self._ask(f'SELECT sum("dropped") FROM "spool" WHERE "host" = \'{self.host}\'')  # noqa: S608
        return int(series["values"][0][1])

    def passed_on(self) -> Iterator[list[Point]]:
        """The camera's lines in the order of each Telegraf's output; the last line may be cut off."""
        for path in sorted(self._folder.glob("passed-on-*.lines")):
            text = path.read_text(encoding="utf-8")
            lines = text[: text.rfind("\n") + 1].splitlines()
            yield [key_of(line) for line in lines if line.startswith("camera") or ",collector=camera," in line]

    def logs(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self._folder.glob("*.log")))

    def _ask(self, query: str) -> list[dict[str, Any]]:
        answer = urllib3.request(
            "POST",
            f"{self._influxdb.url}/query",
            body=urlencode({"db": self._influxdb.raw, "q": query, "epoch": "ns"}),
            headers={
                "Authorization": f"Token {self._influxdb.read_token}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            retries=False,
            timeout=120,
        )
        assert answer.status == 200, answer.data
        series: list[dict[str, Any]] = json.loads(answer.data)["results"][0].get("series", [])
        return series


def key_of(line: str) -> Point:
    """The identity of a point: measurement, tags and time."""
    metric = decode(line)
    assert metric.time_ns is not None
    tags = frozenset(item for item in metric.series.tags.items() if item[0] not in ADDED)
    return (metric.series.measurement, tags, metric.time_ns)


def amid_an_event(house: House) -> None:
    """Wait until an event begins that had not begun when this was called."""
    before = len(house.events())
    house.until(lambda: any(b",kind=start," in event.line for event in house.events()[before:][-1:]), "an event")


class Step(NamedTuple):
    """The processes to end, with the signals."""

    service: signal.Signals | None
    telegraf: signal.Signals | None


STEPS = [
    Step(None, signal.SIGTERM),
    Step(None, signal.SIGKILL),
    Step(signal.SIGTERM, None),
    Step(signal.SIGKILL, None),
    Step(signal.SIGKILL, signal.SIGKILL),
    Step(signal.SIGTERM, signal.SIGTERM),
    Step(None, signal.SIGKILL),
    Step(signal.SIGKILL, signal.SIGTERM),
    Step(signal.SIGTERM, signal.SIGKILL),
]


@pytest.fixture
def house(telegraf: Path, influxdb: InfluxDB, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    house = House(telegraf, influxdb, tmp_path, request.node.name)
    yield house
    house.close()


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_every_line_is_one_point_after_stops_and_kills_during_an_event(house: House) -> None:
    service, telegraf = house.service(), house.telegraf()
    for step in STEPS:
        amid_an_event(house)
        if step.telegraf is not None:
            house.end(telegraf, step.telegraf)
        if step.service is not None:
            house.end(service, step.service)
            service = house.service()
        if step.telegraf is not None:
            telegraf = house.telegraf()
    amid_an_event(house)
    house.end(service, signal.SIGTERM)

    records = house.records()
    assert [record.number for record in records] == list(range(1, len(records) + 1)), (
        "no line of the service is missing"
    )
    written = {}
    for record in records:
        line = record.line.decode()
        written[key_of(line)] = decode(line).fields
    assert len(written) == len(records), "no two lines are the same point"
    kinds = [dict(tags)["kind"] for name, tags, _ in written if name == "camera_event"]
    assert kinds.count("start") >= len(STEPS) // 2
    assert kinds.count("end") >= 3

    house.until(lambda: len(house.points()) >= len(written), "every line in InfluxDB")
    assert house.points() == written
    assert house.lost() == 0

    # Each Telegraf gave them in their order and without a gap, and began no later than where the one before ended.
    order = {key: index for index, key in enumerate(written)}
    passed_on = [[order[key] for key in keys] for keys in house.passed_on()]
    end = -1
    for indices in passed_on:
        if indices:
            assert indices == list(range(indices[0], indices[0] + len(indices)))
            assert indices[0] <= end + 1
            end = max(end, indices[-1])
    assert end == len(records) - 1
    assert sum(map(len, passed_on)) > len(records), "some were delivered twice, and are one point nevertheless"

    house.until(lambda: house.delivered() == len(records), "everything is put down as delivered")
    house.end(telegraf, signal.SIGTERM)
    assert "panic" not in house.logs()
