"""``sensetig doctor``: check this machine's installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from sensetig.doctor.findings import Result
    from sensetig.doctor.patient import Patient

#: The exit status if something is wrong, as for ``sensetig status``.
NEEDS_ACTION = 3


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("--fix", is_flag=True, help="Run the commands that cure the faults, each after asking.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
def command(as_json: bool, fix: bool, yes: bool) -> None:
    """Check this machine, and name the cures.

    It checks hardware, clock, services, tokens, network, points, tasks, dashboards and disk.

    Each line says that something is fine, or names a fault with the command that cures it. A check that depends on
    a faulty part is not made. The checks change nothing. Run it as root, since tokens are root's alone.

    The exit status is 0 when nothing is wrong, 3 when something is, and 1 when the machine cannot be checked.
    """
    from rich.console import Console

    from sensetig import site
    from sensetig.doctor import machine
    from sensetig.doctor.patient import examine
    from sensetig.doctor.show import cures, page, plain
    from sensetig.errors import SiteError
    from sensetig.policy import ACT

    if yes and not fix:
        raise click.UsageError("--yes goes with --fix")
    if fix and as_json:
        raise click.UsageError("--fix and --json exclude each other")
    if not machine.installed(site.TOP):
        raise SiteError(machine.not_installed(site.TOP))
    if fix and os.geteuid():
        raise click.ClickException("the cures change the machine: run sudo sensetig doctor --fix")
    patient = examine(site.TOP, machine.telegraf_host(site.TOP))
    console = Console(markup=False, highlight=False)
    results = _check(patient, console, quiet=as_json)
    if as_json:
        click.echo(json.dumps(plain(patient.host, results), indent=2, ensure_ascii=False))
    else:
        console.print(page(patient.host, results, patient.site.documentation_url))
    if fix and (found := cures(results)):
        for finding, cure in found:
            console.print(f"\n{finding.text}")
            if yes or click.confirm(f"Run: {cure.shown}", default=False):
                _run(cure.commands, console)
        results = _check(patient, console, quiet=False)
        console.print("", page(patient.host, results, patient.site.documentation_url), sep="\n")
    sys.exit(NEEDS_ACTION if any(each.level == ACT for each in results) else 0)


def _check(patient: Patient, console: Console, *, quiet: bool) -> list[Result]:
    """Run the checks; in a terminal, show a progress message."""
    from contextlib import nullcontext

    from sensetig.doctor.checks import CHECKS
    from sensetig.doctor.examine import examine
    from sensetig.doctor.show import with_links

    with nullcontext() if quiet or not console.is_terminal else console.status("checking"):
        return with_links(list(examine(CHECKS, patient)), patient.site.documentation_url)


def _run(commands: tuple[tuple[str, ...], ...], console: Console) -> None:
    """Run the commands of a cure, and stop at the first failure."""
    for each in commands:
        # Use SenseTIG's commands of this installation, which may not be on root's PATH.
        argv = [sys.executable, "-m", *each] if each[0] == "sensetig" else list(each)
        try:
            status = subprocess.run(argv, env={**os.environ, "SYSTEMD_PAGER": ""}, check=False).returncode
        except OSError as error:
            console.print(f"E! {each[0]} cannot be run: {error.strerror}", style="red")
            return
        if status:
            console.print(f"E! {each[0]} ended with status {status}", style="red")
            return
