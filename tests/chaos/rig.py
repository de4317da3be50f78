"""The machines of a topology: real engines with the bundle's own configuration, on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from collectors.outbox import read_totals, scan
from sensetig import bundle, jetstream
from sensetig.demo.testbed import ports, processes
from sensetig.demo.testbed.influxdb import answers
from sensetig.demo.testbed.ports import LOOPBACK
from sensetig.engines import locate
from sensetig.influxdb.prepare import setup
from tests.chaos.account import Row
from tests.chaos.disks import Disk
from tests.chaos.draws import DISKS, SOURCES, Draw
from tests.chaos.relay import Relay
from tests.chaos.services import Service
from tests.integration import mosquitto
from tests.integration.gateway import GATEWAY, USERS
from tests.integration.nats import Nats

#: Samples a second of each source.
RATE = 8.0

#: Seconds between checks of JetStream (a minute on a hub), and the free space that triggers a restart of NATS.
_CHECK_SECONDS, _RESERVE_BYTES = 5.0, 64_000_000

_CONFIGURATION = """\
[[inputs.execd]]
  command = ["{python}", "-m", "tests.chaos.source", "execd", "{ledger}", "{rate}", "{control}"]
  signal = "none"
  restart_delay = "1s"
  data_format = "influx"
"""

#: The hub's proxy names the device of a verified certificate to the receiver; here it is always this machine.
_PROXY = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_max_body_size 32m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{receiver};
      proxy_http_version 1.1;
      proxy_set_header X-SenseTIG-Device "{device}";
    }}
  }}
}}
"""

_SPOOL = """\
[[inputs.execd]]
  command = ["{python}", "-m", "collectors", "spool", "--execd", "--name", "chaos", "{spool}"]
  signal = "none"
  restart_delay = "1s"
  data_format = "influx"
"""


_PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin:/opt/homebrew/bin"


class Programs(NamedTuple):
    """The engines, and an InfluxDB that has been set up and stopped."""

    telegraf: Path
    influxd: Path
    nats: Path | None
    mosquitto: str | None
    nginx: str | None
    template: Path

    @property
    def write_token(self) -> str:
        return (self.template / "tokens" / "telegraf.token").read_text().strip()

    @property
    def read_token(self) -> str:
        return (self.template / "tokens" / "grafana.token").read_text().strip()


def programs_of(telegraf: Path, influxd: Path, folder: Path) -> Programs:
    """The engines, with an InfluxDB that is set up in *folder*; NATS, Mosquitto and nginx may be missing."""
    template = folder / "template"
    template.mkdir()
    make_template(influxd, template)
    nats = locate("nats-server")
    broker, nginx = (shutil.which(name, path=_PLACES) for name in ("mosquitto", "nginx"))
    return Programs(telegraf, influxd, nats and nats.path, broker, nginx, template)


def make_template(influxd: Path, folder: Path) -> None:
    """Set InfluxDB up once; each draw takes a copy."""
    command, port = _influxd(influxd, folder / "data"), ports.any_free()
    service = Service("InfluxDB", [*command, f"--http-bind-address={LOOPBACK}:{port}"], folder / "log", {}, folder)
    service.start()
    try:
        url = f"http://{LOOPBACK}:{port}"
        until(lambda: answers(f"{url}/health"), 120)
        setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=folder / "tokens",
            definitions=bundle.root() / "influxdb",
            say=lambda _: None,
        )
        service.signal(signal.SIGTERM)
        until(lambda: not service.family(), 60)
    finally:
        service.kill()


def _influxd(influxd: Path, data: Path) -> list[str | Path]:
    return [
        influxd, f"--bolt-path={data}/influxd.bolt", f"--sqlite-path={data}/influxd.sqlite",
        f"--engine-path={data}/engine", "--reporting-disabled", "--hardening-enabled", "--metrics-disabled",
        "--log-level=warn",
    ]  # fmt: skip


