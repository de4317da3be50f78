"""Machines to try a role on: `python -m tests.e2e [NAME:GROUP:SUITE ...]`, as root, until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.e2e import roots
from tests.e2e.playbook import ANSIBLE
from tests.e2e.site import FLEET, booted


def main(arguments: list[str]) -> None:
    """Boot the machines, say how to reach them, and wait for a signal."""
    members = [(name, group, suite) for name, group, suite in (each.split(":") for each in arguments)] or list(FLEET)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=roots.cache()))
    try:
        with booted(folder, members) as site:
            site.write_config()
            print(f"cd {ANSIBLE}", f"ansible-playbook site.yml -i {site.inventory} -e @{site.settings}", sep="\n")
            for machine in site.machines.values():
                print(f"ssh {' '.join(machine.ssh_options)} pi@{machine.address}    # {machine.name}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("shutting down", file=sys.stderr)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
