"""The doctor on a real InfluxDB: each fault that is made is found, with the cure, and the cure cures it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import urllib3
from click.testing import CliRunner

from sensetig import bundle
from sensetig import site as sites
from sensetig.__main__ import main
from sensetig.cli.doctor import NEEDS_ACTION
from sensetig.demo.testbed import influxdb as testbed
from sensetig.demo.testbed import ports, processes
from sensetig.doctor import influx, network, system
from sensetig.doctor.checks import CHECKS
from sensetig.doctor.examine import examine
from sensetig.doctor.findings import UNCHECKED, Finding, hand, run
from sensetig.doctor.patient import Patient
from sensetig.doctor.patient import examine as patient_at
from sensetig.influxdb.client import Client
from sensetig.influxdb.prepare import setup
from sensetig.policy import ACT, GOOD, LOOK
from tests.unit.doctor_support import unhurried

pytestmark = pytest.mark.engines

HOST = "attic"

#: The checks that ask InfluxDB, in their order.
ASKING = (system.SITE, system.CLOCK, influx.HEALTH, influx.OPERATOR, influx.READ, influx.WRITE, network.WRITE_PATH,
          influx.BUCKETS, influx.FRESH, influx.WRITES, influx.LOSSES, influx.TASKS)  # fmt: skip


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is late here."""
    unhurried(monkeypatch)


class Hub(NamedTuple):
    """A machine made of files with a real InfluxDB, which `sensetig setup` has prepared."""

    top: Path
    url: str
    influxd: processes.Identity
    written: list[float]

    @property
    def patient(self) -> Patient:
        """It, as the doctor sees it a second after the last write, however long the test takes on a busy machine."""
        return patient_at(self.top, HOST)._replace(now=lambda: self.written[-1] + 1)

    def later(self, seconds: float) -> Patient:
        """It, this time after the last write."""
        return self.patient._replace(now=lambda: self.written[-1] + seconds)

    def token(self, name: str) -> str:
        """A token."""
        return (self.top / "tokens" / name).read_text().strip()

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """A request as the operator."""
        answer = urllib3.request(
            method,
            self.url + path,
            json=body,
            headers={"Authorization": f"Token {self.token('operator.token')}"},
            retries=False,
        )
        assert answer.status < 300, answer.data
        document = json.loads(answer.data) if answer.data else {}
        assert isinstance(document, dict)
        return document

    def write(self, *lines: str) -> int:
        """Write points as Telegraf does; the status of the answer."""
        self.written.append(time.time())
        return urllib3.request(
            "POST",
            f"{self.url}/api/v2/write?org=sensetig&bucket=raw",
            body="\n".join(lines).encode(),
            headers={"Authorization": f"Token {self.token(f'device-{HOST}.token')}"},
            retries=False,
        ).status

    def found(self, patient: Patient | None = None) -> dict[str, tuple[Finding, ...]]:
        """The findings of the checks that ask InfluxDB, by their names."""
        return {each.check.name: each.findings for each in examine(ASKING, patient or self.patient)}

    def wrong(self, patient: Patient | None = None) -> dict[str, tuple[Finding, ...]]:
        """The checks that found something, and those that could not be made."""
        return {
            name: findings
            for name, findings in self.found(patient).items()
            if any(each.level != GOOD for each in findings)
        }


@contextmanager
def started(influxd: Path, top: Path, data: Path) -> Iterator[Hub]:
    """A hub on which all is well, and one point has been written."""
    identity, url = testbed.start(influxd, data, ports.any_free(), top / "influxd.log", metrics=True)
    try:
        setup(
            url, organisation="sensetig", user="sensetig", tokens=top / "tokens",
            definitions=bundle.root() / "influxdb", say=lambda _: None, devices=[HOST],
        )  # fmt: skip
        etc = top / "etc"
        (etc / "sensetig").mkdir(parents=True)
        (etc / "default").mkdir()
        (etc / "default/telegraf").write_text(f"SENSETIG_HOST={HOST}\n")
        (etc / "sensetig/site.toml").write_text(f'influxdb_url = "{url}"\ntokens = "{top / "tokens"}"\n')
        unit = etc / "systemd/system/telegraf.service.d/sensetig.conf"
        unit.parent.mkdir(parents=True)
        unit.touch()
        hub = Hub(top, url, identity, [])
        assert hub.write(f"system,host={HOST},site=home uptime=100i {time.time_ns()}") == 204
        yield hub
    finally:
        processes.stop([identity])


