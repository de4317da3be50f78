"""Checks of Grafana and Telegraf: versions, dashboards, alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import urllib3

from sensetig import bundle, policy
from sensetig.doctor import machine
from sensetig.doctor.findings import INSTALL, CannotCheck, Check, Finding, NotHere, act, good, hand, look, run
from sensetig.doctor.patient import PATIENCE_SECONDS, Patient
from sensetig.doctor.system import health
from sensetig.errors import SetupError
from sensetig.grafana.server import Server
from sensetig.site import tls_context

_RESTART = run("systemctl", "restart", "grafana-server.service")
_UPGRADE = hand("upgrade it: ansible-playbook upgrade.yml in the folder ansible of the checkout")

# --- Telegraf -------------------------------------------------------------------------------------------


class Version(NamedTuple):
    """The version of an engine, empty if unknown, and whether the bundle works with it."""

    version: str
    accepted: bool


def _accepted(engine: str, printed: str) -> Version:
    from sensetig.engines.catalogue import load
    from sensetig.engines.platforms import version_in, will_do

    version = version_in(printed)
    return Version(version or "", version is not None and will_do(version, load().engines[engine].accepts))


def _read_telegraf(patient: Patient) -> Version:
    if not patient.has_unit("telegraf.service"):
        raise NotHere
    answer = patient.run(("telegraf", "--version"))
    return Version("", False) if answer.status != 0 else _accepted("telegraf", answer.output)


def judge_telegraf(facts: Version) -> list[Finding]:
    """Whether Telegraf has a version that the bundle works with."""
    if not facts.version:
        return act("Telegraf does not start: telegraf --version fails", INSTALL)
    if not facts.accepted:
        return act(f"version {facts.version} is not one that SenseTIG works with", _UPGRADE)
    return good(f"version {facts.version}")


# --- Grafana --------------------------------------------------------------------------------------------


class Grafana(NamedTuple):
    """Grafana's health: the error, or empty; and its version."""

    problem: str
    version: Version = Version("", True)


def _installed(patient: Patient) -> None:
    patient.on_the_hub()
    if patient.site.grafana_password_file is None:
        raise NotHere


def _read_grafana(patient: Patient) -> Grafana:
    _installed(patient)
    url = patient.site.grafana_url
    context = tls_context(patient.site.ca_file) if url.startswith("https:") else None
    with urllib3.PoolManager(retries=False, timeout=PATIENCE_SECONDS, ssl_context=context) as pool:
        try:
            answer = pool.request("GET", f"{url}/api/health", redirect=False)
        except urllib3.exceptions.HTTPError as error:
            return Grafana(f"Grafana at {url} does not answer ({type(error).__name__})")
    said = health(answer.data)
    if answer.status != 200 or said.get("database") != "ok":
        return Grafana(
            f"Grafana at {url} is not well: status {answer.status}, database {said.get('database', 'unknown')}"
        )
    return Grafana("", _accepted("grafana", said.get("version", "")))


def judge_grafana(facts: Grafana) -> list[Finding]:
    """Whether Grafana answers."""
    if facts.problem:
        return act(facts.problem, _RESTART)
    if facts.version.version and not facts.version.accepted:
        return act(f"version {facts.version.version} is not one that SenseTIG works with", _UPGRADE)
    return good(f"answers, version {facts.version.version or 'unknown'}")


def _server(patient: Patient) -> Server:
    """Grafana with the administrator's account. Raises CannotCheck and SiteError."""
    path = patient.site.grafana_password_file
    assert path is not None
    try:
        path.open("rb").close()
    except PermissionError:
        raise CannotCheck(f"only root may read {path}; use sudo sensetig doctor") from None
    except OSError as error:
        raise CannotCheck(f"{path} cannot be read: {error.strerror}") from None
    site = patient.site
    server = Server.with_password_file(site.grafana_url, site.grafana_admin, path, site.ca_file)
    server.sign_in()
    return server


class Provisioned(NamedTuple):
    """Grafana's missing parts.

    Args:
        dashboards: titles of the bundle's dashboards that are missing.
        wanted: the number of the bundle's dashboards.
        sources: the data sources that fail, each with the reason.
    """

    dashboards: tuple[str, ...]
    wanted: int
    sources: tuple[tuple[str, str], ...]


def bundled(folder: Path) -> dict[str, str]:
    """Title of each dashboard of the bundle by its UID."""
    boards = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    return {str(board["uid"]): str(board["title"]) for board in boards}


