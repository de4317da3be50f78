"""``sensetig wall``."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options


@click.command("wall")
@options.grafana_url
@options.grafana_admin
@options.grafana_password_file
@options.ca_file
@click.option(
    "--dashboard",
    "dashboards",
    multiple=True,
    default=("fleet", "environment", "camera"),
    show_default=True,
    show_envvar=True,
    help="A dashboard of the bundle to show; may be given several times, and they are shown in that order.",
)
@click.option(
    "--seconds",
    type=click.IntRange(5, 86400),
    default=30,
    show_default=True,
    show_envvar=True,
    help="How long each is shown.",
)
def command(
    url: str,
    admin: str,
    password_file: Path | None,
    ca_file: Path | None,
    dashboards: tuple[str, ...],
    seconds: int,
) -> None:
    """Create the playlist for a wall screen.

    The command prints the address that plays it. Grafana can be provisioned with dashboards, and not with
    playlists, so this makes one over Grafana's HTTP API. What differs is changed; run twice, it changes nothing.
    """
    from sensetig import bundle
    from sensetig.grafana import wall
    from sensetig.grafana.server import Server

    known = sorted(path.stem for path in (bundle.root() / "grafana" / "dashboards").glob("*.json"))
    if unknown := [each for each in dashboards if each not in known]:
        raise click.BadParameter(
            f"there is no dashboard {', '.join(unknown)}; there are {', '.join(known)}", param_hint="--dashboard"
        )
    changes: list[str] = []
    server = Server.with_password_file(url, admin, password_file, ca_file)
    path = wall.prepare(server, dashboards, seconds, changes.append)
    for change in changes or ["nothing to change"]:
        click.echo(change)
    click.echo(f"it plays at {server.url}{path}")
