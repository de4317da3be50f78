"""``sensetig support-bundle``: one file for a maintainer, without secrets."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click


@click.command("support-bundle")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="sensetig-support-HOST-TIME.tar.gz in the present folder",
    help="The file to write.",
)
def command(output: Path | None) -> None:
    """Write a file for a maintainer, without secrets.

    The file is a gzipped tar with versions, settings, services with their last log lines, hardware, and the answer of
    sensetig doctor. Tokens, passwords and keys are removed from every text. Names of devices and addresses of your
    network stay in it: read it before you send it. Run it as root, which alone knows the secrets to remove.
    """
    from collectors.core.files import write_atomic
    from sensetig import site
    from sensetig.doctor import machine, support
    from sensetig.doctor.patient import examine
    from sensetig.errors import OperatorError, SiteError

    if not machine.installed(site.TOP):
        raise SiteError(machine.not_installed(site.TOP))
    if os.geteuid():
        raise click.ClickException("only root can read the secrets that are removed: run sudo sensetig support-bundle")
    patient = examine(site.TOP, machine.telegraf_host(site.TOP))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(patient.now()))
    name = f"sensetig-support-{patient.host}-{stamp}"
    path = output or Path(f"{name}.tar.gz")
    content = support.bundle(patient, name)
    try:
        write_atomic(path, content, 0o600)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}; name another file with --output") from None
    click.echo(f"wrote {path} ({len(content) / 1000:.0f} kB)")
    click.echo(f"read it before you send it: tar --list --file {path}")
