"""Enrolment of a new Pi: a ticket that can be used once, a request, and its processing on the hub.

The ticket is in a file that the Pi reads at its first boot; the hub stores only its hash. The request discloses no
secret: it contains the Pi's address, and the public keys that identify the Pi to the hub from then on. Secrets reach
the Pi as they reach every other machine: from the playbook over ssh.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import re
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from collectors.core.files import AtomicFile, write_atomic
from sensetig.errors import SecurityError
from sensetig.security.hub import Hub

#: A device's name is part of file names, host names and topics.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

_HOST_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]{40,1000}={0,2}")

#: Maximum length of a request in bytes.
MAX_REQUEST_BYTES = 8192

_MAX_KEYS = 4

#: A valid name of a network interface in Linux.
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


class Request(NamedTuple):
    """The request of a Pi; its token is not shown when it is printed."""

    device: str
    token: str
    host_keys: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Request(device={self.device!r}, token=…)"


class Refused(Exception):
    """The request is rejected; the reason is sent only to a client with the right token."""


def check_name(device: str) -> None:
    """Raise SecurityError for an invalid device name."""
    if not NAME.fullmatch(device):
        raise SecurityError(
            f"{device!r} cannot be a device's name: expected 1 to 63 letters, digits, '.', '_' or '-', beginning with "
            "a letter or a digit"
        )


def check_address(text: str, *, scope: bool = True) -> str:
    """Normalize an IP address. Raises ValueError for anything else.

    Python accepts any text as the scope of an IPv6 address. Here it must be the name of an interface; without *scope*,
    it is rejected.
    """
    address = ipaddress.ip_address(text)
    zone = getattr(address, "scope_id", None)
    if zone is not None and not (scope and _ZONE.fullmatch(zone)):
        raise ValueError(f"{text[:80]!r} is not an IP address")
    return str(address)


def ticket(device: str, token: str, expires: int) -> str:
    """The hub's record of a ticket."""
    return json.dumps({"device": device, "sha256": _digest(token), "expires": expires}) + "\n"


