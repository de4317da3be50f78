"""Running a playbook as an operator does: from the virtual environment, over ssh."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
ANSIBLE = PROJECT / "ansible"


class Run(NamedTuple):
    """A playbook that has ended.

    Args:
        status: its exit status.
        output: all that it said.
        seconds: how long it took.
        recap: for each host its counts: ok, changed, unreachable, failed, skipped, rescued, ignored.
    """

    status: int
    output: str
    seconds: float
    recap: dict[str, dict[str, int]]

    def changed(self) -> dict[str, int]:
        """How many tasks have changed something, by host."""
        return {host: counts["changed"] for host, counts in self.recap.items()}


_RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


def play(
    name: str,
    inventory: Path,
    config: Mapping[str, Any],
    folder: Path,
    *,
    options: Sequence[str] = (),
    timeout: float = 1500,
) -> Run:
    """Run a playbook to its end.

    Args:
        name: its file in ansible/.
        inventory: the hosts.
        config: the operator's variables.
        folder: of the run: its log and the variables go there.
        options: further ones of ansible-playbook.
        timeout: seconds after which it is killed.
    """
    started = time.monotonic()
    command, environ = _command(name, inventory, config, folder, options)
    done = subprocess.run(
        command, cwd=ANSIBLE, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=timeout,
    )  # fmt: skip
    seconds = time.monotonic() - started
    with (folder / "playbooks.log").open("a") as log:
        log.write(f"{'=' * 20} {name} {' '.join(options)}: {seconds:.1f} s\n{done.stdout}\n")
    recap = {
        host: {key: int(value) for key, value in (pair.split("=") for pair in counts.split())}
        for host, counts in _RECAP.findall(done.stdout)
    }
    return Run(done.returncode, done.stdout, seconds, recap)


def kill_at(
    words: str, name: str, inventory: Path, config: Mapping[str, Any], folder: Path, *, timeout: float = 900
) -> str:
    """Run a playbook until its output contains *words*, then kill all its processes; return the output."""
    command, environ = _command(name, inventory, config, folder, ())
    said = ""
    with subprocess.Popen(
        command, cwd=ANSIBLE, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        overdue = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
        overdue.start()
        try:
            for line in process.stdout:
                said += line
                if words in line:
                    break
        finally:
            overdue.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return said


def _command(
    name: str, inventory: Path, config: Mapping[str, Any], folder: Path, options: Sequence[str]
) -> tuple[list[str | Path], dict[str, str]]:
    settings = folder / "config.json"
    settings.write_text(json.dumps(config))
    environ = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(folder / "ansible"),
        "LC_ALL": "C.UTF-8",
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    return [program, ANSIBLE / name, "-i", inventory, "-e", f"@{settings}", *options], environ
