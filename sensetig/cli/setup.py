"""``sensetig setup``."""

from __future__ import annotations

import math
from pathlib import Path

import click

from sensetig import options


def _bundled() -> Path:
    from sensetig import bundle

    return bundle.root() / "influxdb"


def _ending(_: click.Context, __: click.Parameter, seconds: float) -> float:
    """Validate that a duration is finite."""
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{seconds:g} is no number of seconds to wait; give one of 0 or more, such as 30")
    return seconds


@click.command("setup")
@options.influxdb_url
@options.organisation
@click.option(
    "--user", default="sensetig", show_default=True, show_envvar=True, help="The first user of a new InfluxDB."
)
@options.tokens
@options.ca_file
@click.option(
    "--definitions",
    type=click.Path(file_okay=False, path_type=Path),
    default=_bundled,
    show_default="the bundle's own",
    show_envvar=True,
    help="Folder of buckets.toml, mappings.toml and tasks.",
)
@click.option(
    "--operator-token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    show_envvar=True,
    help="File with the operator token of an InfluxDB that was set up without this command.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    show_envvar=True,
    help="A device that gets its own token, which may only write; may be given several times.",
)
@click.option(
    "--wait",
    type=float,
    metavar="SECONDS",
    callback=_ending,
    default=30.0,
    show_default=True,
    show_envvar=True,
    help="Seconds that InfluxDB may take to answer.",
)
def command(
    url: str,
    organisation: str,
    user: str,
    tokens: Path,
    ca_file: Path | None,
    definitions: Path,
    operator_token_file: Path | None,
    devices: tuple[str, ...],
    wait: float,
) -> None:
    """Set up InfluxDB.

    The command creates the organisation, buckets, downsampling and scoped tokens. Missing parts are created,
    parts that differ from the definitions are changed, and the rest is left alone: a second run changes nothing. The
    tokens are written to files that only their owner may read, and are never printed.
    """
    from sensetig.influxdb.prepare import setup

    outcome = setup(
        url,
        organisation=organisation,
        user=user,
        tokens=tokens,
        definitions=definitions,
        say=click.echo,
        operator_token_file=operator_token_file,
        wait_seconds=wait,
        devices=devices,
        ca_file=ca_file,
    )
    if not outcome.changes:
        click.echo("nothing to change")
    click.echo(f"tokens are in {outcome.folder}")