def until(condition: Any, seconds: float, step: float = 0.2) -> None:
    """Wait for a condition, which is asked each *step* seconds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds:g} s")
        time.sleep(step)


class Rig:
    """All processes of one draw."""

    def __init__(self, draw: Draw, programs: Programs, folder: Path, flush: str, *, images: bool) -> None:
        self.draw = draw
        self.folder = folder
        self.sources = SOURCES[draw.topology]
        self._programs = programs
        self._stack = ExitStack()
        self.control = folder / "control"
        self.logs = folder / "logs"
        for made in (self.control, self.logs, folder / "ledgers"):
            made.mkdir(parents=True)
        self._images = images and any(each.kind in ("disk_full", "power_cut") for each in draw.faults)
        self.disks = {
            name: Disk(folder / f"disk-{name}", folder / f"{name}.img" if self._images else None)
            for name in DISKS[draw.topology]
        }
        for disk in self.disks.values():
            self._stack.callback(disk.close)
        own, hub = self._disk(DISKS[draw.topology][0]), self._disk(DISKS[draw.topology][-1])
        self.outbox_folder = own / "outbox"
        self.clock = self.control / "outbox-clock"
        (folder / "token").write_text(programs.write_token)
        (folder / "token").chmod(0o600)
        self.influxd_port = ports.any_free()
        shutil.copytree(programs.template / "data", hub / "influxdb")
        # A device's points go through the receiver of its hub. The outbox of a hub writes to InfluxDB itself.
        receives = draw.topology == "edge" and programs.nginx is not None
        self._hub_ports = {"receiver": ports.any_free(), "proxy": ports.any_free()} if receives else {}
        self.relay = Relay(self._hub_ports.get("proxy", self.influxd_port))
        socket = folder / "write.sock"
        python = sys.executable
        environment = {"PYTHONPATH": str(bundle.root())}
        here: list[str | Path] = [] if receives else ["--influxdb-folder", hub / "influxdb"]
        services: dict[str, list[str | Path]] = {
            "influxd": [
                *_influxd(programs.influxd, hub / "influxdb"), f"--http-bind-address={LOOPBACK}:{self.influxd_port}"
            ],
            "outbox": [
                python, "-m", "tests.chaos.clocked", self.clock, "sensetig", "outbox", "--folder", self.outbox_folder,
                "--listen", f"unix:{socket}", "--url", f"http://{LOOPBACK}:{self.relay.port}",
                "--token-file", folder / "token", "--clock-wait", "600",
                "--organisation", "sensetig", "--bucket", "raw",
                *here,
            ],
        }  # fmt: skip
        if receives:
            services["receiver"] = [
                python, "-m", "sensetig", "outbox", "--receive", "--folder", hub / "receiver",
                "--listen", f"{LOOPBACK}:{self._hub_ports['receiver']}", "--url", f"http://{LOOPBACK}:{self.influxd_port}",
                "--influxdb-folder", hub / "influxdb",
            ]  # fmt: skip
            (hub / "receiver").mkdir()
            services["proxy"] = self._proxy(programs.nginx or "", hub / "proxy")
        text = _CONFIGURATION.format(python=python, ledger=self.ledger("execd"), rate=RATE, control=self.control)
        if "spool" in self.sources:
            text += _SPOOL.format(python=python, spool=own / "spool")
            services["spool"] = [
                python, "-m", "tests.chaos.source", "spool", self.ledger("spool"), str(RATE), self.control,
                own / "spool",
            ]  # fmt: skip
        environment_of_telegraf = {
            **environment,
            "SENSETIG_OUTBOX_URL": f"unix://{socket}",
            "SENSETIG_INFLUXDB_URL": f"unix://{socket}",
            "SENSETIG_TELEGRAF_TOKEN": "unused",
            "SENSETIG_FLUSH_INTERVAL": flush,
            "SENSETIG_PYTHON": python,
            "SENSETIG_SETTINGS": str(folder / "sensetig.toml"),
            "SENSETIG_TELEMETRY_STATE": str(own / "state.sqlite"),
            "SENSETIG_OUTBOX_FOLDER": str(self.outbox_folder),
            "SENSETIG_OUTBOX_RECEIVER_FOLDER": str(hub / "receiver"),
        }
        (folder / "sensetig.toml").write_text("")
        configurations = ["telegraf.conf", "telegraf.d/telemetry.conf", "telegraf.d/telegraf.conf"]
        outbox = (bundle.root() / "telegraf" / "telegraf.d" / "outbox.conf").read_text()
        text += re.sub(r'interval = "\w+"', 'interval = "5s"', outbox)
        if draw.topology == "hub":
            configurations += ["hub/gateway.conf", "hub/nats.conf"]
            self._messaging(hub, services, environment_of_telegraf)
        (folder / "chaos.conf").write_text(text)
        command: list[str | Path] = [programs.telegraf]
        for name in configurations:
            command += ["--config", bundle.root() / "telegraf" / name]
        services["telegraf"] = [*command, "--config", folder / "chaos.conf"]
        self.services = {
            name: Service(
                name, words, self.logs / f"{name}.log",
                environment_of_telegraf if name == "telegraf" else environment, bundle.root(),
            )
            for name, words in services.items()
        }  # fmt: skip
        self._end = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def _disk(self, name: str) -> Path:
        return self.disks[name].folder

    def _proxy(self, nginx: str, folder: Path) -> list[str | Path]:
        folder.mkdir()
        text = _PROXY.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            port=self._hub_ports["proxy"],
            receiver=self._hub_ports["receiver"],
            device=os.uname().nodename,
        )
        (folder / "nginx.conf").write_text(text)
        return [nginx, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]

    def _messaging(self, hub: Path, services: dict[str, list[str | Path]], environment: dict[str, str]) -> None:
        broker_program, nats_program = self._programs.mosquitto, self._programs.nats
        assert broker_program is not None
        assert nats_program is not None
        for name in ("mosquitto", "nats"):
            (hub / name).mkdir()
        with mosquitto.shipped(hub / "mosquitto", USERS) as broker:
            self.mqtt_port = broker.port
        services["mosquitto"] = [broker_program, "-c", hub / "mosquitto" / "mosquitto.conf"]
        server = Nats(nats_program, hub / "nats")
        self.nats_url, self._monitor_url = server.url, server.monitor_url
        services["nats"] = [nats_program, "-c", hub / "nats" / "nats.conf"]
        environment |= {
            "SENSETIG_MQTT_SERVER": f"tcp://{LOOPBACK}:{self.mqtt_port}",
            "SENSETIG_MQTT_PASSWORD": USERS["telegraf"],
            "SENSETIG_NATS_SERVER": self.nats_url,
        }

    def ledger(self, source: str) -> Path:
        """The file with the numbers of a source."""
        return self.folder / "ledgers" / source

    def start(self) -> None:
        """Start everything in order."""
        self.relay.start()
        self._stack.callback(self.relay.stop)
        self._stack.callback(self._stop)
        self.services["influxd"].start()
        until(lambda: answers(f"http://{LOOPBACK}:{self.influxd_port}/health"), 180)
        for name, port in self._listening().items():
            self.services[name].start()
            until(lambda port=port: ports.is_listening(port), 60)
        if self.draw.topology == "hub":
            from tests.chaos.publishers import NatsSource

            NatsSource.prepare(self.nats_url)
        for name in ("receiver", "proxy", "outbox", "spool", "telegraf"):
            if name in self.services:
                self.services[name].start()
        self._supervisor.start()

    def _listening(self) -> dict[str, int]:
        if self.draw.topology != "hub":
            return {}
        return {"mosquitto": self.mqtt_port, "nats": int(self.nats_url.rpartition(":")[2])}

    def await_gateway(self) -> None:
        """Wait until the broker has accepted the gateway's subscriptions, and keeps messages for it from then on."""
        pattern = re.compile(rf"(?m)^\d+: {re.escape(GATEWAY)} [012] ")
        until(lambda: pattern.search(self.services["mosquitto"].log.read_text(errors="replace")) is not None, 180)

    def boot(self) -> None:
        """Let the machine's time since boot begin again."""
        Path(f"{self.clock}.boot").write_text(str(time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
        (self.outbox_folder / "clock.json").unlink(missing_ok=True)  # it is of another boot

    def age(self) -> None:
        """Bring to the disk what machines that have run for a while have written there long ago."""
        if "mosquitto" in self.services:
            self.services["mosquitto"].signal(signal.SIGUSR1)  # its sessions
        if self._images:
            for disk in self.disks.values():
                disk.sync()

    def close(self) -> None:
        self._stack.close()

    def _stop(self) -> None:
        self._end.set()
        if self._supervisor.ident is not None:
            self._supervisor.join()
        for service in reversed(list(self.services.values())):
            service.signal(signal.SIGCONT)
            service.kill()

    def _supervise(self) -> None:
        check_at = 0.0
        while not self._end.wait(0.2):
            for service in self.services.values():
                service.supervise()
            if "nats" in self.services and time.monotonic() >= check_at:
                self._check_jetstream()
                check_at = time.monotonic() + _CHECK_SECONDS

    def _check_jetstream(self) -> None:
        """Restart NATS as the timer sensetig-nats-check does."""
        error = jetstream.error_of(self._monitor_url)
        folder = self._disk("hub") / "nats"
        if jetstream.needs_restart(error, lambda: shutil.disk_usage(folder).free, _RESERVE_BYTES):
            self.services["nats"].restart()

    def machine(self, disk: str) -> list[Service]:
        """The services of the machine with this disk."""
        names = tuple(self.services)
        if self.draw.topology == "edge":
            names = ("influxd", "receiver", "proxy") if disk == "hub" else ("telegraf", "spool", "outbox")
        return [self.services[name] for name in names if name in self.services]

    def rows(self, source: str) -> list[Row] | None:
        """The whole samples in InfluxDB; None while it does not answer."""
        found = self._query(f'SELECT "number", "check" FROM "chaos_{source}"')  # noqa: S608 - the harness's own name
        # The fields of a point that is just being written appear one after the other.
        return None if found is None else [Row(*row) for row in found if None not in row]

    def _query(self, query: str) -> list[Any] | None:
        try:
            answer = urllib3.request(
                "GET", f"http://{LOOPBACK}:{self.influxd_port}/query",
                fields={"db": "raw", "q": query, "epoch": "ns"},
                headers={"Authorization": f"Token {self._programs.read_token}"}, timeout=20, retries=False,
            )  # fmt: skip
            result = answer.json()["results"][0]
        except (urllib3.exceptions.HTTPError, ValueError, KeyError):
            return None
        if "error" in result:
            return None
        return [row for series in result.get("series", []) for row in series["values"]]

    def sum_of(self, source: str) -> tuple[int, int]:
        """How many samples of a source InfluxDB has, and the sum of their numbers."""
        found = None
        while found is None:  # InfluxDB may still be processing the last write
            found = self._query(f'SELECT count("number"), sum("number") FROM "chaos_{source}"')  # noqa: S608
        return (int(found[0][1]), int(found[0][2])) if found else (0, 0)

    def dropped(self) -> int:
        """Lines that the spool counted as dropped."""
        answer = self._query('SELECT sum("dropped") FROM "spool"')
        return int(answer[0][1]) if answer else 0

    def refused(self, source: str) -> set[int]:
        """The samples that the outbox counted as refused."""
        found: set[int] = set()
        for name in ("refused.jsonl.1", "refused.jsonl"):
            file = self.outbox_folder / name
            for line in file.read_text().splitlines() if file.exists() else []:
                point = json.loads(line)["point"]
                if re.match(rf"chaos_{source}[, ]", point) and (number := re.search(r"\bnumber=(\d+)", point)):
                    found.add(int(number[1]))
        return found

    def waiting(self) -> int:
        """Points that wait in the outbox."""
        try:
            return sum(each.points for each in scan(str(self.outbox_folder)))
        except OSError:
            return 0

    def totals(self) -> Mapping[str, int]:
        """The outbox's totals."""
        try:
            return read_totals(str(self.outbox_folder)) or {}
        except OSError:
            return {}


@contextmanager
def running(draw: Draw, programs: Programs, folder: Path, flush: str, *, images: bool) -> Iterator[Rig]:
    """A rig that runs, and is cleared away at the end."""
    rig = Rig(draw, programs, folder, flush, images=images)
    try:
        rig.start()
        yield rig
    finally:
        rig.close()


def is_tail(path: Path) -> str:
    """The end of a log, for a report."""
    return processes.tail(path, 12) if os.path.exists(path) else ""
