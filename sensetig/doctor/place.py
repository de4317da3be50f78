"""The addresses of this installation's dashboards for a browser on another machine."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

from collectors.messaging.broker import is_loopback
from sensetig.site import Site

#: The roles of a machine.
EDGE, HUB, ALONE = "edge", "hub", "one machine"


class Names(NamedTuple):
    """The names of this machine.

    Args:
        host: its name.
        local: whether it is reachable as ``<host>.local`` (mDNS).
        address: on its network; empty if it has none.
        user: a user who may log in over ssh.
    """

    host: str
    local: bool = False
    address: str = ""
    user: str = "pi"

    @property
    def shown(self) -> str:
        """The name for access from other machines."""
        return f"{self.host}.local" if self.local and "." not in self.host else self.host


class Access(NamedTuple):
    """How to reach the dashboards.

    Args:
        urls: the same page, by name and by address; empty without a Grafana.
        tunnel: the command to run on the reader's machine first; or empty.
    """

    urls: tuple[str, ...]
    tunnel: str = ""


def role(site: Site, devices: int = 0) -> str:
    """The role of this machine: :data:`EDGE`, :data:`HUB` or :data:`ALONE`.

    Args:
        site: the installation.
        devices: the number of devices that have a token here.
    """
    if site.hub:
        return EDGE
    # A hub of an older playbook does not say that it is one.
    return HUB if site.role == HUB or devices > 1 else ALONE


def access(site: Site, names: Names, listening: Collection[tuple[str, int]]) -> Access:
    """How to reach the dashboards from other machines.

    Args:
        site: this installation.
        names: of this machine.
        listening: address and port of each socket that accepts connections here.
    """
    if site.hub:
        # The hub serves Grafana on the same port as the write path.
        return Access((site.influxdb_url,))
    if site.grafana_password_file is None:
        return Access(())
    parts = urlsplit(site.grafana_url)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    suffix = "" if parts.port is None else f":{parts.port}"
    own = parts.hostname or ""
    if not is_loopback(own):
        by_address = (f"{parts.scheme}://{names.address}{suffix}",) if names.address not in ("", own) else ()
        return Access((f"{parts.scheme}://{own}{suffix}", *by_address))
    if any(each == port and not is_loopback(address) for address, each in listening):
        reached = dict.fromkeys(each for each in (names.shown, names.address) if each)
        return Access(tuple(f"{parts.scheme}://{each}{suffix}" for each in reached))
    tunnel = f"ssh -L {port}:127.0.0.1:{port} {names.user}@{names.shown}"
    return Access((f"{parts.scheme}://127.0.0.1:{port}",), tunnel)
