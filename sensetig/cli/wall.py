"""``sensetig wall``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("wall")
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
def command(url: str, admin: str, password_file: Path, dashboards: tuple[str, ...], seconds: int) -> None:
    """Make the playlist for a screen on the wall, and say where it plays.

    Grafana can be provisioned with dashboards, and not with playlists, so this makes one over Grafana's HTTP API. What
    differs is changed; run twice, it changes nothing.
    """
    from collectors.core.api import Unavailable
    from collectors.core.files import read_secret
    from sensetig import bundle
    from sensetig.grafana import wall
    from sensetig.grafana.server import Server
    from sensetig.influxdb import SetupError

    known = sorted(path.stem for path in (bundle.root() / "grafana" / "dashboards").glob("*.json"))
    if strangers := [each for each in dashboards if each not in known]:
        raise click.BadParameter(
            f"there is no dashboard {', '.join(strangers)}; there are {', '.join(known)}", param_hint="--dashboard"
        )
    changes: list[str] = []
    try:
        server = Server(url, admin, read_secret(password_file, "--password-file"))
        path = wall.prepare(server, dashboards, seconds, changes.append)
    except (SetupError, Unavailable) as error:
        raise click.ClickException(str(error)) from None
    for change in changes or ["nothing to change"]:
        click.echo(change)
    click.echo(f"it plays at {server.url}{path}")