def _read_dashboards(patient: Patient) -> Provisioned:
    _installed(patient)
    server = _server(patient)
    wanted = bundled(bundle.root() / "grafana/dashboards")
    listed = server.resource("list its dashboards", "/api/search?type=dash-db&limit=5000") or []
    there = {str(each.get("uid")) for each in listed}
    sources = []
    for each in server.resource("list its data sources", "/api/datasources") or []:
        if str(each.get("uid", "")).startswith("sensetig") and each.get("type") == "influxdb":
            reason = _unreadable(server, str(each["uid"]))
            if reason:
                sources.append((str(each.get("name")), reason))
    missing = tuple(title for uid, title in wanted.items() if uid not in there)
    return Provisioned(missing, len(wanted), tuple(sources))


def _unreadable(server: Server, uid: str) -> str:
    """The error of a data source; or empty."""
    try:
        answer = server.resource("check a data source", f"/api/datasources/uid/{quote(uid)}/health") or {}
    except SetupError as error:  # Grafana returns 400 if the data source has a fault
        return str(error).partition("refused to check a data source: ")[2] or str(error)
    return "" if answer.get("status") == "OK" else str(answer.get("message") or "it gives no reason")


def judge_dashboards(facts: Provisioned) -> list[Finding]:
    """Whether the dashboards exist and can read their data."""
    found = []
    if facts.dashboards:
        names = ", ".join(facts.dashboards)
        found.append(Finding(policy.ACT, f"Grafana lacks the dashboards {names}", _RESTART))
    for name, reason in facts.sources:
        found.append(
            Finding(policy.ACT, f"the data source {name} cannot read: {' '.join(reason.split())[:120]}", _RESTART)
        )
    return found or good(f"{facts.wanted} dashboards are provisioned, and their data sources can read")


class Alerts(NamedTuple):
    """The delivery of alerts.

    Args:
        channels: the configured channels.
        missing: rules of the bundle that Grafana lacks.
        wanted: the number of the bundle's rules.
        failing: channels that could not send last time, each with the reason.
    """

    channels: tuple[str, ...]
    missing: int
    wanted: int
    failing: tuple[tuple[str, str], ...]


def _read_alerts(patient: Patient) -> Alerts:
    _installed(patient)
    server = _server(patient)
    rules = server.resource("list its alert rules", "/api/v1/provisioning/alert-rules") or []
    there = {str(each.get("uid")) for each in rules}
    wanted = rule_uids(bundle.root() / "grafana/provisioning/alerting/rules.yaml")
    receivers = server.resource("list its receivers", "/api/alertmanager/grafana/config/api/v1/receivers") or []
    return Alerts(tuple(machine.channels(patient.top)), len(wanted - there), len(wanted), tuple(_failing(receivers)))


_RULE = re.compile(r"^ *- uid: (\S+)$", re.MULTILINE)


def rule_uids(file: Path) -> set[str]:
    """The UIDs in a file of alert rules, read line by line because the base installation has no YAML."""
    # Only a rule's entry begins with its UID; UIDs of data sources follow another key.
    return set(_RULE.findall(machine.text(file, 4_000_000) or ""))


def _failing(receivers: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (str(one.get("name") or each.get("name")), str(one["lastNotifyAttemptError"]))
        for each in receivers
        for one in each.get("integrations", ())
        if one.get("lastNotifyAttemptError")
    ]


def judge_alerts(facts: Alerts) -> list[Finding]:
    """Whether alerts reach a person."""
    found = []
    if facts.missing:
        found.append(Finding(policy.ACT, f"Grafana lacks {facts.missing} of {facts.wanted} alert rules", _RESTART))
    for name, reason in facts.failing:
        text = f"the channel {name} could not send: {' '.join(reason.split())[:120]}"
        found.append(
            Finding(policy.ACT, text, hand("correct grafana_alerts in config.yml, and run sudo ./install again"))
        )
    if not facts.channels:
        cure = hand("set grafana_alerts in config.yml (docs/how-to/phone-alerts.md), and run sudo ./install again")
        found += look("no notification channel is set, so alerts are seen in Grafana alone", cure)
    return found or good(f"{facts.wanted} rules send to {', '.join(facts.channels)}")


TELEGRAF = Check("telegraf", "Telegraf", _read_telegraf, judge_telegraf)
GRAFANA = Check("grafana", "Grafana", _read_grafana, judge_grafana, ("site",))
DASHBOARDS = Check("dashboards", "Dashboards", _read_dashboards, judge_dashboards, ("grafana",))
ALERTS = Check("alerts", "Alerts", _read_alerts, judge_alerts, ("grafana",))
