"""Alerting in a real Grafana: the provisioning loads, an alert fires, is sent, and resolves; skipped without one."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3
import yaml
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed
from urllib3.util import make_headers

from grafana.alerting.notify import CHANNELS
from grafana.alerting.rules import RULES
from sensetig import bundle
from sensetig.demo.testbed import grafana, ports, processes
from sensetig.engines import locate
from tests.integration.alerting import write
from tests.integration.conftest import InfluxDB, prepared
from tests.integration.test_alerting import STORIES, told

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

PASSWORD = "only-for-this-test"  # noqa: S105 - of a Grafana that lives for one test

ALL_SET = {
    "SENSETIG_ALERTS_EMAIL_ADDRESSES": "one@example.org;two@example.org",
    "SENSETIG_ALERTS_EMAIL_WITHOUT": "info",
    "SENSETIG_ALERTS_WEBHOOK_URL": "http://127.0.0.1:9/hook?to=all&x=(1)",
    "SENSETIG_ALERTS_WEBHOOK_TOKEN": "a$token",
    "SENSETIG_ALERTS_NTFY_URL": "http://127.0.0.1:9/topic",
    "SENSETIG_ALERTS_NTFY_TOKEN": "tk_1",
    "SENSETIG_ALERTS_TELEGRAM_BOT": "123456",
    "SENSETIG_ALERTS_TELEGRAM_SECRET": "AAE-x_y",
    "SENSETIG_ALERTS_TELEGRAM_CHAT": "-1001234567",
    "SENSETIG_ALERTS_TELEGRAM_WITHOUT": "info|warning",
    "SENSETIG_ALERTS_QUIET": "nights",
}


class Grafana(NamedTuple):
    """A running Grafana."""

    url: str
    log: Path

    def get(self, path: str) -> Any:
        """The API's response to its administrator."""
        answer = urllib3.request(
            "GET",
            self.url + path,
            headers=make_headers(basic_auth=f"{grafana.ADMINISTRATOR}:{PASSWORD}"),
            retries=False,
            timeout=120,
        )
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    def rules(self) -> dict[str, dict[str, Any]]:
        """Each rule's state by its title."""
        groups = self.get("/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def complaints(self) -> list[str]:
        """Warnings and errors in its log, without those about its own database, which a new Grafana has anyway."""
        return [
            line
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if ("level=warn" in line or "level=error" in line)
            and "logger=migrator" not in line
            and "database is locked" not in line
            and "Tick dropped because alert rule evaluation is too slow" not in line  # on a busy machine
        ]


def until(question: Callable[[], Any], seconds: float = 300) -> Any:
    """Ask until the answer is not empty. Raises tenacity's RetryError when the time is up."""
    return Retrying(
        retry=retry_if_result(lambda answer: not answer), stop=stop_after_delay(seconds), wait=wait_fixed(0.5)
    )(question)


def hurried(folder: Path) -> Path:
    """A copy of the bundle whose rules are evaluated as often as Grafana can, and sent at once."""
    real = bundle.root() / "grafana"
    provisioning = folder / "grafana" / "provisioning"
    provisioning.mkdir(parents=True)
    (folder / "grafana" / "dashboards").symlink_to(real / "dashboards")
    for name in ("datasources", "dashboards", "plugins"):
        (provisioning / name).symlink_to(real / "provisioning" / name)
    (provisioning / "alerting").mkdir()
    for file in (real / "provisioning" / "alerting").glob("*.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in content.get("groups", ()):
            group["interval"] = "10s"
            for rule in group["rules"]:
                rule["for"] = "0s"
        for policy in content.get("policies", ()):
            policy.update(group_wait="1s", group_interval="1s")
        (provisioning / "alerting" / file.name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


@contextmanager
def running(root: Path, folder: Path, influxdb: InfluxDB, variables: Mapping[str, str]) -> Iterator[Grafana]:
    """A Grafana with its own database, provisioned from that bundle."""
    home = locate("grafana")
    if home is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder to try the alerts in it")
    environment = {
        "SENSETIG_INFLUXDB_URL": influxdb.url,
        "SENSETIG_ORGANISATION": influxdb.org,
        "SENSETIG_GRAFANA_TOKEN": influxdb.read_token,
        **variables,
    }
    log = folder / "grafana.log"
    identity, url = grafana.start(
        home.path, root, folder / "data", ports.any_free(), environment, log, password=PASSWORD
    )
    try:
        started = Grafana(url, log)
        # It answers before it has read the provisioning, and ends when it does not like it.
        until(lambda: identity.process() is None or len(started.rules()) == len(RULES))
        assert identity.process() is not None, processes.tail(log)
        yield started
    finally:
        processes.stop([identity])


def looked_at(server: Grafana) -> dict[str, dict[str, Any]]:
    """Each rule once every one of them has been evaluated."""

    def evaluated() -> dict[str, dict[str, Any]]:
        rules = server.rules()
        done = all(not rule["lastEvaluation"].startswith("0001") for rule in rules.values())
        return rules if done else {}

    found: dict[str, dict[str, Any]] = until(evaluated)
    return found


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """A web server on loopback that records the posted bodies and headers."""
    posted: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.put({"path": self.path, "authorization": self.headers.get("Authorization"), **body})
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
    finally:
        server.shutdown()
        server.server_close()


def ill_for_a_while(influxdb: InfluxDB, name: str, ago: int) -> None:
    """Under-voltage *ago* seconds in the past, which soon leaves the rule's window of five minutes."""
    now = int(time.time())
    told = {ago: "true", 0: "false"}
    write(influxdb, [f"pi,host={name},site=alerting under_voltage={value} {now - ago}" for ago, value in told.items()])


def received(posted: queue.Queue[dict[str, Any]], device: str, status: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The next message with that device's alert in that state, and the alert in it."""
    deadline = time.monotonic() + 400
    while True:
        message = posted.get(timeout=max(0.1, deadline - time.monotonic()))
        for alert in message["alerts"]:
            if alert["labels"].get("device") == device and alert["status"] == status:
                return message, alert


@pytest.mark.parametrize("variables", [{}, ALL_SET], ids=["nothing set", "all set"])
def test_the_provisioning_loads_without_a_complaint(
    variables: dict[str, str], influxdb: InfluxDB, tmp_path: Path
) -> None:
    with running(bundle.root(), tmp_path, influxdb, variables) as server:
        points = {each["name"]: each for each in server.get("/api/v1/provisioning/contact-points")}
        policy = server.get("/api/v1/provisioning/policies")
        assert {channel.name for channel in CHANNELS} <= set(points)
        assert policy["receiver"] == CHANNELS[0].name
        assert server.complaints() == []
    if variables:
        assert points["SenseTIG e-mail"]["settings"]["addresses"] == "one@example.org;two@example.org;"
        assert points["SenseTIG webhook"]["settings"]["url"] == "http://127.0.0.1:9/hook?to=all&x=(1)#"
        assert points["SenseTIG Telegram"]["settings"]["chatid"] == "-1001234567 "
    for secret in ("a$token", "tk_1", "AAE-x_y"):
        assert secret not in json.dumps([points, policy])


def test_every_rule_is_evaluated_on_real_data_without_an_error(influxdb: InfluxDB, tmp_path: Path) -> None:
    for key, story in STORIES.items():
        told(story, influxdb, key)
    with running(hurried(tmp_path / "bundle"), tmp_path, influxdb, {}) as server:
        rules = looked_at(server)
        assert {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in rules.values()} == {
            rule.title: ("ok", "") for rule in RULES
        }
        silent = {each["labels"].get("device"): each["state"] for each in rules["Device silent"]["alerts"]}
        assert silent["device-silent-well"] == "Normal"
        assert server.complaints() == []


def test_a_new_installation_says_nothing_of_its_empty_database(influxd: Path, tmp_path: Path) -> None:
    with (
        prepared(influxd, tmp_path / "influxdb") as empty,
        running(hurried(tmp_path / "bundle"), tmp_path, empty, {}) as server,
    ):
        rules = looked_at(server)
        assert {(rule["state"], rule["health"]) for rule in rules.values()} == {("inactive", "ok")}
        assert server.get("/api/alertmanager/grafana/api/v2/alerts") == []
        assert server.complaints() == []


def test_an_alert_is_seen_and_nothing_is_sent_where_nothing_is_set(influxdb: InfluxDB, tmp_path: Path) -> None:
    with running(hurried(tmp_path / "bundle"), tmp_path, influxdb, {}) as server:
        ill_for_a_while(influxdb, "unsent", 10)

        def grouped() -> list[str]:
            return [
                receiver["name"]
                for group in server.get("/api/alertmanager/grafana/api/v2/alerts/groups")
                for alert in group["alerts"]
                if alert["labels"].get("device") == "unsent"
                for receiver in alert["receivers"]
            ]

        # Only the last policy takes it, which is always mute, once Grafana has read its policies.
        until(lambda: set(grouped()) == {CHANNELS[0].name})
        assert server.rules()["Under-voltage"]["state"] == "firing"
    # Grafana has ended, and flushed pending notifications.
    assert server.complaints() == []


def test_an_alert_fires_is_sent_to_the_webhook_and_so_is_its_end(influxdb: InfluxDB, tmp_path: Path) -> None:
    with receiver() as (url, posted):
        variables = {
            "SENSETIG_ALERTS_WEBHOOK_URL": url,
            "SENSETIG_ALERTS_WEBHOOK_TOKEN": "only-for-the-hook",
        }
        with running(hurried(tmp_path / "bundle"), tmp_path, influxdb, variables) as server:
            ill_for_a_while(influxdb, "sent", 180)

            message, alert = received(posted, "sent", "firing")
            assert message["path"] == "/hook"
            assert message["authorization"] == "Bearer only-for-the-hook"
            assert message["groupLabels"] == {"alertname": "Under-voltage", "site": "alerting"}
            assert alert["labels"]["severity"] == "warning"
            assert alert["annotations"]["summary"] == "The power supply of sent is too weak"
            runbook = alert["annotations"]["runbook_url"]
            assert runbook.startswith("/d/sensetig-runbooks?viewPanel=")
            link, document = alert["annotations"]["description"].splitlines()[-2:]
            link = link.removeprefix("Runbook: ")
            assert document == "Documentation: docs/how-to/runbooks.md#under-voltage"
            root = link.removesuffix(runbook)
            assert root.startswith("http")
            dashboard = alert["annotations"]["dashboard_url"]
            assert dashboard.startswith("/d/sensetig-device?var-host=sent&viewPanel=")
            assert f"\nDashboard: {root}{dashboard}\n" in alert["annotations"]["description"]
            # Bound to a panel, the alert of one device would be drawn into it for every device.
            assert not alert["dashboardURL"]
            assert not alert["panelURL"]

            _, ended = received(posted, "sent", "resolved")
            assert ended["fingerprint"] == alert["fingerprint"]
            assert server.complaints() == []
