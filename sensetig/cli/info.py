"""``sensetig info``: the addresses and paths of this installation."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensetig.options import Duration

if TYPE_CHECKING:
    from sensetig.doctor.page import Facts
    from sensetig.site import Site

#: Seconds between two queries for the first points.
_LOOK_SECONDS = 2.0

_MINUTE = 60


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the page.")
@click.option(
    "--wait",
    type=Duration(),
    help="Wait until points arrive, at most for this time, such as 60s: for use right after an installation.",
)
def command(as_json: bool, wait: float | None) -> None:
    """Show where everything is.

    That is dashboards, the user, arriving points and missing hardware.

    It needs no option on an installed machine, and root, since the tokens are root's alone. A password is never shown.
    """
    from rich.console import Console

    from sensetig import site
    from sensetig.doctor.page import page, plain

    facts = _facts(site.TOP, wait or 0.0)
    if as_json:
        click.echo(json.dumps(plain(facts), indent=2, ensure_ascii=False))
        return
    console = Console(markup=False, highlight=False)
    console.print(page(facts, console.width))


def _facts(top: Path, wait: float) -> Facts:
    from collectors import __version__
    from sensetig import site as sites
    from sensetig.doctor import machine, place
    from sensetig.doctor.page import Facts
    from sensetig.errors import OperatorError, SiteError

    if not machine.installed(top):
        raise SiteError(machine.not_installed(top))
    site = sites.load(top)
    names = machine.names(top)
    facts = Facts(
        names.host,
        place.role(site, machine.devices(site.tokens)),
        __version__,
        site,
        place.access(site, names, machine.listening()),
        hat=machine.has_hat(top),
        i2c=machine.has_i2c(top),
        camera=machine.has_camera(top),
        camera_set_up=(top / "etc/systemd/system/sensetig-camera.service").exists(),
        alerts=bool(machine.channels(top)),
        off_host=machine.copies_backups(top),
        waiting=machine.outbox_waiting(top),
        config=machine.config(top),
        own_authority=(top / "etc/sensetig/authority").is_dir() and not (top / "etc/sensetig/tls/site.crt").exists(),
    )
    if facts.role == place.EDGE:
        return facts
    try:
        return facts._replace(arrived=_arrived(site, wait))
    except OperatorError as error:
        return facts._replace(problem=str(error))


def _arrived(site: Site, wait: float) -> dict[str, int]:
    """The points of the last minute, as soon as there are any or the time is up. Raises SiteError and InfluxDBError."""
    from sensetig.doctor import arrived
    from sensetig.influxdb.client import Client

    until = time.monotonic() + wait
    with Client.with_token_file(
        site.influxdb_url, site.read_token_file, organisation=site.organisation, ca_file=site.ca_file
    ) as client:
        while True:
            found = arrived.points(client, site.bucket, _MINUTE)
            if found or time.monotonic() >= until:
                return found
            time.sleep(_LOOK_SECONDS)