@pytest.fixture
def hub(influxd: Path, tmp_path: Path) -> Iterator[Hub]:
    """A hub of the test's own, since each test breaks it."""
    with started(influxd, tmp_path, tmp_path / "data") as made:
        yield made


def test_nothing_is_wrong_on_a_hub_on_which_all_is_well(hub: Hub) -> None:
    assert hub.wrong() == {}
    assert hub.found().keys() == {each.name for each in ASKING}


def test_a_missing_bucket_is_named_and_the_cure_makes_it_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = hub.ask("GET", "/api/v2/buckets?name=raw")["buckets"]
    assert isinstance(buckets, list)
    hub.ask("DELETE", f"/api/v2/buckets/{buckets[0]['id']}")
    wrong = hub.wrong()
    (found,) = wrong["buckets"]
    assert (found.level, found.cure) == (ACT, run("sensetig", "setup"))
    assert "the bucket raw is missing" in found.text
    for name in ("fresh", "writes", "losses"):
        assert (
            wrong[name] == (Finding(UNCHECKED, "not checked: Buckets comes first"),) or "token" in wrong[name][0].text
        )
    assert "bucket raw is missing" in wrong["write-path"][0].text

    monkeypatch.setattr(sites, "TOP", hub.top)
    monkeypatch.setattr("sensetig.doctor.checks.CHECKS", (system.SITE, *ASKING[2:5], influx.BUCKETS))
    monkeypatch.setenv("SENSETIG_INFLUXDB_URL", hub.url)
    monkeypatch.setenv("SENSETIG_TOKENS", str(hub.top / "tokens"))
    ended = CliRunner().invoke(main, ["doctor", "--fix", "--yes"], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert "raw and hourly are there" in ended.output


def test_a_token_that_may_do_more_than_it_should_is_found_and_replaced(hub: Hub) -> None:
    listed = hub.ask("GET", "/api/v2/authorizations")["authorizations"]
    assert isinstance(listed, list)
    (own,) = [each for each in listed if each["description"] == "SenseTIG: Grafana reads"]
    hub.ask("DELETE", f"/api/v2/authorizations/{own['id']}")
    wide = [{"action": action, "resource": {"type": "buckets", "orgID": own["orgID"]}} for action in ("read", "write")]
    made = hub.ask(
        "POST",
        "/api/v2/authorizations",
        {"orgID": own["orgID"], "description": own["description"], "permissions": wide},
    )
    (hub.top / "tokens/grafana.token").write_text(str(made["token"]))
    (found,) = hub.wrong()["read-token"]
    assert found.level == ACT
    assert found.cure is not None
    assert found.cure.commands[0] == ("sensetig", "setup")
    assert "grafana.token may" in found.text


def test_a_token_without_its_permission_is_found(hub: Hub) -> None:
    # Telegraf's token of this device is one that reads.
    shutil.copy(hub.top / "tokens/grafana.token", hub.top / f"tokens/device-{HOST}.token")
    (found,) = hub.wrong()["write-path"]
    assert found.level == ACT
    assert "refuses this machine" in found.text
    assert "./install" in (found.cure or hand("")).shown


def test_tokens_that_influxdb_does_not_accept_are_found(hub: Hub) -> None:
    for name, check in (("grafana.token", "read-token"), (f"device-{HOST}.token", "write-tokens")):
        kept = hub.token(name)
        (hub.top / "tokens" / name).write_text("none-of-this-influxdb")
        (found,) = hub.wrong()[check]
        assert (found.level, f"does not accept {name}" in found.text) == (ACT, True)
        (hub.top / "tokens" / name).write_text(kept)
    assert hub.wrong() == {}
    (hub.top / "tokens/grafana.token").rename(hub.top / "tokens/away")
    (found,) = hub.wrong()["read-token"]
    assert (found.level, "No such file" in found.text) == (ACT, True)
    (hub.top / "tokens/away").rename(hub.top / "tokens/grafana.token")
    (hub.top / "tokens/operator.token").write_text("none-of-this-influxdb")
    wrong = hub.wrong()
    assert "--operator-token-file" in (wrong["operator-token"][0].cure or hand("")).shown
    assert {wrong[name][0].level for name in ("read-token", "write-tokens", "buckets", "tasks")} == {UNCHECKED}


def test_a_stopped_a_missing_and_a_failed_task_are_found(hub: Hub) -> None:
    tasks = hub.ask("GET", "/api/v2/tasks")["tasks"]
    assert isinstance(tasks, list)
    (task,) = tasks
    hub.ask("PATCH", f"/api/v2/tasks/{task['id']}", {"status": "inactive"})
    (found,) = hub.wrong()["tasks"]
    assert (found.level, "is stopped" in found.text, found.cure) == (ACT, True, run("sensetig", "setup"))
    hub.ask("DELETE", f"/api/v2/tasks/{task['id']}")
    (found,) = hub.wrong()["tasks"]
    assert (found.level, "is missing" in found.text) == (ACT, True)
    (found,) = influx.judge_tasks([influx.Task("downsample_hourly", "active", "runtime error:\n no bucket")])
    assert (found.level, "runtime error: no bucket" in found.text) == (LOOK, True)


def test_an_influxdb_that_does_not_answer_is_the_only_red_line(hub: Hub) -> None:
    processes.stop([hub.influxd])
    wrong = hub.wrong()
    (found,) = wrong["influxdb"]
    assert (found.level, found.cure) == (ACT, run("systemctl", "restart", "influxdb.service"))
    red = {name for name, each in wrong.items() if each[0].level == ACT}
    assert red == {"influxdb", "write-path"}
    assert wrong["buckets"][0].text == "not checked: InfluxDB comes first"


def test_silence_and_a_wrong_clock_are_distinguished(hub: Hub) -> None:
    (found,) = hub.wrong(hub.later(900))["fresh"]
    assert (found.level, "min old" in found.text.replace("\u202f", " ")) == (ACT, True)
    assert found.cure == run("systemctl", "restart", "telegraf.service")

    wrong = hub.wrong(hub.patient._replace(now=lambda: 12_345.0))
    assert "1970-01-01" in wrong["clock"][0].text
    assert wrong["fresh"] == (Finding(UNCHECKED, "not checked: Clock comes first"),)
    assert {name for name, each in wrong.items() if each[0].level == ACT} == {"clock"}

    hub.ask("POST", "/api/v2/delete?org=sensetig&bucket=raw",
            {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"})  # fmt: skip
    assert "no device has written" in hub.wrong()["fresh"][0].text


def test_losses_of_the_last_hour_are_counted_with_their_reasons(hub: Hub) -> None:
    now = time.time_ns()
    second = 1_000_000_000
    series = f"internal_write,host={HOST},output=influxdb_v2"
    counters = [f"{series} metrics_dropped={n}i,metrics_rejected=0i {now - (9 - n) * second}" for n in (0, 7)]
    refused = [
        f"outbox,host={HOST} refused_points={2 * n}i,refused_type={n}i,damaged_points={n}i {now - (9 - n) * second}"
        for n in (0, 3)
    ]
    rejected = [f"telemetry_rejected,device=plug,reason=clock_ahead count=12i {now - second}"]
    rejected.append(f"telemetry_rejected,device=plug,reason=clock_ahead count=900i {now - 7200 * second}")
    assert hub.write(*counters, *refused, *rejected) == 204
    found = {each.text: each for each in hub.wrong()["losses"]}
    assert found.keys() == {
        f"Telegraf dropped 7 points of {HOST}",
        f"the outbox of {HOST} lost points: 3 with a field of another type than before, 3 in damaged files, "
        "3 for other reasons",
        "12 values of plug were rejected: clock ahead",
    }
    assert "set the clock" in (found["12 values of plug were rejected: clock ahead"].cure or hand("")).shown


def test_an_influxdb_that_refuses_writes_although_there_is_room_again_is_found(influxd: Path, tmp_path: Path) -> None:
    disk = tmp_path / "var/lib/influxdb"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with started(influxd, tmp_path, disk / "data") as hub:
            assert hub.wrong() == {}
            # The series are there before the disk is full, so that the log of the shard is what cannot be written.
            assert _load(hub, 0) == 204
            _fill(disk / "other")
            assert any(_load(hub, turn) == 500 for turn in range(1, 300))
            full = hub.found(hub.later(600))["writes"][0]
            assert (full.level, "% full" in full.text) == (ACT, True)

            (disk / "other").unlink()
            assert hub.write(f"system,host={HOST} uptime=101i {time.time_ns()}") == 500
            found = hub.found(hub.later(600))["writes"][0]
            assert found.level == ACT
            assert "though its disk has room" in found.text
            assert found.cure == run("systemctl", "restart", "influxdb.service")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _load(hub: Hub, turn: int) -> int:
    """Write a point to each of 500 series; the status of the answer."""
    now = time.time_ns()
    return hub.write(*(f"load,host=h{n} value={turn},other={n * 3.7} {now + n}" for n in range(500)))


def _fill(path: Path) -> None:
    """Leave no byte free on the file system of a file."""
    size = 65536
    with path.open("wb", buffering=0) as file:
        while size:
            try:
                file.write(b"0" * size)
            except OSError:
                size //= 2


def test_the_checks_change_nothing(hub: Hub) -> None:
    def state() -> list[object]:
        counted = Client(hub.url, hub.token("grafana.token"), organisation="sensetig")
        with counted as client:
            points = client.query("SELECT count(*) FROM /.*/")
        objects = [hub.ask("GET", f"/api/v2/{what}") for what in ("buckets", "authorizations", "tasks", "orgs")]
        files = sorted((str(each), each.stat().st_mtime_ns) for each in (hub.top / "tokens").iterdir())
        return [points, objects, files]

    before = state()
    assert hub.wrong() == {}
    assert state() == before


def test_without_root_the_tokens_are_not_checked_and_nothing_is_red(hub: Hub) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become a user who may not read the tokens")
    modes = {folder: folder.stat().st_mode for folder in (hub.top, *hub.top.parents)}
    closed = {folder: mode for folder, mode in modes.items() if mode & 0o005 != 0o005}
    for folder, mode in closed.items():
        folder.chmod(mode | 0o055)
    os.seteuid(65534)
    try:
        found = hub.found()
    finally:
        os.seteuid(0)
        for folder, mode in closed.items():
            folder.chmod(mode)
    assert {name for name, each in found.items() if each[0].level == ACT} == set()
    assert found["influxdb"][0].level == GOOD
    for name in ("operator-token", "read-token", "buckets", "tasks", "fresh", "write-path"):
        assert (found[name][0].level, "use sudo sensetig doctor" in found[name][0].text) == (UNCHECKED, True), name


def test_the_command_answers_in_json_with_the_status_of_the_worst(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "TOP", hub.top)
    ended = CliRunner().invoke(main, ["doctor", "--json"], catch_exceptions=False)
    document = json.loads(ended.output)
    names = [each["name"] for each in document["checks"]]
    order = [each.name for each in CHECKS]
    assert names == [each for each in order if each in names]
    assert {"influxdb", "buckets", "fresh", "tasks"} <= set(names)
    assert ended.exit_code == (NEEDS_ACTION if document["level"] == ACT else 0)
    for secret in (hub.top / "tokens").iterdir():
        assert secret.read_text().strip() not in ended.output
