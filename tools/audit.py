"""Look for known vulnerabilities in the pinned libraries, where the databases of vulnerabilities can be reached.

``python -m tools.audit`` is part of ``make lint``. It fails for a known vulnerability. A database that cannot be
reached, or a program that is not installed, is one line, and no failure: the step then has checked nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import click
import urllib3

ROOT = Path(__file__).resolve().parent.parent

_TIMEOUT_SECONDS = 5.0
_GOVULNCHECK = "golang.org/x/vuln/cmd/govulncheck@v1.1.4"


class Check(NamedTuple):
    """A program that checks the pinned versions against a database.

    Args:
        name: of the program.
        database: the address of the database.
        command: its command line.
        folder: its working directory.
    """

    name: str
    database: str
    command: tuple[str, ...]
    folder: Path


def checks(root: Path = ROOT) -> list[Check]:
    """pip-audit for the Python libraries, and govulncheck for each Go module."""
    pip_audit = (
        sys.executable, "-m", "pip_audit", "--vulnerability-service=osv", "--disable-pip", "--require-hashes",
        "--progress-spinner=off", "--requirement=requirements/all.txt", "--requirement=requirements/lint.txt",
    )  # fmt: skip
    return [
        Check("pip-audit", "https://api.osv.dev/", pip_audit, root),
        *(
            # The modules have no code: they pin the engines as tools.
            Check("govulncheck", "https://vuln.go.dev/index/db.json", ("go", "run", _GOVULNCHECK, "tool"), each.parent)
            for each in sorted((root / "engines").rglob("go.mod"))
        ),
    ]


def reachable(url: str) -> bool:
    """Whether a server answers at this address, with whatever status."""
    try:
        urllib3.request("GET", url, retries=False, timeout=_TIMEOUT_SECONDS, redirect=False)
    except urllib3.exceptions.HTTPError:
        return False
    return True


def audit(wanted: Iterable[Check], say: Callable[[str], None], answers: Callable[[str], bool] = reachable) -> int:
    """Run the checks; the number of those that found a vulnerability or failed."""
    failed = 0
    for check in wanted:
        if shutil.which(check.command[0]) is None:
            say(f"{check.name}: not checked, since {check.command[0]} is not installed")
        elif not answers(check.database):
            say(f"{check.name}: not checked, since its database at {check.database} cannot be reached from here")
        else:
            done = subprocess.run(check.command, cwd=check.folder, check=False)
            failed += done.returncode != 0
    return failed


@click.command()
def main() -> None:
    """Check the pinned libraries for known vulnerabilities."""
    if failed := audit(checks(), click.echo):
        raise click.ClickException(f"{failed} of the checks above failed; update the libraries with `make lock`")


if __name__ == "__main__":
    main()
