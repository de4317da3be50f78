"""Checks of the path to InfluxDB: the write path as Telegraf uses it, certificates, and the outbox."""

from __future__ import annotations

import os
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from collectors.outbox import DAMAGED, read_state, read_totals, scan
from sensetig import policy
from sensetig.doctor.findings import (
    INSTALL,
    CannotCheck,
    Check,
    Finding,
    NotHere,
    act,
    good,
    hand,
    run,
)
from sensetig.doctor.patient import PATIENCE_SECONDS, Patient
from sensetig.errors import (
    BucketMissing,
    CertificateNotTrusted,
    InfluxDBError,
    NotAnswering,
    NotInfluxDB,
    TokenRefused,
)
from sensetig.influxdb.client import Client
from sensetig.influxdb.names import device_file
from sensetig.report.numbers import duration
from sensetig.site import read_token, tls_context

_CREDENTIAL = "etc/sensetig/credentials/telegraf_token"
_IDENTITY = ("etc/sensetig/tls/device.crt", "etc/sensetig/tls/device.key")

# --- the write path -------------------------------------------------------------------------------------


class WritePath(NamedTuple):
    """A write without a point, with Telegraf's token and this machine's certificate.

    Args:
        url: of InfluxDB, or of the hub's proxy.
        bucket: the target bucket.
        error: the failure; None if it was accepted.
        edge: whether the database is on another machine.
    """

    url: str
    bucket: str
    error: InfluxDBError | None
    edge: bool


def _read_write_path(patient: Patient) -> WritePath:
    site = patient.site
    identity = tuple(patient.top / each for each in _IDENTITY)
    certificate = (identity[0], identity[1]) if patient.is_edge and os.path.exists(identity[0]) else None
    query = urlencode({"org": site.organisation, "bucket": site.bucket, "precision": "ns"})
    with Client(
        site.influxdb_url,
        _telegrafs_token(patient),
        origin="Telegraf's token",
        ca_file=site.ca_file,
        identity=certificate,
        timeout_seconds=PATIENCE_SECONDS,
    ) as client:
        try:
            # InfluxDB checks token and bucket of an empty write as of any other, and stores nothing.
            client.request("POST", f"/api/v2/write?{query}", f"write to the bucket {site.bucket!r}", body=b"")
        except InfluxDBError as error:
            return WritePath(client.url, site.bucket, error, patient.is_edge)
    return WritePath(site.influxdb_url, site.bucket, None, patient.is_edge)


def _telegrafs_token(patient: Patient) -> str:
    """Telegraf's token for writing, which never leaves this process. Raises CannotCheck and SiteError."""
    encrypted = patient.top / _CREDENTIAL
    for folder in (encrypted.parent, patient.site.tokens):
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            raise CannotCheck(f"only root may read {folder}; use sudo sensetig doctor")
    if encrypted.exists():
        answer = patient.run(("systemd-creds", "decrypt", "--name=telegraf_token", str(encrypted), "-"))
        if answer.status == 0 and answer.output.strip():
            return answer.output.strip()
        raise CannotCheck("only root can decrypt Telegraf's token; use sudo sensetig doctor")
    for name in (device_file(patient.host), "telegraf.token"):
        path = patient.site.tokens / name
        if not patient.is_edge and path.exists():
            return read_token(path)
    if not patient.has_unit("telegraf.service"):
        raise NotHere
    raise CannotCheck("Telegraf's token is not on this machine")


def judge_write_path(facts: WritePath) -> list[Finding]:
    """Whether Telegraf can write."""
    error = facts.error
    if error is None:
        return good(f"{facts.url} accepts Telegraf's token for the bucket {facts.bucket}")
    text = str(error).partition("; ")[0]
    on_the_hub = " on the hub" if facts.edge else ""
    if isinstance(error, BucketMissing):
        setup = hand("run sudo sensetig setup on the hub") if facts.edge else run("sensetig", "setup")
        return act(f"the bucket {facts.bucket} is missing, or Telegraf's token is not for it", setup)
    if isinstance(error, TokenRefused):
        return act(f"{facts.url} refuses this machine: its token or its certificate is not valid there", INSTALL)
    if isinstance(error, CertificateNotTrusted):
        return act(text, INSTALL)
    if isinstance(error, NotInfluxDB):
        return act(text, hand("correct the hub's address in the inventory (common_hub_address), and run it again"))
    if isinstance(error, NotAnswering):
        cure = (
            hand(f"switch the hub on, and check the network with: ping {urlsplit(facts.url).hostname}")
            if facts.edge
            else run("systemctl", "restart", "influxdb.service")
        )
        return act(text, cure)
    return act(text, hand(f"run sudo sensetig doctor{on_the_hub}" if facts.edge else "see Stored writes below"))


# --- certificates ---------------------------------------------------------------------------------------


class Certificate(NamedTuple):
    """A certificate.

    Args:
        name: for messages.
        days: days until its expiry.
        here: whether this machine renews it.
    """

    name: str
    days: float
    here: bool


