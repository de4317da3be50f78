"""Read facts about this machine's hardware and settings from its files.

Every function takes the folder that holds ``/etc``, ``/proc`` and ``/sys``.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from collectors.camera.devices import find_device
from collectors.core.api import Unavailable
from collectors.outbox import scan
from collectors.sensehat.hat import is_present
from sensetig.doctor.place import Names

#: The folder of the outbox.
OUTBOX = "var/lib/sensetig-outbox"

#: The variables that configure the targets of notification channels.
_CHANNELS = ("SENSETIG_ALERTS_EMAIL_ADDRESSES", "SENSETIG_ALERTS_TELEGRAM_CHAT", "SENSETIG_ALERTS_WEBHOOK_URL",
             "SENSETIG_ALERTS_NTFY_URL")  # fmt: skip


def text(path: Path, limit: int = 65536) -> str | None:
    """The text of a file, limited to a number of bytes; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return None


def installed(top: Path) -> bool:
    """Whether a playbook has installed SenseTIG here."""
    return any((top / "etc/sensetig" / name).exists() for name in ("site.toml", "influxdb-url"))


def has_hat(top: Path) -> bool:
    """Whether the kernel has detected a Sense HAT: its LED matrix, or the name in the board's EEPROM."""
    product = text(top / "proc/device-tree/hat/product") or ""
    return "Sense HAT" in product or is_present(str(top / "sys"))


def has_i2c(top: Path) -> bool:
    """Whether the I²C bus of the header is enabled."""
    return (top / "dev/i2c-1").exists()


def has_camera(top: Path) -> bool:
    """Whether the kernel has detected a camera."""
    try:
        find_device(str(top / "sys"))
    except Unavailable:
        return False
    return True


def devices(tokens: Path) -> int:
    """The number of devices with a token in the folder of tokens; 0 if it cannot be read."""
    try:
        return sum(each.name.startswith("device-") and each.suffix == ".token" for each in tokens.iterdir())
    except OSError:
        return 0


def config(top: Path) -> str:
    """The path of the playbook's settings; on a machine that ./install has installed, a separate file."""
    path = "etc/sensetig/config.yml"
    return f"/{path}" if (top / path).exists() else "config.yml"


def channels(top: Path) -> list[str]:
    """The notification channels configured in Grafana's variables."""
    lines = (text(top / "etc/sensetig/grafana.env") or "").splitlines()
    set_here = {name for name, _, value in (line.partition("=") for line in lines) if value.strip("\"' ")}
    return [name.split("_")[2].lower() for name in _CHANNELS if name in set_here]


def copies_backups(top: Path) -> bool:
    """Whether backups are copied to another machine."""
    return "SENSETIG_BACKUP_COPY_TO=" in (text(top / "etc/sensetig/backup.env") or "")


def names(top: Path) -> Names:
    """This machine's name and address: the source address of a packet to a documentation address."""
    host = socket.gethostname()
    address = ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a UDP socket sends nothing; 192.0.2.0/24 is reserved for documentation (RFC 5737).
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            pass
    user = os.environ.get("SUDO_USER") or os.environ.get("USER") or "pi"
    return Names(host, (top / "run/avahi-daemon/socket").exists(), address, "pi" if user == "root" else user)


def listening() -> set[tuple[str, int]]:
    """Address and port of each socket that accepts connections."""
    import psutil

    return {
        (str(each.laddr[0]), int(each.laddr[1]))
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr
    }


def outbox_waiting(top: Path) -> int | None:
    """The points that wait in the outbox; None without an outbox, or if it cannot be read."""
    try:
        return sum(each.points for each in scan(str(top / OUTBOX)))
    except OSError:
        return None


def not_installed(top: Path) -> str:
    """The sentence for a machine without an installation."""
    return (
        f"SenseTIG is not installed on this machine, since {top / 'etc/sensetig/site.toml'} is not there; run "
        "sudo ./install in the checkout, or make demo to try it without an installation"
    )


def telegraf_host(top: Path) -> str:
    """The host name in this machine's points: Telegraf's variable, or the machine's name."""
    for line in (text(top / "etc/default/telegraf") or "").splitlines():
        name, _, value = line.partition("=")
        if name == "SENSETIG_HOST" and value.strip("\"' "):
            return value.strip("\"' ")
    return socket.gethostname()
