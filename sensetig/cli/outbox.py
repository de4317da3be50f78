"""``sensetig outbox``: the durable queue between Telegraf and InfluxDB."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options

_FILE = click.Path(dir_okay=False, path_type=Path)
_MEGABYTE = 1_000_000


@click.command()
@click.option(
    "--folder",
    default="/var/lib/sensetig-outbox",
    show_default=True,
    show_envvar=True,
    help="Folder of waiting points.",
)
@click.option(
    "--listen",
    default="unix:/run/sensetig-outbox/write.sock",
    show_default=True,
    show_envvar=True,
    help="Socket that Telegraf writes to: unix:/path, or HOST:PORT.",
)
@options.influxdb_url
@options.ca_file
@click.option("--token-file", type=_FILE, required=True, show_envvar=True, help="File of a token that may write.")
@click.option("--certificate", type=_FILE, show_envvar=True, help="Client certificate (PEM).")
@click.option("--key", type=_FILE, show_envvar=True, help="Key of the client certificate (PEM).")
@click.option(
    "--max-megabytes",
    type=click.IntRange(1, 1_000_000),
    default=512,
    show_default=True,
    show_envvar=True,
    help="Maximum size of waiting points.",
)
@click.option(
    "--reserve-megabytes",
    type=click.IntRange(0, 1_000_000),
    default=256,
    show_default=True,
    show_envvar=True,
    help="Free space that the outbox leaves on the disk.",
)
@click.option(
    "--clock-wait",
    type=click.FloatRange(0, 86400),
    default=0,
    show_default=True,
    show_envvar=True,
    help="Seconds after boot in which points wait until the clock is synchronised, so that their times are corrected.",
)
def command(
    folder: str,
    listen: str,
    url: str,
    ca_file: Path | None,
    token_file: Path,
    certificate: Path | None,
    key: Path | None,
    max_megabytes: int,
    reserve_megabytes: int,
    clock_wait: float,
) -> None:
    """Run the durable queue between Telegraf and InfluxDB."""
    from sensetig.outbox.service import Options, run

    run(
        Options(
            folder,
            listen,
            url,
            token_file,
            ca_file,
            certificate,
            key,
            max_megabytes * _MEGABYTE,
            reserve_megabytes * _MEGABYTE,
            clock_wait,
        ),
        lambda sentence: click.echo(sentence, err=True),
    )
