"""The machine that the doctor examines: its files, and access to its programs and servers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sensetig.doctor.findings import CannotCheck, NotHere
from sensetig.doctor.place import EDGE, role
from sensetig.errors import SiteError
from sensetig.influxdb.client import Client
from sensetig.site import OPERATOR_TOKEN, Site

#: Seconds allowed for one request or one program, so that several in a row stay below ten.
PATIENCE_SECONDS = 3.0

#: Maximum number of bytes of a program's output.
_MAX_OUTPUT = 200_000


class Ran(NamedTuple):
    """The result of a program.

    Args:
        status: its exit status; None if there is no such program, or it took too long.
        output: its standard output.
    """

    status: int | None
    output: str = ""


def run_program(command: Sequence[str]) -> Ran:
    """Run a program without a terminal, for at most :data:`PATIENCE_SECONDS`."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Ran(None)
    return Ran(done.returncode, done.stdout[:_MAX_OUTPUT].decode("utf-8", "replace"))


class Patient(NamedTuple):
    """The machine.

    Args:
        top: the folder that holds ``etc``, ``proc``, ``sys`` and ``var``.
        site: the installation.
        site_problem: the reason why ``site.toml`` cannot be read; or empty.
        host: the host name in its points.
        now: wall clock, seconds since 1970.
        run: runs a program.
    """

    top: Path
    site: Site
    host: str
    site_problem: str = ""
    now: Callable[[], float] = time.time
    run: Callable[[Sequence[str]], Ran] = run_program

    @property
    def is_edge(self) -> bool:
        """Whether the database is on another machine."""
        return role(self.site) == EDGE

    def on_the_hub(self) -> None:
        """Raise NotHere on an edge, which has neither InfluxDB nor Grafana."""
        if self.is_edge:
            raise NotHere

    def has_unit(self, unit: str) -> bool:
        """Whether the playbook has installed a unit, or a drop-in of one."""
        folder = self.top / "etc/systemd/system"
        return (folder / unit).exists() or (folder / f"{unit}.d/sensetig.conf").exists()

    def client(self, token: str = OPERATOR_TOKEN) -> Client:
        """A client of InfluxDB with a token of the folder of tokens.

        Raises SiteError if there is none, and CannotCheck if only root may read the file.
        """
        path = self.site.tokens / token
        try:
            path.open("rb").close()
        except PermissionError:
            raise CannotCheck(f"only root may read {path}; use sudo sensetig doctor") from None
        except OSError as error:
            raise SiteError(f"{path} cannot be read: {error.strerror}") from None
        return Client.with_token_file(
            self.site.influxdb_url,
            path,
            organisation=self.site.organisation,
            ca_file=self.site.ca_file,
            timeout_seconds=PATIENCE_SECONDS,
        )


def examine(top: Path, host: str) -> Patient:
    """The patient at a folder, with its ``site.toml``, or the reason why that cannot be read."""
    from sensetig.site import load

    try:
        return Patient(top, load(top), host)
    except SiteError as error:
        return Patient(top, Site(), host, str(error))
