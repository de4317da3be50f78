"""Bring an InfluxDB to its definitions: create missing parts, change different ones, leave the rest."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from collectors.core.files import read_token
from sensetig.errors import SetupError
from sensetig.influxdb.credentials import Credentials
from sensetig.influxdb.definitions import DAY_SECONDS, Bucket, Definitions, Mapping, Task, read
from sensetig.influxdb.names import (
    DESCRIPTIONS,
    DEVICE,
    GRAFANA,
    OPERATOR,
    PASSWORD,
    TELEGRAF,
    device_description,
    device_file,
    next_description,
    next_file,
)
from sensetig.influxdb.server import Server

#: Seconds allowed for a starting InfluxDB to respond.
WAIT_SECONDS = 30.0


class Tokens(NamedTuple):
    """The secrets. They are not shown when the tuple is printed."""

    operator: str
    telegraf: str
    grafana: str

    def __repr__(self) -> str:
        return "Tokens(operator=…, telegraf=…, grafana=…)"


class Outcome(NamedTuple):
    """The state of an InfluxDB after setup.

    Args:
        organisation: the organisation's name.
        changes: a sentence for each change; empty if nothing had to change.
        tokens: operator (everything), Telegraf (writes ``raw``), Grafana (reads every bucket).
        folder: the folder of the tokens: ``operator.token``, ``telegraf.token``, ``grafana.token``.
    """

    organisation: str
    changes: tuple[str, ...]
    tokens: Tokens
    folder: Path


def setup(
    url: str,
    *,
    organisation: str,
    user: str,
    tokens: Path,
    definitions: Path,
    say: Callable[[str], None],
    operator_token_file: Path | None = None,
    wait_seconds: float = WAIT_SECONDS,
    devices: Sequence[str] = (),
    ca_file: Path | None = None,
) -> Outcome:
    """Set up InfluxDB, or restore its defined state. A second run changes nothing.

    Args:
        url: the address of InfluxDB.
        organisation: created if missing.
        user: name of the first user, if InfluxDB is new.
        tokens: the folder of the secrets.
        definitions: the folder of ``buckets.toml``, ``mappings.toml`` and ``tasks``.
        say: called with each change, and while InfluxDB does not answer yet.
        operator_token_file: the operator token of an InfluxDB that was set up elsewhere.
        wait_seconds: how long InfluxDB may take to answer.
        devices: names of devices that each get a token, which permits only writes to the first bucket; it is stored in
            ``device-<name>.token``.
        ca_file: certificates to trust in addition to the system's.

    Raises:
        SetupError, SiteError, InfluxDBError: one sentence with the problem and the remedy.
    """
    wanted = read(definitions)
    for device in devices:
        if not DEVICE.fullmatch(device):
            raise SetupError(
                f"{device!r} cannot be a device's name: expected 1 to 64 letters, digits, '.', '_' or '-', "
                "beginning with a letter or a digit"
            )
    given = _given(operator_token_file)
    changes: list[str] = []

    def changed(sentence: str) -> None:
        changes.append(sentence)
        say(sentence)

    with Credentials(tokens) as credentials, Server(url, wait_seconds=wait_seconds, say=say, ca_file=ca_file) as server:
        operator, new = _operator(server, credentials, given, organisation, user, wanted.buckets[0], changed)
        server.sign_in(operator)
        if server.enter(organisation):
            changed(f"organisation {organisation} made")
        buckets = {
            bucket.name: _bucket(server, bucket, changed, new=new and bucket == wanted.buckets[0])
            for bucket in wanted.buckets
        }
        _others(server, wanted, buckets, changed)
        written = wanted.buckets[0].name
        writes = frozenset({("write", buckets[written])})
        reads = frozenset(("read", each) for each in buckets.values())
        telegraf = _token(server, credentials, TELEGRAF, DESCRIPTIONS[TELEGRAF], writes, changed)
        grafana = _token(server, credentials, GRAFANA, DESCRIPTIONS[GRAFANA], reads, changed)
        for device in devices:
            _token(server, credentials, device_file(device), _described(server, credentials, device), writes, changed)
        for name in credentials.tightened:
            changed(f"{name} was readable by others, and no longer is; replace it if others may have read it")
    return Outcome(organisation, tuple(changes), Tokens(operator, telegraf, grafana), tokens)


def _given(file: Path | None) -> str | None:
    if file is None:
        return None
    return read_token(file, "the file of InfluxDB's operator token", error=SetupError)


def _operator(
    server: Server,
    credentials: Credentials,
    given: str | None,
    organisation: str,
    user: str,
    first: Bucket,
    changed: Callable[[str], None],
) -> tuple[str, bool]:
    """The operator token, and whether InfluxDB was new."""
    kept = credentials.read(OPERATOR)
    if server.is_new():
        # InfluxDB accepts a given token. It is saved first: if this process ends in between, the next one finds the
        # saved token, and an InfluxDB that is new or accepts it.
        token = given or kept or secrets.token_urlsafe(48)
        password = credentials.read(PASSWORD) or secrets.token_urlsafe(32)
        credentials.write(OPERATOR, token)
        credentials.write(PASSWORD, password)
        server.onboard(organisation, user, password, token, first)
        changed(f"user {user} and organisation {organisation} made; password in {credentials.path(PASSWORD)}")
        return token, True
    candidate = given or kept
    if candidate is None:
        raise SetupError(
            f"InfluxDB at {server.url} has been set up before, and {credentials.path(OPERATOR)} is not there; "
            "hand its operator token in with --operator-token-file, or name the folder of that setup with --tokens"
        )
    if not server.accepts(candidate):
        where = "in the file that was handed in" if given else f"in {credentials.path(OPERATOR)}"
        raise SetupError(
            f"InfluxDB at {server.url} does not accept the operator token {where}: it is another InfluxDB's, or was "
            "revoked; hand the right one in with --operator-token-file"
        )
    if candidate != kept:
        credentials.write(OPERATOR, candidate)
        changed(f"operator token saved in {credentials.path(OPERATOR)}")
    return candidate, False


def _bucket(server: Server, wanted: Bucket, changed: Callable[[str], None], *, new: bool) -> str:
    """Create or change a bucket; return its id. *new* means that onboarding created it in this run."""
    stored = server.bucket(wanted.name)
    if stored is None:
        bucket_id = server.create_bucket(wanted)
        changed(f"bucket {wanted.name} made: keeps {_days(wanted.retention_seconds)}")
        return bucket_id
    differences = []
    if stored.definition.retention_seconds != wanted.retention_seconds:
        before, after = _days(stored.definition.retention_seconds), _days(wanted.retention_seconds)
        differences.append(f"keeps {after} instead of {before}")
    if wanted.shard_group_seconds not in (0, stored.definition.shard_group_seconds):
        differences.append(f"a shard holds {_days(wanted.shard_group_seconds)}")
    if stored.definition.description != wanted.description:
        differences.append(f"is described as {wanted.description!r}")
    if differences:
        server.change_bucket(stored.id, wanted)
    if new:
        changed(f"bucket {wanted.name} made: keeps {_days(wanted.retention_seconds)}")
    elif differences:
        changed(f"bucket {wanted.name} changed: {', '.join(differences)}")
    return stored.id


def _others(server: Server, wanted: Definitions, buckets: dict[str, str], changed: Callable[[str], None]) -> None:
    for mapping in wanted.mappings:
        _mapping(server, mapping, buckets[mapping.bucket], changed)
    for task in wanted.tasks:
        _task(server, task, changed)


def _mapping(server: Server, wanted: Mapping, bucket_id: str, changed: Callable[[str], None]) -> None:
    name = f"{wanted.database}.{wanted.retention_policy}"
    stored = server.mappings(wanted.database, wanted.retention_policy)
    if any((each.bucket_id, each.default) == (bucket_id, wanted.default) for each in stored):
        return
    for each in stored:
        server.delete_mapping(each.id)
    server.create_mapping(wanted, bucket_id)
    changed(f"InfluxQL reads the bucket {wanted.bucket} as {name}")


def _task(server: Server, wanted: Task, changed: Callable[[str], None]) -> None:
    stored = server.tasks(wanted.name)
    if not stored:
        server.create_task(wanted)
        changed(f"task {wanted.name} made")
        return
    first, *surplus = stored
    if first.flux != wanted.flux or not first.active:
        server.change_task(first.id, wanted)
        changed(f"task {wanted.name} {'changed' if first.flux != wanted.flux else 'runs again'}")
    for each in surplus:
        server.delete_task(each.id)
        changed(f"task {wanted.name} was there more than once; the surplus is deleted")


def _token(
    server: Server,
    credentials: Credentials,
    name: str,
    description: str,
    permissions: frozenset[tuple[str, str]],
    changed: Callable[[str], None],
) -> str:
    """The scoped token in that file; replaced if the file, the token or its permissions are wrong."""
    kept = credentials.read(name)
    stored = server.tokens(description)
    intact = len(stored) == 1 and stored[0].active and stored[0].permissions == permissions
    if kept and intact and server.accepts(kept):
        return kept
    credentials.room()  # before the token is created, because InfluxDB shows a secret only once
    for each in stored:
        server.delete_token(each.id)
    token_id, secret = server.create_token(description, permissions)
    try:
        credentials.write(name, secret)
    except SetupError:
        server.delete_token(token_id)
        raise
    again = "; the one before is revoked, so restart what uses it" if stored or kept else ""
    changed(f"{name} made{again}")
    return secret


def _described(server: Server, credentials: Credentials, device: str) -> str:
    """The description of the device's token, which is the other one after a rotation interrupted near its end."""
    kept = credentials.read(device_file(device))
    rotated = kept is not None and kept == credentials.read(next_file(device))
    return (
        next_description(device) if rotated and server.tokens(next_description(device)) else device_description(device)
    )


def _days(seconds: int) -> str:
    if seconds == 0:
        return "everything"
    return f"{seconds // DAY_SECONDS} days" if seconds % DAY_SECONDS == 0 else f"{seconds / 3600:g} hours"
