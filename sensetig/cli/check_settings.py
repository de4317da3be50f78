"""``sensetig check-settings``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from collectors.core.settings import DEFAULT_FILE


@click.command("check-settings")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT_FILE)
def command(file: Path) -> None:
    """Check a settings file.

    The file is read as every collector reads it; it is /etc/sensetig/sensetig.toml unless it is given. Ends with
    status 1 and one sentence where a section, a key or a value is wrong. Nothing is changed.
    """
    from collectors.mqtt.reload import NotReloaded, check_settings

    os.environ["SENSETIG_SETTINGS"] = str(file)
    try:
        count = check_settings()
    except NotReloaded as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"the settings of {count} collectors are sound")
