"""``sensetig restore``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--url",
    envvar="SENSETIG_INFLUXDB_URL",
    default="http://127.0.0.1:8086",
    show_default=True,
    show_envvar=True,
    help="InfluxDB's address; it runs, and is new or not.",
)
@click.option(
    "--settings",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/etc/sensetig"),
    show_default=True,
    show_envvar=True,
    help="Where settings, tokens and certificates go.",
)
@click.option(
    "--media",
    type=click.Path(file_okay=False, path_type=Path),
    show_envvar=True,
    help="Where pictures and clips go; left out where it is not named.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(file: Path, url: str, settings: Path, media: Path | None, yes: bool) -> None:
    """Put the backup FILE in the place of what is on this hub.

    Telegraf and Grafana are stopped by whoever calls this; the playbook restore.yml does so. A FILE that is damaged or
    not complete is refused before anything is changed.
    """
    from sensetig.backup import BackupError, Places, restore

    if not yes:
        click.confirm(f"All data in InfluxDB at {url} is replaced by that of {file}. Go on?", abort=True)
    try:
        restored = restore(file, url=url, places=Places(settings=settings, media=media), say=click.echo)
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"restored: {restored.host} as of {restored.time}")
