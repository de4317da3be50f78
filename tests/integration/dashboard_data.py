"""An InfluxDB with data for every dashboard: the demo's, and that of hardware that this machine lacks.

The missing measurements come from the same collectors, which Telegraf runs over the recorded trees of boards that have
the hardware; :data:`DECLARED_ONLY` names the fields that no recorded board has.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from sensetig import bundle
from sensetig.cli.retire import retired_lines
from sensetig.declarations import declared
from sensetig.demo.testbed import processes
from tests import fleet
from tests.golden import CASES
from tests.integration import past_data
from tests.trees import plant

if TYPE_CHECKING:
    from tests.integration.conftest import Demo

#: Fields that no recorded board has, each with the reason; they get one point as declared, through Telegraf.
DECLARED_ONLY = {
    ("sd_card", "life_used_percent"): "only eMMC modules tell it; the recorded boards have SD cards",
    ("sd_card", "pre_eol"): "only eMMC modules tell it; the recorded boards have SD cards",
    ("machine", "model"): "a virtual machine's firmware need not name a board",
    ("machine", "pending_updates"): "only update-notifier counts them",
    ("net", "speed"): "a virtual machine's interface has none",
    ("vision", "kept"): "told of a queue at a broker, and not of pictures in files",
    ("wifi", "bit_rate_bits_per_second"): "asked of a real wireless interface, not read from a file",
}

#: The last data to arrive: a rate, which needs points in two intervals of ten seconds, and the end of a motion event.
_LAST = (
    'SELECT count("clip_path") FROM "camera_event" WHERE "camera" = \'simulated\' AND time > now() - 5m',
    'SELECT count("held_seconds") FROM "joystick" WHERE time > now() - 5m',
    'SELECT non_negative_derivative(max("written_bytes"), 1s) FROM "sd_card" WHERE time > now() - 5m '
    "GROUP BY time(10s) fill(none)",
)


class Filled(NamedTuple):
    """An InfluxDB with data of every kind of hardware, and the device whose data it is."""

    url: str
    token: str
    begin_ms: int
    end_ms: int
    organisation: str
    host: str = ""
    site: str = ""
    write_token: str = ""
    fleet_end: float = 0.0

    def write(self, lines: Iterable[str], bucket: str = "raw", token: str = "", precision: str = "ns") -> None:
        """Write lines of line protocol. Raises AssertionError when InfluxDB refuses them."""
        rest = iter(lines)
        # InfluxDB gives up a write after ten seconds, which a year in one piece takes on a busy machine.
        while batch := list(islice(rest, 5000)):
            answer = urllib3.request(
                "POST",
                f"{self.url}/api/v2/write?"
                + urlencode({"org": self.organisation, "bucket": bucket, "precision": precision}),
                body="\n".join(batch),
                headers={"Authorization": f"Token {token or self.write_token}"},
                retries=False,
                timeout=60,
            )
            assert answer.status == 204, answer.data

    def beat(self) -> None:
        """Write current points of the fleet's devices, except silent ones, and of measurements without a collector."""
        now = time.time()
        self.write(past_data.air(self.host, self.site, now - 600, now, 60))
        alive = (device for device in fleet.DEVICES if not device.silent_seconds)
        self.write(fleet.written(alive, now, now, 10))

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The series that InfluxQL answers with. Raises AssertionError for a refused query."""
        answer = urllib3.request(
            "POST",
            f"{self.url}/query",
            body=urlencode({"db": "raw", "q": query, "epoch": "ms"}),
            headers={
                "Authorization": f"Token {self.token}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            retries=False,
            timeout=120,
        )
        body = json.loads(answer.data)
        assert answer.status == 200, f"{body}: {query}"
        assert "error" not in body["results"][0], f"{body}: {query}"
        series: list[dict[str, Any]] = body["results"][0].get("series", [])
        return series

    def ask_flux(self, query: str) -> list[dict[str, Any]]:
        """The rows that Flux answers with. Raises influxdb_client's ApiException for a refused query."""
        with InfluxDBClient(self.url, self.token, org=self.organisation) as client:
            return [record.values for table in client.query_api().query(query) for record in table.records]

    def values(self, query: str) -> list[str]:
        """The values that a variable's query returns."""
        return sorted({row[1] for series in self.ask(query) for row in series["values"]})


