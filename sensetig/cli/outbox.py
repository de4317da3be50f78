"""``sensetig outbox``: the durable queue between Telegraf and InfluxDB."""

from __future__ import annotations

import click


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
@click.option(
    "--url",
    default="http://127.0.0.1:8086",
    show_default=True,
    envvar="SENSETIG_INFLUXDB_URL",
    show_envvar=True,
    help="InfluxDB's address.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False),
    required=True,
    show_envvar=True,
    help="File of a token that may write.",
)
@click.option("--ca-file", type=click.Path(dir_okay=False), show_envvar=True, help="Certificates to trust (PEM).")
@click.option("--certificate", type=click.Path(dir_okay=False), show_envvar=True, help="Client certificate (PEM).")
@click.option("--key", type=click.Path(dir_okay=False), show_envvar=True, help="Key of the client certificate (PEM).")
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
def command(
    folder: str,
    listen: str,
    url: str,
    token_file: str,
    ca_file: str | None,
    certificate: str | None,
    key: str | None,
    max_megabytes: int,
    reserve_megabytes: int,
) -> None:
    """Run the durable queue between Telegraf and InfluxDB."""
    from sensetig.outbox.service import Options, run
    from sensetig.outbox.store import OutboxError

    megabyte = 1_000_000
    try:
        run(
            Options(
                folder,
                listen,
                url,
                token_file,
                ca_file,
                certificate,
                key,
                max_megabytes * megabyte,
                reserve_megabytes * megabyte,
            ),
            lambda sentence: click.echo(sentence, err=True),
        )
    except OutboxError as error:
        raise click.ClickException(str(error)) from None
