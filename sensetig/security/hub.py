"""The files of an installed hub: tokens, certificates, enrolment; and a new token for its own Telegraf."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from sensetig.errors import SecurityError

#: Seconds allowed for a service to restart.
_RESTART_SECONDS = 60


class Hub(NamedTuple):
    """The paths of a hub, relative to a folder, which is / on a real hub."""

    top: Path = Path("/")

    @property
    def tokens(self) -> Path:
        """Tokens and passwords."""
        return self.top / "etc/sensetig/tokens"

    @property
    def credentials(self) -> Path:
        """Credentials that systemd passes to services."""
        return self.top / "etc/sensetig/credentials"

    @property
    def authority(self) -> Path:
        """The key and the certificate of the internal authority."""
        return self.top / "etc/sensetig/authority"

    @property
    def revoked(self) -> Path:
        """A file for each device that has been revoked."""
        return self.top / "etc/sensetig/revoked"

    @property
    def tls(self) -> Path:
        """This machine's own certificate and key."""
        return self.top / "etc/sensetig/tls"

    @property
    def certificate(self) -> Path:
        """The certificate that this machine's services present: the site's own certificate if there is one."""
        own = self.tls / "site.crt"
        return own if own.exists() else self.tls / "device.crt"

    @property
    def revoked_list(self) -> Path:
        """The revocation list for the proxy: a copy of the authority's."""
        return self.tls / "revoked.crl"

    @property
    def controller(self) -> Path:
        """The playbook for the hub's own use."""
        return self.top / "opt/sensetig/controller"

    @property
    def inventory(self) -> Path:
        """The machines that it knows, and how to reach them."""
        return self.top / "etc/sensetig/controller"

    @property
    def pending(self) -> Path:
        """Unused tickets; the service reads them, and only root writes."""
        return self.top / "etc/sensetig/enrolment"

    @property
    def accepted(self) -> Path:
        """Requests that the enrolment service has accepted, for root to check."""
        return self.top / "var/lib/sensetig-enrolment"

    @property
    def passwords(self) -> Path:
        """The hashed passwords of the broker."""
        return self.top / "etc/mosquitto/sensetig.passwd"

    def programs(self, device: str) -> Path:
        """The access list of the broker for the programs of a device (role mqtt)."""
        return self.top / "etc/sensetig/mosquitto" / f"{device}.acl"

    def enrolment_url(self) -> str:
        """The address of the enrolment service. Raises SecurityError if there is none."""
        return self._read(self.inventory / "enrolment-url")

    def public(self, what: str) -> str:
        """The certificate of the ``authority``, or the ssh ``key`` that the hub logs in with. Raises SecurityError."""
        return self._read(self.authority / "authority.crt" if what == "authority" else self.inventory / "key.pub")

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SecurityError(
                f"{path} cannot be read ({error.strerror}): new Pis enrol on a hub that has enrolment_enabled, as root"
            ) from None

    def own_device(self) -> str:
        """The device name of this machine's own Telegraf; empty if none runs."""
        try:
            text = (self.top / "etc/default/telegraf").read_text(encoding="utf-8")
        except OSError:
            return ""
        found = re.search(r"^SENSETIG_HOST=(\S+)$", text, re.MULTILINE)
        return found[1] if found else ""

    def hand_over(self, secret: str) -> None:
        """Pass a token to this machine's outbox, encrypted for this machine. Raises SecurityError."""
        encrypted = self.credentials / "telegraf_token"
        command = ["systemd-creds", "encrypt", "--with-key=host", "--name=telegraf_token", "-", str(encrypted)]
        _run("encrypt the token for the outbox", command, secret)
        _run("restart the outbox", ["systemctl", "restart", "sensetig-outbox.service"])


def _run(purpose: str, command: list[str], given: str = "") -> None:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=_RESTART_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SecurityError(f"{command[0]} could not {purpose}: {type(error).__name__}") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise SecurityError(f"{command[0]} could not {purpose}: {said or f'status {done.returncode}'}")
