"""The services other than the database: Grafana, the broker, NATS and the camera, as the first run installs them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import wheels
from tests.e2e.machines import Machine
from tests.e2e.playbook import ANSIBLE, PROJECT, Run
from tests.e2e.site import CAMERA_PORT, Site
from tests.e2e.test_fleet import NotYet, ask, eventually, flux, put, score

pytestmark = pytest.mark.usefixtures("installed")

READER = "/etc/sensetig/tokens/grafana.token"
ADMINISTRATOR = "/etc/sensetig/tokens/grafana-admin.password"
PYTHON = "/opt/sensetig/venv/bin/python"

_GRAFANA = """
import base64, json, sys, urllib.error, urllib.request
path, file, *body = sys.argv[1:]
request = urllib.request.Request("http://127.0.0.1:3000" + path)
if file:
    password = open(file).read().strip()
    request.add_header("Authorization", "Basic " + base64.b64encode(f"admin:{password}".encode()).decode())
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(json.dumps([answer.status, json.load(answer)]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""

_PUBLISH = """
import sys
from paho.mqtt import MQTTException, publish
user, file, topic, payload = sys.argv[1:]
try:
    publish.single(
        topic, payload, qos=1, hostname="loft", port=8883, client_id="e2e-" + user,
        auth={"username": user, "password": open(file).read().strip()},
        tls={"ca_certs": "/etc/sensetig/tls/trusted/authority.crt"},
    )
except MQTTException as error:
    sys.exit(f"refused: {error}")
"""

_NATS = """
import asyncio, ssl, sys
import nats
from nats.errors import Error
user, file, action, *rest = sys.argv[1:]
async def main():
    refused = asyncio.Event()
    async def told(error):
        refused.set()
    server = await nats.connect(
        "tls://127.0.0.1:4222", user=user, password=open(file).read().strip(),
        tls=ssl.create_default_context(cafile="/etc/sensetig/tls/trusted/authority.crt"),
        inbox_prefix=b"_INBOX." + user.encode(), error_cb=told, allow_reconnect=False, connect_timeout=10,
    )
    if action == "keys":
        print(*await (await server.jetstream().key_value(rest[0])).keys(), sep="\\n")
    else:
        await server.publish(rest[0], b"{}")
        await server.flush()
        # A flush does not wait for it: its ping overtakes what is still to be sent.
        await asyncio.wait([asyncio.ensure_future(refused.wait())], timeout=3)
        print("refused" if refused.is_set() else "taken")
    await server.close()
try:
    asyncio.run(main())
except Error as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture
def hub(site: Site) -> Machine:
    """The machine that the services run on."""
    return site.machines["loft"]


@pytest.fixture
def grafana(site: Site) -> None:
    """Nothing, if there is a Grafana; if there is none, the reason why its tests are not run."""
    if not site.config["grafana_enabled"]:
        pytest.skip("Grafana was not started: neither GRAFANA_DEB nor GRAFANA_HOME says where one is")


def shown(hub: Machine, path: str, password: str = ADMINISTRATOR) -> tuple[int, Any]:
    """Grafana's response to its administrator, or to an anonymous request if *password* is empty."""
    status, answer = json.loads(hub.ssh(shlex.join(["python3", "-c", _GRAFANA, path, password])).stdout)
    return status, answer


def counted(hub: Machine, measurement: str, tag: str, value: str) -> int:
    """How many points of a series InfluxDB has of the last hour."""
    query = (
        f'from(bucket: "raw") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "{measurement}" and '
        f'r["{tag}"] == "{value}") |> group() |> count() |> keep(columns: ["_value"])'
    )
    status, text = flux(hub, READER, query)
    assert status == 200, text
    found = re.search(r"^,_result,\d+,(\d+)\s*$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def arrived(hub: Machine, measurement: str, tag: str, value: str) -> None:
    """Wait until there is one."""
    for attempt in eventually():
        with attempt:
            if counted(hub, measurement, tag, value) == 0:
                raise NotYet(f"there is no {measurement} with {tag}={value}")


@pytest.mark.usefixtures("grafana")
def test_grafana_answers_over_tls_and_only_to_signed_in_users(hub: Machine) -> None:
    assert hub.ssh("systemctl is-active grafana-server; systemctl is-enabled grafana-server").stdout.split() == [
        "active",
        "enabled",
    ]
    assert shown(hub, "/api/health", "")[1]["database"] == "ok"
    assert shown(hub, "/api/search", "")[0] == 401
    assert shown(hub, "/api/user")[1]["login"] == "admin"


@pytest.mark.usefixtures("grafana")
@pytest.mark.parametrize("source", ["sensetig-influxql", "sensetig-influxql-hourly", "sensetig-flux"])
def test_grafanas_data_sources_are_well(hub: Machine, source: str) -> None:
    status, answer = shown(hub, f"/api/datasources/uid/{source}/health")
    assert status == 200, answer
    assert answer["status"] == "OK", answer


@pytest.mark.usefixtures("grafana")
def test_grafana_has_the_dashboards_and_the_alert_rules_of_the_bundle(hub: Machine) -> None:
    wanted = {json.loads(path.read_text())["uid"] for path in (PROJECT / "grafana" / "dashboards").glob("*.json")}
    assert {each["uid"] for each in shown(hub, "/api/search?type=dash-db")[1]} == wanted
    groups = yaml.safe_load((PROJECT / "grafana/provisioning/alerting/rules.yaml").read_text())["groups"]
    rules = {rule["uid"] for group in groups for rule in group["rules"]}
    assert {each["uid"] for each in shown(hub, "/api/v1/provisioning/alert-rules")[1]} == rules


@pytest.mark.usefixtures("grafana")
def test_grafana_is_hardened_and_its_secrets_are_in_no_environment(hub: Machine) -> None:
    found = score(hub, "grafana-server")
    print(f"loft: grafana-server {found}")
    assert found <= 3.0
    secret = shlex.quote(hub.ssh(f"cat {READER}").stdout.strip())
    process = "$(systemctl show --property=MainPID --value grafana-server)"
    assert hub.ssh(f"tr '\\0' '\\n' < /proc/{process}/environ | grep -c -F -e {secret}", check=False).stdout == "0\n"


@pytest.mark.usefixtures("grafana")
def test_telegraf_pushes_to_live_panels_with_an_account_that_can_do_nothing_else(hub: Machine) -> None:
    accounts = shown(hub, "/api/serviceaccounts/search")[1]["serviceAccounts"]
    assert [(each["name"], each["role"]) for each in accounts] == [("sensetig-telegraf-live", "None")]
    for attempt in eventually():
        with attempt:
            channels = shown(hub, "/api/live/list")[1]["channels"]
            if not any(each["channel"].startswith("stream/sensetig/loft/") for each in channels):
                raise NotYet("nothing was pushed")


@pytest.mark.usefixtures("grafana")
def test_the_administrators_password_is_replaced_by_the_operators(site: Site, hub: Machine) -> None:
    old = put(hub, "old", hub.ssh(f"cat {ADMINISTRATOR}").stdout)

    def played(password: str) -> Run:
        variables = {"grafana_admin_password": password}
        return site.play("site.yml", "--tags", "grafana", "--limit", "loft", **variables)

    short = played("too short")
    assert short.status != 0
    assert "grafana_admin_password has fewer than 12 characters" in short.output
    assert set(short.changed().values()) == {0}
    given = played("of the operator's own")
    assert given.status == 0, given.output[-6000:]
    assert shown(hub, "/api/user")[1]["login"] == "admin"
    assert hub.ssh(f"cat {ADMINISTRATOR}").stdout == "of the operator's own"
    assert shown(hub, "/api/user", old)[0] == 401


def test_grafanas_settings_match_the_operators_variables(site: Site, tmp_path: Path) -> None:
    asked = {
        "grafana_smtp": {"host": "mail.example.org:587", "from": "pi@example.org", "user": "pi", "password": "Mail$1"},
        "grafana_alerts": {
            "email": {"addresses": ["a@example.org", "b@example.org"], "without": ["info"]},
            "webhook": {"url": "https://example.org/hook", "token": "Hook1"},
            "telegram": {"bot": "1", "secret": "Tele1", "chat": "-4711"},
            "quiet": "nights",
        },
    }
    texts = rendered(site, tmp_path, asked)
    assert not [secret for secret in ("Mail$1", "Hook1", "Tele1") if secret in "".join(texts.values())]
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string("[DEFAULT]\n" + texts["grafana.ini"])
    here = "/run/credentials/grafana-server.service"
    assert dict(settings["smtp"], **settings.defaults()) == {
        **settings.defaults(),
        "enabled": "true",
        "host": "mail.example.org:587",
        "from_address": "pi@example.org",
        "user": "pi",
        "password": f"$__file{{{here}/smtp}}",
        "starttls_policy": "MandatoryStartTLS",
    }
    # The proxy is in front of it, with TLS.
    assert settings["server"]["protocol"] == "http"
    assert settings["server"]["http_addr"] == "127.0.0.1"
    assert settings["security"]["content_security_policy"] == "true"
    assert settings["security"]["admin_password"] == f"$__file{{{here}/admin}}"
    for section, key in (("analytics", "reporting_enabled"), ("analytics", "check_for_updates"),
                         ("analytics", "check_for_plugin_updates"), ("news", "news_feed_enabled"),
                         ("plugins", "plugin_admin_enabled"), ("auth.anonymous", "enabled")):  # fmt: skip
        assert settings[section][key] == "false", f"{section}.{key}"
    variables = dict(line.split("=", 1) for line in texts["environment"].splitlines() if not line.startswith("#"))
    assert variables == {
        "SENSETIG_INFLUXDB_URL": "http://127.0.0.1:8086",
        "SENSETIG_ORGANISATION": '"sensetig"',
        "SENSETIG_GRAFANA_TOKEN": f'"$__file{{{here}/token}}"',
        "SENSETIG_DASHBOARDS": "/etc/grafana/sensetig-dashboards",
        "SENSETIG_ALERTS_EMAIL_ADDRESSES": '"a@example.org;b@example.org"',
        "SENSETIG_ALERTS_EMAIL_WITHOUT": '"info"',
        "SENSETIG_ALERTS_WEBHOOK_URL": '"https://example.org/hook"',
        "SENSETIG_ALERTS_WEBHOOK_TOKEN": f'"$__file{{{here}/webhook}}"',
        "SENSETIG_ALERTS_TELEGRAM_BOT": '"1"',
        "SENSETIG_ALERTS_TELEGRAM_SECRET": f'"$__file{{{here}/telegram}}"',
        "SENSETIG_ALERTS_TELEGRAM_CHAT": '"-4711"',
        "SENSETIG_ALERTS_QUIET": "nights",
    }
    credentials = set(re.findall(r"^LoadCredential=([^:]+):", texts["service.conf"], re.MULTILINE))
    assert credentials == {"admin", "key", "smtp", "telegram", "token", "webhook"}
    assert "Environment=SSL_CERT_DIR=/etc/ssl/certs:/etc/sensetig/tls/trusted" in texts["service.conf"]


def rendered(site: Site, folder: Path, variables: dict[str, Any]) -> dict[str, str]:
    """Grafana's templates as the hub gets them, on this machine."""
    role = ANSIBLE / "roles" / "grafana"
    names = ("grafana.ini", "environment", "service.conf")
    tasks = [
        {
            "ansible.builtin.template": {"src": str(role / f"templates/{name}.j2"), "dest": str(folder / name)},
            "delegate_to": "localhost",
            "connection": "local",
        }
        for name in names
    ]
    files = [str(ANSIBLE / "group_vars/all.yml"), *(str(role / each / "main.yml") for each in ("defaults", "vars"))]
    book = folder / "playbook.json"
    book.write_text(json.dumps([{"hosts": "hub", "vars_files": files, "tasks": tasks}]))
    config = folder / "config.json"
    config.write_text(json.dumps({**site.config, **variables}))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), book, "-i", site.inventory, "-e", f"@{config}"],
        cwd=ANSIBLE, env={**os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (folder / name).read_text() for name in names}


def test_a_device_publishes_over_tls_and_its_reading_arrives(site: Site, hub: Machine) -> None:
    edge = site.machines["hall"]
    password = put(edge, "plug", hub.ssh("cat /etc/sensetig/tokens/mqtt-plug.password").stdout)
    wrong = put(edge, "wrong", "a password of nobody")
    reading = '{"temperature_raw_celsius": 21.5, "tags": {"sensor": "e2e"}}'

    def published(file: str, topic: str) -> subprocess.CompletedProcess[str]:
        command = shlex.join([PYTHON, "-c", _PUBLISH, "plug", file, topic, reading])
        return edge.ssh(command, check=False)

    refused = published(wrong, "sensetig/refused/telemetry/environment")
    assert "refused" in refused.stderr, refused
    # The broker acknowledges a message that the access list rejects, and discards it.
    assert published(password, "sensetig/another/telemetry/environment").returncode == 0
    taken = published(password, "sensetig/plug/telemetry/environment")
    assert taken.returncode == 0, taken.stderr
    arrived(hub, "environment", "device", "plug")
    assert counted(hub, "environment", "device", "another") == 0
    assert counted(hub, "environment", "device", "refused") == 0


def test_each_program_of_a_pi_is_connected_to_the_broker_as_its_own_user(site: Site, hub: Machine) -> None:
    status = "/query?db=raw&q=SELECT%20count(status)%20FROM%20device_status%20WHERE%20device%3D%27hall%27"
    for attempt in eventually():
        with attempt:
            code, text = ask(hub, READER, "GET", status)
            if code != 200 or "series" not in text:
                raise NotYet(f"the agent's status has not arrived: {code} {text}")
            log = hub.ssh("cat /var/log/mosquitto/mosquitto.log").stdout
            missing = [user for user in ("hall-agent", "hall-camera") if f" as {user} " not in log]
            if missing:
                raise NotYet(f"{missing} have not connected: {log[-2000:]}")
    stored = site.machines["hall"].ssh("cat /etc/sensetig/credentials/mqtt_agent").stdout
    password = hub.ssh("cat /etc/sensetig/tokens/mqtt-hall-agent.password").stdout
    assert password not in stored


def test_the_camera_is_a_service_and_its_events_arrive(site: Site, hub: Machine) -> None:
    machine = site.machines["hall"]
    assert machine.ssh("systemctl is-active sensetig-camera").stdout == "active\n"
    assert score(machine, "sensetig-camera") <= 2.0
    listening = [line.split()[3] for line in machine.ssh("ss -H -l -t -n").stdout.splitlines()]
    assert [each for each in listening if each.endswith(f":{CAMERA_PORT}")] == [f"127.0.0.1:{CAMERA_PORT}"]
    arrived(hub, "camera", "host", "hall")
    arrived(hub, "camera_event", "host", "hall")
    media = machine.ssh("find /var/lib/sensetig-camera/media -name '*.jpg'; stat -c %U:%a /var/lib/sensetig-camera")
    *pictures, owner = media.stdout.split()
    assert pictures
    assert owner == "sensetig-camera:750"
    assert site.machines["lab"].ssh("systemctl cat sensetig-camera", check=False).returncode != 0


def test_nats_is_restarted_by_its_check_where_it_is_stuck_and_left_alone_where_it_is_well(hub: Machine) -> None:
    def process() -> str:
        return hub.ssh("systemctl is-active sensetig-nats-check.timer && systemctl show -p MainPID nats-server").stdout

    before = process()
    hub.ssh("systemctl start sensetig-nats-check")
    assert process() == before
    override = "/run/systemd/system/sensetig-nats-check.service.d"
    try:
        stuck = "[Service]\\nExecCondition=\\nExecCondition=/bin/true\\n"
        hub.ssh(f"mkdir -p {override} && printf '{stuck}' > {override}/stuck.conf && systemctl daemon-reload")
        hub.ssh("systemctl start sensetig-nats-check")
        assert process() != before
    finally:
        hub.ssh(f"rm -rf {override} && systemctl daemon-reload")


def test_nats_takes_a_devices_own_telemetry_and_keeps_the_state_of_devices(hub: Machine) -> None:
    assert hub.ssh("systemctl is-active nats-server; systemctl is-enabled nats-server").stdout.split() == [
        "active",
        "enabled",
    ]

    def asked(user: str, file: str, *action: str) -> subprocess.CompletedProcess[str]:
        return hub.ssh(shlex.join([PYTHON, "-c", _NATS, user, file, *action]), check=False)

    tokens = "/etc/sensetig/tokens"
    own = asked("lab", f"{tokens}/nats-lab.password", "publish", "sensetig.lab.telemetry")
    assert own.stdout == "taken\n", own
    others = asked("lab", f"{tokens}/nats-lab.password", "publish", "sensetig.hall.telemetry")
    assert others.stdout == "refused\n", others
    assert asked("lab", f"{tokens}/nats-operator.password", "publish", "sensetig.lab.telemetry").returncode != 0
    for attempt in eventually(120):
        with attempt:
            kept = asked("operator", f"{tokens}/nats-operator.password", "keys", "device_state")
            if kept.returncode or not kept.stdout.split():
                raise NotYet(f"there is no device's state: {kept.stdout}{kept.stderr}")


def test_the_hub_makes_a_report_of_each_device_and_ends_it_when_told(site: Site, hub: Machine) -> None:
    def played(*, enabled: bool) -> Run:
        variables = {"report_enabled": enabled, "e2e_wheels": str(wheels.house(PROJECT, "mqtt,nats,outbox,report"))}
        done = site.play("site.yml", "--tags", "collectors,report", "--limit", "loft", **variables)
        assert done.status == 0, done.output[-6000:]
        return done

    played(enabled=True)
    try:
        states = hub.ssh("systemctl is-active sensetig-report.timer; systemctl is-enabled sensetig-report.timer").stdout
        assert states.split() == ["active", "enabled"]
        failed = "{ journalctl --unit=sensetig-report --lines=30 --no-pager; exit 1; }"
        hub.ssh(f"systemctl start sensetig-report.service || {failed}", timeout=600)
        reports = hub.ssh("ls /var/lib/sensetig-report").stdout.split()
        for name in site.machines:
            (report,) = [each for each in reports if name in each]
            page = hub.ssh(f"cat /var/lib/sensetig-report/{report}").stdout
            assert "<!DOCTYPE html>" in page[:200]
            assert page.count("<svg") > 5
        found = score(hub, "sensetig-report")
        print(f"loft: sensetig-report {found}")
        assert found <= 2.0
        assert played(enabled=True).changed() == {"loft": 0}
    finally:
        played(enabled=False)
    assert "sensetig-report" not in hub.ssh("systemctl list-unit-files --plain --no-legend").stdout
    assert hub.ssh("ls /var/lib/sensetig-report").stdout.split() == reports


def test_disabled_service_stops_and_starts_again_when_enabled(site: Site, hub: Machine) -> None:
    def played(*, enabled: bool) -> Run:
        variables = {"mosquitto_enabled": enabled, "backup_enabled": enabled}
        done = site.play("site.yml", "--tags", "mosquitto,backup", "--limit", "loft", **variables)
        assert done.status == 0, done.output[-6000:]
        return done

    played(enabled=False)
    try:
        states = hub.ssh("systemctl is-active mosquitto; systemctl is-enabled mosquitto", check=False).stdout.split()
        assert states == ["inactive", "disabled"]
        assert "sensetig-backup" not in hub.ssh("systemctl list-units --all --plain --no-legend").stdout
        assert hub.ssh("test -s /etc/mosquitto/sensetig.passwd").returncode == 0
        assert played(enabled=False).changed() == {"loft": 0}
    finally:
        played(enabled=True)
    assert hub.ssh("systemctl is-active mosquitto sensetig-backup.timer").stdout.split() == ["active", "active"]