def execd(collector: str, *arguments: str, environment: dict[str, str] | None = None, signal: str = "STDIN") -> str:
    """A section of Telegraf's configuration that runs a collector as the bundle's snippets do."""
    return (
        "[[inputs.execd]]\n"
        f"  command = {json.dumps([sys.executable, '-m', 'collectors', collector, '--execd', *arguments])}\n"
        f"  environment = {json.dumps([f'{name}={value}' for name, value in (environment or {}).items()])}\n"
        f'  signal = "{signal}"\n  data_format = "influx"\n'
    )


def declared_line(measurement: str, field: str) -> str:
    """A line with one field in the middle of its range, and with tags that match no real device."""
    schema = declared()[measurement].measurement
    each = schema.field(field)
    low = each.low or 0
    value: FieldValue = each.kind((low + (each.high or low + 100)) / 2)
    tags = {tag.name: "mmcblk0" if tag.name == "device" else "wlan0" for tag in schema.tags if not tag.optional}
    return encode(Metric(Series(measurement, tags), {field: value}, time.time_ns()))


def services(time_ns: int) -> Iterable[str]:
    """What Telegraf's input ``systemd_units`` writes if there is a systemd."""
    started = time_ns // 1000 - 3_600_000_000
    for name, active, sub, entered in (
        ("ssh", 0, 0, started),
        ("telegraf", 0, 0, started),
        ("influxdb", 2, 1, started),
        ("mosquitto", 3, 12, started),
        ("sensetig-backup", 2, 1, 0),
        ("sensetig-report", 4, 3, 0),
    ):
        series = Series("systemd_units", {"name": f"{name}.service"})
        fields: dict[str, FieldValue] = {"active_code": active, "sub_code": sub, "active_enter_timestamp_us": entered}
        yield encode(Metric(series, fields, time_ns))


def programs(time_ns: int) -> Iterable[str]:
    """The metrics that the collector ``system`` writes about programs if they are enabled."""
    for by in ("cpu", "memory"):
        for rank, name in enumerate(("influxd", "telegraf", "grafana"), 1):
            fields: dict[str, FieldValue] = {
                "name": name,
                "cpu_percent": 9.5 / rank,
                "memory_bytes": 200_000_000 // rank,
            }
            yield encode(Metric(Series("top_process", {"by": by, "rank": str(rank)}), fields, time_ns))


