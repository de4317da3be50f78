"""The file for the first boot of a new Pi: for cloud-init, and for images without it."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import NamedTuple


class FirstBoot(NamedTuple):
    """The data that a new Pi needs.

    Args:
        device: its name.
        url: of the hub's enrolment service.
        token: for one enrolment.
        authority: the certificate, in PEM, that authenticates the hub.
        hub_key: the public ssh key that lets the hub log in.
    """

    device: str
    url: str
    token: str
    authority: str
    hub_key: str

    def __repr__(self) -> str:
        return f"FirstBoot(device={self.device!r}, url={self.url!r}, token=…)"


def script(first: FirstBoot) -> str:
    """``firstrun.sh``: run as root at the first boot."""
    parts = files("sensetig.security") / "on_the_pi"
    settings = json.dumps({"device": first.device, "url": first.url})
    values = {
        "DEVICE": first.device,
        "SETTINGS": _encoded(settings),
        "TOKEN": _encoded(first.token),
        "AUTHORITY": _encoded(first.authority),
        "HUB_KEY": _encoded(first.hub_key),
        "PROGRAM": _encoded((parts / "enrol.py").read_text(encoding="utf-8")),
        "UNIT": _encoded((parts / "sensetig-enrol.service").read_text(encoding="utf-8")),
    }
    text = (parts / "firstrun.sh").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def user_data(first: FirstBoot) -> str:
    """``user-data`` for cloud-init, which runs the same script. JSON is YAML."""
    path = "/var/lib/sensetig-first-boot/firstrun.sh"
    content = {"path": path, "permissions": "0700", "owner": "root:root", "content": script(first)}
    return "#cloud-config\n" + json.dumps(
        {"hostname": first.device, "manage_etc_hosts": True, "write_files": [content], "runcmd": [["sh", path]]},
        indent=1,
    ) + "\n"  # fmt: skip


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
