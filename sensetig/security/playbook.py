"""Run the hub's own playbook on enrolled machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from sensetig.errors import SecurityError
from sensetig.security.hub import Hub


def run(hub: Hub, name: str, devices: Sequence[str], *options: str) -> None:
    """Run a playbook for these devices; its output goes to the terminal. Raises SecurityError."""
    program = hub.controller / "venv/bin/ansible-playbook"
    if not program.exists():
        raise SecurityError(
            f"this machine has no playbook for {', '.join(devices)}: run ansible-playbook {name} "
            f"--limit {','.join(devices)} where you installed from, or set enrolment_enabled for the hub"
        )
    folder = hub.controller / "checkout/ansible"
    command: list[str] = [
        str(program), str(folder / name), "--inventory", str(hub.inventory / "inventory"),
        "--extra-vars", f"@{hub.inventory / 'config.json'}", "--limit", ",".join(devices), *options,
    ]  # fmt: skip
    environ = {
        **os.environ,
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(hub.controller / "home"),
        "ANSIBLE_HOST_KEY_CHECKING": "true",
        "LC_ALL": "C.UTF-8",
    }
    sys.stdout.flush()
    status = subprocess.run(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        raise SecurityError(
            f"{name} did not end well for {', '.join(devices)} (status {status}); see above, then run it again"
        )