def seen_in_pictures(folder: Path) -> str:
    """What vision prints of a picture that has just been taken, through a model that finds something in anything."""
    case = CASES / "vision" / "onnx"
    folder.mkdir()
    (folder / "1.jpg").write_bytes((case / "hall" / "1.jpg").read_bytes())
    options = {
        "--pictures": folder,
        "--engine": "onnx",
        "--onnx-model": case / "always.onnx",
        "--onnx-labels": case / "labels.txt",
        "--onnx-size": 16,
    }
    command = [sys.executable, "-m", "collectors", "vision", *(str(word) for pair in options.items() for word in pair)]
    return subprocess.run(command, cwd=bundle.root(), check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def filled(demo: Demo, telegraf: Path, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """The demo's InfluxDB, with added data of the hardware that this machine lacks."""
    folder = tmp_path_factory.mktemp("hardware")
    influxdb = demo.summary["influxdb"]
    begin_ms = int(time.time() * 1000) - 15 * 60 * 1000
    token = (demo.state / "tokens" / "telegraf.token").read_text(encoding="utf-8").strip()
    reader = Filled(influxdb["url"], demo.read_token, begin_ms, begin_ms, influxdb["organisation"], write_token=token)
    (host,) = reader.values('SHOW TAG VALUES FROM "cpu" WITH KEY = "host"')
    (site,) = reader.values('SHOW TAG VALUES FROM "cpu" WITH KEY = "site"')
    tree = plant((CASES / "pi" / "pi-5" / "tree.txt").read_text(encoding="utf-8"), folder / "tree")
    points = folder / "declared.lines"
    points.write_text("".join(declared_line(*each) + "\n" for each in DECLARED_ONLY), encoding="utf-8")
    with points.open("a", encoding="utf-8") as lines:
        lines.write(seen_in_pictures(folder / "pictures"))
        lines.writelines(f"{line}\n" for line in (*services(time.time_ns()), *programs(time.time_ns())))
    subprocess.run(
        [sys.executable, "-m", "collectors", "pi", "--sys-root", f"{tree}/sys", "--spool", folder / "spool"],
        cwd=bundle.root(),
        check=True,
    )
    configuration = folder / "telegraf.conf"
    configuration.write_text(
        f'[global_tags]\n  site = "{site}"\n'
        f'[agent]\n  interval = "2s"\n  flush_interval = "2s"\n  hostname = "{host}"\n'
        "  skip_processors_after_aggregators = true\n"
        f'[[outputs.influxdb_v2]]\n  urls = ["{influxdb["url"]}"]\n  token = "${{SENSETIG_TELEGRAF_TOKEN}}"\n'
        f'  organization = "{influxdb["organisation"]}"\n  bucket = "raw"\n'
        f'[[inputs.file]]\n  files = ["{points}"]\n  data_format = "influx"\n'
        + execd("sensehat", "--backend", "simulated", "--compensation-factor", "1.6")
        + execd("camera", "--backend", "simulated", "--media-dir", str(folder / "media"))
        + execd("spool", str(folder / "spool"))
        + execd("joystick", "--backend", "simulated", signal="none")
        + execd("system", "--parts", "temp", "--sys-root", f"{tree}/sys")
        + execd(
            "pi",
            *("--sys-root", f"{tree}/sys", "--proc-root", f"{tree}/proc"),
            *("--vcgencmd", str(CASES / "pi" / "vcgencmd"), "--firmware-interval", "2"),
            environment={"VCGENCMD_ANSWERS": f"{tree}/answers"},
        ),
        encoding="utf-8",
    )
    log = folder / "telegraf.log"
    identity = processes.start(
        "Telegraf",
        [telegraf, "--config", configuration],
        log=log,
        environment={"SENSETIG_TELEGRAF_TOKEN": token},
        folder=bundle.root(),
    )
    try:
        processes.await_ready(identity, lambda: all(reader.ask(query) for query in _LAST), log=log, seconds=240)
        # Read before the stop: Telegraf may call it an error that a collector's pipe closes then.
        told = log.read_text(encoding="utf-8")
    finally:
        processes.stop([identity])
    assert " E! " not in told, told
    # The fleet comes last, so that its devices are still alive when the dashboards are checked.
    end = time.time()
    operator = (demo.state / "tokens" / "operator.token").read_text(encoding="utf-8").strip()
    reader.write(past_data.raw(host, site, begin_ms / 1000 + 900))
    reader.write(past_data.hourly(host, site, end), "hourly", operator)
    reader.write(fleet.written(fleet.DEVICES, end - 6 * 3600, end - 900, 300))
    reader.write(fleet.written(fleet.DEVICES, end - 900, end, 10))
    for each in fleet.DEVICES:
        if each.retired:
            places = [("device", each.site), *([] if each.gateway else [("host", each.site)])]
            reader.write(retired_lines(each.name, places, retired=True, seconds=int(end)), precision="s")
    return reader._replace(end_ms=int(time.time() * 1000), host=host, site=site, fleet_end=end)
