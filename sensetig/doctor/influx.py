"""Checks of InfluxDB: health, tokens, buckets, fresh points, failed writes, tasks. Requests change nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from sensetig import bundle, policy
from sensetig.doctor.findings import INSTALL, CannotCheck, Check, Cure, Finding, act, good, hand, run
from sensetig.doctor.patient import PATIENCE_SECONDS, Patient
from sensetig.doctor.system import Room, health, room
from sensetig.errors import InfluxDBError, SiteError, TokenRefused
from sensetig.influxdb.client import Client, Series
from sensetig.influxdb.definitions import read as read_definitions
from sensetig.influxdb.names import DESCRIPTIONS, device_description, device_file
from sensetig.report.numbers import duration
from sensetig.site import OPERATOR_TOKEN, READ_TOKEN, WRITE_TOKEN

_SETUP = run("sensetig", "setup")
_RESTART = run("systemctl", "restart", "influxdb.service")

# --- health ---------------------------------------------------------------------------------------------


class Health(NamedTuple):
    """Whether InfluxDB answers.

    Args:
        problem: the reason why it does not; or empty.
        version: the reported version.
        accepted: whether the bundle works with that version.
    """

    problem: str
    version: str = ""
    accepted: bool = True


def _read_health(patient: Patient) -> Health:
    from sensetig.engines.catalogue import load
    from sensetig.engines.platforms import version_in, will_do

    patient.on_the_hub()
    with Client(patient.site.influxdb_url, ca_file=patient.site.ca_file, timeout_seconds=PATIENCE_SECONDS) as client:
        try:
            said = health(client.request("GET", "/health", "report its health").data)
        except InfluxDBError as error:
            return Health(str(error).partition("; ")[0])
    if said.get("status") != "pass":
        return Health(f"InfluxDB at {patient.site.influxdb_url} reports {said.get('message') or 'no health'}")
    version = version_in(said.get("version", "")) or ""
    return Health("", version, not version or will_do(version, load().engines["influxd"].accepts))


def judge_health(facts: Health) -> list[Finding]:
    """Whether InfluxDB answers, with a version that the bundle works with."""
    if facts.problem:
        return act(facts.problem, _RESTART)
    if not facts.accepted:
        cure = hand("upgrade it: ansible-playbook upgrade.yml in the folder ansible of the checkout")
        return act(f"version {facts.version} is not one that SenseTIG works with", cure)
    return good(f"answers, version {facts.version or 'unknown'}")


# --- tokens ---------------------------------------------------------------------------------------------


class Token(NamedTuple):
    """A token of the folder of tokens.

    Args:
        file: its name there.
        problem: the reason why it cannot be used; or empty.
        permissions: as InfluxDB lists them, such as ``write:raw``; None if it lists no such token.
        wanted: the intended permissions; empty means all.
    """

    file: str
    problem: str
    permissions: frozenset[str] | None
    wanted: frozenset[str]


def _read_operator(patient: Patient) -> Token:
    patient.on_the_hub()
    return Token(OPERATOR_TOKEN, _problem(patient, OPERATOR_TOKEN), None, frozenset())


def judge_operator(facts: Token) -> list[Finding]:
    """Whether the operator token belongs to this InfluxDB."""
    return judge_tokens([facts]) if facts.problem else good("InfluxDB accepts it")


def _read_read_token(patient: Patient) -> list[Token]:
    reads = frozenset(f"read:{each.name}" for each in read_definitions(bundle.root() / "influxdb").buckets)
    return _tokens(patient, [(READ_TOKEN, DESCRIPTIONS[READ_TOKEN], reads)])


def _read_write_tokens(patient: Patient) -> list[Token]:
    writes = frozenset({f"write:{patient.site.bucket}"})
    wanted = [(WRITE_TOKEN, DESCRIPTIONS[WRITE_TOKEN], writes)]
    if os.path.exists(patient.site.tokens / device_file(patient.host)):
        wanted.append((device_file(patient.host), device_description(patient.host), writes))
    return _tokens(patient, wanted)


def _tokens(patient: Patient, wanted: Sequence[tuple[str, str, frozenset[str]]]) -> list[Token]:
    patient.on_the_hub()
    with patient.client() as operator:
        listed = _permissions(operator, patient.site.organisation)
    return [
        Token(file, _problem(patient, file), listed.get(description), permissions)
        for file, description, permissions in wanted
    ]


def _permissions(client: Client, organisation: str) -> dict[str, frozenset[str]]:
    """The permissions of each token, by its description. Raises InfluxDBError."""
    query = urlencode({"org": organisation})
    answer = client.request("GET", f"/api/v2/authorizations?{query}", "list its tokens")
    document = json.loads(answer.data)
    names = {each["id"]: each["name"] for each in _buckets(client, organisation)}
    return {
        each.get("description", ""): frozenset(_permission(one, names) for one in each.get("permissions", ()))
        for each in document.get("authorizations", ())
        if each.get("status") == "active"
    }


def _permission(each: Mapping[str, Any], names: Mapping[str, str]) -> str:
    resource = each.get("resource", {})
    kind = resource.get("type", "")
    what = names.get(resource.get("id", ""), resource.get("id", "")) if kind == "buckets" else kind
    return f"{each.get('action', '')}:{what or 'all buckets'}"


def _buckets(client: Client, organisation: str) -> list[dict[str, str]]:
    query = urlencode({"org": organisation, "limit": 100})
    answer = client.request("GET", f"/api/v2/buckets?{query}", "list its buckets", accept=(404,))
    buckets = json.loads(answer.data).get("buckets", [])
    assert isinstance(buckets, list)
    return buckets


def _problem(patient: Patient, file: str) -> str:
    """The reason why a token is not accepted; or empty. A token without permissions is accepted, too."""
    try:
        with patient.client(file) as client:
            client.request("GET", "/api/v2/buckets?limit=1", "list its buckets")
    except SiteError as error:
        return str(error)
    except TokenRefused:
        return f"InfluxDB does not accept {file}"
    return ""


def judge_tokens(facts: Sequence[Token]) -> list[Finding]:
    """Whether each token has exactly its permissions."""
    found = []
    for each in facts:
        cure = _token_cure(each.file)
        if each.problem:
            found.append(Finding(policy.ACT, each.problem, cure))
        elif each.wanted and each.permissions is None:
            found.append(Finding(policy.ACT, f"InfluxDB lists no token for {each.file}", cure))
        elif each.permissions is not None and (lacking := each.wanted - each.permissions):
            found.append(Finding(policy.ACT, f"{each.file} may not {_words(lacking)}", cure))
        elif each.permissions is not None and (surplus := each.permissions - each.wanted):
            found.append(Finding(policy.ACT, f"{each.file} may {_words(surplus)}, which it should not", cure))
    return found or good(" and ".join(_may(each) for each in facts) + ", and nothing else")


def _may(each: Token) -> str:
    return f"{each.file} may {_words(each.wanted)}"


def _words(permissions: frozenset[str]) -> str:
    return " and ".join(f"{action} {what}" for action, _, what in (each.partition(":") for each in sorted(permissions)))


def _token_cure(file: str) -> Cure:
    if file == OPERATOR_TOKEN:
        return hand("put that of this InfluxDB into the folder of tokens: sensetig setup --operator-token-file FILE")
    if file == READ_TOKEN:
        return Cure((("sensetig", "setup"), ("systemctl", "try-restart", "grafana-server.service")))
    # The playbook gives Telegraf its token encrypted.
    return _SETUP if file == WRITE_TOKEN else INSTALL


# --- buckets --------------------------------------------------------------------------------------------


class Buckets(NamedTuple):
    """The buckets that the bundle defines, and those that exist."""

    wanted: tuple[str, ...]
    there: frozenset[str]


def _read_buckets(patient: Patient) -> Buckets:
    patient.on_the_hub()
    wanted = [each.name for each in read_definitions(bundle.root() / "influxdb").buckets]
    with patient.client() as client:
        there = frozenset(each["name"] for each in _buckets(client, patient.site.organisation))
    return Buckets(tuple(dict.fromkeys((patient.site.bucket, *wanted))), there)


def judge_buckets(facts: Buckets) -> list[Finding]:
    """Whether the buckets exist."""
    missing = [each for each in facts.wanted if each not in facts.there]
    if missing:
        names = " and ".join(missing)
        return act(f"the bucket {names} is missing in InfluxDB, so points that are written to it wait", _SETUP)
    return good(" and ".join(facts.wanted) + " are there")


# --- fresh points ---------------------------------------------------------------------------------------


class Fresh(NamedTuple):
    """The newest points.

    Args:
        ages: of each device's newest point, in seconds.
        urgent: devices that need action according to `sensetig status`.
        host: this machine's name.
        here: whether this machine runs Telegraf.
    """

    ages: Mapping[str, float]
    urgent: tuple[str, ...]
    host: str
    here: bool


def _read_fresh(patient: Patient) -> Fresh:
    from sensetig.fleet.devices import Limits, in_service, judge, read

    patient.on_the_hub()
    with patient.client(READ_TOKEN) as client:
        devices = in_service(read(client, patient.now(), policy.FORGOTTEN_DAYS * 86400), Limits())
    judged = [judge(each, Limits()) for each in devices]
    return Fresh(
        {each.name: each.age_seconds for each in devices},
        tuple(each.device.name for each in judged if each.level == policy.ACT),
        patient.host,
        patient.has_unit("telegraf.service"),
    )


def judge_fresh(facts: Fresh) -> list[Finding]:
    """Whether points are arriving."""
    restart = run("systemctl", "restart", "telegraf.service")
    if not facts.ages:
        return act(f"no device has written within {policy.FORGOTTEN_DAYS} days", restart)
    own = facts.ages.get(facts.host)
    found = []
    if facts.here and own is None:
        found.append(Finding(policy.ACT, f"{facts.host} has not written within {policy.FORGOTTEN_DAYS} days", restart))
    elif facts.here and own is not None and own >= policy.LATE_SECONDS:
        level = policy.ACT if own >= policy.OFFLINE_SECONDS else policy.LOOK
        found.append(Finding(level, f"the newest point of {facts.host} is {duration(round(own))} old", restart))
    others = [each for each in facts.urgent if each != facts.host or not found]
    if others:
        names = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        found.append(Finding(policy.LOOK, f"action is needed on {names}", hand("sensetig status shows the reasons")))
    newest = min(facts.ages.values())
    return found or good(f"the newest point is {duration(round(newest))} old; {len(facts.ages)} devices write")


# --- refused writes -------------------------------------------------------------------------------------


class Writes(NamedTuple):
    """The writes since the start of InfluxDB.

    Args:
        failed: writes with a status of 500 or above.
        newest_seconds: age of the newest point of any device; None if there is none.
        room: free space on the database's disk; None if unknown.
    """

    failed: int
    newest_seconds: float | None
    room: Room | None


#: A counter of write responses in InfluxDB's metrics (Prometheus text format).
_WRITES = re.compile(r'^http_write_request_count\{[^}]*status="(\d{3})"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


def failed_writes(metrics: str) -> int:
    """The number of writes with a status of 500 or above since the start of InfluxDB.

    >>> failed_writes('http_write_request_count{endpoint="/api/v2/write",org_id="1",status="500"} 10')
    10
    """
    return sum(int(float(number)) for status, number in _WRITES.findall(metrics) if status >= "500")


def _read_writes(patient: Patient) -> Writes:
    patient.on_the_hub()
    with patient.client(READ_TOKEN) as client:
        answer = client.request("GET", "/metrics", "show its metrics", accept=(404,))
        if answer.status == 404:
            raise CannotCheck("InfluxDB runs without its metrics")
        newest = _newest(client, patient.site.bucket)
    age = None if newest is None else max(0.0, patient.now() - newest)
    where = "var/lib/influxdb"
    return Writes(failed_writes(answer.data.decode("utf-8", "replace")), age, room(patient.top, where))


def _newest(client: Client, bucket: str) -> float | None:
    """The time of the newest sign of life, seconds since 1970. Raises InfluxDBError."""
    since = f"time > now() - {policy.FORGOTTEN_DAYS}d"
    statements = [f'SELECT last("{field}") FROM "{name}" WHERE {since}' for name, field in policy.SIGNS_OF_LIFE]  # noqa: S608
    answers: list[list[Series]] = client.query_all(statements, bucket)
    times = [float(str(series.rows[0][0])) / 1000 for answer in answers for series in answer]
    return max(times, default=None)


#: The side effect of the cure. Points that wait in the outboxes are safe.
_LOSES = "the restart may lose points that are in its memory and not in its write-ahead log"


def judge_writes(facts: Writes) -> list[Finding]:
    """Whether InfluxDB stores points."""
    stale = facts.newest_seconds is None or facts.newest_seconds >= policy.LATE_SECONDS
    if not facts.failed:
        return good("no write has failed since InfluxDB started")
    since = "" if facts.newest_seconds is None else f"; the newest point is {duration(round(facts.newest_seconds))} old"
    text = f"InfluxDB could not store {facts.failed:,} writes since it started{since}"
    if not stale:
        return good(f"{text}, so it stores points again")
    if facts.room is not None and policy.DISK_PERCENT.level(facts.room.percent) == policy.ACT:
        return act(
            f"{text}; its disk is {facts.room.percent:.0f} % full; {_LOSES}",
            Cure((("apt-get", "clean"), *_RESTART.commands)),
        )
    # A shard that could not be opened while the disk was full returns errors until influxd restarts.
    return act(f"{text}, though its disk has room: it does not recover from a full disk by itself; {_LOSES}", _RESTART)


# --- rejected and dropped points ------------------------------------------------------------------------


class Losses(NamedTuple):
    """The losses of the last hour.

    Args:
        rejected: rejected values by (reason, device).
        dropped: points that Telegraf dropped, by host.
        refused: points that InfluxDB rejected permanently, or that a damaged disk lost, by host and cause.
    """

    rejected: Mapping[tuple[str, str], int]
    dropped: Mapping[str, int]
    refused: Mapping[str, Mapping[str, int]]


_HOUR = "time > now() - 1h"


def _increase(measurement: str, fields: Sequence[str]) -> str:
    inner = ", ".join(f'non_negative_difference("{field}") AS "{field}"' for field in fields)
    outer = ", ".join(f'sum("{field}")' for field in fields)
    return f'SELECT {outer} FROM (SELECT {inner} FROM "{measurement}" WHERE {_HOUR} GROUP BY *) GROUP BY "host"'  # noqa: S608


def _read_losses(patient: Patient) -> Losses:
    patient.on_the_hub()
    with patient.client(READ_TOKEN) as client:
        rejected, dropped, refused = client.query_all(
            [
                f'SELECT sum("count") FROM "telemetry_rejected" WHERE {_HOUR} GROUP BY "reason", "device"',  # noqa: S608
                _increase("internal_write", ("metrics_dropped", "metrics_rejected")),
                _increase("outbox", tuple(_CAUSES)),
            ],
            patient.site.bucket,
        )
    return Losses(
        {(each.tags.get("reason", ""), each.tags.get("device", "")): _sum(each) for each in rejected},
        {each.tags.get("host", ""): _sum(each) for each in dropped},
        {each.tags.get("host", ""): _causes(each) for each in refused},
    )


#: Fields of the outbox -> their cause for people.
_CAUSES = {
    "refused_type": "with a field of another type than before",
    "refused_retention": "older than the bucket keeps",
    "refused_syntax": "that are not valid line protocol",
    "refused_device": "that name another device",
    "damaged_points": "in damaged files",
    "refused_points": "for other reasons",
}


def _causes(series: Series) -> dict[str, int]:
    """The number of lost points by cause; the last cause is the remainder."""
    counts = {
        words: int(float(value)) if isinstance(value, int | float) else 0
        for words, value in zip(_CAUSES.values(), series.rows[0][1:], strict=True)
    }
    *named, _, other = counts
    counts[other] -= sum(counts[each] for each in named)
    return {words: count for words, count in counts.items() if count > 0}


def _sum(series: Series) -> int:
    return int(sum(float(value) for value in series.rows[0][1:] if isinstance(value, int | float)))


#: Reason of a rejection -> remedy.
_REASONS = {
    "clock_behind": "set the clock of that device",
    "clock_ahead": "set the clock of that device",
    "unknown_device": "add it to collectors_settings: telemetry: devices, or switch it off",
    "wrong_type": "make the device send a number where it has sent one before",
    "out_of_range": "check the sensor, or its calibration (docs/how-to/calibration.md)",
    "stuck": "check the sensor: its value does not change any more",
}


def judge_losses(facts: Losses) -> list[Finding]:
    """Whether points were lost, and why."""
    found = []
    for host, count in facts.dropped.items():
        if policy.NEVER.level(count) != policy.GOOD:
            journal = run("journalctl", "--since=-1h", "-u", "telegraf")
            found.append(Finding(policy.ACT, f"Telegraf dropped {count:,} points of {host or 'this machine'}", journal))
    for host, causes in facts.refused.items():
        if causes:
            why = ", ".join(f"{count:,} {words}" for words, count in causes.items())
            text = f"the outbox of {host or 'this machine'} lost points: {why}"
            found.append(Finding(policy.ACT, text, run("tail", "-n5", "/var/lib/sensetig-outbox/refused.jsonl")))
    for (reason, device), count in sorted(facts.rejected.items(), key=lambda each: -each[1]):
        level = policy.SELDOM.level(count)
        if level != policy.GOOD:
            text = f"{count:,} values{f' of {device}' if device else ''} were rejected: {reason.replace('_', ' ')}"
            found.append(Finding(level, text, hand(_REASONS.get(reason, "the dashboard Pipeline shows them"))))
    return found[:10] or good("none was dropped or refused")


# --- tasks ----------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """A task that the bundle defines, in its state in InfluxDB.

    Args:
        status: active or inactive; empty if it is missing.
        error: the error of its last run; or empty.
    """

    name: str
    status: str
    error: str = ""


def _read_tasks(patient: Patient) -> list[Task]:
    patient.on_the_hub()
    with patient.client() as client:
        query = urlencode({"org": patient.site.organisation, "limit": 500})
        document = json.loads(client.request("GET", f"/api/v2/tasks?{query}", "list its tasks").data)
    there = {each.get("name"): each for each in document.get("tasks", ())}
    found = []
    for each in read_definitions(bundle.root() / "influxdb").tasks:
        stored = there.get(each.name, {})
        failed = stored.get("lastRunStatus") == "failed"
        error = str(stored.get("lastRunError") or "it gives no reason") if failed else ""
        found.append(Task(each.name, str(stored.get("status", "")), error))
    return found


def judge_tasks(facts: Sequence[Task]) -> list[Finding]:
    """Whether the tasks run."""
    found = []
    for each in facts:
        if not each.status:
            found.append(Finding(policy.ACT, f"the task {each.name} is missing", _SETUP))
        elif each.status != "active":
            found.append(Finding(policy.ACT, f"the task {each.name} is stopped", _SETUP))
        elif each.error:
            reason = " ".join(each.error.split())[:160]
            cure = hand("it is repeated with its next run; docs/explanation/retention.md describes it")
            found.append(Finding(policy.LOOK, f"the last run of the task {each.name} failed: {reason}", cure))
    return found or good(", ".join(each.name for each in facts) + " runs")


HEALTH = Check("influxdb", "InfluxDB", _read_health, judge_health, ("site",))
OPERATOR = Check("operator-token", "Operator token", _read_operator, judge_operator, ("influxdb",))
READ = Check("read-token", "Read token", _read_read_token, judge_tokens, ("operator-token",))
WRITE = Check("write-tokens", "Write tokens", _read_write_tokens, judge_tokens, ("operator-token",))
BUCKETS = Check("buckets", "Buckets", _read_buckets, judge_buckets, ("operator-token",))
FRESH = Check("fresh", "Fresh points", _read_fresh, judge_fresh, ("clock", "read-token", "buckets"))
WRITES = Check("writes", "Stored writes", _read_writes, judge_writes, ("clock", "read-token", "buckets"))
LOSSES = Check("losses", "Lost points", _read_losses, judge_losses, ("clock", "read-token", "buckets"))
TASKS = Check("tasks", "Tasks", _read_tasks, judge_tasks, ("operator-token",))
