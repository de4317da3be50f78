"""``sensetig live``."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options


@click.command("live")
@options.grafana_url
@options.grafana_admin
@options.grafana_password_file
@options.live_tokens
@options.ca_file
def command(url: str, admin: str, password_file: Path | None, tokens: Path, ca_file: Path | None) -> None:
    """Create the Grafana account for live points.

    The account has a token for Telegraf to push points. It has no role: it may push points, and see
    and change nothing. Missing parts are created, different ones changed, and an invalid token is replaced;
    run twice, it changes nothing. The token is written to a file that only its owner may read, and is
    never printed.
    """
    from sensetig.grafana.live import prepare
    from sensetig.grafana.server import Server

    outcome = prepare(Server.with_password_file(url, admin, password_file, ca_file), tokens, click.echo)
    if not outcome.changes:
        click.echo("nothing to change")
    click.echo(f"the token is in {outcome.file}")
