"""``sensetig outbox``: the durable queue between Telegraf and InfluxDB."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options

_FILE = click.Path(dir_okay=False, path_type=Path)
_MEGABYTE = 1_000_000


@click.command()
@click.option("--folder", show_envvar=True, help="Folder of waiting points.  [default: /var/lib/sensetig-outbox]")
@click.option(
    "--listen",
    show_envvar=True,
    help="Socket that Telegraf writes to: unix:/path, or HOST:PORT on loopback.  "
    "[default: unix:/run/sensetig-outbox/write.sock]",
)
@options.influxdb_url
@options.ca_file
@click.option("--token-file", type=_FILE, show_envvar=True, help="File of a token that may write.")
@click.option("--certificate", type=_FILE, show_envvar=True, help="Client certificate (PEM).")
@click.option("--key", type=_FILE, show_envvar=True, help="Key of the client certificate (PEM).")
@click.option("--organisation", show_envvar=True, help="Organisation of all points; by default the writer's.")
@click.option("--bucket", show_envvar=True, help="Bucket of all points; by default the writer's.")
@click.option(
    "--max-megabytes",
    type=click.IntRange(1, 1_000_000),
    default=1024,
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
    help="Maximum seconds after boot that points wait for a synchronised clock, which corrects their times.",
)
@click.option(
    "--influxdb-folder",
    show_envvar=True,
    help="InfluxDB's data on this machine. While its disk has less free space than the reserve, points wait.",
)
@click.option(
    "--influxdb-reserve-megabytes",
    type=click.IntRange(0, 1_000_000),
    default=1024,
    show_default=True,
    show_envvar=True,
    help="Free space that InfluxDB's disk keeps.",
)
@click.option(
    "--heartbeat-file",
    type=_FILE,
    show_envvar=True,
    help="File with an address that gets a request each minute while InfluxDB takes points.",
)
@click.option("--check", is_flag=True, help="Check that InfluxDB takes points, and exit.")
@click.option("--receive", is_flag=True, help="Pass the writes of devices on with their tokens; store nothing.")
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    show_envvar=True,
    help="With --receive: a device that may write points of others; may be repeated.",
)
def command(
    folder: str | None,
    listen: str | None,
    url: str,
    ca_file: Path | None,
    token_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    organisation: str | None,
    bucket: str | None,
    max_megabytes: int,
    reserve_megabytes: int,
    clock_wait: float,
    influxdb_folder: str | None,
    influxdb_reserve_megabytes: int,
    heartbeat_file: Path | None,
    check: bool,
    receive: bool,
    gateways: tuple[str, ...],
) -> None:
    """Run the durable queue between Telegraf and InfluxDB.

    With --receive it is the hub's receiver behind the proxy: it passes writes on, refuses points whose host is not the
    device, and answers 503 while InfluxDB does not take points, so that they wait in the outboxes of the devices.
    """
    from sensetig.outbox.batch import Destination
    from sensetig.outbox.service import Influx, Options, run, run_receiver
    from sensetig.outbox.service import check as check_writing

    def log(sentence: str) -> None:
        click.echo(sentence, err=True)

    influx = Influx(url, ca_file, certificate, key, influxdb_folder, influxdb_reserve_megabytes * _MEGABYTE)
    if receive:
        run_receiver(
            folder or "/var/lib/sensetig-receiver",
            listen or "unix:/run/sensetig-receiver/write.sock",
            influx,
            gateways,
            log,
        )
        return
    if token_file is None:
        raise click.UsageError("the outbox needs --token-file, a file with a token that may write")
    if (organisation is None) != (bucket is None):
        raise click.UsageError("--organisation and --bucket belong together; give both or neither")
    destination = None if organisation is None or bucket is None else Destination(organisation, bucket)
    if check:
        if destination is None:
            raise click.UsageError("--check needs --organisation and --bucket")
        check_writing(influx, token_file, destination)
        click.echo(f"InfluxDB at {url} takes points for the bucket {bucket!r}")
        return
    run(
        Options(
            folder or "/var/lib/sensetig-outbox",
            listen or "unix:/run/sensetig-outbox/write.sock",
            influx,
            token_file,
            max_megabytes * _MEGABYTE,
            reserve_megabytes * _MEGABYTE,
            destination,
            heartbeat_file,
            clock_wait,
        ),
        log,
    )
