"""``sensetig revoke``: revoke the credentials of a lost or stolen Pi."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig.cli.token import held, influxdb_options, operator


@click.command()
@click.argument("device")
@click.option("--back", is_flag=True, help="Let the playbook install DEVICE again; its old credentials stay revoked.")
@influxdb_options
def command(device: str, back: bool, url: str, organisation: str, tokens: Path, ca_file: Path | None) -> None:
    """Revoke all credentials of DEVICE.

    Use it for a device that is lost or stolen. Its InfluxDB token, its MQTT password, its certificate and its
    enrolment become invalid at once, and the playbook gives it no new ones until --back. Its data stays; `sensetig
    retire` ends the alerts about its silence.
    """
    from datetime import UTC, datetime

    from sensetig.security import revocation
    from sensetig.security.hub import Hub

    hub = Hub()
    if back:
        taken = revocation.take_back(hub, device)
        click.echo(f"{device} may be installed again" if taken else f"{device} is not revoked: nothing to change")
        return
    with operator(url, organisation, tokens, ca_file) as server, held(tokens) as credentials:
        done = revocation.revoke(hub, server, credentials, device, datetime.now(UTC))
    if done:
        click.echo(f"{device} is revoked: {', '.join(done)}")
    else:
        click.echo(f"{device} has been revoked before: nothing to change")