def parse(body: bytes) -> Request:
    """Parse a request. Raises Refused."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("the request is not valid JSON") from None
    if not isinstance(data, dict) or set(data) != {"device", "token", "host_keys"}:
        raise Refused("expected device, token and host_keys")
    device, token, keys = data["device"], data["token"], data["host_keys"]
    if not isinstance(device, str) or not NAME.fullmatch(device):
        raise Refused("the device's name is invalid")
    if not isinstance(token, str) or not re.fullmatch(r"[A-Za-z0-9_-]{43}", token):
        raise Refused("the token has the wrong form")
    if not isinstance(keys, list) or not 0 < len(keys) <= _MAX_KEYS:
        raise Refused(f"expected 1 to {_MAX_KEYS} host keys")
    if not all(isinstance(each, str) and _HOST_KEY.fullmatch(each) for each in keys):
        raise Refused("a host key has the wrong form")
    return Request(device, token, tuple(keys))


def verify(stored: str | None, request: Request, now: float) -> None:
    """Verify a request against the stored ticket. Raises Refused.

    A client without the token learns nothing: neither whether the device exists, nor whether its ticket has expired.
    """
    data: dict[str, Any] = json.loads(stored) if stored else {"sha256": "", "expires": 0, "device": request.device}
    if not hmac.compare_digest(data["sha256"], _digest(request.token)) or data["device"] != request.device:
        raise Refused("this token is not known here, or was used before")
    if now >= data["expires"]:
        raise Refused("this token has expired; make a new first-boot file on the hub")


def accept(pending: Path, accepted: Path, request: Request, address: str, now: float) -> None:
    """Accept only the first request for a ticket. Raises Refused, OSError."""
    verify(_text(pending / f"{request.device}.json"), request, now)
    record = json.dumps({**request._asdict(), "address": check_address(address)})
    try:
        write_atomic(accepted / f"{request.device}.json", record, overwrite=False)
    except FileExistsError:
        before = json.loads((accepted / f"{request.device}.json").read_text(encoding="utf-8"))
        if tuple(before["host_keys"]) != request.host_keys:
            raise Refused("this token is not known here, or was used before") from None


def create(hub: Hub, device: str, now: float, valid_seconds: float) -> str:
    """Create a ticket, and return its token; a previous ticket of the device becomes invalid. Raises SecurityError."""
    check_name(device)
    if (hub.revoked / device).exists():
        raise SecurityError(f"{device} has been revoked; if it is in good hands again: sensetig revoke --back {device}")
    token = secrets.token_urlsafe(32)
    try:
        group = hub.pending.stat().st_gid
        with AtomicFile(hub.pending / f"{device}.json") as file:
            os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), 0o640)
            file.write(ticket(device, token, int(now + valid_seconds)).encode())
    except FileNotFoundError:
        raise SecurityError(
            f"{hub.pending} is not there: set enrolment_enabled for the hub, and run the playbook"
        ) from None
    except OSError as error:
        raise SecurityError(f"the ticket cannot be kept in {hub.pending}: {error.strerror}") from None
    return token


def admit(hub: Hub, now: float) -> tuple[list[str], list[str]]:
    """Add accepted devices to the hub's inventory; return the devices, and a sentence for each rejection.

    Requests that the service has accepted are checked again: the service may write there, but is not trusted.
    """
    taken, refused = [], []
    for path in sorted(hub.accepted.glob("*.json")):
        try:
            device = _admitted(hub, path, now)
            taken.append(device)
        except (Refused, ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
            refused.append(f"{path.name} is refused: {error}")
        path.unlink(missing_ok=True)
    for left in hub.accepted.glob(".*"):  # from an interrupted request; the Pi retries
        left.unlink(missing_ok=True)
    return taken, refused


def _admitted(hub: Hub, path: Path, now: float) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        data = json.loads(file.read(2 * MAX_REQUEST_BYTES))
    address = check_address(data.pop("address"))
    request = parse(json.dumps(data).encode())
    if (hub.revoked / request.device).exists():
        raise Refused(f"{request.device} has been revoked")
    pending = hub.pending / f"{request.device}.json"
    verify(_text(pending), request, now)
    known = enrolled(hub)
    known[request.device] = {"address": address, "host_keys": list(request.host_keys), "installed": False}
    _keep(hub, known)
    pending.unlink()
    return request.device


def enrolled(hub: Hub) -> dict[str, dict[str, Any]]:
    """The enrolled devices: address, host keys, and whether the playbook has installed them."""
    text = _text(hub.inventory / "enrolled.json")
    known: dict[str, dict[str, Any]] = json.loads(text) if text else {}
    return known


def installed(hub: Hub, device: str) -> None:
    """Record that the playbook has installed a device."""
    known = enrolled(hub)
    known[device]["installed"] = True
    _keep(hub, known)


def forget(hub: Hub, device: str) -> bool:
    """Remove a device's ticket and its inventory entry; return whether it had either."""
    files = (hub.pending / f"{device}.json", hub.accepted / f"{device}.json")
    found = [path for path in files if path.exists()]
    for path in found:
        path.unlink()
    known = enrolled(hub)
    if known.pop(device, None) is not None:
        _keep(hub, known)
        return True
    return bool(found)


def _keep(hub: Hub, known: dict[str, dict[str, Any]]) -> None:
    """Write the enrolled devices, and the inventory and known hosts derived from them."""
    arguments = f"-o UserKnownHostsFile={hub.inventory}/known_hosts -o StrictHostKeyChecking=yes -o HostKeyAlias="
    hosts = {
        device: {
            "ansible_host": _unsafe(each["address"]),
            "ansible_user": "sensetig",
            "ansible_ssh_private_key_file": str(hub.inventory / "key"),
            "ansible_ssh_common_args": _unsafe(f"{arguments}{device}"),
        }
        for device, each in sorted(known.items())
    }
    keys = "".join(f"{device} {key}\n" for device, each in sorted(known.items()) for key in each["host_keys"])
    inventory = json.dumps({"edge": {"hosts": hosts}}, indent=1)
    for name, text in (
        ("enrolled.json", json.dumps(known, indent=1)),
        ("known_hosts", keys),
        ("inventory/edge.json", inventory),
    ):
        write_atomic(hub.inventory / name, text)


def _unsafe(text: str) -> dict[str, str]:
    """A text that Ansible never interprets as a template: ``!unsafe`` in JSON."""
    return {"__ansible_unsafe": text}


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
