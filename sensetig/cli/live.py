"""``sensetig live``."""

from __future__ import annotations

from pathlib import Path

import click
import platformdirs


@click.command("live")
@click.option(
    "--url",
    envvar="SENSETIG_GRAFANA_URL",
    default="http://127.0.0.1:3000",
    show_default=True,
    show_envvar=True,
    help="Grafana's address.",
)
@click.option("--admin", default="admin", show_default=True, show_envvar=True, help="A Grafana administrator.")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    show_envvar=True,
    help="File with the administrator's password, readable by its owner alone.",
)
@click.option(
    "--tokens",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("sensetig") / "live",
    show_default="live in the user's state folder",
    show_envvar=True,
    help="Folder that keeps the token for Telegraf; made for its owner alone.",
)
def command(url: str, admin: str, password_file: Path, tokens: Path) -> None:
    """Make the account and the token with which Telegraf hands live points to Grafana.

    The account has no role: it may push points, and see and change nothing. What is missing is made, what differs
    is changed, a token that Grafana no longer takes is replaced; run twice, it changes nothing. The token is written
    to a file that only its owner may read, and is never printed.
    """
    from collectors.core.api import Unavailable
    from collectors.core.files import read_secret
    from sensetig.grafana import prepare
    from sensetig.grafana.server import Server
    from sensetig.influxdb import SetupError

    try:
        password = read_secret(password_file, "--password-file")
        outcome = prepare(Server(url, admin, password), tokens, click.echo)
    except (SetupError, Unavailable) as error:
        raise click.ClickException(str(error)) from None
    if not outcome.changes:
        click.echo("nothing to change")
    click.echo(f"the token is in {outcome.file}")