def _read_certificates(patient: Patient) -> list[Certificate]:
    found = []
    parts = urlsplit(patient.site.influxdb_url if patient.is_edge else patient.site.grafana_url)
    if parts.scheme == "https" and parts.hostname:
        ends = _served_until(parts.hostname, parts.port or 443, patient.site.ca_file)
        found.append(Certificate(f"that {parts.hostname} shows", (ends - patient.now()) / 86400, not patient.is_edge))
    own = patient.top / _IDENTITY[0]
    if os.path.exists(own):
        answer = patient.run(("openssl", "x509", "-enddate", "-noout", "-in", str(own)))
        name, _, value = answer.output.strip().partition("=")
        if answer.status == 0 and name == "notAfter":
            days = (ssl.cert_time_to_seconds(value) - patient.now()) / 86400
            found.append(Certificate("of this machine", days, not patient.is_edge))
    if not found:
        raise NotHere
    return found


def _served_until(host: str, port: int, ca_file: Path | None) -> float:
    """The expiry of the certificate that a server presents, seconds since 1970. Raises CannotCheck."""
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE_SECONDS) as plain,
            tls_context(ca_file).wrap_socket(plain, server_hostname=host) as secure,
        ):
            shown = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise CannotCheck(f"the certificate of {host} is not trusted: {error.verify_message}") from None
    except OSError as error:
        raise CannotCheck(f"{host} port {port} does not answer: {error.strerror or error}") from None
    return float(ssl.cert_time_to_seconds(str(shown.get("notAfter"))))


def judge_certificates(facts: list[Certificate]) -> list[Finding]:
    """How long the certificates are still valid."""
    found = []
    for each in facts:
        level = policy.CERTIFICATE_DAYS.level(each.days)
        if level == policy.GOOD:
            continue
        text = f"the certificate {each.name} " + (
            f"ended {-each.days:.0f} days ago" if each.days < 0 else f"ends in {each.days:.0f} days"
        )
        renew = run("systemctl", "start", "sensetig-certificate.service")
        found.append(Finding(level, text, renew if each.here else hand("run the playbook for this machine on the hub")))
    return found or good(", ".join(f"{each.name}: {each.days:.0f} days left" for each in facts))


# --- the outbox -----------------------------------------------------------------------------------------


class Queue(NamedTuple):
    """The queue between Telegraf and InfluxDB, or the queue of a hub for points from other machines.

    Args:
        service: the service that owns it.
        points: waiting points.
        size_bytes: their size.
        oldest_seconds: age of the oldest.
        totals: of :data:`collectors.outbox.TOTALS`; None if its state is damaged.
        damaged_files: number of quarantined files.
        reason: why points wait: the last error of InfluxDB; or empty.
    """

    service: str
    points: int
    size_bytes: int
    oldest_seconds: float
    totals: dict[str, int] | None
    damaged_files: int
    reason: str = ""


def _read_queue(patient: Patient, service: str) -> Queue:
    folder = patient.top / "var/lib" / service
    try:
        waiting = scan(str(folder))
        totals = read_totals(str(folder))
        reason = str((read_state(str(folder)) or {}).get("reason", ""))
        damaged = len(os.listdir(folder / DAMAGED)) if (folder / DAMAGED).is_dir() else 0
    except FileNotFoundError:
        raise NotHere from None
    except PermissionError:
        raise CannotCheck(f"only root may read /var/lib/{service}; use sudo sensetig doctor") from None
    oldest = min((each.time_ns for each in waiting), default=None)
    age = 0.0 if oldest is None else max(0.0, patient.now() - oldest / 1e9)
    return Queue(
        service,
        sum(each.points for each in waiting),
        sum(each.size for each in waiting),
        age,
        totals,
        damaged,
        reason,
    )


def judge_queue(facts: Queue) -> list[Finding]:
    """Whether points wait too long, or were lost."""
    found = []
    if facts.totals is None:
        restart = run("systemctl", "restart", f"{facts.service}.service")
        found.append(Finding(policy.LOOK, "its state file is damaged, so its totals start again at 0", restart))
    if facts.damaged_files or (facts.totals or {}).get("damaged_points"):
        lost = (facts.totals or {}).get("damaged_points", 0)
        text = f"{lost:,} points were lost in damaged files; {facts.damaged_files} of these are kept"
        kept = hand(
            f"check the card and the power above; remove /var/lib/{facts.service}/{DAMAGED} when you have seen it"
        )
        found.append(Finding(policy.LOOK, text, kept))
    level = policy.WAITING_SECONDS.level(facts.oldest_seconds) if facts.points else policy.GOOD
    if level != policy.GOOD:
        text = f"{facts.points:,} points wait ({facts.size_bytes / 1e6:.1f} MB), the oldest for " + duration(
            round(facts.oldest_seconds)
        )
        text += f": {' '.join(facts.reason.split())[:200]}" if facts.reason else ""
        journal = run("journalctl", "-n20", "-u", facts.service)
        found.append(Finding(level, text, journal))
    if found:
        return found
    return good(f"{facts.points:,} points wait" if facts.points else "no point waits")


WRITE_PATH = Check("write-path", "Write path", _read_write_path, judge_write_path, ("site",))
CERTIFICATES = Check("certificates", "Certificates", _read_certificates, judge_certificates, ("site", "clock"))
OUTBOX = Check("outbox", "Outbox", partial(_read_queue, service="sensetig-outbox"), judge_queue, ("clock",))
RECEIVER = Check("receiver", "Receiver", partial(_read_queue, service="sensetig-receiver"), judge_queue, ("clock",))
