"""``sensetig restore``."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@options.influxdb_url
@options.ca_file
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
def command(file: Path, url: str, ca_file: Path | None, settings: Path, media: Path | None, yes: bool) -> None:
    """Restore this hub from the backup FILE.

    The backup replaces the hub's data and settings. Stop Telegraf and Grafana first; the playbook restore.yml does so.
    A FILE that is damaged or incomplete is rejected before anything is changed.
    """
    from sensetig.backup.run import Places, restore
    from sensetig.site import redacted

    if not yes:
        click.confirm(f"All data in InfluxDB at {redacted(url)} is replaced by that of {file}. Go on?", abort=True)
    restored = restore(file, url=url, places=Places(settings=settings, media=media), say=click.echo, ca_file=ca_file)
    click.echo(f"restored: {restored.host} as of {restored.time}")
