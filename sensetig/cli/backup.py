"""``sensetig backup``."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@options.influxdb_url
@options.ca_file
@click.option(
    "--folder",
    type=_FOLDER,
    default=Path("/var/lib/sensetig-backup/backups"),
    show_default=True,
    show_envvar=True,
    help="Where backups are kept; made for its owner alone.",
)
@click.option(
    "--settings",
    type=_FOLDER,
    default=Path("/etc/sensetig"),
    show_default=True,
    show_envvar=True,
    help="Settings, tokens and certificates; its tokens/operator.token is needed.",
)
@click.option("--media", type=_FOLDER, show_envvar=True, help="Pictures and clips; left out where it is not named.")
@click.option("--daily", type=click.IntRange(min=1), default=7, show_default=True, show_envvar=True, help="Days kept.")
@click.option(
    "--weekly", type=click.IntRange(min=0), default=4, show_default=True, show_envvar=True, help="Weeks kept."
)
@click.option(
    "--monthly", type=click.IntRange(min=0), default=6, show_default=True, show_envvar=True, help="Months kept."
)
@click.option(
    "--keep-free",
    type=click.IntRange(min=0),
    metavar="MEGABYTES",
    default=512,
    show_default=True,
    show_envvar=True,
    help="Disk space that stays free; a backup that would need it is abandoned.",
)
@click.option("--encrypt-to", type=_FILE, show_envvar=True, help="OpenPGP certificate that backups are encrypted to.")
@click.option("--copy-to", metavar="USER@HOST:FOLDER", show_envvar=True, help="Copy each backup to this machine.")
@click.option("--copy-key", type=_FILE, show_envvar=True, help="The ssh key for that machine.")
@click.option("--copy-known-hosts", type=_FILE, show_envvar=True, help="The file with that machine's own key.")
def command(
    url: str,
    ca_file: Path | None,
    folder: Path,
    settings: Path,
    media: Path | None,
    daily: int,
    weekly: int,
    monthly: int,
    keep_free: int,
    encrypt_to: Path | None,
    copy_to: str | None,
    copy_key: Path | None,
    copy_known_hosts: Path | None,
) -> None:
    """Back up this hub while it runs.

    The backup holds InfluxDB with all data and tokens, the settings with all secrets, Grafana's database and the state
    of devices. sensetig restore restores it.
    """
    import os
    from datetime import UTC, datetime

    from sensetig.backup import off_host
    from sensetig.backup.retention import Keep
    from sensetig.backup.run import Places, make

    if copy_to and not (copy_key and copy_known_hosts):
        raise click.UsageError("--copy-to goes with --copy-key and --copy-known-hosts")
    if copy_to and encrypt_to is None:
        raise click.UsageError("--copy-to goes with --encrypt-to: a backup holds every secret of this hub")
    made = make(
        folder,
        url=url,
        places=Places(settings=settings, media=media),
        host=os.uname().nodename,
        now=datetime.now(UTC),
        keep=Keep(daily, weekly, monthly),
        free_bytes=keep_free << 20,
        encrypt_to=encrypt_to,
        ca_file=ca_file,
    )
    click.echo(f"{made.path}: {made.size / 1e6:.1f} MB, {made.shards} shards")
    for name in made.removed:
        click.echo(f"removed {name}, which is no longer kept")
    if copy_to and copy_key and copy_known_hosts:
        off_host.copy(folder, copy_to, copy_key, copy_known_hosts)
        click.echo(f"copied to {copy_to}")
