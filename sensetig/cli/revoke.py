"""``sensetig revoke``: a Pi that is lost or stolen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sensetig.cli.token import held, influxdb_options, operator


@click.command()
@click.argument("device")
@click.option("--back", is_flag=True, help="Let the playbook trust DEVICE anew; what was revoked stays revoked.")
@influxdb_options
def command(device: str, back: bool, url: str, organisation: str, tokens: Path) -> None:
    """Take from DEVICE, which is lost or stolen, all that the hub trusted it with.

    Its InfluxDB token, its MQTT password, its certificate and its enrolment hold no longer, at once, and the playbook
    gives it no new ones until it is taken back with --back. Its data stays; `sensetig retire` ends the alerts about
    its silence.
    """
    from datetime import UTC, datetime

    from sensetig.security import revocation
    from sensetig.security.hub import Hub

    hub = Hub()
    if back:
        taken = _said(lambda: revocation.take_back(hub, device))
        click.echo(f"{device} may be installed again" if taken else f"{device} is not revoked: nothing to change")
        return
    with operator(url, organisation, tokens) as server, held(tokens) as credentials:
        done = revocation.revoke(hub, server, credentials, device, datetime.now(UTC))
    if done:
        click.echo(f"{device} is revoked: {', '.join(done)}")
    else:
        click.echo(f"{device} has been revoked before: nothing to change")


def _said(function: Callable[[], Any]) -> Any:
    from sensetig.security.errors import TrustError

    try:
        return function()
    except TrustError as error:
        raise click.ClickException(str(error)) from None
