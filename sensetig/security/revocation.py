"""Revocation of a lost or stolen device: its credentials become invalid, and the playbook issues no new ones."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from collectors.core.files import AtomicFile, write_atomic
from sensetig.errors import SecurityError
from sensetig.influxdb.credentials import Credentials
from sensetig.influxdb.server import Server
from sensetig.security import enrolment, tokens
from sensetig.security.hub import Hub

_SECONDS = 30

#: The folder that sd_booted(3) checks: it exists if systemd runs the machine.
SYSTEMD = "/run/systemd/system"


def reload_broker() -> None:
    """Make the hub's broker reload its users. Raises SecurityError."""
    _reload("reload-or-restart", "mosquitto.service", "reload its users")


def reload_proxy() -> None:
    """Make the hub's proxy, if it runs, reload the revocation list. Raises SecurityError."""
    _reload("try-reload-or-restart", "sensetig-proxy.service", "read the list of revoked certificates")


def _reload(verb: str, unit: str, purpose: str) -> None:
    """Reload a unit. A container has no systemd: there the operator restarts the other containers."""
    if not os.path.isdir(SYSTEMD):
        return
    done = subprocess.run(["systemctl", verb, unit], capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise SecurityError(f"{unit} could not {purpose} ({done.stderr.strip()[:200]}): systemctl restart {unit}")


def revoke(
    hub: Hub,
    server: Server,
    credentials: Credentials,
    device: str,
    now: datetime,
    reload: Callable[[], None] = reload_broker,
    reload_list: Callable[[], None] = reload_proxy,
) -> list[str]:
    """Revoke all credentials of a device; return the newly revoked ones, in words.

    The revocation is recorded first: after an interruption, the playbook no longer trusts the device, and the next run
    revokes the rest.

    Raises:
        SetupError, SecurityError: a credential could not be revoked; those before it are.
    """
    enrolment.check_name(device)
    done = ["its place among the trusted devices"] if _mark(hub.revoked, device, now) else []
    if tokens.revoke(server, credentials, device):
        done.append("its InfluxDB token")
    if _mqtt(hub, credentials, device, reload):
        done.append("its MQTT password")
    if _certificate(hub, device, now, reload_list):
        done.append("its certificate")
    if enrolment.forget(hub, device):
        done.append("its enrolment")
    return done


def take_back(hub: Hub, device: str) -> bool:
    """Let the playbook trust a device again; False if it was not revoked."""
    enrolment.check_name(device)
    try:
        (hub.revoked / device).unlink()
    except FileNotFoundError:
        return False
    return True


def _mark(folder: Path, device: str, now: datetime) -> bool:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        write_atomic(folder / device, f"{now:%Y-%m-%dT%H:%M:%SZ}\n", 0o666, overwrite=False)
    except FileExistsError:
        return False
    return True


def _mqtt(hub: Hub, credentials: Credentials, device: str, reload: Callable[[], None]) -> bool:
    """Revoke the device's users at the broker; return whether it had any.

    The broker disconnects their clients when it reloads the file.
    """
    programs = hub.programs(device)
    names = [device]
    if programs.exists():
        names += re.findall(r"^user (.+)$", programs.read_text(encoding="utf-8"), re.MULTILINE)
    users = credentials.path("mqtt-users")
    if users.exists() and (listed := users.read_text(encoding="utf-8")) != _without(listed, names):
        credentials.write("mqtt-users", _without(listed, names))
    known = False
    if hub.passwords.exists():
        present = hub.passwords.read_text(encoding="utf-8")
        known = _without(present, names) != present
        if known:
            status = hub.passwords.stat()
            with AtomicFile(hub.passwords, None) as file:
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
                file.write(_without(present, names).encode())
        reload()  # even if the file was correct: an earlier run may have ended before the reload
    removed = [credentials.remove(f"mqtt-{name}.password") for name in names]
    # Last, because it contains the names: the next run completes an interrupted one.
    programs.unlink(missing_ok=True)
    return any(removed) or known


def _without(users: str, names: Iterable[str]) -> str:
    listed = "|".join(map(re.escape, names))
    return re.sub(rf"^(?:{listed}):.*\n?", "", users, flags=re.MULTILINE)


def _certificate(hub: Hub, device: str, now: datetime, reload: Callable[[], None]) -> bool:
    """Add the device's certificates to the revocation list, and make the proxy reload it."""
    issued = sorted((hub.authority / "issued" / device).glob("*.crt"))
    if not issued:
        return False
    from sensetig.security import certificates

    listed = certificates.revoke(hub.authority, issued, now)
    text = (hub.authority / "revoked.crl").read_bytes()
    if not hub.revoked_list.exists() or hub.revoked_list.read_bytes() != text:
        hub.tls.mkdir(parents=True, exist_ok=True)
        write_atomic(hub.revoked_list, text, 0o644)
    reload()  # even if the list was correct: an earlier run may have ended before the reload
    return listed
